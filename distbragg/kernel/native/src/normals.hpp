// Normal deviates, a group of pixels at a time: the operations of `distbragg/kernel/philox.py`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "generated.hpp"
#include "noise.hpp"
#include "words.hpp"

namespace distbragg {
namespace noise {

constexpr int kRun = 64;           // pixels in a row whose numbers come from as many blocks
constexpr int kGroup = 4 * kRun;   // pixels that share these blocks
static_assert(kRun % kWords == 0 && kGroup == kDrawn, "");

class Normals {
 public:
  Normals(std::uint64_t seed, std::uint64_t frame, std::uint32_t stream)
      : stream_(seed, frame), draw_(stream) {}

  // Calls `take(at, some, deviates)` for `count` pixels from number `first` on, a part of them at a
  // time; `at` counts from the first.
  template <class Take>
  DISTBRAGG_INLINE void each(std::int64_t first, std::int64_t count, Take take) const {
    alignas(64) double drawn[kGroup];
    const std::int64_t stop = first + count;
    for (std::int64_t pixel = first; pixel < stop;) {
      const std::int64_t group = pixel / kGroup, skip = pixel - group * kGroup;
      const int some = static_cast<int>(std::min<std::int64_t>(kGroup - skip, stop - pixel));
      fill(group, drawn);
      take(pixel - first, some, drawn + skip);
      pixel += some;
    }
  }

 private:
  // All deviates of a group.
  void fill(std::int64_t group, double* drawn) const {
    alignas(64) double words[4][kRun];
    stream_.words(group * kRun, kRun, draw_, words[0], words[1], words[2], words[3]);
    pair(words[0], words[1], drawn, drawn + kRun);
    pair(words[2], words[3], drawn + 2 * kRun, drawn + 3 * kRun);
  }

  // Box and Muller, of words as deviates in (0, 1).
  static void pair(const double* unit, const double* other, double* first, double* second) {
#pragma omp simd
    for (int i = 0; i < kRun; ++i) {
      const double length = std::sqrt(log_normal(unit[i]) * -2.0);
      const double half_turns = other[i] * 2.0 - 1.0, size = std::fabs(half_turns);
      const double across = sine(0.5 - std::fabs(size - 0.5));
      first[i] = length * sine(0.5 - size);
      second[i] = length * (half_turns < 0.0 ? -across : across);
    }
  }

  // sin(πt) of |t| ≤ 1/2.
  static DISTBRAGG_INLINE double sine(double turns) {
    return horner(turns * turns, kNoiseSinPi) * turns;
  }

  Stream stream_;
  std::uint32_t draw_;
};

}  // namespace noise
}  // namespace distbragg
