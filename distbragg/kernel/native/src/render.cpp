// Renders the un-normalised numerator of one tile × source chunk on the CPU.
//
// Active pixels are listed and cut into fixed blocks; a block is rendered by one thread from
// first to last source, so neither the tile's shape nor the number of threads touches the
// order of any sum.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "areas.hpp"
#include "closed_sum.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "moments.hpp"
#include "noise.hpp"
#include "output.hpp"
#include "point_spread.hpp"
#include "response.hpp"
#include "samples.hpp"
#include "series.hpp"
#include "tape.hpp"

namespace distbragg {
namespace {

// The active pixels of the tile, counted row by row so that a block finds its own.
class ActivePixels {
 public:
  ActivePixels(const Parameters& p, const Output& output)
      : p_(p), output_(output), width_(p.fast_stop - p.fast_start), start_(1, 0) {
    const std::int64_t rows = p.slow_stop - p.slow_start;
    start_.reserve(static_cast<std::size_t>(rows) + 1);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t idle = idle_in(row);
      start_.push_back(start_.back() + width_ - idle);
      if (idle != 0) output.clear_row(row);
    }
  }

  std::int64_t count() const { return start_.back(); }
  // How many lie above a row of the panel.
  std::int64_t above(std::int64_t row) const {
    return start_[static_cast<std::size_t>(row - p_.slow_start)];
  }

  // The pixels from number `first` on, to `stop` at most: their numbers on the panel and places in the output.
  // Spare lanes repeat the last pixel: real numbers, never stored. Returns the lanes in use.
  int list(std::int64_t first, std::int64_t stop, PixelNumbers& pixel,
           std::int64_t* places) const {
    const auto after = std::upper_bound(start_.begin(), start_.end(), first);
    std::int64_t row = (after - start_.begin()) - 1;
    std::int64_t skip = first - start_[static_cast<std::size_t>(row)];
    const int wanted = static_cast<int>(std::min<std::int64_t>(kLanes, stop - first));
    int lane = 0;
    for (; lane < wanted; ++row, skip = 0) {
      const bool full = start_[static_cast<std::size_t>(row) + 1] -
                            start_[static_cast<std::size_t>(row)] == width_;
      if (full) {
        const int end = static_cast<int>(std::min<std::int64_t>(lane + width_ - skip, wanted));
        const double slow = static_cast<double>(p_.slow_start + row);
        const double fast = static_cast<double>(p_.fast_start + skip - lane);
        const std::int64_t place = output_.place(row, skip - lane);
#pragma omp simd
        for (int i = lane; i < end; ++i) {
          pixel.slow[i] = slow;
          pixel.fast[i] = fast + i;
          places[i] = place + i;
        }
        lane = end;
        continue;
      }
      for (std::int64_t column = 0; column < width_ && lane < wanted; ++column) {
        if (!p_.active[row * width_ + column] || skip-- > 0) continue;
        pixel.slow[lane] = static_cast<double>(p_.slow_start + row);
        pixel.fast[lane] = static_cast<double>(p_.fast_start + column);
        places[lane++] = output_.place(row, column);
      }
    }
    for (; lane < kLanes; ++lane) {
      pixel.slow[lane] = pixel.slow[wanted - 1];
      pixel.fast[lane] = pixel.fast[wanted - 1];
    }
    return wanted;
  }

 private:
  std::int64_t idle_in(std::int64_t row) const {
    if (p_.active == nullptr) return 0;
    const std::uint8_t* active = p_.active + row * width_;
    return static_cast<std::int64_t>(std::count(active, active + width_, std::uint8_t{0}));
  }

  const Parameters& p_;
  const Output& output_;
  const std::int64_t width_;
  std::vector<std::int64_t> start_;
};

// Lattices that are summed step by step, beside others.
class Lattices {
 public:
  Lattices(const Parameters* own, std::int64_t count) {
    for (std::int64_t n = 0; n < count; ++n) {
      lattices_.push_back(std::make_unique<const SampleSum>(own[n]));
    }
  }

  void add(Workspace& w) const {
    for (const auto& lattice : lattices_) add(*lattice, w);
  }

  // The same where lattices have samples of their own.
  void aim_and_add(Workspace& w) const {
    for (const auto& lattice : lattices_) {
      lattice->aim_all<kLanes>(w);
      if (lattice->meets(w)) add(*lattice, w);
    }
  }

