// The step itself: Miller indices of one mosaic domain, lattice transform, structure factor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>

#include "approx.hpp"
#include "bounds.hpp"
#include "geometry.hpp"
#include "params.hpp"

namespace distbragg {

// Lanes that are skipped together when all are exactly zero, and those of a group.
constexpr int kStrip = 16;

// Added to the distance from a lattice point: 0/0 becomes N without a branch, and the product
// of three sines stays a normal number. Far below what either precision resolves in an index.
template <class Real>
constexpr double kOffPeak = sizeof(Real) == sizeof(float) ? 1e-12 : 1e-40;

template <class Real>
struct Table {
  const Real* squared;
  std::uint32_t limit_h, limit_k, limit_l;
  std::int32_t origin_h, origin_k, origin_l;
  std::uint32_t stride_h, stride_k;

  explicit Table(const Parameters& p)
      : limit_h(static_cast<std::uint32_t>(p.box[0])),
        limit_k(static_cast<std::uint32_t>(p.box[1])),
        limit_l(static_cast<std::uint32_t>(p.box[2])),
        origin_h(static_cast<std::int32_t>(p.origin[0])),
        origin_k(static_cast<std::int32_t>(p.origin[1])),
        origin_l(static_cast<std::int32_t>(p.origin[2])),
        stride_h(static_cast<std::uint32_t>((p.box[1] + 1) * (p.box[2] + 1))),
        stride_k(static_cast<std::uint32_t>(p.box[2] + 1)) {
    if constexpr (sizeof(Real) == sizeof(float)) {
      squared = p.squared_f32;
    } else {
      squared = p.squared_f64;
    }
  }

  // An index below the box wraps to a huge unsigned number and, like one above it, lands on
  // the border plane that holds the default: no branch and no masked load.
  DISTBRAGG_INLINE Real at(double h, double k, double l) const {
    const std::uint32_t i = static_cast<std::uint32_t>(static_cast<std::int32_t>(h) - origin_h);
    const std::uint32_t j = static_cast<std::uint32_t>(static_cast<std::int32_t>(k) - origin_k);
    const std::uint32_t m = static_cast<std::uint32_t>(static_cast<std::int32_t>(l) - origin_l);
    const std::uint32_t a = std::min(i, limit_h);
    const std::uint32_t b = std::min(j, limit_k);
    const std::uint32_t c = std::min(m, limit_l);
    return squared[static_cast<std::int32_t>(a * stride_h + b * stride_k + c)];
  }
};

// Cell vectors of one domain, copied so that the compiler may keep them in registers.
struct Domain {
  double ax, ay, az, bx, by, bz, cx, cy, cz;
  explicit Domain(const double* v)
      : ax(v[0]), ay(v[1]), az(v[2]), bx(v[3]), by(v[4]), bz(v[5]), cx(v[6]), cy(v[7]), cz(v[8]) {}
};

struct Indices {
  double h, k, l;
  DISTBRAGG_INLINE Indices(const Domain& d, double x, double y, double z)
      : h(madd(d.ax, x, madd(d.ay, y, d.az * z))),
        k(madd(d.bx, x, madd(d.by, y, d.bz * z))),
        l(madd(d.cx, x, madd(d.cy, y, d.cz * z))) {}
};

DISTBRAGG_INLINE double nearest(double h) { return std::ceil(h - 0.5); }

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

// The squared transform of the whole crystal, without the factor that all steps share.
template <class Real, int kShape, bool kAllAxes>
struct Lattice {
  double na, nb, nc;
  double tophat_cut;
  Metric metric;

  explicit Lattice(const Parameters& p)
      : na(p.cells[0]), nb(p.cells[1]), nc(p.cells[2]), tophat_cut(p.tophat_cut), metric(p) {}

