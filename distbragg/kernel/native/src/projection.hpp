// Puts the places of reflections on the pixels of a tile.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "landing.hpp"
#include "near_sphere.hpp"
#include "spot.hpp"

namespace distbragg::closed {

// The pixels of a tile, and the depths of its sensor.
class Projection {
 public:
  explicit Projection(const Parameters& p)
      : p_(p), panel_(p),
        depth_(0.5 * (p.layer_position[0] + p.layer_position[p.layers - 1])) {
    for (std::int64_t n = 0; n < p.layers; ++n) {
      depths_.push_back(panel_.between(p.layer_position[n], depth_));
    }
    if (p.integrate != 0) least_pixel_ = least_solid_angle();
  }

  double depth() const { return depth_; }
  const Depth& depth_of(std::int64_t layer) const {
    return depths_[static_cast<std::size_t>(layer)];
  }

  // Of what a spot's brightest ray sees, how much at most a pixel of the panel sees on average over its
  // area: of what is narrower than a pixel all of it, over the least solid angle of one.
  double most_of(const Place& place) const {
    const double size = std::sqrt(larger(place.xx * place.yy - place.xy * place.xy, 0.0));
    const double area = 2.0 * kPi * size;
    return area < least_pixel_ ? area / least_pixel_ : 1.0;
  }

  // Tells of which places all that a spot is drawn on is far from the tile, without its shape: along a
  // ray that leans by less than its own angle and the spot's from the normal. No tile may tell so of
  // pixels that another one draws: its disc may have grown, an ellipse encloses it, and each layer of
  // the sensor sees it elsewhere. No more places than Points::kMost.
  void find_beside(const Place* places, int count, bool* beside) const {
    constexpr double kEnclosed = 1.42;  // √2, rounded up
    if (!panel_.flat()) return std::fill(beside, beside + count, false);
    const Panel panel = panel_;
    const double depth = depth_, far = panel.pixels_to(depth), per = 1.0 / p_.pixel_size;
    const double thick = std::fabs(p_.layer_position[p_.layers - 1] - p_.layer_position[0]) * per;
    const double left = static_cast<double>(p_.fast_start), top = static_cast<double>(p_.slow_start);
    const double right = static_cast<double>(p_.fast_stop), end = static_cast<double>(p_.slow_stop);
    alignas(64) double leaning[Points::kMost];  // angles of which that tells nothing; else below 0
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Place& place = places[i];
      const Vector centre = place.centre;
      const Landing middle = panel.land_flat(centre, depth);
      const double r = larger(place.reach, kLeastReach);
      const double wide = r * std::sqrt(place.xx + place.yy);
      const double bent = kMostGrown * std::fabs(place.bow * r * r * place.xx);
      const double angle = kMostGrown * kEnclosed * (wide + bent), facing = panel.facing(centre);
      const double least = facing - angle;
      const double most = far * angle / (least * least) + thick / least + 3.0;
      const bool out = middle.fast + most < left || middle.fast - most > right ||
                       middle.slow + most < top || middle.slow - most > end;
      leaning[i] = angle < 0.3 && least > 0.1 ? -1.0 : angle;
      beside[i] = out;
    }
    for (int i = 0; i < count; ++i) {
      if (leaning[i] >= 0.0) beside[i] = is_out_of_view(places[i].centre, leaning[i]);
    }
  }

  // Fills a spot's place on the panel; false where it meets no pixel of the tile.
  bool project(const Place& place, Spot& spot, Rectangle& box) const {
    const Landing middle = panel_.land(place.centre, depth_);
    const Disc disc(place);
    // Over the horizon of a panel a spot may still reach it.
    if (!middle.hit && around(disc, kOutside).missed() == kEdge) return false;
    spot.centre = place.centre;
    spot.first = (1.0 / disc.l11) * place.first;
    spot.second =
        (1.0 / disc.l22) * place.second - (disc.l21 / (disc.l11 * disc.l22)) * place.first;
    spot.bow = disc.bow;
    spot.fast = middle.fast;
    spot.slow = middle.slow;
    lay(place, disc, middle, spot);
    spot.margin = rounding() + most_shift(spot);
    box = {spot.fast - spot.fast_reach(), spot.fast + spot.fast_reach(),
           spot.slow - spot.slow_reach(), spot.slow + spot.slow_reach()};
    return clip(box, spot);
  }

