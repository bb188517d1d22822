// Renders the un-normalised numerator of one tile × source chunk on the CPU.
//
// Active pixels are listed and cut into fixed blocks; a block is rendered by one thread from
// first to last source, so neither the tile's shape nor the number of threads touches the
// order of any sum.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "approx.hpp"
#include "geometry.hpp"
#include "lattice.hpp"
#include "params.hpp"

namespace distbragg {
namespace {

// Directions of up to this many samples (layers × sub-pixels) of a block are kept from source
// to source; more would leave the second-level cache and are made again.
constexpr std::int64_t kKeptSamples = 32;

// The active pixels of the tile, counted row by row so that a block finds its own.
class ActivePixels {
 public:
  explicit ActivePixels(const Parameters& p)
      : p_(p), width_(p.fast_stop - p.fast_start), start_(1, 0) {
    const std::int64_t rows = p.slow_stop - p.slow_start;
    start_.reserve(static_cast<std::size_t>(rows) + 1);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::uint8_t* active = p.active + row * width_;
      const auto idle = std::count(active, active + width_, std::uint8_t{0});
      start_.push_back(start_.back() + width_ - static_cast<std::int64_t>(idle));
    }
  }

  std::int64_t count() const { return start_.back(); }

  // The pixels from number `first` on: their numbers on the panel and places in the tile.
  // Spare lanes repeat the last pixel: real numbers, never stored. Returns the lanes in use.
  int list(std::int64_t first, PixelNumbers& pixel, std::int64_t* flat) const {
    const auto after = std::upper_bound(start_.begin(), start_.end(), first);
    std::int64_t row = (after - start_.begin()) - 1;
    std::int64_t skip = first - start_[static_cast<std::size_t>(row)];
    const int wanted = static_cast<int>(std::min<std::int64_t>(kLanes, count() - first));
    int lane = 0;
    for (; lane < wanted; ++row, skip = 0) {
      const std::uint8_t* active = p_.active + row * width_;
      const bool full = start_[static_cast<std::size_t>(row) + 1] -
                            start_[static_cast<std::size_t>(row)] == width_;
      const std::int64_t from = full ? skip : 0;
      for (std::int64_t column = from; column < width_ && lane < wanted; ++column) {
        if (!full && (!active[column] || skip-- > 0)) continue;
        pixel.slow[lane] = static_cast<double>(p_.slow_start + row);
        pixel.fast[lane] = static_cast<double>(p_.fast_start + column);
        flat[lane++] = row * width_ + column;
      }
    }
    for (; lane < kLanes; ++lane) {
      pixel.slow[lane] = pixel.slow[wanted - 1];
      pixel.fast[lane] = pixel.fast[wanted - 1];
    }
    return wanted;
  }

 private:
  const Parameters& p_;
  const std::int64_t width_;
  std::vector<std::int64_t> start_;
};

struct Workspace {
  std::vector<Directions> directions;
  PixelNumbers pixel;
  Scattering scattering;
  std::int64_t flat[kLanes];
  alignas(64) double contribution[kLanes];
  alignas(64) double numerator[kLanes];
  explicit Workspace(std::int64_t kept) : directions(static_cast<std::size_t>(kept)) {}
};

class Renderer {
 public:
  explicit Renderer(const Parameters& p)
      : p_(p),
        sum_(make_step_sum(p)),
        samples_(p.layers * p.oversample * p.oversample),
        pixels_(p) {
    for (std::int64_t s = p.source_start; s < p.source_stop; ++s) sources_.emplace_back(p, s);
  }

  void run() {
    const std::int64_t blocks = (pixels_.count() + kLanes - 1) / kLanes;
    const std::int64_t threads = std::max<std::int64_t>(1, std::min(p_.threads, blocks));
    std::atomic<std::int64_t> next{0};
    std::vector<std::unique_ptr<Workspace>> spaces;
    for (std::int64_t t = 0; t < threads; ++t) spaces.push_back(std::make_unique<Workspace>(kept()));
    auto work = [&](Workspace& space) {
      for (std::int64_t b = next++; b < blocks; b = next++) render_block(b * kLanes, space);
    };
    std::vector<std::thread> helpers;
    for (std::int64_t t = 1; t < threads; ++t) {
      try {
        helpers.emplace_back(work, std::ref(*spaces[static_cast<std::size_t>(t)]));
      } catch (const std::system_error&) {
        break;  // no more threads to be had: the others take the blocks
      }
    }
    work(*spaces[0]);
    for (std::thread& helper : helpers) helper.join();
  }

