// Which sources of one direction are taken together: lines that are neighbours in wavenumber.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "generated.hpp"

namespace distbragg {

// Numbers of sources, ascending.
using SourceList = std::vector<std::int64_t>;

// Sources [first, last), of one direction, in groups by wavenumber, whatever their order. A run of
// lines too long for one group is cut into equal parts.
inline std::vector<SourceList> groups_of_lines(const Parameters& p, std::int64_t first,
                                               std::int64_t last) {
  const auto wavenumber = [&p](std::int64_t s) { return 1.0 / p.source_wavelength[s]; };
  SourceList order;
  for (std::int64_t s = first; s < last; ++s) order.push_back(s);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return wavenumber(a) < wavenumber(b);
  });
  std::vector<SourceList> groups;
  for (auto from = order.begin(), to = from; from != order.end(); from = to) {
    for (++to; to != order.end(); ++to) {
      if (wavenumber(*to) > (1.0 + p.line_gap) * wavenumber(*(to - 1))) break;
    }
    const double low = wavenumber(*from), span = wavenumber(*(to - 1)) / low - 1.0;
    const double parts = std::max(1.0, std::ceil(span / p.line_span));
    double latest = -1.0;
    for (auto line = from; line != to; ++line) {
      const double away = span > 0.0 ? (wavenumber(*line) / low - 1.0) / span : 0.0;
      const double part = std::min(std::floor(away * parts), parts - 1.0);
      if (part > latest) groups.emplace_back();
      latest = part;
      groups.back().push_back(*line);
    }
  }
  for (SourceList& group : groups) std::sort(group.begin(), group.end());
  return groups;
}

}  // namespace distbragg
