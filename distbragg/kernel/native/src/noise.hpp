// Photon noise, a block of pixels at a time: of each the same IEEE operations in the same order as
// `distbragg/kernel/noise.py`, so the same counts, bit for bit. No multiply-add is fused here, but
// for a quotient that comes out the same. Loops run over whole vectors; every way through them
// gives a pixel the same count, as it depends on nothing but its mean and its number.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "generated.hpp"
#include "words.hpp"

namespace distbragg {
namespace noise {

constexpr double kSmallMean = 10.0, kNormalMean = 1.0e6;
constexpr int kMostSteps = 200;      // of the inversion
constexpr double kTabulated = 16.0;  // ln(k!) is looked up below it
constexpr double kHalfLog2Pi = 0.9189385332046727;

constexpr int kDrawn = 256;  // pixels of a block
constexpr int kStrip = 32;   // of them, those that are inverted together
constexpr int kAtOnce = 4;   // steps of the inversion between two looks at how far pixels are
static_assert(kDrawn % kStrip == 0 && kStrip % kWords == 0 && kMostSteps % kAtOnce == 0, "");

template <int kCount>
DISTBRAGG_INLINE double horner(double x, const double (&coefficients)[kCount]) {
  double total = x * coefficients[kCount - 1];
  for (int i = kCount - 2; i > 0; --i) total = (total + coefficients[i]) * x;
  return total + coefficients[0];
}

DISTBRAGG_INLINE double from_bits(std::int64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

DISTBRAGG_INLINE std::int64_t to_bits(double value) {
  std::int64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// A whole number below 2⁵². Not every level has vectors of conversions from 64 bits.
DISTBRAGG_INLINE double real_of(std::int64_t whole) {
  return from_bits(whole | to_bits(0x1p52)) - 0x1p52;
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

// value / step, rounded as a division is, without one: step · quotient is exact but for some bits
// that a fused multiply-add keeps, and no quotient by a number as small lies as near to the middle
// between two doubles as the correction is inexact.
DISTBRAGG_INLINE double quotient(double value, double step, double inverse) {
#if defined(__FP_FAST_FMA) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  const double about = value * inverse;
  return madd(madd(-about, step, value), inverse, about);
#else
  (void)inverse;
  return value / step;
#endif
}

// Philox4x32-10 on (pixel, frame, draw) under the seed.
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint64_t frame)
      : seed_low_(static_cast<std::uint32_t>(seed)),
        seed_high_(static_cast<std::uint32_t>(seed >> 32)),
        frame_low_(frame & 0xFFFFFFFFu), frame_high_((frame >> 32) << 16) {}

  // Two deviates in (0, 1), of 53 bits, for each of `count` pixels, a multiple of kWords; the
  // second is left out where it has no place.
  void fill(const std::int64_t* pixels, int count, std::uint32_t draw, double* first,
            double* second) const {
    for (int i = 0; i < count; i += kWords) {
      Words a, b, c, d;
      std::memcpy(&a, pixels + i, sizeof a);
      mix(draw, a, b, c, d);
      to_unit(a, b, first + i);
      if (second != nullptr) to_unit(c, d, second + i);
    }
  }

  // Four deviates in (0, 1), of 32 bits, for each of `count` blocks from number `first` on, a
  // multiple of kWords.
  void words(std::int64_t first, int count, std::uint32_t draw, double* one, double* two,
             double* three, double* four) const {
    std::int64_t numbers[kWords];
    for (int i = 0; i < count; i += kWords) {
      for (int n = 0; n < kWords; ++n) numbers[n] = first + i + n;
      Words a, b, c, d;
      std::memcpy(&a, numbers, sizeof a);
      mix(draw, a, b, c, d);
      to_unit(a, one + i);
      to_unit(b, two + i);
      to_unit(c, three + i);
      to_unit(d, four + i);
    }
  }

 private:
  // Takes the numbers of pixels or blocks in `a`; the upper halves of the words are never looked
  // at.
  DISTBRAGG_INLINE void mix(std::uint32_t draw, Words& a, Words& b, Words& c, Words& d) const {
    b = (a >> 32) | frame_high_;
    c = Words{} + frame_low_;
    d = Words{} + std::uint64_t{draw};
    std::uint32_t low = seed_low_, high = seed_high_;
    for (int round = 0; round < 10; ++round) {
      const Words left = lower_times(a, 0xD2511F53u), right = lower_times(c, 0xCD9E8D57u);
      a = (right >> 32) ^ b ^ std::uint64_t{low};
      b = right;
      c = (left >> 32) ^ d ^ std::uint64_t{high};
      d = left;
      low += 0x9E3779B9u;
      high += 0xBB67AE85u;
    }
  }

  static DISTBRAGG_INLINE void to_unit(Words word, double* unit) {
    std::int64_t whole[kWords];
    word &= 0xFFFFFFFFu;
    std::memcpy(whole, &word, sizeof whole);
#pragma omp simd
    for (int i = 0; i < kWords; ++i) unit[i] = (real_of(whole[i]) + 0.5) * 0x1p-32;
  }

  static DISTBRAGG_INLINE void to_unit(Words high, Words low, double* unit) {
    std::int64_t upper[kWords], lower[kWords];
    high &= 0xFFFFFFFFu;
    low = (low & 0xFFFFFFFFu) >> 11;
    std::memcpy(upper, &high, sizeof upper);
    std::memcpy(lower, &low, sizeof lower);
#pragma omp simd
    for (int i = 0; i < kWords; ++i) {
      unit[i] = (real_of(upper[i]) * 0x1p21 + real_of(lower[i]) + 0.5) * 0x1p-53;
    }
  }

  std::uint32_t seed_low_, seed_high_;
  std::uint64_t frame_low_, frame_high_;
};

// Pixels on their way from means to counts.
struct alignas(64) Block {
  double mean[kDrawn];
  std::int64_t pixel[kDrawn];  // number within the frame
  double count[kDrawn];        // spare lanes behind the last pixel are written too
};

class Counts {
 public:
  // `factorials` holds ln(k!) of k < 16.
  Counts(std::uint64_t seed, std::uint64_t frame, const double* factorials)
      : stream_(seed, frame), factorials_(factorials) {}

  // Draws the counts of `count` pixels.
  void draw(Block& block, int count) const {
    const int lanes = (count + kStrip - 1) / kStrip * kStrip;
    std::fill(block.mean + count, block.mean + lanes, 0.0);
    std::fill(block.pixel + count, block.pixel + lanes, 0);
    bool small = true;
    for (int i = 0; i < lanes; i += kStrip) small = by_inversion(block, i) && small;
    if (small) return;
    std::int32_t middle[kDrawn], large[kDrawn];
    int middles = 0, larges = 0;
    for (int i = 0; i < count; ++i) {
      const double mean = block.mean[i];
      if (mean >= kSmallMean && mean <= kNormalMean) middle[middles++] = i;
      if (mean > kNormalMean) large[larges++] = i;
    }
    by_rejection(block, middle, middles);
    by_normal(block, large, larges);
  }

 private:
  // Some pixels of a block, side by side: candidates for their counts, and what decides on them.
  struct alignas(64) Proposals {
    double mean[kDrawn], first[kDrawn], second[kDrawn];
    double candidate[kDrawn], tail[kDrawn];
    double verdict[kDrawn];  // above 0: accepted; below: refused; 0: not known yet
    std::int64_t pixel[kDrawn] = {};

    // Takes the pixels that `open` lists, and draws for them.
    void take(const Block& block, const std::int32_t* open, int count, const Stream& stream,
              std::uint32_t draw) {
      for (int i = 0; i < count; ++i) {
        mean[i] = block.mean[open[i]];
        pixel[i] = block.pixel[open[i]];
      }
      stream.fill(pixel, (count + kWords - 1) / kWords * kWords, draw, first, second);
    }
  };

  // The smallest k whose cumulative probability reaches one uniform deviate; 0 of pixels whose mean
  // is not small. Whether that is so of none.
  bool by_inversion(Block& block, int first) const {
    alignas(64) double mean[kStrip], rest[kStrip], probability[kStrip], found[kStrip];
    std::int64_t large = 0;
#pragma omp simd reduction(+ : large)
    for (int i = 0; i < kStrip; ++i) {
      const double given = block.mean[first + i];
      large += given >= kSmallMean ? 1 : 0;
      mean[i] = given > 0.0 && given < kSmallMean ? given : 0.0;
      found[i] = 0.0;
    }
    if (large < kStrip) {
      stream_.fill(block.pixel + first, kStrip, 0, rest, nullptr);
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) probability[i] = exp_small(-mean[i]);
      bool open = true;
      for (int step = 1; open && step <= kMostSteps; step += kAtOnce) {
        open = invert(static_cast<double>(step), mean, rest, probability, found);
      }
    }
    std::copy(found, found + kStrip, block.count + first);
    return large == 0;
  }

  // Some steps of all pixels of a strip; whether any took the last. What is left of the deviate of
  // a pixel that is done is made negative, so that it takes no other.
  static DISTBRAGG_INLINE bool invert(double step, const double* mean, double* rest,
                                      double* probability, double* found) {
    double whole[kAtOnce], inverse[kAtOnce];
    for (int n = 0; n < kAtOnce; ++n) whole[n] = step + n, inverse[n] = 1.0 / whole[n];
    double most = -1.0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < kStrip; ++i) {
      double left = rest[i], next = probability[i], count = found[i];
      for (int n = 0; n < kAtOnce; ++n) {
        const bool beyond = left > next;
        left = beyond ? left - next : -1.0;
        next = quotient(next * mean[i], whole[n], inverse[n]);
        count += beyond ? 1.0 : 0.0;
      }
      rest[i] = left;
      probability[i] = next;
      found[i] = count;
      most = std::max(most, left);
    }
    return most >= 0.0;
  }

