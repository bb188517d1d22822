// Two neighbouring entries of a table for each lane of a vector.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "madd.hpp"

namespace distbragg {

constexpr int kNeighbours = 16;  // lanes

// Looks up entries `low` and `low + 1`; all arrays begin at the border of a vector.
DISTBRAGG_INLINE void neighbours(const float* table, std::int32_t* low, float* here,
                                 float* next) {
#if defined(__AVX512F__)
  // Both at once, by plain loads of 64 bits: gathers of either take twice as long. Indices come from
  // memory, too, since taking them out of a register takes longer.
  __asm__("" : "+m"(*reinterpret_cast<std::int32_t(*)[kNeighbours]>(low)));
  const auto pair = [=](int lane) __attribute__((always_inline)) {
    double both;
    std::memcpy(&both, table + low[lane], sizeof both);
    return both;
  };
  const auto two = [=](int lane) __attribute__((always_inline)) {
    return _mm_set_pd(pair(lane + 1), pair(lane));
  };
  const auto four = [=](int lane) __attribute__((always_inline)) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(two(lane)), two(lane + 2), 1);
  };
  const auto eight = [=](int lane) __attribute__((always_inline)) {
    return _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castpd256_pd512(four(lane)), four(lane + 4), 1));
  };
  const __m512i even =
      _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  const __m512 one = eight(0), other = eight(8);
  _mm512_store_ps(here, _mm512_permutex2var_ps(one, even, other));
  _mm512_store_ps(next, _mm512_permutex2var_ps(one, odd, other));
#else
#pragma omp simd
  for (int i = 0; i < kNeighbours; ++i) {
    here[i] = table[low[i]];
    next[i] = table[low[i] + 1];
  }
#endif
}

}  // namespace distbragg
