// The lines of a spectrum that are taken together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "approx.hpp"
#include "generated.hpp"
#include "latest.hpp"
#include "line_groups.hpp"
#include "smoothed_lines.hpp"

namespace distbragg::closed {

// Sources of one direction that are taken together.
class Spectrum {
 public:
  Spectrum(const Parameters& p, const SourceList& sources) {
    double least = HUGE_VAL, most = 0.0;
    for (const std::int64_t s : sources) {
      least = smaller(least, 1.0 / p.source_wavelength[s]);
      most = larger(most, 1.0 / p.source_wavelength[s]);
      weight += p.source_weight[s];
    }
    middle = 0.5 * (least + most);
    low = least - middle;
    high = most - middle;
    SourceList order = sources;
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return 1.0 / p.source_wavelength[a] - middle < 1.0 / p.source_wavelength[b] - middle;
    });
    const std::size_t tables = static_cast<std::size_t>(p.tables);
    for (const std::int64_t s : order) {
      const Line line = {1.0 / p.source_wavelength[s] - middle, p.source_weight[s] / weight};
      if (lines_.empty() || lines_.back().at != line.at) {
        lines_.push_back({line.at, 0.0});
        by_term_.resize(by_term_.size() + tables, 0.0);
      }
      lines_.back().weight += line.weight;
      for (std::size_t m = 0; m < tables; ++m) {
        by_term_[by_term_.size() - tables + m] +=
            line.weight * p.coefficients[static_cast<std::size_t>(s) * tables + m];
      }
    }
    if (tables > 0) find_terms(tables);
    for (const Line& line : lines_) {
      if (!at_.empty()) gap = larger(gap, line.at - at_.back());
      at_.push_back(line.at);
      weight_.push_back(line.weight);
    }
    if (at_.size() == 1) gap = HUGE_VAL;
  }

  double middle, low, high;  // wavenumber in the middle, and the ends from there
  double gap = 0.0;          // the widest between two lines
  double weight = 0.0;       // of all lines

  const std::vector<Line>& lines() const { return lines_; }

  // The lines from one wavenumber to another, from the middle.
  struct Range {
    std::size_t first, last;
    std::size_t count() const { return last - first; }
  };
  Range between(double from, double to) const {
    const auto begin = at_.begin(), first = std::lower_bound(begin, at_.end(), from);
    const auto last = std::upper_bound(first, at_.end(), to);
    return {static_cast<std::size_t>(first - begin), static_cast<std::size_t>(last - begin)};
  }

  // Appends the share of each term for a reflection, of whose mean |F|² each table is such a part.
  void shares(const std::vector<double>& parts, std::vector<float>& out) const {
    for (std::size_t t = 0; t < terms_; ++t) {
      double sum = 0.0;
      for (std::size_t m = 0; m < parts.size(); ++m) {
        sum = madd(of_tables_[t * parts.size() + m], parts[m], sum);
      }
      out.push_back(static_cast<float>(sum));
    }
  }

  // The weights of the lines for a reflection of such shares; their own where |F| does not follow
  // the energy.
  const double* weights(const float* shares, std::vector<double>& own) const {
    if (by_term_.empty()) return weight_.data();
    const std::size_t tables = terms_;
    own.resize(lines_.size());
    for (std::size_t n = 0; n < lines_.size(); ++n) {
      double sum = 0.0;
      for (std::size_t m = 0; m < tables; ++m) {
        sum = madd(static_cast<double>(shares[m]), by_term_[n * tables + m], sum);
      }
      own[n] = larger(sum, 0.0);
    }
    return own.data();
  }

  // ln Σ w exp(−½ x² + skew x³), x = (line − at)/width.
  double log_of_sum(double at, double width, double skew, const double* weights) const {
    return skew == 0.0 ? log_of_sum<false>(at, width, skew, weights)
                       : log_of_sum<true>(at, width, skew, weights);
  }

  // The sums for widths from 2^octave on; kept from before where the lines are the same.
  const SmoothedLines& smoothed(int octave) const {
    auto& own = octaves_[octave];
    if (own == nullptr) own = shared(lines_, by_term_, octave);
    return *own;
  }

 private:
  // The fall of a line's logarithm: far from the top, where a cubic would rise again, at least half
  // that of the parabola.
  template <bool kSkewed>
  static DISTBRAGG_INLINE double fall(double off, double skew) {
    if constexpr (!kSkewed) return 0.5 * off * off;
    const double bent = madd(-2.0 * skew, off, 1.0);
    return 0.5 * off * off * smaller(larger(bent, 0.5), 1.5);
  }

  template <bool kSkewed>
  double log_of_sum(double at, double width, double skew, const double* weights) const {
    const double per = 1.0 / width;
    const auto after = std::lower_bound(at_.begin(), at_.end(), at);
    double least = HUGE_VAL;
    if (after != at_.end()) least = fall<kSkewed>((*after - at) * per, skew);
    if (after != at_.begin()) least = smaller(least, fall<kSkewed>((*(after - 1) - at) * per, skew));
    constexpr std::size_t kSums = 16;
    float sums[kSums] = {};
    for (std::size_t from = 0; from < at_.size(); from += kSums) {
      const std::size_t count = std::min(kSums, at_.size() - from);
      const double *line = at_.data() + from, *share = weights + from;
#pragma omp simd
      for (std::size_t i = 0; i < count; ++i) {
        const double log = smaller(least - fall<kSkewed>((line[i] - at) * per, skew), 0.0);
        const float seen = exp_poly<true>(static_cast<float>(log));
        sums[i] = madd(static_cast<float>(share[i]), seen, sums[i]);
      }
    }
    double total = 1e-300;
    for (const float sum : sums) total += static_cast<double>(sum);
    return log_poly(total) - least;
  }

  // Finds the terms that the weights of all tables are sums of, to kApart of each: at few lines, or
  // far from an edge, they are fewer than the tables. By Gram and Schmidt.
  void find_terms(std::size_t tables) {
    constexpr double kApart = 1e-6;
    const std::size_t count = lines_.size();
    std::vector<std::vector<double>> rest(tables, std::vector<double>(count)), terms;
    std::vector<double> size(tables);
    for (std::size_t m = 0; m < tables; ++m) {
      for (std::size_t n = 0; n < count; ++n) rest[m][n] = by_term_[n * tables + m];
      size[m] = std::sqrt(product(rest[m], rest[m]));
    }
    for (;;) {
      std::size_t chosen = tables;
      double most = kApart;
      for (std::size_t m = 0; m < tables; ++m) {
        const double left = std::sqrt(product(rest[m], rest[m]));
        if (left > most * size[m]) most = left / size[m], chosen = m;
      }
      if (chosen == tables) break;
      std::vector<double> term = rest[chosen];
      const double over = 1.0 / std::sqrt(product(term, term));
      for (double& part : term) part *= over;
      for (std::size_t m = 0; m < tables; ++m) {
        const double share = product(rest[m], term);
        of_tables_.push_back(share);
        for (std::size_t n = 0; n < count; ++n) rest[m][n] = madd(-share, term[n], rest[m][n]);
      }
      std::fill(rest[chosen].begin(), rest[chosen].end(), 0.0);
      terms.push_back(term);
    }
    terms_ = terms.size();
    by_term_.assign(count * terms_, 0.0);
    for (std::size_t t = 0; t < terms_; ++t) {
      for (std::size_t n = 0; n < count; ++n) by_term_[n * terms_ + t] = terms[t][n];
    }
  }

  static double product(const std::vector<double>& one, const std::vector<double>& other) {
    double sum = 0.0;
    for (std::size_t n = 0; n < one.size(); ++n) sum = madd(one[n], other[n], sum);
    return sum;
  }

  static std::shared_ptr<const SmoothedLines> shared(const std::vector<Line>& lines,
                                                     const std::vector<double>& by_term,
                                                     int octave) {
    struct Key {
      std::vector<Line> lines;
      std::vector<double> by_term;
      int octave;
      bool operator==(const Key& other) const {
        return octave == other.octave && lines == other.lines && by_term == other.by_term;
      }
    };
    constexpr std::size_t kMostBytes = std::size_t{32} << 20;  // a wide spectrum has many groups
    static Latest<Key, SmoothedLines> latest(kMostBytes);
    const Key wanted = {lines, by_term, octave};
    if (auto found = latest.find(wanted)) return found;
    auto made = std::make_shared<const SmoothedLines>(lines, by_term, octave);
    latest.add(wanted, made, made->bytes());
    return made;
  }

  std::vector<Line> lines_;  // by their wavenumbers; one of each
  std::vector<double> by_term_;  // (lines, terms), where |F| follows the energy
  std::vector<double> of_tables_;  // (terms, tables): what terms the tables' weights are made of
  std::size_t terms_ = 0;
  std::vector<double> at_, weight_;
  mutable std::map<int, std::shared_ptr<const SmoothedLines>> octaves_;
};

}  // namespace distbragg::closed
