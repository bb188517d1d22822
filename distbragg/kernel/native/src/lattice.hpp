// The step itself: Miller indices of one mosaic domain, lattice transform, structure factor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "approx.hpp"
#include "bounds.hpp"
#include "broad.hpp"
#include "diffuse.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "indices.hpp"
#include "narrow.hpp"
#include "near.hpp"
#include "shapes.hpp"
#include "spread_halos.hpp"
#include "table.hpp"
#include "transform.hpp"

namespace distbragg {

// Σ over domains for one block of scattering vectors, whatever the shape and precision, in
// units of spot_scale · table_scale.
struct StepSum {
  virtual ~StepSum() = default;
  virtual void run(Scattering& q) const = 0;
  // Adds one domain to the first kStrip lanes.
  virtual void add_group(Scattering& q, std::int64_t domain) const = 0;
  // Domains that may be seen in patches, the clearance that is enough to leave steps out, and
  // the greatest step at some clearance; see StepBound.
  virtual void look(const NarrowDomain* domains, const std::int32_t* numbers, std::size_t count,
                    const Patches& patches, const SeenPatches& seen, Sightings& found) const = 0;
  virtual float enough() const = 0;
  // Distance of the scattering vector from every lattice point that is enough, 1/Å; infinite
  // where there is no such distance.
  virtual double far_enough() const = 0;
  // Whether the structure factor about a lattice point may be anything but exactly 0.
  virtual bool scatters(double h, double k, double l) const = 0;
  virtual void highest(const float* clearance, float* step) const = 0;
};

template <class Real, int kShape, bool kPlain>
struct DomainSum final : StepSum {
  using Shape = Lattice<Real, kShape, kPlain>;
  static constexpr bool kBroad = sizeof(Real) == sizeof(float) && ShapeRow<kShape>::kDecay > 0.0;

  const Parameters& parameters;
  const Domains domains;
  const Table<Real> table;
  const Shape lattice;
  const StepBound<kShape> step_bound;
  const NarrowFamilies narrow;
  const BroadFamilies broad;
  const DiffuseSum<Real> diffuse;
  const SpreadHalos<Real> halos;

  DomainSum(const Parameters& p, const std::vector<Source>& sources)
      : parameters(p), domains(p, sources), table(p), lattice(p), step_bound(p), narrow(p),
        broad(p, kBroad ? ShapeRow<kShape>::kDecay : 0.0), diffuse(p), halos(p) {}

  // |F|² F_latt². The table is scaled to at most 1, so that the product stays in the range of
  // float32.
  template <Form kForm>
  static DISTBRAGG_INLINE Real step(const Domain& domain, const Table<Real>& look,
                                    const Shape& shape, double one, double two, double three) {
    const double at_h = index_of<kForm>(domain.h, one, two, three);
    const double at_k = index_of<kForm>(domain.k, one, two, three);
    const double at_l = index_of<kForm>(domain.l, one, two, three);
    const double h = nearest(at_h), k = nearest(at_k), l = nearest(at_l);
    return shape.squared(at_h - h, at_k - k, at_l - l) * look.at(h, k, l);
  }

  template <Form kForm>
  Domain domain_of(std::int64_t number, const Scattering& q) const {
    Domain domain = domains.of(number, q);
    if (kForm == Form::kRow) domain.lay_along(q.directions->slow[0]);
    return domain;
  }

  // Lanes [from, to), whole strips: sum += the steps of one domain or of two, or = for kFirst.
  // Two share the loads and the sum in float64.
  template <bool kFirst, Form kForm>
  DISTBRAGG_INLINE void add(const Domain& one, const Domain* two, Scattering& q, int from,
                            int to) const {
    const Table<Real> look = table;
    const Shape shape = lattice;
    const Places at(*q.directions, 0);
    double* sum = q.sum;
    const Domain domain = one;
    if (two == nullptr) {
      for (int strip = from; strip < to; strip += kStrip) {
#pragma omp simd
        for (int i = strip; i < strip + kStrip; ++i) {
          const double term = static_cast<double>(
              step<kForm>(domain, look, shape, at.one[i], at.two[i], at.three[i]));
          sum[i] = kFirst ? term : sum[i] + term;
        }
      }
      return;
    }
    const Domain other = *two;
    for (int strip = from; strip < to; strip += kStrip) {
#pragma omp simd
      for (int i = strip; i < strip + kStrip; ++i) {
        const Real pair = step<kForm>(domain, look, shape, at.one[i], at.two[i], at.three[i]) +
                          step<kForm>(other, look, shape, at.one[i], at.two[i], at.three[i]);
        const double term = static_cast<double>(pair);
        sum[i] = kFirst ? term : sum[i] + term;
      }
    }
  }

