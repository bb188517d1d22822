// Fits polynomials to a spot, from which it is drawn.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "geometry.hpp"
#include "mean.hpp"
#include "spectrum.hpp"
#include "spot.hpp"
#include "spot_fit.hpp"

namespace distbragg::closed {

// Fits the spots of one source, or of the lines of a spectrum.
class SpotFitter {
 public:
  SpotFitter(const Parameters& p, const Incidence& in, const Spectrum* spectrum, double depth)
      : p_(p), in_(in), spectrum_(spectrum), depth_(depth) {}

  // Fits a spot over its disc: its logarithm, or what the sum over lines is made of, whose sums are
  // appended to a table. What neither holds for is evaluated at every pixel. False where the disc
  // sees no line. `shares` says what each table of |F| by energy is of its mean.
  bool fit(Spot& spot, const Spindle& spindle, const float* shares, std::vector<float>& table) {
    spot.kind = Kind::kDirect;
    if (!spot.flat) return true;
    shares_ = shares;
    const SubPixels before = spot.sub;
    aim(spot);
    const bool rotates = spindle.stop > spindle.start;
    const double *x = rays_.x, *y = rays_.y, *z = rays_.z;
    alignas(64) double top[kNodes], at[kNodes], width[kNodes], skew[kNodes];
    bent_ = false;
    choose_mean(in_, spot.relp, rotates, [&](auto mean) {
      using Kind = decltype(mean);
      if constexpr (Kind::rotates) {
        Kind::passages(spot.relp, in_, spindle, x, y, z, kNodes, top, at, width);
      } else if (spectrum_ == nullptr) {
        Kind::logs(spot.relp, in_, x, y, z, kNodes, top);
      } else {
        bent_ = Kind::crests(spot.relp, in_, x, y, z, kNodes, true, top, at, width, skew);
      }
    });
    bool lit = true;
    if (rotates) {
      fit_passage(top, at, width, spot);
    } else if (spectrum_ == nullptr) {
      fit_smooth(top, spot);
    } else {
      lit = fit_lines(top, at, width, skew, spot, table);
    }
    if (spot.kind == Kind::kDirect) {
      spot.sub = before;
    } else if (p_.integrate != 0 && p_.oversample == 1 && !spot.sub.several()) {
      spot.margin -= 0.5;
    }
    return lit;
  }

 private:
  // The rays of the nodes, which lie on the panel's disc.
  void aim(const Spot& spot) {
    const double* s = spot.step;
    const double over = 1.0 / (s[0] * s[3] - s[1] * s[2]);
    const double to_first = 0.5 / static_cast<double>(p_.oversample);
    for (int m = 0; m < kNodes; ++m) {
      const double a = nodes_.a[m], b = madd(spot.arc * a, a, nodes_.b[m]);
      pixels_.fast[m] = spot.fast + over * (s[3] * a - s[1] * b) - to_first;
      pixels_.slow[m] = spot.slow + over * (s[0] * b - s[2] * a) - to_first;
    }
    positions<kNodes>(p_, pixels_, depth_, 0, 0, rays_);
    if (p_.surface != kFlat) bend<kNodes>(p_, depth_, rays_);
    normalize<kNodes>(p_, rays_);
  }

  // The lines of a spectrum: as one logarithm where that is smooth, else by a table of their sums.
  // False where none is seen.
  bool fit_lines(double* top, double* at, double* width, double* skew, Spot& spot,
                 std::vector<float>& table) {
    for (int m = 0; m < kNodes; ++m) at[m] -= spectrum_->middle;
    if (spectrum_->high - spectrum_->low <= kFewWidths * width[0]) {
      alignas(64) double log[kNodes];
      const double* weights = spectrum_->weights(shares_, weights_);
      for (int m = 0; m < kNodes; ++m) {
        log[m] = top[m] + spectrum_->log_of_sum(at[m], width[m], skew[m], weights);
      }
      fit_smooth(log, spot);
      if (spot.kind == Kind::kSmooth) return true;
    }
    const std::size_t start = table.size();
    const double reach = kFurthestLine * greatest(width);
    if (least(at) > spectrum_->high + reach || greatest(at) < spectrum_->low - reach) return false;
    if (!(spectrum_->high - spectrum_->low < kMostWidths * width[0])) return true;
    if (p_.integrate != 0) {
      // As smooth as the sum over the lines is, which may be smoother than one of them.
      const SmoothedLines& sums = spectrum_->smoothed(octave(width[0]));
      const double smooth = SmoothedLines::kFinest * sums.step(sums.level(shares_));
      const Derivatives by = derivatives(top), place = derivatives(at);
      divide(top, by, &place, smooth, spot);
      widen_all(by, place, at, top, width, skew, spot);
      if (!average(top, derivatives(top), spot)) return true;
    }
    if (tabulate(at, top, width, skew, spot, table)) {
      spot.kind = Kind::kLines;
    } else {
      table.resize(start);
    }
    return true;
  }

