// Renders a tile of a Gaussian crystal in closed form: each source's spots, found anew for every
// tile, are added to the pixels they cover, in the order of their indices.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "crew.hpp"
#include "near_sphere.hpp"
#include "samples.hpp"
#include "spot.hpp"
#include "table.hpp"

namespace distbragg::closed {

// One line of a spectrum: its wavenumber from the middle, and its share of the weights.
struct Line {
  double at, weight;
};

// A spot's columns in one row of the tile.
struct Piece {
  std::int32_t spot;
  std::int32_t start, stop;
};

constexpr int kPoints = 2;  // of Gauss and Legendre along each axis of a sub-pixel
constexpr double kPoint[kPoints] = {-0.28867513459481288, 0.28867513459481288};

// How the mean over rotation, spectrum and divergence is taken: chosen once for a source.
template <bool kDivergent, bool kSpectrum, bool kRotates>
struct Mean {
  static constexpr bool rotates = kRotates;

  static void logs(const Relp& relp, const Incidence& in, const double* x, const double* y,
                   const double* z, int count, double* log) {
    const Relp own = relp;
    const Incidence from = in;
    if constexpr (kSpectrum) {
      for (int i = 0; i < count; ++i) {
        const Sight sight = sight_of(own, from.direction, from.one, from.two, {x[i], y[i], z[i]});
        log[i] = log_of<kDivergent, true>(own, sight, from.wavenumber, from.width);
      }
    } else {
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const Sight sight = sight_of(own, from.direction, from.one, from.two, {x[i], y[i], z[i]});
        log[i] = log_mean<kDivergent>(own, sight, from.wavenumber);
      }
    }
  }

  static void crests(const Relp& relp, const Incidence& in, const double* x, const double* y,
                     const double* z, int count, double* top, double* at, double* width) {
    const Relp own = relp;
    const Incidence from = in;
    const double k = in.wavenumber, wide = 1.5 * in.width;
    const double low = k + in.low - wide, high = k + in.high + wide;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Sight sight = sight_of(own, from.direction, from.one, from.two, {x[i], y[i], z[i]});
      const Crest crest = crest_of<kDivergent>(own, sight, k, low, high);
      top[i] = crest.top;
      at[i] = crest.at;
      width[i] = crest.width;
    }
  }

  // The passages of rays as exp(top) (erf(to) − erf(from)).
  static void passages(const Relp& relp, const Incidence& in, const Spindle& spindle,
                       const double* x, const double* y, const double* z, int count, double* top,
                       double* from, double* to) {
    constexpr double kHalfRootPi = 0.88622692545275801365;
    const Relp own = relp;
    const Incidence beam = in;
    const Spindle about = spindle;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Passage at = passage_of<kDivergent, kSpectrum>(own, beam, about, {x[i], y[i], z[i]});
      const double sharp = std::sqrt(0.5 * at.stiff), peak = at.pull / (2.0 * sharp);
      const double share = kHalfRootPi / (sharp * (at.stop - at.start));
      top[i] = madd(peak, peak, at.here) + log_poly(share);
      from[i] = madd(sharp, at.start, -peak);
      to[i] = madd(sharp, at.stop, -peak);
    }
  }

  // Multiplied by the height and added to `value`; 0 outside the unit disc, which `square` tells.
  static void add(const Relp& relp, const Incidence& in, const Spindle& spindle, const double* x,
                  const double* y, const double* z, const double* square, double height,
                  int count, double* value) {
    if constexpr (kRotates) {
      alignas(64) double here[kLanes], pull[kLanes], stiff[kLanes], start[kLanes], stop[kLanes];
      const Relp own = relp;
      const Incidence from = in;
      const Spindle about = spindle;
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const Passage at =
            passage_of<kDivergent, kSpectrum>(own, from, about, {x[i], y[i], z[i]});
        here[i] = at.here;
        pull[i] = at.pull;
        stiff[i] = at.stiff;
        start[i] = at.start;
        stop[i] = at.stop;
      }
      for (int i = 0; i < count; ++i) {
        if (square[i] > 1.0) continue;
        value[i] += height * mean_of({here[i], pull[i], stiff[i], start[i], stop[i]});
      }
    } else {
      alignas(64) double log[kLanes];
      logs(relp, in, x, y, z, count, log);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const double seen = height * exp_poly<true>(std::fmin(log[i], 0.0));
        value[i] += square[i] <= 1.0 ? seen : 0.0;
      }
    }
  }
};

// The spots on one tile of one source, or of the lines of a spectrum that share a direction.
class Spots {
 public:
  Spots(const Parameters& p, const std::vector<Crystal>& parts, std::int64_t first,
        std::int64_t last)
      : p_(p), crystal_(parts.front()), in_(incidence(p, first)) {
    if (p.double_precision == 0 && !crystal_.rotates() && (last - first > 1 || in_.width > 0.0)) {
      take_lines(first, last);
    }
    for (const Crystal& part : parts) find(part, 1.0 / static_cast<double>(parts.size()));
    list_rows();
  }

