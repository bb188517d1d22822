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
#include "spectrum.hpp"
#include "spot.hpp"

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
  static constexpr int kWide = 16;  // lanes of a vector

 private:
  // Where a row lies from the middle of a spot, at the depth that the spot is given at; pixels.
  struct Row {
    double slow, fast_scale, fast_start;
    Row(const Parameters& p, const Depth& depth, const Spot& spot, double slow_place)
        : slow(madd(depth.slow_scale, slow_place, depth.slow_start - spot.slow)),
          fast_scale(depth.fast_scale / p.pixel_size),
          fast_start(depth.fast_start - spot.fast) {}
    DISTBRAGG_INLINE double fast(double place) const {
      return madd(fast_scale, place, fast_start);
    }
  };

  // Where the samples of a row lie along the panel, m.
  struct Samples {
    double step, half, per_pixel, sub;
    DISTBRAGG_INLINE double place(double pixel, double part) const {
      return madd(step, madd(pixel, per_pixel, part), half);
    }
    DISTBRAGG_INLINE double place(double pixel) const { return place(pixel, sub); }
  };

  // Pixels in pieces of rows: where each lies from the middle of a spot, in pixels, and the sums that
  // belong to the pieces. With room for a vector more.
  static constexpr int kMostRuns = 64;
  struct Run {
    double* sum;
    int count;
  };
  struct Lanes {
    alignas(64) double fast[kLanes + kWide], slow[kLanes + kWide];
    Run runs[kMostRuns];
    int count = 0, run_count = 0;
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

  // Draws a spot that polynomials are fitted to, for one sample of each pixel: pieces of rows, side by
  // side in vectors. What was added last is drawn by `finish`.
  class Strokes {
   public:
    Strokes(const SpotBrush& brush, const Spot& spot, const Sums& sums, std::int64_t sample)
        : brush_(brush), spot_(spot), table_(sums.table) {
      const std::int64_t n = brush.p_.oversample, sub = sample % (n * n);
      // As `positions` puts pixels on the panel.
      const double step = brush.p_.pixel_size / static_cast<double>(n), half = step / 2.0;
      along_ = {step, half, static_cast<double>(n), static_cast<double>(sub % n)};
      sub_slow_ = static_cast<double>(sub / n);
      depth_ = &brush.projection_.depth_of(sample / (n * n));
    }

    // Adds `count` pixels of a row of the panel, from a column on; `sum` has a vector's room more.
    void add(std::int64_t row_number, std::int64_t column, std::int64_t count, double* sum) {
      const double down = along_.place(static_cast<double>(row_number), sub_slow_);
      const Row row(brush_.p_, *depth_, spot_, down * brush_.per_pixel_);
      for (std::int64_t from = 0; from < count;) {
        const int some = static_cast<int>(std::min<std::int64_t>(kLanes - lanes_.count, count - from));
        const double first = static_cast<double>(column + from);
        for (int at = 0; at < some; at += kWide) {
#pragma omp simd
          for (int i = 0; i < kWide; ++i) {
            lanes_.fast[lanes_.count + at + i] = row.fast(along_.place(first + (at + i)));
            lanes_.slow[lanes_.count + at + i] = row.slow;
          }
        }
        lanes_.runs[lanes_.run_count++] = {sum + from, some};
        lanes_.count += some;
        from += some;
        if (lanes_.count == kLanes || lanes_.run_count == kMostRuns) finish();
      }
    }

    void finish() {
      if (lanes_.count == 0) return;
      switch (spot_.kind) {
        case Kind::kDirect: break;
        case Kind::kSmooth: brush_.add_fitted<Kind::kSmooth>(spot_, table_, lanes_); break;
        case Kind::kLines: brush_.add_fitted<Kind::kLines>(spot_, table_, lanes_); break;
        case Kind::kPassage: brush_.add_fitted<Kind::kPassage>(spot_, table_, lanes_); break;
      }
      lanes_.count = lanes_.run_count = 0;
    }

   private:
    const SpotBrush& brush_;
    const Spot& spot_;
    const float* table_;
    Samples along_;
    double sub_slow_;
    const Depth* depth_;
    Lanes lanes_;
  };

 private:
  static constexpr double kAside = 1e6;     // pixels from a spot, where nothing is

  // The intervals of a sample that a spot may cover.
  struct Window {
    int fast_start, fast_stop, slow_start, slow_stop;
  };

  // Whether a spot is so narrow that its part of each pixel is found first.
  static bool is_narrow(const Spot& spot) {
    return static_cast<std::int64_t>(spot.sub.fast) * spot.sub.slow > 64;
  }

  // Those of a sample, by where its middle lies from that of the spot.
  Window covered(const Spot& spot, double fast, double slow) const {
    const double* s = spot.step;
    const double a = madd(s[0], fast, s[1] * slow);
    const double b = madd(s[2], fast, s[3] * slow) - spot.arc * a * a;
    const double b_fast = s[2] - 2.0 * spot.arc * a * s[0];
    const double b_slow = s[3] - 2.0 * spot.arc * a * s[1];
    // Where the disc's middle would lie from here, were it as it is here, and how far it reaches.
    const double over = 1.0 / (s[0] * b_slow - s[1] * b_fast), size = std::fabs(over);
    const double to_fast = (b * s[1] - a * b_slow) * over, to_slow = (a * b_fast - b * s[0]) * over;
    const double across = std::fabs(s[0]) + std::fabs(s[1]);
    const double grown = 1.05 + std::fabs(spot.arc) * across * across;
    const double n = static_cast<double>(p_.oversample);
    const auto place = [n](double at, int intervals) {
      const double count = static_cast<double>(intervals);
      return larger(0.0, smaller((at * n + 0.5) * count, count));
    };
    const double wide = grown * size * std::hypot(s[1], b_slow);
    const double high = grown * size * std::hypot(s[0], b_fast);
    return {static_cast<int>(place(to_fast - wide, spot.sub.fast)),
            static_cast<int>(std::ceil(place(to_fast + wide, spot.sub.fast))),
            static_cast<int>(place(to_slow - high, spot.sub.slow)),
            static_cast<int>(std::ceil(place(to_slow + high, spot.sub.slow)))};
  }

  Window all_of(const Spot& spot) const { return {0, spot.sub.fast, 0, spot.sub.slow}; }

  // The middle of an interval, in samples from the middle of theirs, divided into pixels.
  double middle_of(int interval, int intervals) const {
    return ((interval + 0.5) / intervals - 0.5) / static_cast<double>(p_.oversample);
  }

  template <Kind kKind>
  void add_fitted(const Spot& spot, const float* table, const Lanes& lanes) const {
    const int fast = spot.sub.fast, slow = spot.sub.slow, count = lanes.count;
    const double height = spot.height / (static_cast<double>(fast) * slow);
    alignas(64) float total[kLanes + kWide];
    if (is_narrow(spot)) {
      int lane = 0;
      for (int n = 0; n < lanes.run_count; ++n) {
        const Run& run = lanes.runs[n];
        for (int i = 0; i < run.count; ++i, ++lane) {
          const double seen = within<kKind>(spot, table, lanes.fast[lane], lanes.slow[lane]);
          run.sum[i] = madd(height, seen, run.sum[i]);
        }
      }
      return;
    }
    const int whole = (count + kWide - 1) / kWide * kWide;
    alignas(64) float place[kLanes + kWide], down[kLanes + kWide];
    std::fill(total, total + whole, 0.0f);
    for (int j = 0; j < slow; ++j) {
      const double below = middle_of(j, slow);
      for (int first = 0; first < whole; first += kWide) {
#pragma omp simd
        for (int lane = first; lane < first + kWide; ++lane) {
          down[lane] = static_cast<float>(lanes.slow[lane] + below);
        }
      }
      for (int i = 0; i < fast; ++i) {
        const double aside = middle_of(i, fast);
        for (int first = 0; first < whole; first += kWide) {
#pragma omp simd
          for (int lane = first; lane < first + kWide; ++lane) {
            place[lane] = static_cast<float>(lanes.fast[lane] + aside);
          }
        }
        shade<kKind>(spot, table, place, down, whole, total);
      }
    }
    const float* seen = total;
    for (int n = 0; n < lanes.run_count; ++n) {
      const Run& run = lanes.runs[n];
      for (int i = 0; i < run.count; ++i) {
        run.sum[i] = madd(height, static_cast<double>(seen[i]), run.sum[i]);
      }
      seen += run.count;
    }
  }

  // The sum over the intervals of one sample.
  template <Kind kKind>
  double within(const Spot& spot, const float* table, double fast, double slow) const {
    const Window in = covered(spot, fast, slow);
    alignas(64) float place[kWide], down[kWide], total[kWide] = {};
    for (int j = in.slow_start; j < in.slow_stop; ++j) {
      std::fill(down, down + kWide, static_cast<float>(slow + middle_of(j, spot.sub.slow)));
      for (int i = in.fast_start; i < in.fast_stop; i += kWide) {
        for (int n = 0; n < kWide; ++n) {
          const double along = i + n < in.fast_stop ? middle_of(i + n, spot.sub.fast) : kAside;
          place[n] = static_cast<float>(fast + along);
        }
        shade<kKind>(spot, table, place, down, kWide, total);
      }
    }
    double seen = 0.0;
    for (const float part : total) seen += static_cast<double>(part);
    return seen;
  }

  // Adds what is seen at places, by their distance from the spot's middle; as many as make whole
  // vectors.
  template <Kind kKind>
  static void shade(const Spot& spot, const float* table, const float* fast, const float* slow,
                    int count, float* total) {
    const float a_fast = static_cast<float>(spot.step[0]), a_slow = static_cast<float>(spot.step[1]);
    const float b_fast = static_cast<float>(spot.step[2]), b_slow = static_cast<float>(spot.step[3]);
    const float arc = static_cast<float>(spot.arc);
    const float* sums = table + spot.table;
    const float end = spot.table_end;
    for (int first = 0; first < count; first += kWide) {
      alignas(64) float seen[kWide], rest[kWide];
      alignas(64) std::int32_t low[kWide];
#pragma omp simd
      for (int i = 0; i < kWide; ++i) {
        const float at = fast[first + i], row = slow[first + i];
        const float a = madd(a_fast, at, a_slow * row);
        const float b = madd(-arc * a, a, madd(b_fast, at, b_slow * row));
        const bool inside = madd(a, a, b * b) <= 1.0f;
        // What lies outside may be far away, and is not taken.
        const float u = inside ? a : 0.0f, v = inside ? b : 0.0f;
        float here;
        if constexpr (kKind == Kind::kPassage) {
          here = passage(spot.log.at(u, v), spot.from.at(u, v), spot.to.at(u, v));
        } else {
          here = exp_poly<false>(spot.log.at(u, v));
        }
        seen[i] = inside ? here : 0.0f;
        if constexpr (kKind == Kind::kLines) {
          const float wanted = spot.at.at(u, v);
          const float place = wanted < 0.0f ? 0.0f : (wanted > end ? end : wanted);
          low[i] = static_cast<std::int32_t>(place);
          rest[i] = place - static_cast<float>(low[i]);
        }
      }
#pragma omp simd
      for (int i = 0; i < kWide; ++i) {
        if constexpr (kKind == Kind::kLines) {
          const float here = sums[low[i]], next = sums[low[i] + 1];
          seen[i] *= madd(rest[i], next - here, here);
        }
        total[first + i] += seen[i];
      }
    }
  }

  // exp(x²) erfc(x) of x ≥ 0, to 1e-7: t e^(polynomial of t), t = 1/(1 + x/2), fitted by least
  // squares at Chebyshev's points of t.
  static DISTBRAGG_INLINE float scaled_erfc(float x) {
    const float t = 1.0f / madd(0.5f, x, 1.0f);
    float p = 0.170872778f;
    p = madd(p, t, -0.822152234f);
    p = madd(p, t, 1.48851589f);
    p = madd(p, t, -1.13520400f);
    p = madd(p, t, 0.278868084f);
    p = madd(p, t, -0.186288062f);
    p = madd(p, t, 0.0967841895f);
    p = madd(p, t, 0.374091960f);
    p = madd(p, t, 1.00002368f);
    p = madd(p, t, -1.26551223f);
    return t * exp_poly<false>(p);
  }

  // exp(top) (erf(to) − erf(from)), from < to.
  static DISTBRAGG_INLINE float passage(float top, float from, float to) {
    // Beside the passage, from its nearer end on; within it, all but what lies beyond both ends.
    const bool before = from > 0.0f, beside = before || to < 0.0f;
    const float low = before ? from : -to, high = before ? to : -from;
    const float one = beside ? low : std::fabs(from), other = beside ? high : std::fabs(to);
    const float near = one * one, far = other * other;
    const float base = beside ? top - near : top;
    const float share1 = scaled_erfc(one) * (beside ? 1.0f : exp_poly<true>(-near));
    const float fall = beside ? smaller(near - far, 0.0f) : -far;
    const float share2 = scaled_erfc(other) * exp_poly<true>(fall);
    const float area = beside ? share1 - share2 : 2.0f - share1 - share2;
    return exp_poly<false>(base) * (area > 0.0f ? area : 0.0f);
  }

  // Evaluates the model itself.
  void add_direct(const Spot& spot, const Spindle& spindle, const float* shares,
                  const Directions& d, const Row& row, int from, int to, double* sum) const {
    if (p_.integrate == 0) {
      return add_points(spot, spindle, shares, d.x + from, d.y + from, d.z + from, spot.height,
                        to - from, sum + from);
    }
    if (!is_narrow(spot) || !spot.oval) {
      return add_window(spot, spindle, shares, d, all_of(spot), from, to, sum);
    }
    for (int lane = from; lane < to; ++lane) {
      const Window in = covered(spot, row.fast(d.fast[lane]), row.slow);
      add_window(spot, spindle, shares, d, in, lane, lane + 1, sum);
    }
  }

  // By two points along each axis of each interval.
  void add_window(const Spot& spot, const Spindle& spindle, const float* shares,
                  const Directions& d, const Window& in, int from, int to, double* sum) const {
    const int fast = spot.sub.fast, slow = spot.sub.slow, count = to - from;
    const double size = p_.pixel_size / static_cast<double>(p_.oversample);
    const double share = spot.height / (4.0 * fast * slow);
    const SurfaceAxes axes(p_, p_.layer_position[d.layer]);
    alignas(64) double x[kLanes], y[kLanes], z[kLanes];
    for (int j = in.slow_start * kPoints; j < in.slow_stop * kPoints; ++j) {
      for (int i = in.fast_start * kPoints; i < in.fast_stop * kPoints; ++i) {
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
    const Vector centre = spot.centre, first = spot.first, second = spot.second;
    const double bow = spot.bow;
    double least = HUGE_VAL;
#pragma omp simd reduction(min : least)
    for (int i = 0; i < count; ++i) {
      const Vector ray = {x[i], y[i], z[i]};
      const double facing = dot(centre, ray), over = 1.0 / facing;
      const double a = dot(first, ray) * over, b = madd(-bow * a, a, dot(second, ray) * over);
      square[i] = facing > 0.0 ? madd(a, a, b * b) : HUGE_VAL;
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

  // The lines of a spectrum by the parabola of each ray's logarithm.
  template <class Mean>
  void add_lines(const Spot& spot, const float* shares, const double* x, const double* y,
                 const double* z, const double* square, double height, int count,
                 double* sum) const {
    std::vector<double> own;
    const double* weights = spectrum_->weights(shares, own);
    alignas(64) double top[kLanes], at[kLanes], width[kLanes];
    Mean::crests(spot.relp, in_, x, y, z, count, top, at, width);
    for (int i = 0; i < count; ++i) {
      if (square[i] > 1.0) continue;
      const double log = top[i] + spectrum_->log_of_sum(at[i] - spectrum_->middle, width[i], weights);
      sum[i] = madd(height, exp_poly<true>(smaller(log, 0.0)), sum[i]);
    }
  }

  const Parameters& p_;
  const Projection& projection_;
  const Incidence& in_;
  const Spectrum* spectrum_;
  const double per_pixel_;
};

}  // namespace distbragg::closed
