// Generated from distbragg/kernel/table.py and distbragg/shapes.py by tools/generate_reference.py.
#pragma once

#include <cmath>
#include <cstdint>

#include "madd.hpp"

namespace distbragg {

// Of the table this was made from: the loader compares it.
constexpr const char* kTableId = "7b33ad822f8b1c0d";

enum Surface : std::int64_t { kFlat = 0, kSphere = 1, kCylinderFast = 2, kCylinderSlow = 3, kNanobragg = 4 };

// Spot shapes by their transform.
enum Shape : std::int64_t { kSquare = 0, kRound = 1, kGauss = 2, kTophat = 3 };

// Of a transform: the square of r beyond which it is 0, and c where its square falls as
// exp(−c r²).
template <int kShape>
struct ShapeRow;
template <>
struct ShapeRow<kSquare> {
  static constexpr double kZeroSquared = HUGE_VAL;
  static constexpr double kDecay = 0.0;
};
template <>
struct ShapeRow<kRound> {
  static constexpr double kZeroSquared = HUGE_VAL;
  static constexpr double kDecay = 0.0;
};
template <>
struct ShapeRow<kGauss> {
  static constexpr double kZeroSquared = HUGE_VAL;
  static constexpr double kDecay = 3.141592653589793;
};
template <>
struct ShapeRow<kTophat> {
  static constexpr double kZeroSquared = 0.3848347315591265;
  static constexpr double kDecay = 0.0;
};

// Every transform that is a function of r.
#define DISTBRAGG_RADIAL_SHAPES(of) of(kRound) of(kGauss) of(kTophat)

// The one structure that crosses the language border.
struct Parameters {
  // What is rendered: half-open pixel rectangle and source range, all global indices.
  std::int64_t slow_start, slow_stop, fast_start, fast_stop;
  std::int64_t source_start, source_stop;
  std::int64_t threads, double_precision;
  const std::uint8_t* stop;  // not 0 once the call is to end, its output unfinished

  // Crystal.
  std::int64_t shape;  // see Shape
  std::int64_t domains;
  double cells[3];
  double metric[6];  // upper triangle g00 g01 g02 g11 g12 g22: r² = |g δ|²
  std::int64_t in_pairs;  // where no step can be skipped, domains go two by two
  double spot_scale;  // multiplies the sum over domains
  double reach;  // r beyond which a spot is exactly 0, with a margin; 0: none

  // Further lattices, as they were alone; in closed form their crystals alone are read.
  std::int64_t others;
  const Parameters* other;  // (others,)
  std::int64_t halos;
  const Parameters* halo;  // (halos,) of diffuse scattering, beside the spots

  // Steps that are bounded by this much may be left out, in units of the scaled table;
  // 0: none.
  double skip_below;
  double most_squared;  // greatest |F|² that a look-up can give, in these units
  double edge_length[3];  // |a|, |b|, |c|, Å
  double axis_stiffness[3];  // r is at least this times |δ| along an axis
  double least_stiffness;  // and this times the distance of q from the point, Å
  double index_error;  // of an index in float32
  double offset_error;  // of such a distance in float32, 1/Å

  // The same in closed form: covariances by 00 01 02 11 12 22, at the middle of the rotation.
  std::int64_t closed_form;  // 0: steps are summed, and none of this is read
  std::int64_t integrate;  // over the area of a sample, in place of its middle
  double cut;  // standard deviations beyond which nothing is rendered
  double shortest_spacing;  // Å, of a reflection; 0: no limit
  double line_span, line_gap;  // of lines taken together, of their wavenumber
  double view_axis[3], view_angle;  // rays to the panel lie within it, rad
  double reciprocal[9];  // a*, b*, c*, 1/Å
  double relp_covariance[6];  // 1/Å²
  double mosaic_covariance[6];  // rad², of the domains' rotation vectors
  double divergence[6];  // rad, two vectors as long as the standard deviations
  double bandwidth;  // standard deviation of the wavenumber, of its mean
  double spindle[3];
  double rotation[2];  // rad, from the middle
  std::int64_t strains;  // of a spread of cells, at most 6; 0: all cells are alike
  double strain[54];  // T of each by rows, see physics/strain.py
  std::int64_t parts;  // of the rotation, each of which has its own spots

  // Diffuse scattering: see native/diffuse.py.
  std::int64_t diffuse_halos;  // 0: none
  std::int64_t diffuse_stencil;
  const double* diffuse_halo;  // (halos, 19)
  double diffuse_height;  // over spot_scale
  std::int64_t halos_alone;  // no spots; spread by the numbers of the closed form
  const double* source_width;  // (sources,) of halos alone, each its bandwidth
  const double* source_chord;  // (sources, 2) of halos, see HaloSources; or null

