// Rendering within a tolerance: squares of pixels for which most domains need not be looked at.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bounds.hpp"
#include "output.hpp"
#include "params.hpp"
#include "samples.hpp"

namespace distbragg {

constexpr int kFieldEdge = 8;                         // pixels along an edge of a field
constexpr int kGroupEdge = 4;                         // of a group, four to a field
constexpr int kGroupLanes = kGroupEdge * kGroupEdge;  // one vector of float32
constexpr int kGroups = 4;
static_assert(kGroupLanes == kStrip && kFieldEdge == 2 * kGroupEdge);

// What of a tile was left out: see Parameters.
struct LeftOut {
  double skipped = 0.0;
  std::int64_t evaluated = 0;
};

// A source and a domain that may be seen somewhere.
struct Pair {
  std::int32_t source, domain;
};

// Patches side by side: what may be seen of each, and the bound of what is left out.
struct Batch {
  Patches patches;
  SeenPatches from;  // as one source sees them
  Sightings found;   // of that source
  std::vector<Pair> visible[kBatch];
  double skipped[kBatch];

  void reset() {
    for (auto& pairs : visible) pairs.clear();
    std::fill(skipped, skipped + kBatch, 0.0);
  }
};

// Fields of pixels on a grid that belongs to the panel, so that what is left out depends on
// neither the tile nor the mask. A domain that may be seen in a field is looked for in each of
// its groups; what may be seen in a group is rendered for all its pixels.
class Fields {
 public:
  Fields(const Parameters& p, const SampleSum& samples)
      : p_(p), samples_(samples), output_(p), first_row_(p.slow_start / kFieldEdge),
        rows_((p.slow_stop + kFieldEdge - 1) / kFieldEdge - first_row_),
        first_column_(p.fast_start / kFieldEdge),
        columns_((p.fast_stop + kFieldEdge - 1) / kFieldEdge - first_column_) {
    domains_.reserve(static_cast<std::size_t>(p.domains));
    for (std::int64_t d = 0; d < p.domains; ++d) {
      domains_.emplace_back(p, d);
      every_.push_back(static_cast<std::int32_t>(d));
    }
  }

  LeftOut render() const {
    auto spaces = samples_.workspaces(rows_);
    share_out(rows_, spaces, [&](std::int64_t row, Workspace& w) { render_row(row, w); });
    LeftOut left;
    for (const auto& space : spaces) {
      left.skipped = std::max(left.skipped, space->skipped);
      left.evaluated += space->evaluated;
    }
    return left;
  }

 private:
  void render_row(std::int64_t row, Workspace& w) const {
    clear(first_row_ + row);
    Batch fields, groups;
    double rows[kBatch], columns[kBatch];
    for (std::int64_t column = 0; column < columns_; column += kBatch) {
      for (int i = 0; i < kBatch; ++i) {
        rows[i] = static_cast<double>(first_row_ + row);
        columns[i] = static_cast<double>(first_column_ + column + i);
      }
      make_patches(p_, kFieldEdge, rows, columns, fields.patches);
      look_at_fields(fields);
      const int count = static_cast<int>(std::min<std::int64_t>(kBatch, columns_ - column));
      for (int i = 0; i < count; ++i) {
        w.skipped = std::max(w.skipped, fields.skipped[i]);
        if (fields.visible[i].empty() && p_.background_scale == 0.0) continue;
        render_field(first_row_ + row, first_column_ + column + i, fields, i, groups, w);
      }
    }
  }

  // What is left out is exactly 0, and so is what is not asked for.
  void clear(std::int64_t row) const {
    const std::int64_t first = std::max(row * kFieldEdge, p_.slow_start);
    const std::int64_t last = std::min((row + 1) * kFieldEdge, p_.slow_stop);
    for (std::int64_t slow = first; slow < last; ++slow) output_.clear_row(slow - p_.slow_start);
  }

  void look_at_fields(Batch& fields) const {
    fields.reset();
    const auto sources = static_cast<std::int32_t>(samples_.sources().size());
    for (std::int32_t s = 0; s < sources; ++s) look(s, every_.data(), every_.size(), kBatch, fields);
  }

