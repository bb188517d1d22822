// What every operation of the kernel is made of. Fused multiply-adds are written out and the
// compiler's own contraction is off, so the bits follow from the text alone.
#pragma once

#define DISTBRAGG_INLINE inline __attribute__((always_inline))

namespace distbragg {

#if defined(__FP_FAST_FMA) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
DISTBRAGG_INLINE double madd(double a, double b, double c) { return __builtin_fma(a, b, c); }
DISTBRAGG_INLINE float madd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
DISTBRAGG_INLINE double madd(double a, double b, double c) { return a * b + c; }
DISTBRAGG_INLINE float madd(float a, float b, float c) { return a * b + c; }
#endif

// std::fmax and std::fmin are calls, which no loop of vectors can hold. Where a is no number, b.
DISTBRAGG_INLINE double larger(double a, double b) { return a > b ? a : b; }
DISTBRAGG_INLINE double smaller(double a, double b) { return a < b ? a : b; }
DISTBRAGG_INLINE float larger(float a, float b) { return a > b ? a : b; }
DISTBRAGG_INLINE float smaller(float a, float b) { return a < b ? a : b; }

}  // namespace distbragg
