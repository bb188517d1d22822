// What a domain can add to a small square of pixels at most, without looking at the pixels.
//
// The square is a patch of the Ewald sphere: a centre, half-widths along two tangents, and a
// remainder for its curvature. A step depends on the distance of the scattering vector from a
// lattice point, and distances change no faster than the vector itself, so the nearest approach
// of a lattice point to the patch bounds every step in it. All in float32, domains innermost,
// with slack for its rounding: see docs/explanation/tolerance.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"
#include "generated.hpp"
#include "shapes.hpp"
#include "geometry.hpp"

namespace distbragg {

constexpr int kBatch = 16;  // patches that are made and bounded together

// Patches of a row of groups as directions: lengths still want dividing by the wavelength.
struct alignas(64) Patches {
  double x[kBatch], y[kBatch], z[kBatch];  // unit vector to the centre
  float normal_x[kBatch], normal_y[kBatch], normal_z[kBatch];  // the same in float32
  float fast_x[kBatch], fast_y[kBatch], fast_z[kBatch];        // tangent along the fast axis
  float slow_x[kBatch], slow_y[kBatch], slow_z[kBatch];        // tangent across it
  float half_fast[kBatch], half_slow[kBatch];                  // half-widths along the tangents
  float radius[kBatch];                                        // of a ball around the patch
  float curvature[kBatch];                                     // what the flat patch leaves out
};

// What depends on the source, 1/Å: the centres, and the lengths with slack for float32.
struct alignas(64) SeenPatches {
  float x[kBatch], y[kBatch], z[kBatch];
  float out_normal[kBatch], out_fast[kBatch], out_slow[kBatch];
  float reach_h[kBatch], reach_k[kBatch], reach_l[kBatch];  // in indices
};

inline void see(const Parameters& p, const Patches& all, const Source& s, SeenPatches& out) {
  const double w = s.inverse_wavelength, ix = s.incident.x, iy = s.incident.y, iz = s.incident.z;
  const float single = static_cast<float>(w), slack = static_cast<float>(p.offset_error);
  const float error = static_cast<float>(p.index_error);
  const float edge_h = static_cast<float>(p.edge_length[0] * w) * kAbove;
  const float edge_k = static_cast<float>(p.edge_length[1] * w) * kAbove;
  const float edge_l = static_cast<float>(p.edge_length[2] * w) * kAbove;
#pragma omp simd
  for (int i = 0; i < kBatch; ++i) {
    out.x[i] = static_cast<float>((all.x[i] - ix) * w);
    out.y[i] = static_cast<float>((all.y[i] - iy) * w);
    out.z[i] = static_cast<float>((all.z[i] - iz) * w);
    const float rest = madd(all.curvature[i] * single, kAbove, slack);
    out.out_normal[i] = rest;
    out.out_fast[i] = madd(all.half_fast[i] * single, kAbove, rest);
    out.out_slow[i] = madd(all.half_slow[i] * single, kAbove, rest);
    out.reach_h[i] = madd(edge_h, all.radius[i], error);
    out.reach_k[i] = madd(edge_k, all.radius[i], error);
    out.reach_l[i] = madd(edge_l, all.radius[i], error);
  }
}

// Patches of squares of edge × edge pixels; rows and columns count squares. The panel is flat.
inline void make_patches(const Parameters& p, int edge, const double* rows, const double* columns,
                         Patches& out) {
  const double side = p.pixel_size * edge;
  // From the centre to the outermost sub-pixel.
  const double half = 0.5 * p.pixel_size * (edge - 1.0 / static_cast<double>(p.oversample));
  const double first = p.layer_position[0], last = p.layer_position[p.layers - 1];
  const double depth = 0.5 * (first + last), half_depth = 0.5 * std::fabs(last - first);
  const double reach = std::sqrt(2.0) * half + half_depth;
  const Vector f = load(p.fast), s = load(p.slow), n = load(p.normal), o = load(p.panel_origin);
#pragma omp simd
  for (int i = 0; i < kBatch; ++i) {
    const double fast = (columns[i] + 0.5) * side, slow = (rows[i] + 0.5) * side;
    const double x = madd(fast, f.x, madd(slow, s.x, madd(depth, n.x, o.x)));
    const double y = madd(fast, f.y, madd(slow, s.y, madd(depth, n.y, o.y)));
    const double z = madd(fast, f.z, madd(slow, s.z, madd(depth, n.z, o.z)));
    const double length = std::sqrt(madd(x, x, madd(y, y, z * z)));
    const double inverse = 1.0 / length;
    const double dx = x * inverse, dy = y * inverse, dz = z * inverse;
    const double along = madd(dx, f.x, madd(dy, f.y, dz * f.z));
    const double px = madd(-along, dx, f.x), py = madd(-along, dy, f.y), pz = madd(-along, dz, f.z);
    const double projected = std::sqrt(madd(px, px, madd(py, py, pz * pz)));
    const double scale = 1.0 / (projected > 1e-6 ? projected : 1e-6);
    const double ux = px * scale, uy = py * scale, uz = pz * scale;
    const double vx = dy * uz - dz * uy, vy = dz * ux - dx * uz, vz = dx * uy - dy * ux;
    const double slow_u = std::fabs(madd(s.x, ux, madd(s.y, uy, s.z * uz)));
    const double slow_v = std::fabs(madd(s.x, vx, madd(s.y, vy, s.z * vz)));
    // No bound where the patch is not small beside its distance, nor where the fast axis
    // points at the sample: an infinite radius makes every domain count.
    const double nearest = length - reach;
    const bool sound = nearest > reach && projected > 1e-3;
    const double ratio = sound ? reach / nearest : HUGE_VAL;
    out.x[i] = dx;
    out.y[i] = dy;
    out.z[i] = dz;
    out.normal_x[i] = static_cast<float>(dx);
    out.normal_y[i] = static_cast<float>(dy);
    out.normal_z[i] = static_cast<float>(dz);
    out.fast_x[i] = static_cast<float>(ux);
    out.fast_y[i] = static_cast<float>(uy);
    out.fast_z[i] = static_cast<float>(uz);
    out.slow_x[i] = static_cast<float>(vx);
    out.slow_y[i] = static_cast<float>(vy);
    out.slow_z[i] = static_cast<float>(vz);
    out.half_fast[i] = static_cast<float>((half * (projected + slow_u) + half_depth) * inverse);
    out.half_slow[i] = static_cast<float>((half * slow_v + half_depth) * inverse);
    out.radius[i] = static_cast<float>(ratio);
    // The second derivative of a unit vector is at most 6/distance².
    out.curvature[i] = static_cast<float>(3.0 * ratio * ratio);
  }
}

// Sine squared at the distance from a lattice plane, not below the 1/N² of its peak.
DISTBRAGG_INLINE float least_square_sine(float distance, float inverse_cells_squared) {
  const float sine = sin_pi(distance) * kBelow;
  return std::max(sine * sine, inverse_cells_squared);
}

// Cell and reciprocal vectors of one domain in float32.
struct NarrowDomain {
  float cell[9], reciprocal[9];
  NarrowDomain(const Parameters& p, std::int64_t d) {
    for (int k = 0; k < 9; ++k) {
      cell[k] = static_cast<float>(p.domain_vectors[9 * d + k]);
      reciprocal[k] = static_cast<float>(p.domain_reciprocals[9 * d + k]);
    }
  }
};

// A domain that may be seen in some patches: bit i for patch i.
struct Sighting {
  std::int32_t domain;
  std::uint32_t patches;
};

// What looking for domains of one source in a batch of patches gives.
struct Sightings {
  std::vector<Sighting> seen;
  alignas(64) float least[kBatch];   // clearance of the hidden domain that comes nearest
  alignas(64) float hidden[kBatch];  // how many are hidden
};

// The bounds of one shape. A patch has a clearance from the peaks of a domain, which grows as
// the greatest |F_latt|² falls: SQUARE: the product of the sines squared; else the square of the
// radius in the shape's own metric.
template <int kShape>
class StepBound {
 public:
  explicit StepBound(const Parameters& p)
      : limit_h_(limit(p.cells[0])), limit_k_(limit(p.cells[1])), limit_l_(limit(p.cells[2])),
        stiff_h_(static_cast<float>(p.axis_stiffness[0]) * kBelow),
        stiff_k_(static_cast<float>(p.axis_stiffness[1]) * kBelow),
        stiff_l_(static_cast<float>(p.axis_stiffness[2]) * kBelow),
        stiffness_(static_cast<float>(p.least_stiffness) * kBelow),
        most_(static_cast<float>(p.most_squared) * kAbove),
        enough_(find_enough(static_cast<float>(p.skip_below))) {}