 private:
  bool keeps_all() const { return samples_ <= kKeptSamples; }
  std::int64_t kept() const { return keeps_all() ? samples_ : 1; }

  void aim(const PixelNumbers& pixel, std::int64_t sample, Directions& directions) const {
    const std::int64_t n = p_.oversample;
    const std::int64_t sub = sample % (n * n);
    make_directions(p_, pixel, sample / (n * n), static_cast<int>(sub / n),
                    static_cast<int>(sub % n), directions);
  }

  void render_block(std::int64_t first, Workspace& w) const {
    const int count = pixels_.list(first, w.pixel, w.flat);
    if (keeps_all()) {
      for (std::int64_t k = 0; k < samples_; ++k) {
        aim(w.pixel, k, w.directions[static_cast<std::size_t>(k)]);
      }
    }
    std::fill(w.numerator, w.numerator + kLanes, 0.0);
    for (const Source& source : sources_) add_source(source, w);
    for (int i = 0; i < count; ++i) p_.out[w.flat[i]] = w.numerator[i];
  }

  // numerator += weight × Σ over layers and sub-pixels. A source's own sum is finished first,
  // so that it has the same bits in every chunk.
  void add_source(const Source& source, Workspace& w) const {
    const double scale = p_.spot_scale * p_.table_scale, weight = source.weight;
    const double* sum = w.scattering.sum;
    double* numerator = w.numerator;
    if (samples_ == 1) {
      // One pass less over the block; rounds as the general way does.
      const double* factor = sum_steps(source, w.directions[0], w.scattering);
      if (factor == nullptr) return;
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) {
        numerator[i] = madd(weight, factor[i] * (scale * sum[i]), numerator[i]);
      }
      return;
    }
    double* contribution = w.contribution;
    std::fill(contribution, contribution + kLanes, 0.0);
    for (std::int64_t k = 0; k < samples_; ++k) {
      Directions& directions = w.directions[keeps_all() ? static_cast<std::size_t>(k) : 0];
      if (!keeps_all()) aim(w.pixel, k, directions);
      const double* factor = sum_steps(source, directions, w.scattering);
      if (factor == nullptr) continue;
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) {
        contribution[i] = madd(factor[i], scale * sum[i], contribution[i]);
      }
    }
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) numerator[i] = madd(weight, contribution[i], numerator[i]);
  }

  // Fills q.sum with the steps of one sample and returns the factors to multiply it with, or
  // null where every pixel of the block is 0.
  const double* sum_steps(const Source& source, const Directions& directions,
                          Scattering& q) const {
    make_scattering(source, directions, q);
    const bool visible = p_.dmin > 0.0 ? cut_resolution(p_.dmin, q) : true;
    const bool background = p_.background_scale != 0.0;
    if (!visible && !background) return nullptr;
    if (visible) {
      if (p_.reach > 0.0) narrow_scattering(q);
      sum_->run(q);
    } else {
      std::fill(q.sum, q.sum + kLanes, 0.0);
    }
    if (p_.dmin > 0.0) {
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) q.sum[i] *= q.kept[i];
    }
    if (background) add_background(p_, q);
    if (!p_.polarization) return directions.factor;
    polarize(p_, source, directions, q.factor);
    return q.factor;
  }

  const Parameters& p_;
  const std::unique_ptr<StepSum> sum_;
  const std::int64_t samples_;
  const ActivePixels pixels_;
  std::vector<Source> sources_;
};

}  // namespace
}  // namespace distbragg

extern "C" {

std::int64_t distbragg_parameter_bytes() { return sizeof(distbragg::Parameters); }

const char* distbragg_isa() {
#if defined(__AVX512F__)
  return "avx512f";
#elif defined(__AVX2__) && defined(__FMA__)
  return "avx2+fma";
#elif defined(__FMA__)
  return "fma";
#elif defined(__ARM_FEATURE_FMA)
  return "neon";
#else
  return "baseline";
#endif
}

// 0: done; 1: out of memory.
int distbragg_render(const distbragg::Parameters* parameters) {
  try {
    distbragg::Renderer(*parameters).run();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // extern "C"
