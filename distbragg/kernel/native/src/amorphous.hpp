// The background: F² of one material, or Σ molecules · F² of several.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "approx.hpp"
#include "generated.hpp"
#include "latest.hpp"
#include "line_groups.hpp"

namespace distbragg {

// The table by sin θ/λ. Between two points F of one material is linear, and the sum of several a
// quadratic function; both are held beyond the ends.
class BackgroundTable {
 public:
  explicit BackgroundTable(const Parameters& p)
      : several_(p.background_curve != nullptr) {
    if (p.background_scale == 0.0) return;
    const auto count = static_cast<std::size_t>(p.background_entries);
    point_.assign(p.background_stol, p.background_stol + count);
    point_.push_back(HUGE_VAL);
    if (several_) {
      value_.assign(p.background_curve, p.background_curve + 3 * count);
    } else {
      value_.assign(p.background_amplitude, p.background_amplitude + count);
      value_.push_back(value_.back());
    }
    find_buckets();
  }

  // Whether it is the same at every angle, as water of the C program is.
  bool even() const { return point_.size() == 2; }

  DISTBRAGG_INLINE double at(double stol) const {
    const double* point = point_.data();
    const double* value = value_.data();
    const double place = stol * per_bucket_, last = buckets_ - 1;
    auto low = start_[static_cast<std::size_t>(place < last ? place : last)];
    for (int k = 0; k < most_in_one_; ++k) low += stol >= point[low + 1] ? 1 : 0;
    const double away = stol - point[low], beyond = away > 0.0 ? away : 0.0;
    if (several_) {
      const double* curve = value + 3 * low;
      return madd(beyond, madd(beyond, curve[2], curve[1]), curve[0]);
    }
    const double part = beyond / (point[low + 1] - point[low]);
    const double amplitude = madd(part, value[low + 1] - value[low], value[low]);
    return amplitude * amplitude;
  }

  // An upper bound of how a line between two values bends away, over the square of their distance,
  // and the greatest value.
  std::pair<double, double> bend() const {
    double most = 0.0, bend = 0.0;
    const std::size_t count = point_.size() - 1;
    for (std::size_t i = 0; i < count; ++i) {
      most = std::fmax(most, several_ ? value_[3 * i] : value_[i] * value_[i]);
      if (several_) {
        bend = std::fmax(bend, value_[3 * i + 2]);
      } else if (i + 1 < count) {
        const double slope = (value_[i + 1] - value_[i]) / (point_[i + 1] - point_[i]);
        bend = std::fmax(bend, slope * slope);
      }
    }
    return {bend, most};
  }

 private:
  // Equal parts from 0 to the last point, each with the point at or below its beginning.
  void find_buckets() {
    constexpr int kMostBuckets = 8192;
    const std::size_t last = point_.size() - 2;
    double least = point_[last];
    for (std::size_t i = 0; i < last; ++i) least = std::fmin(least, point_[i + 1] - point_[i]);
    while (buckets_ < kMostBuckets && buckets_ * least < point_[last]) buckets_ *= 2;
    if (point_[last] > 0.0) per_bucket_ = buckets_ / point_[last];
    start_.assign(static_cast<std::size_t>(buckets_), 0);
    std::int32_t low = 0;
    for (int bucket = 0; bucket < buckets_; ++bucket) {
      // A hair lower, for what the division rounds.
      const double begins = (bucket - 1e-6) / per_bucket_;
      while (point_[static_cast<std::size_t>(low) + 1] <= begins) ++low;
      start_[static_cast<std::size_t>(bucket)] = low;
      const double ends = bucket + 1 < buckets_ ? (bucket + 1 + 1e-6) / per_bucket_ : HUGE_VAL;
      int inside = 0;
      for (std::size_t i = static_cast<std::size_t>(low) + 1; i <= last && point_[i] <= ends; ++i) {
        ++inside;
      }
      most_in_one_ = std::max(most_in_one_, inside);
    }
  }

  bool several_;
  std::vector<double> point_, value_;  // one point more, infinitely far
  std::vector<std::int32_t> start_;
  int buckets_ = 1, most_in_one_ = 0;
  double per_bucket_ = 1.0;
};

// Σ over the lines of a spectrum of w F(½ k |u|)², by |u| = |d − i|: between points of a table that
// are linear, but for the ends exact where F is the same at every angle. Tables of the last spectra
// and materials are kept: the frames of a sweep share them.
class Amorphous {
 public:
  Amorphous() = default;
  Amorphous(const Parameters& p, const SourceList& sources) : value_(find(p, sources)) {}

  const double* values() const { return value_->data(); }
  // Points from |u| = 0 to 2, the first left out.
  std::int32_t points() const { return static_cast<std::int32_t>(value_->size()) - 1; }

  static DISTBRAGG_INLINE double at(const double* value, double points, double u) {
    const double place = u * (0.5 * points), last = points - 1.0;
    const auto low = static_cast<std::int32_t>(place < last ? place : last);
    return madd(place - low, value[low + 1] - value[low], value[low]);
  }

 private:
  using Values = std::vector<double>;

  static std::shared_ptr<const Values> find(const Parameters& p, const SourceList& sources) {
    constexpr std::size_t kMost = 32;
    static Latest<Values, Values> latest(kMost);
    const Values wanted = numbers_of(p, sources);
    if (auto found = latest.find(wanted)) return found;
    auto made = std::make_shared<const Values>(make(p, sources));
    latest.add(wanted, made, 1);
    return made;
  }

  // All that a table is made of: equal numbers make the same.
  static Values numbers_of(const Parameters& p, const SourceList& sources) {
    const std::int64_t count = p.background_entries;
    const bool several = p.background_curve != nullptr;
    Values numbers{static_cast<double>(count), several ? 1.0 : 0.0};
    const auto add = [&](const double* from, std::int64_t length) {
      numbers.insert(numbers.end(), from, from + length);
    };
    for (const std::int64_t s : sources) {
      numbers.push_back(p.source_weight[s]);
      numbers.push_back(p.source_wavelength[s]);
    }
    add(p.background_stol, count);
    several ? add(p.background_curve, 3 * count) : add(p.background_amplitude, count);
    return numbers;
  }

  static Values make(const Parameters& p, const SourceList& sources) {
    const BackgroundTable table(p);
    const double* wavelength = p.source_wavelength;
    double shortest = HUGE_VAL;
    for (const std::int64_t s : sources) shortest = smaller(shortest, wavelength[s]);
    const int points = points_of(table, shortest);
    Values value(static_cast<std::size_t>(points) + 1, 0.0);
    for (const std::int64_t s : sources) {
      for (int i = 0; i <= points; ++i) {
        const double stol = 0.5 * (2.0 * i / points) / wavelength[s];
        double& sum = value[static_cast<std::size_t>(i)];
        sum = madd(p.source_weight[s], table.at(stol), sum);
      }
    }
    return value;
  }

  // As many points as the sharpest rise of a table asks for.
  static int points_of(const BackgroundTable& table, double shortest) {
    constexpr int kLeast = 4096, kMost = 65536;
    constexpr double kBend = 1e-4;  // of the greatest value, a quarter of what is allowed
    const auto [bend, most] = table.bend();
    int points = kLeast;
    while (points < kMost && bend > 4.0 * kBend * most * (points * shortest) * (points * shortest)) {
      points *= 2;
    }
    return points;
  }

  std::shared_ptr<const Values> value_;
};

}  // namespace distbragg
