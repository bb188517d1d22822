// A spot's sums over the lines of a spectrum, as cubics that it takes from those of all spots.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "cubics.hpp"
#include "spectrum.hpp"
#include "spot.hpp"
#include "spot_fit.hpp"

namespace distbragg::closed {

// What the table of a spot's sums, which has so many places a wavenumber, is at the nodes: the place
// there, the sum, and its second derivative by the place.
struct LineSums {
  static constexpr double kLeastSeen = 1e-30;
  static constexpr int kWide = Cubics::kWide, kWhole = (kNodes + kWide - 1) / kWide * kWide;

  double per;
  alignas(64) double place[kNodes], seen[kWhole], curved[kWhole];

  // Appends cubics to a table, for places from wavenumber `low` to `high` and a width whose logarithm
  // is middle + slope · k; `at`: the wavenumbers of the nodes. False where the cubics of all spots do
  // not reach.
  bool take_cubics(const SmoothedLines& sums, const double* at, double low, double high,
                   double middle, double slope, Spot& spot, std::vector<float>& table) {
    constexpr double kBefore = 1e-3;  // the last place is to lie in the last piece as float32, too
    double row;
    const LineCubics* cubics = sums.cubics(middle, slope, low, high, row);
    if (cubics == nullptr) return false;
    const double step = cubics->step(), begin = cubics->begin();
    per = 1.0 / step;
    const double last = static_cast<double>(cubics->count() - Cubics::kPieces);
    const double from = smaller(larger(std::floor((low - begin) * per), 0.0), last);
    const double first = madd(begin, per, from), end = madd(high, per, -first);
    if (!(end >= 0.0 && end < Cubics::kPieces - kBefore)) return false;
    const std::size_t start = table.size();
    table.resize(start + Cubics::kSize);
    float* pieces = table.data() + start;
    const double slant = slope * SmoothedLines::kRowsAnE;
    cubics->pick(static_cast<std::int64_t>(from), madd(slant, (first + 0.5) * step, row),
                 slant * step, pieces);
    spot.table_end = static_cast<float>(end);
    look_up(pieces, at, first, end);
    return true;
  }

 private:
  void look_up(const float* pieces, const double* at, double first, double end) {
    alignas(64) std::int32_t piece[kWhole] = {};
    alignas(64) double rest[kWhole] = {};
    alignas(64) float c[Cubics::kPowers][kWide];
    const double own_per = per;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      place[m] = madd(at[m], own_per, -first);
      const double inside = smaller(larger(place[m], 0.0), end);
      piece[m] = static_cast<std::int32_t>(inside);
      rest[m] = inside - static_cast<double>(piece[m]);
    }
    const Cubics own(pieces);
    for (int from = 0; from < kNodes; from += kWide) {
      own.pick(piece + from, c);
#pragma omp simd
      for (int i = 0; i < kWide; ++i) {
        const double t = rest[from + i], c0 = c[0][i], c1 = c[1][i], c2 = c[2][i], c3 = c[3][i];
        const double sum = cubic(c0, c1, c2, c3, t);
        seen[from + i] = larger(sum, kLeastSeen);
        curved[from + i] = 2.0 * madd(3.0 * c3, t, c2);
      }
    }
  }
};

}  // namespace distbragg::closed
