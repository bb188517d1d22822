// Where the pixels of a tile go: numerators, or photons in the type of the frame they are part of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "approx.hpp"
#include "generated.hpp"

namespace distbragg {

class Output {
 public:
  explicit Output(const Parameters& p)
      : numerators_(p.numerators), single_(p.photons_f32), double_(p.photons_f64),
        scale_(p.photon_scale), stride_(p.row_stride), width_(p.fast_stop - p.fast_start) {}

  // Place of a pixel, by its row and column in the tile.
  std::int64_t place(std::int64_t row, std::int64_t column) const {
    return row * stride_ + column;
  }

  // Rows that are not written whole are cleared first, by the thread that writes the rest.
  void clear_row(std::int64_t row) const { clear(row, 0, width_); }

  // Clears `count` pixels of a row.
  void clear(std::int64_t row, std::int64_t column, std::int64_t count) const {
    const std::int64_t first = place(row, column);
    if (numerators_ != nullptr) std::fill_n(numerators_ + first, count, 0.0);
    if (single_ != nullptr) std::fill_n(single_ + first, count, 0.0f);
    if (double_ != nullptr) std::fill_n(double_ + first, count, 0.0);
  }

  // Writes `count` pixels to their places, which ascend.
  void put(const double* sums, const std::int64_t* places, int count) const {
    if (places[count - 1] - places[0] == count - 1) {
      write(sums, count, [=](int i) { return places[0] + i; });
    } else {
      write(sums, count, [=](int i) { return places[i]; });
    }
  }

  // Writes one pixel.
  void put_one(double sum, std::int64_t place) const {
    write(&sum, 1, [=](int) { return place; });
  }

 private:
  template <class Place>
  DISTBRAGG_INLINE void write(const double* sums, int count, Place place) const {
    const double scale = scale_;
    if (numerators_ != nullptr) {
      for (int i = 0; i < count; ++i) numerators_[place(i)] = sums[i];
    } else if (single_ != nullptr) {
      for (int i = 0; i < count; ++i) single_[place(i)] = static_cast<float>(sums[i] * scale);
    } else {
      for (int i = 0; i < count; ++i) double_[place(i)] = sums[i] * scale;
    }
  }

  double* numerators_;
  float* single_;
  double* double_;
  double scale_;
  std::int64_t stride_, width_;
};

}  // namespace distbragg
