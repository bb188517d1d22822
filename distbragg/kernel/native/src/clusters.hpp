// Mosaic domains that are turned little against each other: looked for together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "generated.hpp"
#include "geometry.hpp"

namespace distbragg {

constexpr int kClusterLanes = 16;    // domains that are tested side by side
constexpr int kLargestCluster = 64;  // four times that

// a*, b*, c* of domains side by side; spare lanes repeat the last domain.
struct alignas(64) ReciprocalLanes {
  float axis[9][kClusterLanes];
};

// Domains that follow each other in the list, and the lattice in their middle.
struct Cluster {
  std::int32_t first, count;
  Vector cell[3], reciprocal[3];  // of the middle
  double spread = 0.0;            // |g − g′| ≤ spread · |g| for a point g of the middle
  std::vector<ReciprocalLanes> lanes;

  Cluster(const Parameters& p, std::int32_t from, std::int32_t size) : first(from), count(size) {
    for (int axis = 0; axis < 3; ++axis) cell[axis] = mean_axis(p, axis);
    const double volume = dot(cell[0], cross(cell[1], cell[2]));
    for (int axis = 0; axis < 3; ++axis) {
      const Vector v = cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3]);
      reciprocal[axis] = {v.x / volume, v.y / volume, v.z / volume};
    }
    for (std::int32_t d = first; d < first + count; ++d) {
      spread = std::max(spread, turned(p.domain_reciprocals + 9 * d, cell));
    }
    for (std::int32_t d = 0; d < count; d += kClusterLanes) {
      ReciprocalLanes block;
      for (int i = 0; i < kClusterLanes; ++i) {
        const double* of = p.domain_reciprocals + 9 * (first + std::min(d + i, count - 1));
        for (int k = 0; k < 9; ++k) block.axis[k][i] = static_cast<float>(of[k]);
      }
      lanes.push_back(block);
    }
  }

  // A bound of the norm of what is left of the map from one lattice to another when the identity
  // is taken off: the square root of the largest row sum of its square.
  static double turned(const double* reciprocals, const Vector* cells) {
    double map[3][3];
    for (int x = 0; x < 3; ++x) {
      double* row = map[x];
      row[0] = row[1] = row[2] = 0.0;
      for (int axis = 0; axis < 3; ++axis) {
        const double along = reciprocals[3 * axis + x];
        row[0] += along * cells[axis].x;
        row[1] += along * cells[axis].y;
        row[2] += along * cells[axis].z;
      }
      row[x] -= 1.0;
    }
    double largest = 0.0;
    for (int x = 0; x < 3; ++x) {
      double sum = 0.0;
      for (int y = 0; y < 3; ++y) {
        sum += std::fabs(map[0][x] * map[0][y] + map[1][x] * map[1][y] + map[2][x] * map[2][y]);
      }
      largest = std::max(largest, sum);
    }
    return std::sqrt(largest);
  }

 private:
  Vector mean_axis(const Parameters& p, int axis) const {
    Vector sum{0.0, 0.0, 0.0};
    for (std::int32_t d = first; d < first + count; ++d) {
      const double* v = p.domain_vectors + 9 * d + 3 * axis;
      sum = {sum.x + v[0], sum.y + v[1], sum.z + v[2]};
    }
    const double share = 1.0 / count;
    return {sum.x * share, sum.y * share, sum.z * share};
  }
};

// Cuts the list where a domain is turned further from the first of its cluster than `widest`.
inline std::vector<Cluster> make_clusters(const Parameters& p, double widest) {
  std::vector<Cluster> clusters;
  const auto domains = static_cast<std::int32_t>(p.domains);
  for (std::int32_t first = 0; first < domains;) {
    const double* v = p.domain_vectors + 9 * first;
    const Vector cells[3] = {load(v), load(v + 3), load(v + 6)};
    std::int32_t next = first + 1;
    while (next < domains && next - first < kLargestCluster &&
           Cluster::turned(p.domain_reciprocals + 9 * next, cells) <= widest) {
      ++next;
    }
    clusters.emplace_back(p, first, next - first);
    first = next;
  }
  return clusters;
}

}  // namespace distbragg
