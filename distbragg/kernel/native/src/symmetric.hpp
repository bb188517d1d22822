// Vectors and symmetric matrices of three dimensions.
#pragma once

#include <cmath>

#include "geometry.hpp"

namespace distbragg::closed {

// A symmetric 3 × 3 matrix.
struct Symmetric {
  double xx, xy, xz, yy, yz, zz;
};

DISTBRAGG_INLINE Symmetric operator+(const Symmetric& a, const Symmetric& b) {
  return {a.xx + b.xx, a.xy + b.xy, a.xz + b.xz, a.yy + b.yy, a.yz + b.yz, a.zz + b.zz};
}

DISTBRAGG_INLINE Vector operator*(double factor, const Vector& v) {
  return {factor * v.x, factor * v.y, factor * v.z};
}

DISTBRAGG_INLINE Vector operator+(const Vector& a, const Vector& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}

DISTBRAGG_INLINE Vector operator-(const Vector& a, const Vector& b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}

DISTBRAGG_INLINE Vector across(const Vector& a, const Vector& b) {
  return {madd(a.y, b.z, -(a.z * b.y)), madd(a.z, b.x, -(a.x * b.z)),
          madd(a.x, b.y, -(a.y * b.x))};
}

DISTBRAGG_INLINE Vector times(const Symmetric& m, const Vector& v) {
  return {dot({m.xx, m.xy, m.xz}, v), dot({m.xy, m.yy, m.yz}, v), dot({m.xz, m.yz, m.zz}, v)};
}

DISTBRAGG_INLINE double between(const Symmetric& m, const Vector& a, const Vector& b) {
  return dot(a, times(m, b));
}

DISTBRAGG_INLINE Symmetric scaled(const Symmetric& m, double along, double wide) {
  const double mixed = along * wide, square = wide * wide;
  return {m.xx * (along * along), m.xy * mixed, m.xz * mixed,
          m.yy * square,          m.yz * square, m.zz * square};
}

DISTBRAGG_INLINE double trace_with(const Symmetric& a, const Symmetric& b) {
  const double diagonal = madd(a.xx, b.xx, madd(a.yy, b.yy, a.zz * b.zz));
  return madd(2.0, madd(a.xy, b.xy, madd(a.xz, b.xz, a.yz * b.yz)), diagonal);
}

DISTBRAGG_INLINE double determinant(const Symmetric& m) {
  const double x = madd(m.yy, m.zz, -(m.yz * m.yz)), y = madd(m.xy, m.zz, -(m.yz * m.xz));
  const double z = madd(m.xy, m.yz, -(m.yy * m.xz));
  return madd(m.xx, x, madd(-m.xy, y, m.xz * z));
}

DISTBRAGG_INLINE Symmetric inverse(const Symmetric& m, double determinant) {
  const double over = 1.0 / determinant;
  return {madd(m.yy, m.zz, -(m.yz * m.yz)) * over, madd(m.xz, m.yz, -(m.xy * m.zz)) * over,
          madd(m.xy, m.yz, -(m.xz * m.yy)) * over, madd(m.xx, m.zz, -(m.xz * m.xz)) * over,
          madd(m.xy, m.xz, -(m.xx * m.yz)) * over, madd(m.xx, m.yy, -(m.xy * m.xy)) * over};
}

DISTBRAGG_INLINE Symmetric within(const Symmetric& m, const Vector& a, const Vector& b,
                                  const Vector& c) {
  const Vector x = times(m, a), y = times(m, b), z = times(m, c);
  return {dot(a, x), dot(a, y), dot(a, z), dot(b, y), dot(b, z), dot(c, z)};
}

// d(R m Rᵀ)/dω of a turn about the first, second or third axis.
DISTBRAGG_INLINE Symmetric turning_first(const Symmetric& m) {
  return {0.0, -m.xz, m.xy, -2.0 * m.yz, m.yy - m.zz, 2.0 * m.yz};
}
DISTBRAGG_INLINE Symmetric turning_second(const Symmetric& m) {
  return {2.0 * m.xz, m.yz, m.zz - m.xx, 0.0, -m.xy, -2.0 * m.xz};
}
DISTBRAGG_INLINE Symmetric turning_third(const Symmetric& m) {
  return {-2.0 * m.xy, m.xx - m.yy, -m.yz, 2.0 * m.xy, m.xz, 0.0};
}

DISTBRAGG_INLINE Symmetric outer(const Vector& v) {
  return {v.x * v.x, v.x * v.y, v.x * v.z, v.y * v.y, v.y * v.z, v.z * v.z};
}

// Two unit vectors across a unit vector and each other, right-handed with it.
DISTBRAGG_INLINE void tangents(const Vector& forward, Vector& first, Vector& second) {
  const bool flat = forward.z * forward.z < 0.5;
  first = unit({flat ? -forward.y : 0.0, flat ? forward.x : -forward.z, flat ? 0.0 : forward.y});
  second = across(forward, first);
}

}  // namespace distbragg::closed
