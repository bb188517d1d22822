// The photons of a panel, spread over the pixels around: the sum of shifted images, each pixel's in
// the order of the kernel, so that neither threads nor the pixel's place touch a bit of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "crew.hpp"
#include "madd.hpp"
#include "words.hpp"

namespace distbragg {
namespace spread {

typedef double Reals __attribute__((vector_size(8 * kWords)));

DISTBRAGG_INLINE Reals load(const double* from) {
  Reals reals;
  std::memcpy(&reals, from, sizeof reals);
  return reals;
}

DISTBRAGG_INLINE Reals madd(Reals a, Reals b, Reals c) {
#if defined(__AVX512F__)
  return (Reals)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__) && defined(__FMA__)
  return (Reals)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}

// Shares of a photon by displacement, rows by columns, both odd; row `r` holds shares other than 0
// in columns first[r] to stop[r].
struct Kernel {
  Kernel(const double* shares, std::int64_t rows, std::int64_t columns)
      : shares(shares), rows(rows), columns(columns) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const double* row = shares + r * columns;
      std::int64_t start = 0, end = columns;
      while (start < end && row[start] == 0.0) ++start;
      while (end > start && row[end - 1] == 0.0) --end;
      first.push_back(start);
      stop.push_back(end);
    }
  }

  const double* shares;
  std::int64_t rows, columns;
  std::vector<std::int64_t> first, stop;
};

constexpr std::int64_t kAcross = 8, kBlockRows = 32;  // vectors summed at once; rows of a piece

// Some rows of the image, with as many pixels of nothing around as the kernel reaches.
class Band {
 public:
  Band(std::int64_t width, const Kernel& kernel)
      : kernel_(kernel), margin_(kernel.columns / 2),
        lanes_((width + kAcross * kWords - 1) / (kAcross * kWords) * (kAcross * kWords)),
        stride_(lanes_ + 2 * margin_), width_(width),
        values_(static_cast<std::size_t>((kBlockRows + kernel.rows - 1) * stride_)) {}

  template <class Real>
  void fill(const Real* image, std::int64_t height, std::int64_t stride, std::int64_t start) {
    const std::int64_t reach = kernel_.rows / 2;
    for (std::int64_t row = 0; row < kBlockRows + 2 * reach; ++row) {
      double* to = values_.data() + row * stride_ + margin_;
      const std::int64_t from = start - reach + row;
      if (from < 0 || from >= height) {
        std::fill_n(to, width_, 0.0);
      } else {
        std::copy_n(image + from * stride, width_, to);
      }
    }
  }

  // One row of the block, `row` counted from its first.
  void spread(std::int64_t row, double* out) const {
    for (std::int64_t column = 0; column < width_; column += kAcross * kWords) {
      Reals sum[kAcross] = {};
      for (std::int64_t r = 0; r < kernel_.rows; ++r) {
        // A photon goes by (r, c) from the middle: it comes from the opposite place.
        const double* from = values_.data() + (row + kernel_.rows - 1 - r) * stride_ + column;
        const double* shares = kernel_.shares + r * kernel_.columns;
        const auto at = static_cast<std::size_t>(r);
        for (std::int64_t c = kernel_.first[at]; c < kernel_.stop[at]; ++c) {
          const Reals share = Reals{} + shares[c];
          const double* here = from + (kernel_.columns - 1 - c);
          for (std::int64_t n = 0; n < kAcross; ++n) {
            sum[n] = madd(load(here + n * kWords), share, sum[n]);
          }
        }
      }
      const auto some = std::min<std::int64_t>(kAcross * kWords, width_ - column);
      std::memcpy(out + column, sum, static_cast<std::size_t>(some) * sizeof(double));
    }
  }

 private:
  const Kernel& kernel_;
  std::int64_t margin_, lanes_, stride_, width_;
  std::vector<double> values_;
};

// A panel: its pixels, and how far its rows lie apart.
struct Image {
  std::int64_t height, width, stride;

  // `out` has rows of `width`.
  template <class Real>
  void spread(const Real* image, const Kernel& kernel, std::int64_t threads, double* out) const {
    const std::int64_t blocks = (height + kBlockRows - 1) / kBlockRows;
    std::vector<std::unique_ptr<Band>> bands;
    for (std::int64_t t = 0; t < std::min(threads, blocks); ++t) {
      bands.push_back(std::make_unique<Band>(width, kernel));
    }
    share_out(blocks, bands, [&](std::int64_t block, Band& band) {
      const std::int64_t start = block * kBlockRows;
      band.fill(image, height, stride, start);
      for (std::int64_t row = 0; row < std::min(kBlockRows, height - start); ++row) {
        band.spread(row, out + (start + row) * width);
      }
    });
  }
};

}  // namespace spread
}  // namespace distbragg