  // Adds the spots to the lanes of a block that lie in one row of the tile.
  void add(std::int64_t row, const double* fast, int from, int to, const Directions& d,
           double* sum) const {
    const std::int64_t start = row_[static_cast<std::size_t>(row)];
    const std::int64_t stop = row_[static_cast<std::size_t>(row) + 1];
    for (std::int64_t n = start; n < stop; ++n) {
      const Piece& piece = pieces_[static_cast<std::size_t>(n)];
      const int first = lane_of(piece.start, fast, from, to);
      const int last = first < to ? lane_of(piece.stop, fast, first, to) : first;
      if (first >= last) continue;
      const Spot& spot = spots_[static_cast<std::size_t>(piece.spot)];
      if (spot.kind == Kind::kDirect) {
        draw(spot, d, first, last, sum);
      } else {
        draw_fitted(spot, d, first, last, sum);
      }
    }
  }

  // At most this much is left out of any pixel, in the unit of the spots: e^(−½ χ²) of the
  // brightest there may be, summed over all lattice points that lie χ beyond the cut.
  double left_out() const {
    constexpr double kFourPi = 12.5663706143591729539;
    const double volume = 1.0 / std::fabs(dot(crystal_.a, across(crystal_.b, crystal_.c)));
    const double cut = crystal_.cut, share = std::exp(-0.5 * cut * cut);
    const double points = 1.0 + kFourPi * largest_ * volume * (cut + 1.0 / cut);
    return brightest_ * std::sqrt(determinant(crystal_.covariance)) * share * points;
  }

  // Whether the weights of the sources are in the spots, and in the background.
  bool weighted() const { return !lines_.empty(); }
  const Amorphous& amorphous() const { return amorphous_; }
  double weight() const { return weight_; }

  std::size_t bytes() const {
    return spots_.size() * sizeof(Spot) + pieces_.size() * sizeof(Piece);
  }

 private:
  // Finds the spots of a part of the rotation, which is this share of the whole.
  void find(const Crystal& part, double share) {
    const NearSphere near(part, in_);
    const Projection projection(p_);
    near.each([&](const Place& place) {
      const double height = p_.double_precision != 0
                                ? double_table(place)
                                : static_cast<double>(single_table(place));
      if (!(height > 0.0)) return;
      brightest_ = std::fmax(brightest_, height / place.size);
      largest_ = std::fmax(largest_, place.size);
      Spot spot;
      if (!projection.project(place, spot)) return;
      spot.height = height * share;
      spot.relp = Relp(place.relp, part.covariance, part.mosaic);
      spot.kind = Kind::kDirect;
      if (p_.double_precision == 0) fit(place, spot, part.spindle);
      spots_.push_back(spot);
    });
  }

  static Incidence incidence(const Parameters& p, std::int64_t source) {
    const double* v = p.source_direction + 3 * source;
    Incidence in;
    in.direction = {-v[0], -v[1], -v[2]};
    // What of the divergence runs along this source's own direction is none.
    const Vector one = load(p.divergence), two = load(p.divergence + 3);
    in.one = one - dot(one, in.direction) * in.direction;
    in.two = two - dot(two, in.direction) * in.direction;
    in.divergent = dot(in.one, in.one) + dot(in.two, in.two) > 0.0;
    in.wavenumber = 1.0 / p.source_wavelength[source];
    in.width = p.bandwidth * in.wavenumber;
    return in;
  }

  double double_table(const Place& at) const {
    return Table<double>(p_).at(at.h, at.k, at.l);
  }
  float single_table(const Place& at) const { return Table<float>(p_).at(at.h, at.k, at.l); }

  // Calls work.template operator()<divergent, spectrum, rotates>().
  template <class Work>
  void choose(Work work) const {
    const bool d = in_.divergent, s = in_.width > 0.0, r = crystal_.rotates();
    if (r) {
      if (d) s ? work(Mean<true, true, true>()) : work(Mean<true, false, true>());
      else s ? work(Mean<false, true, true>()) : work(Mean<false, false, true>());
    } else {
      if (d) s ? work(Mean<true, true, false>()) : work(Mean<true, false, false>());
      else s ? work(Mean<false, true, false>()) : work(Mean<false, false, false>());
    }
  }

  // Lines of a spectrum, by their distance from the middle of its range.
  void take_lines(std::int64_t first, std::int64_t last) {
    double low = HUGE_VAL, high = 0.0;
    for (std::int64_t s = first; s < last; ++s) {
      low = std::fmin(low, 1.0 / p_.source_wavelength[s]);
      high = std::fmax(high, 1.0 / p_.source_wavelength[s]);
    }
    in_.wavenumber = 0.5 * (low + high);
    in_.low = low - in_.wavenumber;
    in_.high = high - in_.wavenumber;
    in_.width = p_.bandwidth * in_.wavenumber;
    for (std::int64_t s = first; s < last; ++s) weight_ += p_.source_weight[s];
    for (std::int64_t s = first; s < last; ++s) {
      const double at = 1.0 / p_.source_wavelength[s] - in_.wavenumber;
      lines_.push_back({at, p_.source_weight[s] / weight_});
    }
    if (p_.background_scale != 0.0) amorphous_ = Amorphous(p_, first, last);
    std::sort(lines_.begin(), lines_.end(),
              [](const Line& a, const Line& b) { return a.at < b.at; });
    for (std::size_t n = 1; n < lines_.size(); ++n) {
      gap_ = std::fmax(gap_, lines_[n].at - lines_[n - 1].at);
    }
    for (const Line& line : lines_) {
      line_at_.push_back(static_cast<float>(line.at));
      line_weight_.push_back(static_cast<float>(line.weight));
    }
  }

