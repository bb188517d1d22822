// Fits polynomials to a spot, from which it is drawn.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "geometry.hpp"
#include "line_sums.hpp"
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
  // sees no line, or is far from the spot. `shares` says what each table of |F| by energy is of its mean.
  bool fit(Spot& spot, const Spindle& spindle, const float* shares, std::vector<float>& table) {
    spot.kind = Kind::kDirect;
    if (!spot.flat) return true;
    shares_ = shares;
    const SubPixels before = spot.sub;
    aim(spot);
    alignas(64) double top[kNodes], at[kNodes], width[kNodes], skew[kNodes];
    bool lit = true;
    if (spindle.stop > spindle.start) {
      lit = fit_rotating(top, at, width, skew, spindle, spot);
    } else if (spectrum_ == nullptr) {
      look(spot, false, [&](auto mean, const double* x, const double* y, const double* z) {
        decltype(mean)::logs(spot.relp, in_, x, y, z, kNodes, top);
      });
      lit = !is_dark(top, spot);
      if (lit) fit_smooth(top, kWorstFit, spot);
    } else {
      look(spot, false, [&](auto mean, const double* x, const double* y, const double* z) {
        bent_ = decltype(mean)::crests(spot.relp, in_, x, y, z, kNodes, true, top, at, width, skew);
      });
      lit = fit_lines(top, at, width, skew, spot, table);
    }
    if (spot.kind == Kind::kDirect) {
      spot.sub = before;
    } else if (p_.integrate != 0 && p_.oversample == 1 && !spot.sub.several()) {
      spot.margin -= 0.5;
    }
    return lit;
  }

  // Whether a part of a spot reaches so far beyond its disc that the formulas mean nothing there.
  bool strays(const Spot& spot) {
    constexpr double kMost = 16.0;  // the square of discs
    aim(spot);
    const DiscOfRays disc = spot.disc();
    double most = 0.0;
#pragma omp simd reduction(max : most)
    for (int m = 0; m < kNodes; ++m) {
      const double square = disc.square({rays_.x[m], rays_.y[m], rays_.z[m]});
      most = square > most ? square : most;
    }
    return most > kMost;
  }

 private:
  // Whether a part sees nothing of its spot: it lies along a ridge that is nearer than that.
  static bool is_dark(const double* log, const Spot& spot) {
    constexpr double kDark = 200.0;
    return greatest(log) < spot.most - kDark;
  }

  // The rays of the nodes, which lie on the panel's disc.
  void aim(const Spot& spot) {
    const double* s = spot.step;
    const double over = 1.0 / (s[0] * s[3] - s[1] * s[2]);
    const double to_first = 0.5 / static_cast<double>(p_.oversample);
    const double s0 = over * s[0], s1 = over * s[1], s2 = over * s[2], s3 = over * s[3];
    const double fast = spot.fast - to_first, slow = spot.slow - to_first, arc = spot.arc;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      const double a = nodes_.a[m], b = madd(arc * a, a, nodes_.b[m]);
      pixels_.fast[m] = fast + madd(s3, a, -(s1 * b));
      pixels_.slow[m] = slow + madd(s0, b, -(s2 * a));
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
      fit_smooth(log, kWorstFit, spot);
      if (spot.kind == Kind::kSmooth) return true;
    }
    const std::size_t start = table.size();
    const double reach = SmoothedLines::kFurthest * greatest(width);
    if (least(at) > spectrum_->high + reach || greatest(at) < spectrum_->low - reach) return false;
    if (!(spectrum_->high - spectrum_->low < kMostWidths * width[0])) return true;
    if (p_.integrate != 0) {
      // As smooth as the sum over the lines is, which may be smoother than one of them.
      const SmoothedLines& sums = spectrum_->smoothed(octave(width[0]));
      const double smooth = SmoothedLines::kFinest * sums.step(sums.level(shares_));
      const Changes by = changes(top, spot), place = changes(at, spot);
      divide(top, by, &place, smooth, spot);
      widen_all(by, place, at, top, width, skew, spot);
      if (!average(top, by, greatest(top) + kMostRise, spot)) return true;
    }
    if (!tabulate(at, top, width, skew, spot, table)) table.resize(start);
    return true;
  }

  // Tabulates the sum over the lines by the wavenumber at which a pixel sees a reflection. The
  // width changes over the spot with that wavenumber alone, as far as it matters. False where
  // polynomials do not hold.
  bool tabulate(const double* at, double* top, const double* width, const double* skew, Spot& spot,
                std::vector<float>& table) const {
    const double narrow = least(width);
    double low = least(at), high = greatest(at);
    low = larger(low, spectrum_->low - SmoothedLines::kFurthest * width[0]);
    high = smaller(high, spectrum_->high + SmoothedLines::kFurthest * width[0]);
    if (!(narrow > 0.0 && high > low && high - low < kMostWidths * narrow)) return false;
    alignas(64) double log_width[kNodes];
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) log_width[m] = log_poly(width[m]);
    double slope, middle;
    line_through(at, log_width, top, slope, middle);
    const double likely = exp_poly<false>(middle + slope * 0.5 * (low + high));
    if (!(likely > 0.5 * narrow && likely < 2.0 * greatest(width))) return false;
    const SmoothedLines& sums = spectrum_->smoothed(octave(likely));
    LineSums of;
    Kind kind;
    spot.table = static_cast<std::int64_t>(table.size());
    if (!bent_ && of.take_cubics(sums, at, low, high, middle, slope, spot, table)) {
      kind = Kind::kCubics;
    } else if (take_entries(sums, at, top, skew, low, high, middle, slope, spot, table, of)) {
      kind = Kind::kLines;
    } else {
      return false;
    }
    alignas(64) double log[kNodes], share[kNodes];
    double most = spot.most, worst = 0.0;
