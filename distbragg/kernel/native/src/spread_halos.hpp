// Halos of diffuse scattering, spread by what is random: the twin of physics/halos.py, which
// derives it.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"
#include "diffuse.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "indices.hpp"
#include "landing.hpp"
#include "table.hpp"

namespace distbragg {

template <class Real>
class SpreadHalos {
 public:
  explicit SpreadHalos(const Parameters& p) : p_(p), table_(p), stencil_(p), halos_(halos_of<Real>(p)) {}

  bool any() const { return p_.halos_alone != 0; }

  // sum += the mean of what the crystal scatters, of all lanes.
  template <Form kForm>
  void add(const Domain& domain, Scattering& q) const {
    const Random random(p_, q);
    const Places at(*q.directions, 0);
    Strip s(halos_.size());
    bool aimed = false;
    for (int strip = 0; strip < kLanes; strip += kStrip) {
      if (cuts(p_) && !any_kept(q.kept + strip)) continue;
      if (!aimed || p_.surface != kFlat) find_ways(q, strip, s);
      aimed = true;
      displace(random, q, strip, s);
      locate<kForm>(domain, at, strip, s);
      for (std::size_t n = 0; n < halos_.size(); ++n) look(halos_[n], s, s.seen[n]);
      alignas(64) Real total[kStrip] = {};
      stencil_.each([&](int h, int k, int l) { add_point(h, k, l, q, s, total); });
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        q.sum[strip + i] = madd(p_.diffuse_height, static_cast<double>(total[i]), q.sum[strip + i]);
      }
    }
  }

 private:
  static constexpr int kGaussians = sizeof(kHaloExponents) / sizeof(double);
  static constexpr int kMostStrains = 6;

  using Halo = HaloNumbers<Real>;

  // What one source's scattering vectors are displaced by, in the laboratory.
  struct Random {
    Vector incident;
    double wavenumber, pixel, trace, lost;
    double turns[6], beam[6];
    double width;  // σ_k / k
    int strains;
    double strain[9 * kMostStrains];

    Random(const Parameters& p, const Scattering& q)
        : incident(q.source->incident), wavenumber(q.source->inverse_wavelength),
          width(p.source_width[p.source_start + q.source_number]), strains(static_cast<int>(p.strains)) {
      const double side = p.pixel_size / static_cast<double>(p.oversample);
      pixel = p.integrate != 0 ? side * side / 12.0 * wavenumber * wavenumber : 0.0;
      for (int i = 0; i < 6; ++i) turns[i] = p.mosaic_covariance[i], beam[i] = 0.0;
      trace = turns[0] + turns[3] + turns[5];
      double square = 0.0;
      for (int way = 0; way < 2; ++way) {
        const Vector whole = load(p.divergence + 3 * way);
        const double along = dot(whole, incident);
        const Vector v = {wavenumber * (whole.x - along * incident.x),
                          wavenumber * (whole.y - along * incident.y),
                          wavenumber * (whole.z - along * incident.z)};
        add_square(v.x, v.y, v.z, 1.0, beam);
        square += dot(v, v);
      }
      lost = 0.5 * square / wavenumber;
      for (int i = 0; i < 9 * strains; ++i) strain[i] = p.strain[i];
    }
  };

  // What lanes of a strip see of one halo: the way to the nearest reflection, its place, and the
  // Gaussians whose sum the halo is, by L of L D Lᵀ and what an exponent takes of each square.
  struct alignas(64) Seen {
    Real away[3][kStrip], place[3][kStrip];
    Real low[kGaussians][3][kStrip], form[kGaussians][3][kStrip], height[kGaussians][kStrip];
  };

  struct Strip {
    alignas(64) double way[6][kStrip];         // of fast and slow along the surface
    alignas(64) double shift[3][kStrip];       // of q, 1/Å
    alignas(64) double covariance[6][kStrip];  // of q, then of h, k, l
    alignas(64) double h[kStrip], k[kStrip], l[kStrip];
    alignas(64) Real away_h[kStrip], away_k[kStrip], away_l[kStrip];
    std::vector<Seen> seen;
    explicit Strip(std::size_t halos) : seen(halos) {}
  };