  // ln Σ w exp(−½ ((line − at)/width)²) of a single line, which is none of a sum.
  double log_of_line(double at, double width) const {
    const double off = (lines_.front().at - at) / width;
    return -0.5 * off * off;
  }

  // Fits a spot over its disc: its logarithm, or what the sum over lines is made of. What neither
  // holds for is evaluated at every pixel.
  void fit(const Place& place, Spot& spot, const Spindle& spindle) const {
    const Fit& nodes = Fit::get();
    const double r = std::fmax(place.reach, 1e-3);
    const double l11 = r * std::sqrt(place.xx), l21 = r * place.xy / std::sqrt(place.xx);
    const double l22 = std::sqrt(std::fmax(r * r * place.yy - l21 * l21, 0.0));
    alignas(64) double x[kNodes], y[kNodes], z[kNodes];
    for (int m = 0; m < kNodes; ++m) {
      const double u = l11 * nodes.a[m], v = madd(l21, nodes.a[m], l22 * nodes.b[m]);
      const double px = madd(u, place.first.x, madd(v, place.second.x, place.centre.x));
      const double py = madd(u, place.first.y, madd(v, place.second.y, place.centre.y));
      const double pz = madd(u, place.first.z, madd(v, place.second.z, place.centre.z));
      const double over = 1.0 / std::sqrt(madd(px, px, madd(py, py, pz * pz)));
      x[m] = px * over;
      y[m] = py * over;
      z[m] = pz * over;
    }
    alignas(64) double log[kNodes], top[kNodes], at[kNodes], width[kNodes];
    if (crystal_.rotates()) {
      choose([&](auto mean) {
        if constexpr (decltype(mean)::rotates) {
          decltype(mean)::passages(spot.relp, in_, spindle, x, y, z, kNodes, top, at, width);
        }
      });
      fit_passage(nodes, top, at, width, spot);
      return;
    }
    if (lines_.empty()) {
      choose([&](auto mean) { decltype(mean)::logs(spot.relp, in_, x, y, z, kNodes, log); });
      smooth(nodes, log, spot);
      return;
    }
    choose([&](auto mean) {
      decltype(mean)::crests(spot.relp, in_, x, y, z, kNodes, top, at, width);
    });
    const bool single = lines_.size() == 1;
    for (int m = 0; m < kNodes; ++m) {
      const double wide = std::sqrt(madd(width[m], width[m], in_.width * in_.width));
      at[m] -= in_.wavenumber;
      top[m] += log_poly(width[m] / wide);
      log[m] = top[m] + (single ? log_of_line(at[m], wide) : 0.0);
      width[m] = wide;
    }
    spot.height *= weight_;
    if (single) {
      smooth(nodes, log, spot);
      return;
    }
    // Where lines lie closer than they are wide, their sum is smoother than one of them.
    spot.sub = gap_ <= width[0] ? spot.sub_of_lines : spot.sub_of_line;
    if (p_.integrate != 0) {
      widen(nodes, at, top, width, spot);
      average(nodes, top, spot);
    }
    if (tabulate(nodes, at, top, width, spot)) spot.kind = Kind::kLines;
  }

  // Tabulates the sum over the lines by the wavenumber at which a pixel sees a reflection. The
  // width changes over the spot with that wavenumber alone, as far as it matters. False where
  // polynomials do not hold.
  bool tabulate(const Fit& nodes, const double* at, double* top, const double* width,
                Spot& spot) const {
    double low = at[0], high = at[0], narrow = width[0];
    for (int m = 0; m < kNodes; ++m) {
      low = std::fmin(low, at[m]);
      high = std::fmax(high, at[m]);
      narrow = std::fmin(narrow, width[m]);
    }
    low = std::fmax(low, in_.low - kFurthestLine * width[0]);
    high = std::fmin(high, in_.high + kFurthestLine * width[0]);
    const double step = narrow / kPerWidth;
    const double count = std::ceil((high - low) / step);
    if (!(narrow > 0.0) || !(count > 0.0) || count > kMostEntries) return false;
    double slope, middle;
    line_through(at, width, top, slope, middle);
    spot.table = static_cast<std::int64_t>(table_.size());
    spot.table_end = static_cast<float>(count);
    // One entry before and two beyond, for the polynomials between four. The width changes so
    // slowly with the wavenumber that its logarithm is a straight line.
    double per_width = std::exp(-(middle + slope * (low - step)));
    const double change = std::exp(-slope * step);
    for (int i = -1; i <= static_cast<int>(count) + 2; ++i, per_width *= change) {
      table_.push_back(sum_of_lines(static_cast<float>(low + step * i), per_width));
    }
    double scaled[kNodes], rest[kNodes], log[kNodes], most = -HUGE_VAL, worst = 0.0;
    for (int m = 0; m < kNodes; ++m) {
      scaled[m] = (at[m] - low) / step;
      rest[m] = scaled[m] / kPerWidth;
      const double place = std::fmax(0.0, std::fmin(scaled[m], count));
      const float seen = table_[static_cast<std::size_t>(spot.table) +
                                static_cast<std::size_t>(place + 1.5)];
      log[m] = top[m] + log_poly(std::fmax(static_cast<double>(std::fabs(seen)), 1e-30));
      most = std::fmax(most, log[m]);
    }
    for (int m = 0; m < kNodes; ++m) {
      const double off = log_poly(width[m]) - (middle + slope * at[m]);
      worst = std::fmax(worst, std::fabs(exp_poly<true>(log[m] - most) * off));
      // The sum over many lines is in proportion to their width; over few it is so on average.
      top[m] += off;
    }
    Polynomial<float> unused;
    const double most_off = gap_ <= width[0] ? kWorstWidthOfMany : kWorstWidth;
    return worst < most_off && fits(nodes, top, log, kWorstTop, spot.log) &&
           fits(nodes, rest, log, kWorstPlace, unused) &&
           fits(nodes, scaled, log, HUGE_VAL, spot.at);
  }

