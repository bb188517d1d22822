// The table of |F|²: the entry nearest to an index, or the tricubic polynomial about it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "approx.hpp"
#include "generated.hpp"

namespace distbragg {

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
  template <class Index>
  static DISTBRAGG_INLINE std::uint32_t inside(Index index, std::int32_t origin,
                                               std::uint32_t limit) {
    return std::min(static_cast<std::uint32_t>(static_cast<std::int32_t>(index) - origin), limit);
  }

  // What an index along an axis adds to the place in the table.
  template <class Index>
  DISTBRAGG_INLINE std::uint32_t along_h(Index h) const {
    return inside(h, origin_h, limit_h) * stride_h;
  }
  template <class Index>
  DISTBRAGG_INLINE std::uint32_t along_k(Index k) const {
    return inside(k, origin_k, limit_k) * stride_k;
  }
  template <class Index>
  DISTBRAGG_INLINE std::uint32_t along_l(Index l) const {
    return inside(l, origin_l, limit_l);
  }

  template <class Index>
  DISTBRAGG_INLINE std::int32_t place(Index h, Index k, Index l) const {
    return static_cast<std::int32_t>(along_h(h) + along_k(k) + along_l(l));
  }

  template <class Index>
  DISTBRAGG_INLINE Real at(Index h, Index k, Index l) const {
    return squared[place(h, k, l)];
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

}  // namespace distbragg
