// From pixel numbers to unit vectors and the factors of one sample.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "amorphous.hpp"
#include "approx.hpp"
#include "generated.hpp"

namespace distbragg {

// Pixels are worked on in padded blocks of this many lanes, or in groups of fewer, a multiple of
// the widest vector: loops have no tails, so no pixel ever runs through other machine code than
// its neighbours. Coordinates and accumulators of a block stay in the first-level cache.
constexpr int kLanes = 256;

// Lanes that are left out together where all are exactly zero, and those of a group.
constexpr int kStrip = 16;

struct Vector {
  double x, y, z;
};

DISTBRAGG_INLINE double dot(const Vector& a, const Vector& b) {
  return madd(a.x, b.x, madd(a.y, b.y, a.z * b.z));
}

inline Vector cross(const Vector& a, const Vector& b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

DISTBRAGG_INLINE Vector unit(const Vector& v) {
  const double length = std::sqrt(dot(v, v));
  const auto part = [length](double x) { return length > 0.0 ? x / length : 0.0; };
  return {part(v.x), part(v.y), part(v.z)};
}

inline Vector load(const double* v) { return {v[0], v[1], v[2]}; }

// Right-handed rotation of v about the unit vector axis.
DISTBRAGG_INLINE Vector rotate(const Vector& v, const Vector& axis, double angle) {
  double s, c;
  sine_cosine(angle, s, c);
  const double along = dot(axis, v) * (1.0 - c);
  const Vector side = cross(axis, v);
  return {axis.x * along + v.x * c + side.x * s, axis.y * along + v.y * c + side.y * s,
          axis.z * along + v.z * c + side.z * s};
}

// How the place of a pixel follows from its coordinates: start + fast · f + slow · s on a flat
// panel; on a curved one the coordinates are those of its unit vector.
struct Frame {
  Vector fast, slow, start;

  // That of a sensor layer.
  Frame(const Parameters& p, std::int64_t layer) {
    if (p.surface != kFlat) {
      fast = {1.0, 0.0, 0.0};
      slow = {0.0, 1.0, 0.0};
      start = {0.0, 0.0, 1.0};
      return;
    }
    const double depth = p.layer_position[layer];
    fast = load(p.fast);
    slow = load(p.slow);
    start = {madd(depth, p.normal[0], p.panel_origin[0]),
             madd(depth, p.normal[1], p.panel_origin[1]),
             madd(depth, p.normal[2], p.panel_origin[2])};
  }
};

// What the indices of a block are made from: flat panels' pixels of one row, of several, or the
// unit vectors to a curved panel's.
enum class Form { kRow, kRows, kCurved };

struct alignas(64) Directions {
  double x[kLanes], y[kLanes], z[kLanes];    // unit vector from the sample to the sub-pixel
  double fast[kLanes], slow[kLanes];         // place of the sub-pixel along the panel's axes, m
  double inverse[kLanes];                    // 1/distance from the sample, 1/m
  double factor[kLanes];                     // solid angle × capture fraction, where per sample
  double cosine[kLanes / kStrip];            // with the beam, the greatest of each strip
  std::int64_t layer;
  Form form;
};

struct PixelNumbers {
  double slow[kLanes], fast[kLanes];
};

// The C program's curved panel: laboratory y and z of the flat place are read as arc lengths on a
// sphere of radius `distance` about the sample, from the end of the beam.
template <int kCount = kLanes>
inline void wrap(const Parameters& p, Directions& d) {
  const Vector beam = load(p.beam), slow = load(p.slow), fast = load(p.fast);
  const double distance = p.distance;
  const Vector straight = {distance * beam.x, distance * beam.y, distance * beam.z};
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    const Vector turned = rotate(straight, slow, d.y[i] / distance);
    const Vector bent = rotate(turned, fast, d.z[i] / distance);
    d.x[i] = bent.x;
    d.y[i] = bent.y;
    d.z[i] = bent.z;
  }
}

// Puts a flat panel's samples on the surface it is bent to about the sample, which it touches at
// the foot of the perpendicular: the place along an axis that is bent, from the foot, is an arc.
template <int kCount = kLanes>
inline void bend(const Parameters& p, double depth, Directions& d) {
  if (p.surface == kNanobragg) return wrap<kCount>(p, d);
  const Vector fast = load(p.fast), slow = load(p.slow), normal = load(p.normal);
  const double foot_fast = dot(load(p.panel_origin), fast);
  const double foot_slow = dot(load(p.panel_origin), slow);
  const double radius = p.close_distance, reach = radius + depth;
  const bool bent_fast = p.surface != kCylinderFast, bent_slow = p.surface != kCylinderSlow;
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    const double u = d.fast[i] + foot_fast, v = d.slow[i] + foot_slow;
    double sine_u, cosine_u, sine_v, cosine_v;
    sine_cosine(bent_fast ? u / radius : 0.0, sine_u, cosine_u);
    sine_cosine(bent_slow ? v / radius : 0.0, sine_v, cosine_v);
    const double ring = reach * cosine_u;
    const double x = bent_fast ? reach * sine_u : u;
    const double y = bent_slow ? ring * sine_v : v;
    const double z = ring * cosine_v;
    d.x[i] = madd(x, fast.x, madd(y, slow.x, z * normal.x));
    d.y[i] = madd(x, fast.y, madd(y, slow.y, z * normal.y));
    d.z[i] = madd(x, fast.z, madd(y, slow.z, z * normal.z));
  }
}

