// The yardstick of throughput: the least that a step of a parallelepiped crystal can be, as one
// plain `omp simd` loop over pixels with the domains outside. Indices in float64, interference in
// float32, one division for three ratios, one table look-up. No geometry, no sources, no skipping.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

constexpr int kBlock = 1024;

inline __attribute__((always_inline)) float sine(float x) {
  const float u = x * x;
  return x * (3.14159264f + u * (-5.16771007f + u * (2.55007738f + u * (-0.59829041f + u * 0.07765591f))));
}

struct Scratch {
  double x[kBlock], y[kBlock], z[kBlock];
  double sum[kBlock];
};

void block(const double* vectors, std::int64_t domains, const double* cells, const float* table,
           const std::int32_t* half, Scratch& s) {
  std::fill(s.sum, s.sum + kBlock, 0.0);
  const std::int32_t stride_k = 2 * half[2] + 1, stride_h = (2 * half[1] + 1) * stride_k;
  for (std::int64_t d = 0; d < domains; ++d) {
    const double* v = vectors + 9 * d;
#pragma omp simd
    for (int i = 0; i < kBlock; ++i) {
      const double h = __builtin_fma(v[0], s.x[i], __builtin_fma(v[1], s.y[i], v[2] * s.z[i]));
      const double k = __builtin_fma(v[3], s.x[i], __builtin_fma(v[4], s.y[i], v[5] * s.z[i]));
      const double l = __builtin_fma(v[6], s.x[i], __builtin_fma(v[7], s.y[i], v[8] * s.z[i]));
      const double nh = std::nearbyint(h), nk = std::nearbyint(k), nl = std::nearbyint(l);
      const float a = static_cast<float>(h - nh) + 1e-9f, b = static_cast<float>(k - nk) + 1e-9f,
                  c = static_cast<float>(l - nl) + 1e-9f;
      const float ta = static_cast<float>(cells[0]) * a, tb = static_cast<float>(cells[1]) * b,
                  tc = static_cast<float>(cells[2]) * c;
      const float over = sine(ta - std::nearbyint(ta)) * sine(tb - std::nearbyint(tb)) *
                         sine(tc - std::nearbyint(tc));
      const float ratio = over / (sine(a) * sine(b) * sine(c));
      const std::int32_t ih = std::min(std::max(static_cast<std::int32_t>(nh) + half[0], 0), 2 * half[0]);
      const std::int32_t ik = std::min(std::max(static_cast<std::int32_t>(nk) + half[1], 0), 2 * half[1]);
      const std::int32_t il = std::min(std::max(static_cast<std::int32_t>(nl) + half[2], 0), 2 * half[2]);
      s.sum[i] += static_cast<double>(table[ih * stride_h + ik * stride_k + il] * ratio * ratio);
    }
  }
}

}  // namespace

// Renders `rounds` blocks of 1024 pixels; returns the sum of all, so that none is left out.
extern "C" double distbragg_plain_loop(const double* vectors, std::int64_t domains,
                                       const double* cells, const float* table,
                                       const std::int32_t* half, std::int64_t rounds) {
  std::vector<Scratch> scratch(1);
  Scratch& s = scratch[0];
  double total = 0.0;
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kBlock; ++i) {
      const double across = (i - 0.5 * kBlock) * 4e-4, up = (static_cast<double>(round % kBlock) - 511.5) * 4e-4;
      const double length = std::sqrt(1.0 + across * across + up * up);
      s.x[i] = 1.0 / length - 1.0;
      s.y[i] = across / length;
      s.z[i] = up / length;
    }
    block(vectors, domains, cells, table, half, s);
    for (int i = 0; i < kBlock; ++i) total += s.sum[i];
  }
  return total;
}
