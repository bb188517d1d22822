// Which spots are drawn onto which rows of a tile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "generated.hpp"

namespace distbragg::closed {

// Rows that are drawn onto together: so few that their sums stay in the second-level cache, and so
// many that a spot and its table are taken up but once or twice.
class Bands {
 public:
  // `images`: sums that are kept of each pixel.
  Bands(const Parameters& p, std::int64_t images)
      : first_row_(p.slow_start), stop_row_(p.slow_stop), width_(p.fast_stop - p.fast_start),
        rows_(std::clamp<std::int64_t>(kEntries / std::max<std::int64_t>(1, width_ * images), 1,
                                       kMostRows)) {}

  std::int64_t count() const { return (stop_row_ - first_row_ + rows_ - 1) / rows_; }
  std::int64_t start(std::int64_t band) const { return first_row_ + band * rows_; }
  std::int64_t stop(std::int64_t band) const { return std::min(start(band) + rows_, stop_row_); }
  std::int64_t of(std::int64_t row) const { return (row - first_row_) / rows_; }
  std::int64_t width() const { return width_; }
  std::int64_t pixels() const { return rows_ * width_; }

 private:
  static constexpr std::int64_t kEntries = std::int64_t{1} << 15, kMostRows = 64;

  std::int64_t first_row_, stop_row_, width_, rows_;
};

// The numbers of spots by the bands that they lie on, in order in each.
class SpotsByBand {
 public:
  // Calls rows(spot, add), which calls add(first row, stop row), for each of `count` spots.
  template <class Rows>
  void fill(const Bands& bands, std::size_t count, Rows rows) {
    start_.assign(static_cast<std::size_t>(bands.count()) + 1, 0);
    for (const bool counting : {true, false}) {
      std::vector<std::int64_t> next(start_.begin(), start_.end() - 1);
      for (std::size_t n = 0; n < count; ++n) {
        rows(n, [&](std::int64_t from, std::int64_t to) {
          for (std::int64_t band = bands.of(from); from < to && band <= bands.of(to - 1); ++band) {
            const auto at = static_cast<std::size_t>(band);
            if (counting) ++start_[at + 1];
            else spots_[static_cast<std::size_t>(next[at]++)] = static_cast<std::int32_t>(n);
          }
        });
      }
      if (!counting) return;
      for (std::size_t n = 1; n < start_.size(); ++n) start_[n] += start_[n - 1];
      spots_.resize(static_cast<std::size_t>(start_.back()));
    }
  }

  bool empty() const { return spots_.empty(); }

  // Calls work(spot), and before that look_ahead(spot, distance) for those that follow in up to two
  // steps, so that what they need is on its way.
  template <class LookAhead, class Work>
  void each(std::int64_t band, LookAhead look_ahead, Work work) const {
    const auto at = static_cast<std::size_t>(band);
    const std::int32_t* spot = spots_.data() + start_[at];
    const std::int32_t* stop = spots_.data() + start_[at + 1];
    for (; spot != stop; ++spot) {
      for (std::ptrdiff_t n = 1; n <= std::min<std::ptrdiff_t>(2, stop - spot - 1); ++n) {
        look_ahead(static_cast<std::size_t>(spot[n]), n);
      }
      work(static_cast<std::size_t>(*spot));
    }
  }

 private:
  std::vector<std::int64_t> start_;
  std::vector<std::int32_t> spots_;
};

}  // namespace distbragg::closed
