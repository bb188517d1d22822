// Which reflections are seen in a tile, and where: the twin of physics/near_sphere.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "relp.hpp"
#include "strain.hpp"

namespace distbragg::closed {

inline Symmetric symmetric(const double* m) { return {m[0], m[1], m[2], m[3], m[4], m[5]}; }

inline double trace(const Symmetric& m) { return m.xx + m.yy + m.zz; }

// What all reflections of a source have in common, in one part of the rotation.
struct Crystal {
  Vector a, b, c;  // a*, b*, c*, 1/Å
  Symmetric covariance, mosaic;
  Spindle spindle;
  double cut;       // standard deviations
  double shortest;  // Å, spacing; 0: no limit
  Strains strains;  // of a spread of cells

  // Part number `part` of the rotation, whose parts are as long as one another.
  Crystal(const Parameters& p, std::int64_t part)
      : a(load(p.reciprocal)), b(load(p.reciprocal + 3)), c(load(p.reciprocal + 6)),
        covariance(symmetric(p.relp_covariance)), mosaic(symmetric(p.mosaic_covariance)),
        spindle{load(p.spindle), p.rotation[0], p.rotation[1]}, cut(p.cut),
        shortest(p.shortest_spacing), strains(p) {
    if (p.parts <= 1) return;
    const double width = (p.rotation[1] - p.rotation[0]) / static_cast<double>(p.parts);
    const double middle = madd(static_cast<double>(part) + 0.5, width, p.rotation[0]);
    spindle.start = -0.5 * width;
    spindle.stop = 0.5 * width;
    const double sine = std::sin(middle), cosine = std::cos(middle);
    for (Vector* edge : {&a, &b, &c}) *edge = turn(*edge, spindle.axis, sine, cosine);
    const Vector x = turn({1.0, 0.0, 0.0}, spindle.axis, -sine, cosine);
    const Vector y = turn({0.0, 1.0, 0.0}, spindle.axis, -sine, cosine);
    const Vector z = turn({0.0, 0.0, 1.0}, spindle.axis, -sine, cosine);
    covariance = within(covariance, x, y, z);
    mosaic = within(mosaic, x, y, z);
    strains.turn(x, y, z);
  }

  bool rotates() const { return spindle.stop > spindle.start; }
};

// A reflection as it is seen to first order.
struct Place {
  std::int32_t h, k, l;
  Vector relp;            // g, 1/Å
  Vector centre;          // unit vector to where it is brightest
  Vector first, second;   // unit vectors across it: about the beam, and towards it
  double xx, xy, yy;      // covariance of the angles along them
  double own_xx, own_xy, own_yy;  // of one line, or one angle of the spindle
  double bow;             // of its ridge: towards the beam by this times the square of the first
  double reach;           // to how many standard deviations it is rendered
  double size;            // √|Σ|, 1/Å³
};

// Finds the reflections of one source, in order of h, k, l.
class NearSphere {
 public:
  NearSphere(const Crystal& crystal, const Incidence& in)
      : crystal_(crystal), in_(in), spread_(outer(in.one) + outer(in.two)) {
    const double k = in.wavenumber;
    // |q| ≤ 2k, and a little more for what is off the sphere.
    farthest_ = crystal.shortest > 0.0 ? std::min(2.2 * k, 1.0 / crystal.shortest) : 2.2 * k;
    const double half = 0.5 * (crystal.spindle.stop - crystal.spindle.start);
    const double bent = farthest_ * half * (1.0 + half);
    const double variance = trace(crystal.covariance) + k * k * trace(spread_) +
                            farthest_ * farthest_ *
                                (trace(crystal.mosaic) + crystal.strains.square()) +
                            4.0 * in.width * in.width;
    thickness_ = crystal.cut * std::sqrt(variance) + bent + 2.0 * std::max(in.high, -in.low);
  }

  template <class Found>
  void each(Found found) const {
    const Crystal& x = crystal_;
    // |h| ≤ |a| |g|: the lengths of the cell's edges from those of the dual vectors.
    const double volume = dot(x.a, across(x.b, x.c));
    const Vector bc = across(x.b, x.c), ca = across(x.c, x.a);
    const double per = farthest_ / std::fabs(volume);
    const std::int64_t most_h = static_cast<std::int64_t>(std::sqrt(dot(bc, bc)) * per);
    const std::int64_t most_k = static_cast<std::int64_t>(std::sqrt(dot(ca, ca)) * per);
    for (std::int64_t h = -most_h; h <= most_h; ++h) {
      for (std::int64_t k = -most_k; k <= most_k; ++k) column(h, k, found);
    }
  }

