// Integrals of spots over their rays: the twin of predict/closed_form.py and predict/disc.py, where
// names are the same.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "geometry.hpp"
#include "mean.hpp"
#include "near_sphere.hpp"
#include "strain.hpp"

namespace distbragg::closed {

constexpr std::int64_t kLineNumbers = 11, kPlaceNumbers = 17, kMoments = 11;

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
      while (to < lines_.size() && follows(lines_[to - 1], lines_[to])) ++to;
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

  static bool same(const Vector& a, const Vector& b) {
    return a.x == b.x && a.y == b.y && a.z == b.z;
  }
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

// The nodes of one lattice of squares on the unit disc.
struct DiscNodes {
  std::vector<double> a, b;
  const double area;  // of a square

  DiscNodes(double radius, double shift) : area(1.0 / (radius * radius)) {
    const int most = static_cast<int>(std::ceil(radius));
    for (int i = -most; i <= most; ++i) {
      for (int j = -most; j <= most; ++j) {
        const double x = (i + shift) / radius, y = (j + shift) / radius;
        if (x * x + y * y > 1.0) continue;
        a.push_back(x);
        b.push_back(y);
      }
    }
  }
};

// Moments of spots on one panel: Σ w T, then of what is captured its sum, first and second moments
// in pixels from a start, and the sums of the rays' components; and of the wavelength.
class Moments {
 public:
  explicit Moments(const Parameters& p) : p_(p), crystal_(p, 0), source_(p) {}

  // One reflection in the light of one line: adds to `out`, (kMoments + 1,). Angles of the spindle
  // count from the middle of its rotation.
  void add(const Incidence& line, const double* place, double weight, const double* start,
           double* out) {
    Growing growing;
    Growing* grown = crystal_.strains.count > 0 ? &growing : nullptr;
    const Relp relp(load(place), crystal_.covariance, crystal_.mosaic, crystal_.strains, grown);
    source_.aim(line.direction);
    double found[kMoments];
    for (int doubling = 0; doubling <= kDoublings; ++doubling) {
      double one[kMoments], two[kMoments];
      sum(relp, line, place, weight, start, nodes(doubling, 0), one);
      sum(relp, line, place, weight, start, nodes(doubling, 1), two);
      for (int m = 0; m < kMoments; ++m) found[m] = 0.5 * (one[m] + two[m]);
      const double both = one[0] + two[0];
      const bool away = std::fabs(one[0] - two[0]) > kAgreed * 0.5 * both || both <= 0.0;
      if (!away) break;
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
    bool on;
    explicit Polarized(const Parameters& p)
        : axis(load(p.polarization_axis)), kahn(p.kahn_factor), planeless(0.0),
          on(p.polarization != 0) {}
    void aim(const Vector& direction) {
      in = direction;
      magnetic = unit(distbragg::cross(axis, in));
      electric = unit(distbragg::cross(in, magnetic));
      planeless = dot(magnetic, magnetic) == 0.0 ? 1.0 : 0.0;
    }
  };

  const DiscNodes& nodes(int doubling, int shifted) {
    const std::size_t at = static_cast<std::size_t>(2 * doubling + shifted);
    while (nodes_.size() <= at) {
      const int next = static_cast<int>(nodes_.size());
      const double first = crystal_.rotates() ? 3.5 : 3.0;
      nodes_.emplace_back(std::ldexp(first, next / 2), next % 2 == 0 ? 0.0 : 0.5);
    }
    return nodes_[at];
  }

  void sum(const Relp& relp, const Incidence& line, const double* place, double weight,
           const double* start, const DiscNodes& at, double* out) {
    std::fill(out, out + kMoments, 0.0);
    const int count = static_cast<int>(at.a.size());
    for (int from = 0; from < count; from += kLanes) {
      add_rays(relp, line, place, weight, start, at, from, std::min(kLanes, count - from), out);
    }
    for (int m = 0; m < kMoments; ++m) out[m] *= at.area;
  }

  void add_rays(const Relp& relp, const Incidence& line, const double* place, double weight,
                const double* start, const DiscNodes& at, int from, int some, double* out) {
    constexpr int kWide = 8;
    const int count = (some + kWide - 1) / kWide * kWide;
    const Vector centre = load(place + 3), first = load(place + 6), second = load(place + 9);
    const double xx = place[12], xy = place[13], yy = place[14], bow = place[15];
    const double l11 = std::sqrt(xx), l21 = xy / l11;
    const double l22 = std::sqrt(larger(yy - l21 * l21, 1e-18 * yy));
    const double area = kReach * kReach * l11 * l22 * weight;
    const double* nodes_a = at.a.data() + from;
    const double* nodes_b = at.b.data() + from;
    alignas(64) double a[kLanes], b[kLanes];
    for (int i = 0; i < count; ++i) {
      a[i] = nodes_a[std::min(i, some - 1)];
      b[i] = nodes_b[std::min(i, some - 1)];
    }
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const double one = kReach * l11 * a[i];
      const double two = madd(bow * one, one, kReach * madd(l21, a[i], l22 * b[i]));
      const double square = 1.0 + one * one + two * two, over = 1.0 / std::sqrt(square);
      x_[i] = (centre.x + one * first.x + two * second.x) * over;
      y_[i] = (centre.y + one * first.y + two * second.y) * over;
      z_[i] = (centre.z + one * first.z + two * second.z) * over;
      // Spare lanes repeat the last node, and count for nothing.
      share_[i] = i < some ? area * over * over * over : 0.0;
    }
    choose_mean(line, relp.growing != nullptr, crystal_.rotates(), [&](auto mean) {
      decltype(mean)::seen(relp, line, crystal_.spindle, x_, y_, z_, count, mean_, angle_);
    });
    const Polarized seen = source_;
    double bare = 0.0;
#pragma omp simd reduction(+ : bare)
    for (int i = 0; i < count; ++i) {
      const double own = share_[i] * mean_[i];
      const double c = dot(seen.in, {x_[i], y_[i], z_[i]});
      const double along = dot(seen.electric, {x_[i], y_[i], z_[i]});
      const double across = dot(seen.magnetic, {x_[i], y_[i], z_[i]});
      const double plane = along * along - across * across + seen.planeless * (1.0 - c * c);
      bare += own;
      share_[i] = seen.on ? own * (0.5 * (1.0 + c * c - seen.kahn * plane)) : own;
    }
    out[0] += bare;
    for (std::int64_t layer = 0; layer < p_.layers; ++layer) on_layer(layer, start, count, out);
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
      choose_mean(beside, relp.growing != nullptr, crystal_.rotates(), [&](auto mean) {
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
  Polarized source_;
  std::vector<DiscNodes> nodes_;
  alignas(64) double x_[kLanes], y_[kLanes], z_[kLanes], share_[kLanes];
  alignas(64) double mean_[kLanes], angle_[kLanes];
};

}  // namespace distbragg::closed
