// Sums over the lines of a spectrum, as they are seen through a width.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"
#include "line_cubics.hpp"

namespace distbragg::closed {

// One line of a spectrum: its wavenumber from the middle, and its share of the weights.
struct Line {
  double at, weight;
  bool operator==(const Line& other) const { return at == other.at && weight == other.weight; }
};

// Σ w exp(−½ ((line − k)/width)²) by k, for widths within a factor of two: rows of a table, each of
// one width, between which four are interpolated by the logarithm of the width.
class SmoothedLines {
 public:
  static constexpr int kRows = 8;         // for a factor of two: to 2.3e-5 of a line
  static constexpr double kReach = 5.5;   // widths beyond which a line is nothing
  static constexpr double kFurthest = 5.0;  // within which a ray looks at lines
  static constexpr double kFinest = 36.0; // entries a width: straight between them to 1e-4
  static constexpr int kLevels = 7;
  static constexpr std::int64_t kMostStride = std::int64_t{1} << (kLevels - 1);

  // Rows of 2^octave 2^(n/kRows), n from −1 to kRows + 1. Where |F| follows the energy there is one
  // for each term of it, the weight of a line being one of `by_term`, (lines, terms).
  SmoothedLines(const std::vector<Line>& lines, const std::vector<double>& by_term, int octave)
      : octave_(octave), terms_(by_term.size() / lines.size()) {
    const double least = std::ldexp(1.0, octave), most = 2.4 * least;
    fine_ = least / kFinest;
    first_ = static_cast<std::int64_t>(
        std::floor((lines.front().at - kReach * most) / (fine_ * kMostStride))) * kMostStride;
    const double last = (lines.back().at + kReach * most) / fine_;
    const std::int64_t count = static_cast<std::int64_t>(std::ceil(last)) - first_ + kMostStride;
    std::vector<std::vector<float>> fine[kRows + 3];
    const auto width = [least](int row) { return least * std::exp2((row - 1.0) / kRows); };
    finest_ = kLevels - 1;
    std::vector<Line> own = lines;
    for (std::size_t m = 0; m < std::max<std::size_t>(1, terms_); ++m) {
      for (std::size_t n = 0; n < lines.size() && terms_ > 0; ++n) {
        own[n].weight = by_term[n * terms_ + m];
      }
      bends_.push_back({});
      for (int row = 0; row < kRows + 3; ++row) {
        fine[row].push_back(summed(own, width(row), fine_, count));
        const std::vector<float>& made = fine[row].back();
        if (terms_ > 0) {
          for (int n = 1; n < kLevels; ++n) {
            bends_[m][n] = std::max(bends_[m][n], 0.125 * static_cast<double>(bend(made, n)));
          }
        }
        const double most_bend = m == 0 ? kMostBend : kMostBendBeside;
        const double greatest = static_cast<double>(greatest_of(made));
        while (finest_ > 0 && 0.125 * static_cast<double>(bend(made, finest_)) >
                                  most_bend * greatest) {
          --finest_;
        }
      }
    }
    coarsest_ = terms_ > 0 ? kLevels - 1 : finest_;
    // What all weights together come to, by which bends of a reflection are judged.
    greatest_ = HUGE_VAL;
    for (int row = 0; row < kRows + 3 && terms_ > 0; ++row) {
      const auto sum = summed(lines, width(row), fine_, count);
      greatest_ = std::min(greatest_, static_cast<double>(greatest_of(sum)));
    }
    if (terms_ == 0) {
      for (int row = 0; row < kRows; ++row) {
        const double beyond = (kFurthest + 0.1) * width(row + LineCubics::kRows - 2);
        const std::vector<float>* rows[LineCubics::kRows];
        for (int r = 0; r < LineCubics::kRows; ++r) rows[r] = &fine[row + r].front();
        cubics_.emplace_back(rows, first_, fine_, lines.front().at - beyond,
                             lines.back().at + beyond);
      }
    }
    for (int level = finest_; level <= coarsest_; ++level) {
      for (int row = 0; row < kRows + 3; ++row) {
        for (const std::vector<float>& table : fine[row]) {
          for (std::size_t n = 0; n < table.size(); n += std::size_t{1} << level) {
            rows_[level][row].push_back(table[n]);
          }
        }
      }
    }
  }

