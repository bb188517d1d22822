// How lattice points are seen in the light of one source, many side by side.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "approx.hpp"
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

// Lattice points that are looked at together. Of those near the sphere also g, the ray to each, and
// how far beyond the sphere it ends, 1/Å.
struct Points {
  static constexpr int kMost = 64;
  int count = 0;
  alignas(64) double h[kMost], k[kMost], l[kMost];
  alignas(64) double gx[kMost], gy[kMost], gz[kMost];
  alignas(64) double x[kMost], y[kMost], z[kMost], off[kMost];

  void add(double at_h, double at_k, double at_l) {
    h[count] = at_h, k[count] = at_k, l[count++] = at_l;
  }
  Vector relp(int i) const { return {gx[i], gy[i], gz[i]}; }
};

// Looks at lattice points. All of it is numbers: a loop over points has a copy of its own, which no
// store of the loop can change.
class Sighting {
 public:
  Sighting(const Crystal& crystal, const Incidence& in, double farthest)
      : crystal_(crystal), in_(in), spread_(outer(in.one) + outer(in.two)), farthest_(farthest) {}

  const Crystal& crystal() const { return crystal_; }
  const Incidence& in() const { return in_; }
  const Symmetric& spread() const { return spread_; }

  // Keeps the points that are near the sphere.
  void approach(Points& points) const {
    if (crystal_.strains.count > 0) rotates() ? near<true, true>(points) : near<false, true>(points);
    else rotates() ? near<true, false>(points) : near<false, false>(points);
  }

  // Calls found(place) for each of the points near the sphere that is seen, in their order.
  template <class Found>
  void see(const Points& points, Found& found) const {
    Seen seen;
    if (crystal_.strains.count > 0) {
      rotates() ? look<true, true>(points, seen) : look<false, true>(points, seen);
    } else {
      rotates() ? look<true, false>(points, seen) : look<false, false>(points, seen);
    }
    Place place;
    for (int i = 0; i < points.count; ++i) {
      if (!(seen.square[i] <= crystal_.cut * crystal_.cut)) continue;
      seen.take(points, i, place);
      found(place);
    }
  }

  // The covariance of a reflection, of which a source sees the displacements.
  template <bool kStrained>
  DISTBRAGG_INLINE Symmetric covariance(const Vector& g, const Vector& u) const {
    return covariance(g, u, flat<kStrained>(g));
  }

 private:
  // The part of it that does not rotate: the crystal's size, its strain, and the divergence.
  template <bool kStrained>
  DISTBRAGG_INLINE Symmetric flat(const Vector& g) const {
    const double k = in_.wavenumber;
    const Symmetric flat = crystal_.covariance + scaled(spread_, k, k);
    if constexpr (kStrained) return flat + crystal_.strains.covariance(g);
    return flat;
  }

  DISTBRAGG_INLINE Symmetric covariance(const Vector& g, const Vector& u,
                                        const Symmetric& flat) const {
    const Symmetric& m = crystal_.mosaic;
    // [g]ₓ M [g]ₓᵀ by its rows: g × M × g.
    const Vector r0 = across(g, {m.xx, m.xy, m.xz}), r1 = across(g, {m.xy, m.yy, m.yz}),
                 r2 = across(g, {m.xz, m.yz, m.zz});
    const Vector c0 = across(g, {r0.x, r1.x, r2.x}), c1 = across(g, {r0.y, r1.y, r2.y}),
                 c2 = across(g, {r0.z, r1.z, r2.z});
    const Symmetric rotated = {c0.x, c1.x, c2.x, c1.y, c2.y, c2.z};
    return flat + rotated + outer(in_.width * u);
  }

  // What is seen of points, by its numbers.
  struct Seen {
    alignas(64) double square[Points::kMost];  // of the standard deviations from the sphere
    alignas(64) double number[18][Points::kMost];

    DISTBRAGG_INLINE void put(int i, const Place& p) {
      number[0][i] = p.centre.x;
      number[1][i] = p.centre.y;
      number[2][i] = p.centre.z;
      number[3][i] = p.first.x;
      number[4][i] = p.first.y;
      number[5][i] = p.first.z;
      number[6][i] = p.second.x;
      number[7][i] = p.second.y;
      number[8][i] = p.second.z;
      number[9][i] = p.xx;
      number[10][i] = p.xy;
      number[11][i] = p.yy;
      number[12][i] = p.own_xx;
      number[13][i] = p.own_xy;
      number[14][i] = p.own_yy;
      number[15][i] = p.bow;
      number[16][i] = p.reach;
      number[17][i] = p.size;
    }
    void take(const Points& points, int i, Place& p) const {
      const auto vector = [&](int n) -> Vector {
        return {number[n][i], number[n + 1][i], number[n + 2][i]};
      };
      p.h = static_cast<std::int32_t>(points.h[i]);
      p.k = static_cast<std::int32_t>(points.k[i]);
      p.l = static_cast<std::int32_t>(points.l[i]);
      p.relp = points.relp(i);
      p.centre = vector(0), p.first = vector(3), p.second = vector(6);
      p.xx = number[9][i], p.xy = number[10][i], p.yy = number[11][i];
      p.own_xx = number[12][i], p.own_xy = number[13][i], p.own_yy = number[14][i];
      p.bow = number[15][i], p.reach = number[16][i], p.size = number[17][i];
    }
  };

