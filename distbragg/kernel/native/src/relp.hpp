// The mean transform of a Gaussian crystal: the twin of physics/closed_form.py, which derives it
// and explains each term. Names are the same there.
#pragma once

#include <algorithm>
#include <cmath>

#include "approx.hpp"
#include "geometry.hpp"
#include "symmetric.hpp"

namespace distbragg::closed {

// How a spread of cells makes the crystal's covariance grow with q along each axis.
struct Growing {
  Symmetric along[3];
};

// What the mean transform holds: mosaicity that is the same about all axes and no more, or any, and
// divergence too, and a spread of cells too.
enum Held : int { kRound, kParallel, kDivergence, kCells };

// A reciprocal lattice point, in the frame (ĝ, t₁, t₂); see `_Frame` of the model.
struct Relp {
  Vector forward, first, second;
  double length, volume;
  Symmetric crystal, rotated, turned;
  Vector twist;
  double curved;  // 1, or 0 where flat coordinates are the better ones
  bool round;     // mosaicity is the same about all axes: there is no twist
  const Growing* growing = nullptr;  // held by who made it; none where all cells are alike

  Relp() = default;
  // `strains` have a spread of cells, whose `growing` is written; none where there is no spread.
  template <class Strains>
  Relp(Vector place, const Symmetric& covariance, const Symmetric& mosaic, const Strains& strains,
       Growing* grown) {
    constexpr double kNoLength = 1e-12, kFlat = 1e-5;
    if (dot(place, place) == 0.0) place.x = kNoLength;
    forward = unit(place);
    length = std::sqrt(dot(place, place));
    tangents(forward, first, second);
    Symmetric c = within(covariance, forward, first, second);
    volume = determinant(c);
    double whole = volume;
    if (grown != nullptr) {
      const Vector axes[3] = {forward, first, second};
      Symmetric spread;
      strains.grow(axes, length, spread, *grown);
      c = c + spread;
      whole = determinant(c);
      growing = grown;
    }
    const Symmetric m = mosaic_along(mosaic);
    turned = turning_first(c);
    const Symmetric twice = turning_first(turned);
    const double square = length * length, half = 0.5 * m.xx;
    crystal = c + Symmetric{twice.xx * half, twice.xy * half, twice.xz * half,
                            twice.yy * half, twice.yz * half, twice.zz * half};
    const double thin = std::sqrt(whole) * 2.0 / (c.xx + c.yy + c.zz);
    curved = (m.xx + m.yy + m.zz) * length > 2.0 * kFlat * thin ? 1.0 : 0.0;
    rotated = {0.0, 0.0, 0.0, square * m.zz, -square * m.yz, square * m.yy};
    twist = {0.0, length * m.xz, -length * m.xy};
  }

 private:
  // Mosaicity along the axes of the frame.
  Symmetric mosaic_along(const Symmetric& m) {
    constexpr double kRounding = 1e-13;
    const double mean = (m.xx + m.yy + m.zz) * (1.0 / 3.0);
    double off = std::fabs(m.xx - mean);
    for (const double part : {m.yy - mean, m.zz - mean, m.xy, m.xz, m.yz}) {
      off = larger(off, std::fabs(part));
    }
    round = off <= kRounding * mean;
    return round ? Symmetric{mean, 0.0, 0.0, mean, 0.0, mean}
                 : within(m, forward, first, second);
  }
};

// One source: direction and spread of the incident beam, wavenumber and width of the spectrum.
struct Incidence {
  Vector direction, one, two;
  double wavenumber, width;
  bool divergent;
  double low = 0.0, high = 0.0;  // of lines that are taken together, from the wavenumber
  double gap = 0.0;              // the widest between two of them; endless for one
};

struct Spindle {
  Vector axis;
  double start, stop;
};

struct Sight {
  Symmetric spread;
  Vector forward;
  double length;
  Vector per_k, fixed;  // at wavenumber k the displacement is k per_k + fixed