  // Narrow spots: a float32 test marks the strips that may hold a lane which is not exactly zero;
  // only those are worked on.
  template <Form kForm>
  void add_sparse(std::int64_t number, Scattering& q) const {
    const NearTest<kPlain> near(parameters.domain_vectors + 9 * number, parameters, 0.0);
    int visible[kLanes / kStrip];
    for (int strip = q.first; strip < q.last; strip += kStrip) {
      int some = 0;
#pragma omp simd reduction(| : some)
      for (int i = strip; i < strip + kStrip; ++i) {
        float h, k, l;
        some |= near(q.x_single[i], q.y_single[i], q.z_single[i], h, k, l) < near.outer ? 1 : 0;
      }
      visible[strip / kStrip] = some;
    }
    const Domain domain = domain_of<kForm>(number, q);
    for (int strip = q.first; strip < q.last; strip += kStrip) {
      if (visible[strip / kStrip] == 0) continue;
      add<false, kForm>(domain, nullptr, q, strip, strip + kStrip);
    }
  }

  // Spots with an edge, flat within it: float32 tells which side a lane is on but for the few close
  // to the edge, whose strips are worked on in float64. The same bits as where all are.
  template <Form kForm>
  void add_flat(std::int64_t number, Scattering& q) const {
    alignas(64) float squared[kLanes];
    alignas(64) std::int32_t place[kLanes];
    int sides[kLanes / kStrip];
    const NearTest<kPlain> near(parameters.domain_vectors + 9 * number, parameters,
                                std::sqrt(ShapeRow<kShape>::kZeroSquared));
    const Table<Real> look = table;
    for (int strip = q.first; strip < q.last; strip += kStrip) {
      int some = 0;
#pragma omp simd reduction(| : some)
      for (int i = strip; i < strip + kStrip; ++i) {
        float h, k, l;
        const float v = near(q.x_single[i], q.y_single[i], q.z_single[i], h, k, l);
        squared[i] = v;
        place[i] = look.place(h, k, l);
        some |= v < near.inner ? kInside : (v < near.outer ? kClose : 0);
      }
      sides[strip / kStrip] = some;
    }
    for (int strip = q.first; strip < q.last; strip += kStrip) {
      const int some = sides[strip / kStrip];
      if (some == 0) continue;
      if (some & kClose) {
        const Domain domain = domain_of<kForm>(number, q);
        add<false, kForm>(domain, nullptr, q, strip, strip + kStrip);
        continue;
      }
#pragma omp simd
      for (int i = strip; i < strip + kStrip; ++i) {
        const Real term = squared[i] < near.inner ? look.squared[place[i]] : Real(0);
        q.sum[i] += static_cast<double>(term);
      }
    }
  }
  static constexpr int kInside = 1, kClose = 2;

  template <int kCount, Form kForm>
  void add_interpolated(std::int64_t number, Scattering& q) const {
    alignas(64) double h[kCount], k[kCount], l[kCount], cell[kCount], latt[kCount];
    const Table<Real> look = table;
    const Shape shape = lattice;
    const Domain domain = domain_of<kForm>(number, q);
    const Places at(*q.directions, 0);
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      h[i] = index_of<kForm>(domain.h, at.one[i], at.two[i], at.three[i]);
      k[i] = index_of<kForm>(domain.k, at.one[i], at.two[i], at.three[i]);
      l[i] = index_of<kForm>(domain.l, at.one[i], at.two[i], at.three[i]);
      const double h0 = nearest(h[i]), k0 = nearest(k[i]), l0 = nearest(l[i]);
      latt[i] = static_cast<double>(shape.squared(h[i] - h0, k[i] - k0, l[i] - l0));
      cell[i] = static_cast<double>(look.at(h0, k0, l0));
    }
    const double table_scale = parameters.table_scale, inverse_scale = 1.0 / table_scale;
    for (int i = 0; i < kCount; ++i) {
      if (latt[i] == 0.0) continue;
      const double squared = tricubic_squared(parameters, h[i], k[i], l[i], cell[i] * table_scale);
      q.sum[i] = madd(latt[i], squared * inverse_scale, q.sum[i]);
    }
  }

