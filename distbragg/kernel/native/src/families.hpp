// Domains that follow each other in the list and are turned little against each other.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "generated.hpp"
#include "geometry.hpp"

namespace distbragg {

// What is found for the mean lattice holds for every domain of the family, within its spread.
struct Family {
  std::int64_t first, count;
  double mean[9];  // a, b, c, Å
  double spread;   // the greatest distance of a domain from the mean, by the measure it was made with

  // So many are worth what is found for the mean.
  static constexpr std::int64_t kWorth = 6;
  bool worth() const { return count >= kWorth; }
};

// Greatest half-width of r ≤ 1 along an index: rows of the inverse of the upper triangle.
inline double most_extent(const Parameters& p) {
  const double* g = p.metric;
  const double i00 = 1.0 / g[0], i11 = 1.0 / g[3], i22 = 1.0 / g[5];
  const double i01 = -g[1] * i00 * i11, i12 = -g[4] * i11 * i22;
  const double i02 = -(g[2] * i22 + g[1] * i12) * i00;
  return std::sqrt(std::max({i00 * i00 + i01 * i01 + i02 * i02, i11 * i11 + i12 * i12, i22 * i22}));
}

// Difference of an index for |q| = 1, at most.
inline double index_apart(const Parameters&, const double* one, const double* other) {
  double most = 0.0;
  for (int axis = 0; axis < 9; axis += 3) {
    const Vector v = {one[axis] - other[axis], one[axis + 1] - other[axis + 1],
                      one[axis + 2] - other[axis + 2]};
    most = std::max(most, dot(v, v));
  }
  return std::sqrt(most);
}

// Difference of the radius for |q| = 1, at most: the greatest singular value, by the trace of a
// high power of the square.
inline double radius_apart(const Parameters& p, const double* one, const double* other) {
  const double* g = p.metric;
  Vector column[3];
  for (int x = 0; x < 3; ++x) {
    const double a = one[x] - other[x], b = one[3 + x] - other[3 + x], c = one[6 + x] - other[6 + x];
    column[x] = {g[0] * a + g[1] * b + g[2] * c, g[3] * b + g[4] * c, g[5] * c};
  }
  double power[3][3], trace = 0.0;
  for (int x = 0; x < 3; ++x) trace += dot(column[x], column[x]);
  if (!(trace > 0.0)) return trace;
  for (int x = 0; x < 3; ++x) {
    for (int y = 0; y < 3; ++y) power[x][y] = dot(column[x], column[y]) / trace;
  }
  for (int doubling = 0; doubling < 3; ++doubling) {
    double square[3][3] = {};
    for (int x = 0; x < 3; ++x) {
      for (int y = 0; y < 3; ++y) {
        for (int z = 0; z < 3; ++z) square[x][y] += power[x][z] * power[z][y];
      }
    }
    std::copy(&square[0][0], &square[0][0] + 9, &power[0][0]);
  }
  const double eighth = power[0][0] + power[1][1] + power[2][2];
  return std::sqrt(trace * std::pow(eighth, 0.125)) * (1.0 + 1e-6);
}

// Cuts the list where a domain is further than `widest` from the first of its family.
template <class Apart>
std::vector<Family> make_families(const Parameters& p, double widest, Apart apart) {
  std::vector<Family> families;
  for (std::int64_t first = 0; first < p.domains;) {
    const double* of_first = p.domain_vectors + 9 * first;
    std::int64_t next = first + 1;
    while (next < p.domains && apart(p, p.domain_vectors + 9 * next, of_first) < widest) ++next;
    Family family{first, next - first, {}, 0.0};
    for (std::int64_t d = first; d < next; ++d) {
      for (int k = 0; k < 9; ++k) family.mean[k] += p.domain_vectors[9 * d + k];
    }
    for (double& part : family.mean) part /= static_cast<double>(family.count);
    for (std::int64_t d = first; d < next; ++d) {
      family.spread = std::max(family.spread, apart(p, p.domain_vectors + 9 * d, family.mean));
    }
    families.push_back(family);
    first = next;
  }
  return families;
}

}  // namespace distbragg
