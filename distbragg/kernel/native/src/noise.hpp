// Photon noise, a block of pixels at a time: of each the same IEEE operations in the same order as
// `distbragg/kernel/noise.py`, no multiply-add fused, or single precision where its error cannot
// change the count; so the same counts, bit for bit. Loops run over whole vectors; every way through
// them gives a pixel the same count, as it depends on nothing but its mean and its number.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "approx.hpp"
#include "generated.hpp"
#include "philox.hpp"

namespace distbragg {
namespace noise {

constexpr double kSmallMean = 10.0, kNormalMean = 1.0e6;
constexpr int kMostSteps = 200;      // of the inversion
constexpr double kTabulated = 16.0;  // ln(k!) is looked up below it
constexpr double kHalfLog2Pi = 0.9189385332046727;

constexpr int kDrawn = 256;  // pixels of a block
constexpr int kStrip = 32;   // of them, those that are inverted together
constexpr int kHeld = 1024;  // pixels that wait at most
constexpr int kAtOnce = 4;   // steps of the inversion between two looks at how far pixels are
static_assert(kHeld % kDrawn == 0 && kDrawn % kStrip == 0 && kStrip == 32, "");
static_assert(kMostSteps % kAtOnce == 0, "");

// In as many steps single precision compares a deviate with a cumulative probability to 4.3e-6, for
// means below 10. Of its roundings, 2⁻²⁴ each, e**mean has 16 at most; the terms 2 for each step, so
// 20 as many as they weigh; the sum 1 for each step; and the rest 4.
constexpr int kSingleSteps = 32;
constexpr float kUnsure = 5e-6f;
static_assert(kSingleSteps % kAtOnce == 0, "");

struct InverseFactorials {
  float of[kSingleSteps + 1] = {1.0f};
  constexpr InverseFactorials() {
    double value = 1.0;
    for (int k = 1; k <= kSingleSteps; ++k) of[k] = static_cast<float>(value /= k);
  }
};

template <int kCount>
DISTBRAGG_INLINE double horner(double x, const double (&coefficients)[kCount]) {
  double total = x * coefficients[kCount - 1];
  for (int i = kCount - 2; i > 0; --i) total = (total + coefficients[i]) * x;
  return total + coefficients[0];
}

// e**x for −708 ≤ x ≤ 0.
DISTBRAGG_INLINE double exp_small(double x) {
  const double whole = std::nearbyint(x * kLog2E);
  const double rest = (x + whole * kLn2High<double>) + whole * kLn2Low<double>;
  // The lowest bits of 2⁵² + 2⁵¹ + n are those of n.
  const double scale = from_bits((to_bits(whole + 0x1.8p52) + 1022) << 52);
  return horner(rest, kNoiseExp) * scale * 2.0;
}

DISTBRAGG_INLINE double log_normal(double x) {
  const std::int64_t bits = to_bits(x), fraction_bits = (std::int64_t{1} << 52) - 1;
  const double exponent = real_of(bits >> 52) - 1023.0;
  const double from_one = from_bits((bits & fraction_bits) | (std::int64_t{1023} << 52));
  const bool large = from_one > 1.4142135623730951;
  const double mantissa = large ? from_one * 0.5 : from_one;
  const double whole = exponent + (large ? 1.0 : 0.0);
  const double ratio = (mantissa - 1.0) / (mantissa + 1.0);
  const double fraction = horner(ratio * ratio, kNoiseLog) * ratio;
  return (fraction - whole * kLn2Low<double>) - whole * kLn2High<double>;
}

DISTBRAGG_INLINE double cosine(double angle) {
  const double half_turns = std::nearbyint(angle * (1.0 / kPi));
  double rest = ((angle - half_turns * kPi) - half_turns * kPiLow) * (1.0 / kPi);
  const double odd = half_turns - 2.0 * std::floor(half_turns * 0.5);
  const double sign = 1.0 - 2.0 * odd;
  rest = rest < -0.5 ? -0.5 : rest > 0.5 ? 0.5 : rest;
  const double turns = 0.5 - std::fabs(rest);
  return horner(turns * turns, kNoiseSinPi) * turns * sign;
}

// Pixels on their way from means to counts.
struct alignas(64) Block {
  double mean[kDrawn];
  std::int64_t pixel[kDrawn];  // number within the frame
  float count[kDrawn];         // spare lanes behind the last pixel are written too
};

// Pixels whose means are not small, until there are enough of them for whole vectors.
struct alignas(64) Waiting {
  double mean[kHeld] = {};
  std::int64_t pixel[kHeld] = {}, place[kHeld] = {};
  int count = 0;
};

class Counts {
 public:
  // `factorials` holds ln(k!) of k < 16.
  Counts(std::uint64_t seed, std::uint64_t frame, const double* factorials)
      : stream_(seed, frame), factorials_(factorials) {}

