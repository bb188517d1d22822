// Adds a spot to the pixels of a row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "geometry.hpp"
#include "landing.hpp"
#include "mean.hpp"
#include "projection.hpp"
#include "rows.hpp"
#include "shade.hpp"
#include "spectrum.hpp"
#include "spot.hpp"
#include "window.hpp"

namespace distbragg::closed {

// What the spots of a spectrum share: sums over its lines, and what each table of |F| by energy is
// of its mean.
struct Sums {
  const float *table, *shares;
};

constexpr int kPoints = 2;  // of Gauss and Legendre along each axis of a sub-pixel
constexpr double kPoint[kPoints] = {-0.28867513459481288, 0.28867513459481288};

// Draws the spots of one source, or of the lines of a spectrum.
class SpotBrush {
 public:
  static constexpr int kMostShifts = 64;  // of intervals that all are drawn in every pixel

 private:
  // Pixels of a spot by whole vectors: numbers `first` and so on along a line, of which `count` or all
  // are drawn, and where their sums are.
  struct Vectors {
    static constexpr int kMost = 64;
    struct Vector {
      DiscLine line;
      float first;
      int count;
      double* sum;
    };
    Vector vector[kMost];
    int count = 0;
  };

  // Pixels in pieces of rows, side by side: where each lies in the disc, but for its bend, and the
  // sums that belong to the pieces. With room for a vector more.
  struct Lanes {
    static constexpr int kMostRuns = 64;
    struct Run {
      double* sum;
      int count;
    };
    alignas(64) float a[kLanes + kWide], b[kLanes + kWide], seen[kLanes + kWide];
    Run run[kMostRuns];
    int count = 0, runs = 0;
  };

 public:
  SpotBrush(const Parameters& p, const Projection& projection, const Incidence& in,
            const Spectrum* spectrum)
      : p_(p), projection_(projection), in_(in), spectrum_(spectrum),
        per_pixel_(1.0 / p.pixel_size) {}

  // Adds a spot that is evaluated at every pixel to lanes that lie in one row.
  void add(const Spot& spot, const Spindle& spindle, const Sums& sums, const Directions& d,
           int from, int to, double* sum) const {
    const Row row(p_, projection_.depth_of(d.layer), spot, d.slow[from] * per_pixel_);
    add_direct(spot, spindle, sums.shares + spot.shares, d, row, from, to, sum);
  }

  // Draws a spot that polynomials are fitted to onto a canvas, for one sample of each pixel.
  void draw(const Spot& spot, const Sums& sums, std::int64_t sample, const Canvas& canvas) const {
    const SamplePlaces places(p_, projection_, spot, sample);
    const float* table = sums.table + spot.table;
    switch (spot.kind) {
      case Kind::kDirect: break;
      case Kind::kSmooth: return draw_as<Kind::kSmooth>(spot, table, places, canvas);
      case Kind::kLines: return draw_as<Kind::kLines>(spot, table, places, canvas);
      case Kind::kCubics: return draw_as<Kind::kCubics>(spot, table, places, canvas);
      case Kind::kPassage: return draw_as<Kind::kPassage>(spot, table, places, canvas);
    }
  }

 private:
  // Whether a spot is so narrow that its part of each pixel is found first.
  static bool is_narrow(const Spot& spot) {
    return static_cast<std::int64_t>(spot.sub.fast) * spot.sub.slow > kMostShifts;
  }

  // The middle of an interval, in samples from the middle of theirs, divided into pixels.
  double middle_of(int interval, int intervals) const {
    return ((interval + 0.5) / intervals - 0.5) / static_cast<double>(p_.oversample);
  }