// Cosine between a ray and the normal of the surface it meets.
struct Slope {
  Vector axis;
  bool sphere, cylinder;
  explicit Slope(const Parameters& p)
      : axis(load(p.surface == kCylinderFast   ? p.fast
                  : p.surface == kCylinderSlow ? p.slow
                                               : p.normal)),
        sphere(p.surface == kSphere),
        cylinder(p.surface == kCylinderFast || p.surface == kCylinderSlow) {}
  bool about_sample() const { return sphere || cylinder; }
  DISTBRAGG_INLINE double at(double x, double y, double z) const {
    const double share = madd(x, axis.x, madd(y, axis.y, z * axis.z));
    // What of the ray runs across a cylinder's axis runs along its normal.
    const double across = std::sqrt(madd(-share, share, 1.0));
    return sphere ? 1.0 : (cylinder ? across : share);
  }
};

template <int kCount = kLanes>
inline void positions(const Parameters& p, const PixelNumbers& pixel, double depth, int sub_slow,
                      int sub_fast, Directions& d) {
  const double n = static_cast<double>(p.oversample);
  const double step = p.pixel_size / n, half = step / 2.0;
  const double ox = madd(depth, p.normal[0], p.panel_origin[0]);
  const double oy = madd(depth, p.normal[1], p.panel_origin[1]);
  const double oz = madd(depth, p.normal[2], p.panel_origin[2]);
  const double fx = p.fast[0], fy = p.fast[1], fz = p.fast[2];
  const double sx = p.slow[0], sy = p.slow[1], sz = p.slow[2];
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    const double f = madd(step, madd(pixel.fast[i], n, sub_fast), half);
    const double s = madd(step, madd(pixel.slow[i], n, sub_slow), half);
    d.fast[i] = f;
    d.slow[i] = s;
    d.x[i] = madd(f, fx, madd(s, sx, ox));
    d.y[i] = madd(f, fy, madd(s, sy, oy));
    d.z[i] = madd(f, fz, madd(s, sz, oz));
  }
}

// Unit vectors, and the solid angle: pixel²/R² · close distance/R, or the cosine to the surface
// for the last factor where the panel is bent about the sample, or 1/R² for a point pixel.
template <int kCount = kLanes>
inline void normalize(const Parameters& p, Directions& d) {
  const Slope slope(p);
  const bool point = p.point_pixel != 0, wanted = p.solid_angle != 0;
  const bool plain = point || slope.about_sample();
  const double area = p.pixel_size * p.pixel_size;
  const double numerator = point ? 1.0 : (plain ? area : area * p.close_distance);
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    const double x = d.x[i], y = d.y[i], z = d.z[i];
    const double inverse = 1.0 / std::sqrt(madd(x, x, madd(y, y, z * z)));
    d.inverse[i] = inverse;
    d.x[i] = x * inverse;
    d.y[i] = y * inverse;
    d.z[i] = z * inverse;
    const double solid_angle = numerator * inverse * inverse * (plain ? 1.0 : inverse);
    d.factor[i] = wanted ? solid_angle : 1.0;
  }
  if (!wanted || point || !slope.cylinder) return;
