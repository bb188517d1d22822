// The columns that spots cover in each row of a tile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "generated.hpp"
#include "geometry.hpp"

namespace distbragg::closed {

// A spot's columns in a row, within one field of columns.
struct Piece {
  std::int32_t spot;
  std::int32_t start, stop;
};

// Pieces by row and field, so that a block of lanes meets those alone that may cover it.
class Pieces {
 public:
  explicit Pieces(const Parameters& p)
      : first_row_(p.slow_start), first_column_(p.fast_start),
        fields_((p.fast_stop - p.fast_start + kLanes - 1) / kLanes),
        start_(static_cast<std::size_t>((p.slow_stop - p.slow_start) * fields_ + 1), 0) {}

  // Adds columns [start, stop) of a row of the panel, cut at the fields' borders.
  void add(std::int32_t spot, std::int64_t row, std::int64_t start, std::int64_t stop) {
    for (std::int64_t from = start; from < stop;) {
      const std::int64_t field = (from - first_column_) / kLanes;
      const std::int64_t to = std::min(stop, first_column_ + (field + 1) * kLanes);
      const std::int64_t place = (row - first_row_) * fields_ + field;
      loose_.push_back({spot, static_cast<std::int32_t>(from), static_cast<std::int32_t>(to)});
      place_.push_back(static_cast<std::int32_t>(place));
      ++start_[static_cast<std::size_t>(place) + 1];
      from = to;
    }
  }

  // Sorts what was added; within a field it stays in its order.
  void sort() {
    for (std::size_t n = 1; n < start_.size(); ++n) start_[n] += start_[n - 1];
    sorted_.resize(loose_.size());
    std::vector<std::int64_t> next(start_.begin(), start_.end() - 1);
    for (std::size_t n = 0; n < loose_.size(); ++n) {
      const std::int64_t to = next[static_cast<std::size_t>(place_[n])]++;
      sorted_[static_cast<std::size_t>(to)] = loose_[n];
    }
    loose_ = {};
    place_ = {};
  }

  // Calls work(piece) for all that may cover columns [first, last] of a row.
  template <class Work>
  void each(std::int64_t row, std::int64_t first, std::int64_t last, Work work) const {
    const std::int64_t place = (row - first_row_) * fields_;
    const std::int64_t from = place + (first - first_column_) / kLanes;
    const std::int64_t to = place + (last - first_column_) / kLanes + 1;
    const std::int64_t stop = start_[static_cast<std::size_t>(to)];
    for (std::int64_t n = start_[static_cast<std::size_t>(from)]; n < stop; ++n) {
      work(sorted_[static_cast<std::size_t>(n)]);
    }
  }

  bool empty() const { return sorted_.empty(); }
  std::size_t bytes() const { return sorted_.size() * sizeof(Piece); }

 private:
  const std::int64_t first_row_, first_column_, fields_;
  std::vector<std::int64_t> start_;
  std::vector<Piece> sorted_, loose_;
  std::vector<std::int32_t> place_;
};

}  // namespace distbragg::closed
