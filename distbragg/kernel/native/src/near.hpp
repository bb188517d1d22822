// A test in float32 of how near a step is to a lattice point.
#pragma once

#include <cmath>

#include "approx.hpp"
#include "generated.hpp"

namespace distbragg {

// The radius of a step in float32, at half the cost of the step. A step may lie within the shape's
// zero where r² is below `outer`, and does where it is below `inner`: see `reach` in prepare.py. So
// near a lattice point float32 has the index of float64.
template <bool kPlain>
struct NearTest {
  float ax, ay, az, bx, by, bz, cx, cy, cz;
  float g00, g01, g02, g11, g12, g22, outer, inner;

  NearTest(const double* v, const Parameters& p, double zero)
      : ax(narrow(v[0])), ay(narrow(v[1])), az(narrow(v[2])), bx(narrow(v[3])), by(narrow(v[4])),
        bz(narrow(v[5])), cx(narrow(v[6])), cy(narrow(v[7])), cz(narrow(v[8])),
        g00(narrow(p.metric[0])), g01(narrow(p.metric[1])), g02(narrow(p.metric[2])),
        g11(narrow(p.metric[3])), g12(narrow(p.metric[4])), g22(narrow(p.metric[5])),
        outer(narrow(p.reach * p.reach)), inner(narrow(squared(2.0 * zero - p.reach))) {}

  static float narrow(double value) { return static_cast<float>(value); }
  static double squared(double r) { return r > 0.0 ? r * r : 0.0; }

  // r² from the lattice point that is nearest, whose indices it gives.
  DISTBRAGG_INLINE float operator()(float x, float y, float z, float& h, float& k,
                                    float& l) const {
    const float at_h = madd(ax, x, madd(ay, y, az * z));
    const float at_k = madd(bx, x, madd(by, y, bz * z));
    const float at_l = madd(cx, x, madd(cy, y, cz * z));
    h = std::nearbyint(at_h);
    k = std::nearbyint(at_k);
    l = std::nearbyint(at_l);
    const float dh = at_h - h, dk = at_k - k, dl = at_l - l;
    const float u = kPlain ? g00 * dh : madd(g00, dh, madd(g01, dk, g02 * dl));
    const float v = kPlain ? g11 * dk : madd(g11, dk, g12 * dl);
    const float w = g22 * dl;
    return madd(u, u, madd(v, v, w * w));
  }
};

}  // namespace distbragg