  // ln(width) as a straight line of the wavenumber, weighted with what is seen.
  static void line_through(const double* at, const double* width, const double* log, double& slope,
                           double& middle) {
    double most = -HUGE_VAL;
    for (int m = 0; m < kNodes; ++m) most = std::fmax(most, log[m]);
    double n = 1e-300, x = 0.0, y = 0.0, xx = 0.0, xy = 0.0;
    for (int m = 0; m < kNodes; ++m) {
      const double share = exp_poly<true>(0.5 * (log[m] - most)), value = log_poly(width[m]);
      n += share;
      x += share * at[m];
      y += share * value;
      xx += share * at[m] * at[m];
      xy += share * at[m] * value;
    }
    const double spread = n * xx - x * x;
    slope = spread > 0.0 ? (n * xy - x * y) / spread : 0.0;
    middle = (y - slope * x) / n;
  }

  float sum_of_lines(float at, double per_width) const {
    const float per = static_cast<float>(per_width), reach = kFurthestLine / per;
    const auto first = std::lower_bound(line_at_.begin(), line_at_.end(), at - reach);
    const auto last = std::upper_bound(first, line_at_.end(), at + reach);
    const std::size_t start = static_cast<std::size_t>(first - line_at_.begin());
    const std::size_t count = static_cast<std::size_t>(last - first);
    const float* line = line_at_.data() + start;
    const float* weight = line_weight_.data() + start;
    constexpr std::size_t kSums = 16;
    float sums[kSums] = {};
    for (std::size_t from = 0; from < count; from += kSums) {
      const std::size_t n = std::min(kSums, count - from);
#pragma omp simd
      for (std::size_t i = 0; i < n; ++i) {
        const float off = (line[from + i] - at) * per;
        sums[i] = madd(weight[from + i], exp_poly<true>(-0.5f * off * off), sums[i]);
      }
    }
    float total = 0.0f;
    for (const float sum : sums) total += sum;
    return total;
  }

  // Fits a passage: both arguments are nearly straight, whatever part of it the rotation takes in.
  void fit_passage(const Fit& nodes, double* top, const double* from, const double* to,
                   Spot& spot) const {
    alignas(64) double log[kNodes], spread[kNodes], there[3][kNodes];
    for (int m = 0; m < kNodes; ++m) {
      if (!std::isfinite(top[m] + from[m] + to[m])) return;
      log[m] = log_of_passage(top[m], from[m], to[m]);
    }
    std::copy(log, log + kNodes, spread);
    if (p_.integrate != 0) average(nodes, spread, spot);
    for (int m = 0; m < kNodes; ++m) top[m] += spread[m] - log[m];
    const double* values[3] = {top, from, to};
    Polynomial<float>* fitted[3] = {&spot.log, &spot.from, &spot.to};
    for (int n = 0; n < 3; ++n) {
      fits(nodes, values[n], spread, HUGE_VAL, *fitted[n]);
      nodes.values(nodes.polynomial(values[n]), there[n]);
    }
    double most = -HUGE_VAL, worst = 0.0;
    for (int m = 0; m < kNodes; ++m) most = std::fmax(most, spread[m]);
    for (int m = 0; m < kNodes; ++m) {
      const double seen = std::exp(log_of_passage(there[0][m], there[1][m], there[2][m]) - most);
      worst = std::fmax(worst, std::fabs(seen - std::exp(spread[m] - most)));
    }
    if (worst < kWorstFit) spot.kind = Kind::kPassage;
  }

  // ln of exp(top) (erf(to) − erf(from)), from < to, without a difference of nearly equal numbers.
  static double log_of_passage(double top, double from, double to) {
    constexpr double kLowest = 1e-300;
    const double low = from > 0.0 ? from : -to, high = from > 0.0 ? to : -from;
    const double area =
        low > 0.0 ? std::erfc(low) - std::erfc(high) : std::erf(to) - std::erf(from);
    return top + std::log(std::fmax(area, kLowest));
  }

  // Draws a spot by its logarithm where that is a polynomial.
  void smooth(const Fit& nodes, double* log, Spot& spot) const {
    if (!fits(nodes, log, log, kWorstFit, spot.log)) return;
    spot.kind = Kind::kSmooth;
    if (p_.integrate != 0) {
      average(nodes, log, spot);
      fits(nodes, log, log, HUGE_VAL, spot.log);
    }
  }

