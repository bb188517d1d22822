// How the mean over rotation, spectrum and divergence is taken: chosen once for a source, so that
// loops over rays know.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "crest.hpp"
#include "geometry.hpp"
#include "many_rays.hpp"
#include "relp.hpp"

namespace distbragg::closed {

template <int kHeld, bool kSpectrum, bool kRotates>
struct Mean {
  static constexpr bool rotates = kRotates;

  static void logs(const Relp& relp, const Incidence& in, const double* x, const double* y,
                   const double* z, int count, double* log) {
    const Relp own = relp;
    const Incidence from = in;
    logs_along(own, from, count, log, [=, &own, &from](int i) __attribute__((always_inline)) {
      return sight_of(own, from.direction, from.one, from.two, {x[i], y[i], z[i]});
    });
  }

  // The logarithm of what `look` sees at a lane, by the wavenumber. What a loop calls may hold
  // structures; what stands in the loop itself no vector can hold.
  template <class Look>
  static auto log_at(const Relp& own, Look look) {
    return [&own, look](int i, double k) __attribute__((always_inline)) {
      return log_mean<kHeld>(own, look(i), k);
    };
  }

  // The logarithms of what `look` sees at each lane, in passes that the compiler makes vectors of.
  template <class Look>
  static void logs_along(const Relp& own, const Incidence& from, int count, double* log, Look look) {
    if constexpr (kSpectrum) {
      over_spectrum(own, from, count, log, look);
    } else {
      const auto at = log_at(own, look);
      const double k = from.wavenumber;
#pragma omp simd
      for (int i = 0; i < count; ++i) log[i] = at(i, k);
    }
  }

