// Where the pixels of a tile go: numerators, or photons in the type of the frame they are part of,
// expected or counted.
#pragma once

#include <algorithm>
#include <cstdint>

#include "approx.hpp"
#include "generated.hpp"
#include "noise.hpp"

namespace distbragg {

class Output {
 public:
  explicit Output(const Parameters& p)
      : numerators_(p.numerators), single_(p.photons_f32), double_(p.photons_f64),
        scale_(p.photon_scale), stride_(p.row_stride), width_(p.fast_stop - p.fast_start),
        added_(p.added), transmission_(p.transmission), added_scale_(p.added_scale),
        counted_(p.counted != 0), first_pixel_(p.first_pixel),
        counts_(static_cast<std::uint64_t>(p.noise_seed),
                static_cast<std::uint64_t>(p.noise_frame), p.log_factorials) {}

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

  // Writes `count` pixels, no more than noise::kDrawn, to their places, which ascend; but for the
  // counts that are drawn when enough of them wait.
  void put(const double* sums, const std::int64_t* places, int count,
           noise::Waiting& waiting) const {
    if (places[count - 1] - places[0] == count - 1) {
      write(sums, count, [=](int i) { return places[0] + i; }, waiting);
    } else {
      write(sums, count, [=](int i) { return places[i]; }, waiting);
    }
  }

  // Writes what still waits.
  void finish(noise::Waiting& waiting) const {
    counts_.finish(waiting, [&](const std::int64_t* places, const double* counts, int some) {
      store(some, [=](int i) { return counts[i]; }, [=](int i) { return places[i]; });
    });
  }

 private:
  template <class Place>
  DISTBRAGG_INLINE void write(const double* sums, int count, Place place,
                              noise::Waiting& waiting) const {
    const double scale = scale_;
    if (numerators_ != nullptr) {
      for (int i = 0; i < count; ++i) numerators_[place(i)] = sums[i];
    } else if (counted_) {
      noise::Block block;
      for (int i = 0; i < count; ++i) {
        block.mean[i] = sums[i] * scale;
        if (overlaid()) block.mean[i] = overlaid(block.mean[i], place(i));
        block.pixel[i] = first_pixel_ + place(i);
      }
      counts_.draw(block, count, place, waiting);
      store(count, [&](int i) { return block.count[i]; }, place);
      if (noise::Counts::full(waiting)) finish(waiting);
    } else if (overlaid()) {
      store(count, [&](int i) { return overlaid(sums[i] * scale, place(i)); }, place);
    } else {
      store(count, [=](int i) { return sums[i] * scale; }, place);
    }
  }

  bool overlaid() const { return added_ != nullptr || transmission_ != nullptr; }

  // Photons with the image added, less what the beam stop takes.
  DISTBRAGG_INLINE double overlaid(double photons, std::int64_t at) const {
    if (added_ != nullptr) photons = photons + added_[at] * added_scale_;
    return transmission_ != nullptr ? photons * transmission_[at] : photons;
  }

  template <class Photons, class Place>
  DISTBRAGG_INLINE void store(int count, Photons photons, Place place) const {
    if (single_ != nullptr) {
      for (int i = 0; i < count; ++i) single_[place(i)] = static_cast<float>(photons(i));
    } else {
      for (int i = 0; i < count; ++i) double_[place(i)] = photons(i);
    }
  }

  double* numerators_;
  float* single_;
  double* double_;
  double scale_;
  std::int64_t stride_, width_;
  const double *added_, *transmission_;
  double added_scale_;
  bool counted_;
  std::int64_t first_pixel_;
  noise::Counts counts_;
};

}  // namespace distbragg
