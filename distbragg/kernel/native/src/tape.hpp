// Formulas written down as steps, run for many rays of many spots, and run backwards for the slopes of
// their inputs; see `distbragg/fit/tape.py`, which writes them down.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"

namespace distbragg {
namespace tape {

constexpr int kSpots = 8, kRays = 8;  // of a block: spots are the lanes of a vector

typedef double Lanes __attribute__((vector_size(8 * kSpots)));

enum Kind : std::int32_t {
  kAdd, kSubtract, kMultiply, kDivide, kRoot, kExp, kLog, kSine, kCosine, kLess, kLessEqual, kEqual,
  kWhere
};

// What follows is as `distbragg/kernel/native/steps.py` lays it out.
struct Step {
  std::int32_t kind, out, one, two, three;
  std::int32_t slopes;  // a bit for each operand that has some
};

enum Varies : std::int64_t { kNowhere, kBySpot, kByRay };

struct Input {
  std::int64_t slot, varies;
  const double* values;  // (), (spots,) or (spots, rays)
  double* slopes;        // alike; none where they are not asked for
};

// Slots below `still` hold what all rays of a spot share: constants first.
struct Tape {
  std::int64_t spots, rays, steps, still_steps, slots, still, constants, inputs, outputs;
  const Step* step;  // those that no ray changes first
  const double* constant;
  const Input* input;
  const std::int32_t* output;  // slots
};

class Runner {
 public:
  explicit Runner(const Tape& tape)
      : t_(tape), values_(size()), slopes_(size()) {
    for (std::int64_t n = 0; n < t_.constants; ++n) fill(value(n), t_.constant[n]);
    for (std::int64_t n = 0; n < t_.inputs; ++n) {
      if (t_.input[n].varies == kNowhere) fill(value(t_.input[n].slot), *t_.input[n].values);
    }
  }

  // `out`: (outputs, spots, rays).
  void run(double* out) {
    each_block([&](std::int64_t spot, std::int64_t ray, int spots, int rays) {
      forward(t_.still_steps, t_.steps, rays);
      for (std::int64_t n = 0; n < t_.outputs; ++n) {
        double* to = out + (n * t_.spots + spot) * t_.rays + ray;
        const std::int32_t slot = t_.output[n];
        for (int r = 0; r < rays; ++r) {
          for (int s = 0; s < spots; ++s) to[s * t_.rays + r] = value(slot)[r * stride(slot)][s];
        }
      }
    }, [](std::int64_t, int) {});
  }

  // Adds Σ `slope` · out, differentiated, to the slopes of the inputs.
  void run_back(const double* slope) {
    each_block([&](std::int64_t spot, std::int64_t ray, int spots, int rays) {
      forward(t_.still_steps, t_.steps, rays);
      for (std::int64_t n = 0; n < t_.outputs; ++n) {
        const double* from = slope + (n * t_.spots + spot) * t_.rays + ray;
        const std::int32_t slot = t_.output[n];
        for (int r = 0; r < rays; ++r) {
          for (int s = 0; s < spots; ++s) slopes(slot)[r * stride(slot)][s] += from[s * t_.rays + r];
        }
      }
      backward(t_.still_steps, t_.steps, rays);
      for (std::int64_t n = 0; n < t_.inputs; ++n) {
        const Input& in = t_.input[n];
        if (in.varies != kByRay || in.slopes == nullptr) continue;
        Lanes* own = slopes(in.slot);
        for (int r = 0; r < rays; ++r) {
          for (int s = 0; s < spots; ++s) in.slopes[(spot + s) * t_.rays + ray + r] += own[r][s];
          own[r] = Lanes{};
        }
      }
    }, [&](std::int64_t spot, int spots) {
      backward(0, t_.still_steps, 1);
      for (std::int64_t n = 0; n < t_.inputs; ++n) {
        const Input& in = t_.input[n];
        if (in.varies == kByRay || in.slopes == nullptr) continue;
        Lanes& own = *slopes(in.slot);
        for (int s = 0; s < spots; ++s) in.slopes[in.varies == kBySpot ? spot + s : 0] += own[s];
        own = Lanes{};
      }
    });
  }

 private:
  std::size_t size() const {
    return static_cast<std::size_t>(t_.still + (t_.slots - t_.still) * kRays);
  }

  std::int64_t place(std::int64_t slot) const {
    return slot < t_.still ? slot : t_.still + (slot - t_.still) * kRays;
  }
  Lanes* value(std::int64_t slot) { return values_.data() + place(slot); }
  Lanes* slopes(std::int64_t slot) { return slopes_.data() + place(slot); }
  int stride(std::int64_t slot) const { return slot < t_.still ? 0 : 1; }

  static void fill(Lanes* to, double number) { *to = Lanes{} + number; }

  // Spots beyond the last are the last one again, and have no slopes.
  template <class Block, class After>
  void each_block(Block block, After after) {
    for (std::int64_t spot = 0; spot < t_.spots; spot += kSpots) {
      const int spots = static_cast<int>(std::min<std::int64_t>(kSpots, t_.spots - spot));
      for (std::int64_t n = 0; n < t_.inputs; ++n) {
        const Input& in = t_.input[n];
        if (in.varies != kBySpot) continue;
        for (int s = 0; s < kSpots; ++s) {
          (*value(in.slot))[s] = in.values[spot + std::min(s, spots - 1)];
        }
      }
      forward(0, t_.still_steps, 1);
      for (std::int64_t ray = 0; ray < t_.rays; ray += kRays) {
        const int rays = static_cast<int>(std::min<std::int64_t>(kRays, t_.rays - ray));
        for (std::int64_t n = 0; n < t_.inputs; ++n) {
          const Input& in = t_.input[n];
          if (in.varies != kByRay) continue;
          for (int s = 0; s < kSpots; ++s) {
            const double* from = in.values + (spot + std::min(s, spots - 1)) * t_.rays + ray;
            for (int r = 0; r < rays; ++r) value(in.slot)[r][s] = from[r];
          }
        }
        block(spot, ray, spots, rays);
      }
      after(spot, spots);
    }
  }

