// One spot on a panel: which pixels it covers, and what it adds to them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "cubics.hpp"
#include "relp.hpp"
#include "spot_fit.hpp"

namespace distbragg::closed {

// Into how many intervals a sample is cut along each axis.
struct SubPixels {
  int fast = 1, slow = 1;

  static int intervals(double wanted) {
    const double count = std::ceil(wanted);
    return count < 1.0 ? 1 : (count > 4096.0 ? 4096 : static_cast<int>(count));
  }

  bool several() const { return fast > 1 || slow > 1; }
};

// Standard deviations of a spot that an interval may span: of two Gauss points, and of a mean to
// second order.
constexpr double kWidest = 0.7, kWidestFitted = 0.85;

// How a spot is drawn: by the formulas at every pixel, by a polynomial of its logarithm, or by
// polynomials of the wavenumber that a pixel sees it by and of what it then is, with the sum over the
// lines of a spectrum as a table or as cubics, or, while the crystal rotates, by polynomials of the two error
// functions and of what they multiply.
enum class Kind { kDirect, kSmooth, kLines, kCubics, kPassage };

// Whether there is a table of the sum over lines.
constexpr bool sums_lines(Kind kind) { return kind == Kind::kLines || kind == Kind::kCubics; }

// Number of a lattice, and h, k, l.
using Name = std::array<std::int32_t, 4>;

// A part of a panel, pixels.
struct Rectangle {
  double left, right, top, bottom;
};

// The disc of a spot about its brightest ray.
struct DiscOfRays {
  Vector centre, first, second;
  double bow;

  // The square of how far out a ray lies; endless where it runs the other way.
  DISTBRAGG_INLINE double square(const Vector& ray) const {
    const double facing = dot(centre, ray), over = 1.0 / facing;
    const double a = dot(first, ray) * over, b = madd(-bow * a, a, dot(second, ray) * over);
    return facing > 0.0 ? madd(a, a, b * b) : HUGE_VAL;
  }
};

struct Spot {
  Name name;
  Relp relp;
  Vector centre, first, second;  // a = first·d / centre·d, b = second·d / centre·d − bow a²
  double bow;                    // lie in the unit disc
  double height;                 // |F|², scaled
  std::int64_t row_start, row_stop;  // of the tile
  std::int64_t fast_start, fast_stop;
  // On the panel, pixels: where it is brightest, and the same disc, to first order and grown by
  // what that leaves out, of a place (f, s) from there: a = step[0] f + step[1] s,
  // b = step[2] f + step[3] s − arc a².
  double fast, slow, step[4], arc;
  double form_ff, form_fs, form_ss, margin;  // an ellipse about it, and how far rows go beyond
  double sharp_fast, sharp_slow;  // standard deviations across a pixel, the most there are
  double edge_fast, edge_slow;    // how far its edge is from its middle, pixels
  bool flat;    // whether the disc on the panel holds all of it
  bool oval;    // whether its rows are cut to the ellipse
  double most;  // the greatest logarithm there is known to be
  SubPixels sub;
  Kind kind;
  Polynomial<float> log, at;   // to base 2, but of a passage; `at` of lines: the place in their table
  Polynomial<float> from, to;  // of a passage: the arguments of its error functions
  std::int64_t table;          // where that begins
  std::int64_t shares = 0;     // of tables of |F| by energy, where those begin
  float table_end;             // and its last place

  DiscOfRays disc() const { return {centre, first, second, bow}; }

  // How far it reaches on the panel, pixels.
  double fast_reach() const { return fast_reach(margin); }
  double slow_reach() const { return slow_reach(margin); }
  double fast_reach(double beyond) const {
    return (flat ? std::sqrt(form_ss / form_size()) : edge_fast) + beyond;
  }
  double slow_reach(double beyond) const {
    return (flat ? std::sqrt(form_ff / form_size()) : edge_slow) + beyond;
  }

  // An ellipse that holds the disc, whose ends bend away from the axis of a by `arc`.
  void enclose() {
    const double bent = std::fabs(arc);
    const bool straight = bent < 0.4;
    const double per_a = straight ? 1.0 / (1.0 + bent) : std::sqrt(0.5);
    const double per_b = straight ? per_a : per_a / (1.0 + bent);
    const double a0 = per_a * step[0], a1 = per_a * step[1];
    const double b0 = per_b * step[2], b1 = per_b * step[3];
    form_ff = flat ? a0 * a0 + b0 * b0 : 0.0;
    form_fs = a0 * a1 + b0 * b1;
    form_ss = a1 * a1 + b1 * b1;
  }

  // Whether its disc is nowhere in a part of the panel; by the least its coordinates are there.
  bool is_beside(const Rectangle& box) const {
    const double f = 0.5 * (box.left + box.right) - fast, s = 0.5 * (box.top + box.bottom) - slow;
    const double wide = 0.5 * (box.right - box.left) + margin;
    const double high = 0.5 * (box.bottom - box.top) + margin;
    const double a = step[0] * f + step[1] * s, b = step[2] * f + step[3] * s;
    const double half_a = std::fabs(step[0]) * wide + std::fabs(step[1]) * high;
    const double half_b = std::fabs(step[2]) * wide + std::fabs(step[3]) * high;
    const double least = larger(std::fabs(a) - half_a, 0.0), most = std::fabs(a) + half_a;
    const double one = arc * least * least, two = arc * most * most;
    const double low = b - half_b - larger(one, two), high_b = b + half_b - smaller(one, two);
    const double near = larger(larger(low, -high_b), 0.0);
    return least * least + near * near > 1.0;
  }

