// Cuts a spot that no polynomial holds for into parts that some do.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "arc.hpp"
#include "fit_spot.hpp"
#include "projection.hpp"
#include "spot.hpp"

namespace distbragg::closed {

// Fits the spots of one part of the rotation, and cuts them; `keep` takes what is to be drawn.
template <class Keep>
class SpotCutter {
 public:
  // `shares` says what each table of |F| by energy is of its mean; sums over lines go to `table`.
  SpotCutter(const Projection& projection, SpotFitter fitter, const Spindle& spindle,
             const std::vector<float>& shares, std::vector<float>& table, Keep keep)
      : projection_(projection), fitter_(std::move(fitter)), spindle_(spindle), shares_(shares),
        table_(table), keep_(keep) {}

  // Fits polynomials to a spot; false where nothing is seen of it.
  bool fit(Spot& spot) {
    return fitter_.fit(spot, spindle_, shares_.data() + spot.shares, table_);
  }

  // Cuts a spot that no polynomial fits, which covers a part of the panel. False where it is to be
  // evaluated at every pixel as it is.
  bool cut(const Spot& spot, const Rectangle& box) {
    if (is_large(spot, box)) {
      split(spot, {std::floor(box.left), std::ceil(box.right), std::floor(box.top),
                   std::ceil(box.bottom)});
      return true;
    }
    if (!spot.flat || !is_costly(spot, box)) return false;
    const Arc arc(spot, projection_.most_shift(box));
    if (!arc.cuts()) return false;
    halve(spot, box, arc, arc.all(), kMostHalves);
    return true;
  }

 private:
  // Whether a spot that no polynomial fits may be cut into parts that some do.
  static bool is_large(const Spot& spot, const Rectangle& box) {
    const double width = box.right - box.left, height = box.bottom - box.top;
    return area(box) > kLarge && width < kLargest && height < kLargest &&
           spot.sub.fast * spot.sub.slow <= kMostIntervals;
  }

  // Whether evaluating a spot, in every interval of every pixel, takes longer than fitting its parts.
  static bool is_costly(const Spot& spot, const Rectangle& box) {
    const double intervals = static_cast<double>(spot.sub.fast) * spot.sub.slow;
    return area(box) * std::max<double>(intervals, kMostIntervals) > kLarge * kMostIntervals;
  }

  static double area(const Rectangle& box) {
    return (box.right - box.left) * (box.bottom - box.top);
  }

  // Cuts a part of an arc, narrow against pixels, into two, which are drawn by polynomials of their
  // own in coordinates along the ridge, or cut again. Discs of parts are wider than that of the arc;
  // beyond the box of that nothing is drawn, since tiles there do not know of it.
  void halve(const Spot& whole, const Rectangle& box, const Arc& arc, const ArcPart& part,
             int halves) {
    const double middle = 0.5 * (part.from + part.to);
    const std::int64_t at = arc.middle(part);
    ArcPart one = part, two = part;
    one.to = two.from = middle;
    (arc.rises() ? one : two).stop = at;
    (arc.rises() ? two : one).start = at;
    for (const ArcPart& half : {one, two}) {
      Spot spot = whole;
      arc.aim(half, spot);
      const Rectangle own = both(arc.box(half, spot), box);
      if (!projection_.clip(own, spot)) continue;
      if (!fit(spot)) continue;
      if (spot.kind != Kind::kDirect) {
        keep_(spot);
      } else if (halves > 1 && arc.length(half) > (is_costly(spot, own) ? kLeastPart : kLeastEdge)) {
        halve(whole, box, arc, half, halves - 1);
      } else {
        spot = whole;
        if (projection_.clip(arc.box(half, spot), spot)) keep_(spot);
      }
    }
  }

  // Draws a part of a spot by polynomials of its own, or cuts it into two. Parts depend on the spot
  // alone, whatever the tile.
  void split(const Spot& whole, const Rectangle& box) {
    Spot spot = whole;
    const Rectangle all = projection_.at_all_depths(box);
    if (whole.flat && whole.is_beside(all)) return;
    if (!projection_.clip(box, spot)) return;
    const double width = box.right - box.left, height = box.bottom - box.top;
    if (std::fmax(width, height) <= kLeastEdge) {
      spot.oval = false;
      keep_(spot);
      return;
    }
    const double wide = all.right - all.left, high = all.bottom - all.top;
    if (0.5 * wide * spot.sharp_fast <= kMostSharp && 0.5 * high * spot.sharp_slow <= kMostSharp) {
      // A disc about all that its pixels see, and half a pixel more.
      spot.fast = 0.5 * (all.left + all.right);
      spot.slow = 0.5 * (all.top + all.bottom);
      spot.margin = projection_.rounding() + projection_.most_shift(box);
      const double root_half = std::sqrt(0.5) * 0.99;
      spot.step[0] = root_half / (0.5 * wide + 0.5);
      spot.step[3] = root_half / (0.5 * high + 0.5);
      spot.step[1] = spot.step[2] = spot.arc = 0.0;
      spot.flat = true;
      spot.oval = false;
      const bool strays = fitter_.strays(spot);
      if (!strays && !fit(spot)) return;
      if (!strays && spot.kind != Kind::kDirect) {
        keep_(spot);
        return;
      }
    }
    Rectangle one = box, two = box;
    if (width >= height) {
      one.right = two.left = std::floor(0.5 * (box.left + box.right));
    } else {
      one.bottom = two.top = std::floor(0.5 * (box.top + box.bottom));
    }
    split(whole, one);
    split(whole, two);
  }

  static constexpr double kLarge = 400.0, kLargest = 1e6;  // pixels, and pixels along an edge
  static constexpr double kLeastEdge = 8.0, kLeastPart = 1.0;  // pixels
  static constexpr int kMostIntervals = 4;                 // of a pixel
  static constexpr int kMostHalves = 5;                    // times that an arc is halved
  static constexpr double kMostSharp = 6.0;  // standard deviations from a part's middle to its edge

  const Projection& projection_;
  SpotFitter fitter_;
  const Spindle& spindle_;
  const std::vector<float>& shares_;
  std::vector<float>& table_;
  const Keep keep_;
};

}  // namespace distbragg::closed
