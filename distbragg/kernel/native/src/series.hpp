// Spots whose logarithms are polynomials in their ellipses, drawn into pixels, and what they draw
// differentiated: the twin of `distbragg/fit/spot_draw.py`, in one thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"

namespace distbragg {
namespace series {

constexpr int kDegree = 6, kOrders = kDegree + 1, kPowers = 28;
constexpr int kChunk = 256, kTogether = 8;  // points of a row evaluated at once; those of a vector

// Spots of a window of `height` rows of `width` pixels, and the points of a pixel at which each is
// evaluated. As `distbragg/kernel/native/series.py` lays them out.
struct Spots {
  std::int64_t parts, count, height, width;
  const double* powers;   // (count, parts, kPowers)
  const double* ellipse;  // (count, 6): what it is multiplied by; slow, fast; L11, L21, L22
  const std::int64_t* grid;  // (count, 4): first and number of its points along slow, along fast
  const double* points;      // from the middle of a pixel
};

// A row of points within one ellipse.
struct alignas(64) Row {
  double a;
  std::int64_t pixel;  // where in the window the row begins
  int count;           // of points, rounded up to whole vectors
  int lit;
  double b[kChunk], value[kChunk], by[3][kChunk];
  const std::int64_t* column;
};

template <int kParts>
class Painter {
 public:
  explicit Painter(const Spots& spots) : s_(spots) {}

  void draw(double* image) {
    for (std::int64_t n = 0; n < s_.count; ++n) {
      each_row(n, [&](Row& row, double share) {
        evaluate<false>(row);
        double* out = image + row.pixel;
        for (int k = 0; k < row.lit; ++k) out[row.column[k]] += share * row.value[k];
      });
    }
  }

  // Σ `slope` · image by the coefficients and by what spots are multiplied by.
  void differentiate(const double* slope, double* by_powers, double* by_height) {
    for (std::int64_t n = 0; n < s_.count; ++n) {
      double* own = by_powers + n * kParts * kPowers;
      const double height = s_.ellipse[6 * n];
      double sum = 0.0;
      each_row(n, [&](Row& row, double share) {
        evaluate<true>(row);
        const double* in = slope + row.pixel;
        alignas(64) double weight[kChunk];
        for (int k = 0; k < row.lit; ++k) weight[k] = in[row.column[k]];
        std::fill(weight + row.lit, weight + row.count, 0.0);
        sum += dot(weight, row.value, row.count) * share;
        for (int part = 0; part < kParts; ++part) {
          double moments[kOrders];
          take_moments(weight, row.by[part], row.b, row.count, moments);
          gather(row.a, share, moments, own + part * kPowers);
        }
      });
      by_height[n] = height != 0.0 ? sum / height : bare(n, slope);
    }
  }

 private:
  // Where `take` sees the rows of a spot's points in pieces, with what they are multiplied by.
  template <class Take>
  void each_row(std::int64_t n, Take take) {
    const double* e = s_.ellipse + 6 * n;
    each_row(n, e[0], take);
  }

  template <class Take>
  void each_row(std::int64_t n, double height, Take take) {
    const double* e = s_.ellipse + 6 * n;
    const double slow = e[1], fast = e[2], l11 = e[3], l21 = e[4], l22 = e[5];
    const std::int64_t* grid = s_.grid + 4 * n;
    const double *down = s_.points + grid[0], *across = s_.points + grid[2];
    const std::int64_t first = within(std::ceil(slow - l11 - 0.5), s_.height);
    const std::int64_t last = within(std::floor(slow + l11 + 0.5) + 1.0, s_.height);
    const double wide = std::hypot(l21, l22) + 0.5;
    place(within(std::ceil(fast - wide), s_.width), within(std::floor(fast + wide) + 1.0, s_.width),
          across, grid[3]);
    const double share = height / static_cast<double>(grid[1] * grid[3]), over = 1.0 / l22;
    for (std::int64_t r = first; r < last; ++r) {
      row_.pixel = r * s_.width;
      for (std::int64_t d = 0; d < grid[1]; ++d) {
        const double a = (static_cast<double>(r) + down[d] - slow) / l11;
        if (!(a * a <= 1.0)) continue;
        const double middle = madd(l21, a, fast), half = l22 * std::sqrt(1.0 - a * a);
        const auto from = std::lower_bound(places_.begin(), places_.end(), middle - half);
        const auto to = std::upper_bound(from, places_.end(), middle + half);
        if (from == to) continue;
        row_.a = a;
        along_row(n, a);
        for (auto here = from - places_.begin(); here < to - places_.begin(); here += kChunk) {
          row_.lit = static_cast<int>(std::min<std::ptrdiff_t>(kChunk, to - places_.begin() - here));
          row_.count = (row_.lit + kTogether - 1) / kTogether * kTogether;
          row_.column = columns_.data() + here;
          const double* x = places_.data() + here;
#pragma omp simd
          for (int k = 0; k < row_.lit; ++k) row_.b[k] = (x[k] - middle) * over;
          std::fill(row_.b + row_.lit, row_.b + row_.count, 0.0);
          take(row_, share);
        }
      }
    }
  }