  static bool any_kept(const double* kept) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < kStrip; ++i) sum += kept[i];
    return sum != 0.0;
  }

  static DISTBRAGG_INLINE void add_square(double x, double y, double z, double times, double* m) {
    m[0] = madd(times * x, x, m[0]);
    m[1] = madd(times * x, y, m[1]);
    m[2] = madd(times * x, z, m[2]);
    m[3] = madd(times * y, y, m[3]);
    m[4] = madd(times * y, z, m[4]);
    m[5] = madd(times * z, z, m[5]);
  }

  template <class Number>
  static DISTBRAGG_INLINE Number between(const Number* m, Number ax, Number ay, Number az,
                                         Number bx, Number by, Number bz) {
    const Number x = madd(m[0], bx, madd(m[1], by, m[2] * bz));
    const Number y = madd(m[1], bx, madd(m[3], by, m[4] * bz));
    const Number z = madd(m[2], bx, madd(m[4], by, m[5] * bz));
    return madd(ax, x, madd(ay, y, az * z));
  }

  void find_ways(const Scattering& q, int strip, Strip& s) const {
    const Directions& d = *q.directions;
    const closed::SurfaceAxes axes(p_, 0.0);
    for (int i = 0; i < kStrip; ++i) {
      const Vector ray = {d.x[strip + i], d.y[strip + i], d.z[strip + i]};
      const Vector fast = axes.step(ray, 1.0, 0.0), slow = axes.step(ray, 0.0, 1.0);
      const double ways[6] = {fast.x, fast.y, fast.z, slow.x, slow.y, slow.z};
      for (int n = 0; n < 6; ++n) s.way[n][i] = ways[n];
    }
  }

  void displace(const Random& given, const Scattering& q, int strip, Strip& s) const {
    const Directions& d = *q.directions;
    const Random r = given;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const double dx = d.x[strip + i], dy = d.y[strip + i], dz = d.z[strip + i];
      const double x = (dx - r.incident.x) * r.wavenumber, y = (dy - r.incident.y) * r.wavenumber;
      const double z = (dz - r.incident.z) * r.wavenumber;
      const double* t = r.turns;
      double m[6];
      m[0] = between(t, 0.0, -z, y, 0.0, -z, y) + r.beam[0];
      m[1] = between(t, 0.0, -z, y, z, 0.0, -x) + r.beam[1];
      m[2] = between(t, 0.0, -z, y, -y, x, 0.0) + r.beam[2];
      m[3] = between(t, z, 0.0, -x, z, 0.0, -x) + r.beam[3];
      m[4] = between(t, z, 0.0, -x, -y, x, 0.0) + r.beam[4];
      m[5] = between(t, -y, x, 0.0, -y, x, 0.0) + r.beam[5];
      add_square(x, y, z, r.width * r.width, m);
      for (int n = 0; n < r.strains; ++n) {
        const double* v = r.strain + 9 * n;
        add_square(madd(v[0], x, madd(v[1], y, v[2] * z)), madd(v[3], x, madd(v[4], y, v[5] * z)),
                   madd(v[6], x, madd(v[7], y, v[8] * z)), 1.0, m);
      }
      const double area = r.pixel * d.inverse[strip + i] * d.inverse[strip + i];
      for (int n = 0; n < 6; n += 3) {
        const double wx = s.way[n][i], wy = s.way[n + 1][i], wz = s.way[n + 2][i];
        const double along = madd(wx, dx, madd(wy, dy, wz * dz));
        add_square(wx - along * dx, wy - along * dy, wz - along * dz, area, m);
      }
      for (int n = 0; n < 6; ++n) s.covariance[n][i] = m[n];
      const double turned_x = madd(t[0], x, madd(t[1], y, t[2] * z));
      const double turned_y = madd(t[1], x, madd(t[3], y, t[4] * z));
      const double turned_z = madd(t[2], x, madd(t[4], y, t[5] * z));
      s.shift[0][i] = madd(0.5, turned_x - r.trace * x, r.lost * r.incident.x);
      s.shift[1][i] = madd(0.5, turned_y - r.trace * y, r.lost * r.incident.y);
      s.shift[2][i] = madd(0.5, turned_z - r.trace * z, r.lost * r.incident.z);
    }
  }

  // Mean and covariance of h, k, l.
  template <Form kForm>
  void locate(const Domain& domain, const Places& at, int strip, Strip& s) const {
    const double* v = p_.domain_vectors;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const double one = at.one[strip + i], two = at.two[strip + i], three = at.three[strip + i];
      const double x = s.shift[0][i], y = s.shift[1][i], z = s.shift[2][i];
      const double h = index_of<kForm>(domain.h, one, two, three) +
                       madd(v[0], x, madd(v[1], y, v[2] * z));
      const double k = index_of<kForm>(domain.k, one, two, three) +
                       madd(v[3], x, madd(v[4], y, v[5] * z));
      const double l = index_of<kForm>(domain.l, one, two, three) +
                       madd(v[6], x, madd(v[7], y, v[8] * z));
      s.h[i] = nearest(h);
      s.k[i] = nearest(k);
      s.l[i] = nearest(l);
      s.away_h[i] = static_cast<Real>(h - s.h[i]);
      s.away_k[i] = static_cast<Real>(k - s.k[i]);
      s.away_l[i] = static_cast<Real>(l - s.l[i]);
      double m[6];
      for (int n = 0; n < 6; ++n) m[n] = s.covariance[n][i];
      s.covariance[0][i] = between(m, v[0], v[1], v[2], v[0], v[1], v[2]);
      s.covariance[1][i] = between(m, v[0], v[1], v[2], v[3], v[4], v[5]);
      s.covariance[2][i] = between(m, v[0], v[1], v[2], v[6], v[7], v[8]);
      s.covariance[3][i] = between(m, v[3], v[4], v[5], v[3], v[4], v[5]);
      s.covariance[4][i] = between(m, v[3], v[4], v[5], v[6], v[7], v[8]);
      s.covariance[5][i] = between(m, v[6], v[7], v[8], v[6], v[7], v[8]);
    }
  }

  void look(const Halo& given, const Strip& s, Seen& seen) const {
    const Halo halo = given;
    const Real* c = halo.correlation;
    const Real* d = halo.displacement;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const Real h = static_cast<Real>(s.h[i]), k = static_cast<Real>(s.k[i]);
      const Real l = static_cast<Real>(s.l[i]);
      for (int n = 0; n < 3; ++n) {
        seen.away[n][i] = Halo::along(c + 3 * n, s.away_h[i], s.away_k[i], s.away_l[i]);
        seen.place[n][i] = Halo::along(d + 3 * n, h, k, l);
      }
      Real m[6];
      for (int n = 0; n < 6; ++n) m[n] = static_cast<Real>(s.covariance[n][i]);
      const Real xx = between(m, c[0], c[1], c[2], c[0], c[1], c[2]);
      const Real xy = between(m, c[0], c[1], c[2], c[3], c[4], c[5]);
      const Real xz = between(m, c[0], c[1], c[2], c[6], c[7], c[8]);
      const Real yy = between(m, c[3], c[4], c[5], c[3], c[4], c[5]);
      const Real yz = between(m, c[3], c[4], c[5], c[6], c[7], c[8]);
      const Real zz = between(m, c[6], c[7], c[8], c[6], c[7], c[8]);
      for (int n = 0; n < kGaussians; ++n) {
        const Real t = static_cast<Real>(kHaloExponents[n]), twice = Real(2) * t;
        const Real one = madd(twice, xx, Real(1)), below = twice * xy / one;
        const Real last = twice * xz / one;
        const Real two = madd(-below, twice * xy, madd(twice, yy, Real(1)));
        const Real cross = madd(-below, twice * xz, twice * yz), third = cross / two;
        const Real three = madd(-last, twice * xz, madd(-third, cross, madd(twice, zz, Real(1))));
        seen.low[n][0][i] = below;
        seen.low[n][1][i] = last;
        seen.low[n][2][i] = third;
        seen.form[n][0][i] = -t / one;
        seen.form[n][1][i] = -t / two;
        seen.form[n][2][i] = -t / three;
        seen.height[n][i] = static_cast<Real>(kHaloWeights[n]) / std::sqrt(one * two * three);
      }
    }
  }

  // Adds the halos about one point of the stencil.
  void add_point(int h, int k, int l, const Scattering& q, const Strip& s, Real* total) const {
    alignas(64) Real halo_sum[kStrip] = {};
    for (std::size_t n = 0; n < halos_.size(); ++n) add_halo(halos_[n], s.seen[n], h, k, l, halo_sum);
    if (p_.tables == 0) {
      const Table<Real> of = table_;
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        total[i] = madd(of.at(s.h[i] + h, s.k[i] + k, s.l[i] + l), halo_sum[i], total[i]);
      }
      return;
    }
    const double* share = p_.coefficients + (p_.source_start + q.source_number) * p_.tables;
    for (int i = 0; i < kStrip; ++i) {
      const double* by_energy = p_.by_energy + table_.place(s.h[i] + h, s.k[i] + k, s.l[i] + l) * p_.tables;
      double squared = 0.0;
      for (std::int64_t m = 0; m < p_.tables; ++m) squared = madd(share[m], by_energy[m], squared);
      total[i] = madd(static_cast<Real>(squared > 0.0 ? squared : 0.0), halo_sum[i], total[i]);
    }
  }

  static void add_halo(const Halo& halo, const Seen& seen, int h, int k, int l, Real* sum) {
    const Real* c = halo.correlation;
    const Real* d = halo.displacement;
    Real away[3], place[3];
    for (int n = 0; n < 3; ++n) {
      away[n] = Halo::along(c + 3 * n, Real(h), Real(k), Real(l));
      place[n] = Halo::along(d + 3 * n, Real(h), Real(k), Real(l));
    }
    alignas(64) Real x[kStrip], y[kStrip], z[kStrip], mean[kStrip] = {};
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      x[i] = seen.away[0][i] - away[0];
      y[i] = seen.away[1][i] - away[1];
      z[i] = seen.away[2][i] - away[2];
    }
    for (int n = 0; n < kGaussians; ++n) {
#pragma omp simd
      for (int i = 0; i < kStrip; ++i) {
        const Real one = x[i], two = madd(-seen.low[n][0][i], one, y[i]);
        const Real three = madd(-seen.low[n][2][i], two, madd(-seen.low[n][1][i], one, z[i]));
        const Real exponent = madd(seen.form[n][0][i] * one, one,
                                   madd(seen.form[n][1][i] * two, two,
                                        seen.form[n][2][i] * three * three));
        mean[i] = madd(seen.height[n][i], exp_poly<true>(exponent), mean[i]);
      }
    }
    const Real weight = halo.weight;
#pragma omp simd
    for (int i = 0; i < kStrip; ++i) {
      const Real exponent = Halo::squared(seen.place[0][i] + place[0], seen.place[1][i] + place[1],
                                          seen.place[2][i] + place[2]);
      sum[i] = madd(weight * exponent * exp_poly<true>(-exponent), mean[i], sum[i]);
    }
  }

  const Parameters& p_;
  const Table<Real> table_;
  const Stencil stencil_;
  const std::vector<Halo> halos_;
};

}  // namespace distbragg