  // Tabulates the sum over the lines by the wavenumber at which a pixel sees a reflection. The
  // width changes over the spot with that wavenumber alone, as far as it matters. False where
  // polynomials do not hold.
  bool tabulate(const double* at, double* top, const double* width, const double* skew, Spot& spot,
                std::vector<float>& table) const {
    const double narrow = least(width);
    double low = least(at), high = greatest(at);
    low = larger(low, spectrum_->low - kFurthestLine * width[0]);
    high = smaller(high, spectrum_->high + kFurthestLine * width[0]);
    if (!(narrow > 0.0 && high > low && high - low < kMostWidths * narrow)) return false;
    alignas(64) double log_width[kNodes];
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) log_width[m] = log_poly(width[m]);
    double slope, middle;
    line_through(at, log_width, top, slope, middle);
    const double likely = std::exp(middle + slope * 0.5 * (low + high));
    if (!(likely > 0.5 * narrow && likely < 2.0 * greatest(width))) return false;
    const SmoothedLines& sums = spectrum_->smoothed(octave(likely));
    const int level = sums.level(shares_);
    const double per = 1.0 / sums.step(level);
    const std::int64_t beside = bent_ ? 2 : 0;  // for derivatives at the ends
    const std::int64_t from = static_cast<std::int64_t>(std::floor(low * per)) - beside;
    const std::int64_t to = static_cast<std::int64_t>(std::ceil(high * per)) + 2 + beside;
    spot.table = static_cast<std::int64_t>(table.size());
    spot.table_end = static_cast<float>(to - from - 2);
    if (!sums.append(level, from, to, middle, slope, shares_, table)) return false;
    if (bent_ && !skew_table(at, top, skew, from, sums.step(level), middle, slope, spot, table)) {
      return false;
    }
    alignas(64) double scaled[kNodes], rest[kNodes], log[kNodes], share[kNodes], uneven[kNodes];
    const float* sum = table.data() + spot.table;
    const double end = static_cast<double>(spot.table_end), first = static_cast<double>(from);
    double most = spot.most, worst = 0.0;
#pragma omp simd reduction(max : most)
    for (int m = 0; m < kNodes; ++m) {
      scaled[m] = madd(at[m], per, -first);
      rest[m] = at[m] / narrow;
      const double place = smaller(larger(scaled[m], 0.0), end);
      const std::int32_t here = static_cast<std::int32_t>(place + 0.5);
      const double seen = larger(static_cast<double>(sum[here]), 1e-30), wide = width[m] * per;
      const float before = sum[here > 0 ? here - 1 : 0], after = sum[here + 1];
      const double curved = static_cast<double>(before - sum[here] + (after - sum[here]));
      uneven[m] = curved * wide * wide / seen;
      log[m] = top[m] + log_poly(seen);
      most = log[m] > most ? log[m] : most;
    }
    spot.most = most;
#pragma omp simd reduction(max : worst)
    for (int m = 0; m < kNodes; ++m) {
      share[m] = exp_poly<true>(log[m] - most);
      const double off = log_width[m] - (middle + slope * at[m]);
      // The sum over many lines is in proportion to their width; over few it is so on average.
      const double missed = std::fabs(share[m] * off * uneven[m]);
      worst = missed > worst ? missed : worst;
      top[m] += off;
    }
    Polynomial<float> unused;
    return worst < kWorstFit && fits(top, share, kWorstFit, spot.log, kLog2E) &&
           fits(rest, share, kWorstPlace, unused) && fits(scaled, share, HUGE_VAL, spot.at);
  }

