// Looking for domains in squares of pixels: the way for every shape and every panel.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bounds.hpp"
#include "generated.hpp"
#include "groups.hpp"
#include "samples.hpp"

namespace distbragg {

constexpr int kFieldEdge = 8;  // pixels along an edge of a field
constexpr int kGroupsOfField = 4;
static_assert(kFieldEdge == 2 * kGroupEdge);

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

// A domain that may be seen in a field is looked for in each of its groups; what may be seen in a
// group is rendered for all its pixels.
class Fields {
 public:
  Fields(const Parameters& p, const SampleSum& samples, const Groups& groups)
      : p_(p), samples_(samples), groups_(groups) {
    domains_.reserve(static_cast<std::size_t>(p.domains));
    for (std::int64_t d = 0; d < p.domains; ++d) {
      domains_.emplace_back(p, d);
      every_.push_back(static_cast<std::int32_t>(d));
    }
  }

  // Renders kBatch fields of a row, by their numbers on the panel.
  void render_row(std::int64_t row, std::int64_t column, Workspace& w) const {
    Batch fields, groups;
    double rows[kBatch], columns[kBatch];
    for (int i = 0; i < kBatch; ++i) {
      rows[i] = static_cast<double>(row);
      columns[i] = static_cast<double>(column + i);
    }
    make_patches(p_, kFieldEdge, rows, columns, fields.patches);
    look_at_fields(fields);
    const std::int64_t after = (p_.fast_stop + kFieldEdge - 1) / kFieldEdge;
    for (int i = 0; i < kBatch && column + i < after; ++i) {
      if (column + i < p_.fast_start / kFieldEdge) continue;
      w.skipped = std::max(w.skipped, fields.skipped[i]);
      if (fields.visible[i].empty() && p_.background_scale == 0.0) continue;
      render_field(row, column + i, fields, i, groups, w);
    }
  }

 private:
  void look_at_fields(Batch& fields) const {
    fields.reset();
    const auto sources = static_cast<std::int32_t>(samples_.sources().size());
    for (std::int32_t s = 0; s < sources; ++s) look(s, every_.data(), every_.size(), kBatch, fields);
  }

  void render_field(std::int64_t row, std::int64_t column, const Batch& fields, int field,
                    Batch& groups, Workspace& w) const {
    double rows[kBatch], columns[kBatch];
    for (int i = 0; i < kBatch; ++i) {
      const int group = std::min(i, kGroupsOfField - 1);
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
      look(source, w.numbers.data(), w.numbers.size(), kGroupsOfField, groups);
    }
    for (int i = 0; i < kGroupsOfField; ++i) {
      w.skipped = std::max(w.skipped, fields.skipped[field] + groups.skipped[i]);
      const std::vector<Pair>& visible = groups.visible[i];
      groups_.render(2 * row + i / 2, 2 * column + i % 2, visible.data(), visible.size(), w);
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

  const Parameters& p_;
  const SampleSum& samples_;
  const Groups& groups_;
  std::vector<NarrowDomain> domains_;
  std::vector<std::int32_t> every_;  // the number of each
};

}  // namespace distbragg