  // The columns of a row that see a line: those about middle + lean y.
  struct Seen {
    bool cuts;
    double middle, lean, half;
  };

  // The place in the table is nearly straight.
  Seen lines_seen() const {
    constexpr int kOne = kDegree + 1;  // the coefficient of a
    if (!sums_lines(kind)) return {false, 0.0, 0.0, 0.0};
    double bent = 1.0;
    for (int i = 0; i < kCoefficients; ++i) {
      bent += i == 0 || i == 1 || i == kOne ? 0.0 : std::fabs(static_cast<double>(at.c[i]));
    }
    const double by_a = at.c[kOne], by_b = at.c[1];
    const double by_f = madd(by_a, step[0], by_b * step[2]);
    const double by_s = madd(by_a, step[1], by_b * step[3]);
    if (std::fabs(by_f) < 1e-6) return {false, 0.0, 0.0, 0.0};
    bent += std::fabs(by_b * arc) + margin * (std::fabs(by_f) + std::fabs(by_s));
    const double over = 1.0 / by_f, end = table_end, here = at.c[0];
    return {true, (0.5 * end - here) * over, -by_s * over,
            (0.5 * end + bent) * std::fabs(over)};
  }

  // What it is drawn by: the logarithm, then `at`, or both arguments.
  int polynomials() const { return kind == Kind::kPassage ? 3 : (kind == Kind::kSmooth ? 1 : 2); }
  DISTBRAGG_INLINE const Polynomial<float>& polynomial(int number) const {
    return number == 0 ? log : (number == 2 ? to : (kind == Kind::kPassage ? from : at));
  }

  // Whether the second coordinate is the row's alone.
  bool straight() const { return arc == 0.0 && step[2] == 0.0; }

  // Asks for what drawing needs to be brought into the cache.
  void fetch() const { fetch(&height, this + 1); }
  void fetch_table(const float* tables) const {
    const std::int64_t size =
        kind == Kind::kCubics ? Cubics::kSize : static_cast<std::int64_t>(table_end) + 2;
    fetch(tables + table, tables + table + size);
  }

  // Calls work(row, start, stop) for the columns that it may cover of each row in a range.
  template <class Work>
  void each_row(std::int64_t from, std::int64_t to, Work work) const {
    constexpr int kRows = 16;  // that are looked at side by side
    const Seen seen = lines_seen();
    const double lean = oval ? -form_fs / form_ff : 0.0;
    const double per = oval ? 1.0 / form_ff : 0.0, steep = form_ss + form_fs * lean;
    // From the near edge of a row to the far one the ellipse leans by twice as much.
    const double beyond = margin * (1.0 + 2.0 * std::fabs(lean)), edge = margin;
    const double fast_middle = fast, slow_middle = slow;
    const double least = static_cast<double>(fast_start), most = static_cast<double>(fast_stop);
    const bool cut = oval;
    alignas(64) double start[kRows], stop[kRows];
    to = std::min(to, row_stop);
    for (std::int64_t row = std::max(from, row_start); row < to; row += kRows) {
      const double first = static_cast<double>(row) + 0.5;
#pragma omp simd
      for (int i = 0; i < kRows; ++i) {
        const double y = first + static_cast<double>(i) - slow_middle;
        double low = least, high = most, square = 1.0;
        if (cut) {
          const double nearest = larger(std::fabs(y) - edge, 0.0) * (y < 0.0 ? -1.0 : 1.0);
          square = (1.0 - steep * nearest * nearest) * per;
          const double half = std::sqrt(larger(square, 0.0)) + beyond;
          const double place = fast_middle + lean * nearest;
          low = larger(low, std::ceil(place - half - 0.5));
          high = smaller(high, std::floor(place + half - 0.5) + 1.0);
        }
        if (seen.cuts) {
          const double place = fast_middle + madd(seen.lean, y, seen.middle);
          low = larger(low, std::ceil(place - seen.half - 0.5));
          high = smaller(high, std::floor(place + seen.half - 0.5) + 1.0);
        }
        start[i] = low;
        stop[i] = square < 0.0 ? low : high;  // a row beside the ellipse has none
      }
      const int count = static_cast<int>(std::min<std::int64_t>(kRows, to - row));
      for (int i = 0; i < count; ++i) {
        if (!(start[i] < stop[i])) continue;
        work(row + i, static_cast<std::int64_t>(start[i]), static_cast<std::int64_t>(stop[i]));
      }
    }
  }

 private:
  static void fetch(const void* from, const void* to) {
    constexpr std::ptrdiff_t kLine = 64;
    const char *at = static_cast<const char*>(from), *stop = static_cast<const char*>(to);
    for (; at < stop; at += kLine) __builtin_prefetch(at);
  }

  double form_size() const { return form_ff * form_ss - form_fs * form_fs; }
};

// What two of them share.
inline Rectangle both(const Rectangle& one, const Rectangle& other) {
  return {std::fmax(one.left, other.left), std::fmin(one.right, other.right),
          std::fmax(one.top, other.top), std::fmin(one.bottom, other.bottom)};
}

}  // namespace distbragg::closed