  // The wavenumbers at which a lattice point is seen, `wider` times as far as to first order; false
  // where it is on the sphere at none.
  bool window(const Vector& g, double wider, double& start, double& stop) const {
    const double ahead = dot(in_.direction, g);
    if (!(ahead < 0.0)) return false;
    const double k = -0.5 * dot(g, g) / ahead;
    const Vector ray = unit(k * in_.direction + g);
    const double along = dot(ray, times(covariance(g, ray - in_.direction), ray));
    const double half = wider * crystal_.cut * std::sqrt(along) / (1.0 - dot(ray, in_.direction));
    start = k - half;
    stop = k + half;
    return half < HUGE_VAL;
  }

  // Looks at one lattice point; false where it is not seen.
  bool see(std::int64_t h, std::int64_t k, std::int64_t l, Place& place) const {
    const Vector g = static_cast<double>(h) * crystal_.a + static_cast<double>(k) * crystal_.b +
                     static_cast<double>(l) * crystal_.c;
    const double length = std::sqrt(dot(g, g));
    if (length > farthest_) return false;
    if (crystal_.shortest > 0.0 && length * crystal_.shortest > 1.0) return false;
    const double number = in_.wavenumber;
    const Vector outgoing = number * in_.direction + g;
    const double size = std::sqrt(dot(outgoing, outgoing));
    if (size == 0.0) return false;
    const Vector ray = (1.0 / size) * outgoing;
    if (far_off(g, ray, size - number)) return false;
    Vector first, second;
    tangents(ray, first, second);
    const Symmetric total = covariance(g, ray - in_.direction);
    const Vector image = times(total, ray);
    const double along = dot(ray, image), off = size - number;
    const double lean1 = dot(first, image) / along, lean2 = dot(second, image) / along;
    // What the frame takes in: angles of the spindle, or lines of a spectrum about the mean.
    const Vector speed = crystal_.rotates() ? across(crystal_.spindle.axis, g)
                                            : in_.direction - ray;
    const double low = crystal_.rotates() ? crystal_.spindle.start : in_.low;
    const double high = crystal_.rotates() ? crystal_.spindle.stop : in_.high;
    const double towards = dot(speed, ray);
    const double nearest = towards != 0.0 ? -off / towards : 0.5 * (low + high);
    const double rest = madd(std::clamp(nearest, low, high), towards, off);
    const double square = rest * rest / along, cut = crystal_.cut;
    if (square > cut * cut) return false;
    const double reach = std::sqrt(cut * cut - square);
    // The part of it in which the reflection is lit: all of its passage, or as far as it goes.
    const double passage = cut * std::sqrt(along) / std::fmax(std::fabs(towards), 1e-30);
    const double from = std::max(low, nearest - passage), to = std::min(high, nearest + passage);
    const double middle = from <= to ? 0.5 * (from + to) : std::clamp(nearest, low, high);
    const double half = std::fmax(0.5 * (to - from), 0.0);
    const bool whole = half >= 0.99 * passage;
    // A part makes a band whose ends an ellipse of its length would cut: it is taken larger.
    const double wider = whole || half == 0.0 ? 1.0 : 1.25;
    const double part = half / std::fmax(reach, 1e-3);
    const double spread = whole ? along / (towards * towards) : 3.0 * part * part;
    const double speed1 = dot(speed, first), speed2 = dot(speed, second);
    const double per = 1.0 / number, away = madd(middle, towards, off);
    const double at1 = per * madd(middle, speed1, -lean1 * away);
    const double at2 = per * madd(middle, speed2, -lean2 * away);
    const Vector across1 = times(total, first), across2 = times(total, second);
    place.own_xx = per * per * madd(-lean1 * along, lean1, dot(first, across1));
    place.own_xy = per * per * madd(-lean1 * along, lean2, dot(first, across2));
    place.own_yy = per * per * madd(-lean2 * along, lean2, dot(second, across2));
    const double drift1 = per * madd(-lean1, towards, speed1);
    const double drift2 = per * madd(-lean2, towards, speed2);
    place.h = static_cast<std::int32_t>(h);
    place.k = static_cast<std::int32_t>(k);
    place.l = static_cast<std::int32_t>(l);
    place.relp = g;
    place.centre = unit(ray + at1 * first + at2 * second);
    // The axes stay across the centre; the turn is small, so the covariance is taken along.
    place.first = unit(first - dot(first, place.centre) * place.centre);
    place.second = across(place.centre, place.first);
    place.xx = madd(drift1 * spread, drift1, wider * place.own_xx);
    place.xy = madd(drift1 * spread, drift2, wider * place.own_xy);
    place.yy = madd(drift2 * spread, drift2, wider * place.own_yy);
    place.reach = reach;
    const double volume = determinant(total);
    place.size = std::sqrt(volume);
    settle(place, inverse(total, volume), middle);
    turn_to_beam(place);
    return true;
  }

