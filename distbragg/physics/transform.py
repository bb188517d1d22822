"""The transform of the finite crystal about a lattice point: one function for every spot shape.

Distances from the nearest lattice point are taken in float64 before anything else, and
multiples of π are formed only from what is left after whole turns are removed. Signs are
dropped throughout: only squares are used. Values and derivatives are finite everywhere, the
removable singular points included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from distbragg.models.crystal import unit_cells
from distbragg.physics.arrays import Array, Triple, constant, floats, module_of
from distbragg.physics.elementary import SINE_SERIES, cos_pi, exp, horner, sin_pi
from distbragg.shapes import SHAPES, SpotShape

_SERIES_LIMIT: Final = 1.5
"""Argument of sinc3 below which the power series is used: its terms do not cancel there."""

_SINC3_SERIES: Final = tuple(
    (-1.0) ** k * 6.0 * (k + 1) / math.factorial(2 * k + 3) for k in range(12)
)


@dataclass(frozen=True, slots=True)
class Spot:
    """What the transform depends on."""

    shape: SpotShape
    cells: tuple[Array, ...]  # Na, Nb, Nc, and Nd, Ne, Nf where N is not a diagonal matrix
    form: tuple[Triple, Triple, Triple]
    """S, symmetric: r² = δᵀ S δ with δ in index units; see `models.crystal.Crystal`."""


def lattice_amplitude(spot: Spot, offsets: Triple) -> Array:
    """Return |F_latt| up to sign at offsets h − h₀, k − k₀, l − l₀, each in (−½, ½].

    A parallelepiped is Π sin(πNδ)/sin(πδ) over the three axes. For a number of cells that is
    not whole it is this formula of δ, the distance from the nearest reflection: it is smooth in N
    and δ within |δ| < ½, but where the nearest reflection changes, at |δ| = ½, its square has a
    kink. The other shapes are functions of r and smooth in N as they stand; nothing flows through
    the edge of a top hat.
    """
    row = SHAPES[spot.shape]
    if row.transform == "interference":
        first, second, third = (
            interference(offset, cells) for offset, cells in zip(offsets, spot.cells, strict=True)
        )
        return first * second * third
    height = unit_cells(spot.cells) * row.height
    square = radius_squared(spot, offsets)
    if row.transform == "sinc3":
        return sinc3(square) * height
    if row.transform == "gaussian":
        return exp(square * (-0.5 * row.decay)) * height
    return floats(constant(square) < row.zero_radius**2) * height


def radius_squared(spot: Spot, offsets: Triple) -> Array:
    """Return r² = δᵀ S δ of the offsets δ."""
    (aa, ab, ac), (_, bb, bc), (_, _, cc) = spot.form
    h, k, l = offsets  # noqa: E741 - Miller indices
    total = h * h * aa + k * k * bb + l * l * cc
    for factor, first, second in ((ab, h, k), (ac, h, l), (bc, k, l)):
        if isinstance(factor, float) and factor == 0.0:
            continue
        total = total + first * second * (2.0 * factor)
    return total


def interference(offset: Array, cells: Array) -> Array:
    """Return sin(πNδ)/sin(πδ) up to sign for δ in [−½, ½] and any N > 0; N at δ = 0.

    Both sines are their argument times a polynomial of its square. Within half a turn of Nδ the
    arguments' ratio is N itself, so that nothing is divided by a small number.
    """
    module = module_of(offset)
    if isinstance(cells, float) and cells == 1.0:
        return module.ones_like(offset)
    turns = offset * cells
    whole = module.round(constant(turns))
    turns = turns - whole
    close = whole == 0.0
    above = module.where(close, cells, turns) * horner(turns * turns, SINE_SERIES)
    below = module.where(close, 1.0, offset) * horner(offset * offset, SINE_SERIES)
    return above / below


def sinc3(square: Array) -> Array:
    """Return 3 (sin x/x − cos x)/x² up to sign, from (x/π)²; 1 at 0.

    A function of the square alone near 0, so that no square root is differentiated there.
    """
    module = module_of(square)
    small = constant(square) < (_SERIES_LIMIT / math.pi) ** 2
    near = horner(module.where(small, square, 0.0) * (math.pi * math.pi), _SINC3_SERIES)
    far_square = module.where(small, 1.0, square)
    turns = module.sqrt(far_square)
    rest = turns - module.round(constant(turns))
    argument = turns * math.pi
    far = (sin_pi(rest) / argument - cos_pi(rest)) * 3.0 / (far_square * (math.pi * math.pi))
    return module.where(small, near, far)