  DISTBRAGG_INLINE Real squared(double h, double k, double l) const {
    if constexpr (kShape == kSquare) {
      Interference<Real> a(h, na), b(k, nb), c(l, nc);
      if constexpr (!kAllAxes) {
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
      if constexpr (kShape == kRound) {
        return sinc3_squared(static_cast<Real>(metric.axes_squared(h, k, l)));
      } else if constexpr (kShape == kGauss) {
        return exp_poly(static_cast<Real>(-metric.radius_squared(h, k, l)));
      } else {
        return metric.radius_squared(h, k, l) < tophat_cut ? Real(1) : Real(0);
      }
    }
  }
};

// Four-point Lagrange weights at −1, 0, 1, 2 for the fraction t in [0, 1).
inline void cubic_weights(double t, double* w) {
  const double below = t + 1.0, above = t - 1.0, far = t - 2.0;
  w[0] = -t * above * far / 6.0;
  w[1] = below * above * far / 2.0;
  w[2] = -below * t * far / 2.0;
  w[3] = below * t * above / 6.0;
}

// Tricubic |F|² where the 4×4×4 support lies in the box; `fallback` elsewhere.
inline double tricubic_squared(const Parameters& p, double h, double k, double l,
                               double fallback) {
  const double index[3] = {h, k, l};
  double weight[3][4];
  std::int64_t first[3];
  for (int axis = 0; axis < 3; ++axis) {
    const double low = static_cast<double>(p.origin[axis]);
    const double range = static_cast<double>(p.box[axis]);
    // Written so that a NaN falls back too.
    const bool supported = !(index[axis] - low + 3.0 > range) && index[axis] - 2.0 >= low;
    if (!supported) return fallback;
    const double floor = std::floor(index[axis]);
    cubic_weights(index[axis] - floor, weight[axis]);
    first[axis] = static_cast<std::int64_t>(floor) - 1 - p.origin[axis];
  }
  double value = 0.0;
  for (int i = 0; i < 4; ++i) {
    double plane = 0.0;
    for (int j = 0; j < 4; ++j) {
      const double* row =
          p.amplitude + ((first[0] + i) * p.box[1] + first[1] + j) * p.box[2] + first[2];
      double line = weight[2][0] * row[0];
      for (int m = 1; m < 4; ++m) line = madd(weight[2][m], row[m], line);
      plane = madd(weight[1][j], line, plane);
    }
    value = madd(weight[0][i], plane, value);
  }
  return value * value;
}

// Whether a step may lie within `reach` of a lattice point, at half the cost of the step.
struct NearTest {
  float ax, ay, az, bx, by, bz, cx, cy, cz;
  float g00, g01, g02, g11, g12, g22, reach_squared;

  NearTest(const Domain& d, const Parameters& p)
      : ax(narrow(d.ax)), ay(narrow(d.ay)), az(narrow(d.az)), bx(narrow(d.bx)), by(narrow(d.by)),
        bz(narrow(d.bz)), cx(narrow(d.cx)), cy(narrow(d.cy)), cz(narrow(d.cz)),
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

template <class Real, int kShape, bool kAllAxes>
struct DomainSum final : StepSum {
  using Shape = Lattice<Real, kShape, kAllAxes>;

  const Parameters& parameters;
  const Table<Real> table;
  const Shape lattice;
  const StepBound<kShape> step_bound;

  explicit DomainSum(const Parameters& p)
      : parameters(p), table(p), lattice(p), step_bound(p) {}

  // |F|² F_latt². The table is scaled to at most 1, so that the product stays in the range of
  // float32.
  static DISTBRAGG_INLINE Real step(const Domain& domain, const Table<Real>& look,
                                    const Shape& shape, double x, double y, double z) {
    const Indices at(domain, x, y, z);
    const double h = nearest(at.h), k = nearest(at.k), l = nearest(at.l);
    return shape.squared(at.h - h, at.k - k, at.l - l) * look.at(h, k, l);
  }

  // Lanes [first, first + kCount): sum += the steps of one domain or of two, or = for kFirst.
  // Two share the loads and the sum in float64.
  template <int kCount, bool kFirst>
  DISTBRAGG_INLINE void add(const Domain& one, const Domain* two, Scattering& q, int first) const {
    const Table<Real> look = table;
    const Shape shape = lattice;
    const double* x = q.x + first;
    const double* y = q.y + first;
    const double* z = q.z + first;
    double* sum = q.sum + first;
    if (two == nullptr) {
#pragma omp simd
      for (int i = 0; i < kCount; ++i) {
        const double term = static_cast<double>(step(one, look, shape, x[i], y[i], z[i]));
        sum[i] = kFirst ? term : sum[i] + term;
      }
      return;
    }
    const Domain other = *two;
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      const Real pair = step(one, look, shape, x[i], y[i], z[i]) +
                        step(other, look, shape, x[i], y[i], z[i]);
      const double term = static_cast<double>(pair);
      sum[i] = kFirst ? term : sum[i] + term;
    }
  }