  template <Kind kKind>
  void draw_as(const Spot& spot, const float* table, const SamplePlaces& places,
               const Canvas& canvas) const {
    const int fast = spot.sub.fast, slow = spot.sub.slow;
    const auto runs = [&](auto add) {
      spot.each_row(canvas.row_start, canvas.row_stop,
                    [&](std::int64_t row, std::int64_t start, std::int64_t stop) {
        const std::int64_t from = std::max(start, canvas.fast_start);
        const std::int64_t to = std::min(stop, canvas.fast_stop);
        if (from < to) add(row, from, to - from, canvas.row(row) + (from - canvas.fast_start));
      });
    };
    const double height = spot.height / (static_cast<double>(fast) * slow);
    if (is_narrow(spot)) {
      return runs([&](std::int64_t row, std::int64_t column, std::int64_t count, double* sum) {
        const double first = static_cast<double>(column) - places.column;
        for (std::int64_t i = 0; i < count; ++i) {
          const double seen = within<kKind>(spot, table, places.depth,
                                            places.fast(first + static_cast<double>(i)),
                                            places.slow(row));
          sum[i] = madd(height, seen, sum[i]);
        }
      });
    }
    if (spot.sub.several()) return draw_intervals<kKind>(spot, table, places, height, runs);
    if (spot.straight()) return draw_rows<kKind>(spot, table, places, height, canvas);
    Vectors vectors;
    runs([&](std::int64_t row, std::int64_t column, std::int64_t count, double* sum) {
      const double first = static_cast<double>(column) - places.column;
      const DiscLine line(spot, places.fast_scale, places.fast_start, places.slow(row));
      for (int from = 0; from < count; from += kWide) {
        vectors.vector[vectors.count++] = {line, static_cast<float>(first + from),
                                           static_cast<int>(count) - from, sum + from};
        if (vectors.count < Vectors::kMost) continue;
        add_vectors<kKind>(spot, table, height, vectors);
        vectors.count = 0;
      }
    });
    add_vectors<kKind>(spot, table, height, vectors);
  }

  // Draws a straight spot.
  template <Kind kKind>
  static void draw_rows(const Spot& spot, const float* table, const SamplePlaces& places,
                        double height, const Canvas& canvas) {
    const std::int64_t stop = std::min(canvas.row_stop, spot.row_stop);
    Rows rows(spot, places, canvas);
    for (std::int64_t row = std::max(canvas.row_start, spot.row_start); row < stop;
         row += Rows::kMost) {
      rows.aim(spot, row);
      const int count = static_cast<int>(std::min<std::int64_t>(Rows::kMost, stop - row));
      add_rows<kKind>(table, spot.table_end, height, rows, count, canvas.row(row), canvas.stride);
    }
  }

  // Draws rows, of which the first has sums from column `rows.first` on.
  template <Kind kKind>
  static __attribute__((noinline)) void add_rows(const float* table, float end, double height,
                                                 const Rows& rows, int count, double* sums,
                                                 std::int64_t stride) {
    const Lookup<kKind> lookup(table);
    const Bounds bounds(end);
    const float step = rows.step;
    for (int n = 0; n < count; ++n, sums += stride) {
      const int stop = rows.stop[n];
      const float start = rows.start[n];
      float first = static_cast<float>(rows.from[n]);
      for (int from = rows.from[n]; from < stop; from += kWide) {
        alignas(64) float seen[kWide];
        const int lit = stop - from;
        shade<kKind>(
            lookup, bounds, seen,
            [&](int i) __attribute__((always_inline)) {
              const float a = madd(step, first + static_cast<float>(i), start), square = a * a;
              return look<kKind>([&](int p) __attribute__((always_inline)) {
                return rows.at(p, n, a, square, sums_lines(kKind) && p == 1);
              });
            },
            [=](int i) __attribute__((always_inline)) { return i < lit; });
        double* sum = sums + (from - rows.first);
#pragma omp simd
        for (int i = 0; i < kWide; ++i) {
          sum[i] = madd(height, static_cast<double>(seen[i]), sum[i]);
        }
        first += static_cast<float>(kWide);
      }
    }
  }

  // Draws vectors. A function of its own, in whose one loop coefficients are operands: there are more
  // than registers hold.
  template <Kind kKind>
  static __attribute__((noinline)) void add_vectors(const Spot& spot, const float* table,
                                                    double height, const Vectors& vectors) {
    const Lookup<kKind> lookup(table);
    const Bounds bounds(spot.table_end);
    for (int n = 0; n < vectors.count; ++n) {
      const Vectors::Vector& at = vectors.vector[n];
      alignas(64) float seen[kWide];
      const DiscLine line = at.line;
      const float first = at.first;
      shade_disc<kKind>(spot, lookup, bounds, at.count, seen,
                        [=](int i, float& a, float& b) __attribute__((always_inline)) {
                          const float number = first + static_cast<float>(i);
                          a = line.a(number);
                          b = line.b(number);
                        });
      double* sum = at.sum;
#pragma omp simd
      for (int i = 0; i < kWide; ++i) {
        sum[i] = madd(height, static_cast<double>(seen[i]), sum[i]);
      }
    }
  }

