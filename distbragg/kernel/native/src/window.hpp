// Which intervals of a sample a spot may cover, and where they lie in its disc.
#pragma once

#include <cmath>
#include <cstdint>

#include "landing.hpp"
#include "spot.hpp"

namespace distbragg::closed {

// Where a row lies from the middle of a spot, at the depth that the spot is given at; pixels.
struct Row {
  const Depth& depth;
  double slow, fast_scale, fast_start;
  Row(const Parameters& p, const Depth& of, const Spot& spot, double slow_place)
      : depth(of), slow(madd(depth.slow_scale, slow_place, depth.slow_start - spot.slow)),
        fast_scale(depth.fast_scale / p.pixel_size),
        fast_start(depth.fast_start - spot.fast) {}
  DISTBRAGG_INLINE double fast(double place) const {
    return madd(fast_scale, place, fast_start);
  }
};

// The coordinates of a spot's disc along a row, by some number of places: step · number + start.
struct DiscLine {
  float a_step, a_start, b_step, b_start;
  DiscLine() = default;
  // By where number 0 lies from the spot's middle, and what a number is, pixels.
  DiscLine(const Spot& spot, double step, double fast, double slow)
      : a_step(static_cast<float>(spot.step[0] * step)),
        a_start(static_cast<float>(madd(spot.step[0], fast, spot.step[1] * slow))),
        b_step(static_cast<float>(spot.step[2] * step)),
        b_start(static_cast<float>(madd(spot.step[2], fast, spot.step[3] * slow))) {}
  DISTBRAGG_INLINE float a(float number) const { return madd(a_step, number, a_start); }
  DISTBRAGG_INLINE float b(float number) const { return madd(b_step, number, b_start); }
};

// The intervals of a sample that a spot may cover.
struct Window {
  int fast_start, fast_stop, slow_start, slow_stop;
};

// Those of a sample, by where its middle lies from that of the spot. A pixel of another depth is
// larger or smaller there.
inline Window covered(std::int64_t oversample, const Spot& spot, const Depth& depth, double fast,
                      double slow) {
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
  const double n = static_cast<double>(oversample);
  const double per_fast = n / depth.fast_scale, per_slow = n / depth.slow_scale;
  const auto place = [](double at, int intervals) {
    const double count = static_cast<double>(intervals);
    return larger(0.0, smaller((at + 0.5) * count, count));
  };
  const double wide = grown * size * std::hypot(s[1], b_slow);
  const double high = grown * size * std::hypot(s[0], b_fast);
  return {static_cast<int>(place((to_fast - wide) * per_fast, spot.sub.fast)),
          static_cast<int>(std::ceil(place((to_fast + wide) * per_fast, spot.sub.fast))),
          static_cast<int>(place((to_slow - high) * per_slow, spot.sub.slow)),
          static_cast<int>(std::ceil(place((to_slow + high) * per_slow, spot.sub.slow)))};
}

struct Range {
  int start, stop;
};

// Which of so many intervals of a line may see a spot: across its ridge, which is straight but for
// what it bends by from their middle to their ends.
inline Range seen_of(const Spot& spot, const DiscLine& line, int count) {
  const double half = 0.5 * count, arc = spot.arc, step = line.a_step;
  const double a = madd(step, half, line.a_start), away = step * half;
  const double b = madd(line.b_step, half, line.b_start - arc * a * a);
  const double slope = line.b_step - 2.0 * arc * a * step;
  const double reach = madd(std::fabs(arc) * away, away, 1.05) / std::fabs(slope);
  if (!(reach < half)) return {0, count};
  const double middle = half - b / slope, most = static_cast<double>(count);
  return {static_cast<int>(smaller(larger(std::floor(middle - reach), 0.0), most)),
          static_cast<int>(smaller(larger(std::ceil(middle + reach), 0.0), most))};
}

}  // namespace distbragg::closed