  // ln of the mean over a normal spectrum too.
  template <class Look>
  static void over_spectrum(const Relp& own, const Incidence& from, int count, double* log,
                            Look look) {
    const double k = from.wavenumber, width = from.width, prior = 1.0 / (width * width);
    alignas(64) double middle[kLanes], spread[kLanes], most[kLanes], share[kLanes];
    alignas(64) double logs[kSpectrumNodes][kLanes];
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      posterior(own, look, i, k, prior, middle[i], spread[i]);
      most[i] = -HUGE_VAL;
      share[i] = 0.0;
    }
    const auto at = log_at(own, look);
    for (int n = 0; n < kSpectrumNodes; ++n) {
      const double node = kSpectrumNode[n], weight = kSpectrumLogWeight[n];
      double* here_log = logs[n];
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const double here = madd(spread[i], node, middle[i]), off = (here - k) / width;
        const double value = madd(-0.5 * off, off, at(i, here));
        here_log[i] = value + madd(0.5 * node, node, weight);
        most[i] = larger(most[i], here_log[i]);
      }
    }
    for (int n = 0; n < kSpectrumNodes; ++n) {
#pragma omp simd
      for (int i = 0; i < count; ++i) share[i] += exp_poly<true>(logs[n][i] - most[i]);
    }
#pragma omp simd
    for (int i = 0; i < count; ++i) log[i] = most[i] + log_poly(share[i] * (spread[i] / width));
  }

  // The logarithms by the wavenumber, top − ½ x² + skew x³ with x = (k − at)/width, with the width
  // that lines have of their own. In passes that the compiler makes vectors of. True where the spot is
  // so wide that there is a skew. `fixed`: whether rays are those of the spot, whatever the tile.
  static bool crests(const Relp& relp, const Incidence& in, const double* x, const double* y,
                     const double* z, int count, bool fixed, double* top, double* at,
                     double* width, double* skew) {
    const Relp own = relp;
    const Incidence from = in;
    const double own_square = in.width * in.width;
    alignas(64) double value[4][kLanes];
    Sights sights;
    ManySides sides;
    // What no ray changes. That of the first would keep the compiler from vectors: it takes what it
    // knows of one round of a loop over to the next.
    const Sight same = sight_of(own, from.direction, from.one, from.two, own.forward);
    const bool bent = is_bent(own, same, from);
    const auto again = [=, &sights](int i) __attribute__((always_inline)) -> Sight {
      return sights.at(i, same.spread, same.forward);
    };
    see(own, from, count, sights, sides, [=, &own, &from](int i) __attribute__((always_inline)) {
      return sight_of(own, from.direction, from.one, from.two, {x[i], y[i], z[i]});
    });
    if (bent) {
      const auto here = log_at(own, again);
      for (int n = 0; n < 4; ++n) {
        const double away = kCrestAt[n];
        double* log = value[n];
#pragma omp simd
        for (int i = 0; i < count; ++i) log[i] = here(i, madd(away, sides.step[i], sides.at[i]));
      }
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const Crest crest = crest_of(value[0][i], value[1][i], value[2][i], value[3][i],
                                     sides.drop(i), sides.top[i]);
        top[i] = crest.top;
        at[i] = madd(crest.at, sides.step[i], sides.at[i]);
        width[i] = crest.width * sides.step[i];
        skew[i] = crest.skew;
      }
    } else {
      both_sides(own, again, sides.at, sides.step, count, fixed, value[0], value[1]);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const Crest crest = parabola_of(value[0][i], value[1][i], sides.drop(i), sides.top[i]);
        top[i] = crest.top;
        at[i] = madd(crest.at, sides.step[i], sides.at[i]);
        width[i] = sides.width[i];
      }
      std::fill(skew, skew + count, 0.0);
    }
    if (!(own_square > 0.0)) return bent;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      widen(madd(width[i], width[i], own_square), top[i], at[i], width[i], skew[i]);
    }
    return bent;
  }

  // What `look` sees at each lane, and where in the spectrum.
  template <class AllSights, class Look>
  static void see(const Relp& own, const Incidence& from, int count, AllSights& sights,
                  ManySides& sides, Look look) {
    const double k = from.wavenumber, beyond = 1.5 * from.width;
    const double low = k + from.low - beyond, high = k + from.high + beyond;
    const auto aim = [&](int i) __attribute__((always_inline)) {
      const Sight sight = look(i);
      sights.set(i, sight);
      sides.set(i, sides_of(own, sight, k, low, high));
    };
#pragma omp simd
    for (int i = 0; i < count; ++i) aim(i);
  }

  // ln of the mean over a normal spectrum, of what is a parabola of the wavenumber: of the nodes of a
  // spot.
  template <class Look>
  static void over_parabola(const Relp& own, const Incidence& from, int count, double* log,
                            Look look) {
    const double k = from.wavenumber, own_square = from.width * from.width;
    alignas(64) double before[kLanes], after[kLanes];
    TurnedSights sights;
    ManySides sides;
    see(own, from, count, sights, sides, look);
    const auto again = [&sights](int i) __attribute__((always_inline)) { return sights.at(i); };
    both_sides(own, again, sides.at, sides.step, count, true, before, after);
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Crest crest = parabola_of(before[i], after[i], sides.drop(i), sides.top[i]);
      const double off = madd(crest.at, sides.step[i], sides.at[i]) - k;
      const double square = sides.width[i] * sides.width[i], all = square + own_square;
      log[i] = madd(0.5, log_poly(square / all), madd(-0.5 * off, off / all, crest.top));
    }
  }

  // The logarithms at both sides of wavenumbers. Widths that are nearly the same for all are taken
  // to first order from those of the first, where rays are fixed: what they are compared with is to
  // depend on no tile.
  template <class Look>
  static void both_sides(const Relp& own, Look look, const double* at, const double* step,
                         int count, bool fixed, double* before, double* after) {
    if (kHeld < kDivergence && fixed) {
      constexpr double kAlike = 0.02;
      const Sight first = look(0);
      const double scale = scale_of(own, first, at[0]), per = 1.0 / scale;
      const Widths widths = widths_of<kHeld>(own, first.spread, at[0], scale);
      const auto log = [&](int i, double k, double& apart) __attribute__((always_inline)) {
        const Sight sight = look(i);
        const double away = madd(scale_of(own, sight, k), per, -1.0);
        double slope;
        const double log = log_mean_with<kHeld>(widths, own, sight, k, &slope);
        apart = std::fabs(away);
        return madd(away, slope, log);
      };
      double apart = 0.0;
#pragma omp simd reduction(max : apart)
      for (int i = 0; i < count; ++i) {
        double one, two;
        before[i] = log(i, at[i] - step[i], one);
        after[i] = log(i, at[i] + step[i], two);
        apart = one > apart ? one : apart;
        apart = two > apart ? two : apart;
      }
      if (apart <= kAlike) return;
    }
    const auto log = log_at(own, look);
#pragma omp simd
    for (int i = 0; i < count; ++i) before[i] = log(i, at[i] - step[i]);
#pragma omp simd
    for (int i = 0; i < count; ++i) after[i] = log(i, at[i] + step[i]);
  }

  // The passages of rays: parabolas of the angle about where they are, or about where it is no further
  // beyond the rotation than `beyond`, rad. `kParabola`: of the wavenumber the logarithm is one too.
  template <bool kParabola>
  static void passages(const Relp& relp, const Incidence& in, const Spindle& spindle,
                       const double* x, const double* y, const double* z, int count, double beyond,
                       Passages& at) {
    constexpr int kTurnSteps = 3;
    const Relp own = relp;
    const Incidence from = in;
    const Spindle about = spindle;
    const double range = about.stop - about.start, per = 1.0 / (range * range);
    alignas(64) double angle[kLanes], step[kLanes], turned[kLanes], logs[3][kLanes];
    std::fill(angle, angle + count, 0.5 * (about.start + about.stop));
    for (int n = 0; n < kTurnSteps; ++n) {
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        approach<kHeld>(own, from, about, x[i], y[i], z[i], beyond, angle[i], step[i]);
      }
    }
