// Elementary functions as plain polynomials, see table.py. Every lane of a vector loop runs exactly
// these operations, so a pixel has the same bits wherever it lies in a block; vendor vector maths
// gives no such promise.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "generated.hpp"

namespace distbragg {

// sin(πx) for |x| ≤ ½.
template <class Real>
DISTBRAGG_INLINE Real sin_pi(Real x) {
  return x * polynomial::sin_pi(x * x);
}

// Sine and cosine of an angle in radians, absolute error 1e-15 for |angle| ≤ 10.
DISTBRAGG_INLINE void sine_cosine(double angle, double& sine, double& cosine) {
  const double half_turns = std::nearbyint(angle * kInversePi);
  double rest = madd(half_turns, -kPi, angle);
  rest = madd(half_turns, -kPiLow, rest) * kInversePi;
  rest = rest < -0.5 ? -0.5 : (rest > 0.5 ? 0.5 : rest);
  const bool odd = std::nearbyint(half_turns * 0.5) * 2.0 != half_turns;
  const double sign = odd ? -1.0 : 1.0;
  sine = sign * sin_pi(rest);
  cosine = sign * sin_pi(0.5 - std::fabs(rest));
}

// The angle of a point from the first axis, by a length across it that is not negative and one along
// it that may be; to rounding. Near ⅛ turn and ¼ turn the angle from there is what is told.
DISTBRAGG_INLINE double angle_of(double side, double ahead) {
  constexpr double kEighth = 0.41421356237309504880, kPast = 2.41421356237309504880;  // tan π/8, 3π/8
  const double along = std::fabs(ahead);
  const bool steep = side > kPast * along, middle = !steep && side > kEighth * along;
  const double over = steep ? -along : (middle ? side - along : side);
  const double under = steep ? side : (middle ? side + along : along);
  const double t = over / under, u = t * t;
  // arctan(t)/t by t², fitted with the least greatest error, 4e-17.
  double p = 0.021135373157693246;
  p = madd(p, u, -0.04348052215716462);
  p = madd(p, u, 0.056883492268090106);
  p = madd(p, u, -0.06640233930429408);
  p = madd(p, u, 0.07689953496306857);
  p = madd(p, u, -0.09090773074808414);
  p = madd(p, u, 0.11111106180455946);
  p = madd(p, u, -0.14285714180976467);
  p = madd(p, u, 0.1999999999885511);
  p = madd(p, u, -0.3333333333332844);
  p = madd(p, u, 1.0);
  const double from = steep ? 0.5 * kPi : (middle ? 0.25 * kPi : 0.0);
  const double angle = madd(t, p, from);
  return ahead < 0.0 ? kPi - angle : angle;
}

// ROUND spots: (3 (sin x / x − cos x) / x²)² at x = π√v, v ≥ 0. With t = √v and r what is left of
// it when whole turns are taken off this is (r S(r²) − t C(r²))² / v³, where
//   S(u) = 3/π² sin(πr)/(πr),  C(u) = 3/π² cos(πr),  u = r² ≤ ¼,
// and the sign that both lose drops in the square. The first coefficients of the two are equal, so
// that they cancel exactly towards 0. Below kSinc3Near that cancellation costs too much, and a
// polynomial of v takes over.
template <class Real>
DISTBRAGG_INLINE Real sinc3_squared(Real v) {
  const Real turns = std::sqrt(v);
  const Real rest = turns - std::nearbyint(turns);
  const Real u = rest * rest;
  // At v = 0 this is zero by zero, and not taken.
  const Real wave =
      madd(rest, polynomial::sinc3_sine(u), -(turns * polynomial::sinc3_cosine(u)));
  const Real far = (wave * wave) / (v * v * v);
  const Real near = polynomial::sinc3_peak(v);
  return v > kSinc3Near<Real> ? far : near * near;
}

// p 2^n of a whole n, where neither that nor p leaves the normal numbers.
DISTBRAGG_INLINE float times_power_of_2(float p, float n) {
  std::uint32_t bits;
  std::memcpy(&bits, &p, sizeof bits);
  bits += static_cast<std::uint32_t>(static_cast<std::int32_t>(n)) << 23;
  float product;
  std::memcpy(&product, &bits, sizeof product);
  return product;
}

// r of y = n ln2 + r with a whole n, |r| ≤ ln2/2.
DISTBRAGG_INLINE float rest_of_powers(float y, float& n) {
  n = std::nearbyint(y * static_cast<float>(kLog2E));
  const float r = madd(n, kLn2High<float>, y);
  return madd(n, kLn2Low<float>, r);
}

// exp(x) for x ≤ 88 (float): 2^n · e^r, |r| ≤ ln2/2. `kFalling`: x ≤ 0 is known.
template <bool kFalling = false>
DISTBRAGG_INLINE float exp_poly(float x) {
  const float lowest = kExpLowest<float>, highest = kExpHighest<float>;
  const float y = x < lowest ? lowest : (!kFalling && x > highest ? highest : x);
  float n;
  const float p = polynomial::exp(rest_of_powers(y, n));
  return x < lowest ? 0.0f : p * times_power_of_2(1.0f, n);
}

// 1 − exp(−x) for x ≥ 0, to rounding also where that is small.
DISTBRAGG_INLINE float lost_poly(float x) {
  const float y = x < 80.0f ? -x : -80.0f;
  float n;
  const float r = rest_of_powers(y, n);
  // (exp(r) − 1)/r for |r| ≤ ln2/2, Taylor's series.
  float p = 1.0f / 5040.0f;
  p = madd(p, r, 1.0f / 720.0f);
  p = madd(p, r, 1.0f / 120.0f);
  p = madd(p, r, 1.0f / 24.0f);
  p = madd(p, r, 1.0f / 6.0f);
  p = madd(p, r, 0.5f);
  p = madd(p, r, 1.0f);
  const float power = times_power_of_2(1.0f, n);
  return madd(-power * r, p, 1.0f - power);
}

// 2^x for −126 ≤ x ≤ 126.
DISTBRAGG_INLINE float exp2_poly(float x) {
  const float n = std::nearbyint(x);
  return times_power_of_2(polynomial::exp2(x - n), n);
}

// exp(x) for x ≤ 709 (double).
template <bool kFalling = false>
DISTBRAGG_INLINE double exp_poly(double x) {
  const double lowest = kExpLowest<double>, highest = kExpHighest<double>;
  const double y = x < lowest ? lowest : (!kFalling && x > highest ? highest : x);
  // Adding 1.5·2^52 leaves the rounded integer in the low bits of the sum.
  const double shifter = 6755399441055744.0;
  const double sum = madd(y, kLog2E, shifter);
  const double n = sum - shifter;
  double r = madd(n, kLn2High<double>, y);
  r = madd(n, kLn2Low<double>, r);
  const double p = polynomial::exp(r);
  std::uint64_t bits;
  std::memcpy(&bits, &sum, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return x < lowest ? 0.0 : p * power;
}

// exp(x²) erfc(x) of x ≥ 0.
template <class Real>
DISTBRAGG_INLINE Real scaled_erfc(Real x) {
  const Real t = Real{1} / madd(Real{0.5}, x, Real{1});
  return t * exp_poly<false>(polynomial::log_scaled_erfc(t));
}

// erf(to) − erf(from), from < to; where both lie on one side, times the exponential of the square of
// the nearer, to which that of the farther is exp(fall): they are nearly alike there.
template <class Real>
DISTBRAGG_INLINE Real erf_between(Real from, Real to, Real fall) {
  const bool before = from > Real{0}, beside = before || to < Real{0};
  const Real low = before ? from : -to, high = before ? to : -from;
  const Real one = beside ? low : std::fabs(from), other = beside ? high : std::fabs(to);
  const Real share1 = scaled_erfc(one) * (beside ? Real{1} : exp_poly<true>(-(one * one)));
  const Real share2 = scaled_erfc(other) * exp_poly<true>(beside ? fall : -(other * other));
  if constexpr (sizeof(Real) == sizeof(double)) {
    const auto within = [](double x, double beyond) __attribute__((always_inline)) {
      const double square = x * x;
      return square < 0.5 ? x * polynomial::erf_near(square) : 1.0 - beyond;
    };
    return beside ? share1 - share2 : within(one, share1) + within(other, share2);
  }
  return beside ? share1 - share2 : Real{2} - share1 - share2;
}

// ln x of a normal x > 0.
DISTBRAGG_INLINE double log_poly(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // The exponent is taken from where the mantissa passes √½, so that ln 1 has no cancellation.
  const std::uint64_t half_root = 0x3FE6A09E667F3BCDull;
  const std::int64_t away = static_cast<std::int64_t>(bits - half_root);
  const std::int64_t exponent = away >> 52;
  bits -= static_cast<std::uint64_t>(exponent) << 52;
  double mantissa;
  std::memcpy(&mantissa, &bits, sizeof mantissa);
  const double z = (mantissa - 1.0) / (mantissa + 1.0), u = z * z;
  double series = 1.0 / 17.0;
  series = madd(series, u, 1.0 / 15.0);
  series = madd(series, u, 1.0 / 13.0);
  series = madd(series, u, 1.0 / 11.0);
  series = madd(series, u, 1.0 / 9.0);
  series = madd(series, u, 1.0 / 7.0);
  series = madd(series, u, 1.0 / 5.0);
  series = madd(series, u, 1.0 / 3.0);
  series = madd(series, u, 1.0);
  return madd(static_cast<double>(exponent), 0.69314718055994530942, 2.0 * z * series);
}

}  // namespace distbragg
