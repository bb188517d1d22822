// What a detector records of photons: the operations of `distbragg/physics/response.py`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "normals.hpp"

namespace distbragg {
namespace response {

constexpr int kMostZones = 8;

// As `distbragg/kernel/native/response.py` lays them out.
struct Numbers {
  std::int64_t zones, in_photons, rounded, noisy;
  std::uint64_t seed, frame, stream;
  double start[kMostZones], gain[kMostZones], offset[kMostZones], readout[kMostZones],
      code[kMostZones];
  double lowest, highest, saturation, overload;
};

class Recorder {
 public:
  explicit Recorder(const Numbers& numbers) : n_(numbers) {}

  // Returns how many of the pixels are overloaded. `factors`, where there are any, calibrate.
  template <class Real>
  std::int64_t record(std::int64_t first, std::int64_t count, const float* factors,
                      Real* pixels) const {
    const noise::Normals normals(n_.seed, n_.frame, static_cast<std::uint32_t>(n_.stream));
    std::int64_t over = 0;
    const auto take = [&](std::int64_t at, int some, const double* drawn) {
      const float* own = factors == nullptr ? nullptr : factors + at;
      over += part(pixels + at, own, drawn, some);
    };
    if (n_.noisy != 0) {
      normals.each(first, count, take);
    } else {
      alignas(64) const double still[noise::kGroup] = {};
      for (std::int64_t at = 0; at < count; at += noise::kGroup) {
        take(at, static_cast<int>(std::min<std::int64_t>(noise::kGroup, count - at)), still);
      }
    }
    return over;
  }

 private:
  // Some pixels, side by side; each step is a loop of its own, in the processor's nearest cache.
  struct alignas(64) Part {
    double photons[noise::kGroup], value[noise::kGroup];
    double gain[noise::kGroup], offset[noise::kGroup], readout[noise::kGroup], code[noise::kGroup];
  };

  template <class Real>
  std::int64_t part(Real* pixels, const float* factors, const double* drawn, int count) const {
    Part p;
#pragma omp simd
    for (int i = 0; i < count; ++i) p.photons[i] = static_cast<double>(pixels[i]);
    if (factors != nullptr) {
#pragma omp simd
      for (int i = 0; i < count; ++i) p.photons[i] *= static_cast<double>(factors[i]);
    }
    if (n_.zones == 1) {
      const double gain = n_.gain[0], offset = n_.offset[0], readout = n_.readout[0];
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        p.value[i] = gain * p.photons[i] + offset + readout * drawn[i];
      }
    } else {
      choose(p, count);
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        p.value[i] = p.gain[i] * p.photons[i] + p.offset[i] + p.readout[i] * drawn[i];
      }
    }
    if (n_.in_photons != 0) {
      if (n_.zones == 1) fill(p, 0, count);
#pragma omp simd
      for (int i = 0; i < count; ++i) p.value[i] = (p.value[i] - p.offset[i]) / p.gain[i];
    }
    if (n_.rounded != 0) {
#pragma omp simd
      for (int i = 0; i < count; ++i) p.value[i] = std::floor(p.value[i] + 0.5);
    }
    return finish(p, pixels, count);
  }

  // Lets all pixels be in one gain.
  void fill(Part& p, int zone, int count) const {
    std::fill_n(p.gain, count, n_.gain[zone]);
    std::fill_n(p.offset, count, n_.offset[zone]);
    std::fill_n(p.readout, count, n_.readout[zone]);
    std::fill_n(p.code, count, n_.code[zone]);
  }

  // Lets each pixel be in the gain of its photons.
  void choose(Part& p, int count) const {
    fill(p, 0, count);
    for (std::int64_t zone = 1; zone < n_.zones; ++zone) {
      const double start = n_.start[zone], gain = n_.gain[zone], offset = n_.offset[zone];
      const double readout = n_.readout[zone], code = n_.code[zone];
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const bool in = p.photons[i] >= start;
        p.gain[i] = in ? gain : p.gain[i];
        p.offset[i] = in ? offset : p.offset[i];
        p.readout[i] = in ? readout : p.readout[i];
        p.code[i] = in ? code : p.code[i];
      }
    }
  }

  template <class Real>
  std::int64_t finish(Part& p, Real* pixels, int count) const {
    const double lowest = n_.lowest, highest = n_.highest, most = n_.saturation;
    const double overload = n_.overload;
    if (n_.zones == 1) std::fill_n(p.code, count, n_.code[0]);
    double over = 0.0;
#pragma omp simd reduction(+ : over)
    for (int i = 0; i < count; ++i) {
      const double value = p.value[i];
      const bool beyond = (value > highest) | (p.photons[i] > most);
      const double kept = (value < lowest ? lowest : value) + p.code[i];
      over += beyond ? 1.0 : 0.0;
      p.value[i] = beyond ? overload : kept;
    }
#pragma omp simd
    for (int i = 0; i < count; ++i) pixels[i] = static_cast<Real>(p.value[i]);
    return static_cast<std::int64_t>(over);
  }

  const Numbers& n_;
};

}  // namespace response
}  // namespace distbragg
