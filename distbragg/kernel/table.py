"""What host, C++ and GPU code must agree on, said once.

From this table `tools/kernel_header.py` writes `native/src/generated.hpp`, `native/abi.py` makes
the structure that crosses the language border, and `triton/layout.py` the blocks of numbers and
the constants of the GPU kernel. Spot shapes have their own table, `distbragg.shapes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args

from distbragg.models.detector import Surface
from distbragg.physics.elementary import EXP_SERIES, LOG_SERIES, SINE_SERIES
from distbragg.physics.halos import EXPONENTIALS
from distbragg.shapes import SHAPES

SURFACES: Final[dict[str, int]] = {name: code for code, name in enumerate(get_args(Surface))}
"""Number of each `Panel.surface`."""

INTEGER: Final = "std::int64_t"
REAL: Final = "double"
REALS_IN: Final = "const double*"
REALS_OUT: Final = "double*"
SINGLES_IN: Final = "const float*"
SINGLES_OUT: Final = "float*"
BYTES_IN: Final = "const std::uint8_t*"


@dataclass(frozen=True, slots=True)
class Fields:
    """Neighbouring fields of one type in the parameter block."""

    kind: str  # C++ type
    names: str  # separated by blanks; `name[n]` is an array
    comment: str = ""

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield name and length of each, 0 for what is not an array."""
        for text in self.names.split():
            name, _, rest = text.partition("[")
            yield name, int(rest.rstrip("]") or 0)