  void render_field(std::int64_t row, std::int64_t column, const Batch& fields, int field,
                    Batch& groups, Workspace& w) const {
    double rows[kBatch], columns[kBatch];
    for (int i = 0; i < kBatch; ++i) {
      const int group = std::min(i, kGroups - 1);
      rows[i] = static_cast<double>(2 * row + group / 2);
      columns[i] = static_cast<double>(2 * column + group % 2);
    }
    make_patches(p_, kGroupEdge, rows, columns, groups.patches);
    groups.reset();
    const std::vector<Pair>& pairs = fields.visible[field];
    for (std::size_t n = 0; n < pairs.size();) {
      const std::int32_t source = pairs[n].source;
      w.numbers.clear();
      for (; n < pairs.size() && pairs[n].source == source; ++n) {
        w.numbers.push_back(pairs[n].domain);
      }
      look(source, w.numbers.data(), w.numbers.size(), kGroups, groups);
    }
    for (int i = 0; i < kGroups; ++i) {
      w.skipped = std::max(w.skipped, fields.skipped[field] + groups.skipped[i]);
      if (groups.visible[i].empty() && p_.background_scale == 0.0) continue;
      if (place(2 * row + i / 2, 2 * column + i % 2, w)) render_group(groups.visible[i], w);
    }
  }

  // Lists the domains of a source, of those numbered, for the first `count` patches in which they
  // may be seen. Each hidden one adds no more than the one with the least clearance could.
  void look(std::int32_t number, const std::int32_t* domains, std::size_t size, int count,
            Batch& batch) const {
    const Source& source = samples_.sources()[static_cast<std::size_t>(number)];
    Sightings& found = batch.found;
    see(p_, batch.patches, source, batch.from);
    samples_.steps().look(domains_.data(), domains, size, batch.patches, batch.from, found);
    for (const Sighting& sighting : found.seen) {
      for (int i = 0; i < count; ++i) {
        if (sighting.patches >> i & 1u) batch.visible[i].push_back({number, sighting.domain});
      }
    }
    const double weight = std::fabs(source.weight);
    alignas(64) float highest[kBatch];
    samples_.steps().highest(found.least, highest);
#pragma omp simd
    for (int i = 0; i < kBatch; ++i) {
      const double sum = static_cast<double>(found.hidden[i] > 0.0f ? highest[i] : 0.0f) *
                         static_cast<double>(found.hidden[i]);
      batch.skipped[i] = madd(weight, sum, batch.skipped[i]);
    }
  }

  // The pixels of a group and their places in the output, −1 for those that are not asked for;
  // false where none is.
  bool place(std::int64_t row, std::int64_t column, Workspace& w) const {
    const std::int64_t width = p_.fast_stop - p_.fast_start;
    bool any = false;
    for (int lane = 0; lane < kGroupLanes; ++lane) {
      const std::int64_t slow = row * kGroupEdge + lane / kGroupEdge;
      const std::int64_t fast = column * kGroupEdge + lane % kGroupEdge;
      w.pixel.slow[lane] = static_cast<double>(slow);
      w.pixel.fast[lane] = static_cast<double>(fast);
      const bool inside = slow >= p_.slow_start && slow < p_.slow_stop && fast >= p_.fast_start &&
                          fast < p_.fast_stop;
      const std::int64_t down = slow - p_.slow_start, along = fast - p_.fast_start;
      const bool wanted = inside && p_.active[down * width + along];
      w.places[lane] = wanted ? output_.place(down, along) : -1;
      any = any || wanted;
    }
    return any;
  }

  void render_group(const std::vector<Pair>& visible, Workspace& w) const {
    samples_.aim_all<kGroupLanes>(w);
    std::fill(w.numerator, w.numerator + kGroupLanes, 0.0);
    const auto sources = static_cast<std::int32_t>(samples_.sources().size());
    std::size_t next = 0;
    for (std::int32_t s = 0; s < sources; ++s) {
      const std::size_t first = next;
      while (next < visible.size() && visible[next].source == s) ++next;
      if (next == first && p_.background_scale == 0.0) continue;
      const Pair* pairs = visible.data() + first;
      const std::size_t count = next - first;
      const Source& source = samples_.sources()[static_cast<std::size_t>(s)];
      samples_.add_source<kGroupLanes>(source, w, [&](Scattering& q) {
        std::fill(q.sum, q.sum + kGroupLanes, 0.0);
        for (std::size_t n = 0; n < count; ++n) samples_.steps().add_group(q, pairs[n].domain);
      });
    }
    std::int64_t pixels = 0;
    for (int lane = 0; lane < kGroupLanes; ++lane) {
      if (w.places[lane] < 0) continue;
      output_.put_one(w.numerator[lane], w.places[lane]);
      ++pixels;
    }
    w.evaluated += pixels * samples_.per_source() * static_cast<std::int64_t>(visible.size());
  }

  const Parameters& p_;
  const SampleSum& samples_;
  const Output output_;
  const std::int64_t first_row_, rows_, first_column_, columns_;
  std::vector<NarrowDomain> domains_;
  std::vector<std::int32_t> every_;  // the number of each
};

}  // namespace distbragg