  DISTBRAGG_INLINE Vector displaced(double k) const {
    return {madd(k, per_k.x, fixed.x), madd(k, per_k.y, fixed.y), madd(k, per_k.z, fixed.z)};
  }
};

DISTBRAGG_INLINE Sight sight_of(const Relp& relp, const Vector& s0, const Vector& one,
                                const Vector& two, const Vector& ray) {
  const Vector u = ray - s0;
  // The direct beam, where u is 0, is no direction of q.
  const double length = std::sqrt(larger(dot(u, u), 1e-24));
  const double along = dot(u, relp.forward), first = dot(u, relp.first);
  const double second = dot(u, relp.second), curved = relp.curved, flat = 1.0 - relp.curved;
  // Where q points away from g the cosine of half the angle is 0: nothing is seen from there.
  const double square = 0.5 * (along / length + 1.0);
  const double half = std::sqrt(larger(square, 1e-12));
  const double stretch = relp.length / (length * half) * curved;
  Sight sight;
  sight.spread = within(outer(one) + outer(two), relp.forward, relp.first, relp.second);
  sight.forward = {dot(s0, relp.forward), dot(s0, relp.first), dot(s0, relp.second)};
  sight.length = length;
  sight.per_k = {madd(length, curved, along * flat), first * flat, second * flat};
  sight.fixed = {-relp.length, first * stretch, second * stretch};
  return sight;
}

// How many times a flat length across counts as an angle times |g|.
DISTBRAGG_INLINE double scale_of(const Relp& relp, const Sight& sight, double k) {
  return madd(relp.length / (k * sight.length), relp.curved, 1.0 - relp.curved);
}

DISTBRAGG_INLINE Symmetric flat_of(const Relp& relp, const Sight& sight, double k, double scale) {
  return scaled(relp.crystal, 1.0, scale) + scaled(sight.spread, k, k * scale);
}

DISTBRAGG_INLINE double turned_term(const Vector& angle, const Symmetric& change, const Vector& y,
                                    const Symmetric& inverse) {
  const double mean = dot(angle, y);
  const double even = between(change, y, y) - trace_with(change, inverse);
  return madd(0.5 * mean, even, -between(change, y, times(inverse, angle)));
}

DISTBRAGG_INLINE double twisted_term(const Relp& relp, const Vector& y, const Symmetric& inverse) {
  const Vector twist = relp.twist, pull = times(inverse, twist);
  const Vector turn = times(relp.rotated, y), turn_pull = times(relp.rotated, pull);
  const Vector row1 = {inverse.xy, inverse.yy, inverse.yz};
  const Vector row2 = {inverse.xz, inverse.yz, inverse.zz};
  const Vector rotated1 = {relp.rotated.xy, relp.rotated.yy, relp.rotated.yz};
  const Vector rotated2 = {relp.rotated.xz, relp.rotated.yz, relp.rotated.zz};
  const double trace = dot(row2, rotated1) - dot(row1, rotated2);
  const double mean = dot(twist, y);
  return 0.5 * (mean * (y.z * turn.y - y.y * turn.z - trace) + (y.z * twist.y - y.y * twist.z) -
                (y.z * turn_pull.y - y.y * turn_pull.z) - (pull.z * turn.y - pull.y * turn.z));
}

DISTBRAGG_INLINE double grown_term(const Growing& growing, const Symmetric& crystal,
                                   const Vector& y, const Symmetric& inverse) {
  const Vector f = times(crystal, y);
  const Vector row0 = {crystal.xx, crystal.xy, crystal.xz};
  const Vector row1 = {crystal.xy, crystal.yy, crystal.yz};
  const Vector row2 = {crystal.xz, crystal.yz, crystal.zz};
  const Symmetric &a = growing.along[0], &b = growing.along[1], &c = growing.along[2];
  const Vector pull0 = times(a, y), pull1 = times(b, y), pull2 = times(c, y);
  const double even0 = dot(y, pull0) - trace_with(a, inverse);
  const double even1 = dot(y, pull1) - trace_with(b, inverse);
  const double even2 = dot(y, pull2) - trace_with(c, inverse);
  return 0.5 * (f.x * even0 + f.y * even1 + f.z * even2) +
         (pull0.x - dot(pull0, times(inverse, row0))) +
         (pull1.y - dot(pull1, times(inverse, row1))) +
         (pull2.z - dot(pull2, times(inverse, row2)));
}

// What of the mean no displacement changes.
struct Widths {
  Symmetric inverse;
  Vector pull1, pull2;  // what of a displacement is due to no rotation, across
  double scale, loose, bent, unsure, log;
};

template <int kHeld>
DISTBRAGG_INLINE Widths widths_of(const Relp& relp, const Symmetric& spread, double k,
                                  double scale) {
  Widths w;
  w.scale = scale;
  Symmetric flat = scaled(relp.crystal, 1.0, scale);
  if constexpr (kHeld >= kDivergence) flat = flat + scaled(spread, k, k * scale);
  const Symmetric total = flat + relp.rotated;
  const double size = determinant(total);
  w.inverse = inverse(total, size);
  const Vector flat1 = {flat.xy, flat.yy, flat.yz}, flat2 = {flat.xz, flat.yz, flat.zz};
  w.pull1 = times(w.inverse, flat1), w.pull2 = times(w.inverse, flat2);
  w.loose = flat.yy - dot(flat1, w.pull1) + (flat.zz - dot(flat2, w.pull2));
  w.bent = relp.curved / (2.0 * relp.length * scale);
  w.unsure = 0.0;
  if constexpr (kHeld >= kDivergence) {
    const Symmetric& s = spread;
    const Vector r0 = {s.xx, s.xy * scale, s.xz * scale}, r1 = {s.xy, s.yy * scale, s.yz * scale};
    const Vector r2 = {s.xz, s.yz * scale, s.zz * scale};
    const double square = k * k;
    w.unsure = (s.xx - square * between(w.inverse, r0, r0)) +
               (s.yy - square * between(w.inverse, r1, r1)) +
               (s.zz - square * between(w.inverse, r2, r2));
  }
  const double fourth = (scale * scale) * (scale * scale);
  w.log = log_poly(relp.volume * fourth / size);
  return w;
}

// ln of the mean over mosaicity and divergence for one wavenumber. `slope` tells how it changes with
// the logarithm of the widths' scale, but for what bends; without divergence.
template <int kHeld>
DISTBRAGG_INLINE double log_mean_with(const Widths& w, const Relp& relp, const Sight& sight,
                                      double k, double* slope = nullptr) {
  constexpr double kMostBend = 0.2;
  const double length = relp.length, scale = w.scale;
  const Symmetric& inv = w.inverse;
  const Vector seen = sight.displaced(k);
  Vector d = seen;
#pragma GCC unroll 4
  for (int step = 0; step < 4; ++step) {
    const double one = dot(w.pull1, d), two = dot(w.pull2, d);
    const double sagitta = (madd(one, one, two * two) + w.loose) * w.bent;
    const Vector y = times(inv, d);
    d.x = seen.x - sagitta;
    if constexpr (kHeld >= kDivergence) {
      const Vector mean = times(sight.spread, {y.x, y.y * scale, y.z * scale});
      const double lost = 0.5 * k * madd(k * k, dot(mean, mean), w.unsure);
      d.x = madd(lost, sight.forward.x, d.x);
      d.y = madd(lost * scale, sight.forward.y, seen.y);
      d.z = madd(lost * scale, sight.forward.z, seen.z);
    }
  }
  const Vector y = times(inv, d);
  double bend = 0.0;
  if constexpr (kHeld > kRound) {
    bend = turned_term(relp.twist, relp.turned, y, inv) + twisted_term(relp, y, inv);
  }
  if constexpr (kHeld >= kDivergence) {
    const double per = 1.0 / length;
    const Symmetric& r = relp.rotated;
    const Vector about1 = {r.xz * per, r.yz * per, r.zz * per};
    const Vector about2 = {-r.xy * per, -r.yy * per, -r.yz * per};
    bend += turned_term(about1, scaled(turning_second(sight.spread), k, k * scale), y, inv);
    bend += turned_term(about2, scaled(turning_third(sight.spread), k, k * scale), y, inv);
  }
  const double one = dot(w.pull1, d), two = dot(w.pull2, d);
  bend -= madd(one, w.pull1.x, two * w.pull2.x) / length;
  const double steep = dot(y, d), most = kMostBend * (1.0 + steep) * relp.curved;
  bend = bend < -most ? -most : (bend > most ? most : bend);
  if constexpr (kHeld == kCells) {
    const double grown = grown_term(*relp.growing, scaled(relp.crystal, 1.0, scale), y, inv);
    const double limit = kMostBend * (1.0 + steep);
    bend += grown < -limit ? -limit : (grown > limit ? limit : grown);
  }
  if (slope != nullptr) *slope = madd(y.y, one, y.z * two) + (2.0 - w.pull1.y - w.pull2.z);
  return madd(0.5, w.log, madd(-0.5, steep, bend));
}

template <int kHeld>
DISTBRAGG_INLINE double log_mean(const Relp& relp, const Sight& sight, double k) {
  const Widths w = widths_of<kHeld>(relp, sight.spread, k, scale_of(relp, sight, k));
  return log_mean_with<kHeld>(w, relp, sight, k);
}

// Gauss-Hermite nodes and weights of the normal distribution.
constexpr int kSpectrumNodes = 7;
constexpr double kSpectrumNode[kSpectrumNodes] = {
    -3.7504397177257425, -2.3667594107345416, -1.1544053947399682, 0.0,
    1.1544053947399682,  2.3667594107345416,  3.7504397177257425};
constexpr double kSpectrumLogWeight[kSpectrumNodes] = {
    -7.508744778239524,  -3.4816336378191766, -1.4266032431173423, -0.7827593392496324,
    -1.4266032431173423, -3.4816336378191766, -7.508744778239524};

// How a reflection's logarithm falls with the wavenumber, to first order and with the sagitta of
// what does not rotate: pull · k − ½ stiff · k².
struct Falling {
  double stiff, pull;
};

DISTBRAGG_INLINE Falling falling_of(const Relp& relp, const Sight& sight, double k) {
  const Symmetric flat = flat_of(relp, sight, k, 1.0), total = flat + relp.rotated;
  const Symmetric inv = inverse(total, determinant(total));
  // At the direct beam no wavelength moves the point 000.
  const double stiff = larger(between(inv, sight.per_k, sight.per_k), 1e-24);
  const double most_likely = -between(inv, sight.per_k, sight.fixed) / stiff;
  const Vector y = times(inv, sight.displaced(most_likely));
  const double one = dot({flat.xy, flat.yy, flat.yz}, y), two = dot({flat.xz, flat.yz, flat.zz}, y);
  const double sagitta = relp.curved * madd(one, one, two * two) / (2.0 * relp.length);
  const Vector rest = {sight.fixed.x - sagitta, sight.fixed.y, sight.fixed.z};
  return {stiff, -between(inv, sight.per_k, rest)};
}

// Mean and standard deviation of k where a reflection is seen in a normal spectrum, to first order.
template <class Look>
DISTBRAGG_INLINE void posterior(const Relp& relp, Look look, int i, double k, double prior,
                                double& middle, double& spread) {
  const Sight sight = look(i);
  const Falling seen = falling_of(relp, sight, k);
  const double precision = seen.stiff + prior;
  middle = madd(k, prior, seen.pull) / precision;
  spread = std::sqrt(1.0 / precision);
}

// A vector turned about a unit axis, by the sine and cosine of an angle.
DISTBRAGG_INLINE Vector turn(const Vector& v, const Vector& axis, double sine, double cosine) {
  const double along = dot(axis, v) * (1.0 - cosine);
  const Vector side = across(axis, v);
  return {madd(axis.x, along, madd(v.x, cosine, side.x * sine)),
          madd(axis.y, along, madd(v.y, cosine, side.y * sine)),
          madd(axis.z, along, madd(v.z, cosine, side.z * sine))};
}

// Curvature over the whole rotation, below which a parabola is a straight line.
constexpr double kStill = 1e-6;

// The parabola of the logarithm about the angle at which a reflection passes a ray; see
// `mean_over_rotation` of the model, whose mean over x from `start` to `stop` is then taken.
struct Passage {
  double here, pull, stiff, start, stop;
};

template <int kHeld>
DISTBRAGG_INLINE Sight seen_from(const Relp& relp, const Incidence& in, const Vector& axis,
                                 double angle, const Vector& ray) {
  double sine, cosine;
  sine_cosine(-angle, sine, cosine);
  const Vector none = {0.0, 0.0, 0.0};
  return sight_of(relp, turn(in.direction, axis, sine, cosine),
                  kHeld >= kDivergence ? turn(in.one, axis, sine, cosine) : none,
                  kHeld >= kDivergence ? turn(in.two, axis, sine, cosine) : none,
                  turn(ray, axis, sine, cosine));
}

// One step towards the angle at which a ray sees a reflection pass, no further beyond the rotation than
// `beyond`, rad; and minus the curvature of the logarithm there, to first order.
template <int kHeld>
DISTBRAGG_INLINE void approach(const Relp& relp, const Incidence& in, const Spindle& spindle,
                               double x, double y, double z, double beyond, double& angle,
                               double& stiff) {
  const double range = spindle.stop - spindle.start;
  const Vector velocity = relp.length * across(spindle.axis, relp.forward);
  const Vector speed = {0.0, dot(velocity, relp.first), dot(velocity, relp.second)};
  const Sight sight = seen_from<kHeld>(relp, in, spindle.axis, angle, {x, y, z});
  Symmetric total = flat_of(relp, sight, in.wavenumber, 1.0) + relp.rotated;
  const double radial = in.width * sight.length;
  total.xx = madd(radial, radial, total.xx);
  const Symmetric inv = inverse(total, determinant(total));
  stiff = between(inv, speed, speed);
  const double pull = between(inv, speed, sight.displaced(in.wavenumber));
  const double to = angle + pull / madd(kStill, 1.0 / (range * range), stiff);
  const double first = spindle.start - beyond, last = spindle.stop + beyond;
  angle = to < first ? first : (to > last ? last : to);
}

constexpr double kHalfRootPi = 0.88622692545275801365;

// A parabola of the angle as an error function: its arguments at both ends, and its peak.
struct Argument {
  double sharp, peak, from, to, before, after;  // logarithms at the ends, above that at x = 0