PARAMETERS: Final[tuple[tuple[str, tuple[Fields, ...]], ...]] = (
    (
        "What is rendered: half-open pixel rectangle and source range, all global indices.",
        (
            Fields(INTEGER, "slow_start slow_stop fast_start fast_stop"),
            Fields(INTEGER, "source_start source_stop"),
            Fields(INTEGER, "threads double_precision"),
            Fields(BYTES_IN, "stop", "not 0 once the call is to end, its output unfinished"),
        ),
    ),
    (
        "Crystal.",
        (
            Fields(INTEGER, "shape", "see Shape"),
            Fields(INTEGER, "domains"),
            Fields(REAL, "cells[3]"),
            Fields(REAL, "metric[6]", "upper triangle g00 g01 g02 g11 g12 g22: r² = |g δ|²"),
            Fields(INTEGER, "in_pairs", "where no step can be skipped, domains go two by two"),
            Fields(REAL, "spot_scale", "multiplies the sum over domains"),
            Fields(REAL, "reach", "r beyond which a spot is exactly 0, with a margin; 0: none"),
        ),
    ),
    (
        "Further lattices, as they were alone; in closed form their crystals alone are read.",
        (
            Fields(INTEGER, "others"),
            Fields("const Parameters*", "other", "(others,)"),
            Fields(INTEGER, "halos"),
            Fields("const Parameters*", "halo", "(halos,) of diffuse scattering, beside the spots"),
        ),
    ),
    (
        "Steps that are bounded by this much may be left out, in units of the scaled table;\n"
        "0: none.",
        (
            Fields(REAL, "skip_below"),
            Fields(REAL, "most_squared", "greatest |F|² that a look-up can give, in these units"),
            Fields(REAL, "edge_length[3]", "|a|, |b|, |c|, Å"),
            Fields(REAL, "axis_stiffness[3]", "r is at least this times |δ| along an axis"),
            Fields(REAL, "least_stiffness", "and this times the distance of q from the point, Å"),
            Fields(REAL, "index_error", "of an index in float32"),
            Fields(REAL, "offset_error", "of such a distance in float32, 1/Å"),
        ),
    ),
    (
        "The same in closed form: covariances by 00 01 02 11 12 22, at the middle of the rotation.",
        (
            Fields(INTEGER, "closed_form", "0: steps are summed, and none of this is read"),
            Fields(INTEGER, "integrate", "over the area of a sample, in place of its middle"),
            Fields(REAL, "cut", "standard deviations beyond which nothing is rendered"),
            Fields(REAL, "shortest_spacing", "Å, of a reflection; 0: no limit"),
            Fields(REAL, "line_span line_gap", "of lines taken together, of their wavenumber"),
            Fields(REAL, "view_axis[3] view_angle", "rays to the panel lie within it, rad"),
            Fields(REAL, "reciprocal[9]", "a*, b*, c*, 1/Å"),
            Fields(REAL, "relp_covariance[6]", "1/Å²"),
            Fields(REAL, "mosaic_covariance[6]", "rad², of the domains' rotation vectors"),
            Fields(REAL, "divergence[6]", "rad, two vectors as long as the standard deviations"),
            Fields(REAL, "bandwidth", "standard deviation of the wavenumber, of its mean"),
            Fields(REAL, "spindle[3]"),
            Fields(REAL, "rotation[2]", "rad, from the middle"),
            Fields(INTEGER, "strains", "of a spread of cells, at most 6; 0: all cells are alike"),
            Fields(REAL, "strain[54]", "T of each by rows, see physics/strain.py"),
            Fields(INTEGER, "parts", "of the rotation, each of which has its own spots"),
        ),
    ),
    (
        "Diffuse scattering: see native/diffuse.py.",
        (
            Fields(INTEGER, "diffuse_halos", "0: none"),
            Fields(INTEGER, "diffuse_stencil"),
            Fields(REALS_IN, "diffuse_halo", "(halos, 19)"),
            Fields(REAL, "diffuse_height", "over spot_scale"),
            Fields(INTEGER, "halos_alone", "no spots; spread by the numbers of the closed form"),
            Fields(REALS_IN, "source_width", "(sources,) of halos alone, each its bandwidth"),
            Fields(REALS_IN, "source_chord", "(sources, 2) of halos, see HaloSources; or null"),
        ),
    ),
    (
        "Structure factors: |F|² in a box with one border plane that holds the default.",
        (
            Fields(REAL, "table_scale", "the tables hold |F|² / table_scale, at most 1"),
            Fields(INTEGER, "interpolate"),
            Fields(INTEGER, "box[3]", "without the border"),
            Fields(INTEGER, "origin[3]", "lowest h, k, l"),
            Fields(INTEGER, "tables", "of |F|² by energy, in the place of one; 0: it is the same"),
            Fields(REALS_IN, "by_energy", "(box + 1, tables) B, in units of the scale"),
            Fields(REALS_IN, "coefficients", "(sources, tables) c: |F|² is Σ c B"),
            Fields(
                REAL, "furthest", "longer q look up nothing but 0, 1/Å; infinite: none is known"
            ),
            Fields(REAL, "longest", "no q of any source on the panel is longer, 1/Å"),
        ),
    ),
    (
        "Panel.",
        (
            Fields(INTEGER, "oversample layers"),
            Fields(INTEGER, "surface", "see Surface"),
            Fields(INTEGER, "point_pixel absorbs"),
            Fields(REAL, "pixel_size close_distance distance", "m"),
            Fields(REAL, "attenuation", "1/m"),
            Fields(REAL, "panel_origin[3]", "m"),
            Fields(REAL, "fast[3] slow[3] normal[3] beam[3]"),
        ),
    ),
    (
        "Factors that are evaluated for every sample.",
        (
            Fields(INTEGER, "polarization solid_angle capture"),
            Fields(REAL, "kahn_factor polarization_axis[3]"),
            Fields(REAL, "dmin", "Å, 0: no cut"),
        ),
    ),
    (
        "Background: steps of the domain loop, × molecules where there is one material; 0: off.",
        (Fields(REAL, "background_scale"), Fields(INTEGER, "background_entries")),
    ),
    (
        "Arrays.",
        (
            Fields(REALS_IN, "source_direction", "(sources, 3) towards the source"),
            Fields(REALS_IN, "source_wavelength", "(sources,) Å"),
            Fields(REALS_IN, "source_weight", "(sources,)"),
            Fields(REALS_IN, "domain_vectors", "(domains, 3, 3) rows a, b, c in Å"),
            Fields(REALS_IN, "domain_reciprocals", "(domains, 3, 3) rows a*, b*, c* in 1/Å"),
            Fields(REALS_IN, "layer_position layer_front layer_back", "(layers,) m"),
            Fields(REALS_IN, "background_stol", "(entries,) 1/Å"),
            Fields(REALS_IN, "background_amplitude", "(entries,) electrons"),
            Fields(
                REALS_IN,
                "background_curve",
                "(entries, 3) of several, Σ molecules F² from each point on: level, slope, bend",
            ),
            Fields(REALS_IN, "amplitude", "(box) |F|, for the tricubic look-up"),
            Fields(SINGLES_IN, "squared_f32", "(box + 1), mixed precision"),
            Fields(REALS_IN, "squared_f64", "(box + 1), float64"),
            Fields(BYTES_IN, "active", "(slow, fast) of the tile; null where every pixel is"),
        ),
    ),
    (
        "Where the tile goes, all of it: one of the four. Photons are numerators × photon_scale.\n"
        "Where they are counted rows of the tile lie as far apart as those of its panel.",
        (
            Fields(
                REALS_OUT, "strongest", "(pixels, 4) lattice, h, k, l, of lit pixels; closed form"
            ),
            Fields(REALS_OUT, "numerators"),
            Fields(SINGLES_OUT, "photons_f32"),
            Fields(REALS_OUT, "photons_f64"),
            Fields(REAL, "photon_scale"),
            Fields(
                REALS_IN, "added", "photons, × added_scale, by the places of the output, or null"
            ),
            Fields(REALS_IN, "transmission", "share of the photons that arrives, likewise"),
            Fields(REAL, "added_scale"),
            Fields(INTEGER, "row_stride", "numbers from a row of the tile to the next"),
            Fields(INTEGER, "counted", "Poisson counts are written in place of their means"),
            Fields(INTEGER, "noise_seed noise_frame", "64 bits each, of no sign"),
            Fields(INTEGER, "first_pixel", "number of the tile's first pixel within the frame"),
            Fields(REALS_IN, "log_factorials", "(16,) ln(k!)"),
        ),
    ),
    (
        "What is told of the call.",
        (
            Fields(REAL, "skipped", "Σ w · bound of what was left out, of the worst pixel"),
            Fields(INTEGER, "evaluated", "steps that were not left out; −1 where all were taken"),
        ),
    ),
)
"""The parameter block of the C++ kernel in order, in sections with their comments."""