  // Clearance from which on a step may be left out; infinite where no step can have it.
  float enough() const { return enough_; }

  // Greatest step at this clearance, in units of the scaled table.
  DISTBRAGG_INLINE float highest(float clearance) const {
    if constexpr (kShape == kSquare) {
      return most_ / clearance;
    } else {
      return most_ * Radial<kShape>::bound(clearance);
    }
  }

  // Looks for domains, by their numbers, in every patch.
  void look(const NarrowDomain* domains, const std::int32_t* numbers, std::size_t count,
            const Patches& all, const SeenPatches& q, Sightings& found) const {
    alignas(64) float clearance[kBatch], least[kBatch], hidden[kBatch];
    const float enough = enough_;
    std::fill(least, least + kBatch, HUGE_VALF);
    std::fill(hidden, hidden + kBatch, 0.0f);
    found.seen.clear();
    for (std::size_t n = 0; n < count; ++n) {
      clear(domains[numbers[n]], all, q, clearance);
      int visible = 0;
#pragma omp simd reduction(| : visible)
      for (int i = 0; i < kBatch; ++i) {
        // A NaN counts as visible.
        const bool far = clearance[i] >= enough;
        visible |= far ? 0 : 1;
        least[i] = std::min(least[i], far ? clearance[i] : HUGE_VALF);
        hidden[i] += far ? 1.0f : 0.0f;
      }
      if (visible == 0) continue;
      std::uint32_t patches = 0;
      for (int i = 0; i < kBatch; ++i) patches |= clearance[i] >= enough ? 0u : 1u << i;
      found.seen.push_back({numbers[n], patches});
    }
    std::copy(least, least + kBatch, found.least);
    std::copy(hidden, hidden + kBatch, found.hidden);
  }

