// The logarithm of a spot as a polynomial in the unit disc, and the nodes that it is fitted to.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "madd.hpp"

namespace distbragg::closed {

constexpr int kDegree = 4;
constexpr int kCoefficients = (kDegree + 1) * (kDegree + 2) / 2;
constexpr int kPadded = 16;
constexpr int kNodes = 24;

template <class Real>
struct Polynomial {
  // By powers: a⁰b⁰ … a⁰b⁴, a¹b⁰ … a¹b³, and so on. The last is 0 and fills a vector.
  alignas(64) Real c[kPadded];

  DISTBRAGG_INLINE Real at(Real x, Real y) const {
    const Real r0 = madd(madd(madd(madd(c[4], y, c[3]), y, c[2]), y, c[1]), y, c[0]);
    const Real r1 = madd(madd(madd(c[8], y, c[7]), y, c[6]), y, c[5]);
    const Real r2 = madd(madd(c[11], y, c[10]), y, c[9]);
    const Real r3 = madd(c[13], y, c[12]);
    return madd(madd(madd(madd(c[14], x, r3), x, r2), x, r1), x, r0);
  }

  // Its derivatives: by a, b, aa, ab, bb.
  struct Slopes {
    Real a, b, aa, ab, bb;
  };
  DISTBRAGG_INLINE Slopes slopes(Real x, Real y) const {
    const Real r1 = madd(madd(madd(c[8], y, c[7]), y, c[6]), y, c[5]);
    const Real r2 = madd(madd(c[11], y, c[10]), y, c[9]), r3 = madd(c[13], y, c[12]);
    const Real d0 = madd(madd(madd(Real(4) * c[4], y, Real(3) * c[3]), y, Real(2) * c[2]), y, c[1]);
    const Real d1 = madd(madd(Real(3) * c[8], y, Real(2) * c[7]), y, c[6]);
    const Real d2 = madd(Real(2) * c[11], y, c[10]);
    const Real e0 = madd(madd(Real(12) * c[4], y, Real(6) * c[3]), y, Real(2) * c[2]);
    const Real e1 = madd(Real(6) * c[8], y, Real(2) * c[7]);
    const Real twice = x + x, thrice = Real(3) * x;
    const Real cubic = thrice * x, steep = madd(Real(4) * c[14], x, Real(3) * r3);
    return {madd(madd(steep, x, Real(2) * r2), x, r1), madd(madd(madd(c[13], x, d2), x, d1), x, d0),
            madd(madd(Real(12) * c[14], x, Real(6) * r3), x, Real(2) * r2),
            madd(cubic, c[13], madd(twice, d2, d1)), madd(madd(Real(2) * c[11], x, e1), x, e0)};
  }
};

// Derivatives at the nodes: by a, b, aa, ab, bb.
struct Derivatives {
  alignas(64) double by[5][kNodes];
};

// Nodes on rings, and what makes coefficients of values there, by least squares.
class Fit {
 public:
  alignas(64) double a[kNodes], b[kNodes];

  static const Fit& get() {
    static const Fit fit;
    return fit;
  }

  // Of each coefficient two sums that go on side by side.
  Polynomial<double> polynomial(const double* values) const {
    Polynomial<double> p;
#pragma omp simd
    for (int i = 0; i < kPadded; ++i) {
      double even = 0.0, odd = 0.0;
#pragma GCC unroll 12
      for (int m = 0; m < kNodes; m += 2) {
        even = madd(from_[m][i], values[m], even);
        odd = madd(from_[m + 1][i], values[m + 1], odd);
      }
      p.c[i] = even + odd;
    }
    return p;
  }

  void values(const Polynomial<double>& p, double* value) const {
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) value[m] = p.at(a[m], b[m]);
  }

  Derivatives derivatives(const Polynomial<double>& p) const {
    Derivatives d;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      const auto slopes = p.slopes(a[m], b[m]);
      d.by[0][m] = slopes.a;
      d.by[1][m] = slopes.b;
      d.by[2][m] = slopes.aa;
      d.by[3][m] = slopes.ab;
      d.by[4][m] = slopes.bb;
    }
    return d;
  }

  static int place(int i, int j) { return i * (kDegree + 1) - i * (i - 1) / 2 + j; }

 private:
  Fit() {
    constexpr double kTwoPi = 6.28318530717958647692;
    // One in the middle; the outer rings hold more, as the polynomials need.
    constexpr int kCount[] = {1, 6, 7, 10};
    constexpr double kRadius[] = {0.0, 0.42, 0.76, 1.0};
    int n = 0;
    for (int ring = 0; ring < 4; ++ring) {
      for (int i = 0; i < kCount[ring]; ++i, ++n) {
        const double angle = kTwoPi * (i + 0.37 * ring) / kCount[ring];
        a[n] = kRadius[ring] * std::cos(angle);
        b[n] = kRadius[ring] * std::sin(angle);
      }
    }
    double power[kCoefficients][kNodes];
    for (int i = 0; i <= kDegree; ++i) {
      for (int j = 0; i + j <= kDegree; ++j) {
        for (int m = 0; m < kNodes; ++m) {
          double value = 1.0;
          for (int k = 0; k < i; ++k) value *= a[m];
          for (int k = 0; k < j; ++k) value *= b[m];
          power[place(i, j)][m] = value;
        }
      }
    }
    solve(power);
  }

  // (P Pᵀ)⁻¹ P by Gauss-Jordan with pivots; P Pᵀ is well conditioned on these rings.
  void solve(const double (&power)[kCoefficients][kNodes]) {
    double normal[kCoefficients][kCoefficients], matrix[kCoefficients][kNodes];
    for (int i = 0; i < kCoefficients; ++i) {
      for (int j = 0; j < kCoefficients; ++j) {
        double sum = 0.0;
        for (int m = 0; m < kNodes; ++m) sum += power[i][m] * power[j][m];
        normal[i][j] = sum;
      }
      for (int m = 0; m < kNodes; ++m) matrix[i][m] = power[i][m];
    }
    for (int column = 0; column < kCoefficients; ++column) {
      int pivot = column;
      for (int i = column; i < kCoefficients; ++i) {
        if (std::fabs(normal[i][column]) > std::fabs(normal[pivot][column])) pivot = i;
      }
      for (int j = 0; j < kCoefficients; ++j) std::swap(normal[column][j], normal[pivot][j]);
      for (int m = 0; m < kNodes; ++m) std::swap(matrix[column][m], matrix[pivot][m]);
      const double over = 1.0 / normal[column][column];
      for (int j = 0; j < kCoefficients; ++j) normal[column][j] *= over;
      for (int m = 0; m < kNodes; ++m) matrix[column][m] *= over;
      for (int i = 0; i < kCoefficients; ++i) {
        if (i == column) continue;
        const double share = normal[i][column];
        for (int j = 0; j < kCoefficients; ++j) normal[i][j] -= share * normal[column][j];
        for (int m = 0; m < kNodes; ++m) matrix[i][m] -= share * matrix[column][m];
      }
    }
    for (int i = 0; i < kCoefficients; ++i) {
      for (int m = 0; m < kNodes; ++m) from_[m][i] = matrix[i][m];
    }
  }

  alignas(64) double from_[kNodes][kPadded] = {};
};

}  // namespace distbragg::closed
