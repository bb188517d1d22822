// How the logarithm of a reflection depends on the wavenumber, told by few of its values: a parabola,
// or a cubic where the reflection is seen over many per cent of them.
#pragma once

#include <cmath>

#include "relp.hpp"

namespace distbragg::closed {

// Where the logarithm is taken as a parabola of the wavenumber, or a cubic: from values about a
// middle, with the width of the first order and, in steps, where the top is to that.
struct Sides {
  double middle, step, width, top;
};

// About the wavenumber at which a ray sees a reflection in lines between two ends: both as if they were
// normal distributions, so that it changes smoothly from ray to ray, whichever is the wider.
DISTBRAGG_INLINE Sides sides_of(const Relp& relp, const Sight& sight, double k, double low,
                                double high) {
  constexpr double kWidest = 30.0, kLeastStep = 0.05, kFurthestStep = 0.01;
  constexpr double kEnds = 3.0;  // standard deviations from end to end
  const Falling falling = falling_of(relp, sight, k);
  // About the direct beam a reflection is seen at every wavenumber: a parabola as wide as that would
  // have its top beyond what numbers hold, and sides where there are no lines.
  const double stiff = larger(falling.stiff, 1.0 / (kWidest * k * kWidest * k));
  const double seen = falling.pull / stiff, square = 1.0 / stiff, width = std::sqrt(square);
  const double deviation = (high - low) / kEnds, lines = deviation * deviation;
  const double share = lines / (lines + square), middle = 0.5 * (low + high);
  const double least = smaller(kLeastStep * width, kFurthestStep * k);
  const double step = std::sqrt(madd(share, square, least * least));
  const double at = madd(share, seen - middle, middle), taken = smaller(step, 0.3 * k);
  return {at, taken, width, (seen - at) / taken};
}

// The slope of a parabola that falls by `drop`, about where its top is to first order: it lies within
// some widths from there, but where the formulas mean nothing. What is far wider than the lines are, as
// about the direct beam, may have any top if its slope is small.
DISTBRAGG_INLINE double believed(double pull, double drop, double first_top) {
  constexpr double kMost = 3.0, kSmall = 0.3;  // widths, and steps in them
  const double first = first_top * drop, most = kMost * larger(std::sqrt(drop), kSmall);
  return smaller(larger(pull, first - most), first + most);
}

// A logarithm by the wavenumber, from a middle in steps: top − ½ x² + skew x³, x = (k − at)/width.
struct Crest {
  double top, at, width, skew;
};

// The parabola by which a logarithm falls by `drop`, from values at both sides.
DISTBRAGG_INLINE Crest parabola_of(double before, double after, double drop, double first_top) {
  const double middle = 0.5 * (before + after + drop);
  const double pull = believed(0.5 * (after - before), drop, first_top), x = pull / drop;
  return {madd(0.5 * pull, x, middle), x, 1.0 / std::sqrt(drop), 0.0};
}

// Where a cubic is taken from: nodes of Gauss and Hermite, in steps of kSide widths.
constexpr double kCrestNear = 0.53, kCrestFar = 1.67;
constexpr double kCrestAt[4] = {-kCrestFar, -kCrestNear, kCrestNear, kCrestFar};

// The cubic about its top, from values at four places. Far from there it is a parabola.
DISTBRAGG_INLINE Crest crest_of(double v0, double v1, double v2, double v3, double first_drop,
                                double first_top) {
  constexpr double kOff = 2.0, kMostBent = 0.05, kNear = kCrestNear, kFar = kCrestFar;
  constexpr double kFurthest = 8.0;  // widths to the top of what is seen
  constexpr double kPer = 1.0 / (kFar * kFar - kNear * kNear), kSquare = kNear * kNear;
  const double even = 0.5 * (v1 + v2), second = (0.5 * (v0 + v3) - even) * kPer;
  const double odd = (0.5 / kNear) * (v2 - v1);
  const double third = ((0.5 / kFar) * (v3 - v0) - odd) * kPer;
  const auto within = [](double value, double most) __attribute__((always_inline)) {
    return smaller(larger(value, -most), most);
  };
  const double drop = smaller(larger(-2.0 * second, first_drop / kOff), first_drop * kOff);
  const double middle = madd(0.5 * kSquare, drop, even), bent = kMostBent * drop;
  const auto slope = [&](double cubic) __attribute__((always_inline)) {
    return believed(madd(-kSquare, cubic, odd), drop, first_top);
  };
  const double straight = slope(within(third, bent)) / drop;
  const bool far = straight * straight * drop > kFurthest * kFurthest;
  const double cubic = far ? 0.0 : within(third, bent / larger(std::fabs(straight), 1.0));
  const double pull = slope(cubic);
  double x = pull / drop;
#pragma GCC unroll 2
  for (int step = 0; step < 2; ++step) {
    const double rise = madd(madd(3.0 * cubic, x, -drop), x, pull);
    x += rise / madd(-6.0 * cubic, x, drop);
  }
  const double width = 1.0 / std::sqrt(madd(-6.0 * cubic, x, drop));
  const double top = madd(madd(madd(cubic, x, -0.5 * drop), x, pull), x, middle);
  return {top, x, width, cubic * width * width * width};
}

// Whether the width in wavenumbers changes by more than a share of itself over a slanted spot: what does
// not rotate moves across g with the wavenumber, on a sphere, and so lies farther in. `square`: that
// of the share of |g|.
inline __attribute__((noinline)) bool sags(const Relp& relp, const Sight& sight, double k,
                                           double square) {
  const Symmetric flat = flat_of(relp, sight, k, 1.0), total = flat + relp.rotated;
  const Symmetric inv = inverse(total, determinant(total));
  const Vector along = {inv.xx, inv.xy, inv.xz};
  const double one = dot({flat.xy, flat.yy, flat.yz}, along);
  const double two = dot({flat.xz, flat.yz, flat.zz}, along);
  return relp.curved * madd(one, one, two * two) * (flat.yy + flat.zz) > square;
}

// False where no slant could make a spot sag: by the least width that it may have at one place of it.
DISTBRAGG_INLINE bool may_sag(const Relp& relp, const Incidence& in, double square) {
  const double yy = relp.crystal.yy, zz = relp.crystal.zz, across = yy + zz;
  return in.divergent || across * across * (yy * zz) > square * relp.volume;
}

// Whether a spot is so wide, as a share of the wavenumbers that it is seen at, or so slanted, that its
// logarithm is no parabola of them. A cubic takes from one side of it what it adds on the other: the
// sum over many lines hardly knows of it, but that over lines farther apart than they are wide does.
DISTBRAGG_INLINE bool is_bent(const Relp& relp, const Sight& sight, const Incidence& in) {
  constexpr double kBent = 3e-3, kBentAlone = 3e-4, kApart = 1.2;
  constexpr double kNoLength = 1e-9;  // 000 is seen at all of them
  const double k = in.wavenumber, length = relp.length * relp.length;
  const double wide = madd(k * k, sight.spread.xx, relp.crystal.xx);
  const double all = madd(k * k, wide / length, in.width * in.width);
  const bool apart = in.gap * in.gap > kApart * kApart * all;
  const double least = apart ? kBentAlone : kBent, square = least * least * length;
  if (!(relp.length > kNoLength)) return false;
  return wide > square || (may_sag(relp, in, square) && sags(relp, sight, k, square));
}

// Takes the mean over a normal spread of wavenumbers, which leaves the square of the width as told.
DISTBRAGG_INLINE void widen(double square, double& top, double& at, double& width, double& skew) {
  const double wide = std::sqrt(square), less = width / wide;
  const double left = skew * less * less * less;
  top += log_poly(less);
  // A cubic draws the mean, which stays where it is.
  at += 3.0 * madd(skew, width, -left * wide);
  width = wide;
  skew = left;
}

}  // namespace distbragg::closed
