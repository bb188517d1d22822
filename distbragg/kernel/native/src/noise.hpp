// Photon noise, one pixel at a time: the same IEEE operations in the same order as
// `distbragg/kernel/noise.py`, so the same counts, bit for bit. No multiply-add is fused here.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "generated.hpp"

namespace distbragg {
namespace noise {

constexpr double kSmallMean = 10.0, kNormalMean = 1.0e6;
constexpr int kMostSteps = 200;      // of the inversion
constexpr double kTabulated = 16.0;  // ln(k!) is looked up below it
constexpr double kHalfLog2Pi = 0.9189385332046727;

template <int kCount>
double horner(double x, const double (&coefficients)[kCount]) {
  double total = x * coefficients[kCount - 1];
  for (int i = kCount - 2; i > 0; --i) total = (total + coefficients[i]) * x;
  return total + coefficients[0];
}

inline double from_bits(std::int64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline std::int64_t to_bits(double value) {
  std::int64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// e**x for −708 ≤ x ≤ 0.
inline double exp_small(double x) {
  const double whole = std::nearbyint(x * kLog2E);
  const double rest = (x + whole * kLn2High<double>) + whole * kLn2Low<double>;
  const double scale = from_bits((static_cast<std::int64_t>(whole - 1.0) + 1023) << 52);
  return horner(rest, kNoiseExp) * scale * 2.0;
}

inline double log_normal(double x) {
  const std::int64_t bits = to_bits(x), fraction_bits = (std::int64_t{1} << 52) - 1;
  const std::int64_t exponent = (bits >> 52) - 1023;
  double mantissa = from_bits((bits & fraction_bits) | (std::int64_t{1023} << 52));
  const bool large = mantissa > 1.4142135623730951;
  if (large) mantissa *= 0.5;
  const double whole = static_cast<double>(exponent) + (large ? 1.0 : 0.0);
  const double ratio = (mantissa - 1.0) / (mantissa + 1.0);
  const double fraction = horner(ratio * ratio, kNoiseLog) * ratio;
  return (fraction - whole * kLn2Low<double>) - whole * kLn2High<double>;
}

inline double cosine(double angle) {
  const double half_turns = std::nearbyint(angle * (1.0 / kPi));
  double rest = ((angle - half_turns * kPi) - half_turns * kPiLow) * (1.0 / kPi);
  const double odd = half_turns - 2.0 * std::floor(half_turns * 0.5);
  const double sign = 1.0 - 2.0 * odd;
  rest = rest < -0.5 ? -0.5 : rest > 0.5 ? 0.5 : rest;
  const double turns = 0.5 - std::fabs(rest);
  return horner(turns * turns, kNoiseSinPi) * turns * sign;
}

struct Uniforms {
  double first, second;  // in (0, 1), 53 bits
};

// Philox4x32-10 on (pixel, frame, draw) under the seed.
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint64_t frame)
      : seed_low_(static_cast<std::uint32_t>(seed)),
        seed_high_(static_cast<std::uint32_t>(seed >> 32)),
        frame_low_(static_cast<std::uint32_t>(frame)),
        frame_high_((frame >> 32) << 16) {}

  Uniforms operator()(std::int64_t pixel, std::uint32_t draw) const {
    const auto place = static_cast<std::uint64_t>(pixel);
    std::uint32_t a = static_cast<std::uint32_t>(place), c = frame_low_, d = draw;
    std::uint32_t b = static_cast<std::uint32_t>((place >> 32) | frame_high_);
    std::uint32_t key_low = seed_low_, key_high = seed_high_;
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t left = std::uint64_t{a} * 0xD2511F53u;
      const std::uint64_t right = std::uint64_t{c} * 0xCD9E8D57u;
      a = static_cast<std::uint32_t>(right >> 32) ^ b ^ key_low;
      b = static_cast<std::uint32_t>(right);
      c = static_cast<std::uint32_t>(left >> 32) ^ d ^ key_high;
      d = static_cast<std::uint32_t>(left);
      key_low += 0x9E3779B9u;
      key_high += 0xBB67AE85u;
    }
    return {unit(a, b), unit(c, d)};
  }

 private:
  static double unit(std::uint32_t high, std::uint32_t low) {
    const std::int64_t whole = (std::int64_t{high} << 21) | (low >> 11);
    return (static_cast<double>(whole) + 0.5) * 0x1p-53;
  }

  std::uint32_t seed_low_, seed_high_, frame_low_;
  std::uint64_t frame_high_;
};

// The smallest k whose cumulative probability reaches one uniform deviate.
inline double by_inversion(double mean, std::int64_t pixel, const Stream& stream) {
  double rest = stream(pixel, 0).first;
  double probability = exp_small(-mean);
  int step = 0;
  while (rest > probability && step < kMostSteps) {
    ++step;
    rest -= probability;
    probability = probability * mean / static_cast<double>(step);
  }
  return static_cast<double>(step);
}

inline double log_factorial(double count, const double* table) {
  if (count < kTabulated) return table[static_cast<int>(count)];
  const double inverse = 1.0 / count, square = inverse * inverse;
  const double series =
      (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) * inverse;
  return (count + 0.5) * log_normal(count) - count + kHalfLog2Pi + series;
}

// PTRS: transformed rejection with squeeze, for means from 10.
inline double by_rejection(double mean, std::int64_t pixel, const Stream& stream,
                           const double* table) {
  const double spread = std::sqrt(mean) * 2.53 + 0.931;
  const double shape = spread * 0.02483 - 0.059;
  const double squeeze = 0.9277 - (1.0 / (spread - 2.0)) * 3.6224;
  for (std::uint32_t draw = 0;; ++draw) {
    const Uniforms u = stream(pixel, draw);
    const double offset = u.first - 0.5, tail = 0.5 - std::fabs(offset);
    const double candidate =
        std::floor((2.0 * shape / tail + spread) * offset + mean + 0.43);
    if (tail >= 0.07 && u.second <= squeeze) return candidate;
    if (candidate < 0.0 || (tail < 0.013 && u.second > tail)) continue;
    const double height = (1.0 / (spread - 3.4)) * 1.1328 + 1.1239;
    const double left = log_normal(u.second * height / (shape / (tail * tail) + spread));
    const double right = candidate * log_normal(mean) - mean - log_factorial(candidate, table);
    if (left <= right) return candidate;
  }
}

// Mean plus √mean times a normal deviate, rounded to a whole number.
inline double by_normal(double mean, std::int64_t pixel, const Stream& stream) {
  const Uniforms u = stream(pixel, 0);
  const double deviate =
      std::sqrt(log_normal(u.first) * -2.0) * cosine((u.second - 0.5) * (2.0 * kPi));
  const double count = std::floor(mean + std::sqrt(mean) * deviate + 0.5);
  return count < 0.0 ? 0.0 : count;
}

inline double count_of(double mean, std::int64_t pixel, const Stream& stream,
                       const double* table) {
  if (mean > kNormalMean) return by_normal(mean, pixel, stream);
  if (mean >= kSmallMean) return by_rejection(mean, pixel, stream, table);
  return mean > 0.0 ? by_inversion(mean, pixel, stream) : 0.0;
}

}  // namespace noise
}  // namespace distbragg
