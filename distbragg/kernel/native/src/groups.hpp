// Groups of 4 × 4 pixels, and rendering one with the domains that may be seen in it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "generated.hpp"
#include "output.hpp"
#include "samples.hpp"

namespace distbragg {

constexpr int kGroupEdge = 4;                         // pixels along an edge of a group
constexpr int kGroupLanes = kGroupEdge * kGroupEdge;  // one vector of float32
static_assert(kGroupLanes == kStrip);

// Groups lie on a grid that belongs to the panel, so that what is left out depends on neither
// the tile nor the mask.
class Groups {
 public:
  Groups(const Parameters& p, const SampleSum& samples)
      : p_(p), samples_(samples), output_(p) {}

  // Clears the part of the tile that lies in a rectangle of the panel: what is left out is
  // exactly 0, and so is what is not asked for.
  void clear(std::int64_t slow, std::int64_t fast, std::int64_t edge) const {
    const std::int64_t first = std::max(fast, p_.fast_start) - p_.fast_start;
    const std::int64_t count = std::min(fast + edge, p_.fast_stop) - p_.fast_start - first;
    const std::int64_t last = std::min(slow + edge, p_.slow_stop);
    for (std::int64_t row = std::max(slow, p_.slow_start); row < last; ++row) {
      output_.clear(row - p_.slow_start, first, count);
    }
  }

  // Renders a group by its row and column on the panel; pairs ascend and none comes twice.
  void render(std::int64_t row, std::int64_t column, const Pair* pairs, std::size_t count,
              Workspace& w) const {
    if ((count == 0 && p_.background_scale == 0.0) || !place(row, column, w)) return;
    samples_.aim_all<kGroupLanes>(w);
    std::fill(w.numerator, w.numerator + kGroupLanes, 0.0);
    const auto sources = static_cast<std::int32_t>(samples_.sources().size());
    std::size_t next = 0;
    // Where there is no background, sources of which nothing is seen add nothing.
    for (std::int32_t s = 0; s < sources; ++s) {
      if (p_.background_scale == 0.0) {
        if (next == count) break;
        s = pairs[next].source;
      }
      const std::size_t first = next;
      while (next < count && pairs[next].source == s) ++next;
      const Source& source = samples_.sources()[static_cast<std::size_t>(s)];
      samples_.add_source<kGroupLanes>(source, w, [&](Scattering& q) {
        std::fill(q.sum, q.sum + kGroupLanes, 0.0);
        for (std::size_t n = first; n < next; ++n) samples_.steps().add_group(q, pairs[n].domain);
      });
    }
    write(count, w);
  }

  // Writes what a thread has not yet written of its groups.
  void finish(Workspace& w) const { output_.finish(w.waiting); }

 private:
  // The pixels of a group and their places in the output, −1 for those that are not asked for;
  // false where none is.
  bool place(std::int64_t row, std::int64_t column, Workspace& w) const {
    const std::int64_t width = p_.fast_stop - p_.fast_start;
    const std::int64_t first_down = row * kGroupEdge - p_.slow_start;
    const std::int64_t first_along = column * kGroupEdge - p_.fast_start;
    const auto slow = static_cast<double>(row * kGroupEdge);
    const auto fast = static_cast<double>(column * kGroupEdge);
    for (int lane = 0; lane < kGroupLanes; ++lane) {
      w.pixel.slow[lane] = slow + lane / kGroupEdge;
      w.pixel.fast[lane] = fast + lane % kGroupEdge;
    }
    const auto height = p_.slow_stop - p_.slow_start;
    const bool whole = first_down >= 0 && first_down + kGroupEdge <= height && first_along >= 0 &&
                       first_along + kGroupEdge <= width;
    bool any = false;
    for (int lane = 0; lane < kGroupLanes; ++lane) {
      const std::int64_t down = first_down + lane / kGroupEdge;
      const std::int64_t along = first_along + lane % kGroupEdge;
      const bool inside =
          whole || (down >= 0 && down < height && along >= 0 && along < width);
      const bool wanted =
          inside && (p_.active == nullptr || p_.active[down * width + along] != 0);
      w.places[lane] = wanted ? output_.place(down, along) : -1;
      any = any || wanted;
    }
    return any;
  }

  void write(std::size_t visible, Workspace& w) const {
    int pixels = 0;
    for (int lane = 0; lane < kGroupLanes; ++lane) {
      if (w.places[lane] < 0) continue;
      w.numerator[pixels] = w.numerator[lane];
      w.places[pixels++] = w.places[lane];
    }
    output_.put(w.numerator, w.places, pixels, w.waiting);
    w.evaluated += pixels * samples_.per_source() * static_cast<std::int64_t>(visible);
  }

  const Parameters& p_;
  const SampleSum& samples_;
  const Output output_;
};

}  // namespace distbragg