#pragma omp simd
  for (int i = 0; i < kCount; ++i) d.factor[i] *= slope.at(d.x[i], d.y[i], d.z[i]);
}

// The share of photons that a layer stops, exp(front/ρ) − exp(back/ρ) of the depths × −μ.
template <class Real, int kCount>
inline void capture_as(double front, double back, const Slope& slope, Directions& d) {
  constexpr bool kSingle = sizeof(Real) == sizeof(float);
  const Real before = static_cast<Real>(front), behind = static_cast<Real>(back);
  const Real within = static_cast<Real>(front - back);
  alignas(64) Real stopped[kCount];
  // Cosines by a loop of their own: together with exponentials they make none of vectors.
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    stopped[i] = static_cast<Real>(slope.at(d.x[i], d.y[i], d.z[i]));
  }
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    if constexpr (kSingle) {
      // As exp(front) (1 − exp(back − front)), whose last digits are not lost.
      const Real over = Real{1} / stopped[i];
      stopped[i] = exp_poly<true>(before * over) * lost_poly(within * over);
    } else {
      stopped[i] = exp_poly(before / stopped[i]) - exp_poly(behind / stopped[i]);
    }
  }
#pragma omp simd
  for (int i = 0; i < kCount; ++i) d.factor[i] *= static_cast<double>(stopped[i]);
}

template <int kCount = kLanes>
inline void capture(const Parameters& p, std::int64_t layer, Directions& d) {
  const double front = -p.layer_front[layer] * p.attenuation;
  const double back = -p.layer_back[layer] * p.attenuation;
  const Slope slope(p);
  if (p.closed_form == 0 || p.double_precision != 0) {
    return capture_as<double, kCount>(front, back, slope, d);
  }
  capture_as<float, kCount>(front, back, slope, d);
}

// Greatest cosine between the beam and the directions of each strip.
template <int kCount = kLanes>
inline void turn_away(const Parameters& p, Directions& d) {
  const Vector beam = load(p.beam);
  for (int strip = 0; strip < kCount / kStrip; ++strip) {
    double most = -1.0;
#pragma omp simd reduction(max : most)
    for (int i = strip * kStrip; i < (strip + 1) * kStrip; ++i) {
      const double cosine = madd(d.x[i], beam.x, madd(d.y[i], beam.y, d.z[i] * beam.z));
      most = std::max(most, cosine <= 1.0 ? cosine : 2.0);  // a NaN is nowhere left out
    }
    d.cosine[strip] = most;
  }
}

template <int kCount = kLanes>
inline void make_directions(const Parameters& p, const PixelNumbers& pixel, std::int64_t layer,
                            int sub_slow, int sub_fast, Directions& d) {
  positions<kCount>(p, pixel, p.layer_position[layer], sub_slow, sub_fast, d);
  if (p.surface != kFlat) bend<kCount>(p, p.layer_position[layer], d);
  normalize<kCount>(p, d);
  if (p.absorbs && p.capture) capture<kCount>(p, layer, d);
  if (kCount == kLanes && p.furthest < p.longest) turn_away<kCount>(p, d);
  d.layer = layer;
  // Pixels are listed row by row.
  const bool one_row = kCount == kLanes && pixel.slow[0] == pixel.slow[kCount - 1];
  d.form = p.surface != kFlat ? Form::kCurved : (one_row ? Form::kRow : Form::kRows);
}