  // Draws a spot whose samples are cut into intervals: its rows are short, and lie side by side.
  template <Kind kKind, class Runs>
  void draw_intervals(const Spot& spot, const float* table, const SamplePlaces& places,
                      double height, Runs runs) const {
    Lanes lanes;
    const auto finish = [&] {
      const int whole = (lanes.count + kWide - 1) / kWide * kWide;
      std::fill(lanes.seen, lanes.seen + whole, 0.0f);
      for (int j = 0; j < spot.sub.slow; ++j) {
        for (int i = 0; i < spot.sub.fast; ++i) {
          const DiscLine shift(spot, 0.0, places.fast_scale * middle_of(i, spot.sub.fast),
                           places.slow_scale * middle_of(j, spot.sub.slow));
          add_lanes<kKind>(spot, table, shift, whole, lanes);
        }
      }
      const float* seen = lanes.seen;
      for (int n = 0; n < lanes.runs; ++n) {
        double* sum = lanes.run[n].sum;
        const int count = lanes.run[n].count;
        for (int i = 0; i < count; ++i) sum[i] = madd(height, static_cast<double>(seen[i]), sum[i]);
        seen += count;
      }
      lanes.count = lanes.runs = 0;
    };
    runs([&](std::int64_t row, std::int64_t column, std::int64_t count, double* sum) {
      const double first = static_cast<double>(column) - places.column;
      const DiscLine line(spot, places.fast_scale, places.fast_start, places.slow(row));
      for (int from = 0; from < count;) {
        const int some = std::min(kLanes - lanes.count, static_cast<int>(count) - from);
        for (int at = 0; at < some; at += kWide) {
          float *a = lanes.a + lanes.count + at, *b = lanes.b + lanes.count + at;
          const float number = static_cast<float>(first + (from + at));
#pragma omp simd
          for (int i = 0; i < kWide; ++i) {
            a[i] = line.a(number + static_cast<float>(i));
            b[i] = line.b(number + static_cast<float>(i));
          }
        }
        lanes.run[lanes.runs++] = {sum + from, some};
        lanes.count += some;
        from += some;
        if (lanes.count == kLanes || lanes.runs == Lanes::kMostRuns) finish();
      }
    });
    finish();
  }

  // Adds one interval of all lanes.
  template <Kind kKind>
  static __attribute__((noinline)) void add_lanes(const Spot& spot, const float* table,
                                                  const DiscLine& shift, int count, Lanes& lanes) {
    const Lookup<kKind> lookup(table);
    const Bounds bounds(spot.table_end);
    const float a_shift = shift.a_start, b_shift = shift.b_start;
    for (int first = 0; first < count; first += kWide) {
      const float *as = lanes.a + first, *bs = lanes.b + first;
      float* sum = lanes.seen + first;
      alignas(64) float seen[kWide];
      shade_disc<kKind>(spot, lookup, bounds, kWide, seen,
                        [=](int i, float& a, float& b) __attribute__((always_inline)) {
                          a = as[i] + a_shift;
                          b = bs[i] + b_shift;
                        });
#pragma omp simd
      for (int i = 0; i < kWide; ++i) sum[i] += seen[i];
    }
  }

  // The sum over the intervals of one sample.
  template <Kind kKind>
  double within(const Spot& spot, const float* table, const Depth& depth, double fast,
                double slow) const {
    const Window in = covered(p_.oversample, spot, depth, fast, slow);
    const double step = depth.fast_scale / static_cast<double>(spot.sub.fast * p_.oversample);
    const Lookup<kKind> lookup(table);
    const Bounds bounds(spot.table_end);
    alignas(64) float part[kWide], total[kWide] = {};
    for (int j = in.slow_start; j < in.slow_stop; ++j) {
      const DiscLine line(spot, step,
                      madd(depth.fast_scale, middle_of(in.fast_start, spot.sub.fast), fast),
                      madd(depth.slow_scale, middle_of(j, spot.sub.slow), slow));
      const Range lit = seen_of(spot, line, in.fast_stop - in.fast_start);
      for (int i = lit.start; i < lit.stop; i += kWide) {
        const float first = static_cast<float>(i);
        shade_disc<kKind>(spot, lookup, bounds, lit.stop - i, part,
                          [=](int n, float& a, float& b) __attribute__((always_inline)) {
                            const float number = first + static_cast<float>(n);
                            a = line.a(number);
                            b = line.b(number);
                          });
        for (int n = 0; n < kWide; ++n) total[n] += part[n];
      }
    }
    double seen = 0.0;
    for (const float part : total) seen += static_cast<double>(part);
    return seen;
  }

