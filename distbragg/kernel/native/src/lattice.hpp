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
#include "generated.hpp"
#include "geometry.hpp"
#include "indices.hpp"
#include "shapes.hpp"
#include "table.hpp"

namespace distbragg {

// Lanes that are skipped together when all are exactly zero, and those of a group.
constexpr int kStrip = 16;

// Added to the distance from a lattice point: 0/0 becomes N without a branch, and the product
// of three sines stays a normal number. Far below what either precision resolves in an index.
template <class Real>
constexpr double kOffPeak = sizeof(Real) == sizeof(float) ? 1e-12 : 1e-40;

struct Metric {
  double g00, g01, g02, g11, g12, g22;
  explicit Metric(const Parameters& p)
      : g00(p.metric[0]), g01(p.metric[1]), g02(p.metric[2]), g11(p.metric[3]), g12(p.metric[4]),
        g22(p.metric[5]) {}
  DISTBRAGG_INLINE double radius_squared(double h, double k, double l) const {
    const double x = madd(g00, h, madd(g01, k, g02 * l));
    const double y = madd(g11, k, g12 * l);
    const double z = g22 * l;
    return madd(x, x, madd(y, y, z * z));
  }
  // The same for a form without mixed terms.
  DISTBRAGG_INLINE double axes_squared(double h, double k, double l) const {
    const double x = g00 * h, y = g11 * k, z = g22 * l;
    return madd(x, x, madd(y, y, z * z));
  }
};

// One axis of a parallelepiped: sin(πNδ) and sin(πδ). Nδ is brought to its fraction in
// float64; only then may the precision drop. In float32 it would cost a tenth less time, and
// ten times the accuracy in the valleys between fringes.
template <class Real>
struct Interference {
  Real numerator, denominator;
  DISTBRAGG_INLINE Interference(double delta, double cells) {
    // Only the square of the ratio counts, so the sign of δ may go.
    const double distance = std::fabs(delta) + kOffPeak<Real>;
    const double rest = madd(cells, distance, -std::nearbyint(cells * distance));
    numerator = sin_pi(static_cast<Real>(rest));
    denominator = sin_pi(static_cast<Real>(distance));
  }
};

// The squared transform of the whole crystal, without the factor that all steps share. `kPlain`:
// every axis of SQUARE has more than one cell; the form of others has no mixed terms.
template <class Real, int kShape, bool kPlain>
struct Lattice {
  double na, nb, nc;
  Metric metric;

  explicit Lattice(const Parameters& p)
      : na(p.cells[0]), nb(p.cells[1]), nc(p.cells[2]), metric(p) {}

  DISTBRAGG_INLINE Real squared(double h, double k, double l) const {
    if constexpr (kShape == kSquare) {
      Interference<Real> a(h, na), b(k, nb), c(l, nc);
      if constexpr (!kPlain) {
        // An axis of one cell has no interference: the factor is exactly 1.
        a.numerator = na > 1.0 ? a.numerator : Real(1);
        a.denominator = na > 1.0 ? a.denominator : Real(1);
        b.numerator = nb > 1.0 ? b.numerator : Real(1);
        b.denominator = nb > 1.0 ? b.denominator : Real(1);
        c.numerator = nc > 1.0 ? c.numerator : Real(1);
        c.denominator = nc > 1.0 ? c.denominator : Real(1);
      }
      const Real ratio = (a.numerator * b.numerator * c.numerator) /
                         (a.denominator * b.denominator * c.denominator);
      return ratio * ratio;
    } else {
      return Radial<kShape>::template squared<Real>(
          kPlain ? metric.axes_squared(h, k, l) : metric.radius_squared(h, k, l));
    }
  }
};

// Whether a step may lie within `reach` of a lattice point, at half the cost of the step.
struct NearTest {
  float ax, ay, az, bx, by, bz, cx, cy, cz;
  float g00, g01, g02, g11, g12, g22, reach_squared;

  NearTest(const double* v, const Parameters& p)
      : ax(narrow(v[0])), ay(narrow(v[1])), az(narrow(v[2])), bx(narrow(v[3])), by(narrow(v[4])),
        bz(narrow(v[5])), cx(narrow(v[6])), cy(narrow(v[7])), cz(narrow(v[8])),
        g00(narrow(p.metric[0])), g01(narrow(p.metric[1])), g02(narrow(p.metric[2])),
        g11(narrow(p.metric[3])), g12(narrow(p.metric[4])), g22(narrow(p.metric[5])),
        reach_squared(narrow(p.reach * p.reach)) {}

  static float narrow(double value) { return static_cast<float>(value); }