// Square of |d − i|.
DISTBRAGG_INLINE double chord_squared(const Vector& from, double x, double y, double z) {
  const double dx = x - from.x, dy = y - from.y, dz = z - from.z;
  return madd(dx, dx, madd(dy, dy, dz * dz));
}

// What of one source is common to all pixels.
struct Source {
  Vector incident;
  double inverse_wavelength, weight;
  double least, greatest;  // squares of |d − i| beyond and up to which it is seen, see HaloSources
  Vector electric, magnetic;
  bool without_plane;  // the polarisation axis lies along the beam
  double least_cosine;  // between the beam and directions in which anything is scattered
  const Amorphous* amorphous = nullptr;  // of all lines, where the source stands for several

  Source(const Parameters& p, std::int64_t index) {
    const double* v = p.source_direction + 3 * index;
    incident = {-v[0], -v[1], -v[2]};
    inverse_wavelength = 1.0 / p.source_wavelength[index];
    weight = p.source_weight[index];
    const double* zone = p.source_chord == nullptr ? nullptr : p.source_chord + 2 * index;
    least = zone == nullptr || zone[0] == 0.0 ? -1.0 : zone[0] * zone[0];
    greatest = zone == nullptr ? HUGE_VAL : zone[1] * zone[1];
    magnetic = unit(cross(load(p.polarization_axis), incident));
    electric = unit(cross(incident, magnetic));
    without_plane = dot(magnetic, magnetic) == 0.0;
    // λ²|q|² = |d − i|², and cosines differ by no more than the vectors to the source do.
    const double chord = p.furthest / inverse_wavelength;
    const Vector off = {incident.x - p.beam[0], incident.y - p.beam[1], incident.z - p.beam[2]};
    least_cosine =
        0.5 * (1.0 + dot(incident, incident) - chord * chord) - std::sqrt(dot(off, off));
  }
};

struct Chosen;

// What one source makes of the pixels of a sample.
struct alignas(64) Scattering {
  double sum[kLanes];     // Σ over domains of |F|² F_latt², scaled
  double kept[kLanes];    // 1, or 0 beyond the resolution cut
  double factor[kLanes];  // all per-sample factors of this source
  float x_single[kLanes], y_single[kLanes], z_single[kLanes];  // q, for the test of narrow spots
  float length[kLanes];                                        // and |q|
  // After the arrays, which begin at the borders of vectors.
  const Directions* directions;
  const Source* source;
  std::int64_t source_number;
  int first, last;  // strips outside of these lanes look up nothing but 0
  Chosen* chosen;   // room for some of the lanes
  const double* drawn;  // sums of all lanes that stand elsewhere; null: in `sum`
};

// Lanes of a block side by side, and which they are.
struct Chosen {
  Directions directions;
  Scattering scattering;
  std::int32_t lane[kLanes];
  int count;
};

// Half of |q|, 1/Å: q = (d − i)/λ.
DISTBRAGG_INLINE double half_length(const Source& s, double x, double y, double z) {
  const double w = s.inverse_wavelength;
  const double qx = (x - s.incident.x) * w, qy = (y - s.incident.y) * w;
  const double qz = (z - s.incident.z) * w;
  return 0.5 * std::sqrt(madd(qx, qx, madd(qy, qy, qz * qz)));
}

inline void narrow_scattering(Scattering& q) {
  const Directions& d = *q.directions;
  const Source s = *q.source;
  const double w = s.inverse_wavelength;
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) {
    const float x = static_cast<float>((d.x[i] - s.incident.x) * w);
    const float y = static_cast<float>((d.y[i] - s.incident.y) * w);
    const float z = static_cast<float>((d.z[i] - s.incident.z) * w);
    q.x_single[i] = x;
    q.y_single[i] = y;
    q.z_single[i] = z;
    q.length[i] = std::sqrt(madd(x, x, madd(y, y, z * z)));
  }
}

