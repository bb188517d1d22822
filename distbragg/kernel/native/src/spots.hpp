// Looking for the small spots of an area: from the lattice to the pixels.
//
// A step depends on the distance of the scattering vector from a lattice point, so only pixels
// whose vectors come within a ball about some point need looking at. Points whose balls touch the
// area's patch of the Ewald sphere are found for the middle of a cluster of domains, with a shell
// thick enough for all of them; then for each domain the cone that holds its ball is cut with the
// panel. See docs/explanation/tolerance.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "clusters.hpp"
#include "cones.hpp"
#include "generated.hpp"
#include "groups.hpp"
#include "samples.hpp"

namespace distbragg {

constexpr int kAreaEdge = 128;  // pixels along an edge of an area
constexpr int kAreaGroups = kAreaEdge / kGroupEdge;

// A square of pixels as a patch of directions. All that is said of it holds for every sub-pixel
// and sensor layer.
struct Area {
  std::int64_t row, column;    // numbers on the panel
  Vector normal, along, across;  // unit vector to its centre and two tangents
  double half_along, half_across;  // directions reach so far along the tangents
  double radius;                   // and so far from the centre
  bool sound;                      // small, and not seen at a grazing angle

  Area(const Parameters& p, std::int64_t row_, std::int64_t column_) : row(row_), column(column_) {
    const double side = p.pixel_size * kAreaEdge, half = 0.5 * side;
    const double first = p.layer_position[0], last = p.layer_position[p.layers - 1];
    const double depth = 0.5 * (first + last), half_depth = 0.5 * std::fabs(last - first);
    const double fast = (static_cast<double>(column) + 0.5) * side;
    const double slow = (static_cast<double>(row) + 0.5) * side;
    const Vector f = load(p.fast), s = load(p.slow), n = load(p.normal), o = load(p.panel_origin);
    const Vector centre = {madd(fast, f.x, madd(slow, s.x, madd(depth, n.x, o.x))),
                           madd(fast, f.y, madd(slow, s.y, madd(depth, n.y, o.y))),
                           madd(fast, f.z, madd(slow, s.z, madd(depth, n.z, o.z)))};
    normal = unit(centre);
    const double part = dot(f, normal);
    const Vector tangent = {f.x - part * normal.x, f.y - part * normal.y, f.z - part * normal.z};
    along = unit(tangent);
    across = cross(normal, along);
    const double reach = std::sqrt(2.0) * half + half_depth;
    const double nearest = std::sqrt(dot(centre, centre)) - reach;
    half_along = half_of(f, s, along, half, half_depth) / nearest;
    half_across = half_of(f, s, across, half, half_depth) / nearest;
    radius = reach / nearest;
    sound = nearest > 2.0 * reach && std::fabs(dot(normal, n)) > radius + kMostOpening + kGrazing &&
            dot(tangent, tangent) > 1e-4;
  }

  static constexpr double kMostOpening = 0.1;  // sine of half a cone's opening, at most
  static constexpr double kGrazing = 0.2;      // cosine between panel normal and a ray, at least

 private:
  static double half_of(const Vector& fast, const Vector& slow, const Vector& tangent, double half,
                        double half_depth) {
    return half * (std::fabs(dot(fast, tangent)) + std::fabs(dot(slow, tangent))) + half_depth;
  }
};

class Spots {
 public:
  Spots(const Parameters& p, const SampleSum& samples, const Groups& groups)
      : p_(p), samples_(samples), groups_(groups), cones_(p) {
    double shortest = HUGE_VAL, longest = 0.0;  // wavelength
    for (const Source& s : samples.sources()) {
      shortest = std::min(shortest, 1.0 / s.inverse_wavelength);
      longest = std::max(longest, 1.0 / s.inverse_wavelength);
    }
    // With what float32 may be wrong by: in a lattice point, and in lengths of some 1/λ.
    ball_ = samples.steps().far_enough() + p.offset_error + 2e-6 / shortest;
    cones_.widen(ball_, p.offset_error * longest + 4e-6);
    const double edge = *std::max_element(p.edge_length, p.edge_length + 3);
    const auto most = static_cast<std::int64_t>(1) << kNumberBits;
    // Written so that a NaN is not small.
    small_ = ball_ * edge < kWidestSpot && 1.1 * ball_ * longest < Area::kMostOpening &&
             Cones::square(p) && p.domains < most && p.source_stop - p.source_start < most;
    if (!small_) return;
    clusters_ = make_clusters(p, std::min(kWidestTurn, 2.0 * shortest / edge));
    alignas(64) float enough[kBatch], highest[kBatch];
    std::fill(enough, enough + kBatch, samples.steps().enough());
    samples.steps().highest(enough, highest);
    for (const Source& source : samples.sources()) {
      told_ += std::fabs(source.weight) * static_cast<double>(p.domains) *
               static_cast<double>(highest[0]);
    }
  }