  // Where the pixels of a rectangle lie at the depth that spots are given at, those of every layer.
  Rectangle at_all_depths(const Rectangle& pixels) const {
    Rectangle all = pixels;
    for (const Depth& depth : ends()) {
      all = {std::fmin(all.left, depth.fast(pixels.left)),
             std::fmax(all.right, depth.fast(pixels.right)),
             std::fmin(all.top, depth.slow(pixels.top)),
             std::fmax(all.bottom, depth.slow(pixels.bottom))};
    }
    return all;
  }

  // How far from a pixel of a rectangle what some layer of it sees lies at most, pixels.
  double most_shift(const Rectangle& pixels) const {
    double most = 0.0;
    for (const Depth& depth : ends()) {
      for (const double at : {pixels.left, pixels.right}) {
        most = larger(most, std::fabs(depth.fast(at) - at));
      }
      for (const double at : {pixels.top, pixels.bottom}) {
        most = larger(most, std::fabs(depth.slow(at) - at));
      }
    }
    return most;
  }

  // What of a spot's margin is not for layers.
  double rounding() const { return kRounding + (p_.oversample > 1 || p_.integrate != 0 ? 0.5 : 0.0); }

  // Cuts a spot to the pixels of a rectangle and the tile; false where there are none.
  bool clip(const Rectangle& box, Spot& spot) const {
    return clip(box.left, box.right, p_.fast_start, p_.fast_stop, spot.fast_start,
                spot.fast_stop) &&
           clip(box.top, box.bottom, p_.slow_start, p_.slow_stop, spot.row_start, spot.row_stop);
  }

 private:
  static constexpr double kRounding = 0.05;  // pixels
  static constexpr double kMostGrown = 1.5;   // of a disc that is drawn to first order
  static constexpr double kLeastReach = 1e-3;  // standard deviations

  // A spot's disc: rays to it by its coordinates.
  struct Disc {
    const Place& place;
    double l11, l21, l22, bow;  // rows of the Cholesky factor of the covariance, to the edge

    explicit Disc(const Place& of) : place(of) {
      const double r = larger(of.reach, kLeastReach), root = std::sqrt(of.xx), low = of.xy / root;
      l11 = r * root;
      l21 = r * low;
      l22 = r * std::sqrt(larger(of.yy - low * low, 1e-18 * of.yy));
      bow = of.bow * l11 * l11 / l22;
    }

    DISTBRAGG_INLINE Vector ray(double a, double b) const {
      const double one = l11 * a, two = madd(l21, a, l22 * madd(bow * a, a, b));
      return unit(place.centre + one * place.first + two * place.second);
    }
  };

  static bool clip(double low, double high, std::int64_t start, std::int64_t stop,
                   std::int64_t& from, std::int64_t& to) {
    if (!(high > static_cast<double>(start) && low < static_cast<double>(stop))) return false;
    from = low <= static_cast<double>(start) ? start : static_cast<std::int64_t>(low);
    to = high >= static_cast<double>(stop) ? stop : static_cast<std::int64_t>(std::ceil(high));
    return from < to;
  }

  // Whether no pixel of the whole panel lies within an angle of a ray: that a disc reaches the horizon
  // of the panel says nothing of where it is lit.
  bool is_out_of_view(const Vector& ray, double angle) const {
    const double apart = p_.view_angle + angle;
    return apart < kPi && dot(ray, load(p_.view_axis)) < std::cos(apart);
  }

  std::array<Depth, 2> ends() const { return {depths_.front(), depths_.back()}; }

  // That of the pixel of the whole panel whose ray leans the most, sr; 0 where none is known.
  double least_solid_angle() const {
    if (!panel_.flat()) return 0.0;
    const double deepest = p_.layer_position[p_.layers - 1];
    const double far = larger(panel_.pixels_to(p_.layer_position[0]), panel_.pixels_to(deepest));
    const double facing = panel_.least_facing(load(p_.view_axis), p_.view_angle);
    return facing * facing * facing / (far * far);
  }

