// Diffuse scattering of correlated displacements: the twin of physics/diffuse.py, which derives it.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "indices.hpp"
#include "table.hpp"

namespace distbragg {

// A halo as the host packs it: 2π γ W, 2π σ W, and how many rotations make it.
template <class Real>
struct HaloNumbers {
  static constexpr int kNumbers = 19;
  Real correlation[9], displacement[9], weight;

  explicit HaloNumbers(const double* row) : weight(static_cast<Real>(row[18])) {
    for (int j = 0; j < 9; ++j) correlation[j] = static_cast<Real>(row[j]);
    for (int j = 0; j < 9; ++j) displacement[j] = static_cast<Real>(row[9 + j]);
  }

  static DISTBRAGG_INLINE Real along(const Real* row, Real h, Real k, Real l) {
    return madd(row[0], h, madd(row[1], k, row[2] * l));
  }

  static DISTBRAGG_INLINE Real squared(Real x, Real y, Real z) {
    return madd(x, x, madd(y, y, z * z));
  }
};

// The points about the nearest reflection that scatter too.
class Stencil {
 public:
  explicit Stencil(const Parameters& p) : reach_(static_cast<int>(p.diffuse_stencil)) {}

  template <class Work>
  void each(Work work) const {
    for (int h = -reach_; h <= reach_; ++h) {
      for (int k = -reach_; k <= reach_; ++k) {
        for (int l = -reach_; l <= reach_; ++l) work(h, k, l);
      }
    }
  }

 private:
  const int reach_;
};

template <class Real>
std::vector<HaloNumbers<Real>> halos_of(const Parameters& p) {
  std::vector<HaloNumbers<Real>> halos;
  for (std::int64_t i = 0; i < p.diffuse_halos; ++i) {
    halos.emplace_back(p.diffuse_halo + HaloNumbers<Real>::kNumbers * i);
  }
  return halos;
}

template <class Real>
class DiffuseSum {
 public:
  explicit DiffuseSum(const Parameters& p)
      : table_(p), stencil_(p), height_(p.diffuse_height),
        halos_(halos_of<Real>(p)) {}

  bool any() const { return !halos_.empty(); }

  // sum += what one domain scatters, of the lanes that are worked on.
  template <Form kForm>
  void add(const Domain& domain, Scattering& q) const {
    const Places at(*q.directions, 0);
    Strip s(halos_.size());
    for (int strip = q.first; strip < q.last; strip += kStrip) {
      locate<kForm>(domain, at, strip, s);
      alignas(64) Real total[kStrip] = {};
      stencil_.each([&](int h, int k, int l) { add_point(h, k, l, s, total); });
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        q.sum[strip + i] = madd(height_, static_cast<double>(total[i]), q.sum[strip + i]);
      }
    }
  }

 private:
  using Halo = HaloNumbers<Real>;

  // What lanes of a strip see about the nearest reflection: 2π γ W of the way to it, and 2π σ W of
  // its place.
  struct alignas(64) Seen {
    Real away_one[kStrip], away_two[kStrip], away_three[kStrip];
    Real place_one[kStrip], place_two[kStrip], place_three[kStrip];
  };

  struct Strip {
    alignas(64) double h[kStrip], k[kStrip], l[kStrip];  // the nearest reflection
    std::vector<Seen> seen;
    explicit Strip(std::size_t halos) : seen(halos) {}
  };

  template <Form kForm>
  void locate(const Domain& domain, const Places& at, int strip, Strip& s) const {
    alignas(64) Real away_h[kStrip], away_k[kStrip], away_l[kStrip];
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const double one = at.one[strip + i], two = at.two[strip + i], three = at.three[strip + i];
      const double h = index_of<kForm>(domain.h, one, two, three);
      const double k = index_of<kForm>(domain.k, one, two, three);
      const double l = index_of<kForm>(domain.l, one, two, three);
      s.h[i] = nearest(h);
      s.k[i] = nearest(k);
      s.l[i] = nearest(l);
      away_h[i] = static_cast<Real>(h - s.h[i]);
      away_k[i] = static_cast<Real>(k - s.k[i]);
      away_l[i] = static_cast<Real>(l - s.l[i]);
    }
    for (std::size_t n = 0; n < halos_.size(); ++n) {
      const Halo halo = halos_[n];
      Seen& seen = s.seen[n];
      const Real* c = halo.correlation;
      const Real* d = halo.displacement;
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        const Real h = static_cast<Real>(s.h[i]), k = static_cast<Real>(s.k[i]);
        const Real l = static_cast<Real>(s.l[i]);
        seen.away_one[i] = Halo::along(c, away_h[i], away_k[i], away_l[i]);
        seen.away_two[i] = Halo::along(c + 3, away_h[i], away_k[i], away_l[i]);
        seen.away_three[i] = Halo::along(c + 6, away_h[i], away_k[i], away_l[i]);
        seen.place_one[i] = Halo::along(d, h, k, l);
        seen.place_two[i] = Halo::along(d + 3, h, k, l);
        seen.place_three[i] = Halo::along(d + 6, h, k, l);
      }
    }
  }

  // Adds the halos about one point of the stencil.
  void add_point(int h, int k, int l, const Strip& s, Real* total) const {
    alignas(64) Real halo_sum[kStrip] = {};
    for (std::size_t n = 0; n < halos_.size(); ++n) {
      const Real* c = halos_[n].correlation;
      const Real* d = halos_[n].displacement;
      const Seen& seen = s.seen[n];
      const Real step_h = Real(h), step_k = Real(k), step_l = Real(l), weight = halos_[n].weight;
      const Real c1 = Halo::along(c, step_h, step_k, step_l), d1 = Halo::along(d, step_h, step_k, step_l);
      const Real c2 = Halo::along(c + 3, step_h, step_k, step_l);
      const Real d2 = Halo::along(d + 3, step_h, step_k, step_l);
      const Real c3 = Halo::along(c + 6, step_h, step_k, step_l);
      const Real d3 = Halo::along(d + 6, step_h, step_k, step_l);
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        const Real exponent =
            Halo::squared(seen.place_one[i] + d1, seen.place_two[i] + d2, seen.place_three[i] + d3);
        const Real wide = Real(1) + Halo::squared(seen.away_one[i] - c1, seen.away_two[i] - c2,
                                            seen.away_three[i] - c3);
        const Real strength = weight * exponent * exp_poly<true>(-exponent);
        halo_sum[i] += strength / (wide * wide);
      }
    }
    const Table<Real> look = table_;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      total[i] = madd(look.at(s.h[i] + h, s.k[i] + k, s.l[i] + l), halo_sum[i], total[i]);
    }
  }

  const Table<Real> table_;
  const Stencil stencil_;
  const double height_;
  const std::vector<Halo> halos_;
};

}  // namespace distbragg