  // Turns the sums over lines in a spot's table, from an entry on, into those of its skew, which is
  // near enough a straight line of the wavenumber. False where it is too large, or not straight.
  bool skew_table(const double* at, const double* log, const double* skew, std::int64_t from,
                  double step, double log_middle, double log_slope, const Spot& spot,
                  std::vector<float>& table) const {
    double slope, middle, worst = 0.0;
    line_through(at, skew, log, slope, middle);
    const double most = greatest(log);
    for (int m = 0; m < kNodes; ++m) {
      const double share = std::exp(log[m] - most), off = skew[m] - madd(slope, at[m], middle);
      const double missed = larger(kPerSkew * std::fabs(off), kPerSquare * skew[m] * skew[m]);
      worst = larger(worst, share * missed);
    }
    if (!(worst < kWorstFit)) return false;
    const auto place = [=](std::int64_t n) { return step * static_cast<double>(from + n); };
    SmoothedLines::bend(
        table.data() + spot.table, static_cast<std::int64_t>(table.size()) - spot.table,
        [&](std::int64_t n) { return madd(slope, place(n), middle); },
        [&](std::int64_t n) { return std::exp(madd(log_slope, place(n), log_middle)) / step; });
    return true;
  }

  // A value as a straight line of the wavenumber, weighted with what is seen.
  static void line_through(const double* at, const double* value_at, const double* log,
                           double& slope, double& middle) {
    constexpr int kSums = 8;  // that go on side by side
    static_assert(kNodes % kSums == 0);
    const double most = greatest(log);
    alignas(64) double sums[5][kSums] = {};
    for (int from = 0; from < kNodes; from += kSums) {
#pragma omp simd
      for (int i = 0; i < kSums; ++i) {
        const double place = at[from + i], value = value_at[from + i];
        const double share = exp_poly<true>(0.5 * (log[from + i] - most));
        sums[0][i] += share;
        sums[1][i] += share * place;
        sums[2][i] += share * value;
        sums[3][i] += share * place * place;
        sums[4][i] += share * place * value;
      }
    }
    double total[5] = {1e-300, 0.0, 0.0, 0.0, 0.0};
    for (int k = 0; k < 5; ++k) {
      for (int i = 0; i < kSums; ++i) total[k] += sums[k][i];
    }
    const auto [n, x, y, xx, xy] = total;
    const double spread = n * xx - x * x;
    slope = spread > 0.0 ? (n * xy - x * y) / spread : 0.0;
    middle = (y - slope * x) / n;
  }

  // Fits a passage: both arguments are nearly straight, whatever part of it the rotation takes in.
  void fit_passage(double* top, const double* from, const double* to, Spot& spot) const {
    alignas(64) double log[kNodes], spread[kNodes], there[3][kNodes];
    for (int m = 0; m < kNodes; ++m) {
      if (!std::isfinite(top[m] + from[m] + to[m])) return;
      log[m] = log_of_passage(top[m], from[m], to[m]);
    }
    std::copy(log, log + kNodes, spread);
    spot.most = larger(spot.most, greatest(log));
    if (p_.integrate != 0) {
      const Derivatives by = derivatives(log);
      divide(log, by, nullptr, 1.0, spot);
      if (!average(spread, by, spot)) return;
    }
    for (int m = 0; m < kNodes; ++m) top[m] += spread[m] - log[m];
    const double* values[3] = {top, from, to};
    Polynomial<float>* fitted[3] = {&spot.log, &spot.from, &spot.to};
    for (int n = 0; n < 3; ++n) {
      const Polynomial<double> p = nodes_.polynomial(values[n]);
      *fitted[n] = single(p);
      nodes_.values(p, there[n]);
    }
    const double most = spot.most;
    double worst = 0.0;
    for (int m = 0; m < kNodes; ++m) {
      const double seen = std::exp(log_of_passage(there[0][m], there[1][m], there[2][m]) - most);
      worst = larger(worst, std::fabs(seen - std::exp(spread[m] - most)));
    }
    if (worst < kWorstFit) spot.kind = Kind::kPassage;
  }

  // ln of exp(top) (erf(to) − erf(from)), from < to, without a difference of nearly equal numbers.
  static double log_of_passage(double top, double from, double to) {
    constexpr double kLowest = 1e-300;
    const double low = from > 0.0 ? from : -to, high = from > 0.0 ? to : -from;
    const double area =
        low > 0.0 ? std::erfc(low) - std::erfc(high) : std::erf(to) - std::erf(from);
    return top + std::log(larger(area, kLowest));
  }

