// The spots of one source on a tile, or of lines of a spectrum: found, fitted and put in order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "bands.hpp"
#include "crew.hpp"
#include "cut_spot.hpp"
#include "draw_spot.hpp"
#include "energies.hpp"
#include "fit_spot.hpp"
#include "found.hpp"
#include "line_groups.hpp"
#include "pieces.hpp"
#include "projection.hpp"
#include "spectrum.hpp"
#include "spot.hpp"
#include "table.hpp"

namespace distbragg::closed {

// A lattice in one part of the rotation, and the weight of its spots: its share of the rotation,
// times its scale beside that of the first lattice.
struct Part {
  Crystal crystal;
  double weight;
  std::int32_t lattice;
};

// What was filled before, which the next tile or frame fills again: fresh memory costs more than what
// is written to it. Threads come and go from frame to frame.
struct Room {
  std::vector<Spot> spots;
  std::vector<float> table;

  static Room take() {
    const std::lock_guard<std::mutex> lock(mutex());
    if (kept().empty()) return {};
    Room room = std::move(kept().back());
    kept().pop_back();
    return room;
  }

  static void give_back(std::vector<Spot>& spots, std::vector<float>& table) {
    constexpr std::size_t kMostBytes = std::size_t{32} << 20, kMost = 4;
    if (spots.capacity() * sizeof(Spot) + table.capacity() * sizeof(float) > kMostBytes) return;
    spots.clear();
    table.clear();
    const std::lock_guard<std::mutex> lock(mutex());
    if (kept().size() < kMost) kept().push_back({std::move(spots), std::move(table)});
  }

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::vector<Room>& kept() {
    static std::vector<Room> rooms;
    return rooms;
  }
};

// The spots on one tile of one source, or of lines of a spectrum that share a direction.
class Spots {
 public:
  Spots(const Parameters& p, const std::vector<Part>& parts, const SourceList& sources)
      : p_(p), parts_(parts), energies_(p, sources), in_(incidence(p, sources.front())),
        projection_(p), spectrum_(make_spectrum(sources)), brush_(p, projection_, in_, spectrum_.get()),
        pieces_(p) {
    Room room = Room::take();
    spots_.swap(room.spots);
    table_.swap(room.table);
    for (const Part& part : parts) find(part);
    for (std::size_t n = 0; n < spots_.size(); ++n) {
      if (spots_[n].kind != Kind::kDirect && p.strongest == nullptr) continue;
      spots_[n].each_row(p.slow_start, p.slow_stop, [&](std::int64_t row, std::int64_t start, std::int64_t stop) {
        pieces_.add(static_cast<std::int32_t>(n), row, start, stop);
      });
    }
    pieces_.sort();
  }

  ~Spots() { Room::give_back(spots_, table_); }

  // Sorts the spots that are drawn into the bands of the tile.
  void sort(const Bands& bands) {
    by_band_.fill(bands, spots_.size(), [&](std::size_t n, auto add) {
      const Spot& spot = spots_[n];
      if (spot.kind != Kind::kDirect) add(spot.row_start, spot.row_stop);
    });
  }

  bool draws() const { return !by_band_.empty(); }
  bool drawn_alone() const { return pieces_.empty(); }

  // Draws spots onto a band, for one sample of each pixel; `sums` begins with 0 throughout and has
  // a vector's room more.
  void draw(const Bands& bands, std::int64_t band, std::int64_t sample, double* sums) const {
    const std::int64_t from = bands.start(band), to = bands.stop(band), width = bands.width();
    const Sums of = {table_.data(), shares_.data()};
    // Spots and tables are more than caches hold, and each is taken up where the last one has ended.
    const auto fetch = [&](std::size_t n, std::ptrdiff_t ahead) {
      const Spot& spot = spots_[n];
      if (ahead > 1) return spot.fetch();
      if (sums_lines(spot.kind)) spot.fetch_table(table_.data());
    };
    const Canvas canvas = {sums, from, to, p_.fast_start, p_.fast_stop, width};
    by_band_.each(band, fetch,
                  [&](std::size_t n) { brush_.draw(spots_[n], of, sample, canvas); });
  }