  DISTBRAGG_INLINE explicit Argument(const Passage& at)
      : sharp(std::sqrt(0.5 * at.stiff)), peak(at.pull / (2.0 * sharp)),
        from(madd(sharp, at.start, -peak)), to(madd(sharp, at.stop, -peak)),
        before(at.start * madd(-0.5 * at.stiff, at.start, at.pull)),
        after(at.stop * madd(-0.5 * at.stiff, at.stop, at.pull)) {}
};

// The mean of a passage, exp(log) · share.
struct Passed {
  double log, share;
};

DISTBRAGG_INLINE Passed passed(const Passage& at) {
  const Argument x(at);
  const bool early = x.from > 0.0, late = x.to < 0.0;
  const double one = early ? x.before : x.after, other = early ? x.after : x.before;
  const double log = early || late ? one : x.peak * x.peak;
  const double area = erf_between(x.from, x.to, smaller(other - one, 0.0));
  return {at.here + log,
          larger(area, 0.0) * kHalfRootPi / (x.sharp * (at.stop - at.start))};
}

// The mean of x that a passage weighs.
inline double centre_of(const Passage& at, const Passed& seen) {
  const Argument x(at);
  const double log = seen.log - at.here, area = seen.share * x.sharp * (at.stop - at.start);
  const double off = 0.5 * (std::exp(x.before - log) - std::exp(x.after - log)) / area;
  return area > 0.0 ? (x.peak + off) / x.sharp : 0.0;
}

// No mean is above 1.
DISTBRAGG_INLINE double mean_of(const Passed& seen) {
  return smaller(exp_poly<false>(seen.log) * seen.share, 1.0);
}

}  // namespace distbragg::closed