#pragma omp simd reduction(max : most)
    for (int m = 0; m < kNodes; ++m) {
      log[m] = top[m] + log_poly(of.seen[m]);
      most = log[m] > most ? log[m] : most;
    }
    spot.most = most;
    const double per = of.per;
#pragma omp simd reduction(max : worst)
    for (int m = 0; m < kNodes; ++m) {
      share[m] = exp_poly<true>(log[m] - most);
      const double off = log_width[m] - (middle + slope * at[m]), wide = width[m] * per;
      // The sum over many lines is in proportion to their width; over few it is so on average.
      const double missed = std::fabs(share[m] * off * (of.curved[m] * wide * wide / of.seen[m]));
      worst = missed > worst ? missed : worst;
      top[m] += off;
    }
    // Rows are drawn without the fourth power of the first coordinate.
    Polynomial<double> places = nodes_.polynomial(of.place);
    places.c[Fit::place(kDegree, 0)] = 0.0;
    const Polynomial<double> fitted = nodes_.polynomial(top);
    const bool holds = worst < kWorstFit &&
                       fits(fitted, top, log, most, share, kWorstFit, spot.log, kLog2E) &&
                       fits(places, of.place, log, HUGE_VAL, share, kWorstPlace * narrow * per,
                            spot.at, 1.0);
    if (holds) spot.kind = kind;
    return holds;
  }

  // Makes a table of a spot's sums, between whose entries straight lines hold.
  bool take_entries(const SmoothedLines& sums, const double* at, const double* top,
                    const double* skew, double low, double high, double middle, double slope,
                    Spot& spot, std::vector<float>& table, LineSums& of) const {
    const int level = sums.level(shares_);
    const double per = of.per = 1.0 / sums.step(level);
    const std::int64_t beside = bent_ ? 2 : 0;  // for derivatives at the ends
    const std::int64_t from = static_cast<std::int64_t>(std::floor(low * per)) - beside;
    const std::int64_t to = static_cast<std::int64_t>(std::ceil(high * per)) + 2 + beside;
    spot.table_end = static_cast<float>(to - from - 2);
    if (!sums.append(level, from, to, middle, slope, shares_, table)) return false;
    if (bent_ && !skew_table(at, top, skew, from, sums.step(level), middle, slope, spot, table)) {
      return false;
    }
    const float* sum = table.data() + spot.table;
    const double end = static_cast<double>(spot.table_end), first = static_cast<double>(from);
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      of.place[m] = madd(at[m], per, -first);
      const double place = smaller(larger(of.place[m], 0.0), end);
      const std::int32_t here = static_cast<std::int32_t>(place + 0.5);
      const float before = sum[here > 0 ? here - 1 : 0], after = sum[here + 1];
      of.seen[m] = larger(static_cast<double>(sum[here]), LineSums::kLeastSeen);
      of.curved[m] = static_cast<double>(before - sum[here] + (after - sum[here]));
    }
    return true;
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

  // Fits a spot of a rotation by its passage. Its parts have a kink where that is at an end of the
  // rotation, from which on it is taken about the end; those that go on beyond are smoother, but must
  // come to the same. Of what hardly turns only the logarithm of the mean is smooth. False where
  // nothing is seen.
  bool fit_rotating(double* top, double* from, double* to, double* log, const Spindle& spindle,
                    Spot& spot) const {
    find_passages(spot, spindle, 0.0, top, from, to, log);
    if (is_dark(log, spot)) return false;
    fit_passage(top, from, to, log, spot);
    if (spot.kind == Kind::kDirect) {
      alignas(64) double beyond[kNodes];
      find_passages(spot, spindle, spindle.stop - spindle.start, top, from, to, beyond);
      const double most = larger(spot.most, greatest(log));
      bool same = true;
      for (int m = 0; m < kNodes; ++m) {
        const double one = exp_poly<false>(beyond[m] - most);
        const double two = exp_poly<false>(log[m] - most);
        same = same && std::fabs(one - two) < kWorstPassage;
      }
      if (same) fit_passage(top, from, to, log, spot);
    }
    if (spot.kind == Kind::kDirect) fit_smooth(log, kWorstPassage, spot);
    return true;
  }

  void find_passages(const Spot& spot, const Spindle& spindle, double beyond, double* top,
                     double* from, double* to, double* log) const {
    look(spot, true, [&](auto mean, const double* x, const double* y, const double* z) {
      if constexpr (decltype(mean)::rotates) {
        decltype(mean)::passages(spot.relp, in_, spindle, x, y, z, kNodes, beyond, top, from, to, log);
      }
    });
  }

  // Calls work(how the mean is taken, rays) for the rays of the nodes.
  template <class Work>
  void look(const Spot& spot, bool rotates, Work work) const {
    choose_mean(in_, spot.relp, rotates, [&](auto mean) { work(mean, rays_.x, rays_.y, rays_.z); });
  }

  // Fits a passage: both arguments are nearly straight, whatever part of it the rotation takes in.
  void fit_passage(double* top, double* from, double* to, const double* log, Spot& spot) const {
    for (int m = 0; m < kNodes; ++m) {
      if (!std::isfinite(top[m] + from[m] + to[m] + log[m])) return;
    }
    spot.most = larger(spot.most, greatest(log));
    // Else a float keeps too little of what is the difference of two of them.
    const double furthest = larger(larger(greatest(from), -least(from)),
                                   larger(greatest(to), -least(to)));
    const bool holds = greatest(top) < spot.most + kMostTop && furthest < kFurthest;
    if (holds) fit_parts(top, from, to, log, spot);
  }

  // By all parts of the passage.
  void fit_parts(double* top, double* from, double* to, const double* log, Spot& spot) const {
    alignas(64) double spread[kNodes], there[3][kNodes];
    std::copy(log, log + kNodes, spread);
    if (p_.integrate != 0) {
      const Changes by = changes(top, spot);
      const Changes first = changes(from, spot), last = changes(to, spot);
      divide(log, by, nullptr, 1.0, spot);
      divide_end(log, from, first, spot);
      divide_end(log, to, last, spot);
      widen_end(by, first, from, spot);
      widen_end(by, last, to, spot);
      if (!average(top, by, HUGE_VAL, spot)) return;
#pragma omp simd
      for (int m = 0; m < kNodes; ++m) spread[m] = log_of_passage(top[m], from[m], to[m]);
      if (!(greatest(spread) <= greatest(log) + kMostRise)) return;
    }
    const double* values[3] = {top, from, to};
    Polynomial<float>* fitted[3] = {&spot.log, &spot.from, &spot.to};
    for (int n = 0; n < 3; ++n) {
      const Polynomial<double> p = nodes_.polynomial(values[n]);
      *fitted[n] = single(p);
      nodes_.values(p, there[n]);
    }
    const double most = spot.most;
    double worst = 0.0, astray = 0.0;
#pragma omp simd reduction(max : worst, astray)
    for (int m = 0; m < kNodes; ++m) {
      const double seen = log_of_passage(there[0][m], there[1][m], there[2][m]);
      const double off =
          std::fabs(exp_poly<false>(seen - most) - exp_poly<false>(spread[m] - most));
      const double lost = std::fabs(seen - spread[m]) - kPerDepth * (most - spread[m]);
      worst = off > worst ? off : worst;
      astray = lost > astray ? lost : astray;
    }
    if (worst < kWorstPassage && !(astray > kAstray)) spot.kind = Kind::kPassage;
  }

  // ln of exp(top) (erf(to) − erf(from)), from < to.
  static DISTBRAGG_INLINE double log_of_passage(double top, double from, double to) {
    constexpr double kLowest = 1e-300;
    const bool before = from > 0.0, beside = before || to < 0.0;
    const double low = before ? from : -to, high = before ? to : -from, near = low * low;
    const double area = erf_between(from, to, smaller(near - high * high, 0.0));
    return (beside ? top - near : top) + log_poly(larger(area, kLowest));
  }

  // Draws a spot by its logarithm where that is a polynomial.
  void fit_smooth(double* log, double tolerance, Spot& spot) const {
    spot.most = larger(spot.most, greatest(log));
    const Polynomial<double> fitted = nodes_.polynomial(log);
    alignas(64) double share[kNodes];
    const double most = spot.most;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) share[m] = exp_poly<true>(log[m] - most);
    if (!fits(fitted, log, log, most, share, tolerance, spot.log, kLog2E)) return;
    if (p_.integrate != 0) {
      const Changes by = changes(fitted, spot);
      divide(log, by, nullptr, 1.0, spot);
      if (!average(log, by, greatest(log) + kMostRise, spot)) return;
      spot.log = single(nodes_.polynomial(log), kLog2E);
    }
    spot.kind = Kind::kSmooth;
  }

  static int octave(double width) { return std::ilogb(width); }

  // How what is fitted changes across a sample at the nodes: along both axes of the panel, and to
  // second order.
  struct Changes {
    alignas(64) double fast[kNodes], slow[kNodes];
    alignas(64) double fast_fast[kNodes], fast_slow[kNodes], slow_slow[kNodes];
  };

  Changes changes(const double* values, const Spot& spot) const {
    return changes(nodes_.polynomial(values), spot);
  }

  Changes changes(const Polynomial<double>& p, const Spot& spot) const {
    const double per = 1.0 / static_cast<double>(p_.oversample), bent = -2.0 * spot.arc;
    const double fa = spot.step[0] * per, sa = spot.step[1] * per;
    const double fb = spot.step[2] * per, sb = spot.step[3] * per;
    const Derivatives d = nodes_.derivatives(p);
    Changes c;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      const double a = d.by[0][m], b = d.by[1][m], aa = d.by[2][m], ab = d.by[3][m];
      const double bb = d.by[4][m], turned = bent * nodes_.a[m];
      const double f = madd(turned, fa, fb), s = madd(turned, sa, sb), ridge = madd(bent, b, aa);
      c.fast[m] = madd(fa, a, f * b);
      c.slow[m] = madd(sa, a, s * b);
      c.fast_fast[m] = madd(fa * fa, ridge, madd(2.0 * fa * f, ab, f * f * bb));
      c.fast_slow[m] = madd(fa * sa, ridge, madd(madd(fa, s, sa * f), ab, f * s * bb));
      c.slow_slow[m] = madd(sa * sa, ridge, madd(2.0 * sa * s, ab, s * s * bb));
    }
    return c;
  }

  // Into how many intervals a sample is cut: by the curvature of the logarithm where it counts, and
  // by what the wavenumber changes by across it, against how smooth the sum over lines is.
  static void divide(const double* log, const Changes& by, const Changes* place, double smooth,
                     Spot& spot) {
    const bool lines = place != nullptr;
    const Changes& change = lines ? *place : by;
    const double per = lines ? 1.0 / smooth : 0.0;
    // A part of a spot may be faint as a whole.
    const double brightest = smaller(spot.most, greatest(log));
    const double faint = lines ? -HUGE_VAL : brightest - kFaint;
    double fast = 0.0, slow = 0.0;
#pragma omp simd reduction(max : fast, slow)
    for (int m = 0; m < kNodes; ++m) {
      const double f = change.fast[m] * per, s = change.slow[m] * per;
      const double one = log[m] < faint ? 0.0 : madd(f, f, -by.fast_fast[m]);
      const double two = log[m] < faint ? 0.0 : madd(s, s, -by.slow_slow[m]);
      fast = one > fast ? one : fast;
      slow = two > slow ? two : slow;
    }
    spot.sub = {SubPixels::intervals(std::sqrt(fast) / kWidestFitted),
                SubPixels::intervals(std::sqrt(slow) / kWidestFitted)};
  }

  // Cuts a sample finer where it sees an end of the rotation, by how fast the argument of its error
  // function changes: it is no mean to second order there.
  static void divide_end(const double* log, const double* end, const Changes& by, Spot& spot) {
    constexpr double kSeen = 2.5, kWidestEnd = 0.6;  // of the argument
    if (least(end) > kSeen || greatest(end) < -kSeen) return;
    const double faint = smaller(spot.most, greatest(log)) - kFaint;
    double fast = 0.0, slow = 0.0;
    for (int m = 0; m < kNodes; ++m) {
      if (log[m] < faint) continue;
      fast = larger(fast, std::fabs(by.fast[m]));
      slow = larger(slow, std::fabs(by.slow[m]));
    }
    spot.sub.fast = std::max(spot.sub.fast, SubPixels::intervals(fast / kWidestEnd));
    spot.sub.slow = std::max(spot.sub.slow, SubPixels::intervals(slow / kWidestEnd));
  }

  // V = h²/12 of a sub-pixel along both axes.
  struct Variances {
    double fast, slow;

    explicit Variances(const Spot& spot)
        : fast(1.0 / (12.0 * spot.sub.fast * spot.sub.fast)),
          slow(1.0 / (12.0 * spot.sub.slow * spot.sub.slow)) {}

    // The diagonal of 1 − L'' V for a logarithm L that changes so, and its determinant.
    struct Less {
      double one, two, size;
    };
    DISTBRAGG_INLINE Less less(const Changes& by, int m) const {
      const double one = madd(-fast, by.fast_fast[m], 1.0), two = madd(-slow, by.slow_slow[m], 1.0);
      const double both = by.fast_slow[m];
      return {one, two, madd(one, two, -fast * slow * both * both)};
    }
  };

  // Takes the mean over a sub-pixel of what lines are seen by, to second order of its size: the
  // wavenumber changes across it, which is as if lines were wider, and its mean is drawn to where
  // more is seen.
  static void widen_all(const Changes& by, const Changes& place, double* at, double* top,
                        double* width, double* skew, const Spot& spot) {
    const Variances of(spot);
    const double fast = of.fast, slow = of.slow;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      const double f = place.fast[m], s = place.slow[m];
      const double square = madd(fast * f, f, madd(slow * s, s, width[m] * width[m]));
      at[m] = madd(fast, madd(f, by.fast[m], 0.5 * place.fast_fast[m]),
                   madd(slow, madd(s, by.slow[m], 0.5 * place.slow_slow[m]), at[m]));
      widen(square, top[m], at[m], width[m], skew[m]);
    }
  }

  // Fits values at the nodes, whose polynomial is known, and which are kept in another unit; false
  // where it passes one by more than the tolerance, weighted with the share that is seen there, or,
  // where the logarithm of what is seen is far below the most, by more than a part of that: between
  // nodes it could be bright.
  bool fits(const Polynomial<double>& p, const double* value, const double* log, double most,
            const double* share, double tolerance, Polynomial<float>& fitted, double unit) const {
    const Fit& nodes = nodes_;
    double worst = 0.0, astray = 0.0;
#pragma omp simd reduction(max : worst, astray)
    for (int m = 0; m < kNodes; ++m) {
      const double over = std::fabs(p.at(nodes.a[m], nodes.b[m]) - value[m]);
      const double off = share[m] * over, lost = over - kPerDepth * (most - log[m]);
      worst = off > worst ? off : worst;
      astray = lost > astray ? lost : astray;
    }
    fitted = single(p, unit);
    return std::isfinite(p.c[0]) && worst < tolerance && !(astray > kAstray);
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

  // Turns logarithms L at the nodes, which change so, into those of the mean over a sub-pixel: as if
  // it spread a Gaussian, ½ L'ᵀ V (1 − L'' V)⁻¹ L' − ½ ln |1 − L'' V| more. False where it is too long
  // for what is faint, steep and far from the middle: no mean is above all.
  static bool average(double* log, const Changes& by, double highest, const Spot& spot) {
    constexpr double kLeast = 0.25;
    const Variances of(spot);
    const double fast = of.fast, slow = of.slow;
    int beyond = 0;
#pragma omp simd reduction(| : beyond)
    for (int m = 0; m < kNodes; ++m) {
      const double f = by.fast[m], s = by.slow[m], both = by.fast_slow[m];
      const auto [one, two, size] = of.less(by, m);
      const double pull = madd(fast * two * f, f, madd(slow * one * s, s,
                                                       2.0 * fast * slow * both * f * s));
      log[m] += 0.5 * (pull / size - log_poly(larger(size, kLeast)));
      beyond |= log[m] <= highest && one > kLeast && size > kLeast ? 0 : 1;
    }
    return beyond == 0;
  }

  // The same for an end of a passage, by how that and the passage's logarithm change: the mean of its
  // error function over the sub-pixel, as if that were a Gaussian, is one of where more is seen, and
  // wider.
  static void widen_end(const Changes& by, const Changes& change, double* end, const Spot& spot) {
    const Variances of(spot);
    const double fast = of.fast, slow = of.slow;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      const auto [one, two, size] = of.less(by, m);
      const double both = by.fast_slow[m], over = 1.0 / size;
      // The covariance (1 − V L'')⁻¹ V of where it is seen, and the mean.
      const double ff = over * two * fast, ss = over * one * slow, fs = over * fast * slow * both;
      const double f = madd(ff, by.fast[m], fs * by.slow[m]);
      const double s = madd(fs, by.fast[m], ss * by.slow[m]);
      const double aa = change.fast_fast[m], ab = change.fast_slow[m], bb = change.slow_slow[m];
      const double per_fast = madd(aa, f, madd(ab, s, change.fast[m]));
      const double per_slow = madd(ab, f, madd(bb, s, change.slow[m]));
      const double square = madd(ff * per_fast, per_fast,
                                 madd(ss * per_slow, per_slow, 2.0 * fs * per_fast * per_slow));
      const double bent = madd(aa, madd(f, f, ff),
                               madd(bb, madd(s, s, ss), 2.0 * ab * madd(f, s, fs)));
      const double there =
          madd(change.fast[m], f, madd(change.slow[m], s, madd(0.5, bent, end[m])));
      end[m] = there / std::sqrt(madd(2.0, square, 1.0));
    }
  }

  static constexpr double kWorstFit = 5e-4;  // of the spot's maximum
  static constexpr double kWorstPassage = 2e-4;  // the same, which is more between nodes
  // The greatest that Hermite's third polynomial comes to under exp(−½ x²), and ½ x⁶.
  static constexpr double kPerSkew = 1.4, kPerSquare = 5.4;
  static constexpr double kWorstPlace = 2e-4;  // of a wavenumber, in widths
  static constexpr double kMostTop = 200.0;  // of a passage's logarithm above what is seen of it
  static constexpr double kFurthest = 1e4;   // of its ends
  static constexpr double kMostRise = 0.5;  // of the largest logarithm, by a mean over sub-pixels
  // Of a logarithm, that a fit may be off where little is seen, and that times how little.
  static constexpr double kAstray = 0.5, kPerDepth = 0.05;
  static constexpr double kFaint = 6.0;  // of a logarithm, below which its curvature does not count
  static constexpr double kFewWidths = 5.0;     // of a spectrum whose logarithm may be smooth
  static constexpr double kMostWidths = 1024.0;  // of a table

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