  static void add(const SampleSum& lattice, Workspace& w) {
    for (const Source& source : lattice.sources()) {
      lattice.add_source<kLanes>(source, w, [&](Scattering& q) { lattice.steps().run(q); });
    }
  }

 private:
  std::vector<std::unique_ptr<const SampleSum>> lattices_;
};

// Every pixel and every domain of every lattice, exact zeros aside: blocks of active pixels, row by row.
void render_blocks(const Parameters& p, const SampleSum& samples) {
  const Output output(p);
  const ActivePixels pixels(p, output);
  const std::int64_t blocks = (pixels.count() + kLanes - 1) / kLanes;
  auto spaces = samples.workspaces(blocks);
  const Lattices others(p.other, p.others);
  share_out(blocks, spaces, [&](std::int64_t block, Workspace& w) {
    const int count = pixels.list(block * kLanes, pixels.count(), w.pixel, w.places);
    samples.aim_all<kLanes>(w);
    std::fill(w.numerator, w.numerator + kLanes, 0.0);
    Lattices::add(samples, w);
    others.add(w);
    output.put(w.numerator, w.places, count, w.waiting);
  });
  for (const auto& space : spaces) output.finish(space->waiting);
}

// The source whose spots are added, or the first of those whose spots are taken together.
Source source_of(const Parameters& p, const SampleSum& samples, std::int64_t one,
                 const closed::Spots& lit) {
  Source from = samples.sources()[static_cast<std::size_t>(one - p.source_start)];
  if (lit.weighted()) {
    from.weight = 1.0;  // the spots are weighted themselves
    from.amorphous = &lit.amorphous();
  }
  return from;
}

// What each reflection gives to the pixels of a block, in order of their names.
using Rivals = std::map<closed::Name, std::array<double, kLanes>>;

// Writes the name of that which gives most, the first of those that give the same.
void tell_strongest(const Rivals& rivals, const std::int64_t* places, int count, double* told) {
  for (int i = 0; i < count; ++i) {
    double most = 0.0;
    for (const auto& [name, given] : rivals) {
      if (!(given[static_cast<std::size_t>(i)] > most)) continue;
      most = given[static_cast<std::size_t>(i)];
      std::copy(name.begin(), name.end(), told + 4 * places[i]);
    }
  }
}

// In closed form, which reflection gives each pixel most: the sum over sources and samples of each.
void find_strongest(Parameters& p, const SampleSum& samples) {
  const Output output(p);
  const ActivePixels pixels(p, output);
  const std::int64_t blocks = (pixels.count() + kLanes - 1) / kLanes;
  auto spaces = samples.workspaces(blocks);
  std::vector<Rivals> rivals(static_cast<std::size_t>(blocks));
  closed::SpotSum spots(p);
  for (std::int64_t first = p.source_start; first < p.source_stop;) {
    const std::int64_t stop = spots.prepare(first);
    share_out(blocks, spaces, [&](std::int64_t block, Workspace& w) {
      Rivals& here = rivals[static_cast<std::size_t>(block)];
      const int count = pixels.list(block * kLanes, pixels.count(), w.pixel, w.places);
      samples.aim_all<kLanes>(w);
      spots.each([&](std::size_t, std::int64_t one, const closed::Spots& lit) {
        const Source from = source_of(p, samples, one, lit);
        for (const closed::Name& name : spots.names(lit, w.pixel, count)) {
          // Summed as the frame is: a reflection's own sum over sources, one after another.
          std::array<double, kLanes>& given = here[name];
          std::copy(given.begin(), given.end(), w.numerator);
          std::int64_t sample = 0;
          samples.add_source<kLanes>(from, w, [&](Scattering& q) {
            spots.add_one(name, lit, w.pixel, count, sample++, q);
          });
          std::copy(w.numerator, w.numerator + kLanes, given.begin());
        }
      });
      if (stop != p.source_stop) return;
      tell_strongest(here, w.places, count, p.strongest);
      Rivals().swap(here);
    });
    first = stop;
  }
}

// Gaussian crystals in closed form: spots are found for some sources, drawn onto bands of rows, and
// added to the blocks of these.
void render_spots(Parameters& p, const SampleSum& samples) {
  const Output output(p);
  const ActivePixels pixels(p, output);
  const Lattices halos(p.halo, p.halos);
  closed::SpotSum spots(p);
  std::vector<double> sums;  // where the sources do not fit into one group
  for (std::int64_t first = p.source_start; first < p.source_stop;) {
    const std::int64_t start = first, stop = spots.prepare(start);
    const bool whole = start == p.source_start && stop == p.source_stop;
    p.skipped += spots.left_out();
    if (!whole) sums.resize(static_cast<std::size_t>(pixels.count()) + kLanes, 0.0);
    const closed::Bands bands = spots.bands(samples.per_source());
    auto spaces = samples.workspaces(bands.count());
    share_out(bands.count(), spaces, [&](std::int64_t band, Workspace& w) {
      const std::int64_t row = bands.start(band), after = pixels.above(bands.stop(band));
      spots.draw(bands, band, w.images);
      for (std::int64_t here = pixels.above(row); here < after; here += kLanes) {
        const int count = pixels.list(here, after, w.pixel, w.places);
        double* before = whole ? nullptr : sums.data() + here;
        samples.aim_all<kLanes>(w);
        std::fill(w.numerator, w.numerator + kLanes, 0.0);
        if (!whole) std::copy(before, before + count, w.numerator);
        spots.each([&](std::size_t number, std::int64_t one, const closed::Spots& lit) {
          const Source from = source_of(p, samples, one, lit);
          const double* image =
              w.images.data() + number * static_cast<std::size_t>(samples.per_source() *
                                                                  bands.pixels());
          samples.add_source<kLanes>(from, w, [&](Scattering& q) {
            spots.add(lit, w.pixel, count, image, row, q);
            image += bands.pixels();  // samples follow one another
          });
        });
        if (!whole) std::copy(w.numerator, w.numerator + count, before);
        if (stop != p.source_stop) continue;
        halos.aim_and_add(w);
        output.put(w.numerator, w.places, count, w.waiting);
      }
    });
    for (const auto& space : spaces) output.finish(space->waiting);
    first = stop;
  }
}

void render(Parameters& p) {
  const SampleSum samples(p);
  p.skipped = 0.0;
  p.evaluated = -1;
  if (p.strongest != nullptr) {
    find_strongest(p, samples);
  } else if (p.closed_form != 0) {
    render_spots(p, samples);
  } else if (p.others == 0 && p.skip_below > 0.0 && samples.steps().enough() < HUGE_VALF) {
    const LeftOut left = Areas(p, samples).render();
    p.skipped = left.skipped;
    p.evaluated = left.evaluated;
  } else {
    render_blocks(p, samples);
  }
}

}  // namespace
}  // namespace distbragg

