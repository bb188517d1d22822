// One spot on a panel: which pixels it covers, and what it adds to them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "landing.hpp"
#include "near_sphere.hpp"
#include "spot_fit.hpp"

namespace distbragg::closed {

// A sub-pixel, as a share of the sample it is part of, from its middle.
struct SubPixels {
  int fast = 1, slow = 1;  // intervals along each axis
};

// How a spot is drawn: by the formulas at every pixel, by a polynomial of its logarithm, or by
// polynomials of the wavenumber that a pixel sees it by and of what it then is, with a table of the
// sum over the lines of a spectrum, or, while the crystal rotates, by polynomials of the two error
// functions and of what they multiply.
enum class Kind { kDirect, kSmooth, kLines, kPassage };

struct Spot {
  Relp relp;
  Vector centre, first, second;  // first·d / centre·d and second·d / centre·d: in the unit disc
  double height;                 // |F|², scaled
  std::int64_t row_start, row_stop;  // of the tile
  // On the panel, in pixels: centre, form of the ellipse, and how far beyond it a row is taken.
  double fast, slow, form_ff, form_fs, form_ss, margin;
  double step[4];                // change of both disc coordinates with fast and with slow, pixels
  std::int64_t fast_start, fast_stop;
  SubPixels sub, sub_of_line, sub_of_lines;
  Kind kind;
  Polynomial<float> log, at;  // `at` of lines: the place in the table of their sums
  Polynomial<float> from, to;  // of a passage: the arguments of its error functions
  std::int64_t table;         // where that begins
  float table_end;            // and its last place

  // The columns of a row that it may cover.
  void columns(double row, std::int64_t& start, std::int64_t& stop) const {
    start = fast_start;
    stop = fast_stop;
    if (form_ff <= 0.0) return;
    const double y = std::fmax(std::fabs(row + 0.5 - slow) - margin, 0.0) *
                     (row + 0.5 < slow ? -1.0 : 1.0);
    const double middle = -form_fs * y / form_ff;
    const double square = (1.0 - (form_ss - form_fs * form_fs / form_ff) * y * y) / form_ff;
    const double half = std::sqrt(std::fmax(square, 0.0)) + margin;
    const double lean = std::fabs(form_fs / form_ff) * margin;
    start = std::max(start, static_cast<std::int64_t>(std::floor(fast + middle - half - lean)));
    stop = std::min(stop, static_cast<std::int64_t>(std::ceil(fast + middle + half + lean)) + 1);
  }
};

// Puts the places of reflections on the pixels of a tile.
class Projection {
 public:
  explicit Projection(const Parameters& p)
      : p_(p), panel_(p), widest_(p.double_precision != 0 ? 0.7 : 0.85) {
    first_depth_ = p.layer_position[0];
    last_depth_ = p.layer_position[p.layers - 1];
  }

  // Fills a spot's place on the panel; false where it meets no pixel of the tile.
  bool project(const Place& place, Spot& spot) const {
    const double depth = 0.5 * (first_depth_ + last_depth_);
    const Landing middle = panel_.land(place.centre, depth);
    if (!middle.hit) return false;
    // The ellipse's axes: rows of the Cholesky factor of the covariance.
    const double reach = place.reach;
    const double l11 = std::sqrt(place.xx), l21 = place.xy / l11;
    const double l22 = std::sqrt(std::fmax(place.yy - l21 * l21, 1e-18 * place.yy));
    const double r = std::fmax(reach, 1e-3);
    spot.centre = place.centre;
    spot.first = (1.0 / (r * l11)) * place.first;
    spot.second = (1.0 / (r * l22)) * place.second - (l21 / (r * l11 * l22)) * place.first;
    // Change of the place with the disc's coordinates, taken on the edge and near the middle.
    double most_fast = 0.0, most_slow = 0.0;
    constexpr int kEdge = 8;
    constexpr double kTwoPi = 6.28318530717958647692;
    for (int i = 0; i < kEdge; ++i) {
      const double a = std::cos(kTwoPi * i / kEdge), b = std::sin(kTwoPi * i / kEdge);
      const Landing edge = panel_.land(ray_at(place, r * l11 * a, r * (l21 * a + l22 * b)), depth);
      if (!edge.hit) {
        // It reaches beyond the horizon of a flat panel: every pixel is asked.
        most_fast = most_slow = 1e9;
        break;
      }
      most_fast = std::fmax(most_fast, std::fabs(edge.fast - middle.fast));
      most_slow = std::fmax(most_slow, std::fabs(edge.slow - middle.slow));
    }
    const Landing front = panel_.land(place.centre, first_depth_);
    const Landing back = panel_.land(place.centre, last_depth_);
    const double shift = std::fmax(std::fabs(front.fast - back.fast),
                                   std::fabs(front.slow - back.slow)) * 0.5;
    spot.margin = 1.0 + shift + kBent * std::fmax(most_fast, most_slow);
    // 8 points of the edge: the ellipse may be further out by 1/cos(π/8).
    most_fast = most_fast * 1.09 + spot.margin;
    most_slow = most_slow * 1.09 + spot.margin;
    spot.fast = middle.fast;
    spot.slow = middle.slow;
    if (!clip(middle.fast, most_fast, p_.fast_start, p_.fast_stop, spot.fast_start,
              spot.fast_stop) ||
        !clip(middle.slow, most_slow, p_.slow_start, p_.slow_stop, spot.row_start,
              spot.row_stop)) {
      return false;
    }
    shape(place, depth, r, l11, l21, l22, middle, spot);
    return true;
  }

