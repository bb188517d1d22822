// Where a ray meets a panel: the inverse of geometry.hpp's positions.
#pragma once

#include <cmath>

#include "geometry.hpp"
#include "relp.hpp"

namespace distbragg::closed {

// Place on a panel in pixels from its outer corner; the first pixel's centre is at ½.
struct Landing {
  double fast, slow;
  bool hit;
};

// How a place at one depth of a sensor follows from that of the same ray at another: scale · place
// + start along each axis.
struct Depth {
  double fast_scale, fast_start, slow_scale, slow_start;

  DISTBRAGG_INLINE double fast(double place) const { return madd(fast_scale, place, fast_start); }
  DISTBRAGG_INLINE double slow(double place) const { return madd(slow_scale, place, slow_start); }
};

class Panel {
 public:
  explicit Panel(const Parameters& p)
      : origin_(load(p.panel_origin)), fast_(load(p.fast)), slow_(load(p.slow)),
        normal_(load(p.normal)), radius_(p.close_distance), surface_(p.surface),
        per_pixel_(1.0 / p.pixel_size) {
    foot_fast_ = dot(origin_, fast_);
    foot_slow_ = dot(origin_, slow_);
    plane_ = dot(origin_, normal_);
  }

  bool flat() const { return surface_ == kFlat; }

  // Follows a unit vector from the crystal to a depth, m, in the sensor of a flat panel.
  DISTBRAGG_INLINE Landing land_flat(const Vector& ray, double depth) const {
    const double u = dot(ray, fast_), v = dot(ray, slow_), w = dot(ray, normal_);
    const double length = (plane_ + depth) / w;
    return {(length * u - foot_fast_) * per_pixel_, (length * v - foot_slow_) * per_pixel_,
            w != 0.0 && length > 0.0};
  }

  // The same on any panel.
  Landing land(const Vector& ray, double depth) const {
    if (flat()) return land_flat(ray, depth);
    const double u = dot(ray, fast_), v = dot(ray, slow_), w = dot(ray, normal_);
    const double deep = radius_ + depth;
    double fast = 0.0, slow = 0.0;
    if (surface_ == kSphere) {
      fast = radius_ * std::asin(std::fmax(-1.0, std::fmin(1.0, u)));
      slow = radius_ * std::atan2(v, w);
    } else if (surface_ == kCylinderSlow) {
      fast = radius_ * std::atan2(u, w);
      slow = deep * v / std::sqrt(madd(u, u, w * w));
    } else {
      slow = radius_ * std::atan2(v, w);
      fast = deep * u / std::sqrt(madd(v, v, w * w));
    }
    return {(fast - foot_fast_) * per_pixel_, (slow - foot_slow_) * per_pixel_, deep > 0.0};
  }

  // From one depth to another: along an axis that is not bent, places lie about the foot of the
  // perpendicular.
  Depth between(double from, double to) const {
    const double base = surface_ == kFlat ? plane_ : radius_, scale = (base + to) / (base + from);
    const double fast = surface_ == kFlat || surface_ == kCylinderFast ? scale : 1.0;
    const double slow = surface_ == kFlat || surface_ == kCylinderSlow ? scale : 1.0;
    return {fast, (fast - 1.0) * foot_fast_ * per_pixel_, slow,
            (slow - 1.0) * foot_slow_ * per_pixel_};
  }

  double facing(const Vector& ray) const { return std::fabs(dot(ray, normal_)); }
  // The least of all rays within an angle, rad, of an axis.
  double least_facing(const Vector& axis, double angle) const {
    const double most = std::acos(smaller(facing(axis), 1.0)) + angle;
    return most < 0.5 * kPi ? std::cos(most) : 0.0;
  }
  // To a flat panel, along its normal.
  double pixels_to(double depth) const { return std::fabs(plane_ + depth) * per_pixel_; }

 private:
  Vector origin_, fast_, slow_, normal_;
  double radius_, foot_fast_ = 0.0, foot_slow_ = 0.0, plane_ = 0.0;
  std::int64_t surface_;
  double per_pixel_;
};

// The ways along a panel's surface that its pixels go, which turn with a surface that is bent.
class SurfaceAxes {
 public:
  SurfaceAxes(const Parameters& p, double depth)
      : fast_(load(p.fast)), slow_(load(p.slow)), normal_(load(p.normal)), surface_(p.surface),
        longer_(p.surface == kFlat ? 1.0 : 1.0 + depth / p.close_distance) {}

  // The step from where a ray meets the surface, by lengths along the axes of the pixels.
  Vector step(const Vector& ray, double along, double down) const {
    if (surface_ == kFlat) return along * fast_ + down * slow_;
    const double u = dot(ray, fast_), v = dot(ray, slow_), w = dot(ray, normal_);
    if (surface_ == kCylinderFast) {
      const double bent = down * longer_ / std::sqrt(madd(v, v, w * w));
      return along * fast_ + (w * bent) * slow_ - (v * bent) * normal_;
    }
    if (surface_ == kCylinderSlow) {
      const double bent = along * longer_ / std::sqrt(madd(u, u, w * w));
      return (w * bent) * fast_ + down * slow_ - (u * bent) * normal_;
    }
    const double ring = std::sqrt(madd(v, v, w * w)), tilt = u * along / ring;
    const Vector about = (w * down - v * tilt) * slow_ - (v * down + w * tilt) * normal_;
    return longer_ * ((ring * along) * fast_ + about);
  }

 private:
  Vector fast_, slow_, normal_;
  std::int64_t surface_;
  double longer_;
};

}  // namespace distbragg::closed
