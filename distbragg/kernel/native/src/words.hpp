// Whole vectors of 64-bit words. Compilers know no vector product of 32-bit halves by the look of a
// loop; every x86-64 has one.
#pragma once

#include <cstdint>

#include "madd.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace distbragg {

#if defined(__AVX512F__)
constexpr int kWords = 8;
#elif defined(__AVX2__)
constexpr int kWords = 4;
#else
constexpr int kWords = 2;
#endif

typedef std::uint64_t Words __attribute__((vector_size(8 * kWords)));

// The lower 32 bits of each word times `factor`.
DISTBRAGG_INLINE Words lower_times(Words words, std::uint32_t factor) {
#if defined(__AVX512F__)
  return (Words)_mm512_mul_epu32((__m512i)words, _mm512_set1_epi64(factor));
#elif defined(__AVX2__)
  return (Words)_mm256_mul_epu32((__m256i)words, _mm256_set1_epi64x(factor));
#elif defined(__SSE2__)
  return (Words)_mm_mul_epu32((__m128i)words, _mm_set1_epi64x(factor));
#else
  return (words & 0xFFFFFFFFu) * std::uint64_t{factor};
#endif
}

// Which of 32 numbers have the sign of those below 0, a bit for each. A loop would add up the lanes of
// a vector one by one.
DISTBRAGG_INLINE std::uint32_t negatives(const float* numbers) {
  std::uint32_t signs = 0;
#if defined(__AVX512DQ__)
  for (int i = 0; i < 32; i += 16) {
    const __m512i part = _mm512_castps_si512(_mm512_loadu_ps(numbers + i));
    signs |= static_cast<std::uint32_t>(_mm512_movepi32_mask(part)) << i;
  }
#elif defined(__AVX__)
  for (int i = 0; i < 32; i += 8) {
    const __m256 part = _mm256_loadu_ps(numbers + i);
    signs |= static_cast<std::uint32_t>(_mm256_movemask_ps(part)) << i;
  }
#elif defined(__SSE2__)
  for (int i = 0; i < 32; i += 4) {
    signs |= static_cast<std::uint32_t>(_mm_movemask_ps(_mm_loadu_ps(numbers + i))) << i;
  }
#else
  for (int i = 0; i < 32; ++i) signs |= (numbers[i] < 0.0f ? 1u : 0u) << i;
#endif
  return signs;
}

}  // namespace distbragg