 private:
  static constexpr double kBent = 0.03;  // of a spot, by which it may be no ellipse
  static constexpr double kLargest = 0.03;  // rad, from which on its rows are not cut to one

  static Vector ray_at(const Place& place, double first, double second) {
    return unit(place.centre + first * place.first + second * place.second);
  }

  static bool clip(double middle, double half, std::int64_t start, std::int64_t stop,
                   std::int64_t& from, std::int64_t& to) {
    const double low = middle - half, high = middle + half;
    if (!(high > static_cast<double>(start) && low < static_cast<double>(stop))) return false;
    from = low <= static_cast<double>(start) ? start : static_cast<std::int64_t>(low);
    to = high >= static_cast<double>(stop) ? stop : static_cast<std::int64_t>(high) + 1;
    return from < to;
  }

  // The ellipse on the panel, to first order, and how finely a pixel must be cut.
  void shape(const Place& place, double depth, double r, double l11, double l21, double l22,
             const Landing& middle, Spot& spot) const {
    const double e = 1e-3 * r;
    const Landing a = panel_.land(ray_at(place, e * l11, e * l21), depth);
    const Landing b = panel_.land(ray_at(place, 0.0, e * l22), depth);
    const double fa = (a.fast - middle.fast) * 1e3, sa = (a.slow - middle.slow) * 1e3;
    const double fb = (b.fast - middle.fast) * 1e3, sb = (b.slow - middle.slow) * 1e3;
    const double over = 1.0 / madd(fa, sb, -(fb * sa));
    spot.step[0] = sb * over;   // a by fast
    spot.step[1] = -fb * over;  // a by slow
    spot.step[2] = -sa * over;  // b by fast
    spot.step[3] = fa * over;   // b by slow
    const double* s = spot.step;
    const bool large = r * std::sqrt(place.xx + place.yy) > kLargest;
    spot.form_ff = large ? 0.0 : s[0] * s[0] + s[2] * s[2];
    spot.form_fs = s[0] * s[1] + s[2] * s[3];
    spot.form_ss = s[1] * s[1] + s[3] * s[3];
    if (p_.integrate != 0) {
      const double l[3] = {r * l11, r * l21, r * l22};
      spot.sub = cut(s, l, place.xx, place.xy, place.yy, widest_);
      spot.sub_of_line = cut(s, l, place.own_xx, place.own_xy, place.own_yy, widest_);
      const SubPixels most =
          cut(s, l, place.own_xx, place.own_xy, place.own_yy, 2.0 * widest_);
      spot.sub_of_lines = {std::max(spot.sub.fast, most.fast), std::max(spot.sub.slow, most.slow)};
    }
  }

  // Intervals of a sample along each axis, for a spot of a covariance: what its angles change by
  // from one side of the sample to the other, in standard deviations.
  SubPixels cut(const double* step, const double* l, double xx, double xy, double yy,
                double widest) const {
    const double over = 1.0 / (widest * static_cast<double>(p_.oversample) *
                               std::sqrt(std::fmax(xx * yy - xy * xy, 1e-18 * xx * yy)));
    const auto count = [&](double a, double b) {
      const double u = l[0] * a, v = madd(l[1], a, l[2] * b);
      const double square = madd(u * u, yy, madd(v * v, xx, -2.0 * u * v * xy));
      return intervals(std::sqrt(std::fmax(square, 0.0)) * over);
    };
    return {count(step[0], step[2]), count(step[1], step[3])};
  }

  static int intervals(double wanted) {
    const double count = std::ceil(wanted);
    return count < 1.0 ? 1 : (count > 4096.0 ? 4096 : static_cast<int>(count));
  }

  const Parameters& p_;
  const Panel panel_;
  const double widest_;  // standard deviations that an interval may span
  double first_depth_, last_depth_;
};

}  // namespace distbragg::closed
