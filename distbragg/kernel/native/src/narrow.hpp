// Narrow spots of a family of domains: only lanes that are near a lattice point of the mean are
// worked on, side by side.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "families.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "near.hpp"

namespace distbragg {

class NarrowFamilies {
 public:
  explicit NarrowFamilies(const Parameters& p) {
    if (!(p.reach > 0.0)) return;
    const double extent = most_extent(p), longest = std::min(p.longest, p.furthest);
    most_radius_ = static_cast<float>(0.49 / extent);
    list_ = make_families(p, kWidest / (longest * extent), radius_apart);
  }

  const std::vector<Family>& list() const { return list_; }

  // Puts the lanes that any of the domains may light side by side, whole strips; false if there
  // are none.
  template <bool kPlain>
  bool choose(const Parameters& p, const Family& family, const Scattering& q) const {
    alignas(64) std::uint8_t lit[kLanes];
    const NearTest<kPlain> near(family.mean, p, 0.0);
    const float reach = static_cast<float>(p.reach);
    const float spread = static_cast<float>(family.spread) * (1.0f + 1e-5f);
    const float most = kPlain ? HUGE_VALF : most_radius_;
    for (int strip = q.first; strip < q.last; strip += kStrip) {
#pragma omp simd
      for (int i = strip; i < strip + kStrip; ++i) {
        float h, k, l;
        const float squared = near(q.x_single[i], q.y_single[i], q.z_single[i], h, k, l);
        const float within = madd(spread, q.length[i], reach);
        // Where the mean may be nearest to another point nothing can be said.
        lit[i] = squared < within * within || !(within < most) ? 1 : 0;
      }
    }
    std::int32_t* lane = q.chosen->lane;
    int count = 0;
    for (int i = q.first; i < q.last; ++i) {
      lane[count] = i;
      count += lit[i];
    }
    copy(q, count);
    return count > 0;
  }

  // Copies lanes to their places side by side; spare ones repeat the last.
  static void copy(const Scattering& q, int count) {
    Chosen& chosen = *q.chosen;
    const Directions& d = *q.directions;
    Directions& to = chosen.directions;
    Scattering& out = chosen.scattering;
    out.directions = &to;
    out.source = q.source;
    out.source_number = q.source_number;
    out.first = 0;
    out.last = (count + kStrip - 1) / kStrip * kStrip;
    to.layer = d.layer;
    to.form = d.form;
    const bool curved = d.form == Form::kCurved;
    const double* const from[3] = {curved ? d.x : d.fast, curved ? d.y : d.slow,
                                   curved ? d.z : d.inverse};
    double* const into[3] = {curved ? to.x : to.fast, curved ? to.y : to.slow,
                             curved ? to.z : to.inverse};
    for (int i = 0; i < out.last; ++i) {
      const int lane = chosen.lane[i < count ? i : count - 1];
      for (int k = 0; k < 3; ++k) into[k][i] = from[k][lane];
      out.x_single[i] = q.x_single[lane];
      out.y_single[i] = q.y_single[lane];
      out.z_single[i] = q.z_single[lane];
      out.sum[i] = q.sum[lane];
    }
    chosen.count = count;
  }

 private:
  // Of the turns in a family, in indices.
  static constexpr double kWidest = 0.4;

  std::vector<Family> list_;
  float most_radius_ = 0.0f;  // up to which the nearest point is the same
};

}  // namespace distbragg
