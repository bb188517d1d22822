// Integrals of spots over their rays: the twin of predict/closed_form.py and predict/disc.py, where
// names are the same.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "geometry.hpp"
#include "mean.hpp"
#include "near_sphere.hpp"
#include "strain.hpp"

namespace distbragg::closed {

constexpr std::int64_t kLineNumbers = 11, kPlaceNumbers = 17, kMoments = 11;
constexpr std::int64_t kSpotNumbers = kPlaceNumbers + 3;  // with those of its grain

// A line by its numbers: direction, both vectors of the divergence, wavenumber, width.
inline Incidence line_of(const double* v) {
  Incidence in;
  in.direction = load(v);
  in.one = load(v + 3);
  in.two = load(v + 6);
  in.wavenumber = v[9];
  in.width = v[10];
  in.divergent = dot(in.one, in.one) + dot(in.two, in.two) > 0.0;
  return in;
}

inline bool same(const Vector& a, const Vector& b) {
  return a.x == b.x && a.y == b.y && a.z == b.z;
}

// The reflections that lines light; lines that share a direction are asked together.
class LitByLines {
 public:
  LitByLines(const Parameters& p, const double* lines, std::int64_t count) : crystal_(p, 0) {
    for (std::int64_t n = 0; n < count; ++n) lines_.push_back(line_of(lines + kLineNumbers * n));
    for (const Incidence& line : lines_) near_.emplace_back(crystal_, line);
  }

  // Calls found(line, place).
  template <class Found>
  void each(Found found) const {
    for (std::size_t from = 0; from < lines_.size();) {
      std::size_t to = from + 1;
      // A rotation takes a reflection past lines that it is far from in its middle.
      const bool still = !crystal_.rotates();
      while (still && to < lines_.size() && follows(lines_[to - 1], lines_[to])) ++to;
      if (to - from == 1) {
        near_[from].each([&](const Place& place) { found(from, place); });
      } else {
        together(from, to, found);
      }
      from = to;
    }
  }

 private:
  static constexpr double kWider = 1.1;  // than where first-order windows end

  static bool follows(const Incidence& before, const Incidence& line) {
    return same(before.direction, line.direction) && same(before.one, line.one) &&
           same(before.two, line.two) && before.wavenumber <= line.wavenumber;
  }

  // Finds what any of the lines lights, and asks those that may light it.
  template <class Found>
  void together(std::size_t from, std::size_t to, Found& found) const {
    Incidence all = lines_[to - 1];
    const double low = lines_[from].wavenumber, high = all.wavenumber;
    all.wavenumber = 0.5 * (low + high);
    all.low = low - all.wavenumber;
    all.high = high - all.wavenumber;
    Crystal wider = crystal_;
    wider.cut *= kWider;
    const NearSphere near(wider, all);
    std::vector<std::vector<double>> wanted(to - from);  // h, k, l of what each may light
    near.in_points([&](const Points& points) {
      for (int i = 0; i < points.count; ++i) {
        const auto [first, last] = range_of(near, points.relp(i), from, to);
        for (std::size_t n = first; n < last; ++n) {
          auto& own = wanted[n - from];
          own.insert(own.end(), {points.h[i], points.k[i], points.l[i]});
        }
      }
    });
    for (std::size_t n = from; n < to; ++n) {
      const std::vector<double>& own = wanted[n - from];
      Points points;
      for (std::size_t at = 0; at < own.size(); at += 3) {
        points.add(own[at], own[at + 1], own[at + 2]);
        if (points.count < Points::kMost && at + 3 < own.size()) continue;
        near_[n].see(points, [&](const Place& place) { found(n, place); });
        points.count = 0;
      }
    }
  }

  // Those of some lines that may light a lattice point.
  std::pair<std::size_t, std::size_t> range_of(const NearSphere& near, const Vector& relp,
                                               std::size_t from, std::size_t to) const {
    const double low = lines_[from].wavenumber, high = lines_[to - 1].wavenumber;
    double start, stop;
    if (!near.window(relp, kWider, start, stop) || start <= low - (high - low) ||
        stop >= high + (high - low)) {
      return {from, to};
    }
    const auto begin = lines_.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = lines_.begin() + static_cast<std::ptrdiff_t>(to);
    const auto below = [](const Incidence& line, double k) { return line.wavenumber < k; };
    const auto number = [&](double k) {
      return static_cast<std::size_t>(std::lower_bound(begin, end, k, below) - lines_.begin());
    };
    return {number(start), number(stop)};
  }

