"""What the device code takes from the kernels' table: places in blocks, coefficients.

Device code needs them wrapped in `tl.constexpr`; `operator.index` gives the number.
"""

from __future__ import annotations

from typing import Any, Final

import triton
import triton.language as tl

from distbragg.kernel import table
from distbragg.shapes import SHAPES


def _listed(values: tuple[float, ...]) -> Any:  # noqa: ANN401 - a constexpr for the compiler
    """Coefficients for device code; the interpreter takes a plain tuple."""
    return values if triton.knobs.runtime.interpret else tl.constexpr(values)


_REALS: Final = table.places(table.DEVICE_REALS)
_WHOLES: Final = table.places(table.DEVICE_WHOLES)

STEP = tl.constexpr(_REALS["step"])
HALF = tl.constexpr(_REALS["half"])
ORIGIN = tl.constexpr(_REALS["origin"])
FAST = tl.constexpr(_REALS["fast"])
SLOW = tl.constexpr(_REALS["slow"])
NORMAL = tl.constexpr(_REALS["normal"])
BEAM = tl.constexpr(_REALS["beam"])
DISTANCE = tl.constexpr(_REALS["distance"])
CLOSE_DISTANCE = tl.constexpr(_REALS["close_distance"])
FOOT = tl.constexpr(_REALS["foot"])
SOLID = tl.constexpr(_REALS["solid"])
KAHN = tl.constexpr(_REALS["kahn"])
DMIN = tl.constexpr(_REALS["dmin"])
BACKGROUND = tl.constexpr(_REALS["background"])
SCALE = tl.constexpr(_REALS["scale"])
CELLS = tl.constexpr(_REALS["cells"])
METRIC = tl.constexpr(_REALS["metric"])
REACH_SQUARED = tl.constexpr(_REALS["reach_squared"])
GRID = tl.constexpr(_REALS["grid"])
REALS = tl.constexpr(_REALS[""])
"""Length of the block of float64 numbers."""

OVERSAMPLE = tl.constexpr(_WHOLES["oversample"])
LAYERS = tl.constexpr(_WHOLES["layers"])
BOX = tl.constexpr(_WHOLES["box"])
LOWEST = tl.constexpr(_WHOLES["lowest"])
BACKGROUND_ENTRIES = tl.constexpr(_WHOLES["background_entries"])
SEARCH_STEPS = tl.constexpr(_WHOLES["search_steps"])
WHOLES = tl.constexpr(_WHOLES[""])
"""Length of the block of int32 numbers."""

SOURCE_NUMBERS = tl.constexpr(12)
"""Of a source: 1/λ, weight, incident direction, forced polarisation plane, E, B."""

WIDE_NUMBERS = tl.constexpr(10)
"""From one domain's nine float64 components to the next, a multiple of sixteen bytes."""

SPLIT_NUMBERS = tl.constexpr(28)
"""The same of the 27 float32 pieces."""

NARROW_NUMBERS = tl.constexpr(12)
"""The same of the nine float32 components that find out whether a spot is near."""

SQUARE = tl.constexpr(SHAPES["square"].code)

FLAT = tl.constexpr(table.SURFACES["flat"])
SPHERE = tl.constexpr(table.SURFACES["sphere"])
CYLINDER_FAST = tl.constexpr(table.SURFACES["cylinder_fast"])
CYLINDER_SLOW = tl.constexpr(table.SURFACES["cylinder_slow"])
NANOBRAGG = tl.constexpr(table.SURFACES["nanobragg"])

SIN_PI_SINGLE = _listed(table.POLYNOMIALS["sin_pi"]["float"])
SIN_PI_DOUBLE = _listed(table.POLYNOMIALS["sin_pi"]["double"])
SINC3_SINE_SINGLE = _listed(table.POLYNOMIALS["sinc3_sine"]["float"])
SINC3_SINE_DOUBLE = _listed(table.POLYNOMIALS["sinc3_sine"]["double"])
SINC3_COSINE_SINGLE = _listed(table.POLYNOMIALS["sinc3_cosine"]["float"])
SINC3_COSINE_DOUBLE = _listed(table.POLYNOMIALS["sinc3_cosine"]["double"])
SINC3_PEAK_SINGLE = _listed(table.POLYNOMIALS["sinc3_peak"]["float"])
SINC3_PEAK_DOUBLE = _listed(table.POLYNOMIALS["sinc3_peak"]["double"])
EXP_SINGLE = _listed(table.POLYNOMIALS["exp"]["float"])
EXP_DOUBLE = _listed(table.POLYNOMIALS["exp"]["double"])
"""Polynomials from the highest power down."""

SINC3_NEAR_SINGLE = tl.constexpr(table.PAIRS["SINC3_NEAR"]["float"])
SINC3_NEAR_DOUBLE = tl.constexpr(table.PAIRS["SINC3_NEAR"]["double"])
EXP_LOWEST_SINGLE = tl.constexpr(table.PAIRS["EXP_LOWEST"]["float"])
EXP_LOWEST_DOUBLE = tl.constexpr(table.PAIRS["EXP_LOWEST"]["double"])
EXP_HIGHEST_SINGLE = tl.constexpr(table.PAIRS["EXP_HIGHEST"]["float"])
EXP_HIGHEST_DOUBLE = tl.constexpr(table.PAIRS["EXP_HIGHEST"]["double"])
LN2_HIGH_SINGLE = tl.constexpr(table.PAIRS["LN2_HIGH"]["float"])
LN2_HIGH_DOUBLE = tl.constexpr(table.PAIRS["LN2_HIGH"]["double"])
LN2_LOW_SINGLE = tl.constexpr(table.PAIRS["LN2_LOW"]["float"])
LN2_LOW_DOUBLE = tl.constexpr(table.PAIRS["LN2_LOW"]["double"])
PI = tl.constexpr(table.NUMBERS["PI"])
PI_LOW = tl.constexpr(table.NUMBERS["PI_LOW"])
INVERSE_PI = tl.constexpr(table.NUMBERS["INVERSE_PI"])
LOG2_E = tl.constexpr(table.NUMBERS["LOG2_E"])