  DISTBRAGG_INLINE bool operator()(float x, float y, float z) const {
    float h = madd(ax, x, madd(ay, y, az * z));
    float k = madd(bx, x, madd(by, y, bz * z));
    float l = madd(cx, x, madd(cy, y, cz * z));
    h -= std::nearbyint(h);
    k -= std::nearbyint(k);
    l -= std::nearbyint(l);
    const float u = madd(g00, h, madd(g01, k, g02 * l));
    const float v = madd(g11, k, g12 * l);
    const float w = g22 * l;
    return madd(u, u, madd(v, v, w * w)) < reach_squared;
  }
};

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

  const Parameters& parameters;
  const Domains domains;
  const Table<Real> table;
  const Shape lattice;
  const StepBound<kShape> step_bound;

  DomainSum(const Parameters& p, const std::vector<Source>& sources)
      : parameters(p), domains(p, sources), table(p), lattice(p), step_bound(p) {}

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

  // Lanes [first, first + kCount): sum += the steps of one domain or of two, or = for kFirst.
  // Two share the loads and the sum in float64.
  template <int kCount, bool kFirst, Form kForm>
  DISTBRAGG_INLINE void add(const Domain& one, const Domain* two, Scattering& q, int first) const {
    const Table<Real> look = table;
    const Shape shape = lattice;
    const Places at(*q.directions, first);
    double* sum = q.sum + first;
    const Domain domain = one;
    if (two == nullptr) {
#pragma omp simd
      for (int i = 0; i < kCount; ++i) {
        const double term = static_cast<double>(
            step<kForm>(domain, look, shape, at.one[i], at.two[i], at.three[i]));
        sum[i] = kFirst ? term : sum[i] + term;
      }
      return;
    }
    const Domain other = *two;
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      const Real pair = step<kForm>(domain, look, shape, at.one[i], at.two[i], at.three[i]) +
                        step<kForm>(other, look, shape, at.one[i], at.two[i], at.three[i]);
      const double term = static_cast<double>(pair);
      sum[i] = kFirst ? term : sum[i] + term;
    }
  }

  // Narrow spots: a float32 test with a margin for its own error (see `reach` in prepare.py)
  // marks the strips that may hold a lane which is not exactly zero; only those are worked on.
  template <Form kForm>
  void add_sparse(std::int64_t number, Scattering& q) const {
    alignas(64) std::uint8_t visible[kLanes];
    const NearTest near(parameters.domain_vectors + 9 * number, parameters);
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) {
      visible[i] = near(q.x_single[i], q.y_single[i], q.z_single[i]) ? 1 : 0;
    }
    const Domain domain = domain_of<kForm>(number, q);
    for (int strip = 0; strip < kLanes; strip += kStrip) {
      std::uint64_t any[kStrip / 8];
      std::memcpy(any, visible + strip, sizeof any);
      if (any[0] | any[1]) add<kStrip, false, kForm>(domain, nullptr, q, strip);
    }
  }

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
        return run_all<Form::kRow>(q);
      case Form::kRows:
        return run_all<Form::kRows>(q);
      default:
        return run_all<Form::kCurved>(q);
    }
  }

  // The panel is flat, and a group has several rows.
  void add_group(Scattering& q, std::int64_t number) const override {
    if (parameters.interpolate) {
      add_interpolated<kStrip, Form::kRows>(number, q);
    } else {
      const Domain domain = domain_of<Form::kRows>(number, q);
      add<kStrip, false, Form::kRows>(domain, nullptr, q, 0);
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
  void run_all(Scattering& q) const {
    if (!parameters.interpolate && !(parameters.reach > 0.0)) return run_dense<kForm>(q);
    std::fill(q.sum, q.sum + kLanes, 0.0);
    for (std::int64_t d = 0; d < parameters.domains; ++d) {
      if (parameters.interpolate) {
        add_interpolated<kLanes, kForm>(d, q);
      } else {
        add_sparse<kForm>(d, q);
      }
    }
  }

  // Where steps might be skipped domains are added one by one here too: the same bits either way.
  template <Form kForm>
  void run_dense(Scattering& q) const {
    const std::int64_t singles =
        parameters.in_pairs ? parameters.domains % 2 : parameters.domains;
    for (std::int64_t d = 0; d < singles; ++d) {
      const Domain one = domain_of<kForm>(d, q);
      add_block<kForm>(one, nullptr, d == 0, q);
    }
    for (std::int64_t d = singles; d < parameters.domains; d += 2) {
      const Domain one = domain_of<kForm>(d, q);
      const Domain two = domain_of<kForm>(d + 1, q);
      add_block<kForm>(one, &two, d == 0, q);
    }
  }

  template <Form kForm>
  void add_block(const Domain& one, const Domain* two, bool first, Scattering& q) const {
    if constexpr (kForm == Form::kRow) {
      first ? add<kLanes, true, kForm>(one, two, q, 0) : add<kLanes, false, kForm>(one, two, q, 0);
    } else {
      // Rarer, and from 0 on the same bits.
      if (first) std::fill(q.sum, q.sum + kLanes, 0.0);
      add<kLanes, false, kForm>(one, two, q, 0);
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
