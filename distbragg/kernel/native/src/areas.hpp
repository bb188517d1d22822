// Rendering within a tolerance: areas of pixels, shared out among threads, in which domains are
// looked for by their spots where these are small, and field by field elsewhere.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fields.hpp"
#include "generated.hpp"
#include "groups.hpp"
#include "samples.hpp"
#include "spots.hpp"

namespace distbragg {

static_assert(kAreaEdge == kBatch * kFieldEdge);

// What of a tile was left out: see Parameters.
struct LeftOut {
  double skipped = 0.0;
  std::int64_t evaluated = 0;
};

class Areas {
 public:
  Areas(const Parameters& p, const SampleSum& samples)
      : p_(p), samples_(samples), groups_(p, samples), spots_(p, samples, groups_),
        fields_(p, samples, groups_), first_row_(p.slow_start / kAreaEdge),
        rows_((p.slow_stop + kAreaEdge - 1) / kAreaEdge - first_row_),
        first_column_(p.fast_start / kAreaEdge),
        columns_((p.fast_stop + kAreaEdge - 1) / kAreaEdge - first_column_) {}

  LeftOut render() const {
    const std::int64_t count = rows_ * columns_;
    auto spaces = samples_.workspaces(count);
    share_out(count, spaces, [&](std::int64_t piece, Workspace& w) {
      render_area(first_row_ + piece / columns_, first_column_ + piece % columns_, w);
    });
    LeftOut left;
    for (const auto& space : spaces) {
      groups_.finish(*space);
      left.skipped = std::max(left.skipped, space->skipped);
      left.evaluated += space->evaluated;
    }
    return left;
  }

 private:
  void render_area(std::int64_t row, std::int64_t column, Workspace& w) const {
    stop_if_asked(p_.stop);
    groups_.clear(row * kAreaEdge, column * kAreaEdge, kAreaEdge);
    if (spots_.small()) {
      const Area area(p_, row, column);
      if (area.sound) return spots_.render(area, w);
    }
    const std::int64_t first = std::max(row * kBatch, p_.slow_start / kFieldEdge);
    const std::int64_t after =
        std::min((row + 1) * kBatch, (p_.slow_stop + kFieldEdge - 1) / kFieldEdge);
    for (std::int64_t field = first; field < after; ++field) {
      fields_.render_row(field, column * kBatch, w);
    }
  }

  const Parameters& p_;
  const SampleSum& samples_;
  const Groups groups_;
  const Spots spots_;
  const Fields fields_;
  const std::int64_t first_row_, rows_, first_column_, columns_;
};

}  // namespace distbragg