  // How far beside a place in a spot the pixel lies that sees it in some layer, at most.
  double most_shift(const Spot& spot) const {
    if (p_.layers == 1) return 0.0;
    const double fast_reach = spot.fast_reach(0.0), slow_reach = spot.slow_reach(0.0);
    if (!std::isfinite(fast_reach + slow_reach)) return 0.0;  // every pixel is looked at
    double most = 0.0;
    for (const Depth& depth : ends()) {
      for (const double side : {-1.0, 1.0}) {
        const double fast = madd(side, fast_reach, spot.fast);
        const double slow = madd(side, slow_reach, spot.slow);
        most = larger(most, std::fabs((fast - depth.fast_start) / depth.fast_scale - fast));
        most = larger(most, std::fabs((slow - depth.slow_start) / depth.slow_scale - slow));
      }
    }
    return most;
  }

  // The disc on the panel, to first order, and how finely a pixel must be cut.
  void lay(const Place& place, const Disc& disc, const Landing& middle, Spot& spot) const {
    constexpr double kStep = 1e-3;
    const Landing a = panel_.land(disc.ray(kStep, -disc.bow * kStep * kStep), depth_);
    const Landing b = panel_.land(disc.ray(0.0, kStep), depth_);
    // The step along a follows the ridge, which is straight to first order.
    const double fa = (a.fast - middle.fast) / kStep, sa = (a.slow - middle.slow) / kStep;
    const double fb = (b.fast - middle.fast) / kStep, sb = (b.slow - middle.slow) / kStep;
    const double over = 1.0 / madd(fa, sb, -(fb * sa));
    const double step[4] = {sb * over, -fb * over, -sa * over, fa * over};
    divide(place, disc, step, spot);
    // What hardly bends is drawn straight; of what is narrow the first coordinate is to be the ridge's.
    const bool wide = std::fmax(spot.sharp_fast, spot.sharp_slow) < kWidest;
    const bool straight = wide && std::fabs(disc.bow) < kStraight;
    const double bow = straight ? 0.0 : disc.bow;
    const Edge edge = edge_of(disc, bow, middle, step);
    const double grown = edge.grown;
    spot.edge_fast = edge.fast;
    spot.edge_slow = edge.slow;
    spot.flat = grown < kMostGrown;
    spot.oval = spot.flat;
    spot.most = -HUGE_VAL;
    const double less = spot.flat ? 1.0 / grown : 1.0;
    for (int n = 0; n < 4; ++n) spot.step[n] = step[n] * less;
    spot.arc = bow / less;
    if (straight) turn(spot.step);
    spot.enclose();
  }

  // Turns a disc's coordinates so that the second is the row's alone.
  static void turn(double* step) {
    const double a = step[0], b = step[2], over = 1.0 / std::sqrt(a * a + b * b);
    const double cosine = a * over, sine = b * over;
    const double a_slow = cosine * step[1] + sine * step[3];
    step[3] = cosine * step[3] - sine * step[1];
    step[1] = a_slow;
    step[0] = a * cosine + b * sine;
    step[2] = 0.0;
  }

  // How far out on the panel the edge of a disc lies: in discs that are drawn to first order, and in
  // pixels.
  struct Edge {
    double grown, fast, slow;
  };
  Edge edge_of(const Disc& disc, double bow, const Landing& middle, const double* step) const {
    constexpr double kBetween = 1.01, kBeside = 1.15;  // for what is further out between two of them
    const Ring ring = around(disc, 1.0);
    double most = 1.0, most_fast = 0.0, most_slow = 0.0;
#pragma omp simd reduction(max : most, most_fast, most_slow)
    for (int i = 0; i < kEdge; ++i) {
      const double f = ring.fast[i] - middle.fast, s = ring.slow[i] - middle.slow;
      const double a = madd(step[0], f, step[1] * s);
      const double b = madd(step[2], f, step[3] * s) - bow * a * a;
      const double grown = std::sqrt(madd(a, a, b * b));
      const double far_fast = std::fabs(f), far_slow = std::fabs(s);
      most = grown > most ? grown : most;
      most_fast = far_fast > most_fast ? far_fast : most_fast;
      most_slow = far_slow > most_slow ? far_slow : most_slow;
    }
    constexpr Edge kHorizon = {HUGE_VAL, HUGE_VAL, HUGE_VAL};  // of a flat panel
    if (ring.missed() > 0) return kHorizon;
    Edge edge = {most * kBetween, most_fast * kBeside, most_slow * kBeside};
    if (edge.grown < kMostGrown) return edge;
    // The corners of an octagon about the disc: near the horizon places lie ever farther apart.
    const Ring outside = around(disc, kOutside);
    if (outside.missed() > 0) return kHorizon;
    for (int i = 0; i < kEdge; ++i) {
      edge.fast = larger(edge.fast, std::fabs(outside.fast[i] - middle.fast));
      edge.slow = larger(edge.slow, std::fabs(outside.slow[i] - middle.slow));
    }
    return edge;
  }