  void run(Scattering& q) const override {
    switch (q.directions->form) {
      case Form::kRow:
        return run_with_halos<Form::kRow>(q);
      case Form::kRows:
        return run_with_halos<Form::kRows>(q);
      default:
        return run_with_halos<Form::kCurved>(q);
    }
  }

  // The panel is flat, and a group has several rows.
  void add_group(Scattering& q, std::int64_t number) const override {
    if (parameters.interpolate) {
      add_interpolated<kStrip, Form::kRows>(number, q);
    } else {
      const Domain domain = domain_of<Form::kRows>(number, q);
      add<false, Form::kRows>(domain, nullptr, q, 0, kStrip);
    }
  }

  void look(const NarrowDomain* domains, const std::int32_t* numbers, std::size_t count,
            const Patches& patches, const SeenPatches& seen, Sightings& found) const override {
    step_bound.look(domains, numbers, count, patches, seen, found);
  }

  void highest(const float* clearance, float* step) const override {
    const StepBound<kShape> bound = step_bound;
#pragma omp simd
    for (int i = 0; i < kBatch; ++i) step[i] = bound.highest(clearance[i]);
  }

  // No step is further from a peak than the middle of a cell.
  float enough() const override {
    double furthest = 1.0;
    if constexpr (kShape != kSquare) {
      const Metric& g = lattice.metric;
      furthest = std::max(
          std::max(g.radius_squared(0.5, 0.5, 0.5), g.radius_squared(0.5, 0.5, -0.5)),
          std::max(g.radius_squared(0.5, -0.5, 0.5), g.radius_squared(-0.5, 0.5, 0.5)));
    }
    return step_bound.enough() <= furthest ? step_bound.enough() : HUGE_VALF;
  }

  double far_enough() const override {
    if constexpr (kShape == kSquare) return HUGE_VAL;
    return std::sqrt(static_cast<double>(enough())) * static_cast<double>(kAbove) /
           parameters.least_stiffness;
  }

  bool scatters(double h, double k, double l) const override {
    return parameters.interpolate || table.at(h, k, l) != Real(0);
  }

  template <Form kForm>
  void run_with_halos(Scattering& q) const {
    if (halos.any()) {
      std::fill(q.sum, q.sum + kLanes, 0.0);
      return halos.template add<kForm>(domain_of<kForm>(0, q), q);
    }
    run_all<kForm>(q);
    if (!diffuse.any()) return;
    for (std::int64_t d = 0; d < parameters.domains; ++d) {
      diffuse.template add<kForm>(domain_of<kForm>(d, q), q);
    }
  }

  template <Form kForm>
  void run_all(Scattering& q) const {
    const bool dense = !parameters.interpolate && !(parameters.reach > 0.0);
    if (dense && !broad.any() && q.last - q.first == kLanes) {
      return add_dense<kForm>(0, parameters.domains, true, q);
    }
    std::fill(q.sum, q.sum + kLanes, 0.0);
    if (parameters.interpolate) {
      for (std::int64_t d = 0; d < parameters.domains; ++d) add_interpolated<kLanes, kForm>(d, q);
    } else if (!dense) {
      narrow_scattering(q);
      for (const Family& family : narrow.list()) add_family<kForm>(family, q);
    } else if (!broad.any()) {
      add_dense<kForm>(0, parameters.domains, false, q);
    } else if constexpr (kBroad) {
      narrow_scattering(q);
      for (const Family& family : broad.list()) add_broad<kForm>(family, q);
    }
  }

  // Domains with narrow spots.
  template <Form kForm>
  void add_family(const Family& family, Scattering& q) const {
    if (!family.worth()) return add_narrow<kForm>(family, q);
    if (!narrow.choose<kPlain>(parameters, family, q)) return;
    const Chosen& chosen = *q.chosen;
    add_narrow<kForm>(family, q.chosen->scattering);
    for (int i = 0; i < chosen.count; ++i) q.sum[chosen.lane[i]] = chosen.scattering.sum[i];
  }

