// Samples and sources of a set of pixels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "crew.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "lattice.hpp"
#include "noise.hpp"

namespace distbragg {

// Directions of up to this many samples (layers × sub-pixels) of a block are kept from source
// to source; more would leave the second-level cache and are made again.
constexpr std::int64_t kKeptSamples = 32;

constexpr double kChordMargin = 1e-9;  // against rounding

// A source and a domain that may be seen somewhere.
struct Pair {
  std::int32_t source, domain;
};

struct Workspace {
  std::vector<Directions> directions;
  PixelNumbers pixel;
  Scattering scattering;
  Chosen chosen;
  std::int64_t places[kLanes];
  alignas(64) double contribution[kLanes];
  alignas(64) double numerator[kLanes];
  double skipped = 0.0;        // greatest of any pixel seen by this thread
  std::int64_t evaluated = 0;  // steps of this thread
  std::vector<std::int32_t> numbers;  // of domains that are looked for
  std::vector<std::uint64_t> hits;    // spots in groups of an area, see spots.hpp
  std::vector<Pair> pairs;            // of one group
  std::vector<double> images;         // of spots, drawn onto a band of rows
  noise::Waiting waiting;             // pixels whose counts are still to be drawn
  explicit Workspace(std::int64_t kept) : directions(static_cast<std::size_t>(kept)) {}
};

// What both ways of going through the pixels share: samples, sources and their factors.
class SampleSum {
 public:
  explicit SampleSum(const Parameters& p)
      : p_(p), background_(p), sources_(make_sources(p)), steps_(make_step_sum(p, sources_)),
        samples_(p.layers * p.oversample * p.oversample) {}

  const std::vector<Source>& sources() const { return sources_; }
  const StepSum& steps() const { return *steps_; }
  std::int64_t per_source() const { return samples_; }

  std::vector<std::unique_ptr<Workspace>> workspaces(std::int64_t pieces) const {
    const std::int64_t threads = std::max<std::int64_t>(1, std::min(p_.threads, pieces));
    std::vector<std::unique_ptr<Workspace>> spaces;
    for (std::int64_t t = 0; t < threads; ++t) {
      spaces.push_back(std::make_unique<Workspace>(keeps_all() ? samples_ : 1));
    }
    return spaces;
  }

  // Makes the directions that are kept from source to source.
  template <int kCount>
  void aim_all(Workspace& w) const {
    if (!keeps_all()) return;
    const auto wanted = static_cast<std::size_t>(samples_);
    if (w.directions.size() < wanted) w.directions.resize(wanted);
    for (std::int64_t k = 0; k < samples_; ++k) {
      aim<kCount>(w.pixel, k, w.directions[static_cast<std::size_t>(k)]);
    }
  }

  // Whether any pixel may see any source. `aim_all` went before.
  bool meets(const Workspace& w) const {
    if (p_.source_chord == nullptr || !keeps_all()) return true;
    const Vector beam = load(p_.beam);
    double off = 0.0, low = HUGE_VAL, high = 0.0;
    for (const Source& source : sources_) {
      const Vector from = source.incident;
      off = std::max(off, std::sqrt(chord_squared(beam, from.x, from.y, from.z)));
      low = std::min(low, std::sqrt(std::max(source.least, 0.0)));
      high = std::max(high, std::sqrt(source.greatest));
    }
    double least = HUGE_VAL, most = 0.0;
    for (std::int64_t k = 0; k < samples_; ++k) {
      const Directions& d = w.directions[static_cast<std::size_t>(k)];
#pragma omp simd reduction(min : least) reduction(max : most)
      for (int i = 0; i < kLanes; ++i) {
        const double square = chord_squared(beam, d.x[i], d.y[i], d.z[i]);
        least = std::min(least, square);
        most = std::max(most, square);
      }
    }
    off += kChordMargin;
    return std::sqrt(most) + off >= low && std::sqrt(least) - off <= high;
  }