extern "C" {

const char* distbragg_table_id() { return distbragg::kTableId; }

// Renders tiles one after another. 0: done; 1: out of memory; 2: stopped.
int distbragg_render(distbragg::Parameters* tiles, std::int64_t count) {
  try {
    for (std::int64_t i = 0; i < count; ++i) distbragg::render(tiles[i]);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  } catch (const distbragg::Stopped&) {
    return 2;
  }
}

// The reflections that `count` lines light, with room for `most`: h, k, l and the number of the line,
// and the numbers of each place. Returns how many there are; -1: out of memory.
std::int64_t distbragg_lit(const distbragg::Parameters* p, const double* lines, std::int64_t count,
                           std::int64_t most, std::int32_t* names, double* numbers) {
  using namespace distbragg::closed;
  try {
    std::int64_t found = 0;
    LitByLines(*p, lines, count).each([&](std::size_t line, const Place& at) {
      if (found++ >= most) return;
      const std::int32_t name[4] = {at.h, at.k, at.l, static_cast<std::int32_t>(line)};
      names = std::copy(name, name + 4, names);
      for (const distbragg::Vector& v : {at.relp, at.centre, at.first, at.second}) {
        for (const double part : {v.x, v.y, v.z}) *numbers++ = part;
      }
      for (const double part : {at.xx, at.xy, at.yy, at.bow, at.reach}) *numbers++ = part;
    });
    return found;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

// Adds the moments of `count` places, each of a line, to those of their spots, twelve numbers each.
// Pixels count from `start`, two numbers a spot. 0: done; 1: out of memory.
int distbragg_moments(const distbragg::Parameters* p, const double* lines, std::int64_t count,
                      const std::int64_t* line, const std::int64_t* spot, const double* weights,
                      const double* numbers, const double* start, double* out) {
  using namespace distbragg::closed;
  try {
    Moments moments(*p);
    for (const std::int64_t n : by_spot(spot, count)) {
      const LitPlace at = {numbers + kSpotNumbers * n, start + 2 * spot[n], weights[n]};
      moments.add(line_of(lines + kLineNumbers * line[n]), at, out + (kMoments + 1) * spot[n]);
    }
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Poisson counts of `count` pixels; `factorials` holds ln(k!) of k < 16.
void distbragg_poisson(const double* mean, const std::int64_t* pixels, std::int64_t count,
                       std::uint64_t seed, std::uint64_t frame, const double* factorials,
                       double* counts) {
  using namespace distbragg::noise;
  const Counts counts_of(seed, frame, factorials);
  Block block;
  Waiting waiting;
  const auto finish = [&] {
    counts_of.finish(waiting, [=](const std::int64_t* places, const double* drawn, int some) {
      for (int i = 0; i < some; ++i) counts[places[i]] = drawn[i];
    });
  };
  for (std::int64_t first = 0; first < count; first += kDrawn) {
    const auto some = std::min<std::int64_t>(kDrawn, count - first);
    std::copy_n(mean + first, some, block.mean);
    std::copy_n(pixels + first, some, block.pixel);
    counts_of.draw(block, static_cast<int>(some), [=](int i) { return first + i; }, waiting);
    std::copy_n(block.count, some, counts + first);
    if (Counts::full(waiting)) finish();
  }
  finish();
}

// Photons of a panel, float or double in rows `stride` apart, convolved with a kernel of odd numbers
// of rows and columns; `out` has rows of `width`. 0: done; 1: out of memory.
int distbragg_spread(const void* image, int is_double, std::int64_t height, std::int64_t width,
                     std::int64_t stride, const double* shares, std::int64_t rows,
                     std::int64_t columns, std::int64_t threads, double* out) {
  try {
    const distbragg::spread::Kernel kernel(shares, rows, columns);
    const distbragg::spread::Image of{height, width, stride};
    if (is_double != 0) {
      of.spread(static_cast<const double*>(image), kernel, threads, out);
    } else {
      of.spread(static_cast<const float*>(image), kernel, threads, out);
    }
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Adds spots to a window's image. 0: done; 1: out of memory.
int distbragg_draw_series(const distbragg::series::Spots* spots, double* image) {
  try {
    distbragg::series::painted(*spots, [=](auto& painter) { painter.draw(image); });
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Adds the derivatives of Σ slope · image to those by the polynomials; writes those by the heights.
int distbragg_differentiate_series(const distbragg::series::Spots* spots, const double* slope,
                                   double* by_powers, double* by_height) {
  try {
    distbragg::series::painted(
        *spots, [=](auto& painter) { painter.differentiate(slope, by_powers, by_height); });
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Runs formulas forwards. 0: done; 1: out of memory.
int distbragg_run_tape(const distbragg::tape::Tape* tape, double* out) {
  try {
    distbragg::tape::Runner(*tape).run(out);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Runs them backwards: adds the slopes of Σ slope · out to those of the inputs.
int distbragg_run_tape_back(const distbragg::tape::Tape* tape, const double* slope) {
  try {
    distbragg::tape::Runner(*tape).run_back(slope);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Normal deviates of `count` pixels from number `first` on.
void distbragg_normals(std::int64_t first, std::int64_t count, std::uint64_t seed,
                       std::uint64_t frame, std::uint32_t stream, double* out) {
  const distbragg::noise::Normals normals(seed, frame, stream);
  normals.each(first, count, [&](std::int64_t at, int some, const double* drawn) {
    std::copy_n(drawn, some, out + at);
  });
}

// What is recorded of the photons of pixels, in their place; returns how many are overloaded.
std::int64_t distbragg_record(const distbragg::response::Numbers* numbers, std::int64_t first,
                              std::int64_t count, const float* factors, float* single,
                              double* real) {
  const distbragg::response::Recorder recorder(*numbers);
  return single != nullptr ? recorder.record(first, count, factors, single)
                           : recorder.record(first, count, factors, real);
}

}  // extern "C"