  // Draws a spot by its logarithm where that is a polynomial.
  void fit_smooth(double* log, Spot& spot) const {
    spot.most = larger(spot.most, greatest(log));
    const Polynomial<double> fitted = nodes_.polynomial(log);
    alignas(64) double share[kNodes];
    const double most = spot.most;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) share[m] = exp_poly<true>(log[m] - most);
    if (!fits(fitted, log, share, kWorstFit, spot.log, kLog2E)) return;
    if (p_.integrate != 0) {
      const Derivatives by = nodes_.derivatives(fitted);
      divide(log, by, nullptr, 1.0, spot);
      if (!average(log, by, spot)) return;
      spot.log = single(nodes_.polynomial(log), kLog2E);
    }
    spot.kind = Kind::kSmooth;
  }

  Derivatives derivatives(const double* values) const {
    return nodes_.derivatives(nodes_.polynomial(values));
  }

  static int octave(double width) { return std::ilogb(width); }

  // The change of the disc's coordinates across a sub-pixel at a node, along one axis of the panel.
  struct Change {
    double a, b, curved;  // and the second derivative of b
  };
  DISTBRAGG_INLINE Change across(const Spot& spot, int m, int axis) const {
    const double n = static_cast<double>(p_.oversample * (axis == 0 ? spot.sub.fast
                                                                    : spot.sub.slow));
    const double a = spot.step[axis] / n, b = spot.step[axis + 2] / n, arc = -2.0 * spot.arc * a;
    return {a, madd(arc, nodes_.a[m], b), arc * a};
  }

  // Into how many intervals a sample is cut: by the curvature of the logarithm where it counts, and
  // by what the wavenumber changes by across it, against how smooth the sum over lines is.
  void divide(const double* log, const Derivatives& by, const Derivatives* place, double smooth,
              Spot& spot) const {
    spot.sub = SubPixels();
    const bool lines = place != nullptr;
    const Derivatives& changes = lines ? *place : by;
    const double per = lines ? 1.0 / smooth : 0.0;
    // A part of a spot may be faint as a whole.
    const double brightest = smaller(spot.most, greatest(log));
    const double faint = lines ? -HUGE_VAL : brightest - kFaint;
    double worst[2] = {0.0, 0.0};
    for (const int axis : {0, 1}) {
      double most = 0.0;
#pragma omp simd reduction(max : most)
      for (int m = 0; m < kNodes; ++m) {
        const Change s = across(spot, m, axis);
        const double change = first(changes, s, m) * per;
        const double curved = madd(change, change, -second(by, s, m));
        const double counted = log[m] < faint ? 0.0 : curved;
        most = counted > most ? counted : most;
      }
      worst[axis] = most;
    }
    spot.sub = {SubPixels::intervals(std::sqrt(worst[0]) / kWidestFitted),
                SubPixels::intervals(std::sqrt(worst[1]) / kWidestFitted)};
  }

  // The derivatives of what is fitted across a sub-pixel.
  static DISTBRAGG_INLINE double first(const Derivatives& d, const Change& s, int m) {
    return s.a * d.by[0][m] + s.b * d.by[1][m];
  }
  static DISTBRAGG_INLINE double second(const Derivatives& d, const Change& s, int m) {
    return s.a * s.a * d.by[2][m] + 2.0 * s.a * s.b * d.by[3][m] + s.b * s.b * d.by[4][m] +
           s.curved * d.by[1][m];
  }

  // Takes the mean over a sub-pixel of what lines are seen by, to second order of its size: the
  // wavenumber changes across it, which is as if lines were wider, and its mean is drawn to where
  // more is seen.
  void widen_all(const Derivatives& by, const Derivatives& place, double* at, double* top,
                 double* width, double* skew, const Spot& spot) const {
    alignas(64) double square[kNodes];
    for (int m = 0; m < kNodes; ++m) square[m] = width[m] * width[m];
    for (const int axis : {0, 1}) {
#pragma omp simd
      for (int m = 0; m < kNodes; ++m) {
        const Change s = across(spot, m, axis);
        const double step = first(place, s, m);
        square[m] = madd(step * (1.0 / 12.0), step, square[m]);
        at[m] += (step * first(by, s, m) + 0.5 * second(place, s, m)) * (1.0 / 12.0);
      }
    }
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) widen(square[m], top[m], at[m], width[m], skew[m]);
  }

  // Fits values at the nodes, which are kept in another unit; false where it passes one by more than
  // the tolerance, weighted with the share that is seen there.
  bool fits(const double* value, const double* share, double tolerance, Polynomial<float>& fitted,
            double unit = 1.0) const {
    return fits(nodes_.polynomial(value), value, share, tolerance, fitted, unit);
  }

  // The same of values whose polynomial is known.
  bool fits(const Polynomial<double>& p, const double* value, const double* share,
            double tolerance, Polynomial<float>& fitted, double unit) const {
    const Fit& nodes = nodes_;
    double worst = 0.0;
#pragma omp simd reduction(max : worst)
    for (int m = 0; m < kNodes; ++m) {
      const double off = std::fabs(share[m] * (p.at(nodes.a[m], nodes.b[m]) - value[m]));
      worst = off > worst ? off : worst;
    }
    fitted = single(p, unit);
    return std::isfinite(p.c[0]) && worst < tolerance;
  }

  static Polynomial<float> single(const Polynomial<double>& p, double unit = 1.0) {
    Polynomial<float> single;
    for (int i = 0; i < kPadded; ++i) single.c[i] = static_cast<float>(p.c[i] * unit);
    return single;
  }

  static double greatest(const double* value) {
    double most = -HUGE_VAL;
#pragma omp simd reduction(max : most)
    for (int m = 0; m < kNodes; ++m) most = value[m] > most ? value[m] : most;
    return most;
  }

  static double least(const double* value) {
    double least = HUGE_VAL;
#pragma omp simd reduction(min : least)
    for (int m = 0; m < kNodes; ++m) least = value[m] < least ? value[m] : least;
    return least;
  }

  // Turns logarithms at the nodes, of such derivatives, into those of the mean over a sub-pixel, to
  // second order of its size: as heat would spread a Gaussian, in one step of Heun. A Gaussian stays one. False where
  // the step is too long for what is faint, steep and far from the middle: no mean is above all.
  bool average(double* log, const Derivatives& by, const Spot& spot) const {
    const double highest = greatest(log) + kMostRise;
    alignas(64) double first[kNodes], second[kNodes], there[kNodes];
    spreading(by, spot, first);
    for (int m = 0; m < kNodes; ++m) there[m] = log[m] + first[m];
    spreading(derivatives(there), spot, second);
    int beyond = 0;
#pragma omp simd reduction(| : beyond)
    for (int m = 0; m < kNodes; ++m) {
      log[m] += 0.5 * (first[m] + second[m]);
      beyond |= log[m] <= highest ? 0 : 1;
    }
    return beyond == 0;
  }

  // The change of a logarithm L by the variances h²/12 of a sub-pixel: Σ h²/24 (L'' + L'²).
  void spreading(const Derivatives& d, const Spot& spot, double* change) const {
    std::fill(change, change + kNodes, 0.0);
    for (const int axis : {0, 1}) {
#pragma omp simd
      for (int m = 0; m < kNodes; ++m) {
        const Change s = across(spot, m, axis);
        const double slope = first(d, s, m);
        change[m] += (slope * slope + second(d, s, m)) / 24.0;
      }
    }
  }

  static constexpr double kWorstFit = 5e-4;  // of the spot's maximum
  // The greatest that Hermite's third polynomial comes to under exp(−½ x²), and ½ x⁶.
  static constexpr double kPerSkew = 1.4, kPerSquare = 5.4;
  static constexpr double kWorstPlace = 2e-4;  // of a wavenumber, in widths
  static constexpr double kMostRise = 0.5;  // of the largest logarithm, by a mean over sub-pixels
  static constexpr double kFaint = 6.0;  // of a logarithm, below which its curvature does not count
  static constexpr double kFewWidths = 5.0;     // of a spectrum whose logarithm may be smooth
  static constexpr double kMostWidths = 1024.0;  // of a table
  static constexpr double kFurthestLine = 5.0;  // widths from where a ray sees a reflection best

  const Parameters& p_;
  const Incidence& in_;
  const Spectrum* spectrum_;  // none: one source, as it is
  const double depth_;
  const Fit& nodes_ = Fit::get();
  const float* shares_ = nullptr;  // of the spot that is fitted
  std::vector<double> weights_;    // of the lines, for it
  bool bent_ = false;              // whether its logarithm is no parabola of the wavenumber
  PixelNumbers pixels_;
  Directions rays_;
};

}  // namespace distbragg::closed