  // What the lanes of a vector see, of which the first `count` are drawn: place(i, a, b) tells where
  // they lie in the disc, but for its bend.
  template <Kind kKind, class Place>
  static DISTBRAGG_INLINE void shade_disc(const Spot& spot, const Lookup<kKind>& lookup,
                                          const Bounds& bounds, int count, float* seen, Place place) {
    const float arc = static_cast<float>(spot.arc);
    const auto bent = [=](int i, float& a, float& b) __attribute__((always_inline)) {
      place(i, a, b);
      b = madd(-arc * a, a, b);
    };
    shade<kKind>(
        lookup, bounds, seen,
        [&](int i) __attribute__((always_inline)) {
          float a, b;
          bent(i, a, b);
          return look<kKind>([&](int p) __attribute__((always_inline)) {
            return spot.polynomial(p).at(a, b);
          });
        },
        [=](int i) __attribute__((always_inline)) {
          float a, b;
          bent(i, a, b);
          return madd(a, a, b * b) <= 1.0f && i < count;
        });
  }

  // Evaluates the model itself.
  void add_direct(const Spot& spot, const Spindle& spindle, const float* shares,
                  const Directions& d, const Row& row, int from, int to, double* sum) const {
    if (p_.integrate == 0) {
      return add_points(spot, spindle, shares, d.x + from, d.y + from, d.z + from, spot.height,
                        to - from, sum + from);
    }
    if (!is_narrow(spot) || !spot.oval) {
      return add_window(spot, spindle, shares, d, from, to, sum);
    }
    for (int lane = from; lane < to; ++lane) {
      sum[lane] += within_pixel(spot, spindle, shares, d, row, lane);
    }
  }

  // The same of one pixel of a narrow spot, whose points that may see it are looked at side by side.
  double within_pixel(const Spot& spot, const Spindle& spindle, const float* shares,
                      const Directions& d, const Row& row, int lane) const {
    const double fast = row.fast(d.fast[lane]);
    const Window in = covered(p_.oversample, spot, row.depth, fast, row.slow);
    const double size = p_.pixel_size / static_cast<double>(p_.oversample);
    const double step = row.depth.fast_scale / static_cast<double>(spot.sub.fast * p_.oversample);
    const double share = spot.height / (4.0 * spot.sub.fast * spot.sub.slow);
    const double first = madd(row.depth.fast_scale, middle_of(in.fast_start, spot.sub.fast), fast);
    const double per_slow = row.depth.slow_scale / static_cast<double>(p_.oversample);
    const SurfaceAxes axes(p_, p_.layer_position[d.layer]);
    const Vector middle = {d.x[lane], d.y[lane], d.z[lane]};
    alignas(64) double x[kLanes], y[kLanes], z[kLanes], seen[kLanes];
    double total = 0.0;
    int count = 0;
    const auto finish = [&] {
      std::fill(seen, seen + count, 0.0);
      add_points(spot, spindle, shares, x, y, z, share, count, seen);
      for (int i = 0; i < count; ++i) total += seen[i];
      count = 0;
    };
    for (int j = in.slow_start * kPoints; j < in.slow_stop * kPoints; ++j) {
      const double down = offset(j, spot.sub.slow);
      const DiscLine line(spot, step, first, madd(per_slow, down, row.slow));
      const Range lit = seen_of(spot, line, in.fast_stop - in.fast_start);
      // Points lie beside the middles of their intervals.
      const int last = std::min(in.fast_start + lit.stop + 1, in.fast_stop) * kPoints;
      for (int i = std::max(in.fast_start + lit.start - 1, in.fast_start) * kPoints; i < last;) {
        const int some = std::min(last - i, kLanes - count);
#pragma omp simd
        for (int n = 0; n < some; ++n) {
          const double along = size * offset(i + n, spot.sub.fast);
          const Vector ray = middle + d.inverse[lane] * axes.step(middle, along, size * down);
          const double over = 1.0 / std::sqrt(dot(ray, ray));
          x[count + n] = ray.x * over;
          y[count + n] = ray.y * over;
          z[count + n] = ray.z * over;
        }
        i += some;
        count += some;
        if (count == kLanes) finish();
      }
    }
    if (count > 0) finish();
    return total;
  }

  // By two points along each axis of each interval, side by side for all pixels.
  void add_window(const Spot& spot, const Spindle& spindle, const float* shares,
                  const Directions& d, int from, int to, double* sum) const {
    const int fast = spot.sub.fast, slow = spot.sub.slow, count = to - from;
    const double size = p_.pixel_size / static_cast<double>(p_.oversample);
    const double share = spot.height / (4.0 * fast * slow);
    const SurfaceAxes axes(p_, p_.layer_position[d.layer]);
    alignas(64) double x[kLanes], y[kLanes], z[kLanes];
    for (int j = 0; j < slow * kPoints; ++j) {
      for (int i = 0; i < fast * kPoints; ++i) {
        const double along = size * offset(i, fast), down = size * offset(j, slow);
        for (int lane = 0; lane < count; ++lane) {
          const int at = from + lane;
          const Vector middle = {d.x[at], d.y[at], d.z[at]};
          const Vector ray = middle + d.inverse[at] * axes.step(middle, along, down);
          const double over = 1.0 / std::sqrt(dot(ray, ray));
          x[lane] = ray.x * over;
          y[lane] = ray.y * over;
          z[lane] = ray.z * over;
        }
        add_points(spot, spindle, shares, x, y, z, share, count, sum + from);
      }
    }
  }

