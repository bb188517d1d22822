// The cones from the sample that hold a lattice point's spot, cut with the panel. All in float32,
// domains side by side, widened by what that may be wrong by.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "approx.hpp"
#include "clusters.hpp"
#include "generated.hpp"
#include "geometry.hpp"

namespace distbragg {

// Where the spots of domains side by side may lie: pixels, both ends included.
struct alignas(64) Boxes {
  float fast_low[kClusterLanes], fast_high[kClusterLanes];
  float slow_low[kClusterLanes], slow_high[kClusterLanes];
};

// Lattice vectors of domains side by side, from the middle of the sphere.
struct alignas(64) Rays {
  float x[kClusterLanes], y[kClusterLanes], z[kClusterLanes], length[kClusterLanes];
};

// The ball about a lattice point, and the panel it is seen on, in pixels.
class Cones {
 public:
  explicit Cones(const Parameters& p) {
    const Vector f = load(p.fast), s = load(p.slow), n = load(p.normal), o = load(p.panel_origin);
    const double pixel = 1.0 / p.pixel_size, plane = dot(o, n);
    for (int k = 0; k < 3; ++k) {
      fast_[k] = static_cast<float>(p.fast[k]);
      slow_[k] = static_cast<float>(p.slow[k]);
      normal_[k] = static_cast<float>(p.normal[k]);
    }
    nearest_ = static_cast<float>((plane + p.layer_position[0]) * pixel);
    furthest_ = static_cast<float>((plane + p.layer_position[p.layers - 1]) * pixel);
    fast_origin_ = static_cast<float>(-dot(o, f) * pixel);
    slow_origin_ = static_cast<float>(-dot(o, s) * pixel);
  }

  // Sets the ball's radius, 1/Å, and what is added to the sine of half a cone's opening.
  void widen(double ball, double error) {
    ball_ = static_cast<float>(ball);
    error_ = static_cast<float>(error);
  }

  // Whether its axes are at right angles, which the cut takes for granted.
  static bool square(const Parameters& p) {
    const Vector f = load(p.fast), s = load(p.slow), n = load(p.normal);
    const double errors[6] = {dot(f, s),       dot(f, n),       dot(s, n),
                              dot(f, f) - 1.0, dot(s, s) - 1.0, dot(n, n) - 1.0};
    return std::all_of(errors, errors + 6, [](double e) { return std::fabs(e) < 1e-7; });
  }

  // Points a lattice point of every domain from the middle of a sphere of this radius; bits of
  // those whose ball touches it.
  std::uint32_t aim(const Vector& incident, double radius, const ReciprocalLanes& lanes,
                    const double* index, Rays& rays) const {
    const float h = static_cast<float>(index[0]), k = static_cast<float>(index[1]);
    const float l = static_cast<float>(index[2]);
    const float ix = static_cast<float>(incident.x);
    const float iy = static_cast<float>(incident.y);
    const float iz = static_cast<float>(incident.z);
    const float sphere = static_cast<float>(radius), ball = ball_;
    const auto& of = lanes.axis;
    std::uint32_t touching = 0;
#pragma omp simd reduction(| : touching)
    for (int i = 0; i < kClusterLanes; ++i) {
      const float x = madd(h, of[0][i], madd(k, of[3][i], madd(l, of[6][i], ix)));
      const float y = madd(h, of[1][i], madd(k, of[4][i], madd(l, of[7][i], iy)));
      const float z = madd(h, of[2][i], madd(k, of[5][i], madd(l, of[8][i], iz)));
      const float length = std::sqrt(madd(x, x, madd(y, y, z * z)));
      rays.x[i] = x;
      rays.y[i] = y;
      rays.z[i] = z;
      rays.length[i] = length;
      touching |= std::fabs(length - sphere) <= ball ? 1u << i : 0u;
    }
    return touching;
  }

  // Cuts the cones that hold the balls' part of the sphere with the panel.
  void cut(double radius, const Rays& rays, Boxes& boxes) const {
    const Cones s = *this;
    const float sphere = static_cast<float>(radius), ball = ball_, error = error_;
#pragma omp simd
    for (int i = 0; i < kClusterLanes; ++i) {
      const float x = rays.x[i], y = rays.y[i], z = rays.z[i];
      const float off = rays.length[i] - sphere, inverse = 1.0f / rays.length[i];
      // 1 − cos of the angle within which a vector of the sphere is in the ball.
      const float room = std::max(ball * ball - off * off, 0.0f);
      const float versine = 0.5f * room * inverse / sphere;
      const float sine = std::sqrt(versine * (2.0f - versine)) * 1.0001f + error;
      const float f = (x * s.fast_[0] + y * s.fast_[1] + z * s.fast_[2]) * inverse;
      const float v = (x * s.slow_[0] + y * s.slow_[1] + z * s.slow_[2]) * inverse;
      const float n = (x * s.normal_[0] + y * s.normal_[1] + z * s.normal_[2]) * inverse;
      span(f, n, sine, s, s.fast_origin_, boxes.fast_low[i], boxes.fast_high[i]);
      span(v, n, sine, s, s.slow_origin_, boxes.slow_low[i], boxes.slow_high[i]);
    }
  }

 private:
  // Extent of a cone's cut along one axis of the panel. `along` and `normal` are components
  // of its axis, `sine` that of half its opening.
  static DISTBRAGG_INLINE void span(float along, float normal, float sine, const Cones& s,
                                    float origin, float& low, float& high) {
    // The planes through the sample and the panel's other axis that touch the cone.
    const float plane = madd(along, along, normal * normal);
    const float tangent = along / normal;
    const float opening = sine / std::sqrt(std::max(plane - sine * sine, 1e-6f));
    const float below = 1.0f + tangent * opening, above = 1.0f - tangent * opening;
    const float a = (tangent - opening) / below, b = (tangent + opening) / above;
    const bool bounded = below > 0.05f && above > 0.05f;
    const float ends[4] = {a * s.nearest_, a * s.furthest_, b * s.nearest_, b * s.furthest_};
    const float least = std::min(std::min(ends[0], ends[1]), std::min(ends[2], ends[3]));
    const float most = std::max(std::max(ends[0], ends[1]), std::max(ends[2], ends[3]));
    // Rounding of the panel's own numbers.
    const float slack = madd(std::fabs(origin) + std::max(std::fabs(least), std::fabs(most)),
                             1e-6f, 0.02f);
    low = bounded ? least + origin - slack : -1e9f;
    high = bounded ? most + origin + slack : 1e9f;
  }

  float fast_[3], slow_[3], normal_[3];
  float nearest_, furthest_;         // distance of the layers along the normal
  float fast_origin_, slow_origin_;  // foot of the normal from the sample
  float ball_ = 0.0f, error_ = 0.0f;
};

}  // namespace distbragg