  // Calls work(spot, first, last) for those in pieces that may cover lanes of a block, which lie in
  // one row of the panel.
  template <class Work>
  void each(std::int64_t row, const double* fast, int from, int to, Work work) const {
    const std::int64_t least = static_cast<std::int64_t>(fast[from]);
    const std::int64_t most = static_cast<std::int64_t>(fast[to - 1]);
    pieces_.each(row, least, most, [&](const Piece& piece) {
      const int first = lane_of(piece.start, fast, from, to);
      const int last = first < to ? lane_of(piece.stop, fast, first, to) : first;
      if (first < last) work(spots_[static_cast<std::size_t>(piece.spot)], first, last);
    });
  }

  // Draws a spot onto lanes in one row, whose pixels need not be neighbours, for one sample.
  void draw(const Spot& spot, std::int64_t sample, const PixelNumbers& pixel, int first, int last,
            double* sum) const {
    double drawn[kLanes + kWide];
    for (int from = first, to; from < last; from = to) {
      to = from + 1;
      while (to < last && pixel.fast[to] == pixel.fast[to - 1] + 1.0) ++to;
      std::fill(drawn, drawn + (to - from) + kWide, 0.0);
      const std::int64_t row = static_cast<std::int64_t>(pixel.slow[from]);
      const std::int64_t column = static_cast<std::int64_t>(pixel.fast[from]);
      const Canvas canvas = {drawn, row, row + 1, column, column + (to - from), to - from};
      brush_.draw(spot, {table_.data(), shares_.data()}, sample, canvas);
      for (int i = from; i < to; ++i) sum[i] += drawn[i - from];
    }
  }

  // Adds a spot that is evaluated at every pixel to lanes in one row.
  void add(const Spot& spot, const Directions& d, int first, int last, double* sum) const {
    brush_.add(spot, spindle(), {table_.data(), shares_.data()}, d, first, last, sum);
  }

  // At most this much is left out of any pixel, in the unit of the spots.
  double left_out() const { return left_out_; }

  // Whether the weights of the sources are in the spots, and in the background.
  bool weighted() const { return spectrum_ != nullptr; }
  const Amorphous& amorphous() const { return amorphous_; }
  double weight() const { return spectrum_->weight; }

  std::size_t bytes() const {
    return spots_.size() * sizeof(Spot) + growing_.size() * sizeof(Growing) + pieces_.bytes() +
           (table_.size() + shares_.size()) * sizeof(float);
  }

 private:
  // Finds the spots of a lattice in a part of the rotation.
  void find(const Part& of) {
    const Crystal& part = of.crystal;
    const double share = of.weight;
    double brightest = 0.0, largest = 0.0;  // what a pixel sees of |F|²/√|Σ|, and √|Σ|
    const auto places = find_places(part, in_);
    make_room(places->size() * parts_.size());
    SpotCutter cutter(projection_, SpotFitter(p_, in_, spectrum_.get(), projection_.depth()),
                      part.spindle, shares_, table_, [&](Spot& spot) { keep(spot); });
    Ahead ahead;
    for (std::size_t n = 0; n < places->size(); ++n) {
      if (n % kPlaces == 0) look_ahead(*places, n, ahead);
      const Place& place = (*places)[n];
      const std::size_t shares = shares_.size();
      const double height = energies_.follow() ? mean(place) : ahead.squared[n % kPlaces];
      if (!(height > 0.0)) {
        shares_.resize(shares);
        continue;
      }
      stop_if_asked(p_.stop);
      brightest = larger(height / place.size * projection_.most_of(place), brightest);
      largest = larger(place.size, largest);
      Spot spot;
      spot.name = {of.lattice, place.h, place.k, place.l};
      Rectangle box;
      if (ahead.beside[n % kPlaces] || !projection_.project(place, spot, box)) {
        shares_.resize(shares);
        continue;
      }
      spot.shares = static_cast<std::int64_t>(shares);
      spot.height = height * share * (weighted() ? weight() : 1.0);
      Growing* growing = part.strains.count > 0 ? &growing_.emplace_back() : nullptr;
      spot.relp = Relp(place.relp, part.covariance, part.mosaic, part.strains, growing);
      spot.kind = Kind::kDirect;
      if (p_.double_precision == 0) {
        if (!cutter.fit(spot)) continue;
        if (spot.kind == Kind::kDirect && cutter.cut(spot, box)) continue;
      }
      keep(spot);
    }
    left_out_ += share * left_out(part, brightest, largest);
  }

  static constexpr std::size_t kPlaces = Points::kMost;  // that are looked at side by side

  struct Ahead {
    bool beside[kPlaces];     // the tile
    double squared[kPlaces];  // |F|², where it does not follow the energy
  };