  // Whether spots are small enough to be looked for one by one.
  bool small() const { return small_; }

  // Renders the pixels of an area that is sound and cleared.
  void render(const Area& area, Workspace& w) const {
    w.hits.clear();
    const auto sources = static_cast<std::int32_t>(samples_.sources().size());
    for (std::int32_t s = 0; s < sources; ++s) {
      for (const Cluster& cluster : clusters_) look(area, s, cluster, w);
    }
    std::sort(w.hits.begin(), w.hits.end());
    w.hits.erase(std::unique(w.hits.begin(), w.hits.end()), w.hits.end());
    // Everything may be hidden from some pixel.
    w.skipped = std::max(w.skipped, told_);
    p_.background_scale == 0.0 ? render_seen(area, w) : render_all(area, w);
  }

 private:
  static constexpr double kWidestSpot = 0.35;  // radius in index units
  static constexpr double kWidestTurn = 0.2;   // of domains in a cluster
  static constexpr int kNumberBits = 26;       // of a source and of a domain in a hit

  struct Columns {
    static constexpr int kMost = 16;
    alignas(64) double low[kMost], high[kMost];
  };

  // The shell of an area, as one source sees it: 1/Å.
  struct Shell {
    Vector incident, centre;  // i/λ, and the scattering vector of the area's centre
    double length;            // 1/λ
    double thick;             // lattice points of the middle may be so far from the sphere
    double half_along, half_across;
  };

  void look(const Area& area, std::int32_t number, const Cluster& cluster, Workspace& w) const {
    const Source& source = samples_.sources()[static_cast<std::size_t>(number)];
    Shell shell;
    const double k = shell.length = source.inverse_wavelength;
    const Vector i = source.incident, n = area.normal;
    shell.incident = {i.x * k, i.y * k, i.z * k};
    shell.centre = {(n.x - i.x) * k, (n.y - i.y) * k, (n.z - i.z) * k};
    const double reach = std::sqrt(dot(shell.centre, shell.centre)) + area.radius * k + ball_;
    shell.thick = ball_ + cluster.spread / (1.0 - cluster.spread) * reach;
    shell.half_along = madd(area.half_along, k, shell.thick);
    shell.half_across = madd(area.half_across, k, shell.thick);
    look_along_columns(area, shell, number, cluster, w);
  }

  // Goes through lattice points of the middle column by column. Columns run along the axis that
  // is nearest to the area's normal, so that each crosses the shell once.
  void look_along_columns(const Area& area, const Shell& shell, std::int32_t number,
                          const Cluster& cluster, Workspace& w) const {
    int axis = 0;
    double steepest = -1.0;
    for (int k = 0; k < 3; ++k) {
      const Vector& r = cluster.reciprocal[k];
      const double steep = std::fabs(dot(area.normal, r)) / std::sqrt(dot(r, r));
      if (steep > steepest) steepest = steep, axis = k;
    }
    const int one = (axis + 1) % 3, two = (axis + 2) % 3;
    std::int64_t from[2], to[2];
    range(area, shell, cluster.cell[one], from[0], to[0]);
    range(area, shell, cluster.cell[two], from[1], to[1]);
    const Vector& r = cluster.reciprocal[one];
    Columns columns;
    double index[3];
    for (std::int64_t j = from[0]; j <= to[0]; ++j) {
      index[one] = static_cast<double>(j);
      const Vector& v = shell.incident;
      const Vector start = {madd(index[one], r.x, v.x), madd(index[one], r.y, v.y),
                            madd(index[one], r.z, v.z)};
      for (std::int64_t k = from[1]; k <= to[1]; k += Columns::kMost) {
        const int count = static_cast<int>(std::min<std::int64_t>(Columns::kMost, to[1] - k + 1));
        for (const bool upper : {true, false}) {
          if (!crosses(area, shell, cluster.reciprocal[axis], upper)) continue;
          cut(shell, start, static_cast<double>(k), cluster.reciprocal[two],
              cluster.reciprocal[axis], upper, columns);
          for (int i = 0; i < count; ++i) {
            index[two] = static_cast<double>(k + i);
            for (double l = columns.low[i]; l <= columns.high[i]; l += 1.0) {
              index[axis] = l;
              visit(area, shell, number, cluster, index, w);
            }
          }
        }
      }
    }
  }