  // PTRS: transformed rejection with squeeze, for means from 10. `open` lists the pixels.
  void by_rejection(Block& block, std::int32_t* open, int count) const {
    if (count == 0) return;
    Proposals p;
    std::int32_t unsure[kDrawn];  // pixels
    for (std::uint32_t draw = 0; count > 0; ++draw) {
      p.take(block, open, count, stream_, draw);
      propose(p, count);
      int refused = 0, doubts = 0;
      for (int i = 0; i < count; ++i) {
        const std::int32_t lane = open[i];
        if (p.verdict[i] > 0.0) block.count[lane] = p.candidate[i];
        if (p.verdict[i] < 0.0) open[refused++] = lane;
        if (p.verdict[i] != 0.0) continue;
        p.mean[doubts] = p.mean[i];
        p.candidate[doubts] = p.candidate[i];
        p.tail[doubts] = p.tail[i];
        p.second[doubts] = p.second[i];
        unsure[doubts++] = lane;
      }
      weigh(p, doubts);
      for (int i = 0; i < doubts; ++i) {
        if (p.verdict[i] > 0.0) block.count[unsure[i]] = p.candidate[i];
        if (p.verdict[i] < 0.0) open[refused++] = unsure[i];
      }
      count = refused;
    }
  }

  struct Shape {
    double spread, shape;
    explicit DISTBRAGG_INLINE Shape(double mean)
        : spread(std::sqrt(mean) * 2.53 + 0.931), shape(spread * 0.02483 - 0.059) {}
  };