  // How far apart entries may lie, as a power of two, for a reflection of such shares of the terms.
  int level(const float* shares) const {
    int level = coarsest_;
    for (; level > finest_; --level) {
      double bent = 0.0;
      for (std::size_t m = 0; m < terms_; ++m) {
        bent = madd(std::fabs(static_cast<double>(shares[m])), bends_[m][level], bent);
      }
      if (bent <= kMostBend * greatest_) break;
    }
    return level;
  }

  std::size_t bytes() const {
    std::size_t entries = 0;
    for (const auto& level : rows_) {
      for (const std::vector<float>& row : level) entries += row.size();
    }
    std::size_t bytes = entries * sizeof(float);
    for (const LineCubics& cubics : cubics_) bytes += cubics.bytes();
    return bytes;
  }

  // Where |F| does not follow the energy: the cubics that a spot's are taken from whose logarithm of
  // the width is middle + slope · k from wavenumber `low` to `high`, and the place of the width at 0
  // among their rows. None where it leaves those.
  const LineCubics* cubics(double middle, double slope, double low, double high,
                           double& place) const {
    if (cubics_.empty()) return nullptr;
    const double base = middle * kRowsAnE - static_cast<double>(octave_ * kRows);
    const double from = madd(slope * kRowsAnE, low, base), to = madd(slope * kRowsAnE, high, base);
    const double row = smaller(larger(std::floor(0.5 * (from + to)), 0.0), kRows - 1.0);
    place = base - row + 1.0;
    if (!(smaller(from, to) > row - 1.0 && larger(from, to) < row + 2.0)) return nullptr;
    return &cubics_[static_cast<std::size_t>(row)];
  }
  static constexpr double kRowsAnE = kRows * 1.4426950408889634074;  // of a factor of e

  double step(int level) const { return std::ldexp(fine_, level); }

  // Appends the sums at entries [from, to) of a level's grid of whole steps to a table, the logarithm
  // of the width being middle + slope · k. False where the width leaves the rows. Where there are
  // several tables, Σ share · sum over them.
  bool append(int level, std::int64_t from, std::int64_t to, double middle, double slope,
              const float* shares, std::vector<float>& table) const {
    const double per = kRowsAnE, step = this->step(level);
    const double low = (middle + slope * step * static_cast<double>(from)) * per;
    const double base = low - static_cast<double>(octave_) * kRows, change = slope * step * per;
    const std::int64_t entries = this->entries(level), first = first_ >> level;
    const std::vector<float>* rows = rows_[level];
    alignas(64) float mixed[4][kChunk];
    const std::size_t start = table.size();
    table.resize(start + static_cast<std::size_t>(to - from), 0.0f);
    for (std::int64_t n = from; n < to; n += kChunk) {
      const std::int64_t stop = std::min(n + kChunk, to);
      const double here = base + change * static_cast<double>((n + stop) / 2 - from);
      const int row = std::clamp(static_cast<int>(std::floor(here)), 0, kRows - 1);
      if (!(here - row > -1.0 && here - row < 2.0)) return false;
      const float t0 = static_cast<float>(base + change * static_cast<double>(n - from) - row);
      const float dt = static_cast<float>(change);
      const std::int64_t inside = std::max(n, first), after = std::min(stop, first + entries);
      float* out = table.data() + start + (inside - from);
      const std::size_t at = static_cast<std::size_t>(inside - first);
      if (inside >= after) continue;
      const float *r0 = rows[row].data() + at, *r1 = rows[row + 1].data() + at;
      const float *r2 = rows[row + 2].data() + at, *r3 = rows[row + 3].data() + at;
      const float skipped = static_cast<float>(inside - n);
      const int count = static_cast<int>(after - inside);
      if (terms_ > 0) {
        for (int r = 0; r < 4; ++r) {
          mix(rows[row + r].data() + at, entries, shares, count, mixed[r]);
        }
        r0 = mixed[0], r1 = mixed[1], r2 = mixed[2], r3 = mixed[3];
      }
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        // Four-point Lagrange at −1, 0, 1, 2, which may fall below 0 far from the strong lines.
        const float t = madd(dt, skipped + static_cast<float>(i), t0);
        const float below = t + 1.0f, above = t - 1.0f, far = t - 2.0f;
        const float w0 = t * above * far * (-1.0f / 6.0f), w1 = below * above * far * 0.5f;
        const float w2 = below * t * far * -0.5f, w3 = below * t * above * (1.0f / 6.0f);
        const float sum = madd(w0, r0[i], madd(w1, r1[i], madd(w2, r2[i], w3 * r3[i])));
        out[i] = sum > 0.0f ? sum : 0.0f;
      }
    }
    return true;
  }