 private:
  // Whether a reflection is too far from the sphere, told by less than it takes to see it.
  bool far_off(const Vector& g, const Vector& ray, double off) const {
    constexpr double kRounding = 1.0 + 1e-9;
    const Vector u = ray - in_.direction, lever = across(g, ray);
    const double k = in_.wavenumber, radial = in_.width * dot(u, ray);
    const double along = between(crystal_.covariance, ray, ray) +
                         crystal_.strains.variance(g, ray) +
                         between(crystal_.mosaic, lever, lever) +
                         k * k * between(spread_, ray, ray) + radial * radial;
    const Vector speed = crystal_.rotates() ? across(crystal_.spindle.axis, g) : -1.0 * u;
    const double towards = dot(speed, ray);
    const double low = crystal_.rotates() ? crystal_.spindle.start : in_.low;
    const double high = crystal_.rotates() ? crystal_.spindle.stop : in_.high;
    const double one = madd(low, towards, off), two = madd(high, towards, off);
    if (one * two <= 0.0) return false;
    const double rest = std::fmin(std::fabs(one), std::fabs(two));
    return rest * rest > kRounding * crystal_.cut * crystal_.cut * along;
  }

  // Moves the centre to where the spot is brightest on the sphere about the origin that rotations
  // keep a lattice point to, at a wavenumber or an angle from the middle.
  void settle(Place& place, const Symmetric& inverse, double middle) const {
    constexpr int kSteps = 3;
    Vector g = place.relp;
    double k = in_.wavenumber;
    if (crystal_.rotates()) {
      g = turn(g, crystal_.spindle.axis, std::sin(middle), std::cos(middle));
    } else {
      k += middle;
    }
    const double length = std::sqrt(dot(g, g));
    if (length == 0.0) return;
    const Vector along = (1.0 / length) * g;
    for (int step = 0; step < kSteps; ++step) {
      const Vector q = k * (place.centre - in_.direction);
      const double far = std::sqrt(dot(q, q)), ahead = dot(q, along);
      const Vector beside = q - ahead * along;
      const double side = std::sqrt(dot(beside, beside));
      const double stretch = side > 0.0 ? length * std::atan2(side, ahead) / side : 1.0;
      const Vector off = (far - length) * along + stretch * beside;
      // What is flat of it leaves that sphere by its sagitta.
      const Vector flat = off - turned_by(g, times(inverse, off));
      const double level = dot(flat, along);
      const double sagitta = (dot(flat, flat) - level * level) / (2.0 * length);
      const Vector pull = times(inverse, off - sagitta * along);
      const double one = dot(place.first, pull), two = dot(place.second, pull);
      const double first = k * madd(place.own_xx, one, place.own_xy * two);
      const double second = k * madd(place.own_xy, one, place.own_yy * two);
      place.centre = unit(place.centre - first * place.first - second * place.second);
      place.first = unit(place.first - dot(place.first, place.centre) * place.centre);
      place.second = across(place.centre, place.first);
    }
  }

  // The part of a displacement of covariance Σ that is due to rotations: [g]ₓ M [g]ₓᵀ times Σ⁻¹ d.
  Vector turned_by(const Vector& g, const Vector& pull) const {
    return across(g, times(crystal_.mosaic, across(pull, g)));
  }