  bool rotates() const { return crystal_.rotates(); }

  template <bool kRotates, bool kStrained>
  void near(Points& points) const {
    const Sighting own = *this;
    const int count = points.count;
    alignas(64) double is_near[Points::kMost];
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Crystal& crystal = own.crystal_;
      const Vector g =
          points.h[i] * crystal.a + points.k[i] * crystal.b + points.l[i] * crystal.c;
      const double length = std::sqrt(dot(g, g)), number = own.in_.wavenumber;
      const Vector outgoing = number * own.in_.direction + g;
      const double size = std::sqrt(dot(outgoing, outgoing)), off = size - number;
      const Vector ray = (1.0 / size) * outgoing;
      const bool finer = crystal.shortest > 0.0 && length * crystal.shortest > 1.0;
      const bool out = length > own.farthest_ || finer || size == 0.0 ||
                       own.far_off<kRotates, kStrained>(g, ray, off);
      is_near[i] = out ? 0.0 : 1.0;
      points.gx[i] = g.x, points.gy[i] = g.y, points.gz[i] = g.z;
      points.x[i] = ray.x, points.y[i] = ray.y, points.z[i] = ray.z;
      points.off[i] = off;
    }
    int kept = 0;
    for (int i = 0; i < count; ++i) {
      if (is_near[i] == 0.0) continue;
      for (double* numbers : {points.h, points.k, points.l, points.gx, points.gy, points.gz,
                              points.x, points.y, points.z, points.off}) {
        numbers[kept] = numbers[i];
      }
      ++kept;
    }
    points.count = kept;
  }

  // Whether a reflection is too far from the sphere, told by less than it takes to see it.
  template <bool kRotates, bool kStrained>
  DISTBRAGG_INLINE bool far_off(const Vector& g, const Vector& ray, double off) const {
    constexpr double kRounding = 1.0 + 1e-9;
    const Vector u = ray - in_.direction, lever = across(g, ray);
    const double k = in_.wavenumber, radial = in_.width * dot(u, ray);
    double along = between(crystal_.covariance, ray, ray);
    if constexpr (kStrained) along = along + crystal_.strains.variance(g, ray);
    along = along + between(crystal_.mosaic, lever, lever) + k * k * between(spread_, ray, ray) +
            radial * radial;
    const Vector speed = kRotates ? across(crystal_.spindle.axis, g) : -1.0 * u;
    const double towards = dot(speed, ray);
    const double low = kRotates ? crystal_.spindle.start : in_.low;
    const double high = kRotates ? crystal_.spindle.stop : in_.high;
    const double one = madd(low, towards, off), two = madd(high, towards, off);
    const double rest = smaller(std::fabs(one), std::fabs(two));
    return one * two > 0.0 && rest * rest > kRounding * crystal_.cut * crystal_.cut * along;
  }

  template <bool kRotates, bool kStrained>
  void look(const Points& points, Seen& seen) const {
    const Sighting own = *this;
    const int count = points.count;
#pragma omp simd
    for (int i = 0; i < count; ++i) own.look_at<kRotates, kStrained>(points, i, seen);
  }

  template <bool kRotates, bool kStrained>
  DISTBRAGG_INLINE void look_at(const Points& points, int i, Seen& seen) const {
    Place place;
    const Vector ray = {points.x[i], points.y[i], points.z[i]};
    seen.square[i] =
        see_one<kRotates, kStrained>(points.relp(i), ray, points.off[i], place);
    seen.put(i, place);
  }

  // Fills in how a point is seen; returns the square of its standard deviations from the sphere,
  // beyond whose cut that has no meaning.
  template <bool kRotates, bool kStrained>
  DISTBRAGG_INLINE double see_one(const Vector& g, const Vector& ray, double off,
                                  Place& place) const {
    const double number = in_.wavenumber;
    Vector first, second;
    tangents(ray, first, second);
    const Symmetric level = flat<kStrained>(g), total = covariance(g, ray - in_.direction, level);
    const Vector image = times(total, ray);
    const double along = dot(ray, image);
    const Met met = met_widths(total, image, along, first, second);
    const double lean1 = met.lean1, lean2 = met.lean2;
    // What the frame takes in: angles of the spindle, or lines of a spectrum about the mean.
    const Vector speed = kRotates ? across(crystal_.spindle.axis, g) : in_.direction - ray;
    const double low = kRotates ? crystal_.spindle.start : in_.low;
    const double high = kRotates ? crystal_.spindle.stop : in_.high;
    const double towards = dot(speed, ray);
    const double nearest = towards != 0.0 ? -off / towards : 0.5 * (low + high);
    const double clamped = nearest < low ? low : (nearest > high ? high : nearest);
    const double rest = madd(clamped, towards, off);
    const double square = rest * rest / along, cut = crystal_.cut;
    const double reach = std::sqrt(larger(cut * cut - square, 0.0));
    // The part of it in which the reflection is lit: all of its passage, or as far as it goes.
    const double passage = cut * std::sqrt(along) / larger(std::fabs(towards), 1e-30);
    const double from = larger(nearest - passage, low), to = smaller(nearest + passage, high);
    const double middle = from <= to ? 0.5 * (from + to) : clamped;
    const double taken = 0.5 * (to - from), half = larger(taken, 0.0);
    const bool whole = taken >= 0.99 * passage;
    // A part makes a band whose ends an ellipse of its length would cut: it is taken larger.
    const double wider = whole ? 1.0 : (taken > 0.0 ? 1.25 : 1.0);
    const double part = half / larger(reach, 1e-3);
    const double spread = whole ? along / (towards * towards) : 3.0 * part * part;
    const double speed1 = dot(speed, first), speed2 = dot(speed, second);
    const double per = 1.0 / number, away = madd(middle, towards, off);
    const double at1 = per * madd(middle, speed1, -lean1 * away);
    const double at2 = per * madd(middle, speed2, -lean2 * away);
    place.own_xx = per * per * met.xx;
    place.own_xy = per * per * met.xy;
    place.own_yy = per * per * met.yy;
    const double drift1 = per * madd(-lean1, towards, speed1);
    const double drift2 = per * madd(-lean2, towards, speed2);
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
    settle<kRotates>(place, g, level, total, inverse(total, volume), middle, wider);
    turn_to_beam(place, level);
    return square;
  }

  // How Σ leans along two axes across a vector, of which `image` is Σ times and `along` its variance,
  // and its covariance along them, given that there is nothing along the vector.
  struct Met {
    double lean1, lean2, xx, xy, yy;
  };
  static DISTBRAGG_INLINE Met met_widths(const Symmetric& total, const Vector& image, double along,
                                         const Vector& first, const Vector& second) {
    const double lean1 = dot(first, image) / along, lean2 = dot(second, image) / along;
    const Vector across1 = times(total, first), across2 = times(total, second);
    return {lean1, lean2, madd(-lean1 * along, lean1, dot(first, across1)),
            madd(-lean1 * along, lean2, dot(first, across2)),
            madd(-lean2 * along, lean2, dot(second, across2))};
  }

  // Moves the centre to where the spot is brightest on the sphere about the origin that rotations
  // keep a lattice point to, at a wavenumber or an angle from the middle. By Gauss-Newton, with the
  // covariance there, which counts `wider` times in all of it: that is taken of Σ itself, since of
  // what is a million times as thin as it is wide its inverse keeps too little.
  template <bool kRotates>
  DISTBRAGG_INLINE void settle(Place& place, Vector g, const Symmetric& level,
                               const Symmetric& total, const Symmetric& inverse, double middle,
                               double wider) const {
    double k = in_.wavenumber;
    if constexpr (kRotates) {
      double sine, cosine;
      sine_cosine(middle, sine, cosine);
      g = turn(g, crystal_.spindle.axis, sine, cosine);
    } else {
      k += middle;
    }
    const double length = std::sqrt(dot(g, g));
    const Vector along = (1.0 / length) * g;
    // What across g does not rotate of a displacement: rows of F Σ⁻¹, but for what is along g.
    const Vector f0 = times(inverse, {level.xx, level.xy, level.xz});
    const Vector f1 = times(inverse, {level.xy, level.yy, level.yz});
    const Vector f2 = times(inverse, {level.xz, level.yz, level.zz});
    const auto flat_of = [=](const Vector& v) __attribute__((always_inline)) -> Vector {
      const Vector flat = {dot(f0, v), dot(f1, v), dot(f2, v)};
      return flat - dot(flat, along) * along;
    };
    Place moved = place;
#pragma GCC unroll 2
    for (int step = 0; step < kSettling; ++step) {
      const Vector q = k * (moved.centre - in_.direction);
      const double far = std::sqrt(dot(q, q)), ahead = dot(q, along);
      const Vector beside = q - ahead * along;
      const double side = std::sqrt(dot(beside, beside)), per = side > 0.0 ? 1.0 / side : 0.0;
      const double stretch = side > 0.0 ? length * angle_of(side, ahead) * per : 1.0;
      const Vector off = (far - length) * along + stretch * beside;
      // What is flat of it, across g, leaves that sphere by its sagitta, and an angle there stands for
      // more of it than on the sphere of g.
      const Vector flat = flat_of(off), bent = (1.0 / length) * flat;
      const double longer = far / length;
      const Vector rest =
          off + (longer - 1.0) * flat - (0.5 * longer * dot(flat, bent)) * along;
      // How it changes with the direction: what leads away from the origin is along g there.
      const double over = k / far, cosine = ahead * over, sine = side * over;
      const Vector across_g = per * beside;
      const auto by = [=](const Vector& axis) __attribute__((always_inline)) {
        const double one = dot(axis, along), two = dot(axis, across_g);
        const double radial = madd(cosine, one, sine * two);
        const double turned = (length / far) * madd(cosine, two, -(sine * one));
        const Vector to = radial * along + turned * across_g +
                          (k * stretch) * (axis - one * along - two * across_g);
        const Vector own = flat_of(to);
        return to + (longer - 1.0) * own + radial * bent - (longer * dot(own, bent)) * along;
      };
      const Vector by1 = by(moved.first), by2 = by(moved.second);
      const Vector normal = across(by1, by2), image = times(total, normal);
      const double over_area = 1.0 / dot(normal, normal), off_plane = dot(normal, rest);
      const Vector dual1 = over_area * across(by2, normal), dual2 = over_area * across(normal, by1);
      const Met met = met_widths(total, image, dot(normal, image), dual1, dual2);
      moved.own_xx = met.xx, moved.own_xy = met.xy, moved.own_yy = met.yy;
      const double first = madd(-met.lean1, off_plane, dot(dual1, rest));
      const double second = madd(-met.lean2, off_plane, dot(dual2, rest));
      moved.centre = unit(moved.centre - first * moved.first - second * moved.second);
      moved.first = unit(moved.first - dot(moved.first, moved.centre) * moved.centre);
      moved.second = across(moved.centre, moved.first);
    }
    const bool lies = length > 0.0;  // 000 stays in the direct beam
    place.centre = chosen(lies, moved.centre, place.centre);
    place.first = chosen(lies, moved.first, place.first);
    place.second = chosen(lies, moved.second, place.second);
    const auto renew = [=](double& whole, double& own, double there)
                           __attribute__((always_inline)) {
      whole = lies ? madd(wider, there - own, whole) : whole;
      own = lies ? there : own;
    };
    renew(place.xx, place.own_xx, moved.own_xx);
    renew(place.xy, place.own_xy, moved.own_xy);
    renew(place.yy, place.own_yy, moved.own_yy);
  }

  // Turns the axes across a spot about the beam and towards it. Rotations leave |q| as it is, so
  // that they spread a spot along the circle of its scattering angle, whose curvature is cot 2θ; what
  // does not rotate is spread straight.
  DISTBRAGG_INLINE void turn_to_beam(Place& place, const Symmetric& level) const {
    constexpr double kLeast = 1e-6;
    const Vector about = across(in_.direction, place.centre);
    const double sine = std::sqrt(dot(about, about));
    const bool aside = sine >= kLeast;
    const Vector axis = (1.0 / sine) * about;
    const double c = dot(place.first, axis), s = dot(place.second, axis);
    const auto turned = [=](double& xx, double& xy, double& yy)
                            __attribute__((always_inline)) {
      const double both = 2.0 * c * s * xy, mixed = (c * c - s * s) * xy + c * s * (yy - xx);
      const double first = c * c * xx + both + s * s * yy;
      const double second = s * s * xx - both + c * c * yy;
      xx = aside ? first : xx;
      xy = aside ? mixed : xy;
      yy = aside ? second : yy;
    };
    turned(place.xx, place.xy, place.yy);
    turned(place.own_xx, place.own_xy, place.own_yy);
    place.first = chosen(aside, axis, place.first);
    place.second = chosen(aside, across(place.centre, axis), place.second);
    // What is as wide as it is far from the beam is no arc.
    const double wide = place.reach * std::sqrt(place.xx);
    const double bow = 0.5 * dot(in_.direction, place.centre) / sine;
    const double k = in_.wavenumber, straight = between(level, axis, axis);
    const double rotated = larger(1.0 - straight / larger(k * k * place.xx, 1e-300), 0.0);
    const double arc = wide < 0.5 * sine ? bow * rotated * rotated : 0.0;
    place.bow = aside ? arc : 0.0;
  }

  static constexpr int kSettling = 2;  // steps

  static DISTBRAGG_INLINE Vector chosen(bool one, const Vector& a, const Vector& b) {
    return {one ? a.x : b.x, one ? a.y : b.y, one ? a.z : b.z};
  }

  Crystal crystal_;
  Incidence in_;
  Symmetric spread_;
  double farthest_;
};

}  // namespace distbragg::closed
