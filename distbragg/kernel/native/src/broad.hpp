// Broad Gaussian spots of a family of domains, in float32 but for the mean.
//
// An index of a domain is that of the family's mean, made in float64, and what the domain is turned
// away from it times q, which is small: float32 has that to some 1e-7. On each axis the nearest
// lattice point is that of the mean or its neighbour on the side to which the mean lies, so that
// |F|² about a pixel has eight values, looked up once for all domains.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"
#include "families.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "indices.hpp"
#include "table.hpp"

namespace distbragg {

// Of the lanes of a strip, what all domains of a family share.
struct alignas(64) Shared {
  // How far the mean is inside of the border to the neighbour, in indices: not above 0.
  float border[3][kStrip];
  float sign[3][kStrip];  // −1 where the neighbour lies below
  float x[3][kStrip], y[3][kStrip], z[3][kStrip];  // q times that
  // |F|² by the axes on which the neighbour is taken: 4 for h, 2 for k, 1 for l.
  float squared[8][kStrip];
  float closest[kStrip];  // that a domain came to a border
};

class BroadFamilies {
 public:
  // Domains come this close to a border, in indices, and float64 must tell the side.
  static constexpr float kClose = 1e-6f;

  BroadFamilies(const Parameters& p, double decay) {
    const double* g = p.metric;
    for (int k = 0; k < 6; ++k) form_[k] = static_cast<float>(g[k] * std::sqrt(decay * kLog2E));
    const double u = std::fabs(g[0]) + std::fabs(g[1]) + std::fabs(g[2]);
    const double v = std::fabs(g[3]) + std::fabs(g[4]), w = std::fabs(g[5]);
    // So no step is below the range of float32, and no axis so stiff that 1e-7 of an index counts.
    const bool broad = decay > 0.0 && decay * 0.25 * (u * u + v * v + w * w) < kMostExponent;
    if (p.double_precision || p.interpolate || p.reach > 0.0 || !broad) return;
    longest_ = p.longest;
    list_ = make_families(p, kWidest / longest_, index_apart);
    for (const Family& family : list_) {
      any_ = any_ || serves(family);
      for (std::int64_t d = family.first; d < family.first + family.count; ++d) {
        turns_.emplace_back(p.domain_vectors + 9 * d, family.mean);
      }
    }
  }

  bool any() const { return any_; }
  const std::vector<Family>& list() const { return list_; }
  bool serves(const Family& family) const {
    return family.worth() && family.spread * longest_ < kMostApart;
  }