  // numerator += weight × Σ over layers and sub-pixels; add_steps(scattering) fills its sum. A
  // source's own sum is finished first, so that it has the same bits in every chunk.
  template <int kCount, class AddSteps>
  void add_source(const Source& source, Workspace& w, AddSteps add_steps) const {
    stop_if_asked(p_.stop);
    const double scale = p_.spot_scale * p_.table_scale, weight = source.weight;
    double* numerator = w.numerator;
    if (samples_ == 1) {
      // One pass less over the block; rounds as the general way does.
      const double* factor = sum_steps<kCount>(source, w.directions[0], w, add_steps);
      if (factor == nullptr) return;
      const double* sum = sums_of(w.scattering);
#pragma omp simd
      for (int i = 0; i < kCount; ++i) {
        numerator[i] = madd(weight, factor[i] * (scale * sum[i]), numerator[i]);
      }
      return;
    }
    double* contribution = w.contribution;
    std::fill(contribution, contribution + kCount, 0.0);
    for (std::int64_t k = 0; k < samples_; ++k) {
      stop_if_asked(p_.stop);
      Directions& directions = w.directions[keeps_all() ? static_cast<std::size_t>(k) : 0];
      if (!keeps_all()) aim<kCount>(w.pixel, k, directions);
      const double* factor = sum_steps<kCount>(source, directions, w, add_steps);
      if (factor == nullptr) continue;
      const double* sum = sums_of(w.scattering);
#pragma omp simd
      for (int i = 0; i < kCount; ++i) {
        contribution[i] = madd(factor[i], scale * sum[i], contribution[i]);
      }
    }
#pragma omp simd
    for (int i = 0; i < kCount; ++i) numerator[i] = madd(weight, contribution[i], numerator[i]);
  }

 private:
  static const double* sums_of(const Scattering& q) {
    return q.drawn == nullptr ? q.sum : q.drawn;
  }

  bool keeps_all() const { return samples_ <= kKeptSamples; }

  template <int kCount>
  void aim(const PixelNumbers& pixel, std::int64_t sample, Directions& directions) const {
    const std::int64_t n = p_.oversample;
    const std::int64_t sub = sample % (n * n);
    make_directions<kCount>(p_, pixel, sample / (n * n), static_cast<int>(sub / n),
                            static_cast<int>(sub % n), directions);
  }

  // Fills q.sum with the steps of one sample and returns the factors to multiply it with, or
  // null where every pixel is 0.
  template <int kCount, class AddSteps>
  const double* sum_steps(const Source& source, const Directions& directions, Workspace& w,
                          AddSteps add_steps) const {
    Scattering& q = w.scattering;
    q.directions = &directions;
    q.source = &source;
    q.source_number = &source - sources_.data();
    q.chosen = &w.chosen;
    q.drawn = nullptr;
    const bool visible =
        within_furthest<kCount>(p_, q) && (!cuts(p_) || cut_resolution<kCount>(p_, q));
    const bool background = p_.background_scale != 0.0;
    if (!visible && !background) return nullptr;
    if (visible) {
      add_steps(q);
    } else {
      std::fill(q.sum, q.sum + kCount, 0.0);
    }
    if (q.drawn != nullptr && (background || cuts(p_))) {
      std::copy(q.drawn, q.drawn + kCount, q.sum);
      q.drawn = nullptr;
    }
    if (visible && cuts(p_)) {
#pragma omp simd
      for (int i = 0; i < kCount; ++i) q.sum[i] *= q.kept[i];
    }
    if (background) add_background<kCount>(p_, background_, q);
    if (!p_.polarization) return directions.factor;
    polarize<kCount>(p_, source, directions, q.factor);
    return q.factor;
  }

  static std::vector<Source> make_sources(const Parameters& p) {
    std::vector<Source> sources;
    for (std::int64_t s = p.source_start; s < p.source_stop; ++s) sources.emplace_back(p, s);
    return sources;
  }

  const Parameters& p_;
  const BackgroundTable background_;
  const std::vector<Source> sources_;
  const std::unique_ptr<StepSum> steps_;
  const std::int64_t samples_;
};

}  // namespace distbragg