  const Crystal crystal_;
  std::vector<Incidence> lines_;
  std::vector<NearSphere> near_;
};

// The nodes of two lattices of squares on the unit disc, one in the gaps of the other. Each lattice is
// filled up to whole vectors with nodes that count for nothing.
struct DiscNodes {
  std::vector<double> a, b, counts;
  int second = 0;     // where the second lattice begins
  const double area;  // of a rectangle

  // So many along the narrow and the wide way of a spot.
  DiscNodes(double narrow, double wide) : area(1.0 / (narrow * wide)) {
    lattice(narrow, wide, 0.0);
    second = size();
    lattice(narrow, wide, 0.5);
  }

  int size() const { return static_cast<int>(a.size()); }

 private:
  void lattice(double narrow, double wide, double shift) {
    constexpr std::size_t kWide = 8;
    const int rows = static_cast<int>(std::ceil(narrow));
    const int columns = static_cast<int>(std::ceil(wide));
    for (int i = -rows; i <= rows; ++i) {
      for (int j = -columns; j <= columns; ++j) {
        const double x = (i + shift) / narrow, y = (j + shift) / wide;
        if (x * x + y * y <= 1.0) add(x, y, 1.0);
      }
    }
    while (a.size() % kWide != 0) add(a.back(), b.back(), 0.0);
  }
  void add(double x, double y, double count) {
    a.push_back(x);
    b.push_back(y);
    counts.push_back(count);
  }
};

// A place by its numbers, and what weighs it.
struct LitPlace {
  const double* numbers;  // (kSpotNumbers,)
  const double* start;    // pixels count from there
  double weight;
};

// Moments of spots on one panel: Σ w T, then of what is captured its sum, first and second moments
// in pixels from a start, and the sums of the rays' components; and of the wavelength.
class Moments {
 public:
  explicit Moments(const Parameters& p) : p_(p), crystal_(p, 0), source_(p) {}

  // One reflection in the light of one line: adds to `out`, (kMoments + 1,). One line after another
  // of the same reflection takes less. Angles of the spindle count from the middle of its rotation.
  void add(const Incidence& line, const LitPlace& at, double* out) {
    const Relp& relp = relp_of(at.numbers);
    source_.aim(line.direction);
    double found[kMoments];
    const int finer = static_cast<int>(at.numbers[kPlaceNumbers + 2]);
    for (int doubling = 0; doubling <= kDoublings - finer / 2; ++doubling) {
      if (sum(relp, line, at, nodes(finer, doubling), found)) break;
    }
    for (int m = 0; m < kMoments; ++m) out[m] += found[m];
    out[kMoments] += found[1] * wavelength(relp, line, found);
  }

 private:
  static constexpr int kDoublings = 6;
  static constexpr double kAgreed = 1e-2, kReach = 5.0, kOff = 1e-3;

  // Polarisation, as `polarize` takes it.
  struct Polarized {
    Vector axis, in, electric, magnetic;
    double kahn, planeless;
    bool on, aimed = false;
    explicit Polarized(const Parameters& p)
        : axis(load(p.polarization_axis)), kahn(p.kahn_factor), planeless(0.0),
          on(p.polarization != 0) {}
    void aim(const Vector& direction) {
      if (aimed && same(direction, in)) return;
      aimed = true;
      in = direction;
      magnetic = unit(distbragg::cross(axis, in));
      electric = unit(distbragg::cross(in, magnetic));
      planeless = dot(magnetic, magnetic) == 0.0 ? 1.0 : 0.0;
    }
  };

  const DiscNodes& nodes(int finer, int doubling) {
    const auto [found, is_new] = nodes_.try_emplace({finer, doubling}, nullptr);
    if (is_new) {
      const double wide = std::ldexp(crystal_.rotates() ? 3.5 : 3.0, doubling);
      found->second = std::make_unique<DiscNodes>(std::ldexp(wide, finer), wide);
    }
    return *found->second;
  }

  const Relp& relp_of(const double* place) {
    const Vector at = load(place);
    if (!held_ || !same(at, relp_at_)) {
      Growing* grown = crystal_.strains.count > 0 ? &growing_ : nullptr;
      relp_ = Relp(at, crystal_.covariance, crystal_.mosaic, crystal_.strains, grown);
      relp_at_ = at;
      held_ = true;
    }
    return relp_;
  }