  // Looks at a strip from the family's mean.
  template <Form kForm>
  static void share(const Domain& mean, const Table<float>& table, const Scattering& q, int strip,
                    Shared& shared) {
    alignas(64) std::uint32_t near_h[kStrip], near_k[kStrip], near_l[kStrip];
    alignas(64) std::uint32_t far_h[kStrip], far_k[kStrip], far_l[kStrip];
    const Places at(*q.directions, strip);
    const Table<float> look = table;
    const Domain domain = mean;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const double at_h = index_of<kForm>(domain.h, at.one[i], at.two[i], at.three[i]);
      const double at_k = index_of<kForm>(domain.k, at.one[i], at.two[i], at.three[i]);
      const double at_l = index_of<kForm>(domain.l, at.one[i], at.two[i], at.three[i]);
      const double h = nearest(at_h), k = nearest(at_k), l = nearest(at_l);
      const double side_h = at_h < h ? -1.0 : 1.0, side_k = at_k < k ? -1.0 : 1.0;
      const double side_l = at_l < l ? -1.0 : 1.0;
      shared.border[0][i] = static_cast<float>(std::fabs(at_h - h) - 0.5);
      shared.border[1][i] = static_cast<float>(std::fabs(at_k - k) - 0.5);
      shared.border[2][i] = static_cast<float>(std::fabs(at_l - l) - 0.5);
      shared.sign[0][i] = static_cast<float>(side_h);
      shared.sign[1][i] = static_cast<float>(side_k);
      shared.sign[2][i] = static_cast<float>(side_l);
      near_h[i] = look.along_h(h);
      near_k[i] = look.along_k(k);
      near_l[i] = look.along_l(l);
      far_h[i] = look.along_h(h + side_h);
      far_k[i] = look.along_k(k + side_k);
      far_l[i] = look.along_l(l + side_l);
    }
    for (int n = 0; n < 8; ++n) {
      const std::uint32_t* h = n & 4 ? far_h : near_h;
      const std::uint32_t* k = n & 2 ? far_k : near_k;
      const std::uint32_t* l = n & 1 ? far_l : near_l;
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        shared.squared[n][i] = look.squared[static_cast<std::int32_t>(h[i] + k[i] + l[i])];
      }
    }
    for (int axis = 0; axis < 3; ++axis) {
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        const float sign = shared.sign[axis][i];
        shared.x[axis][i] = sign * q.x_single[strip + i];
        shared.y[axis][i] = sign * q.y_single[strip + i];
        shared.z[axis][i] = sign * q.z_single[strip + i];
      }
    }
    std::fill(shared.closest, shared.closest + kStrip, HUGE_VALF);
  }

  // sum += the steps of all domains, in the order and the pairs of the general way.
  template <bool kPlain>
  void add(const Family& family, Shared& s, double* sum) const {
    const BroadFamilies& self = *this;
    const Turn* turns = turns_.data() + family.first;
    std::int64_t d = family.count % 2;
    if (d == 1) {
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        sum[i] += static_cast<double>(self.step<kPlain>(turns[0], s, i));
      }
    }
    for (; d < family.count; d += 2) {
      const Turn one = turns[d], two = turns[d + 1];
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        const float pair = self.step<kPlain>(one, s, i) + self.step<kPlain>(two, s, i);
        sum[i] += static_cast<double>(pair);
      }
    }
  }

 private:
  static constexpr double kWidest = 0.4;     // of a domain from the first of its family, in indices
  static constexpr double kMostApart = 0.45;  // of a domain from the mean: only one border is crossed
  static constexpr double kMostExponent = 80.0;

  // How a domain is turned away from the mean: differences of a, b, c, Å.
  struct Turn {
    float of[9];
    Turn(const double* vectors, const double* mean) {
      for (int k = 0; k < 9; ++k) of[k] = static_cast<float>(vectors[k] - mean[k]);
    }
  };

  // How far a domain is beyond the border on an axis.
  static DISTBRAGG_INLINE float beyond(const float* of, const Shared& s, int axis, int i) {
    return madd(of[0], s.x[axis][i],
                madd(of[1], s.y[axis][i], madd(of[2], s.z[axis][i], s.border[axis][i])));
  }

  // From the lattice point, in the direction of h, k or l.
  static DISTBRAGG_INLINE float distance(float past, float sign) {
    return sign * (past > 0.0f ? past - 0.5f : past + 0.5f);
  }

  template <bool kPlain>
  DISTBRAGG_INLINE float step(const Turn& turn, Shared& s, int i) const {
    const float h = beyond(turn.of, s, 0, i), k = beyond(turn.of + 3, s, 1, i);
    const float l = beyond(turn.of + 6, s, 2, i);
    const float to_h = std::fabs(h), to_k = std::fabs(k), to_l = std::fabs(l);
    s.closest[i] = std::min(s.closest[i], std::min(to_h, std::min(to_k, to_l)));
    float u, v, w;
    if constexpr (kPlain) {
      // A lattice point lies half an index behind either side of a border.
      u = madd(-form_[0], to_h, 0.5f * form_[0]);
      v = madd(-form_[3], to_k, 0.5f * form_[3]);
      w = madd(-form_[5], to_l, 0.5f * form_[5]);
    } else {
      const float dh = distance(h, s.sign[0][i]), dk = distance(k, s.sign[1][i]);
      const float dl = distance(l, s.sign[2][i]);
      u = madd(form_[0], dh, madd(form_[1], dk, form_[2] * dl));
      v = madd(form_[3], dk, form_[4] * dl);
      w = form_[5] * dl;
    }
    const float power = exp2_poly(madd(-u, u, madd(-v, v, -(w * w))));
    const float f0 = s.squared[0][i], f1 = s.squared[1][i], f2 = s.squared[2][i];
    const float f3 = s.squared[3][i], f4 = s.squared[4][i], f5 = s.squared[5][i];
    const float f6 = s.squared[6][i], f7 = s.squared[7][i];
    const float low_h_low_k = l > 0.0f ? f1 : f0, low_h_high_k = l > 0.0f ? f3 : f2;
    const float high_h_low_k = l > 0.0f ? f5 : f4, high_h_high_k = l > 0.0f ? f7 : f6;
    const float low_h = k > 0.0f ? low_h_high_k : low_h_low_k;
    const float high_h = k > 0.0f ? high_h_high_k : high_h_low_k;
    return power * (h > 0.0f ? high_h : low_h);
  }

  float form_[6];  // of r² in exp2
  double longest_ = 0.0;
  bool any_ = false;
  std::vector<Family> list_;
  std::vector<Turn> turns_;
};

}  // namespace distbragg
