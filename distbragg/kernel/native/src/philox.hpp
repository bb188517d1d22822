// The random numbers of pixels: `distbragg/kernel/philox.py`, whole vectors at a time.
#pragma once

#include <cstdint>
#include <cstring>

#include "madd.hpp"
#include "words.hpp"

namespace distbragg {
namespace noise {

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

  // The upper 32 bits of the first of these deviates.
  void upper(const std::int64_t* pixels, int count, std::uint32_t draw, std::uint32_t* bits) const {
    for (int i = 0; i < count; i += kWords) {
      Words a, b, c, d;
      std::memcpy(&a, pixels + i, sizeof a);
      mix(draw, a, b, c, d);
      std::uint64_t words[kWords];
      std::memcpy(words, &a, sizeof a);
#pragma omp simd
      for (int n = 0; n < kWords; ++n) bits[i + n] = static_cast<std::uint32_t>(words[n]);
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

}  // namespace noise
}  // namespace distbragg
