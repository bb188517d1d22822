// The lines of a spectrum, and the sum over them as it is seen through a width.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "approx.hpp"
#include "generated.hpp"

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
  static constexpr double kFinest = 36.0; // entries a width: straight between them to 1e-4
  static constexpr int kMostStride = 64;

  // Rows of 2^octave 2^(n/kRows), n from −1 to kRows + 1.
  SmoothedLines(const std::vector<Line>& lines, int octave) : octave_(octave) {
    const double least = std::ldexp(1.0, octave), most = 2.4 * least, step = least / kFinest;
    first_ = static_cast<std::int64_t>(
        std::floor((lines.front().at - kReach * most) / (step * kMostStride))) * kMostStride;
    const double last = (lines.back().at + kReach * most) / step;
    const std::int64_t count = static_cast<std::int64_t>(std::ceil(last)) - first_ + kMostStride;
    std::vector<float> fine[kRows + 3];
    stride_ = kMostStride;
    for (int row = 0; row < kRows + 3; ++row) {
      fine[row] = summed(lines, least * std::exp2((row - 1.0) / kRows), step, count);
      while (stride_ > 1 && bend(fine[row], stride_) > kMostBend) stride_ /= 2;
    }
    step_ = step * stride_;
    first_ /= stride_;
    for (int row = 0; row < kRows + 3; ++row) {
      for (std::size_t n = 0; n < fine[row].size(); n += static_cast<std::size_t>(stride_)) {
        rows_[row].push_back(fine[row][n]);
      }
    }
  }

  double step() const { return step_; }

  // Appends the sums at entries [from, to) of the grid of whole steps to a table, the logarithm of
  // the width being middle + slope · k. False where the width leaves the rows.
  bool append(std::int64_t from, std::int64_t to, double middle, double slope,
              std::vector<float>& table) const {
    const double per = kRows / 0.69314718055994530942;
    const double low = (middle + slope * step_ * static_cast<double>(from)) * per;
    const double base = low - static_cast<double>(octave_) * kRows, change = slope * step_ * per;
    const std::int64_t entries = static_cast<std::int64_t>(rows_[0].size());
    const std::size_t start = table.size();
    table.resize(start + static_cast<std::size_t>(to - from), 0.0f);
    for (std::int64_t n = from; n < to; n += kChunk) {
      const std::int64_t stop = std::min(n + kChunk, to);
      const double here = base + change * static_cast<double>((n + stop) / 2 - from);
      const int row = std::clamp(static_cast<int>(std::floor(here)), 0, kRows - 1);
      if (!(here - row > -1.0 && here - row < 2.0)) return false;
      const float t0 = static_cast<float>(base + change * static_cast<double>(n - from) - row);
      const float dt = static_cast<float>(change);
      const std::int64_t inside = std::max(n, first_), after = std::min(stop, first_ + entries);
      float* out = table.data() + start + (inside - from);
      const std::size_t at = static_cast<std::size_t>(inside - first_);
      if (inside >= after) continue;
      const float *r0 = rows_[row].data() + at, *r1 = rows_[row + 1].data() + at;
      const float *r2 = rows_[row + 2].data() + at, *r3 = rows_[row + 3].data() + at;
      const float skipped = static_cast<float>(inside - n);
      const int count = static_cast<int>(after - inside);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        // Four-point Lagrange at −1, 0, 1, 2.
        const float t = madd(dt, skipped + static_cast<float>(i), t0);
        const float below = t + 1.0f, above = t - 1.0f, far = t - 2.0f;
        const float w0 = t * above * far * (-1.0f / 6.0f), w1 = below * above * far * 0.5f;
        const float w2 = below * t * far * -0.5f, w3 = below * t * above * (1.0f / 6.0f);
        out[i] = madd(w0, r0[i], madd(w1, r1[i], madd(w2, r2[i], w3 * r3[i])));
      }
    }
    return true;
  }

 private:
  static constexpr double kMostBend = 1e-4;  // of the greatest, between entries
  static constexpr std::int64_t kChunk = 256;

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

  // By how much a straight line between every `stride`-th entry misses, of the greatest.
  static double bend(const std::vector<float>& row, int stride) {
    float most = 0.0f, worst = 0.0f;
    const std::size_t far = static_cast<std::size_t>(stride);
    for (std::size_t n = far; n + far < row.size(); ++n) {
      worst = std::max(worst, std::fabs(row[n - far] - 2.0f * row[n] + row[n + far]));
      most = std::max(most, row[n]);
    }
    return most > 0.0f ? 0.125 * static_cast<double>(worst / most) : 0.0;
  }

  int octave_, stride_ = 1;
  double step_ = 0.0;
  std::int64_t first_ = 0;  // entry of the grid of whole steps
  std::vector<float> rows_[kRows + 3];
};

