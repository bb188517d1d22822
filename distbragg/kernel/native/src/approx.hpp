// Elementary functions as plain polynomials. Every lane of a vector loop runs exactly these
// operations, so a pixel has the same bits wherever it lies in a block; vendor vector maths
// gives no such promise. Fused multiply-adds are written out and the compiler's own
// contraction is off, so the bits follow from this text alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define DISTBRAGG_INLINE inline __attribute__((always_inline))

namespace distbragg {

#if defined(__FP_FAST_FMA) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
DISTBRAGG_INLINE double madd(double a, double b, double c) { return __builtin_fma(a, b, c); }
DISTBRAGG_INLINE float madd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
DISTBRAGG_INLINE double madd(double a, double b, double c) { return a * b + c; }
DISTBRAGG_INLINE float madd(float a, float b, float c) { return a * b + c; }
#endif

// sin(πx) for |x| ≤ ½: x·P(x²), P near-minimax in the relative error
// (float: 7e-9 before rounding, double: 3e-19).
DISTBRAGG_INLINE float sin_pi(float x) {
  const float u = x * x;
  float p = 0.077655912276013869f;
  p = madd(p, u, -0.59829041128342753f);
  p = madd(p, u, 2.5500773865289119f);
  p = madd(p, u, -5.1677100766683144f);
  p = madd(p, u, 3.1415926400772033f);
  return x * p;
}

DISTBRAGG_INLINE double sin_pi(double x) {
  const double u = x * x;
  double p = 7.6978267682241906454e-7;
  p = madd(p, u, -0.000021903497074626017191);
  p = madd(p, u, 0.00046629981618983938014);
  p = madd(p, u, -0.0073704305059169434047);
  p = madd(p, u, 0.08214588657310289502);
  p = madd(p, u, -0.59926452931894468132);
  p = madd(p, u, 2.5501640398773004745);
  p = madd(p, u, -5.1677127800499696077);
  p = madd(p, u, 3.1415926535897932378);
  return x * p;
}

// Sine and cosine of an angle in radians, absolute error 1e-15 for |angle| ≤ 10.
DISTBRAGG_INLINE void sine_cosine(double angle, double& sine, double& cosine) {
  const double inverse = 0.31830988618379067154;
  const double half_turns = std::nearbyint(angle * inverse);
  double rest = madd(half_turns, -3.141592653589793116, angle);
  rest = madd(half_turns, -1.2246467991473532072e-16, rest) * inverse;
  rest = rest < -0.5 ? -0.5 : (rest > 0.5 ? 0.5 : rest);
  const bool odd = std::nearbyint(half_turns * 0.5) * 2.0 != half_turns;
  const double sign = odd ? -1.0 : 1.0;
  sine = sign * sin_pi(rest);
  cosine = sign * sin_pi(0.5 - std::fabs(rest));
}

// ROUND spots: (3 (sin x / x − cos x) / x²)² at x = π√v, v ≥ 0. With t = √v and r what is left of
// it when whole turns are taken off this is (r S(r²) − t C(r²))² / v³, where
//   S(u) = 3/π² sin(πr)/(πr),  C(u) = 3/π² cos(πr),  u = r² ≤ ¼,
// and the sign that both lose drops in the square. Each polynomial is near-minimax with its first
// coefficient held: the two are equal, so that they cancel exactly towards 0 (float: S to 6e-9,
// C to 5e-8; double: 3e-19 and 4e-18). Below kNear that cancellation costs too much, and a
// polynomial of v takes over (float: 1e-8, double: 3e-17).
template <class Real>
struct Sinc3;

template <>
struct Sinc3<float> {
  static constexpr float kNear = 0.125f;
  static DISTBRAGG_INLINE float sine(float u) {
    float p = 0.007515504326397427f;
    p = madd(p, u, -0.057889060435544885f);
    p = madd(p, u, 0.24673220157369177f);
    p = madd(p, u, -0.49999978649696603f);
    return madd(p, u, 0.30396355092701331f);
  }
  static DISTBRAGG_INLINE float cosine(float u) {
    float p = 0.066896505971496642f;
    p = madd(p, u, -0.40490798579654545f);
    p = madd(p, u, 1.2336212816652833f);
    p = madd(p, u, -1.4999979688192466f);
    return madd(p, u, 0.30396355092701331f);
  }
  static DISTBRAGG_INLINE float peak(float v) {
    float p = -0.0618115780665872554f;
    p = madd(p, v, 0.347750308135929674f);
    p = madd(p, v, -0.986956910187106379f);
    return madd(p, v, 0.999999985862375543f);
  }
};

template <>
struct Sinc3<double> {
  static constexpr double kNear = 0.25;
  static DISTBRAGG_INLINE double sine(double u) {
    double p = 7.446905189694869295583e-8;
    p = madd(p, u, -0.000002119254421062006333434);
    p = madd(p, u, 0.00004511665042667058441548);
    p = madd(p, u, -0.0007131230792379957781147);
    p = madd(p, u, 0.007947992668047235985002);
    p = madd(p, u, -0.05798160180577663569408);
    p = madd(p, u, 0.2467401100272298473722);
    p = madd(p, u, -0.499999999999999967062);
    return madd(p, u, 0.3039635509270133143316);
  }
  static DISTBRAGG_INLINE double cosine(double u) {
    double p = 0.000001261676842484575100782;
    p = madd(p, u, -0.00003178480211809209128329);
    p = madd(p, u, 0.0005865149421159413164655);
    p = madd(p, u, -0.007844353577086156261063);
    p = madd(p, u, 0.07153193398106675294137);
    p = madd(p, u, -0.4058712126386600310853);
    p = madd(p, u, 1.233700550136101806053);
    p = madd(p, u, -1.499999999999999475726);
    return madd(p, u, 0.3039635509270133143316);
  }
  static DISTBRAGG_INLINE double peak(double v) {
    double p = 3.880900095571775749e-8;
    p = madd(p, v, -1.230496424376872502e-6);
    p = madd(p, v, 0.000029685622389628163304);
    p = madd(p, v, -0.00054140329583305653092);
    p = madd(p, v, 0.0071312312212638312611);
    p = madd(p, v, -0.063583941373943875465);
    p = madd(p, v, 0.34788961083572094057);
    p = madd(p, v, -0.98696044010893584267);
    return madd(p, v, 1.0);
  }
};

template <class Real>
DISTBRAGG_INLINE Real sinc3_squared(Real v) {
  using Part = Sinc3<Real>;
  const Real turns = std::sqrt(v);
  const Real rest = turns - std::nearbyint(turns);
  const Real u = rest * rest;
  // At v = 0 this is zero by zero, and not taken.
  const Real wave = madd(rest, Part::sine(u), -(turns * Part::cosine(u)));
  const Real far = (wave * wave) / (v * v * v);
  const Real near = Part::peak(v);
  return v > Part::kNear ? far : near * near;
}

// Arguments below these limits give exactly 0: the result would be below the smallest normal
// number. Block skipping relies on the same limits.
template <class Real>
struct ExpLimit;
template <>
struct ExpLimit<float> {
  static constexpr float kLowest = -87.0f;
};
template <>
struct ExpLimit<double> {
  static constexpr double kLowest = -708.0;
};

// exp(x) for x ≤ 88 (float): 2^n · e^r, |r| ≤ ln2/2, polynomial error 2e-9.
DISTBRAGG_INLINE float exp_poly(float x) {
  const float lowest = ExpLimit<float>::kLowest;
  const float y = x < lowest ? lowest : (x > 88.0f ? 88.0f : x);
  const float n = std::nearbyint(y * 1.44269504088896341f);
  float r = madd(n, -0.693359375f, y);
  r = madd(n, 2.12194440e-4f, r);
  float p = 0.0013941108433972675f;
  p = madd(p, r, 0.0083751263981533357f);
  p = madd(p, r, 0.041666352896775157f);
  p = madd(p, r, 0.16666415514653275f);
  p = madd(p, r, 0.50000000471177577f);
  p = madd(p, r, 1.0000000377162138f);
  p = madd(p, r, 1.0f);
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x < lowest ? 0.0f : p * power;
}

// exp(x) for x ≤ 709 (double): polynomial error 6e-20.
DISTBRAGG_INLINE double exp_poly(double x) {
  const double lowest = ExpLimit<double>::kLowest;
  const double y = x < lowest ? lowest : (x > 709.0 ? 709.0 : x);
  // Adding 1.5·2^52 leaves the rounded integer in the low bits of the sum.
  const double shifter = 6755399441055744.0;
  const double sum = madd(y, 1.4426950408889634074, shifter);
  const double n = sum - shifter;
  double r = madd(n, -6.93147180369123816490e-01, y);
  r = madd(n, -1.90821492927058770002e-10, r);
  double p = 2.0921579964950300073e-9;
  p = madd(p, r, 2.5114869528657764941e-8);
  p = madd(p, r, 2.7557251904174912593e-7);
  p = madd(p, r, 2.7557224958392622686e-6);
  p = madd(p, r, 0.00002480158735011079562);
  p = madd(p, r, 0.00019841269909217101366);
  p = madd(p, r, 0.001388888888887188822);
  p = madd(p, r, 0.0083333333333095270794);
  p = madd(p, r, 0.041666666666666692193);
  p = madd(p, r, 0.16666666666666702412);
  p = madd(p, r, 0.49999999999999999989);
  p = madd(p, r, 0.99999999999999999847);
  p = madd(p, r, 1.0);
  std::uint64_t bits;
  std::memcpy(&bits, &sum, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return x < lowest ? 0.0 : p * power;
}

}  // namespace distbragg