  template <Form kForm>
  void add_narrow(const Family& family, Scattering& q) const {
    for (std::int64_t d = family.first; d < family.first + family.count; ++d) {
      if constexpr (ShapeRow<kShape>::kZeroSquared < HUGE_VAL) {
        add_flat<kForm>(d, q);
      } else {
        add_sparse<kForm>(d, q);
      }
    }
  }

  // Domains with broad spots. Lanes in which one comes close to the border between two lattice
  // points are done again, in float64.
  template <Form kForm>
  void add_broad(const Family& family, Scattering& q) const {
    const std::int64_t after = family.first + family.count;
    if (!broad.serves(family)) return add_dense<kForm>(family.first, after, false, q);
    Domain mean(family.mean, Frame(parameters, q.directions->layer), *q.source);
    if (kForm == Form::kRow) mean.lay_along(q.directions->slow[0]);
    Shared shared;
    double before[kStrip], sum[kStrip];
    const int first = q.first, last = q.last;
    for (int strip = first; strip < last; strip += kStrip) {
      std::copy(q.sum + strip, q.sum + strip + kStrip, before);
      BroadFamilies::share<kForm>(mean, table, q, strip, shared);
      broad.add<kPlain>(family, shared, q.sum + strip);
      const float closest = *std::min_element(shared.closest, shared.closest + kStrip);
      if (closest > BroadFamilies::kClose) continue;
      std::copy(q.sum + strip, q.sum + strip + kStrip, sum);
      std::copy(before, before + kStrip, q.sum + strip);
      q.first = strip, q.last = strip + kStrip;
      add_dense<kForm>(family.first, after, false, q);
      for (int i = 0; i < kStrip; ++i) {
        if (shared.closest[i] > BroadFamilies::kClose) q.sum[strip + i] = sum[i];
      }
    }
    q.first = first, q.last = last;
  }

  // Where steps might be skipped domains are added one by one: the same bits either way. `first`:
  // the lanes are not cleared.
  template <Form kForm>
  void add_dense(std::int64_t from, std::int64_t to, bool first, Scattering& q) const {
    const std::int64_t singles = parameters.in_pairs ? (to - from) % 2 : to - from;
    for (std::int64_t d = from; d < from + singles; ++d) {
      const Domain one = domain_of<kForm>(d, q);
      add_block<kForm>(one, nullptr, first && d == from, q);
    }
    for (std::int64_t d = from + singles; d < to; d += 2) {
      const Domain one = domain_of<kForm>(d, q);
      const Domain two = domain_of<kForm>(d + 1, q);
      add_block<kForm>(one, &two, first && d == from, q);
    }
  }

  template <Form kForm>
  void add_block(const Domain& one, const Domain* two, bool first, Scattering& q) const {
    if constexpr (kForm == Form::kRow) {
      first ? add<true, kForm>(one, two, q, q.first, q.last) : add<false, kForm>(one, two, q, q.first, q.last);
    } else {
      // Rarer, and from 0 on the same bits.
      if (first) std::fill(q.sum, q.sum + kLanes, 0.0);
      add<false, kForm>(one, two, q, q.first, q.last);
    }
  }
};

template <class Real, int kShape>
std::unique_ptr<StepSum> make_step_sum_for(const Parameters& p, const std::vector<Source>& s,
                                           bool plain) {
  if (plain) return std::make_unique<DomainSum<Real, kShape, true>>(p, s);
  return std::make_unique<DomainSum<Real, kShape, false>>(p, s);
}

template <class Real>
std::unique_ptr<StepSum> make_step_sum_of(const Parameters& p, const std::vector<Source>& s) {
  const bool straight = p.metric[1] == 0.0 && p.metric[2] == 0.0 && p.metric[4] == 0.0;
  switch (p.shape) {
#define DISTBRAGG_CASE(shape) \
  case shape:                 \
    return make_step_sum_for<Real, shape>(p, s, straight);
    DISTBRAGG_RADIAL_SHAPES(DISTBRAGG_CASE)
#undef DISTBRAGG_CASE
    default:
      return make_step_sum_for<Real, kSquare>(
          p, s, p.cells[0] > 1.0 && p.cells[1] > 1.0 && p.cells[2] > 1.0);
  }
}

inline std::unique_ptr<StepSum> make_step_sum(const Parameters& p, const std::vector<Source>& s) {
  return p.double_precision ? make_step_sum_of<double>(p, s) : make_step_sum_of<float>(p, s);
}

}  // namespace distbragg