// The sources that share a direction.
class Spectrum {
 public:
  Spectrum(const Parameters& p, std::int64_t first, std::int64_t last) {
    double least = HUGE_VAL, most = 0.0;
    for (std::int64_t s = first; s < last; ++s) {
      least = smaller(least, 1.0 / p.source_wavelength[s]);
      most = larger(most, 1.0 / p.source_wavelength[s]);
      weight += p.source_weight[s];
    }
    middle = 0.5 * (least + most);
    low = least - middle;
    high = most - middle;
    for (std::int64_t s = first; s < last; ++s) {
      lines_.push_back({1.0 / p.source_wavelength[s] - middle, p.source_weight[s] / weight});
    }
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& a, const Line& b) { return a.at < b.at; });
    std::size_t count = 0;
    for (const Line& line : lines_) {
      if (count > 0 && lines_[count - 1].at == line.at) {
        lines_[count - 1].weight += line.weight;
      } else {
        lines_[count++] = line;
      }
    }
    lines_.resize(count);
    for (const Line& line : lines_) {
      at_.push_back(line.at);
      weight_.push_back(line.weight);
    }
    for (std::size_t n = 1; n < lines_.size(); ++n) {
      gap = larger(gap, lines_[n].at - lines_[n - 1].at);
    }
  }

  double middle, low, high;  // wavenumber in the middle, and the ends from there
  double weight = 0.0;       // of all lines
  double gap = 0.0;          // the widest between neighbours

  const std::vector<Line>& lines() const { return lines_; }

  // ln Σ w exp(−½ ((line − at)/width)²).
  double log_of_sum(double at, double width) const {
    const auto after = std::lower_bound(at_.begin(), at_.end(), at);
    double nearest = after == at_.end() ? HUGE_VAL : *after - at;
    if (after != at_.begin()) nearest = smaller(nearest, at - *(after - 1));
    const double per = 1.0 / width, least = 0.5 * nearest * nearest * per * per;
    constexpr std::size_t kSums = 16;
    double sums[kSums] = {};
    for (std::size_t from = 0; from < at_.size(); from += kSums) {
      const std::size_t count = std::min(kSums, at_.size() - from);
      const double *line = at_.data() + from, *share = weight_.data() + from;
#pragma omp simd
      for (std::size_t i = 0; i < count; ++i) {
        const double off = (line[i] - at) * per;
        const double log = smaller(madd(-0.5 * off, off, least), 0.0);
        sums[i] = madd(share[i], exp_poly<true>(log), sums[i]);
      }
    }
    double total = 1e-300;
    for (const double sum : sums) total += sum;
    return log_poly(total) - least;
  }

  // The sums for widths from 2^octave on; kept from before where the lines are the same.
  const SmoothedLines& smoothed(int octave) const {
    auto& own = octaves_[octave];
    if (own == nullptr) own = shared(lines_, octave);
    return *own;
  }

 private:
  static std::shared_ptr<const SmoothedLines> shared(const std::vector<Line>& lines, int octave) {
    struct Latest {
      std::vector<Line> lines;
      std::map<int, std::shared_ptr<const SmoothedLines>> octaves;
    };
    static std::mutex mutex;
    static Latest latest;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (latest.lines == lines) {
        const auto found = latest.octaves.find(octave);
        if (found != latest.octaves.end()) return found->second;
      }
    }
    const auto made = std::make_shared<const SmoothedLines>(lines, octave);
    const std::lock_guard<std::mutex> lock(mutex);
    if (!(latest.lines == lines)) latest = {lines, {}};
    latest.octaves[octave] = made;
    return made;
  }

  std::vector<Line> lines_;  // by their wavenumbers; one of each
  std::vector<double> at_, weight_;
  mutable std::map<int, std::shared_ptr<const SmoothedLines>> octaves_;
};

}  // namespace distbragg::closed
