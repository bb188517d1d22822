// The rows of a straight spot: its second coordinate is the row's alone, so that along a row its
// polynomials are ones of the first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "projection.hpp"
#include "spot.hpp"

namespace distbragg::closed {

// The pixels of a panel that spots are drawn onto: sums that lie `stride` apart from row to row.
// There is room for a vector more, to which nothing is added.
struct Canvas {
  double* sums;
  std::int64_t row_start, row_stop, fast_start, fast_stop, stride;

  double* row(std::int64_t row) const { return sums + (row - row_start) * stride; }
};

// Where a sample of a pixel lies from the middle of a spot, at the depth that the spot is given at;
// pixels are counted from the one that the middle is in.
struct SamplePlaces {
  const Depth& depth;
  double column, row;  // of that pixel
  double fast_scale, fast_start, slow_scale, slow_start;

  SamplePlaces(const Parameters& p, const Projection& projection, const Spot& spot,
               std::int64_t sample)
      : depth(projection.depth_of(sample / (p.oversample * p.oversample))),
        column(std::floor(spot.fast)), row(std::floor(spot.slow)) {
    const std::int64_t n = p.oversample, sub = sample % (n * n);
    const double per = 1.0 / static_cast<double>(n);
    const double aside = madd(static_cast<double>(sub % n) + 0.5, per, column);
    const double below = madd(static_cast<double>(sub / n) + 0.5, per, row);
    fast_scale = depth.fast_scale;
    fast_start = madd(fast_scale, aside, depth.fast_start - spot.fast);
    slow_scale = depth.slow_scale;
    slow_start = madd(slow_scale, below, depth.slow_start - spot.slow);
  }

  double fast(double number) const { return madd(fast_scale, number, fast_start); }
  double slow(std::int64_t of) const {
    return madd(slow_scale, static_cast<double>(of) - row, slow_start);
  }
};

// Rows side by side; columns and rows are numbered from the pixel that the spot's middle is in.
class Rows {
 public:
  static constexpr int kMost = 16;

  alignas(64) float start[kMost];                     // the first coordinate at column 0
  alignas(64) std::int32_t from[kMost], stop[kMost];  // the columns inside the disc
  float step;                                         // of the first coordinate
  std::int64_t first;                                 // column of the canvas

  Rows(const Spot& spot, const SamplePlaces& places, const Canvas& canvas)
      : row_(places.row) {
    const Spot::Seen seen = spot.lines_seen();
    const double over = 1.0 / places.fast_scale;
    const std::int64_t middle = static_cast<std::int64_t>(places.column);
    const auto single = [](auto number) { return static_cast<float>(number); };
    step = single(spot.step[0] * places.fast_scale);
    first = canvas.fast_start - middle;
    own_ = {single(places.slow_scale),
            single(places.slow_start),
            single(spot.step[1]),
            single(spot.step[3]),
            spot.oval ? single(spot.step[3]) : 0.0f,
            single(spot.step[0] * places.fast_start),
            spot.oval ? std::fabs(1.0f / step) : kAnywhere,
            single(std::max(canvas.fast_start, spot.fast_start) - middle),
            single(std::min(canvas.fast_stop, spot.fast_stop) - middle),
            single((seen.middle - places.fast_start) * over),
            single(seen.lean * over),
            seen.cuts ? single(seen.half * over) : kAnywhere};
  }

  // Takes the rows of the panel from one on. By their own numbers alone, whatever goes before.
  void aim(const Spot& spot, std::int64_t of) {
    const Shared own = own_;
    const float row = static_cast<float>(static_cast<double>(of) - row_);
    const float over = -1.0f / step;
    alignas(64) float second[kMost];
#pragma omp simd
    for (int i = 0; i < kMost; ++i) {
      const float y = madd(own.slow_scale, row + static_cast<float>(i), own.slow_start);
      const float a = madd(own.a_row, y, own.a_start), b = own.b_row * y, off = own.off_row * y;
      const float square = madd(-off, off, 1.0f), middle = a * over;
      const float half = std::sqrt(larger(square, 0.0f)) * own.wide;
      const float seen = madd(own.seen_lean, y, own.seen_middle);
      const float from_here = larger(std::ceil(middle - half), std::ceil(seen - own.seen_half));
      const float to_here = smaller(std::floor(middle + half), std::floor(seen + own.seen_half));
      const float low = larger(own.least, from_here);
      // A row beside the disc has none.
      const float high = square < 0.0f ? low : smaller(own.most, to_here + 1.0f);
      start[i] = a;
      second[i] = b;
      from[i] = static_cast<std::int32_t>(low);
      stop[i] = static_cast<std::int32_t>(high);
    }
    for (int n = 0; n < spot.polynomials(); ++n) {
      const float* c = spot.polynomial(n).c;
      auto& out = powers_[n];
#pragma omp simd
      for (int i = 0; i < kMost; ++i) {
        const float b = second[i];
        out[0][i] = madd(madd(madd(madd(c[4], b, c[3]), b, c[2]), b, c[1]), b, c[0]);
        out[1][i] = madd(madd(madd(c[8], b, c[7]), b, c[6]), b, c[5]);
        out[2][i] = madd(madd(c[11], b, c[10]), b, c[9]);
        out[3][i] = madd(c[13], b, c[12]);
        out[4][i] = c[14];
      }
    }
  }

  // One of the spot's polynomials in a row; `straighter`: it has no fourth power.
  DISTBRAGG_INLINE float at(int polynomial, int row, float a, float square,
                            bool straighter) const {
    const auto& p = powers_[polynomial];
    const float low = madd(p[1][row], a, p[0][row]), middle = madd(p[3][row], a, p[2][row]);
    if (straighter) return madd(middle, square, low);
    return madd(madd(p[4][row], square, middle), square, low);
  }

 private:
  // Half of a width that cuts nothing off: told by a number, so that the loop over rows is one of vectors.
  static constexpr float kAnywhere = 1e9f;  // columns

  // What the rows of a spot have in common.
  struct Shared {
    float slow_scale, slow_start;             // pixels from the middle, by the number of a row
    float a_row, b_row, off_row, a_start;     // coordinates by these, and the first in the middle
    float wide, least, most;                  // columns of the disc, and those that are drawn
    float seen_middle, seen_lean, seen_half;  // that see a line
  };

  alignas(64) float powers_[3][kDegree + 1][kMost];
  double row_;
  Shared own_;
};

}  // namespace distbragg::closed