  // Structure factors: |F|² in a box with one border plane that holds the default.
  double table_scale;  // the tables hold |F|² / table_scale, at most 1
  std::int64_t interpolate;
  std::int64_t box[3];  // without the border
  std::int64_t origin[3];  // lowest h, k, l
  std::int64_t tables;  // of |F|² by energy, in the place of one; 0: it is the same
  const double* by_energy;  // (box + 1, tables) B, in units of the scale
  const double* coefficients;  // (sources, tables) c: |F|² is Σ c B
  double furthest;  // longer q look up nothing but 0, 1/Å; infinite: none is known
  double longest;  // no q of any source on the panel is longer, 1/Å

  // Panel.
  std::int64_t oversample, layers;
  std::int64_t surface;  // see Surface
  std::int64_t point_pixel, absorbs;
  double pixel_size, close_distance, distance;  // m
  double attenuation;  // 1/m
  double panel_origin[3];  // m
  double fast[3], slow[3], normal[3], beam[3];

  // Factors that are evaluated for every sample.
  std::int64_t polarization, solid_angle, capture;
  double kahn_factor, polarization_axis[3];
  double dmin;  // Å, 0: no cut

  // Background: steps of the domain loop, × molecules where there is one material; 0: off.
  double background_scale;
  std::int64_t background_entries;

  // Arrays.
  const double* source_direction;  // (sources, 3) towards the source
  const double* source_wavelength;  // (sources,) Å
  const double* source_weight;  // (sources,)
  const double* domain_vectors;  // (domains, 3, 3) rows a, b, c in Å
  const double* domain_reciprocals;  // (domains, 3, 3) rows a*, b*, c* in 1/Å
  const double* layer_position, *layer_front, *layer_back;  // (layers,) m
  const double* background_stol;  // (entries,) 1/Å
  const double* background_amplitude;  // (entries,) electrons
  const double* background_curve;  // (entries, 3) of several, Σ molecules F² from each point on: level, slope, bend
  const double* amplitude;  // (box) |F|, for the tricubic look-up
  const float* squared_f32;  // (box + 1), mixed precision
  const double* squared_f64;  // (box + 1), float64
  const std::uint8_t* active;  // (slow, fast) of the tile; null where every pixel is

  // Where the tile goes, all of it: one of the four. Photons are numerators × photon_scale.
  // Where they are counted rows of the tile lie as far apart as those of its panel.
  double* strongest;  // (pixels, 4) lattice, h, k, l, of lit pixels; closed form
  double* numerators;
  float* photons_f32;
  double* photons_f64;
  double photon_scale;
  const double* added;  // photons, × added_scale, by the places of the output, or null
  const double* transmission;  // share of the photons that arrives, likewise
  double added_scale;
  std::int64_t row_stride;  // numbers from a row of the tile to the next
  std::int64_t counted;  // Poisson counts are written in place of their means
  std::int64_t noise_seed, noise_frame;  // 64 bits each, of no sign
  std::int64_t first_pixel;  // number of the tile's first pixel within the frame
  const double* log_factorials;  // (16,) ln(k!)

