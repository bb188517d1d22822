// Which reflections are seen in a tile, and where: the twin of physics/near_sphere.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "relp.hpp"
#include "sighting.hpp"

namespace distbragg::closed {

// Finds the reflections of one source, in order of h, k, l.
class NearSphere {
 public:
  NearSphere(const Crystal& crystal, const Incidence& in)
      : sighting_(crystal, in, farthest(crystal, in)), farthest_(farthest(crystal, in)) {
    const double k = in.wavenumber;
    const double half = 0.5 * (crystal.spindle.stop - crystal.spindle.start);
    const double bent = farthest_ * half * (1.0 + half);
    const double variance = trace(crystal.covariance) + k * k * trace(sighting_.spread()) +
                            farthest_ * farthest_ *
                                (trace(crystal.mosaic) + crystal.strains.square()) +
                            4.0 * in.width * in.width;
    thickness_ = crystal.cut * std::sqrt(variance) + bent + 2.0 * std::max(in.high, -in.low);
  }

  // Calls found(place).
  template <class Found>
  void each(Found found) const {
    in_points([&](const Points& points) { sighting_.see(points, found); });
  }

  // Calls near(points) with those that come near the sphere, whether they are seen or not.
  template <class Near>
  void in_points(Near near) const {
    const Crystal& x = sighting_.crystal();
    Points points;
    const auto look = [&] {
      sighting_.approach(points);
      near(points);
      points.count = 0;
    };
    // |h| ≤ |a| |g|: the lengths of the cell's edges from those of the dual vectors.
    const double volume = dot(x.a, across(x.b, x.c));
    const Vector bc = across(x.b, x.c), ca = across(x.c, x.a);
    const double per = farthest_ / std::fabs(volume);
    const std::int64_t most_h = static_cast<std::int64_t>(std::sqrt(dot(bc, bc)) * per);
    const std::int64_t most_k = static_cast<std::int64_t>(std::sqrt(dot(ca, ca)) * per);
    for (std::int64_t h = -most_h; h <= most_h; ++h) {
      for (std::int64_t k = -most_k; k <= most_k; ++k) {
        column(static_cast<double>(h), static_cast<double>(k), [&](double l) {
          points.add(static_cast<double>(h), static_cast<double>(k), l);
          if (points.count == Points::kMost) look();
        });
      }
    }
    look();
  }

  // Looks at some lattice points; calls found(place) for those that are seen.
  template <class Found>
  void see(Points& points, Found found) const {
    sighting_.approach(points);
    sighting_.see(points, found);
  }

  // The wavenumbers at which a lattice point is seen, `wider` times as far as to first order; false
  // where it is on the sphere at none.
  bool window(const Vector& g, double wider, double& start, double& stop) const {
    const Vector& direction = sighting_.in().direction;
    const double ahead = dot(direction, g);
    if (!(ahead < 0.0)) return false;
    const double k = -0.5 * dot(g, g) / ahead;
    const Vector ray = unit(k * direction + g);
    const double along = dot(ray, times(sighting_.covariance<true>(g, ray - direction), ray));
    const double cut = sighting_.crystal().cut;
    const double half = wider * cut * std::sqrt(along) / (1.0 - dot(ray, direction));
    start = k - half;
    stop = k + half;
    return half < HUGE_VAL;
  }

 private:
  // |q| ≤ 2k, and a little more for what is off the sphere.
  static double farthest(const Crystal& crystal, const Incidence& in) {
    const double k = in.wavenumber;
    return crystal.shortest > 0.0 ? std::min(2.2 * k, 1.0 / crystal.shortest) : 2.2 * k;
  }

  // Calls add(l) for what of a column may be near the sphere.
  template <class Add>
  void column(double h, double k, Add add) const {
    const Crystal& x = sighting_.crystal();
    const Incidence& in = sighting_.in();
    const Vector base = h * x.a + k * x.b;
    const double number = in.wavenumber;
    // l with |base + l c*| ≤ the farthest, and | |k s₀ + base + l c*| − k | ≤ the thickness.
    double low, high, outer_low, outer_high, inner_low, inner_high;
    if (!cut(base, farthest_, low, high)) return;
    const Vector from = number * in.direction + base;
    if (!cut(from, number + thickness_, outer_low, outer_high)) return;
    low = std::max(low, outer_low);
    high = std::min(high, outer_high);
    const double inside = number - thickness_;
    if (inside > 0.0 && cut(from, inside, inner_low, inner_high)) {
      range(low, std::min(high, inner_low), add);
      // A whole index between both belongs to the first.
      range(std::max({low, inner_high, std::floor(std::min(high, inner_low)) + 0.5}), high, add);
    } else {
      range(low, high, add);
    }
  }

  // The part of a column within a ball; false where it passes by.
  bool cut(const Vector& from, double radius, double& low, double& high) const {
    const Vector& c = sighting_.crystal().c;
    const double square = dot(c, c), half = dot(from, c) / square;
    const double rest = half * half - (dot(from, from) - radius * radius) / square;
    if (rest < 0.0) return false;
    const double root = std::sqrt(rest);
    low = -half - root;
    high = -half + root;
    return true;
  }

  template <class Add>
  static void range(double low, double high, Add& add) {
    const double last = std::floor(high);
    for (double l = std::ceil(low); l <= last; ++l) add(l);
  }

  Sighting sighting_;
  double farthest_, thickness_;
};

}  // namespace distbragg::closed