  // Takes the mean over a sub-pixel of what a line is seen by, to second order of its size: the
  // wavenumber changes across it, which is as if the line were wider.
  void widen(const Fit& nodes, const double* at, double* top, double* width,
             const Spot& spot) const {
    const Derivatives d = nodes.derivatives(nodes.polynomial(at));
    const double n = static_cast<double>(p_.oversample);
    const double fast = 1.0 / (n * spot.sub.fast), slow = 1.0 / (n * spot.sub.slow);
    const double* s = spot.step;
    for (int m = 0; m < kNodes; ++m) {
      const double across = fast * (s[0] * d.by[0][m] + s[2] * d.by[1][m]);
      const double down = slow * (s[1] * d.by[0][m] + s[3] * d.by[1][m]);
      const double square = width[m] * width[m];
      const double wide = std::sqrt(square + (across * across + down * down) / 12.0);
      top[m] += log_poly(width[m] / wide);
      width[m] = wide;
    }
  }

  // Fits values at the nodes; false where it passes one by more than the tolerance, weighted with
  // what is seen there.
  static bool fits(const Fit& nodes, const double* value, const double* log, double tolerance,
                   Polynomial<float>& fitted) {
    const Polynomial<double> p = nodes.polynomial(value);
    alignas(64) double there[kNodes];
    nodes.values(p, there);
    double most = log[0], worst = 0.0;
    for (int m = 0; m < kNodes; ++m) most = log[m] > most ? log[m] : most;
#pragma omp simd reduction(max : worst)
    for (int m = 0; m < kNodes; ++m) {
      const double off = std::fabs(exp_poly<true>(log[m] - most) * (there[m] - value[m]));
      worst = off > worst ? off : worst;
    }
    for (int i = 0; i < kPadded; ++i) fitted.c[i] = static_cast<float>(p.c[i]);
    return std::isfinite(p.c[0]) && worst < tolerance;
  }

  // Turns logarithms at the nodes into those of the mean over a sub-pixel, to second order of its
  // size: as heat would spread a Gaussian, in one step of Heun. A Gaussian stays one.
  void average(const Fit& nodes, double* log, const Spot& spot) const {
    double first[kNodes], second[kNodes], there[kNodes];
    spreading(nodes, log, spot, first);
    for (int m = 0; m < kNodes; ++m) there[m] = log[m] + first[m];
    spreading(nodes, there, spot, second);
    for (int m = 0; m < kNodes; ++m) log[m] += 0.5 * (first[m] + second[m]);
  }

  // The change of a logarithm L by the variances h²/12 of a sub-pixel: Σ h²/24 (L'' + L'²).
  void spreading(const Fit& nodes, const double* log, const Spot& spot, double* change) const {
    const Derivatives d = nodes.derivatives(nodes.polynomial(log));
    const double n = static_cast<double>(p_.oversample);
    const double fast = 1.0 / (n * spot.sub.fast), slow = 1.0 / (n * spot.sub.slow);
    const double* s = spot.step;
#pragma omp simd
    for (int m = 0; m < kNodes; ++m) {
      const auto square = [&](double a, double b) __attribute__((always_inline)) {
        const double slope = a * d.by[0][m] + b * d.by[1][m];
        return slope * slope +
               (a * a * d.by[2][m] + 2.0 * a * b * d.by[3][m] + b * b * d.by[4][m]);
      };
      change[m] = (fast * fast * square(s[0], s[2]) + slow * slow * square(s[1], s[3])) / 24.0;
    }
  }

  void draw(const Spot& spot, const Directions& d, int from, int to, double* sum) const {
    const int count = to - from;
    if (p_.integrate == 0) {
      point(spot, d.x + from, d.y + from, d.z + from, spot.height, count, sum + from);
      return;
    }
    const int fast = spot.sub.fast, slow = spot.sub.slow;
    if (by_pixel(spot, count)) {
      for (int lane = from; lane < to; ++lane) draw(spot, d, lane, lane + 1, sum);
      return;
    }
    const Window in = covered(spot, {d.x[from], d.y[from], d.z[from]}, count);
    const double size = p_.pixel_size / static_cast<double>(p_.oversample);
    const double share = spot.height / (4.0 * fast * slow);
    const SurfaceAxes axes(p_, p_.layer_position[d.layer]);
    alignas(64) double x[kLanes], y[kLanes], z[kLanes];
    for (int j = in.slow_start * kPoints; j < in.slow_stop * kPoints; ++j) {
      for (int i = in.fast_start * kPoints; i < in.fast_stop * kPoints; ++i) {
        const double along = size * offset(i, fast), down = size * offset(j, slow);
        for (int lane = 0; lane < count; ++lane) {
          const int at = from + lane;
          const Vector middle = {d.x[at], d.y[at], d.z[at]};
          const Vector ray = middle + d.inverse[at] * axes.step(middle, along, down);
          const double over = 1.0 / std::sqrt(dot(ray, ray));
          x[lane] = ray.x * over;
          y[lane] = ray.y * over;
          z[lane] = ray.z * over;
        }
        point(spot, x, y, z, share, count, sum + from);
      }
    }
  }