  // What is told of the call.
  double skipped;  // Σ w · bound of what was left out, of the worst pixel
  std::int64_t evaluated;  // steps that were not left out; −1 where all were taken
};

constexpr double kPi = 3.141592653589793;
constexpr double kPiLow = 1.2246467991473532e-16;
constexpr double kInversePi = 0.3183098861837907;
constexpr double kLog2E = 1.4426950408889634;
template <class Real>
constexpr Real kSinc3Near = sizeof(Real) == sizeof(float) ? Real(0.125f) : Real(0.25);
template <class Real>
constexpr Real kExpLowest = sizeof(Real) == sizeof(float) ? Real(-87.0f) : Real(-708.0);
template <class Real>
constexpr Real kExpHighest = sizeof(Real) == sizeof(float) ? Real(88.0f) : Real(709.0);
template <class Real>
constexpr Real kLn2High = sizeof(Real) == sizeof(float) ? Real(-0.693359375f) : Real(-0.6931471803691238);
template <class Real>
constexpr Real kLn2Low = sizeof(Real) == sizeof(float) ? Real(0.00021219444f) : Real(-1.9082149292705877e-10);
constexpr double kNoiseSinPi[] = {
    3.141592653589793,
    -5.16771278004997,
    2.5501640398773455,
    -0.5992645293207862,
    0.08214588661098071,
    -0.007370430943554908,
    0.0004663027864672356,
    -2.191524640185696e-05,
    7.9484562969083e-07,
    -2.2276393293078485e-08,
};
constexpr double kNoiseExp[] = {
    1.0,
    1.0,
    0.5,
    0.16666666666666702,
    0.041666666666665936,
    0.008333333333310084,
    0.0013888888889141847,
    0.00019841269908154208,
    2.4801586915588763e-05,
    2.7557225844302134e-06,
    2.755757410414263e-07,
    2.5114601081023637e-08,
    2.0832019876600545e-09,
};
constexpr double kNoiseLog[] = {
    2.0,
    0.6666666666666666,
    0.40000000000007535,
    0.2857142856880815,
    0.22222222678395206,
    0.18181773631751372,
    0.15387165194005087,
    0.13248673833473634,
    0.13262861870241216,
};
constexpr double kHaloExponents[] = {
    0.002117159189,
    0.008691379556,
    0.02644448386,
    0.07529180342,
    0.2073571491,
    0.5532451903,
    1.431060333,
    3.642323292,
};
constexpr double kHaloWeights[] = {
    8.084065186e-06,
    8.892210177e-05,
    0.0007269296476,
    0.005409023803,
    0.03485132357,
    0.1699316211,
    0.4586188434,
    0.3293278579,
};

// From the highest power down, each step one fused multiply-add.
namespace polynomial {

DISTBRAGG_INLINE float sin_pi(float u) {
  float p = 0.07765591227601387f;
  p = madd(p, u, -0.5982904112834275f);
  p = madd(p, u, 2.550077386528912f);
  p = madd(p, u, -5.167710076668315f);
  return madd(p, u, 3.1415926400772034f);
}

DISTBRAGG_INLINE double sin_pi(double u) {
  double p = 7.697826768224191e-07;
  p = madd(p, u, -2.1903497074626018e-05);
  p = madd(p, u, 0.0004662998161898394);
  p = madd(p, u, -0.007370430505916944);
  p = madd(p, u, 0.0821458865731029);
  p = madd(p, u, -0.5992645293189447);
  p = madd(p, u, 2.5501640398773007);
  p = madd(p, u, -5.167712780049969);
  return madd(p, u, 3.141592653589793);
}

DISTBRAGG_INLINE float sinc3_sine(float u) {
  float p = 0.007515504326397427f;
  p = madd(p, u, -0.057889060435544884f);
  p = madd(p, u, 0.24673220157369177f);
  p = madd(p, u, -0.499999786496966f);
  return madd(p, u, 0.3039635509270133f);
}

DISTBRAGG_INLINE double sinc3_sine(double u) {
  double p = 7.44690518969487e-08;
  p = madd(p, u, -2.1192544210620065e-06);
  p = madd(p, u, 4.5116650426670585e-05);
  p = madd(p, u, -0.0007131230792379958);
  p = madd(p, u, 0.007947992668047237);
  p = madd(p, u, -0.057981601805776634);
  p = madd(p, u, 0.24674011002722984);
  p = madd(p, u, -0.49999999999999994);
  return madd(p, u, 0.3039635509270133);
}

DISTBRAGG_INLINE float sinc3_cosine(float u) {
  float p = 0.06689650597149664f;
  p = madd(p, u, -0.40490798579654547f);
  p = madd(p, u, 1.2336212816652834f);
  p = madd(p, u, -1.4999979688192466f);
  return madd(p, u, 0.3039635509270133f);
}

DISTBRAGG_INLINE double sinc3_cosine(double u) {
  double p = 1.261676842484575e-06;
  p = madd(p, u, -3.178480211809209e-05);
  p = madd(p, u, 0.0005865149421159414);
  p = madd(p, u, -0.007844353577086157);
  p = madd(p, u, 0.07153193398106675);
  p = madd(p, u, -0.40587121263866005);
  p = madd(p, u, 1.2337005501361018);
  p = madd(p, u, -1.4999999999999996);
  return madd(p, u, 0.3039635509270133);
}

DISTBRAGG_INLINE float sinc3_peak(float u) {
  float p = -0.061811578066587256f;
  p = madd(p, u, 0.34775030813592966f);
  p = madd(p, u, -0.9869569101871064f);
  return madd(p, u, 0.9999999858623756f);
}

DISTBRAGG_INLINE double sinc3_peak(double u) {
  double p = 3.880900095571776e-08;
  p = madd(p, u, -1.2304964243768726e-06);
  p = madd(p, u, 2.9685622389628162e-05);
  p = madd(p, u, -0.0005414032958330565);
  p = madd(p, u, 0.007131231221263831);
  p = madd(p, u, -0.06358394137394388);
  p = madd(p, u, 0.34788961083572095);
  p = madd(p, u, -0.9869604401089358);
  return madd(p, u, 1.0);
}

DISTBRAGG_INLINE float exp(float u) {
  float p = 0.0013941108433972674f;
  p = madd(p, u, 0.008375126398153335f);
  p = madd(p, u, 0.04166635289677516f);
  p = madd(p, u, 0.16666415514653274f);
  p = madd(p, u, 0.5000000047117757f);
  p = madd(p, u, 1.0000000377162137f);
  return madd(p, u, 1.0f);
}

DISTBRAGG_INLINE double exp(double u) {
  double p = 2.09215799649503e-09;
  p = madd(p, u, 2.5114869528657765e-08);
  p = madd(p, u, 2.7557251904174915e-07);
  p = madd(p, u, 2.7557224958392624e-06);
  p = madd(p, u, 2.4801587350110797e-05);
  p = madd(p, u, 0.000198412699092171);
  p = madd(p, u, 0.001388888888887189);
  p = madd(p, u, 0.008333333333309528);
  p = madd(p, u, 0.04166666666666669);
  p = madd(p, u, 0.16666666666666702);
  p = madd(p, u, 0.5);
  p = madd(p, u, 1.0);
  return madd(p, u, 1.0);
}

DISTBRAGG_INLINE float log_scaled_erfc(float u) {
  float p = 0.170872778f;
  p = madd(p, u, -0.822152234f);
  p = madd(p, u, 1.48851589f);
  p = madd(p, u, -1.135204f);
  p = madd(p, u, 0.278868084f);
  p = madd(p, u, -0.186288062f);
  p = madd(p, u, 0.0967841895f);
  p = madd(p, u, 0.37409196f);
  p = madd(p, u, 1.00002368f);
  return madd(p, u, -1.26551223f);
}

DISTBRAGG_INLINE double log_scaled_erfc(double u) {
  double p = 0.00335210771234658;
  p = madd(p, u, -0.2847211896542333);
  p = madd(p, u, 2.963503347088473);
  p = madd(p, u, -14.88421375771732);
  p = madd(p, u, 45.98695704410726);
  p = madd(p, u, -96.44516251740258);
  p = madd(p, u, 143.9820347762007);
  p = madd(p, u, -156.57856202038332);
  p = madd(p, u, 125.45677427403433);
  p = madd(p, u, -75.01175983053517);
  p = madd(p, u, 34.51675184256668);
  p = madd(p, u, -12.677538654032327);
  p = madd(p, u, 3.4633103423886746);
  p = madd(p, u, -0.6364898488373512);
  p = madd(p, u, 0.25938883249942074);
  p = madd(p, u, 0.013659620545996676);
  p = madd(p, u, -0.09032608784023534);
  p = madd(p, u, -0.14384607316349232);
  p = madd(p, u, -0.0859333068614956);
  p = madd(p, u, 0.08333322118760735);
  p = madd(p, u, 0.3750000015896392);
  p = madd(p, u, 0.9999999999910448);
  return madd(p, u, -1.265512123484637);
}

DISTBRAGG_INLINE double erf_near(double u) {
  double p = 4.4632242632864775e-13;
  p = madd(p, u, -6.7113668551641105e-12);
  p = madd(p, u, 9.422759064650411e-11);
  p = madd(p, u, -1.2290555301717926e-09);
  p = madd(p, u, 1.4807192815879218e-08);
  p = madd(p, u, -1.6365844691234924e-07);
  p = madd(p, u, 1.6462114365889246e-06);
  p = madd(p, u, -1.492565035840625e-05);
  p = madd(p, u, 0.00012055332981789664);
  p = madd(p, u, -0.0008548327023450852);
  p = madd(p, u, 0.005223977625442188);
  p = madd(p, u, -0.026866170645131252);
  p = madd(p, u, 0.11283791670955126);
  p = madd(p, u, -0.37612638903183754);
  return madd(p, u, 1.1283791670955126);
}

DISTBRAGG_INLINE float exp2(float u) {
  float p = 0.00015461444698569127f;
  p = madd(p, u, 0.0013400428177615835f);
  p = madd(p, u, 0.009618056678524637f);
  p = madd(p, u, 0.055503272266703006f);
  p = madd(p, u, 0.24022650922288755f);
  p = madd(p, u, 0.6931472067028325f);
  return madd(p, u, 1.0f);
}

}  // namespace polynomial

}  // namespace distbragg
