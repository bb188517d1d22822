// The squared transform of the whole crystal at a distance from a lattice point.
#pragma once

#include <cmath>

#include "approx.hpp"
#include "generated.hpp"
#include "shapes.hpp"

namespace distbragg {

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

}  // namespace distbragg