  static double offset(int point, int intervals) {
    return (point / kPoints + 0.5 + kPoint[point % kPoints]) / intervals - 0.5;
  }

  void add_points(const Spot& spot, const Spindle& spindle, const float* shares, const double* x,
                  const double* y, const double* z, double height, int count, double* sum) const {
    alignas(64) double square[kLanes];
    const DiscOfRays disc = spot.disc();
    double least = HUGE_VAL;
#pragma omp simd reduction(min : least)
    for (int i = 0; i < count; ++i) {
      square[i] = disc.square({x[i], y[i], z[i]});
      least = square[i] < least ? square[i] : least;
    }
    if (least > 1.0) return;
    const bool rotates = spindle.stop > spindle.start;
    choose_mean(in_, spot.relp, rotates, [&](auto mean) {
      using Mean = decltype(mean);
      if (spectrum_ == nullptr) {
        Mean::add(spot.relp, in_, spindle, x, y, z, square, height, count, sum);
      } else if constexpr (!Mean::rotates) {
        add_lines<Mean>(spot, shares, x, y, z, square, height, count, sum);
      }
    });
  }

  // The lines of a spectrum by how each ray's logarithm depends on the wavenumber; where no parabola
  // tells that, a ray's few lines one by one.
  template <class Mean>
  void add_lines(const Spot& spot, const float* shares, const double* x, const double* y,
                 const double* z, const double* square, double height, int count,
                 double* sum) const {
    constexpr std::size_t kFew = 32;
    std::vector<double> own;
    const double* weights = spectrum_->weights(shares, own);
    alignas(64) double top[kLanes], at[kLanes], width[kLanes], skew[kLanes], reach[kLanes];
    const bool bent = Mean::crests(spot.relp, in_, x, y, z, count, false, top, at, width, skew);
    for (int i = 0; i < count; ++i) {
      reach[i] = kDone;
      if (square[i] > 1.0) continue;
      at[i] -= spectrum_->middle;
      if (bent) {
        const double far = kFurthest * width[i];
        if (spectrum_->between(at[i] - far, at[i] + far).count() <= kFew) {
          reach[i] = far;
          continue;
        }
      }
      const double log = top[i] + spectrum_->log_of_sum(at[i], width[i], skew[i], weights);
      sum[i] = madd(height, exp_poly<true>(smaller(log, 0.0)), sum[i]);
    }
    if (bent) add_each<Mean>(spot, weights, x, y, z, at, reach, height, count, sum);
  }

  // Each line by itself, for the rays that are left and that it is near enough to: beyond, the formulas
  // may mean nothing.
  template <class Mean>
  void add_each(const Spot& spot, const double* weights, const double* x, const double* y,
                const double* z, const double* at, const double* reach, double height, int count,
                double* sum) const {
    double low = HUGE_VAL, high = -HUGE_VAL;
    alignas(64) double square[kLanes];
    for (int i = 0; i < count; ++i) {
      if (reach[i] == kDone) continue;
      low = smaller(low, at[i] - reach[i]);
      high = larger(high, at[i] + reach[i]);
    }
    const auto range = spectrum_->between(low, high);
    Incidence in = in_;
    for (std::size_t n = range.first; n < range.last; ++n) {
      const double line = spectrum_->lines()[n].at;
      bool seen = false;
      for (int i = 0; i < count; ++i) {
        const bool near = std::fabs(line - at[i]) <= reach[i];
        square[i] = near ? 0.0 : HUGE_VAL;
        seen = seen || near;
      }
      if (!seen) continue;
      in.wavenumber = spectrum_->middle + line;
      Mean::add(spot.relp, in, {}, x, y, z, square, height * weights[n], count, sum);
    }
  }

  static constexpr double kDone = -1.0;     // no reach: of a ray that needs no lines one by one
  static constexpr double kFurthest = 6.0;  // widths from a line within which a ray sees it

  const Parameters& p_;
  const Projection& projection_;
  const Incidence& in_;
  const Spectrum* spectrum_;
  const double per_pixel_;
};

}  // namespace distbragg::closed