  // The intervals of a sample that a spot may cover.
  struct Window {
    int fast_start, fast_stop, slow_start, slow_stop;
  };

  // Whether a spot is so narrow that its part of each pixel is found first.
  static bool by_pixel(const Spot& spot, int count) { return count > 1 && is_narrow(spot); }

  static bool is_narrow(const Spot& spot) {
    return static_cast<std::int64_t>(spot.sub.fast) * spot.sub.slow > 64;
  }

  // Those of one sample, seen along a ray to its middle; of several samples all.
  Window covered(const Spot& spot, const Vector& ray, int count) const {
    if (count > 1 || !is_narrow(spot)) return {0, spot.sub.fast, 0, spot.sub.slow};
    const double facing = dot(spot.centre, ray);
    if (!(facing > 0.0)) return {0, 0, 0, 0};
    const double a = dot(spot.first, ray) / facing, b = dot(spot.second, ray) / facing;
    // Where the spot's middle lies from here, and how far it reaches, in pixels.
    const double* s = spot.step;
    const double over = 1.0 / (s[0] * s[3] - s[1] * s[2]), size = std::fabs(over);
    const double fast = (b * s[1] - a * s[3]) * over, slow = (a * s[2] - b * s[0]) * over;
    const double n = static_cast<double>(p_.oversample);
    const auto place = [n](double at, int intervals) {
      const double count = static_cast<double>(intervals);
      return std::fmax(0.0, std::fmin((at * n + 0.5) * count, count));
    };
    const double wide = 1.05 * size * std::hypot(s[1], s[3]);
    const double high = 1.05 * size * std::hypot(s[0], s[2]);
    return {static_cast<int>(place(fast - wide, spot.sub.fast)),
            static_cast<int>(std::ceil(place(fast + wide, spot.sub.fast))),
            static_cast<int>(place(slow - high, spot.sub.slow)),
            static_cast<int>(std::ceil(place(slow + high, spot.sub.slow)))};
  }

  static double offset(int point, int intervals) {
    return (point / kPoints + 0.5 + kPoint[point % kPoints]) / intervals - 0.5;
  }

  void point(const Spot& spot, const double* x, const double* y, const double* z, double height,
             int count, double* sum) const {
    alignas(64) double square[kLanes];
    const Vector centre = spot.centre, first = spot.first, second = spot.second;
    double least = HUGE_VAL;
#pragma omp simd reduction(min : least)
    for (int i = 0; i < count; ++i) {
      const Vector ray = {x[i], y[i], z[i]};
      const double facing = dot(centre, ray), over = 1.0 / facing;
      const double a = dot(first, ray) * over, b = dot(second, ray) * over;
      square[i] = facing > 0.0 ? madd(a, a, b * b) : HUGE_VAL;
      least = square[i] < least ? square[i] : least;
    }
    if (least > 1.0) return;
    if (lines_.empty()) return add_mean(spot, in_, x, y, z, square, height, count, sum);
    for (const Line& line : lines_) {
      Incidence in = in_;
      in.wavenumber += line.at;
      in.width = p_.bandwidth * in.wavenumber;
      add_mean(spot, in, x, y, z, square, height * line.weight, count, sum);
    }
  }

  void add_mean(const Spot& spot, const Incidence& in, const double* x, const double* y,
                const double* z, const double* square, double height, int count,
                double* sum) const {
    choose([&](auto mean) {
      decltype(mean)::add(spot.relp, in, crystal_.spindle, x, y, z, square, height, count, sum);
    });
  }