  // Narrow spots: a float32 test with a margin for its own error (see `reach` in prepare.py)
  // marks the strips that may hold a lane which is not exactly zero; only those are worked on.
  void add_sparse(const Domain& domain, Scattering& q) const {
    alignas(64) std::uint8_t visible[kLanes];
    const NearTest near(domain, parameters);
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) {
      visible[i] = near(q.x_single[i], q.y_single[i], q.z_single[i]) ? 1 : 0;
    }
    for (int strip = 0; strip < kLanes; strip += kStrip) {
      std::uint64_t any[kStrip / 8];
      std::memcpy(any, visible + strip, sizeof any);
      if (any[0] | any[1]) add<kStrip, false>(domain, nullptr, q, strip);
    }
  }

  template <int kCount>
  void add_interpolated(const Domain& domain, Scattering& q) const {
    alignas(64) double h[kCount], k[kCount], l[kCount], cell[kCount], latt[kCount];
    const Table<Real> look = table;
    const Shape shape = lattice;
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      const Indices at(domain, q.x[i], q.y[i], q.z[i]);
      const double h0 = nearest(at.h), k0 = nearest(at.k), l0 = nearest(at.l);
      h[i] = at.h;
      k[i] = at.k;
      l[i] = at.l;
      latt[i] = static_cast<double>(shape.squared(at.h - h0, at.k - k0, at.l - l0));
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
    if (!parameters.interpolate && !(parameters.reach > 0.0)) return run_dense(q);
    std::fill(q.sum, q.sum + kLanes, 0.0);
    for (std::int64_t d = 0; d < parameters.domains; ++d) {
      const Domain domain(parameters.domain_vectors + 9 * d);
      if (parameters.interpolate) {
        add_interpolated<kLanes>(domain, q);
      } else {
        add_sparse(domain, q);
      }
    }
  }

  void add_group(Scattering& q, std::int64_t index) const override {
    const Domain domain(parameters.domain_vectors + 9 * index);
    if (parameters.interpolate) {
      add_interpolated<kStrip>(domain, q);
    } else {
      add<kStrip, false>(domain, nullptr, q, 0);
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

  // Shapes whose steps may be skipped are added one by one here too: the same bits either way.
  static constexpr bool kInPairs = kShape == kSquare || kShape == kRound;

  void run_dense(Scattering& q) const {
    const double* vectors = parameters.domain_vectors;
    const std::int64_t singles = kInPairs ? parameters.domains % 2 : parameters.domains;
    for (std::int64_t d = 0; d < singles; ++d) {
      const Domain one(vectors + 9 * d);
      d == 0 ? add<kLanes, true>(one, nullptr, q, 0) : add<kLanes, false>(one, nullptr, q, 0);
    }
    for (std::int64_t d = singles; d < parameters.domains; d += 2) {
      const Domain one(vectors + 9 * d), two(vectors + 9 * (d + 1));
      d == 0 ? add<kLanes, true>(one, &two, q, 0) : add<kLanes, false>(one, &two, q, 0);
    }
  }
};

template <class Real>
std::unique_ptr<StepSum> make_step_sum_of(const Parameters& p) {
  const bool all_axes = p.cells[0] > 1.0 && p.cells[1] > 1.0 && p.cells[2] > 1.0;
  switch (p.shape) {
    case kRound:
      return std::make_unique<DomainSum<Real, kRound, true>>(p);
    case kGauss:
      return std::make_unique<DomainSum<Real, kGauss, true>>(p);
    case kTophat:
      return std::make_unique<DomainSum<Real, kTophat, true>>(p);
    default:
      if (all_axes) return std::make_unique<DomainSum<Real, kSquare, true>>(p);
      return std::make_unique<DomainSum<Real, kSquare, false>>(p);
  }
}

inline std::unique_ptr<StepSum> make_step_sum(const Parameters& p) {
  return p.double_precision ? make_step_sum_of<double>(p) : make_step_sum_of<float>(p);
}

}  // namespace distbragg