  // Sums over the nodes of both lattices; false where these do not agree, or what neither has met may
  // lie between their nodes.
  bool sum(const Relp& relp, const Incidence& line, const LitPlace& at, const DiscNodes& nodes,
           double* out) {
    std::fill(out, out + kMoments, 0.0);
    double bare[2] = {0.0, 0.0};
    for (int from = 0; from < nodes.size(); from += kLanes) {
      const int count = std::min(kLanes, nodes.size() - from);
      aim(at, nodes, from, count);
      choose_mean(line, relp, crystal_.rotates(), [&](auto mean) {
        decltype(mean)::seen(relp, line, crystal_.spindle, x_, y_, z_, count, mean_, angle_);
      });
      const int second = std::clamp(nodes.second - from, 0, count);
      bare[0] += weigh(0, second);
      bare[1] += weigh(second, count);
      polarize(count);
      for (std::int64_t layer = 0; layer < p_.layers; ++layer) on_layer(layer, at.start, count, out);
    }
    const double both = bare[0] + bare[1];
    out[0] = both;
    for (int m = 0; m < kMoments; ++m) out[m] *= 0.5 * nodes.area;
    return !(std::fabs(bare[0] - bare[1]) > kAgreed * 0.5 * both || both <= 0.0);
  }

  // The rays to nodes, and what of a sphere belongs to each.
  void aim(const LitPlace& at, const DiscNodes& nodes, int from, int count) {
    const double* place = at.numbers;
    const Vector centre = load(place + 3), first = load(place + 6), second = load(place + 9);
    const double xx = place[12], xy = place[13], yy = place[14], bow = place[15];
    const double l11 = std::sqrt(xx), l21 = xy / l11;
    const double l22 = std::sqrt(larger(yy - l21 * l21, 1e-18 * yy));
    const double area = kReach * kReach * l11 * l22 * at.weight;
    const double cosine = place[kPlaceNumbers], sine = place[kPlaceNumbers + 1];
    const double *narrow = nodes.a.data() + from, *wide = nodes.b.data() + from;
    const double* counts = nodes.counts.data() + from;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const double a = cosine * narrow[i] - sine * wide[i];
      const double b = sine * narrow[i] + cosine * wide[i];
      const double one = kReach * l11 * a;
      const double two = madd(bow * one, one, kReach * madd(l21, a, l22 * b));
      const double square = 1.0 + one * one + two * two, over = 1.0 / std::sqrt(square);
      x_[i] = (centre.x + one * first.x + two * second.x) * over;
      y_[i] = (centre.y + one * first.y + two * second.y) * over;
      z_[i] = (centre.z + one * first.z + two * second.z) * over;
      share_[i] = counts[i] * (area * over * over * over);
    }
  }

  // Gives the nodes of one lattice their share of what is seen; returns their sum.
  double weigh(int from, int to) {
    double bare = 0.0;
#pragma omp simd reduction(+ : bare)
    for (int i = from; i < to; ++i) {
      share_[i] *= mean_[i];
      bare += share_[i];
    }
    return bare;
  }

