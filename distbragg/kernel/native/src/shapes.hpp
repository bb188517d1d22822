// The transforms that are functions of r, r² = δᵀ S δ, one after another: the square of each, in
// units of its height, and a bound of it.
#pragma once

#include <algorithm>
#include <cmath>

#include "approx.hpp"
#include "generated.hpp"

namespace distbragg {

// Relative margin of a bound, above the error of the polynomials and of their sums.
constexpr float kAbove = 1.0f + 1e-4f, kBelow = 1.0f - 1e-4f;

// `squared` takes r² in float64 and drops to the kernel's type as late as it can. `bound` must
// fall with r², and stay above the square at every greater r².
template <int kShape>
struct Radial;

template <>
struct Radial<kRound> {
  template <class Real>
  static DISTBRAGG_INLINE Real squared(double v) {
    return sinc3_squared(static_cast<Real>(v));
  }
  static DISTBRAGG_INLINE float bound(float v) {
    // |3 (sin x / x − cos x) / x²| ≤ 3 (1 + 1/x) / x², and ≤ 1.
    const float x = std::max(3.14159f * std::sqrt(v), 1.0f);
    const float value = 3.0f * (1.0f + 1.0f / x) / (x * x) * kAbove;
    return std::min(value * value, 1.0f);
  }
};

template <>
struct Radial<kGauss> {
  static constexpr double kDecay = ShapeRow<kGauss>::kDecay;
  template <class Real>
  static DISTBRAGG_INLINE Real squared(double v) {
    return exp_poly<true>(static_cast<Real>(-kDecay) * static_cast<Real>(v));
  }
  static DISTBRAGG_INLINE float bound(float v) {
    // Never 0: in float64 there is something left where float32 ends.
    const float limit = kExpLowest<float>, exponent = -static_cast<float>(kDecay) * kBelow * v;
    return exp_poly(exponent > limit ? exponent : limit) * kAbove;
  }
};

template <>
struct Radial<kTophat> {
  static constexpr double kEdge = ShapeRow<kTophat>::kZeroSquared;
  template <class Real>
  static DISTBRAGG_INLINE Real squared(double v) {
    return v < kEdge ? Real(1) : Real(0);
  }
  static DISTBRAGG_INLINE float bound(float v) {
    return v < static_cast<float>(kEdge) * kAbove ? 1.0f : 0.0f;
  }
};

}  // namespace distbragg
