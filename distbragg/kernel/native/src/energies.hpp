// |F|² where it follows the energy: Σ c B with tables B and coefficients c of each source.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "generated.hpp"
#include "line_groups.hpp"
#include "near_sphere.hpp"
#include "table.hpp"

namespace distbragg::closed {

// Of sources that are taken together.
class Energies {
 public:
  Energies(const Parameters& p, const SourceList& sources)
      : p_(p), look_(p), mean_(static_cast<std::size_t>(p.tables), 0.0) {
    double total = 0.0;
    for (const std::int64_t s : sources) total += p.source_weight[s];
    for (const std::int64_t s : sources) {
      const double share = sources.size() == 1 ? 1.0 : p.source_weight[s] / total;
      for (std::size_t m = 0; m < mean_.size(); ++m) {
        mean_[m] = madd(share, p.coefficients[static_cast<std::size_t>(s) * mean_.size() + m],
                        mean_[m]);
      }
    }
  }

  // Whether |F| follows the energy at all.
  bool follow() const { return !mean_.empty(); }

  // The mean of |F|² over the sources by their weights, in units of the table's scale; fills what
  // each table is of it.
  double mean(const Place& at, std::vector<double>& parts) const {
    const double* table =
        p_.by_energy + static_cast<std::size_t>(look_.place(at.h, at.k, at.l)) * mean_.size();
    double sum = 0.0;
    for (std::size_t m = 0; m < mean_.size(); ++m) sum = madd(mean_[m], table[m], sum);
    const double over = sum > 0.0 ? 1.0 / sum : 0.0;
    parts.resize(mean_.size());
    for (std::size_t m = 0; m < mean_.size(); ++m) parts[m] = table[m] * over;
    return sum;
  }

 private:
  const Parameters& p_;
  const Table<double> look_;
  std::vector<double> mean_;  // of the coefficients
};

}  // namespace distbragg::closed
