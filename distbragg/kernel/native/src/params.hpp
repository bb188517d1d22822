// The one structure that crosses the language border. `abi.py` mirrors it field by field;
// distbragg_parameter_bytes() lets the loader refuse a mismatch.
#pragma once

#include <cstdint>

namespace distbragg {

enum Surface : std::int64_t {
  kFlat = 0, kSphere = 1, kCylinderFast = 2, kCylinderSlow = 3, kNanobragg = 4
};

enum Shape : std::int64_t { kSquare = 0, kRound = 1, kGauss = 2, kTophat = 3 };

struct Parameters {
  // What is rendered: half-open pixel rectangle and source range, all global indices.
  std::int64_t slow_start, slow_stop, fast_start, fast_stop;
  std::int64_t source_start, source_stop;
  std::int64_t threads;
  std::int64_t double_precision;

  // Crystal.
  std::int64_t shape;
  std::int64_t domains;
  double cells[3];
  double metric[6];   // upper triangle g00 g01 g02 g11 g12 g22: radius² = |g δ|²
  double spot_scale;  // multiplies the sum over domains
  double tophat_cut;  // radius² below which a top-hat spot is flat
  double reach;       // radius beyond which a spot is exactly 0, with a margin; 0: none

  // Steps that are bounded by this much may be left out, in units of the scaled table; 0: none.
  double skip_below;
  double most_squared;       // greatest |F|² that a look-up can give, in the same units
  double edge_length[3];     // |a|, |b|, |c|, Å
  double axis_stiffness[3];  // |g δ| is at least this times |δ| along an axis
  double least_stiffness;    // |g δ| is at least this times the distance of q from the point, Å
  double index_error;        // of an index in float32
  double offset_error;       // of such a distance in float32, 1/Å

  // Structure factors: |F|² in a box with one border plane that holds the default.
  double table_scale;  // the tables hold |F|² / table_scale, at most 1
  std::int64_t interpolate;
  std::int64_t box[3];     // without the border
  std::int64_t origin[3];  // lowest h, k, l

  // Panel.
  std::int64_t oversample, layers, surface, point_pixel, absorbs;
  double pixel_size, close_distance, distance, attenuation;
  double panel_origin[3], fast[3], slow[3], normal[3], beam[3];

  // Factors that are evaluated for every sample.
  std::int64_t polarization, solid_angle, capture;
  double kahn_factor;
  double polarization_axis[3];

  double dmin;  // Å, 0: no cut

  // Background: molecules × steps of the domain loop; 0 turns it off.
  double background_scale;
  std::int64_t background_entries;

  const double* source_direction;   // (sources, 3) towards the source
  const double* source_wavelength;  // (sources,) Å
  const double* source_weight;      // (sources,)
  const double* domain_vectors;     // (domains, 3, 3) rows a, b, c in Å
  const double* domain_reciprocals;  // (domains, 3, 3) rows a*, b*, c* in 1/Å
  const double* layer_position;     // (layers,) m
  const double* layer_front;        // (layers,) m
  const double* layer_back;         // (layers,) m
  const double* background_stol;    // (entries,) 1/Å
  const double* background_amplitude;
  const double* amplitude;  // (box) |F|, for the tricubic look-up
  const float* squared_f32;   // (box + 1), mixed precision
  const double* squared_f64;  // (box + 1), float64
  const std::uint8_t* active;  // (slow, fast) of the tile; null where every pixel is active

  // Where the tile goes, all of it: one of the three. Photons are numerators × photon_scale.
  double* numerators;
  float* photons_f32;
  double* photons_f64;
  double photon_scale;
  std::int64_t row_stride;  // numbers from a row of the tile to the next

  // What is told of the call.
  double skipped;          // Σ w · bound of what was left out, of the pixel with most of it
  std::int64_t evaluated;  // steps that were not left out; −1 where all were taken
};

}  // namespace distbragg