  // Turns sums of exp(−½ x²) over lines into those of exp(−½ x² + skew x³), to first order: x³ is the
  // third of Hermite's polynomials and three times the first, whose sums are derivatives. `skew(n)`
  // and `width(n)`, in entries, are those at an entry. The outermost two on either side stay.
  template <class Skew, class Width>
  static void bend(float* sum, std::int64_t count, Skew skew, Width width) {
    std::vector<double> plain(sum, sum + count);
    for (std::int64_t n = 2; n + 2 < count; ++n) {
      const double* s = plain.data() + n;
      const double near = 0.5 * (s[1] - s[-1]), far = 0.5 * (s[2] - s[-2]), wide = width(n);
      const double first = wide * near, third = wide * wide * wide * (far - 2.0 * near);
      const double bent = madd(skew(n), madd(3.0, first, third), s[0]);
      sum[n] = static_cast<float>(larger(bent, 0.0));
    }
  }

 private:
  static constexpr double kMostBend = 1e-4;  // of the greatest, between entries
  static constexpr double kMostBendBeside = 1e-3;  // of terms by which |F|² changes with the energy
  static constexpr std::int64_t kChunk = 256;

  std::int64_t entries(int level) const {
    const std::size_t tables = std::max<std::size_t>(1, terms_);
    return static_cast<std::int64_t>(rows_[level][0].size() / tables);
  }

  // Σ share · entry over the tables; of nothing below 0, where rounding is all there is.
  void mix(const float* row, std::int64_t entries, const float* shares, int count,
           float* sum) const {
    std::fill(sum, sum + count, 0.0f);
    for (std::size_t m = 0; m < terms_; ++m, row += entries) {
      const float share = shares[m];
      const float* own = row;
#pragma omp simd
      for (int i = 0; i < count; ++i) sum[i] = madd(share, own[i], sum[i]);
    }
#pragma omp simd
    for (int i = 0; i < count; ++i) sum[i] = sum[i] > 0.0f ? sum[i] : 0.0f;
  }

  std::vector<float> summed(const std::vector<Line>& lines, double width, double step,
                            std::int64_t count) const {
    std::vector<double> sum(static_cast<std::size_t>(count), 0.0);
    const double reach = kReach * width / step;
    const float per = static_cast<float>(step / width);
    for (const Line& line : lines) {
      const double place = line.at / step - static_cast<double>(first_);
      const std::int64_t low = std::max<std::int64_t>(0, static_cast<std::int64_t>(place - reach));
      const std::int64_t high =
          std::min(count, static_cast<std::int64_t>(place + reach) + 1);
      const float off = static_cast<float>(static_cast<double>(low) - place);
      const double weight = line.weight;
      double* out = sum.data() + low;
      const int entries = static_cast<int>(high - low);
#pragma omp simd
      for (int i = 0; i < entries; ++i) {
        const float away = (off + static_cast<float>(i)) * per;
        out[i] = madd(weight, static_cast<double>(exp_poly<true>(-0.5f * away * away)), out[i]);
      }
    }
    return std::vector<float>(sum.begin(), sum.end());
  }

  // The greatest second difference of entries that lie 2^level apart: eight times what a straight
  // line between them misses.
  static float bend(const std::vector<float>& row, int level) {
    float worst = 0.0f;
    const std::size_t far = std::size_t{1} << level;
    for (std::size_t n = far; n + far < row.size(); ++n) {
      worst = std::max(worst, std::fabs(row[n - far] - 2.0f * row[n] + row[n + far]));
    }
    return worst;
  }

  static float greatest_of(const std::vector<float>& row) {
    float most = 0.0f;
    for (const float value : row) most = std::max(most, std::fabs(value));
    return most;
  }

  int octave_, finest_, coarsest_;  // levels: entries lie 2^level fine steps apart
  std::size_t terms_;               // of |F| by energy; 0: it is the same for all lines
  double fine_, greatest_;
  std::int64_t first_ = 0;          // fine entry of the grid of whole steps
  std::vector<std::array<double, kLevels>> bends_;  // of each term, by level
  std::vector<float> rows_[kLevels][kRows + 3];     // table by table
  std::vector<LineCubics> cubics_;                  // for the widths from each row to the next
};

}  // namespace distbragg::closed