  static std::int64_t within(double edge, std::int64_t most) {
    return static_cast<std::int64_t>(smaller(larger(edge, 0.0), static_cast<double>(most)));
  }

  // The points of a row of pixels, and their columns.
  void place(std::int64_t first, std::int64_t last, const double* across, std::int64_t count) {
    places_.clear();
    columns_.clear();
    for (std::int64_t column = first; column < last; ++column) {
      for (std::int64_t m = 0; m < count; ++m) {
        places_.push_back(static_cast<double>(column) + across[m]);
        columns_.push_back(column);
      }
    }
  }

  // The polynomials of b in a row.
  void along_row(std::int64_t n, double a) {
    const double* powers = s_.powers + n * kParts * kPowers;
    for (int part = 0; part < kParts; ++part, powers += kPowers) {
      double* along = along_[part];
      std::fill(along, along + kOrders, 0.0);
      double power = 1.0;
      const double* next = powers;
      for (int i = 0; i < kOrders; ++i, power *= a) {
        for (int j = 0; j < kOrders - i; ++j) along[j] = madd(power, *next++, along[j]);
      }
    }
  }

  static DISTBRAGG_INLINE double polynomial(const double* along, double b) {
    double p = along[kDegree];
#pragma GCC unroll 8
    for (int j = kDegree - 1; j >= 0; --j) p = madd(p, b, along[j]);
    return p;
  }

  // The spot at points of a row, and `by` each of its polynomials.
  template <bool kSlopes>
  void evaluate(Row& row) const {
    if constexpr (kParts == 1) {
      const auto along = along_[0];
#pragma omp simd
      for (int k = 0; k < row.count; ++k) row.value[k] = exp_poly(polynomial(along, row.b[k]));
      if (kSlopes) std::copy(row.value, row.value + row.count, row.by[0]);
    } else {
#pragma omp simd
      for (int k = 0; k < row.count; ++k) pass<kSlopes>(row, k);
    }
  }

  // exp(top) (erf(last) − erf(first)), from the nearer end on if it passes beside the rotation; see
  // `Passage` of the model.
  template <bool kSlopes>
  DISTBRAGG_INLINE void pass(Row& row, int k) const {
    constexpr double kTwoPerRootPi = 1.1283791670955125739;
    const double b = row.b[k];
    const double top = polynomial(along_[0], b), first = polynomial(along_[1], b);
    const double last = polynomial(along_[2], b);
    const double before = exp_poly(madd(-first, first, top));
    const double after = exp_poly(madd(-last, last, top));
    const double one = before * scaled_erfc(std::fabs(first));
    const double two = after * scaled_erfc(std::fabs(last));
    const double within = 2.0 * exp_poly(top) - one - two;
    const double value = first > 0.0 ? one - two : (last < 0.0 ? two - one : within);
    row.value[k] = value;
    if (kSlopes) {
      row.by[0][k] = value;
      row.by[1][k] = -kTwoPerRootPi * before;
      row.by[2][k] = kTwoPerRootPi * after;
    }
  }

  static double dot(const double* one, const double* two, int count) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int k = 0; k < count; ++k) sum = madd(one[k], two[k], sum);
    return sum;
  }

  // Σ weight · by · b^j.
  static void take_moments(const double* weight, const double* by, const double* b, int count,
                           double* moments) {
    alignas(64) double left[kChunk];
#pragma omp simd
    for (int k = 0; k < count; ++k) left[k] = weight[k] * by[k];
    for (int j = 0; j < kOrders; ++j) {
      double sum = 0.0;
#pragma omp simd reduction(+ : sum)
      for (int k = 0; k < count; ++k) {
        sum += left[k];
        left[k] *= b[k];
      }
      moments[j] = sum;
    }
  }

  static void gather(double a, double share, const double* moments, double* by) {
    double power = share;
    for (int i = 0; i < kOrders; ++i, power *= a) {
      for (int j = 0; j < kOrders - i; ++j, ++by) *by = madd(power, moments[j], *by);
    }
  }

  // By what a spot is multiplied by, where that is nothing.
  double bare(std::int64_t n, const double* slope) {
    double sum = 0.0;
    each_row(n, 1.0, [&](Row& row, double share) {
      evaluate<false>(row);
      for (int k = 0; k < row.lit; ++k) {
        sum = madd(slope[row.pixel + row.column[k]] * share, row.value[k], sum);
      }
    });
    return sum;
  }

  const Spots& s_;
  Row row_;
  double along_[kParts][kOrders];
  std::vector<double> places_;
  std::vector<std::int64_t> columns_;
};

template <class Task>
void painted(const Spots& spots, Task task) {
  if (spots.parts == 1) {
    Painter<1> painter(spots);
    task(painter);
  } else {
    Painter<3> painter(spots);
    task(painter);
  }
}

}  // namespace series
}  // namespace distbragg