// Kahn: ½(1 + cos²2θ − K cos2ψ sin²2θ). The diffracted ray's components along E, B and the
// beam are its whole length, so cos2ψ sin²2θ = (d·E)² − (d·B)² and no angle is needed.
template <int kCount = kLanes>
inline void polarize(const Parameters& p, const Source& s, const Directions& d, double* factor) {
  const Vector in = s.incident, e = s.electric, b = s.magnetic;
  const double kahn = p.kahn_factor;
  const double forced = s.without_plane ? 1.0 : 0.0;
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    const double x = d.x[i], y = d.y[i], z = d.z[i];
    const double c = madd(x, in.x, madd(y, in.y, z * in.z));
    const double along = madd(x, e.x, madd(y, e.y, z * e.z));
    const double across = madd(x, b.x, madd(y, b.y, z * b.z));
    const double plane = madd(along, along, -(across * across)) + forced * madd(-c, c, 1.0);
    factor[i] = d.factor[i] * (0.5 * (madd(c, c, 1.0) - kahn * plane));
  }
}

// Whether sources are not seen everywhere.
inline bool cuts(const Parameters& p) { return p.dmin > 0.0 || p.source_chord != nullptr; }

// Marks pixels that see the source: inside the resolution cut, or what stands for it; false if
// the block has none.
template <int kCount = kLanes>
inline bool cut_resolution(const Parameters& p, Scattering& q) {
  const Directions& d = *q.directions;
  const Source s = *q.source;
  const double dmin = p.dmin;
  int inside = 0;
  if (p.source_chord != nullptr) {
#pragma omp simd reduction(| : inside)
    for (int i = 0; i < kCount; ++i) {
      const double square = chord_squared(s.incident, d.x[i], d.y[i], d.z[i]);
      const bool kept = square > s.least && square <= s.greatest;
      q.kept[i] = kept ? 1.0 : 0.0;
      inside |= kept ? 1 : 0;
    }
    return inside != 0;
  }
#pragma omp simd reduction(| : inside)
  for (int i = 0; i < kCount; ++i) {
    const double stol = half_length(s, d.x[i], d.y[i], d.z[i]);
    const bool kept = !(dmin * stol > 0.5);
    q.kept[i] = kept ? 1.0 : 0.0;
    inside |= kept ? 1 : 0;
  }
  return inside != 0;
}

// Finds the strips that may look up more than 0; false if the block has none.
template <int kCount = kLanes>
inline bool within_furthest(const Parameters& p, Scattering& q) {
  q.first = 0, q.last = kCount;
  if (kCount != kLanes || !(p.furthest < p.longest)) return true;
  const double* cosine = q.directions->cosine;
  const double least = q.source->least_cosine;
  while (q.first < q.last && cosine[q.first / kStrip] < least) q.first += kStrip;
  while (q.first < q.last && cosine[q.last / kStrip - 1] < least) q.last -= kStrip;
  return q.first < q.last;
}

template <int kCount = kLanes>
inline void add_background(const Parameters& p, const BackgroundTable& table, Scattering& q) {
  const double scale = p.background_scale / (p.spot_scale * p.table_scale);
  const Directions& d = *q.directions;
  const Amorphous* lines = q.source->amorphous;
  if (table.even()) {
    const double squared = lines != nullptr ? lines->values()[0] : table.at(0.0);
#pragma omp simd
    for (int i = 0; i < kCount; ++i) q.sum[i] = madd(scale, squared, q.sum[i]);
    return;
  }
  if (lines != nullptr) {
    const Vector in = q.source->incident;
    const double* value = lines->values();
    const double points = lines->points();
#pragma omp simd
    for (int i = 0; i < kCount; ++i) {
      const double x = d.x[i] - in.x, y = d.y[i] - in.y, z = d.z[i] - in.z;
      const double u = std::sqrt(madd(x, x, madd(y, y, z * z)));
      q.sum[i] = madd(scale, Amorphous::at(value, points, u), q.sum[i]);
    }
    return;
  }
  const Source source = *q.source;
#pragma omp simd
  for (int i = 0; i < kCount; ++i) {
    const double stol = half_length(source, d.x[i], d.y[i], d.z[i]);
    q.sum[i] = madd(scale, table.at(stol), q.sum[i]);
  }
}

}  // namespace distbragg
