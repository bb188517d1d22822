"""The one source table: generated grids, source files and spectra become it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from distbragg.errors import InputError
from distbragg.models.arrays import Float64Array, frozen_float64
from distbragg.models.beam import Sources, WeightRule
from distbragg.models.steps import Grid, check_count
from distbragg.models.vectors import Vector, cross, rotate_about, scale, unit

_ROUND_CUT = 1.1


def make_sources(
    direction: Float64Array, wavelength: Float64Array, weight: Float64Array, rule: WeightRule
) -> Sources:
    """Build the table and fix its divisor once, from the whole list.

    Parameters
    ----------
    direction : (n, 3)
        Unit vectors towards the sources.
    wavelength : (n,), Å
    weight : (n,)
        Weights as listed.
    rule : {"sum", "count", "none"}
        `sum` divides by Σw (math.fsum) of weights scaled by one power of two; `count`
        ignores the weights and divides by the number listed; `none` divides by 1. Zero
        weights are dropped under `sum` and `none`.

    Raises
    ------
    InputError
        No source, a negative, NaN or infinite weight, or only zero weights.
    """
    listed = int(weight.shape[0])
    _check_weights(weight)
    if rule == "count":
        weight = np.ones(listed, dtype=np.float64)
        total = float(listed)
    else:
        keep = weight > 0.0
        if not keep.any():
            raise InputError(
                "every source weight is zero",
                field="beam.weights",
                remedy="give at least one source a positive weight",
            )
        direction, wavelength, weight = direction[keep], wavelength[keep], weight[keep]
        total = 1.0
        if rule == "sum":
            weight = _scale_by_power_of_two(weight)
            total = math.fsum(float(value) for value in weight)
    return Sources(
        direction=frozen_float64(direction),
        wavelength=frozen_float64(wavelength),
        weight=frozen_float64(weight),
        total_weight=total,
        listed=listed,
        rule=rule,
    )


def _check_weights(weight: Float64Array) -> None:
    if weight.shape[0] == 0:
        raise InputError("the list of sources is empty", field="beam")
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0.0)))
    if bad.size:
        index = int(bad[0])
        raise InputError(
            f"weight {weight[index]:g} of source {index + 1}",
            field="beam.weights",
            remedy="weights are finite and not negative",
        )


def _scale_by_power_of_two(weight: Float64Array) -> Float64Array:
    """Scale so that the largest weight lies in [0.5, 1): exact, whatever the user's unit."""
    _, exponent = math.frexp(float(weight.max()))
    # Two steps, since 2**-exponent itself may overflow for subnormal weights.
    half = -exponent // 2
    return np.ldexp(np.ldexp(weight, half), -exponent - half)


def weight_rule(
    asked: Literal["auto", "sum", "count", "none"], physics: Literal["exact", "nanobragg"]
) -> WeightRule:
    """Resolve `weights: auto`: sum under `physics: exact`, count under `physics: nanobragg`."""
    if asked != "auto":
        return asked
    return "sum" if physics == "exact" else "count"


def divergence_directions(
    beam: Vector, polarization: Vector, horizontal: Grid, vertical: Grid, *, round_off: bool
) -> Float64Array:
    """Directions towards the points of a divergence grid.

    The point is turned from the nominal source about the polarisation axis by the vertical
    angle, then about the vertical (beam × polarisation) by the horizontal one. A round grid
    leaves out its corners where both ranges are finite: what lies outside of the ellipse for a
    centred grid, else what the C program leaves out.

    Returns
    -------
    (points, 3) float64
        Unit vectors, the horizontal index outermost.

    Raises
    ------
    InputError
        More points than `steps.MAXIMUM_STEPS`, or a cut that leaves none.
    """
    check_count(horizontal.count * vertical.count, "beam.divergence")
    upward = unit(cross(beam, polarization))
    directions: list[Vector] = []
    angles = vertical.values
    for across in horizontal.values:
        for along in angles:
            if round_off and _outside(across, horizontal, along, vertical):
                continue
            point = rotate_about(scale(beam, -1.0), polarization, along)
            directions.append(unit(rotate_about(point, upward, across)))
    if not directions:
        raise InputError(
            "the round divergence grid has no point inside its ellipse",
            field="beam.divergence",
            remedy="use shape: square or more steps",
        )
    return np.array(directions, dtype=np.float64).reshape(-1, 3)


def _outside(across: float, horizontal: Grid, along: float, vertical: Grid) -> bool:
    if horizontal.extent == 0.0 or vertical.extent == 0.0:
        return False
    if horizontal.centred:
        return 4.0 * ((across / horizontal.extent) ** 2 + (along / vertical.extent) ** 2) > 1.0
    return 4.0 * (_share(across, horizontal) + _share(along, vertical)) > _ROUND_CUT


def _share(angle: float, grid: Grid) -> float:
    even = 1 - grid.count % 2
    return (angle * angle - grid.step * grid.step / 4.0 * even) / grid.extent / grid.extent


def dispersed_wavelengths(nominal: float, dispersion: Grid) -> Float64Array:
    """Wavelengths of a dispersion grid, nominal·(1 + step·j − range/2).

    Returns
    -------
    (count,) float64, in the unit of `nominal`

    Raises
    ------
    InputError
        The range reaches wavelengths that are not positive.
    """
    factors = [1.0 + dispersion.step * j - dispersion.extent / 2.0 for j in range(dispersion.count)]
    if min(factors) <= 0.0:
        raise InputError(
            f"a range of {100.0 * dispersion.extent:g} % reaches wavelength zero",
            field="beam.dispersion.range_percent",
            remedy="give less than 200 %",
        )
    return np.array([nominal * factor for factor in factors], dtype=np.float64)


def cross_product_table(
    directions: Float64Array, wavelengths: Float64Array, weights: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Combine every direction with every wavelength, the wavelength innermost.

    Returns
    -------
    direction (n, 3), wavelength (n,), weight (n,)

    Raises
    ------
    InputError
        Too many sources.
    """
    points, lines = directions.shape[0], wavelengths.shape[0]
    check_count(points * lines, "beam")
    return (
        np.repeat(directions, lines, axis=0),
        np.tile(wavelengths, points),
        np.tile(weights, points),
    )
