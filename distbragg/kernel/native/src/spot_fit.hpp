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

  Polynomial<double> polynomial(const double* values) const {
    Polynomial<double> p = {};
    for (int m = 0; m < kNodes; ++m) {
      const double value = values[m];
#pragma omp simd
      for (int i = 0; i < kPadded; ++i) p.c[i] = madd(from_[m][i], value, p.c[i]);
    }
    return p;
  }

  void values(const Polynomial<double>& p, double* value) const { at_nodes(p, 0, value); }

  Derivatives derivatives(const Polynomial<double>& p) const {
    Derivatives d;
    for (int n = 0; n < 5; ++n) at_nodes(p, n + 1, d.by[n]);
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
    for (int i = 0; i <= kDegree; ++i) {
      for (int j = 0; i + j <= kDegree; ++j) {
        for (int m = 0; m < kNodes; ++m) {
          const auto term = [&](int over_a, int over_b) {
            if (over_a > i || over_b > j) return 0.0;
            double value = 1.0;
            for (int n = 0; n < over_a; ++n) value *= i - n;
            for (int n = 0; n < over_b; ++n) value *= j - n;
            for (int n = over_a; n < i; ++n) value *= a[m];
            for (int n = over_b; n < j; ++n) value *= b[m];
            return value;
          };
          const double terms[6] = {term(0, 0), term(1, 0), term(0, 1),
                                   term(2, 0), term(1, 1), term(0, 2)};
          for (int n = 0; n < 6; ++n) terms_[n][place(i, j)][m] = terms[n];
        }
      }
    }
    solve(terms_[0]);
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

  void at_nodes(const Polynomial<double>& p, int which, double* value) const {
    std::fill(value, value + kNodes, 0.0);
    for (int i = 0; i < kCoefficients; ++i) {
      const double c = p.c[i];
#pragma omp simd
      for (int m = 0; m < kNodes; ++m) value[m] = madd(c, terms_[which][i][m], value[m]);
    }
  }

  alignas(64) double terms_[6][kCoefficients][kNodes];
  alignas(64) double from_[kNodes][kPadded] = {};
};

}  // namespace distbragg::closed