DEVICE_REALS: Final = (
    "step half origin[3] fast[3] slow[3] normal[3] beam[3] distance close_distance foot[2] solid"
    " kahn dmin background scale cells[3] metric[6] reach_squared grid[2]"
)
"""Block of float64 numbers of the GPU kernel."""

DEVICE_WHOLES: Final = "oversample layers box[3] lowest[3] background_entries search_steps"
"""Block of int32 numbers of the GPU kernel."""


def places(names: str) -> dict[str, int]:
    """Place of every field in a block of numbers; `""` is the length of the block."""
    found, at = {}, 0
    for name, length in Fields(REAL, names):
        found[name] = at
        at += max(1, length)
    return found | {"": at}


# Polynomials are near-minimax, from the highest power down, each for float32 and for float64.
# The stated errors are relative and leave out rounding.

POLYNOMIALS: Final[dict[str, dict[str, tuple[float, ...]]]] = {
    # sin(πx)/x of u = x², |x| ≤ ½; to 7e-9 and 3e-19.
    "sin_pi": {
        "float": (
            0.077655912276013869,
            -0.59829041128342753,
            2.5500773865289119,
            -5.1677100766683144,
            3.1415926400772033,
        ),
        "double": (
            7.6978267682241906454e-7,
            -0.000021903497074626017191,
            0.00046629981618983938014,
            -0.0073704305059169434047,
            0.08214588657310289502,
            -0.59926452931894468132,
            2.5501640398773004745,
            -5.1677127800499696077,
            3.1415926535897932378,
        ),
    },
    # 3/π² sin(πr)/(πr) of u = r² ≤ ¼, first coefficient that of `sinc3_cosine`; to 6e-9 and 3e-19.
    "sinc3_sine": {
        "float": (
            0.007515504326397427,
            -0.057889060435544885,
            0.24673220157369177,
            -0.49999978649696603,
            0.30396355092701331,
        ),
        "double": (
            7.446905189694869295583e-8,
            -0.000002119254421062006333434,
            0.00004511665042667058441548,
            -0.0007131230792379957781147,
            0.007947992668047235985002,
            -0.05798160180577663569408,
            0.2467401100272298473722,
            -0.499999999999999967062,
            0.3039635509270133143316,
        ),
    },
    # 3/π² cos(πr) of u = r² ≤ ¼; to 5e-8 and 4e-18.
    "sinc3_cosine": {
        "float": (
            0.066896505971496642,
            -0.40490798579654545,
            1.2336212816652833,
            -1.4999979688192466,
            0.30396355092701331,
        ),
        "double": (
            0.000001261676842484575100782,
            -0.00003178480211809209128329,
            0.0005865149421159413164655,
            -0.007844353577086156261063,
            0.07153193398106675294137,
            -0.4058712126386600310853,
            1.233700550136101806053,
            -1.499999999999999475726,
            0.3039635509270133143316,
        ),
    },
    # 3 (sin x/x − cos x)/x² of v = (x/π)² up to `SINC3_NEAR`; to 1e-8 and 3e-17.
    "sinc3_peak": {
        "float": (
            -0.0618115780665872554,
            0.347750308135929674,
            -0.986956910187106379,
            0.999999985862375543,
        ),
        "double": (
            3.880900095571775749e-8,
            -1.230496424376872502e-6,
            0.000029685622389628163304,
            -0.00054140329583305653092,
            0.0071312312212638312611,
            -0.063583941373943875465,
            0.34788961083572094057,
            -0.98696044010893584267,
            1.0,
        ),
    },
    # e^r, |r| ≤ ½ ln 2; to 2e-9 and 6e-20.
    "exp": {
        "float": (
            0.0013941108433972675,
            0.0083751263981533357,
            0.041666352896775157,
            0.16666415514653275,
            0.50000000471177577,
            1.0000000377162138,
            1.0,
        ),
        "double": (
            2.0921579964950300073e-9,
            2.5114869528657764941e-8,
            2.7557251904174912593e-7,
            2.7557224958392622686e-6,
            0.00002480158735011079562,
            0.00019841269909217101366,
            0.001388888888887188822,
            0.0083333333333095270794,
            0.041666666666666692193,
            0.16666666666666702412,
            0.49999999999999999989,
            0.99999999999999999847,
            1.0,
        ),
    },
    # ln (exp(x²) erfc(x)/t) of t = 1/(1 + x/2), x ≥ 0, fitted at Chebyshev's points of t; to 1e-7
    # and 3e-14.
    "log_scaled_erfc": {
        "float": (
            0.170872778,
            -0.822152234,
            1.48851589,
            -1.13520400,
            0.278868084,
            -0.186288062,
            0.0967841895,
            0.374091960,
            1.00002368,
            -1.26551223,
        ),
        "double": (
            0.0033521077123465802,
            -0.28472118965423332,
            2.9635033470884729,
            -14.884213757717321,
            45.986957044107257,
            -96.445162517402579,
            143.98203477620069,
            -156.57856202038332,
            125.45677427403433,
            -75.011759830535169,
            34.516751842566677,
            -12.677538654032327,
            3.4633103423886746,
            -0.63648984883735116,
            0.25938883249942074,
            0.013659620545996676,
            -0.090326087840235339,
            -0.14384607316349232,
            -0.085933306861495598,
            0.083333221187607345,
            0.3750000015896392,
            0.99999999999104483,
            -1.2655121234846369,
        ),
    },
    # erf(x)/x of x² ≤ ½, Taylor's series; to 1e-16.
    "erf_near": {
        "double": (
            4.4632242632864775e-13,
            -6.7113668551641105e-12,
            9.422759064650411e-11,
            -1.2290555301717926e-09,
            1.4807192815879218e-08,
            -1.6365844691234924e-07,
            1.6462114365889246e-06,
            -1.492565035840625e-05,
            0.00012055332981789664,
            -0.0008548327023450852,
            0.005223977625442188,
            -0.026866170645131252,
            0.11283791670955126,
            -0.37612638903183754,
            1.1283791670955126,
        ),
    },
    # 2^r, |r| ≤ ½: the same polynomial, of r ln 2.
    "exp2": {
        "float": (
            0.00015461444698569127,
            0.0013400428177615835,
            0.009618056678524637,
            0.055503272266703006,
            0.24022650922288755,
            0.6931472067028325,
            1.0,
        ),
    },
}