  // Turns the axes across a spot about the beam and towards it. Rotations leave |q| as it is, so
  // that they spread a spot along the circle of its scattering angle, whose curvature is cot 2θ.
  void turn_to_beam(Place& place) const {
    constexpr double kLeast = 1e-6;
    place.bow = 0.0;
    const Vector about = across(in_.direction, place.centre);
    const double sine = std::sqrt(dot(about, about));
    if (sine < kLeast) return;
    const Vector axis = (1.0 / sine) * about;
    const double c = dot(place.first, axis), s = dot(place.second, axis);
    const auto turned = [c, s](double& xx, double& xy, double& yy) {
      const double both = 2.0 * c * s * xy, mixed = (c * c - s * s) * xy + c * s * (yy - xx);
      const double first = c * c * xx + both + s * s * yy;
      yy = s * s * xx - both + c * c * yy;
      xx = first;
      xy = mixed;
    };
    turned(place.xx, place.xy, place.yy);
    turned(place.own_xx, place.own_xy, place.own_yy);
    place.first = axis;
    place.second = across(place.centre, axis);
    // What is as wide as it is far from the beam is no arc.
    const double wide = place.reach * std::sqrt(place.xx);
    if (wide < 0.5 * sine) place.bow = 0.5 * dot(in_.direction, place.centre) / sine;
  }

  Symmetric covariance(const Vector& g, const Vector& u) const {
    const Symmetric& m = crystal_.mosaic;
    // [g]ₓ M [g]ₓᵀ by its rows: g × M × g.
    const Vector r0 = across(g, {m.xx, m.xy, m.xz}), r1 = across(g, {m.xy, m.yy, m.yz}),
                 r2 = across(g, {m.xz, m.yz, m.zz});
    const Vector c0 = across(g, {r0.x, r1.x, r2.x}), c1 = across(g, {r0.y, r1.y, r2.y}),
                 c2 = across(g, {r0.z, r1.z, r2.z});
    const Symmetric rotated = {c0.x, c1.x, c2.x, c1.y, c2.y, c2.z};
    const double k = in_.wavenumber;
    const Symmetric total =
        crystal_.covariance + rotated + scaled(spread_, k, k) + outer(in_.width * u);
    return crystal_.strains.count == 0 ? total : total + crystal_.strains.covariance(g);
  }

  template <class Found>
  void column(std::int64_t h, std::int64_t k, Found& found) const {
    const Crystal& x = crystal_;
    const Vector base = static_cast<double>(h) * x.a + static_cast<double>(k) * x.b;
    const double number = in_.wavenumber;
    // l with |base + l c*| ≤ the farthest, and | |k s₀ + base + l c*| − k | ≤ the thickness.
    double low, high, outer_low, outer_high, inner_low, inner_high;
    if (!cut(base, farthest_, low, high)) return;
    const Vector from = number * in_.direction + base;
    if (!cut(from, number + thickness_, outer_low, outer_high)) return;
    low = std::max(low, outer_low);
    high = std::min(high, outer_high);
    const double inside = number - thickness_;
    if (inside > 0.0 && cut(from, inside, inner_low, inner_high)) {
      range(h, k, low, std::min(high, inner_low), found);
      // A whole index between both belongs to the first.
      range(h, k, std::max({low, inner_high, std::floor(std::min(high, inner_low)) + 0.5}), high,
            found);
    } else {
      range(h, k, low, high, found);
    }
  }

  // The part of a column within a ball; false where it passes by.
  bool cut(const Vector& from, double radius, double& low, double& high) const {
    const Vector& c = crystal_.c;
    const double square = dot(c, c), half = dot(from, c) / square;
    const double rest = half * half - (dot(from, from) - radius * radius) / square;
    if (rest < 0.0) return false;
    const double root = std::sqrt(rest);
    low = -half - root;
    high = -half + root;
    return true;
  }

  template <class Found>
  void range(std::int64_t h, std::int64_t k, double low, double high, Found& found) const {
    Place place;
    const std::int64_t last = static_cast<std::int64_t>(std::floor(high));
    for (std::int64_t l = static_cast<std::int64_t>(std::ceil(low)); l <= last; ++l) {
      if (see(h, k, l, place)) found(place);
    }
  }

  const Crystal& crystal_;
  const Incidence& in_;
  Symmetric spread_;
  double farthest_, thickness_;
};

}  // namespace distbragg::closed