  void polarize(int count) {
    if (!source_.on) return;
    const Polarized seen = source_;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const double c = dot(seen.in, {x_[i], y_[i], z_[i]});
      const double along = dot(seen.electric, {x_[i], y_[i], z_[i]});
      const double across = dot(seen.magnetic, {x_[i], y_[i], z_[i]});
      const double plane = along * along - across * across + seen.planeless * (1.0 - c * c);
      share_[i] *= 0.5 * (1.0 + c * c - seen.kahn * plane);
    }
  }

  // Adds what a layer captures.
  void on_layer(std::int64_t layer, const double* start, int count, double* out) const {
    const Vector origin = load(p_.panel_origin), fast = load(p_.fast), slow = load(p_.slow);
    const Vector normal = load(p_.normal);
    const double depth = p_.layer_position[layer], plane = dot(origin, normal) + depth;
    const double near = p_.close_distance, foot_slow = dot(origin, slow) / p_.pixel_size;
    const double foot_fast = dot(origin, fast) / p_.pixel_size;
    const double front = p_.absorbs ? -p_.layer_front[layer] * p_.attenuation : 0.0;
    const double back = p_.absorbs ? -p_.layer_back[layer] * p_.attenuation : 0.0;
    const bool absorbs = p_.absorbs != 0, point = p_.point_pixel != 0;
    const double flat = near / (near + depth), over = 1.0 / p_.pixel_size;
    const double per_point = 1.0 / (p_.pixel_size * p_.pixel_size * near);
    const double from_slow = foot_slow + start[0], from_fast = foot_fast + start[1];
    double all = 0.0, s = 0.0, f = 0.0, ss = 0.0, sf = 0.0, ff = 0.0;
    double phi = 0.0, x = 0.0, y = 0.0, z = 0.0;
#pragma omp simd reduction(+ : all, s, f, ss, sf, ff, phi, x, y, z)
    for (int i = 0; i < count; ++i) {
      const Vector ray = {x_[i], y_[i], z_[i]};
      const double cosine = dot(ray, normal), facing = cosine > 0.0 ? cosine : 1.0;
      const double length = plane / cosine;
      const double held = absorbs ? exp_poly(front / facing) - exp_poly(back / facing) : 1.0;
      const double own = share_[i] * held * flat * (point ? length * per_point : 1.0);
      const bool hit = length > 0.0 && length < HUGE_VAL;
      const double seen = hit ? own : 0.0;
      const double u = hit ? length * dot(ray, slow) * over - from_slow : 0.0;
      const double v = hit ? length * dot(ray, fast) * over - from_fast : 0.0;
      all += seen;
      s += seen * u;
      f += seen * v;
      ss += seen * u * u;
      sf += seen * u * v;
      ff += seen * v * v;
      phi += seen * angle_[i];
      x += seen * ray.x;
      y += seen * ray.y;
      z += seen * ray.z;
    }
    const double sums[kMoments - 1] = {all, s, f, ss, sf, ff, phi, x, y, z};
    for (int m = 0; m < kMoments - 1; ++m) out[m + 1] += sums[m];
  }

  // The mean wavelength along the mean ray: of a normal spectrum of width σ about k₀ the mean of k is
  // k₀ + σ² d(log T)/dk₀.
  double wavelength(const Relp& relp, const Incidence& line, const double* moments) const {
    const double k = line.wavenumber, width = line.width;
    if (width == 0.0) return 1.0 / k;
    const Vector ray = unit({moments[8], moments[9], moments[10]});
    double logs[2];
    for (const int side : {0, 1}) {
      Incidence beside = line;
      beside.wavenumber = k + (side == 0 ? kOff : -kOff) * width;
      choose_mean(beside, relp, crystal_.rotates(), [&](auto mean) {
        double angle;
        decltype(mean)::seen(relp, beside, crystal_.spindle, &ray.x, &ray.y, &ray.z, 1,
                             logs + side, &angle);
      });
      logs[side] = std::log(logs[side]);
    }
    const double mean = k + width * (logs[0] - logs[1]) / (2.0 * kOff);
    return 1.0 / (std::isfinite(mean) ? mean : k);
  }

  const Parameters& p_;
  const Crystal crystal_;
  Relp relp_;
  Growing growing_;
  Vector relp_at_;
  bool held_ = false;  // a reflection, at that place
  Polarized source_;
  std::map<std::pair<int, int>, std::unique_ptr<DiscNodes>> nodes_;
  alignas(64) double x_[kLanes], y_[kLanes], z_[kLanes], share_[kLanes];
  alignas(64) double mean_[kLanes], angle_[kLanes];
};

// Numbers 0 … count − 1 in the order of the spots that they are of.
inline std::vector<std::int64_t> by_spot(const std::int64_t* spot, std::int64_t count) {
  const std::int64_t last = count > 0 ? *std::max_element(spot, spot + count) : -1;
  std::vector<std::int64_t> start(static_cast<std::size_t>(last) + 2, 0);
  for (std::int64_t n = 0; n < count; ++n) ++start[static_cast<std::size_t>(spot[n]) + 1];
  std::partial_sum(start.begin(), start.end(), start.begin());
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  for (std::int64_t n = 0; n < count; ++n) {
    order[static_cast<std::size_t>(start[static_cast<std::size_t>(spot[n])]++)] = n;
  }
  return order;
}

}  // namespace distbragg::closed