 private:
  // Writes the clearance of each patch from a domain.
  DISTBRAGG_INLINE void clear(const NarrowDomain& domain, const Patches& all, const SeenPatches& q,
                              float* clearance) const {
    const StepBound self = *this;
    const NarrowDomain v = domain;
#pragma omp simd
    for (int i = 0; i < kBatch; ++i) {
      const float qx = q.x[i], qy = q.y[i], qz = q.z[i];
      float h = madd(v.cell[0], qx, madd(v.cell[1], qy, v.cell[2] * qz));
      float k = madd(v.cell[3], qx, madd(v.cell[4], qy, v.cell[5] * qz));
      float l = madd(v.cell[6], qx, madd(v.cell[7], qy, v.cell[8] * qz));
      h -= std::nearbyint(h);
      k -= std::nearbyint(k);
      l -= std::nearbyint(l);
      if constexpr (kShape == kSquare) {
        clearance[i] = self.sines(std::fabs(h) - q.reach_h[i], std::fabs(k) - q.reach_k[i],
                                  std::fabs(l) - q.reach_l[i]);
      } else {
        const float* r = v.reciprocal;
        const float x = madd(h, r[0], madd(k, r[3], l * r[6]));
        const float y = madd(h, r[1], madd(k, r[4], l * r[7]));
        const float z = madd(h, r[2], madd(k, r[5], l * r[8]));
        const float along =
            madd(x, all.normal_x[i], madd(y, all.normal_y[i], z * all.normal_z[i]));
        const float fast = madd(x, all.fast_x[i], madd(y, all.fast_y[i], z * all.fast_z[i]));
        const float slow = madd(x, all.slow_x[i], madd(y, all.slow_y[i], z * all.slow_z[i]));
        const float a = std::max(std::fabs(along) - q.out_normal[i], 0.0f);
        const float b = std::max(std::fabs(fast) - q.out_fast[i], 0.0f);
        const float c = std::max(std::fabs(slow) - q.out_slow[i], 0.0f);
        const float away = madd(a, a, madd(b, b, c * c)) * (self.stiffness_ * self.stiffness_);
        // Pixels of the patch may round to another lattice point than its centre; along some
        // axis that one is a whole index further on, less what the patch reaches.
        const float other = std::min(std::min((1.0f - q.reach_h[i] - std::fabs(h)) * self.stiff_h_,
                                              (1.0f - q.reach_k[i] - std::fabs(k)) * self.stiff_k_),
                                     (1.0f - q.reach_l[i] - std::fabs(l)) * self.stiff_l_);
        const float beyond = std::max(other, 0.0f);
        clearance[i] = std::min(away, beyond * beyond);
      }
    }
  }

  static float limit(double cells) {
    return cells > 1.0 ? static_cast<float>(1.0 / (cells * cells)) * kBelow : 1.0f;
  }

  DISTBRAGG_INLINE float sines(float h, float k, float l) const {
    return least_square_sine(std::max(h, 0.0f), limit_h_) *
           least_square_sine(std::max(k, 0.0f), limit_k_) *
           least_square_sine(std::max(l, 0.0f), limit_l_);
  }

  // Bisection: `highest` falls with the clearance.
  float find_enough(float wanted) const {
    float low = 0.0f, high = 1e9f;
    if (!(highest(high) <= wanted)) return HUGE_VALF;
    for (int i = 0; i < 100; ++i) {
      const float middle = 0.5f * (low + high);
      (highest(middle) <= wanted ? high : low) = middle;
    }
    return high;
  }

  float limit_h_, limit_k_, limit_l_;  // 1/N²
  float stiff_h_, stiff_k_, stiff_l_, stiffness_;
  float most_;
  float enough_;
};

}  // namespace distbragg
