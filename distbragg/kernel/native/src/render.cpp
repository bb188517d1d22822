// Renders the un-normalised numerator of one tile × source chunk on the CPU.
//
// Active pixels are listed and cut into fixed blocks; a block is rendered by one thread from
// first to last source, so neither the tile's shape nor the number of threads touches the
// order of any sum.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <new>
#include <vector>

#include "areas.hpp"
#include "generated.hpp"
#include "geometry.hpp"
#include "noise.hpp"
#include "output.hpp"
#include "samples.hpp"

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

  // The pixels from number `first` on: their numbers on the panel and places in the output.
  // Spare lanes repeat the last pixel: real numbers, never stored. Returns the lanes in use.
  int list(std::int64_t first, PixelNumbers& pixel, std::int64_t* places) const {
    const auto after = std::upper_bound(start_.begin(), start_.end(), first);
    std::int64_t row = (after - start_.begin()) - 1;
    std::int64_t skip = first - start_[static_cast<std::size_t>(row)];
    const int wanted = static_cast<int>(std::min<std::int64_t>(kLanes, count() - first));
    int lane = 0;
    for (; lane < wanted; ++row, skip = 0) {
      const bool full = start_[static_cast<std::size_t>(row) + 1] -
                            start_[static_cast<std::size_t>(row)] == width_;
      const std::int64_t from = full ? skip : 0;
      for (std::int64_t column = from; column < width_ && lane < wanted; ++column) {
        if (!full && (!p_.active[row * width_ + column] || skip-- > 0)) continue;
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

// Every pixel and every domain, exact zeros aside: blocks of active pixels, row by row.
void render_blocks(const Parameters& p, const SampleSum& samples) {
  const Output output(p);
  const ActivePixels pixels(p, output);
  const std::int64_t blocks = (pixels.count() + kLanes - 1) / kLanes;
  auto spaces = samples.workspaces(blocks);
  share_out(blocks, spaces, [&](std::int64_t block, Workspace& w) {
    const int count = pixels.list(block * kLanes, w.pixel, w.places);
    samples.aim_all<kLanes>(w);
    std::fill(w.numerator, w.numerator + kLanes, 0.0);
    for (const Source& source : samples.sources()) {
      samples.add_source<kLanes>(source, w, [&](Scattering& q) {
        if (p.reach > 0.0) narrow_scattering(q);
        samples.steps().run(q);
      });
    }
    output.put(w.numerator, w.places, count);
  });
}

void render(Parameters& p) {
  const SampleSum samples(p);
  p.skipped = 0.0;
  p.evaluated = -1;
  if (p.skip_below > 0.0 && samples.steps().enough() < HUGE_VALF) {
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

// Renders tiles one after another. 0: done; 1: out of memory.
int distbragg_render(distbragg::Parameters* tiles, std::int64_t count) {
  try {
    for (std::int64_t i = 0; i < count; ++i) distbragg::render(tiles[i]);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Poisson counts of `count` pixels; `factorials` holds ln(k!) of k < 16.
void distbragg_poisson(const double* mean, const std::int64_t* pixels, std::int64_t count,
                       std::uint64_t seed, std::uint64_t frame, const double* factorials,
                       double* counts) {
  const distbragg::noise::Stream stream(seed, frame);
  for (std::int64_t i = 0; i < count; ++i) {
    counts[i] = distbragg::noise::count_of(mean[i], pixels[i], stream, factorials);
  }
}

}  // extern "C"