#pragma omp simd
    for (int i = 0; i < count; ++i) step[i] = std::sqrt(1.0 / madd(4.0, per, step[i]));
    for (int side = 0; side < 3; ++side) {
      for (int i = 0; i < count; ++i) turned[i] = madd(side - 1.0, step[i], angle[i]);
      const double* at_angle = turned;
      const auto look = [=, &own, &from, &about](int i) __attribute__((always_inline)) {
        return seen_from<kHeld>(own, from, about.axis, at_angle[i], {x[i], y[i], z[i]});
      };
      if constexpr (kParabola) over_parabola(own, from, count, logs[side], look);
      else logs_along(own, from, count, logs[side], look);
    }
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const double before = logs[0][i], here = logs[1][i], after = logs[2][i];
      at.here[i] = here;
      at.pull[i] = 0.5 * (after - before) / step[i];
      at.stiff[i] = larger((2.0 * here - after - before) / (step[i] * step[i]), kStill * per);
      at.start[i] = about.start - angle[i];
      at.stop[i] = about.stop - angle[i];
    }
  }

  // The same of the nodes of a spot, as exp(top) (erf(to) − erf(from)), and its logarithm.
  static void passages(const Relp& relp, const Incidence& in, const Spindle& spindle,
                       const double* x, const double* y, const double* z, int count, double beyond,
                       double* top, double* from, double* to, double* log) {
    constexpr double kLowest = 1e-300;
    Passages at;
    const bool parabola = kSpectrum && is_parabola(relp, in, spindle);
    if (parabola) passages<kSpectrum>(relp, in, spindle, x, y, z, count, beyond, at);
    else passages<false>(relp, in, spindle, x, y, z, count, beyond, at);
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Argument argument(at[i]);
      const double share = kHalfRootPi / (argument.sharp * (at.stop[i] - at.start[i]));
      top[i] = madd(argument.peak, argument.peak, at.here[i]) + log_poly(share);
      from[i] = argument.from;
      to[i] = argument.to;
      const Passed seen = passed(at[i]);
      log[i] = smaller(seen.log + log_poly(larger(seen.share, kLowest)), 0.0);
    }
  }

  // Whether the logarithm is a parabola of the wavenumber in the middle of the rotation.
  static bool is_parabola(const Relp& relp, const Incidence& in, const Spindle& spindle) {
    const double middle = 0.5 * (spindle.start + spindle.stop);
    return !is_bent(relp, seen_from<kHeld>(relp, in, spindle.axis, middle, relp.forward), in);
  }

  // The means that rays see, and the mean angle, rad, at which they see them.
  static void seen(const Relp& relp, const Incidence& in, const Spindle& spindle, const double* x,
                   const double* y, const double* z, int count, double* mean, double* angle) {
    if constexpr (kRotates) {
      Passages at;
      passages<false>(relp, in, spindle, x, y, z, count, 0.0, at);
      for (int i = 0; i < count; ++i) {
        const Passed seen = passed(at[i]);
        mean[i] = mean_of(seen);
        angle[i] = centre_of(at[i], seen) + spindle.start - at.start[i];
      }
    } else {
      logs(relp, in, x, y, z, count, mean);
#pragma omp simd
      for (int i = 0; i < count; ++i) mean[i] = exp_poly<false>(mean[i]);
      std::fill(angle, angle + count, 0.0);
    }
  }

  // Multiplied by the height and added to `value`; 0 outside the unit disc, which `square` tells.
  static void add(const Relp& relp, const Incidence& in, const Spindle& spindle, const double* x,
                  const double* y, const double* z, const double* square, double height,
                  int count, double* value) {
    if constexpr (kRotates) {
      Passages at;
      passages<false>(relp, in, spindle, x, y, z, count, 0.0, at);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const double seen = height * mean_of(passed(at[i]));
        value[i] += square[i] <= 1.0 ? seen : 0.0;
      }
    } else {
      alignas(64) double log[kLanes];
      logs(relp, in, x, y, z, count, log);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const double seen = height * exp_poly<true>(smaller(log[i], 0.0));
        value[i] += square[i] <= 1.0 ? seen : 0.0;
      }
    }
  }
};

// Calls work(Mean<held, spectrum, rotates>()) for a reflection in the light of a source; what has a
// spread of cells is taken for divergent as well.
template <class Work>
void choose_mean(const Incidence& in, const Relp& relp, bool rotates, Work work) {
  const bool s = in.width > 0.0;
  const auto with = [&](auto held) {
    constexpr int kHeld = decltype(held)::value;
    if (rotates) s ? work(Mean<kHeld, true, true>()) : work(Mean<kHeld, false, true>());
    else s ? work(Mean<kHeld, true, false>()) : work(Mean<kHeld, false, false>());
  };
  if (relp.growing != nullptr) with(std::integral_constant<int, kCells>());
  else if (in.divergent) with(std::integral_constant<int, kDivergence>());
  else if (!relp.round) with(std::integral_constant<int, kParallel>());
  else with(std::integral_constant<int, kRound>());
}

}  // namespace distbragg::closed
