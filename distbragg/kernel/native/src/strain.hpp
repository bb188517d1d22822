// A spread of unit cells: the twin of physics/strain.py.
#pragma once

#include <cstdint>

#include "generated.hpp"
#include "relp.hpp"

namespace distbragg::closed {

// The matrices T of a crystal, by rows.
struct Strains {
  static constexpr int kMost = 6;
  int count = 0;
  Vector rows[kMost][3];

  explicit Strains(const Parameters& p) : count(static_cast<int>(p.strains)) {
    for (int n = 0; n < count; ++n) {
      for (int row = 0; row < 3; ++row) rows[n][row] = load(p.strain + 9 * n + 3 * row);
    }
  }

  // Turns the crystal by the rotation whose transpose has these columns.
  void turn(const Vector& x, const Vector& y, const Vector& z) {
    for (int n = 0; n < count; ++n) {
      const Vector a = image(n, x), b = image(n, y), c = image(n, z);
      rows[n][0] = {dot(x, a), dot(x, b), dot(x, c)};
      rows[n][1] = {dot(y, a), dot(y, b), dot(y, c)};
      rows[n][2] = {dot(z, a), dot(z, b), dot(z, c)};
    }
  }

  Vector image(int n, const Vector& v) const {
    return {dot(rows[n][0], v), dot(rows[n][1], v), dot(rows[n][2], v)};
  }

  // Σ |T|², of all elements.
  double square() const {
    double sum = 0.0;
    for (int n = 0; n < count; ++n) {
      for (const Vector& row : rows[n]) sum += dot(row, row);
    }
    return sum;
  }

  // Σ (v·T g)².
  double variance(const Vector& g, const Vector& v) const {
    double sum = 0.0;
    for (int n = 0; n < count; ++n) {
      const double part = dot(v, image(n, g));
      sum += part * part;
    }
    return sum;
  }

  // Σ (T g)(T g)ᵀ.
  Symmetric covariance(const Vector& g) const {
    Symmetric sum = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int n = 0; n < count; ++n) sum = sum + outer(image(n, g));
    return sum;
  }

  // The covariance at g, and how it grows along each axis, in the frame of the axes, whose first
  // is that of g.
  void grow(const Vector* axes, double length, Symmetric& here, Growing& growing) const {
    here = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    growing = {};
    for (int n = 0; n < count; ++n) {
      Vector inner[3];
      for (int way = 0; way < 3; ++way) {
        const Vector at = image(n, axes[way]);
        inner[way] = {dot(axes[0], at), dot(axes[1], at), dot(axes[2], at)};
      }
      const Vector a = length * inner[0];
      here = here + outer(a);
      for (int way = 0; way < 3; ++way) {
        const Vector& t = inner[way];
        growing.along[way] =
            growing.along[way] + Symmetric{2.0 * a.x * t.x,         a.x * t.y + t.x * a.y,
                                           a.x * t.z + t.x * a.z,   2.0 * a.y * t.y,
                                           a.y * t.z + t.y * a.z,   2.0 * a.z * t.z};
      }
    }
  }
};

}  // namespace distbragg::closed