  // Indices along one axis that points of the shell may have.
  static void range(const Area& area, const Shell& shell, const Vector& cell, std::int64_t& from,
                    std::int64_t& to) {
    const double centre = dot(cell, shell.centre);
    // Directions lie below the tangent plane by up to half of the radius squared.
    const double below = 0.5 * area.radius * area.radius * shell.length;
    const double half = std::fabs(dot(cell, area.along)) * shell.half_along +
                        std::fabs(dot(cell, area.across)) * shell.half_across +
                        std::fabs(dot(cell, area.normal)) * (below + shell.thick);
    from = static_cast<std::int64_t>(std::ceil(centre - half));
    to = static_cast<std::int64_t>(std::floor(centre + half));
  }

  // Whether columns may pass out of the sphere (`upper`) or into it about the area.
  static bool crosses(const Area& area, const Shell& shell, const Vector& axis, bool upper) {
    const double rise = dot(area.normal, axis) * shell.length;
    const double most = std::sqrt(dot(axis, axis)) * (area.radius * shell.length + shell.thick);
    return (upper ? rise : -rise) > -most;
  }

  // Where columns are within the shell: indices along them, both ends included.
  static void cut(const Shell& shell, const Vector& start, double first, const Vector& beside,
                  const Vector& axis, bool upper, Columns& columns) {
    const double inverse = 1.0 / dot(axis, axis);
    const double most = shell.length + shell.thick;
    const double least = std::max(shell.length - shell.thick, 0.0);
    const double outer = most * most * inverse, inner = least * least * inverse;
    const double side = upper ? 1.0 : -1.0;
#pragma omp simd
    for (int i = 0; i < Columns::kMost; ++i) {
      const double n = first + i;
      const double x = madd(n, beside.x, start.x), y = madd(n, beside.y, start.y);
      const double z = madd(n, beside.z, start.z);
      const double middle = -(x * axis.x + y * axis.y + z * axis.z) * inverse;
      const double away = madd(middle, middle, -(x * x + y * y + z * z) * inverse);
      const double far = std::sqrt(std::max(away + outer, 0.0));
      const double near = std::sqrt(std::max(away + inner, 0.0));
      const double a = middle + side * near, b = middle + side * far;
      const bool misses = away + outer < 0.0;
      columns.low[i] = std::ceil(std::min(a, b)) + (misses ? HUGE_VAL : 0.0);
      columns.high[i] = std::floor(std::max(a, b));
    }
  }

  // Notes the groups in which a lattice point's spots may lie.
  void visit(const Area& area, const Shell& shell, std::int32_t number, const Cluster& cluster,
             const double* index, Workspace& w) const {
    const Vector* r = cluster.reciprocal;
    const Vector off = {
        madd(index[0], r[0].x, madd(index[1], r[1].x, index[2] * r[2].x)) - shell.centre.x,
        madd(index[0], r[0].y, madd(index[1], r[1].y, index[2] * r[2].y)) - shell.centre.y,
        madd(index[0], r[0].z, madd(index[1], r[1].z, index[2] * r[2].z)) - shell.centre.z};
    if (!(std::fabs(dot(off, area.along)) <= shell.half_along)) return;
    if (!(std::fabs(dot(off, area.across)) <= shell.half_across)) return;
    std::int32_t domain = cluster.first;
    Rays rays;
    for (const ReciprocalLanes& lanes : cluster.lanes) {
      const std::uint32_t spare = spare_lanes(cluster, domain);
      const std::uint32_t touching =
          cones_.aim(shell.incident, shell.length, lanes, index, rays) & ~spare;
      if (touching != 0 && samples_.steps().scatters(index[0], index[1], index[2])) {
        Boxes boxes;
        cones_.cut(shell.length, rays, boxes);
        note(area, number, domain, touching, boxes, w);
      }
      domain += kClusterLanes;
    }
  }

