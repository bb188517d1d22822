// Renders a tile of a Gaussian crystal in closed form: each source's spots are added to the pixels
// they cover, in the order of their indices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "bands.hpp"
#include "crew.hpp"
#include "line_groups.hpp"
#include "samples.hpp"
#include "source_spots.hpp"
#include "spot.hpp"

namespace distbragg::closed {

// All sources of a tile, in groups whose spots are held together.
class SpotSum {
 public:
  explicit SpotSum(const Parameters& p) : p_(p) {
    add_lattice(p, 0);
    for (std::int64_t n = 0; n < p.others; ++n) {
      add_lattice(p.other[n], static_cast<std::int32_t>(n + 1));
    }
  }

  // Prepares sources from `first` on; returns the first that is left. Neighbours of one direction
  // are taken together in mixed precision, in groups of lines.
  std::int64_t prepare(std::int64_t first) {
    group_.clear();
    std::size_t bytes = 0;
    while (first < p_.source_stop && (group_.empty() || bytes < kMostBytes)) {
      stop_if_asked(p_.stop);
      std::int64_t last = first + 1;
      const bool lines = p_.double_precision == 0 && !parts_.front().crystal.rotates();
      while (lines && last < p_.source_stop && same_direction(first, last)) ++last;
      for (const SourceList& sources : groups_of_lines(p_, first, last)) {
        group_.push_back({sources.front(), std::make_unique<Spots>(p_, parts_, sources)});
        bytes += group_.back().spots->bytes();
      }
      first = last;
    }
    return first;
  }

  // Σ w · bound of what is left out of any pixel, of what was prepared.
  double left_out() const {
    double sum = 0.0;
    for (const Member& member : group_) {
      const double weight = member.spots->weighted() ? member.spots->weight()
                                                     : p_.source_weight[member.first];
      sum += std::fabs(weight) * member.spots->left_out();
    }
    return sum;
  }

  // Calls lit(number, first source, spots) for what was prepared.
  template <class Lit>
  void each(Lit lit) const {
    for (std::size_t n = 0; n < group_.size(); ++n) lit(n, group_[n].first, *group_[n].spots);
  }

  // Sorts the spots of what was prepared, which are drawn for so many samples of each pixel.
  Bands bands(std::int64_t samples) {
    samples_ = samples;
    const Bands bands(p_, samples * static_cast<std::int64_t>(group_.size()));
    for (Member& member : group_) member.spots->sort(bands);
    return bands;
  }

  // Draws a band: all samples of what was prepared, one image after another.
  void draw(const Bands& bands, std::int64_t band, std::vector<double>& images) const {
    const std::int64_t pixels = bands.pixels();
    images.resize(group_.size() * static_cast<std::size_t>(samples_ * pixels) + kWide);
    double* image = images.data();
    for (const Member& member : group_) {
      for (std::int64_t n = 0; n < samples_; ++n, image += pixels) {
        if (!member.spots->draws()) continue;
        std::fill(image, image + pixels + kWide, 0.0);
        member.spots->draw(bands, band, n, image);
      }
    }
  }

  // Adds spots to a block, whose lanes go row by row; `image` is their drawing on rows from
  // `first_row` on.
  void add(const Spots& spots, const PixelNumbers& pixel, int count, const double* image,
           std::int64_t first_row, Scattering& q) const {
    const std::int64_t width = p_.fast_stop - p_.fast_start;
    const auto drawn = [&](int lane) {
      return image + (static_cast<std::int64_t>(pixel.slow[lane]) - first_row) * width +
             (static_cast<std::int64_t>(pixel.fast[lane]) - p_.fast_start);
    };
    // A full block of neighbours is taken from where it was drawn.
    if (count == kLanes && spots.draws() && spots.drawn_alone() &&
        drawn(kLanes - 1) - drawn(0) == kLanes - 1) {
      q.drawn = drawn(0);
      return;
    }
    std::fill(q.sum + (spots.draws() ? count : 0), q.sum + kLanes, 0.0);
    if (spots.draws()) {
      each_row(pixel, count, [&](int from, int to) {
        const double column = pixel.fast[from];
        const double* row = drawn(from);
        if (pixel.fast[to - 1] - column == static_cast<double>(to - 1 - from)) {
          std::copy(row, row + (to - from), q.sum + from);
        } else {
          for (int i = from; i < to; ++i) {
            q.sum[i] = row[static_cast<std::int64_t>(pixel.fast[i] - column)];
          }
        }
      });
    }
    if (spots.drawn_alone()) return;
    each_spot(spots, pixel, count, [&](const Spot& spot, int first, int last) {
      spots.add(spot, *q.directions, first, last, q.sum);
    });
  }

  // The spots of one reflection alone, for a sample of each pixel; of what was prepared to tell
  // reflections apart.
  void add_one(const Name& name, const Spots& spots, const PixelNumbers& pixel, int count,
               std::int64_t sample, Scattering& q) const {
    std::fill(q.sum, q.sum + kLanes, 0.0);
    each_spot(spots, pixel, count, [&](const Spot& spot, int first, int last) {
      if (spot.name != name) return;
      if (spot.kind == Kind::kDirect) spots.add(spot, *q.directions, first, last, q.sum);
      else spots.draw(spot, sample, pixel, first, last, q.sum);
    });
  }

  // The reflections that may light a block, in order.
  std::set<Name> names(const Spots& spots, const PixelNumbers& pixel, int count) const {
    std::set<Name> found;
    each_spot(spots, pixel, count, [&](const Spot& spot, int, int) { found.insert(spot.name); });
    return found;
  }

 private:
  struct Member {
    std::int64_t first;
    std::unique_ptr<Spots> spots;
  };

  template <class Work>
  static void each_spot(const Spots& spots, const PixelNumbers& pixel, int count, Work work) {
    each_row(pixel, count, [&](int from, int to) {
      spots.each(static_cast<std::int64_t>(pixel.slow[from]), pixel.fast, from, to, work);
    });
  }

  // Calls work(from, to) for the lanes of each row.
  template <class Work>
  static void each_row(const PixelNumbers& pixel, int count, Work work) {
    for (int from = 0; from < count;) {
      const double here = pixel.slow[from];
      const double* end = std::upper_bound(pixel.slow + from, pixel.slow + count, here);
      const int to = static_cast<int>(end - pixel.slow);
      work(from, to);
      from = to;
    }
  }

  void add_lattice(const Parameters& own, std::int32_t lattice) {
    const std::int64_t parts = std::max<std::int64_t>(1, own.parts);
    const double weight = own.spot_scale / p_.spot_scale / static_cast<double>(parts);
    for (std::int64_t n = 0; n < parts; ++n) parts_.push_back({Crystal(own, n), weight, lattice});
  }

  bool same_direction(std::int64_t one, std::int64_t other) const {
    const double* v = p_.source_direction;
    return std::equal(v + 3 * one, v + 3 * one + 3, v + 3 * other);
  }

  static constexpr std::size_t kMostBytes = std::size_t{64} << 20;

  const Parameters& p_;
  std::vector<Part> parts_;
  std::vector<Member> group_;
  std::int64_t samples_ = 1;
};

}  // namespace distbragg::closed
