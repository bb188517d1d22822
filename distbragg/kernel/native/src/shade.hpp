// What the lanes of a vector see of a spot, by what its polynomials are there.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "approx.hpp"
#include "cubics.hpp"
#include "neighbours.hpp"
#include "spot.hpp"

namespace distbragg::closed {

constexpr int kWide = 16;              // lanes of a vector
static_assert(kWide == kNeighbours && kWide == Cubics::kWide);

// 2^x for −126 ≤ x ≤ 126, to 2.6e-6: fitted with the least greatest error, and summed in pairs, which
// waits less than one after another.
DISTBRAGG_INLINE float exp2_in_pairs(float x) {
  const float n = std::nearbyint(x), u = x - n, square = u * u;
  const float low = madd(0.693121815f, u, 0.999999261f);
  const float high = madd(0.00957010188f, square, madd(0.0559178618f, u, 0.240247448f));
  return times_power_of_2(madd(high, square, low), n);
}

// Bounds that the compiler is not to know: by constants it compares and selects, which takes far
// longer than the instruction for the larger of two.
struct Bounds {
  float lowest = -125.0f;  // of a logarithm: what is fainter is nothing
  float first = 0.0f, last;       // of places in a table
  explicit Bounds(float end) : last(end) {
    __asm__("" : "+m"(lowest), "+m"(first));
  }
};

// exp(top) (erf(to) − erf(from)), from < to.
DISTBRAGG_INLINE float passage(float top, float from, float to) {
  const bool before = from > 0.0f, beside = before || to < 0.0f;
  const float low = before ? from : -to, high = before ? to : -from;
  const float near = low * low, far = high * high;
  const float area = erf_between(from, to, smaller(near - far, 0.0f));
  return exp_poly<false>(beside ? top - near : top) * (area > 0.0f ? area : 0.0f);
}

// What a spot's polynomials are at a pixel: the logarithm, the place in the table or the argument
// of an error function, and that of the other.
struct Look {
  float log, at, to;
};

// By the numbers of the polynomials, see Spot::polynomial.
template <Kind kKind, class At>
DISTBRAGG_INLINE Look look(At at) {
  if constexpr (kKind == Kind::kPassage) return {at(0), at(1), at(2)};
  else if constexpr (kKind == Kind::kSmooth) return {at(0), 0.0f, 0.0f};
  else return {at(0), at(1), 0.0f};
}

// By which sums over lines are looked up.
template <Kind kKind>
using Lookup = std::conditional_t<kKind == Kind::kCubics, Cubics, const float*>;

// What is seen by the lanes of a vector: look_at(i) tells what the polynomials are there, inside(i)
// whether it is taken. What lies outside may be far away, whatever comes out there.
template <Kind kKind, class LookAt, class Inside>
DISTBRAGG_INLINE void shade(const Lookup<kKind>& lookup, const Bounds& bounds, float* seen,
                            LookAt look_at, Inside inside) {
  const float lowest = bounds.lowest, first = bounds.first, last = bounds.last;
  constexpr bool kLooks = sums_lines(kKind);
  alignas(64) float rest[kWide];
  alignas(64) std::int32_t low[kWide];
#pragma omp simd
  for (int i = 0; i < kWide; ++i) {
    const Look at = look_at(i);
    if constexpr (kKind == Kind::kPassage) {
      seen[i] = passage(at.log, at.at, at.to);
    } else {
      seen[i] = exp2_in_pairs(larger(at.log, lowest));
    }
    if constexpr (kLooks) {
      const float place = larger(smaller(at.at, last), first);
      low[i] = static_cast<std::int32_t>(place);
      rest[i] = place - static_cast<float>(low[i]);
    }
  }
  if constexpr (kKind == Kind::kLines) {
    alignas(64) float here[kWide], next[kWide];
    neighbours(lookup, low, here, next);
#pragma omp simd
    for (int i = 0; i < kWide; ++i) {
      seen[i] = (inside(i) ? seen[i] : 0.0f) * madd(rest[i], next[i] - here[i], here[i]);
    }
  } else if constexpr (kKind == Kind::kCubics) {
    alignas(64) float c[Cubics::kPowers][kWide];
    lookup.pick(low, c);
#pragma omp simd
    for (int i = 0; i < kWide; ++i) {
      const float sum = cubic(c[0][i], c[1][i], c[2][i], c[3][i], rest[i]);
      seen[i] = (inside(i) ? seen[i] : 0.0f) * larger(sum, first);
    }
  } else {
#pragma omp simd
    for (int i = 0; i < kWide; ++i) seen[i] = inside(i) ? seen[i] : 0.0f;
  }
}

}  // namespace distbragg::closed