  // Draws the counts of those of `count` pixels whose means are small. The others get 0, and wait;
  // place(i) tells where the count of a pixel of the block belongs.
  template <class Place>
  void draw(Block& block, int count, Place place, Waiting& waiting) const {
    const int lanes = (count + kStrip - 1) / kStrip * kStrip;
    for (int i = count; i < lanes; ++i) block.mean[i] = 0.0, block.pixel[i] = 0;
    alignas(64) std::uint32_t words[kDrawn];
    stream_.upper(block.pixel, lanes, 0, words);
    int held = waiting.count;
    for (int first = 0; first < count; first += kStrip) {
      for (std::uint32_t large = by_inversion(block, words, first); large != 0; large &= large - 1) {
        const int i = first + __builtin_ctz(large);
        waiting.mean[held] = block.mean[i];
        waiting.pixel[held] = block.pixel[i];
        waiting.place[held++] = place(i);
      }
    }
    waiting.count = held;
  }

  // Whether those that wait are to be finished before another block is drawn.
  static bool full(const Waiting& waiting) { return waiting.count > kHeld - kDrawn; }

  // Draws the counts of all that wait, and calls take(places, counts, some) for a part of them at a
  // time. A place may come several times; the last count is the right one.
  template <class Take>
  void finish(Waiting& waiting, Take take) const {
    if (waiting.count == 0) return;
    Proposals p;
    for (std::uint32_t draw = 0; waiting.count > 0; ++draw) {
      int refused = 0;
      for (int first = 0; first < waiting.count; first += kDrawn) {
        const int some = std::min(kDrawn, waiting.count - first);
        propose(p, waiting.mean + first, waiting.pixel + first, some, draw);
        take(waiting.place + first, p.candidate, some);
        for (int i = 0; i < some; ++i) {
          waiting.mean[refused] = waiting.mean[first + i];
          waiting.pixel[refused] = waiting.pixel[first + i];
          waiting.place[refused] = waiting.place[first + i];
          refused += p.verdict[i] < 0.0 ? 1 : 0;
        }
      }
      waiting.count = refused;
    }
  }

 private:
  // Candidates for the counts of some pixels, side by side, and what decides on them.
  struct alignas(64) Proposals {
    double first[kDrawn], second[kDrawn], candidate[kDrawn], tail[kDrawn];
    double verdict[kDrawn];  // above 0: accepted; below: refused; 0: not known yet
  };

  // Those on which nothing less than the probability itself decides.
  struct alignas(64) Doubts {
    double mean[kDrawn], second[kDrawn], candidate[kDrawn], tail[kDrawn], verdict[kDrawn];
    std::int32_t lane[kDrawn];
  };

  // The spare lanes of the last vectors are worked on too: two, where one has 32-bit numbers.
  static int whole_vectors(int count) {
    return (count + 2 * kWords - 1) / (2 * kWords) * (2 * kWords);
  }

  // The smallest k whose cumulative probability reaches one uniform deviate, of which `words` are
  // the upper bits; 0 of pixels whose mean is not small. Which these are, a bit for each.
  std::uint32_t by_inversion(Block& block, const std::uint32_t* words, int first) const {
    const double* given = block.mean + first;
    alignas(64) float signs[kStrip];
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) signs[i] = given[i] >= kSmallMean ? -1.0f : 0.0f;
    const std::uint32_t large = negatives(signs);
    float* found = block.count + first;
    if (large == 0xFFFFFFFFu) {
      std::fill(found, found + kStrip, 0.0f);
    } else if (!in_single(given, words + first, found)) {
      in_double(given, block.pixel + first, found);
    }
    return large;
  }