PAIRS: Final[dict[str, dict[str, float]]] = {
    # v = (x/π)² up to which `sinc3_peak` stands in for the closed form, which cancels there.
    "SINC3_NEAR": {"float": 0.125, "double": 0.25},
    # Arguments below give exactly 0: the result would be below the smallest normal number. Zeros
    # are skipped by the same limits.
    "EXP_LOWEST": {"float": -87.0, "double": -708.0},
    "EXP_HIGHEST": {"float": 88.0, "double": 709.0},
    # −ln 2 in two parts: whole multiples of the first are exact.
    "LN2_HIGH": {"float": -0.693359375, "double": -6.93147180369123816490e-01},
    "LN2_LOW": {"float": 2.12194440e-4, "double": -1.90821492927058770002e-10},
}
"""Numbers of either precision."""

NUMBERS: Final[dict[str, float]] = {
    "PI": 3.141592653589793116,
    "PI_LOW": 1.2246467991473532072e-16,
    "INVERSE_PI": 0.31830988618379067154,
    "LOG2_E": 1.44269504088896340736,
}
"""Constants in float64; π is PI + PI_LOW."""

LISTS: Final[dict[str, tuple[float, ...]]] = {
    "NOISE_SIN_PI": SINE_SERIES,
    "NOISE_EXP": EXP_SERIES,
    "NOISE_LOG": LOG_SERIES,
    "HALO_EXPONENTS": tuple(exponent for exponent, _ in EXPONENTIALS),
    "HALO_WEIGHTS": tuple(weight for _, weight in EXPONENTIALS),
}
"""Photon noise goes by the model's polynomials, of additions and multiplications that are each
rounded, from the constant term up: the counts are equal in C++ and in Python. Halos are sums of
exponentials, see `physics.halos`."""


def table_id() -> str:
    """16 hex digits over the table: a library built from another one is not loaded."""
    parts = (
        PARAMETERS, SURFACES, list(SHAPES.values()), POLYNOMIALS, PAIRS, NUMBERS, LISTS
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