  static void propose(Proposals& p, int count) {
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Shape s(p.mean[i]);
      const double squeeze = 0.9277 - (1.0 / (s.spread - 2.0)) * 3.6224;
      const double second = p.second[i];
      const double offset = p.first[i] - 0.5, tail = 0.5 - std::fabs(offset);
      const double candidate =
          std::floor((2.0 * s.shape / tail + s.spread) * offset + p.mean[i] + 0.43);
      const bool refused = (candidate < 0.0) | ((tail < 0.013) & (second > tail));
      const bool quick = (tail >= 0.07) & (second <= squeeze);
      p.verdict[i] = quick ? 1.0 : (refused ? -1.0 : 0.0);
      p.candidate[i] = candidate;
      p.tail[i] = tail;
    }
  }

  // Decides by the probability itself.
  void weigh(Proposals& p, int count) const {
    const double* factorials = factorials_;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Shape s(p.mean[i]);
      const double height = (1.0 / (s.spread - 3.4)) * 1.1328 + 1.1239;
      const double tail = p.tail[i], candidate = p.candidate[i];
      const double left = log_normal(p.second[i] * height / (s.shape / (tail * tail) + s.spread));
      const double right = candidate * log_normal(p.mean[i]) - p.mean[i] -
                           log_factorial(candidate, factorials);
      p.verdict[i] = left <= right ? 1.0 : -1.0;
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

  // Mean plus √mean times a normal deviate, rounded to a whole number.
  void by_normal(Block& block, const std::int32_t* open, int count) const {
    if (count == 0) return;
    Proposals p;
    p.take(block, open, count, stream_, 0);
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const double turn = cosine((p.second[i] - 0.5) * (2.0 * kPi));
      const double deviate = std::sqrt(log_normal(p.first[i]) * -2.0) * turn;
      const double found = std::floor(p.mean[i] + std::sqrt(p.mean[i]) * deviate + 0.5);
      p.candidate[i] = found < 0.0 ? 0.0 : found;
    }
    for (int i = 0; i < count; ++i) block.count[open[i]] = p.candidate[i];
  }

  Stream stream_;
  const double* factorials_;
};

}  // namespace noise
}  // namespace distbragg