  // Bits of the lanes that no domain has.
  static std::uint32_t spare_lanes(const Cluster& cluster, std::int32_t domain) {
    const std::int32_t left = cluster.first + cluster.count - domain;
    return left < kClusterLanes ? ~0u << left : 0u;
  }

  // Adds the groups of the area and the tile that boxes cover.
  void note(const Area& area, std::int32_t number, std::int32_t domain, std::uint32_t lanes,
            const Boxes& boxes, Workspace& w) const {
    const std::int64_t row = area.row * kAreaGroups, column = area.column * kAreaGroups;
    const int first_row = inside(p_.slow_start / kGroupEdge - row);
    const int last_row = inside((p_.slow_stop - 1) / kGroupEdge - row);
    const int first_column = inside(p_.fast_start / kGroupEdge - column);
    const int last_column = inside((p_.fast_stop - 1) / kGroupEdge - column);
    const auto top = static_cast<float>(row * kGroupEdge);
    const auto left = static_cast<float>(column * kGroupEdge);
    for (int i = 0; lanes != 0; ++i, lanes >>= 1) {
      if ((lanes & 1u) == 0) continue;
      const int low_row = std::max(group(boxes.slow_low[i] - top), first_row);
      const int high_row = std::min(group(boxes.slow_high[i] - top), last_row);
      const int low_column = std::max(group(boxes.fast_low[i] - left), first_column);
      const int high_column = std::min(group(boxes.fast_high[i] - left), last_column);
      for (int r = low_row; r <= high_row; ++r) {
        for (int c = low_column; c <= high_column; ++c) {
          const auto place = static_cast<std::uint64_t>(r * kAreaGroups + c);
          w.hits.push_back((place << kNumberBits | static_cast<std::uint64_t>(number))
                               << kNumberBits |
                           static_cast<std::uint64_t>(domain + i));
        }
      }
    }
  }

  static int inside(std::int64_t group) {
    return static_cast<int>(std::clamp<std::int64_t>(group, 0, kAreaGroups - 1));
  }

  // Number of the group in which a pixel lies; far outside of the area any will do.
  static int group(float pixel) {
    const float edge = static_cast<float>(kAreaEdge);
    const float near = pixel < -edge ? -edge : (pixel > 2.0f * edge ? 2.0f * edge : pixel);
    return static_cast<int>(std::floor(near * (1.0f / kGroupEdge)));
  }

  // Renders the groups that hold hits.
  void render_seen(const Area& area, Workspace& w) const {
    for (std::size_t n = 0; n < w.hits.size();) {
      const auto place = static_cast<std::int64_t>(w.hits[n] >> (2 * kNumberBits));
      render_group(area, place, n, w);
    }
  }

  void render_all(const Area& area, Workspace& w) const {
    std::size_t n = 0;
    for (std::int64_t place = 0; place < kAreaGroups * kAreaGroups; ++place) {
      render_group(area, place, n, w);
    }
  }

  // Renders a group with its hits, the next in the list.
  void render_group(const Area& area, std::int64_t place, std::size_t& n, Workspace& w) const {
    constexpr std::uint64_t mask = (std::uint64_t{1} << kNumberBits) - 1;
    w.pairs.clear();
    for (; n < w.hits.size(); ++n) {
      const std::uint64_t hit = w.hits[n];
      if (static_cast<std::int64_t>(hit >> (2 * kNumberBits)) != place) break;
      w.pairs.push_back({static_cast<std::int32_t>(hit >> kNumberBits & mask),
                         static_cast<std::int32_t>(hit & mask)});
    }
    groups_.render(area.row * kAreaGroups + place / kAreaGroups,
                   area.column * kAreaGroups + place % kAreaGroups, w.pairs.data(),
                   w.pairs.size(), w);
  }

  const Parameters& p_;
  const SampleSum& samples_;
  const Groups& groups_;
  double ball_ = 0.0;           // radius of the ball about a lattice point, 1/Å
  Cones cones_;
  double told_ = 0.0;           // bound of all that could be left out of a pixel
  bool small_ = false;
  std::vector<Cluster> clusters_;
};

}  // namespace distbragg