  void draw_fitted(const Spot& spot, const Directions& d, int from, int to, double* sum) const {
    const int count = to - from;
    if (by_pixel(spot, count)) {
      for (int lane = from; lane < to; ++lane) draw_fitted(spot, d, lane, lane + 1, sum);
      return;
    }
    const Window in = covered(spot, {d.x[from], d.y[from], d.z[from]}, count);
    alignas(64) float a[kLanes], b[kLanes];
    const Vector centre = spot.centre, first = spot.first, second = spot.second;
    const double *x = d.x + from, *y = d.y + from, *z = d.z + from;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const Vector ray = {x[i], y[i], z[i]};
      const double facing = dot(centre, ray), over = 1.0 / facing;
      const double u = dot(first, ray) * over;
      a[i] = static_cast<float>(facing > 0.0 ? u : HUGE_VAL);
      b[i] = static_cast<float>(dot(second, ray) * over);
    }
    const int fast = spot.sub.fast, slow = spot.sub.slow;
    alignas(64) float total[kLanes];
    std::fill(total, total + count, 0.0f);
    const double n = static_cast<double>(p_.oversample);
    for (int j = in.slow_start; j < in.slow_stop; ++j) {
      const double down = ((j + 0.5) / slow - 0.5) / n;
      for (int i = in.fast_start; i < in.fast_stop; ++i) {
        const double along = ((i + 0.5) / fast - 0.5) / n;
        const float da = static_cast<float>(along * spot.step[0] + down * spot.step[1]);
        const float db = static_cast<float>(along * spot.step[2] + down * spot.step[3]);
        if (spot.kind == Kind::kSmooth) {
          add_smooth(spot.log, a, b, da, db, count, total);
        } else if (spot.kind == Kind::kPassage) {
          add_passage(spot, a, b, da, db, count, total);
        } else {
          add_lines(spot, a, b, da, db, count, total);
        }
      }
    }
    const double height = spot.height / (static_cast<double>(fast) * slow);
    double* out = sum + from;
#pragma omp simd
    for (int i = 0; i < count; ++i) out[i] = madd(height, static_cast<double>(total[i]), out[i]);
  }

  static void add_smooth(const Polynomial<float>& fitted, const float* a, const float* b, float da,
                         float db, int count, float* total) {
    const Polynomial<float> log = fitted;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const float u = a[i] + da, v = b[i] + db;
      const bool inside = madd(u, u, v * v) <= 1.0f;
      // What lies outside may be far away, and is not taken.
      const float value = exp_poly<false>(log.at(inside ? u : 0.0f, inside ? v : 0.0f));
      total[i] += inside ? value : 0.0f;
    }
  }

  // exp(x²) erfc(x) of x ≥ 0, to 1e-7: t e^(polynomial of t), t = 1/(1 + x/2), fitted by least
  // squares at Chebyshev's points of t.
  static DISTBRAGG_INLINE float scaled_erfc(float x) {
    const float t = 1.0f / madd(0.5f, x, 1.0f);
    float p = 0.170872778f;
    p = madd(p, t, -0.822152234f);
    p = madd(p, t, 1.48851589f);
    p = madd(p, t, -1.13520400f);
    p = madd(p, t, 0.278868084f);
    p = madd(p, t, -0.186288062f);
    p = madd(p, t, 0.0967841895f);
    p = madd(p, t, 0.374091960f);
    p = madd(p, t, 1.00002368f);
    p = madd(p, t, -1.26551223f);
    return t * exp_poly<false>(p);
  }

  static void add_passage(const Spot& spot, const float* a, const float* b, float da, float db,
                          int count, float* total) {
    const Polynomial<float> log = spot.log, first = spot.from, last = spot.to;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const float x = a[i] + da, y = b[i] + db;
      const bool inside = madd(x, x, y * y) <= 1.0f;
      const float u = inside ? x : 0.0f, v = inside ? y : 0.0f;
      const float from = first.at(u, v), to = last.at(u, v), top = log.at(u, v);
      // Beside the passage, from its nearer end on; within it, all but what lies beyond both ends.
      const bool before = from > 0.0f, beside = before || to < 0.0f;
      const float low = before ? from : -to, high = before ? to : -from;
      const float one = beside ? low : std::fabs(from), other = beside ? high : std::fabs(to);
      const float near = one * one, far = other * other;
      const float base = beside ? top - near : top;
      const float share1 = scaled_erfc(one) * (beside ? 1.0f : exp_poly<true>(-near));
      const float fall = beside ? std::fmin(near - far, 0.0f) : -far;
      const float share2 = scaled_erfc(other) * exp_poly<true>(fall);
      const float area = beside ? share1 - share2 : 2.0f - share1 - share2;
      const float seen = exp_poly<false>(base) * (area > 0.0f ? area : 0.0f);
      total[i] += inside ? seen : 0.0f;
    }
  }

  void add_lines(const Spot& spot, const float* a, const float* b, float da, float db, int count,
                 float* total) const {
    const Polynomial<float> log = spot.log, place = spot.at;
    const float* table = table_.data() + spot.table;
    const float end = spot.table_end;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const float x = a[i] + da, y = b[i] + db;
      const bool inside = madd(x, x, y * y) <= 1.0f;
      const float u = inside ? x : 0.0f, v = inside ? y : 0.0f;
      const float top = exp_poly<false>(log.at(u, v));
      const float wanted = place.at(u, v);
      const float at = wanted < 0.0f ? 0.0f : (wanted > end ? end : wanted);
      const std::int32_t low = static_cast<std::int32_t>(at);
      const float t = at - static_cast<float>(low);
      // Four-point Lagrange at −1, 0, 1, 2; entry −1 comes first.
      const float below = t + 1.0f, above = t - 1.0f, far = t - 2.0f;
      const float w0 = t * above * far * (-1.0f / 6.0f), w1 = below * above * far * 0.5f;
      const float w2 = below * t * far * -0.5f, w3 = below * t * above * (1.0f / 6.0f);
      const float sum = madd(w0, table[low], madd(w1, table[low + 1],
                                                  madd(w2, table[low + 2], w3 * table[low + 3])));
      const float seen = top * (sum > 0.0f ? sum : 0.0f);
      total[i] += inside ? seen : 0.0f;
    }
  }

  // First lane of a row's part [from, to) whose column is not below.
  static int lane_of(std::int64_t column, const double* fast, int from, int to) {
    const double wanted = static_cast<double>(column);
    if (fast[to - 1] - fast[from] == static_cast<double>(to - 1 - from)) {
      const double away = wanted - fast[from];
      return away <= 0.0 ? from : (away >= to - from ? to : from + static_cast<int>(away));
    }
    return static_cast<int>(std::lower_bound(fast + from, fast + to, wanted) - fast);
  }

  // Sorts the spots' pieces by row; within a row they stay in the order of the spots.
  void list_rows() {
    const std::int64_t rows = p_.slow_stop - p_.slow_start;
    row_.assign(static_cast<std::size_t>(rows) + 1, 0);
    std::vector<Piece> loose;
    std::vector<std::int32_t> of_row;
    for (std::size_t n = 0; n < spots_.size(); ++n) {
      const Spot& spot = spots_[n];
      for (std::int64_t row = spot.row_start; row < spot.row_stop; ++row) {
        std::int64_t start, stop;
        spot.columns(static_cast<double>(row), start, stop);
        if (start >= stop) continue;
        loose.push_back({static_cast<std::int32_t>(n), static_cast<std::int32_t>(start),
                         static_cast<std::int32_t>(stop)});
        of_row.push_back(static_cast<std::int32_t>(row - p_.slow_start));
        ++row_[static_cast<std::size_t>(of_row.back()) + 1];
      }
    }
    for (std::size_t i = 1; i < row_.size(); ++i) row_[i] += row_[i - 1];
    pieces_.resize(loose.size());
    std::vector<std::int64_t> next(row_.begin(), row_.end() - 1);
    for (std::size_t n = 0; n < loose.size(); ++n) {
      pieces_[static_cast<std::size_t>(next[static_cast<std::size_t>(of_row[n])]++)] = loose[n];
    }
  }

  static constexpr double kWorstFit = 5e-4;  // of the spot's maximum
  static constexpr double kWorstTop = 2.5e-3;  // the same, where lines are summed at the pixels
  static constexpr double kWorstPlace = 2e-4;  // of a wavenumber, in widths
  static constexpr double kWorstWidth = 2e-3, kWorstWidthOfMany = 3e-2;
  static constexpr double kPerWidth = 4.0;  // entries of a table
  static constexpr double kMostEntries = 4096.0;
  static constexpr float kFurthestLine = 5.0f;  // widths from where a ray sees a reflection best

  const Parameters& p_;
  const Crystal& crystal_;
  Incidence in_;
  std::vector<Line> lines_;  // none: one source, as it is
  std::vector<float> line_at_, line_weight_;
  mutable std::vector<float> table_;  // sums over the lines, spot by spot
  double brightest_ = 0.0, largest_ = 0.0;  // |F|²/√|Σ| and √|Σ| of what is seen
  double weight_ = 0.0;  // of all lines
  double gap_ = 0.0;     // the widest between neighbours
  Amorphous amorphous_;
  std::vector<Spot> spots_;
  std::vector<std::int64_t> row_;
  std::vector<Piece> pieces_;
};

