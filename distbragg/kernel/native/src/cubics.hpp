// A spot's sum over lines as a few cubics, so few that the registers of a vector machine hold them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "madd.hpp"

namespace distbragg {

// Σ c[k] t^k.
template <class Real>
DISTBRAGG_INLINE Real cubic(Real c0, Real c1, Real c2, Real c3, Real t) {
  return madd(madd(madd(c3, t, c2), t, c1), t, c0);
}

// The cubic through four entries near Chebyshev's points of a piece.
struct CubicThrough {
  static constexpr int kPowers = 4;
  int node[kPowers];
  float share[kPowers][kPowers];  // of each entry in each coefficient
  float middle;                   // the place of the entry in the middle

  explicit CubicThrough(int length)
      : middle(static_cast<float>(length / 2) / static_cast<float>(length)) {
    constexpr double kChebyshev[kPowers] = {0.03806, 0.30866, 0.69134, 0.96194};
    for (int k = 0; k < kPowers; ++k) {
      node[k] = static_cast<int>(std::floor(kChebyshev[k] * length + 0.5));
    }
    for (int m = 0; m < kPowers; ++m) {
      // Π (t − other) / (own − other), power by power.
      double c[kPowers] = {1.0, 0.0, 0.0, 0.0};
      for (int k = 0; k < kPowers; ++k) {
        if (k == m) continue;
        const double other = static_cast<double>(node[k]) / length;
        const double over = static_cast<double>(length) / (node[m] - node[k]);
        for (int n = kPowers - 1; n > 0; --n) c[n] = (c[n - 1] - other * c[n]) * over;
        c[0] *= -other * over;
      }
      for (int k = 0; k < kPowers; ++k) share[k][m] = static_cast<float>(c[k]);
    }
  }

  // The coefficients, by the four entries.
  DISTBRAGG_INLINE void fit(const float* value, float* c) const {
    for (int k = 0; k < kPowers; ++k) {
      c[k] = 0.0f;
      for (int m = 0; m < kPowers; ++m) c[k] = madd(share[k][m], value[m], c[k]);
    }
  }
};

// Up to 32 pieces of equal length: Σ c[k] t^k, t from 0 to 1 within its piece.
class Cubics {
 public:
  static constexpr int kPieces = 32, kPowers = 4, kSize = kPieces * kPowers;
  static constexpr int kWide = 16;            // lanes of a vector
  static constexpr float kTolerance = 5e-5f;  // of the greatest entry

  // Entries of a table, between which straight lines hold and of which the last is the one behind
  // `end`, as cubics, power by power. Returns how many entries a piece is long; 0: a cubic passes one
  // of them by more than the tolerance, a share of the greatest.
  static int make(const float* entry, int end, float* pieces) {
    const int length = std::max(kLeast, end / kPieces + 1);
    if (length > kMost || end + 1 < length) return 0;
    const CubicThrough& through = of_length(length);
    const int count = end / length + 1;
    alignas(64) float value[kPowers][kPieces] = {}, seen[kPowers][kPieces] = {};
    float greatest = 0.0f, worst = 0.0f;
    // The last piece has entries from before it.
    const int last = std::min((count - 1) * length, end + 1 - length);
    for (int n = 0; n < count; ++n) {
      const float* from = entry + (n + 1 < count ? n * length : last);
      for (int k = 0; k < kPowers; ++k) value[k][n] = from[through.node[k]];
      seen[0][n] = from[0];
      seen[1][n] = from[length / 2];
      seen[2][n] = from[length];
    }
    const float middle = through.middle;
#pragma omp simd reduction(max : greatest, worst)
    for (int n = 0; n < kPieces; ++n) {
      const float own[kPowers] = {value[0][n], value[1][n], value[2][n], value[3][n]};
      float c[kPowers];
      through.fit(own, c);
      for (int k = 0; k < kPowers; ++k) pieces[k * kPieces + n] = c[k];
      const auto at = [&](float t) __attribute__((always_inline)) {
        return cubic(c[0], c[1], c[2], c[3], t);
      };
      const float off0 = std::fabs(at(0.0f) - seen[0][n]);
      const float off1 = std::fabs(at(middle) - seen[1][n]);
      const float off2 = std::fabs(at(1.0f) - seen[2][n]);
      greatest = larger(greatest, larger(std::fabs(seen[0][n]), std::fabs(seen[2][n])));
      worst = larger(worst, larger(off0, larger(off1, off2)));
    }
    if (!(worst <= kTolerance * greatest)) return 0;
    const int moved = (count - 1) * length - last;
    turn(static_cast<float>(moved) / static_cast<float>(length), pieces + (count - 1));
    return length;
  }

#if defined(__AVX512F__)
  explicit Cubics(const float* pieces) {
    for (int k = 0; k < kPowers; ++k) {
      low_[k] = _mm512_loadu_ps(pieces + k * kPieces);
      high_[k] = _mm512_loadu_ps(pieces + k * kPieces + kWide);
    }
  }

  // The coefficients of a piece for each lane of a vector; all arrays begin at its border.
  DISTBRAGG_INLINE void pick(const std::int32_t* piece, float (*c)[kWide]) const {
    const __m512i at = _mm512_load_si512(piece);
    for (int k = 0; k < kPowers; ++k) {
      _mm512_store_ps(c[k], _mm512_permutex2var_ps(low_[k], at, high_[k]));
    }
  }

 private:
  __m512 low_[kPowers], high_[kPowers];
#else
  explicit Cubics(const float* pieces) : pieces_(pieces) {}

  DISTBRAGG_INLINE void pick(const std::int32_t* piece, float (*c)[kWide]) const {
    for (int k = 0; k < kPowers; ++k) {
      const float* own = pieces_ + k * kPieces;
#pragma omp simd
      for (int i = 0; i < kWide; ++i) c[k][i] = own[piece[i]];
    }
  }

 private:
  const float* pieces_;
#endif

  static constexpr int kLeast = 3, kMost = 24;  // entries a piece is long

  static const CubicThrough& of_length(int length) {
    static const std::vector<CubicThrough> all = [] {
      std::vector<CubicThrough> made;
      for (int n = kLeast; n <= kMost; ++n) made.emplace_back(n);
      return made;
    }();
    return all[static_cast<std::size_t>(length - kLeast)];
  }

  // The cubic of a piece that is looked at from another place.
  static void turn(float shift, float* piece) {
    float &c0 = piece[0], &c1 = piece[kPieces], &c2 = piece[2 * kPieces], &c3 = piece[3 * kPieces];
    c0 = cubic(c0, c1, c2, c3, shift);
    c1 = madd(madd(3.0f * c3, shift, 2.0f * c2), shift, c1);
    c2 = madd(3.0f * c3, shift, c2);
  }
};

}  // namespace distbragg
