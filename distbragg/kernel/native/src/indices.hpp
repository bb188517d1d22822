// From the places of pixels to Miller indices.
//
// An index is a·q with q = (P/|P| − i)/λ. On a flat panel the place P is linear in the pixel's
// coordinates f and s, and so is a·P: with its four numbers scaled by 1/λ an index takes three
// fused multiply-adds of f, s and 1/|P|, or two along a row. Which of the two changes no bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "approx.hpp"
#include "geometry.hpp"

namespace distbragg {

// One index: (start + across · s + along · f) · inverse + shift.
struct Axis {
  double along, across, start, shift;

  Axis(const double* v, const Frame& frame, const Source& s) {
    const double w = s.inverse_wavelength;
    const Vector a = {v[0] * w, v[1] * w, v[2] * w};
    along = dot(a, frame.fast);
    across = dot(a, frame.slow);
    start = dot(a, frame.start);
    shift = -dot(a, s.incident);
  }
};

// A domain as a source sees it from the pixels of a sample, by its cell vectors.
struct Domain {
  Axis h, k, l;

  Domain(const double* vectors, const Frame& frame, const Source& s)
      : h(vectors, frame, s), k(vectors + 3, frame, s), l(vectors + 6, frame, s) {}

  // The same for pixels of one row.
  void lay_along(double row) {
    h.start = madd(h.across, row, h.start);
    k.start = madd(k.across, row, k.start);
    l.start = madd(l.across, row, l.start);
  }
};

// The domains as every source sees them, for every sensor layer: made once where they are few.
class Domains {
 public:
  Domains(const Parameters& p, const std::vector<Source>& sources) : p_(p) {
    const std::int64_t views = static_cast<std::int64_t>(sources.size()) * p.layers;
    if (views * p.domains > kMostKept) return;
    kept_.reserve(static_cast<std::size_t>(views * p.domains));
    for (const Source& source : sources) {
      for (std::int64_t layer = 0; layer < p.layers; ++layer) {
        const Frame frame(p, layer);
        for (std::int64_t d = 0; d < p.domains; ++d) {
          kept_.emplace_back(p.domain_vectors + 9 * d, frame, source);
        }
      }
    }
  }

  Domain of(std::int64_t number, const Scattering& q) const {
    const std::int64_t layer = q.directions->layer;
    if (kept_.empty()) {
      return Domain(p_.domain_vectors + 9 * number, Frame(p_, layer), *q.source);
    }
    const std::int64_t view = q.source_number * p_.layers + layer;
    return kept_[static_cast<std::size_t>(view * p_.domains + number)];
  }

 private:
  // More would leave too little of the second-level cache.
  static constexpr std::int64_t kMostKept = 2048;

  const Parameters& p_;
  std::vector<Domain> kept_;
};

// The numbers of pixels that indices are made from: see Form.
struct Places {
  const double *one, *two, *three;

  Places(const Directions& d, int first) {
    const bool curved = d.form == Form::kCurved;
    one = (curved ? d.x : d.fast) + first;
    two = (curved ? d.y : d.slow) + first;
    three = (curved ? d.z : d.inverse) + first;
  }
};

template <Form kForm>
DISTBRAGG_INLINE double index_of(const Axis& a, double one, double two, double three) {
  if constexpr (kForm == Form::kRow) {
    return madd(madd(a.along, one, a.start), three, a.shift);
  } else if constexpr (kForm == Form::kRows) {
    return madd(madd(a.along, one, madd(a.across, two, a.start)), three, a.shift);
  } else {
    return madd(a.along, one, madd(a.across, two, madd(a.start, three, a.shift)));
  }
}

DISTBRAGG_INLINE double nearest(double h) { return std::ceil(h - 0.5); }

}  // namespace distbragg
