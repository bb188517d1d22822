// Cuts a long, narrow spot, which is an arc, into parts along its ridge.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "spot.hpp"

namespace distbragg::closed {

// What is between two places of the ridge: its first coordinate, and the columns or rows of the
// panel that hold the pixels. Parts share no pixel.
struct ArcPart {
  double from, to;
  std::int64_t start, stop;
};

// The ridge of a spot, b = 0, along the axis of the panel that it crosses the least aslant. All of it
// depends on the spot alone, whatever the tile.
class Arc {
 public:
  // `shift`: how far beside a pixel the places lie that layers of it see, pixels.
  Arc(const Spot& whole, double shift)
      : whole_(whole), shift_(shift), by_columns_(lean(whole, 1) <= lean(whole, 0)) {
    slant_ = by_columns_ ? lean(whole, 1) : lean(whole, 0);
  }

  // Whether each column, or row, sees one short part of the ridge.
  bool cuts() const { return slant_ < kMostSlant; }

  ArcPart all() const {
    constexpr std::int64_t kEndless = std::numeric_limits<std::int32_t>::max();
    return {-1.0, 1.0, -kEndless, kEndless};
  }

  // The column or row at the middle of a part, which it is cut at.
  std::int64_t middle(const ArcPart& part) const {
    const double along = by_columns_ ? fast_at(centre(part)) : slow_at(centre(part));
    return std::clamp(static_cast<std::int64_t>(std::floor(along)), part.start, part.stop);
  }

  // Whether the first coordinate grows with the number of the column or row.
  bool rises() const {
    const double* s = whole_.step;
    const double size = s[0] * s[3] - s[1] * s[2];
    return (by_columns_ ? s[3] : -s[2]) * size > 0.0;
  }

  // Pixels that a part is long.
  double length(const ArcPart& part) const {
    return by_columns_ ? std::fabs(fast_at(part.to) - fast_at(part.from))
                       : std::fabs(slow_at(part.to) - slow_at(part.from));
  }

  // Gives a spot coordinates of its own about the middle of a part, in whose disc all of it lies.
  void aim(const ArcPart& part, Spot& spot) const {
    constexpr double kRootHalf = 0.7;
    const double at = centre(part), *s = whole_.step;
    // A column begins up to a pixel before the part does, and pixels have an area.
    const double pixel = std::fabs(s[0]) + std::fabs(s[1]);
    const double column = std::fmax(beyond(part.from, -1.0), beyond(part.to, 1.0));
    const double half = 0.5 * (part.to - part.from) + slant_ +
                        std::fmax(pixel, column + 0.5 * pixel) + shift_ * pixel;
    const double per_a = kRootHalf / half, turned = 2.0 * whole_.arc * at;
    spot.fast = fast_at(at);
    spot.slow = slow_at(at);
    spot.step[0] = per_a * s[0];
    spot.step[1] = per_a * s[1];
    spot.step[2] = kRootHalf * (s[2] - turned * s[0]);
    spot.step[3] = kRootHalf * (s[3] - turned * s[1]);
    spot.arc = kRootHalf * whole_.arc / (per_a * per_a);
    spot.enclose();
  }

  // The pixels of a part that a spot covers.
  Rectangle box(const ArcPart& part, const Spot& spot) const {
    Rectangle box = {spot.fast - spot.fast_reach(), spot.fast + spot.fast_reach(),
                     spot.slow - spot.slow_reach(), spot.slow + spot.slow_reach()};
    double& low = by_columns_ ? box.left : box.top;
    double& high = by_columns_ ? box.right : box.bottom;
    low = std::fmax(low, static_cast<double>(part.start));
    high = std::fmin(high, static_cast<double>(part.stop));
    return box;
  }

 private:
  static constexpr double kMostSlant = 0.3;  // of the disc

  static double centre(const ArcPart& part) { return 0.5 * (part.from + part.to); }

  // By how much a changes at most, along a column (1) or a row (0), while b goes from 0 to 1.
  static double lean(const Spot& spot, int axis) {
    const double a = std::fabs(spot.step[axis]), b = std::fabs(spot.step[axis + 2]);
    const double least = b - 2.0 * std::fabs(spot.arc) * a;
    return least > 0.2 * b ? a / least : HUGE_VAL;
  }

  // By how much the first coordinate changes along the ridge from a column, or row, to the next.
  double per_column(double a) const {
    const double* s = whole_.step;
    const double steep = by_columns_ ? madd(-2.0 * s[1] * whole_.arc, a, s[3])
                                     : madd(2.0 * s[0] * whole_.arc, a, -s[2]);
    return std::fabs((s[0] * s[3] - s[1] * s[2]) / steep);
  }

  // The same over the one that is next to a place, on a side of it, at most.
  double beyond(double a, double side) const {
    constexpr double kAll = 2.0;
    const double here = std::fmin(per_column(a), kAll);
    return std::fmin(std::fmax(here, per_column(a + side * here)), kAll);
  }

  // The place of the ridge on the panel, pixels.
  double fast_at(double a) const {
    const double* s = whole_.step;
    return whole_.fast + (s[3] * a - s[1] * whole_.arc * a * a) / (s[0] * s[3] - s[1] * s[2]);
  }
  double slow_at(double a) const {
    const double* s = whole_.step;
    return whole_.slow + (s[0] * whole_.arc * a * a - s[2] * a) / (s[0] * s[3] - s[1] * s[2]);
  }

  const Spot& whole_;
  double shift_;
  bool by_columns_;
  double slant_;
};

}  // namespace distbragg::closed