  static constexpr int kEdge = 8;
  static constexpr double kOutside = 1.09;  // of a disc, about which an octagon has its corners

  // Where some rays about the middle of a disc meet the panel.
  struct Ring {
    alignas(64) double fast[kEdge], slow[kEdge], misses[kEdge];

    int missed() const {
      return static_cast<int>(std::count(misses, misses + kEdge, 1.0));
    }
  };
  Ring around(const Disc& disc, double radius) const {
    constexpr double kHalfRoot = 0.70710678118654752440;
    static constexpr double kCosine[kEdge] = {1.0, kHalfRoot, 0.0, -kHalfRoot,
                                              -1.0, -kHalfRoot, 0.0, kHalfRoot};
    static constexpr double kSine[kEdge] = {0.0, kHalfRoot, 1.0, kHalfRoot,
                                            0.0, -kHalfRoot, -1.0, -kHalfRoot};
    Ring ring;
    const auto look = [&](int i, const Landing& edge) __attribute__((always_inline)) {
      ring.fast[i] = edge.fast;
      ring.slow[i] = edge.slow;
      ring.misses[i] = edge.hit ? 0.0 : 1.0;
    };
    if (panel_.flat()) {
      const Panel panel = panel_;
      const double depth = depth_;
#pragma omp simd
      for (int i = 0; i < kEdge; ++i) {
        look(i, panel.land_flat(disc.ray(radius * kCosine[i], radius * kSine[i]), depth));
      }
    } else {
      for (int i = 0; i < kEdge; ++i) {
        look(i, panel_.land(disc.ray(radius * kCosine[i], radius * kSine[i]), depth_));
      }
    }
    return ring;
  }

  // A covariance of angles along both axes of a spot.
  struct Spread {
    double xx, xy, yy;
  };

  // How sharp the spot is, at its middle and at both ends of its arc, and into how many intervals it
  // wants a sample cut: each line of a spectrum is as sharp as it is by itself.
  void divide(const Place& place, const Disc& disc, const double* step, Spot& spot) const {
    const Spread whole = {place.xx, place.xy, place.yy};
    const Spread line = {place.own_xx, place.own_xy, place.own_yy};
    const bool rotates = p_.rotation[1] > p_.rotation[0];
    sharpest(whole, disc, step, spot.sharp_fast, spot.sharp_slow);
    if (p_.integrate == 0) return;
    double fast, slow;
    sharpest(rotates ? whole : line, disc, step, fast, slow);
    const double over = 1.0 / (kWidest * static_cast<double>(p_.oversample));
    spot.sub = {SubPixels::intervals(fast * over), SubPixels::intervals(slow * over)};
  }

  static void sharpest(const Spread& of, const Disc& disc, const double* step, double& fast,
                       double& slow) {
    fast = slow = 0.0;
    for (const double at : {0.0, 1.0, -1.0}) {
      const double turned = 2.0 * disc.bow * at;
      fast = larger(sharpness(of, disc, step[0], step[2] - turned * step[0]), fast);
      slow = larger(sharpness(of, disc, step[1], step[3] - turned * step[1]), slow);
      if (std::fabs(disc.bow) < kStraight) break;
    }
  }

  static constexpr double kStraight = 0.02;  // of a disc, that its ends may bend

  // What the spot's angles change by from one side of a pixel to the other, in standard deviations;
  // the disc's coordinates change by a and b.
  static double sharpness(const Spread& of, const Disc& disc, double a, double b) {
    const auto [xx, xy, yy] = of;
    const double u = disc.l11 * a, v = madd(disc.l21, a, disc.l22 * b);
    const double square = madd(u * u, yy, madd(v * v, xx, -2.0 * u * v * xy));
    const double size = larger(xx * yy - xy * xy, 1e-18 * xx * yy);
    return std::sqrt(larger(square, 0.0) / size);
  }

  const Parameters& p_;
  const Panel panel_;
  const double depth_;  // m, in the middle of the sensor
  std::vector<Depth> depths_;
  double least_pixel_ = 0.0;  // sr; only where spots are integrated over pixels
};

}  // namespace distbragg::closed
