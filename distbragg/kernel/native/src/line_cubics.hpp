// Sums over lines as cubics of the wavenumber, made once for all spots: for a few widths each, between
// which the cubics of a spot are interpolated.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cubics.hpp"

namespace distbragg::closed {

// The cubics of four rows, each of one width. A spot takes as many neighbours as registers hold.
class LineCubics {
 public:
  static constexpr int kRows = 4, kPieces = Cubics::kPieces, kPowers = Cubics::kPowers;

  // Of tables whose entry n is the sum at step · (first + n), the narrowest first; from wavenumber `low`
  // to `high` there is something to be seen.
  LineCubics(const std::vector<float>* const (&rows)[kRows], std::int64_t first, double step, double low,
             double high) {
    const double begin = std::floor(low / step);
    const std::int64_t start = static_cast<std::int64_t>(begin) - first;
    const double entries = (high - low) / step + 1.0;
    // The shortest by which all is seen, or the longest that a cubic holds for.
    int length = std::max(kLeast, static_cast<int>(std::ceil(entries / kPieces)));
    while (length > kLeast && !holds(*rows[1], start, entries, length)) {
      length = std::max(kLeast, length - 1 - length / 16);
    }
    count_ = std::max<std::int64_t>(kPieces, static_cast<std::int64_t>(std::ceil(entries / length)));
    begin_ = step * begin;
    step_ = step * static_cast<double>(length);
    const CubicThrough through(length);
    for (int r = 0; r < kRows; ++r) {
      rows_[r].resize(static_cast<std::size_t>(count_ * kPowers));
      for (std::int64_t n = 0; n < count_; ++n) {
        float c[kPowers];
        fit(*rows[r], start + n * length, through, c);
        for (int k = 0; k < kPowers; ++k) rows_[r][static_cast<std::size_t>(k * count_ + n)] = c[k];
      }
    }
  }

  double begin() const { return begin_; }    // of the first piece, a wavenumber
  double step() const { return step_; }      // from each to the next
  std::int64_t count() const { return count_; }

  // Writes the pieces from number `from` on, power by power. The place of the width among the rows is
  // `at` in the middle of the first and changes by `change` from each to the next.
  void pick(std::int64_t from, double at, double change, float* pieces) const {
    const float *row0 = rows_[0].data() + from, *row1 = rows_[1].data() + from;
    const float *row2 = rows_[2].data() + from, *row3 = rows_[3].data() + from;
    const float t0 = static_cast<float>(at - 1.0), dt = static_cast<float>(change);
    const std::int64_t count = count_;
#pragma omp simd
    for (int n = 0; n < kPieces; ++n) {
      // Four-point Lagrange at −1, 0, 1, 2, and how it changes across the piece.
      const float t = madd(dt, static_cast<float>(n), t0);
      const float below = t + 1.0f, above = t - 1.0f, far = t - 2.0f;
      const float outer = t * above, inner = below * far, twice = t + above;
      const float w0 = outer * far * (-1.0f / 6.0f), w1 = inner * above * 0.5f;
      const float w2 = inner * t * -0.5f, w3 = outer * below * (1.0f / 6.0f);
      const float sixth = dt * (1.0f / 6.0f), half = dt * 0.5f;
      const float d0 = -sixth * madd(twice, far, outer), d3 = sixth * madd(twice, below, outer);
      const float d1 = half * madd(twice, above, inner), d2 = -half * madd(twice, t, inner);
      float c[kPowers], d[kPowers];
      for (int k = 0; k < kPowers; ++k) {
        const std::int64_t own = k * count + n;
        const float r0 = row0[own], r1 = row1[own], r2 = row2[own], r3 = row3[own];
        c[k] = madd(w0, r0, madd(w1, r1, madd(w2, r2, w3 * r3)));
        d[k] = madd(d0, r0, madd(d1, r1, madd(d2, r2, d3 * r3)));
      }
      pieces[n] = madd(-0.5f, d[0], c[0]);
      pieces[kPieces + n] = madd(-0.5f, d[1], c[1]) + d[0];
      pieces[2 * kPieces + n] = madd(-0.5f, d[2], c[2]) + d[1];
      pieces[3 * kPieces + n] = madd(-0.5f, d[3], c[3]) + d[2];
    }
  }

  std::size_t bytes() const {
    return static_cast<std::size_t>(kRows * kPowers * count_) * sizeof(float);
  }

 private:
  static constexpr int kLeast = 12;  // entries of a piece

  // The table may end before the pieces do: beyond is nothing.
  static float entry(const std::vector<float>& row, std::int64_t n) {
    const bool inside = n >= 0 && n < static_cast<std::int64_t>(row.size());
    return inside ? row[static_cast<std::size_t>(n)] : 0.0f;
  }

  static void fit(const std::vector<float>& row, std::int64_t from, const CubicThrough& through,
                  float* c) {
    float value[kPowers];
    for (int k = 0; k < kPowers; ++k) value[k] = entry(row, from + through.node[k]);
    through.fit(value, c);
  }

  // Whether no cubic passes an entry by more than the tolerance.
  static bool holds(const std::vector<float>& row, std::int64_t start, double entries, int length) {
    const CubicThrough through(length);
    float greatest = 0.0f, worst = 0.0f;
    for (std::int64_t from = start; static_cast<double>(from - start) < entries; from += length) {
      float c[kPowers];
      fit(row, from, through, c);
      for (const int at : {0, length / 2, length}) {
        const float t = static_cast<float>(at) / static_cast<float>(length);
        const float seen = entry(row, from + at);
        greatest = larger(greatest, seen);
        worst = larger(worst, std::fabs(cubic(c[0], c[1], c[2], c[3], t) - seen));
      }
    }
    return worst <= Cubics::kTolerance * greatest;
  }

  std::int64_t count_;  // of pieces
  double begin_, step_;
  std::vector<float> rows_[kRows];
};

}  // namespace distbragg::closed