  template <class Formula>
  static DISTBRAGG_INLINE void lanes(int count, Lanes* out, const Lanes* in, Formula formula) {
    auto* to = reinterpret_cast<double*>(out);
    const auto* from = reinterpret_cast<const double*>(in);
#pragma omp simd
    for (int i = 0; i < count * kSpots; ++i) to[i] = formula(from[i]);
  }

  void forward(std::int64_t first, std::int64_t last, int count) {
    const Lanes none = {}, all = none + 1.0;
    for (std::int64_t n = first; n < last; ++n) {
      const Step& step = t_.step[n];
      Lanes* out = value(step.out);
      const Lanes *a = value(step.one), *b = value(step.two), *c = value(step.three);
      const int i = stride(step.one), j = stride(step.two), k = stride(step.three);
      switch (step.kind) {
        case kAdd:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] + b[r * j];
          break;
        case kSubtract:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] - b[r * j];
          break;
        case kMultiply:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] * b[r * j];
          break;
        case kDivide:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] / b[r * j];
          break;
        case kRoot:
          lanes(count, out, a, [](double x) { return std::sqrt(x); });
          break;
        case kExp:
          lanes(count, out, a, [](double x) { return exp_poly(x); });
          break;
        case kLog:
          lanes(count, out, a, [](double x) { return log_poly(x); });
          break;
        case kSine:
          lanes(count, out, a, [](double x) { return turned(x, true); });
          break;
        case kCosine:
          lanes(count, out, a, [](double x) { return turned(x, false); });
          break;
        case kLess:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] < b[r * j] ? all : none;
          break;
        case kLessEqual:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] <= b[r * j] ? all : none;
          break;
        case kEqual:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] == b[r * j] ? all : none;
          break;
        case kWhere:
          for (int r = 0; r < count; ++r) out[r] = a[r * i] != none ? b[r * j] : c[r * k];
          break;
      }
    }
  }

  static DISTBRAGG_INLINE double turned(double angle, bool sine) {
    double one, two;
    sine_cosine(angle, one, two);
    return sine ? one : two;
  }

  // Adds `slope(r)` to the slopes of an operand.
  template <class Slope>
  DISTBRAGG_INLINE void give(std::int32_t slot, int count, Slope slope) {
    Lanes* to = slopes(slot);
    if (stride(slot) != 0) {
      for (int r = 0; r < count; ++r) to[r] += slope(r);
    } else {
      Lanes sum = *to;
      for (int r = 0; r < count; ++r) sum += slope(r);
      *to = sum;
    }
  }

  void backward(std::int64_t first, std::int64_t last, int count) {
    const Lanes none = {};
    for (std::int64_t n = last - 1; n >= first; --n) {
      const Step& step = t_.step[n];
      if (step.slopes == 0) continue;
      const bool one = (step.slopes & 1) != 0, two = (step.slopes & 2) != 0;
      const Lanes *out = value(step.out), *a = value(step.one), *b = value(step.two);
      const int i = stride(step.one), j = stride(step.two);
      Lanes* g = slopes(step.out);
      switch (step.kind) {
        case kAdd:
          if (one) give(step.one, count, [=](int r) { return g[r]; });
          if (two) give(step.two, count, [=](int r) { return g[r]; });
          break;
        case kSubtract:
          if (one) give(step.one, count, [=](int r) { return g[r]; });
          if (two) give(step.two, count, [=](int r) { return -g[r]; });
          break;
        case kMultiply:
          if (one) give(step.one, count, [=](int r) { return g[r] * b[r * j]; });
          if (two) give(step.two, count, [=](int r) { return g[r] * a[r * i]; });
          break;
        case kDivide:
          for (int r = 0; r < count; ++r) g[r] = g[r] / b[r * j];
          if (one) give(step.one, count, [=](int r) { return g[r]; });
          if (two) give(step.two, count, [=](int r) { return -g[r] * out[r]; });
          break;
        case kRoot:  // at 0 the middle of its subgradients
          give(step.one, count, [=](int r) {
            return out[r] > none ? 0.5 * g[r] / out[r] : none;
          });
          break;
        case kExp:
          give(step.one, count, [=](int r) { return g[r] * out[r]; });
          break;
        case kLog:
          give(step.one, count, [=](int r) { return g[r] / a[r * i]; });
          break;
        case kSine:
        case kCosine: {
          Lanes other[kRays];
          if (step.kind == kSine) {
            lanes(count, other, a, [](double x) { return turned(x, false); });
          } else {
            lanes(count, other, a, [](double x) { return -turned(x, true); });
          }
          give(step.one, count, [&](int r) { return g[r] * other[r]; });
          break;
        }
        case kWhere:
          if (two) give(step.two, count, [=](int r) { return a[r * i] != none ? g[r] : none; });
          if ((step.slopes & 4) != 0) {
            give(step.three, count, [=](int r) { return a[r * i] != none ? none : g[r]; });
          }
          break;
        default:
          break;
      }
      std::fill_n(g, count, none);
    }
  }

  const Tape& t_;
  std::vector<Lanes> values_, slopes_;
};

}  // namespace tape
}  // namespace distbragg