  // Looks at some places: all entries of the table, which lie apart in memory, are waited for at once.
  void look_ahead(const Places& places, std::size_t from, Ahead& ahead) const {
    const int count = static_cast<int>(std::min(kPlaces, places.size() - from));
    const Place* first = places.data() + from;
    projection_.find_beside(first, count, ahead.beside);
    if (energies_.follow()) return;
    const auto look_up = [&](const auto& table) {
      for (int i = 0; i < count; ++i) {
        const Place& at = first[i];
        ahead.squared[i] = static_cast<double>(table.at(at.h, at.k, at.l));
      }
    };
    if (p_.double_precision != 0) look_up(Table<double>(p_));
    else look_up(Table<float>(p_));
  }

  // Keeps a spot, whose table was appended last.
  void keep(Spot& spot) {
    if (spot.kind == Kind::kLines) shorten(spot);
    spots_.push_back(spot);
  }

  // Makes cubics of the table of a spot, where they hold.
  void shorten(Spot& spot) {
    alignas(64) float pieces[Cubics::kSize];
    const auto start = static_cast<std::size_t>(spot.table);
    const int length = Cubics::make(table_.data() + start, static_cast<int>(spot.table_end), pieces);
    if (length == 0) return;
    const float per = 1.0f / static_cast<float>(length);
    for (float& part : spot.at.c) part *= per;
    spot.table_end *= per;
    spot.kind = Kind::kCubics;
    table_.resize(start);
    table_.insert(table_.end(), pieces, pieces + Cubics::kSize);
  }

  // Room for the spots of so many reflections, which then need not move. What is not written to
  // takes no memory.
  void make_room(std::size_t places) {
    constexpr std::size_t kEntries = 256, kMostPlaces = std::size_t{1} << 16;
    places = std::min(places, kMostPlaces);
    spots_.reserve(places);
    if (spectrum_ != nullptr) table_.reserve(kEntries * places);
  }

  // Of one part e^(−½ χ²) of the brightest there may be, summed over all lattice points that lie χ
  // beyond the cut.
  static double left_out(const Crystal& crystal, double brightest, double largest) {
    constexpr double kFourPi = 12.5663706143591729539;
    const double volume = 1.0 / std::fabs(dot(crystal.a, across(crystal.b, crystal.c)));
    const double cut = crystal.cut, share = std::exp(-0.5 * cut * cut);
    const double points = 1.0 + kFourPi * largest * volume * (cut + 1.0 / cut);
    return brightest * std::sqrt(determinant(crystal.covariance)) * share * points;
  }

  // All lattices turn alike.
  const Spindle& spindle() const { return parts_.front().crystal.spindle; }
  bool rotates() const { return parts_.front().crystal.rotates(); }

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

  // The mean of |F|² over the sources, whose parts are then appended to `shares_`.
  double mean(const Place& at) {
    const double mean = energies_.mean(at, of_mean_);
    if (weighted()) spectrum_->shares(of_mean_, shares_);
    return mean;
  }

  // In mixed precision lines are taken together, where the crystal stands still.
  std::unique_ptr<const Spectrum> make_spectrum(const SourceList& sources) {
    const bool together = p_.double_precision == 0 && !rotates();
    if (!together || (sources.size() == 1 && in_.width == 0.0)) return nullptr;
    auto spectrum = std::make_unique<const Spectrum>(p_, sources);
    in_.wavenumber = spectrum->middle;
    in_.low = spectrum->low;
    in_.high = spectrum->high;
    in_.gap = spectrum->gap;
    in_.width = p_.bandwidth * in_.wavenumber;
    if (p_.background_scale != 0.0) amorphous_ = Amorphous(p_, sources);
    return spectrum;
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

  const Parameters& p_;
  const std::vector<Part>& parts_;
  double left_out_ = 0.0;
  Amorphous amorphous_;
  const Energies energies_;
  Incidence in_;
  const Projection projection_;
  const std::unique_ptr<const Spectrum> spectrum_;  // none: one source, as it is
  const SpotBrush brush_;
  std::vector<Spot> spots_;
  std::deque<Growing> growing_;  // of a spread of cells, spot by spot; they stay where they are
  std::vector<float> table_;   // sums over the lines, spot by spot
  std::vector<float> shares_;  // of terms of |F| by energy, likewise
  std::vector<double> of_mean_;
  SpotsByBand by_band_;
  Pieces pieces_;  // of spots that are evaluated at every pixel; of all, to tell the strongest
};

}  // namespace distbragg::closed