  static DISTBRAGG_INLINE double small_or_0(double mean) {
    return mean > 0.0 && mean < kSmallMean ? mean : 0.0;
  }

  // A strip in single precision: cumulative probabilities over e**-mean, so Σ meanʲ/j!, and between
  // what limits each deviate is sought.
  struct alignas(64) Strip {
    float mean[kStrip], low[kStrip], high[kStrip];
    float sum[kStrip], power[kStrip], reached[kStrip], spare[kStrip];
  };

  // False where a cumulative probability lies between the limits of a deviate: single precision does
  // not tell on which side of that it is.
  static bool in_single(const double* given, const std::uint32_t* words, float* found) {
    Strip s;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const float mean = static_cast<float>(small_or_0(given[i])), scale = exp_poly(mean);
      const float unit =
          (static_cast<float>(static_cast<std::int32_t>(words[i] >> 8)) + 0.5f) * 0x1p-24f;
      s.mean[i] = s.power[i] = mean;
      s.low[i] = (unit - kUnsure) * scale;
      s.high[i] = (unit + kUnsure) * scale;
      s.sum[i] = s.reached[i] = 1.0f;
      found[i] = 0.0f;
    }
    bool open = true;
    for (int step = 1; open; step += kAtOnce) {
      if (step > kSingleSteps) return false;
      open = sum_up(step, s, found);
    }
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) s.spare[i] = s.reached[i] - s.high[i];
    return negatives(s.spare) == 0;
  }

  // Some steps of all pixels of a strip; whether any is to take more.
  static DISTBRAGG_INLINE bool sum_up(int step, Strip& s, float* found) {
    static constexpr InverseFactorials kInverse;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const float mean = s.mean[i], low = s.low[i];
      float sum = s.sum[i], power = s.power[i], reached = s.reached[i], count = found[i];
      for (int n = 0; n < kAtOnce; ++n) {
        const bool below = sum < low;
        sum = madd(power, kInverse.of[step + n], sum);
        reached = below ? sum : reached;
        count = below ? static_cast<float>(step + n) : count;
        power *= mean;
      }
      s.sum[i] = sum;
      s.power[i] = power;
      s.reached[i] = reached;
      s.spare[i] = sum - low;
      found[i] = count;
    }
    return negatives(s.spare) != 0;
  }

  // As the tensors are drawn.
  void in_double(const double* given, const std::int64_t* pixel, float* found) const {
    alignas(64) double mean[kStrip], rest[kStrip], probability[kStrip];
    stream_.fill(pixel, kStrip, 0, rest, nullptr);
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      mean[i] = small_or_0(given[i]);
      probability[i] = exp_small(-mean[i]);
      found[i] = 0.0f;
    }
    bool open = true;
    for (int step = 1; open && step <= kMostSteps; step += kAtOnce) {
      open = invert(static_cast<double>(step), mean, rest, probability, found);
    }
  }

  // Some steps of all pixels of a strip; whether any took the last. What is left of the deviate of
  // a pixel that is done is made negative, so that it takes no other.
  static DISTBRAGG_INLINE bool invert(double step, const double* mean, double* rest,
                                      double* probability, float* found) {
    double most = -1.0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < kStrip; ++i) {
      double left = rest[i], next = probability[i];
      float count = found[i];
      for (int n = 0; n < kAtOnce; ++n) {
        const bool beyond = left > next;
        left = beyond ? left - next : -1.0;
        next = next * mean[i] / (step + n);
        count += beyond ? 1.0f : 0.0f;
      }
      rest[i] = left;
      probability[i] = next;
      found[i] = count;
      most = std::max(most, left);
    }
    return most >= 0.0;
  }

  struct Shape {
    double spread, shape;
    explicit DISTBRAGG_INLINE Shape(double mean)
        : spread(std::sqrt(mean) * 2.53 + 0.931), shape(spread * 0.02483 - 0.059) {}
  };

  // PTRS, transformed rejection with squeeze, for means from 10; of the largest a normal deviate.
  void propose(Proposals& p, const double* mean, const std::int64_t* pixel, int count,
               std::uint32_t draw) const {
    const int lanes = whole_vectors(count);
    stream_.fill(pixel, lanes, draw, p.first, p.second);
    double most = 0.0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < lanes; ++i) {
      const Shape s(mean[i]);
      const double squeeze = 0.9277 - (1.0 / (s.spread - 2.0)) * 3.6224;
      const double second = p.second[i];
      const double offset = p.first[i] - 0.5, tail = 0.5 - std::fabs(offset);
      const double candidate =
          std::floor((2.0 * s.shape / tail + s.spread) * offset + mean[i] + 0.43);
      const bool refused = (candidate < 0.0) | ((tail < 0.013) & (second > tail));
      const bool quick = (tail >= 0.07) & (second <= squeeze);
      p.verdict[i] = quick ? 1.0 : (refused ? -1.0 : 0.0);
      p.candidate[i] = candidate;
      p.tail[i] = tail;
      most = std::max(most, mean[i]);
    }
    if (most > kNormalMean) take_normals(p, mean, lanes);
    settle(p, mean, count);
  }

  // Decides on what is in doubt.
  void settle(Proposals& p, const double* mean, int count) const {
    Doubts d;
    int doubts = 0;
    for (int i = 0; i < count; ++i) {
      d.lane[doubts] = i;
      doubts += p.verdict[i] == 0.0 ? 1 : 0;
    }
    for (int n = 0; n < whole_vectors(doubts); ++n) {
      const std::int32_t lane = d.lane[std::min(n, doubts - 1)];
      d.mean[n] = mean[lane];
      d.second[n] = p.second[lane];
      d.candidate[n] = p.candidate[lane];
      d.tail[n] = p.tail[lane];
    }
    weigh(d, whole_vectors(doubts));
    for (int n = 0; n < doubts; ++n) p.verdict[d.lane[n]] = d.verdict[n];
  }

  // By the probability itself.
  void weigh(Doubts& d, int lanes) const {
    const double* factorials = factorials_;
#pragma omp simd
    for (int i = 0; i < lanes; ++i) {
      const Shape s(d.mean[i]);
      const double height = (1.0 / (s.spread - 3.4)) * 1.1328 + 1.1239;
      const double tail = d.tail[i], candidate = d.candidate[i];
      const double left = log_normal(d.second[i] * height / (s.shape / (tail * tail) + s.spread));
      const double right = candidate * log_normal(d.mean[i]) - d.mean[i] -
                           log_factorial(candidate, factorials);
      d.verdict[i] = left <= right ? 1.0 : -1.0;
    }
  }

  static DISTBRAGG_INLINE double log_factorial(double count, const double* table) {
    const double known = table[static_cast<std::int32_t>(std::min(count, kTabulated - 1.0))];
    const double large = std::max(count, kTabulated - 1.0);
    const double inverse = 1.0 / large, square = inverse * inverse;
    const double series =
        (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) *
        inverse;
    const double stirling = (large + 0.5) * log_normal(large) - large + kHalfLog2Pi + series;
    return count < kTabulated ? known : stirling;
  }

  // Mean plus √mean times a normal deviate, rounded to a whole number, where the mean is large.
  static void take_normals(Proposals& p, const double* mean, int lanes) {
#pragma omp simd
    for (int i = 0; i < lanes; ++i) {
      const double turn = cosine((p.second[i] - 0.5) * (2.0 * kPi));
      const double deviate = std::sqrt(log_normal(p.first[i]) * -2.0) * turn;
      const double found = std::floor(mean[i] + std::sqrt(mean[i]) * deviate + 0.5);
      const bool large = mean[i] > kNormalMean;
      p.candidate[i] = large ? (found < 0.0 ? 0.0 : found) : p.candidate[i];
      p.verdict[i] = large ? 1.0 : p.verdict[i];
    }
  }

  Stream stream_;
  const double* factorials_;
};

}  // namespace noise
}  // namespace distbragg