// All sources of a tile, in groups whose spots are held together.
class SpotSum {
 public:
  explicit SpotSum(const Parameters& p) : p_(p) {
    for (std::int64_t n = 0; n < std::max<std::int64_t>(1, p.parts); ++n) parts_.emplace_back(p, n);
  }

  // Prepares sources from `first` on; returns the first that is left. Neighbours of one direction
  // are taken together in mixed precision, as the lines of one spectrum.
  std::int64_t prepare(std::int64_t first) {
    group_.clear();
    std::size_t bytes = 0;
    while (first < p_.source_stop && (group_.empty() || bytes < kMostBytes)) {
      stop_if_asked(p_.stop);
      std::int64_t last = first + 1;
      const bool lines = p_.double_precision == 0 && !parts_.front().rotates();
      while (lines && last < p_.source_stop && same_direction(first, last)) ++last;
      group_.push_back({first, std::make_unique<Spots>(p_, parts_, first, last)});
      bytes += group_.back().spots->bytes();
      first = last;
    }
    return first;
  }

  // Σ w · bound of what is left out of any pixel, of what was prepared.
  double left_out() const {
    double sum = 0.0;
    for (const Member& member : group_) {
      const double weight = member.spots->weighted() ? member.spots->weight()
                                                     : p_.source_weight[member.first];
      sum += std::fabs(weight) * member.spots->left_out();
    }
    return sum;
  }

  // Calls lit(first source, spots) for what was prepared.
  template <class Lit>
  void each(Lit lit) const {
    for (const Member& member : group_) lit(member.first, *member.spots);
  }

  // Adds spots to a block, whose lanes go row by row.
  void add(const Spots& spots, const PixelNumbers& pixel, int count, Scattering& q) const {
    std::fill(q.sum, q.sum + kLanes, 0.0);
    for (int from = 0; from < count;) {
      int to = from + 1;
      while (to < count && pixel.slow[to] == pixel.slow[from]) ++to;
      const std::int64_t row = static_cast<std::int64_t>(pixel.slow[from]) - p_.slow_start;
      spots.add(row, pixel.fast, from, to, *q.directions, q.sum);
      from = to;
    }
  }

 private:
  struct Member {
    std::int64_t first;
    std::unique_ptr<Spots> spots;
  };

  bool same_direction(std::int64_t one, std::int64_t other) const {
    const double* v = p_.source_direction;
    return std::equal(v + 3 * one, v + 3 * one + 3, v + 3 * other);
  }

  static constexpr std::size_t kMostBytes = std::size_t{64} << 20;

  const Parameters& p_;
  std::vector<Crystal> parts_;
  std::vector<Member> group_;
};

}  // namespace distbragg::closed
