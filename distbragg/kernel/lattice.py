"""Transform of the finite crystal at fractional Miller indices: the spot shapes.

Distances from the nearest lattice point are taken in float64 before anything else, and
multiples of π are formed only from what is left after whole turns are removed. Signs are
dropped throughout: only squares are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from distbragg.kernel.polynomials import cos_pi, exp, horner, sin_pi
from distbragg.models.crystal import Crystal, SpotShape
from distbragg.shapes import SHAPES

Indices = tuple[Tensor, Tensor, Tensor]

_ON_LATTICE_POINT: Final = 1e-30
"""sin(πδ) below which the ratio is N: N²δ² is far below one ulp for any crystal."""

_SERIES_LIMIT: Final = 1.5
"""Argument of sinc3 below which the power series is used: its terms do not cancel there."""

_SERIES_TERMS: Final = {torch.float32: 7, torch.float64: 12}


@dataclass(frozen=True, slots=True)
class LatticeShape:
    """What the transform needs of a crystal, as plain numbers.

    Attributes
    ----------
    shape : SpotShape
    cells : (float, float, float)
    form : three (float, float, float)
        See `Crystal.spot_form`.
    """

    shape: SpotShape
    cells: tuple[float, float, float]
    form: tuple[tuple[float, float, float], ...]

    @property
    def volume(self) -> float:
        """Number of unit cells."""
        return self.cells[0] * self.cells[1] * self.cells[2]


def lattice_shape(crystal: Crystal) -> LatticeShape:
    """Extract the plain numbers of a crystal."""
    cells = crystal.cells.tolist()
    rows = tuple((row[0], row[1], row[2]) for row in crystal.spot_form.tolist())
    return LatticeShape(crystal.shape, (cells[0], cells[1], cells[2]), rows)


def lattice_amplitude(shape: LatticeShape, offsets: Indices, dtype: torch.dtype) -> Tensor:
    """Return |F_latt|.

    Parameters
    ----------
    shape : LatticeShape
    offsets : three (...,) float64
        h − h₀, k − k₀, l − l₀, each in (−½, ½].
    dtype : torch.dtype
        float32 or float64; what the transform is evaluated in once whole turns are removed.

    Returns
    -------
    (...,) `dtype`
    """
    row = SHAPES[shape.shape]
    if row.transform == "interference":
        return _parallelepiped(shape, offsets, dtype)
    square, height = _radius_squared(shape, offsets), shape.volume * row.height
    if row.transform == "sinc3":
        return sinc3(square, dtype).mul_(height)
    if row.transform == "gaussian":
        return exp(square * (-0.5 * row.decay), dtype).mul_(height)
    return (square < row.zero_radius**2).to(dtype).mul_(height)


def _parallelepiped(shape: LatticeShape, offsets: Indices, dtype: torch.dtype) -> Tensor:
    """Π sin(πNδ)/sin(πδ) over the axes of more than one cell."""
    product: Tensor | None = None
    for offset, cells in zip(offsets, shape.cells, strict=True):
        if cells <= 1.0:
            continue
        ratio = interference(offset, cells, dtype)
        product = ratio if product is None else product.mul_(ratio)
    return torch.ones_like(offsets[0], dtype=dtype) if product is None else product


def interference(offset: Tensor, cells: float, dtype: torch.dtype) -> Tensor:
    """Return sin(πNδ)/sin(πδ) up to sign for δ in [−½, ½]; N at δ = 0."""
    turns = offset * cells
    turns -= torch.round(turns)
    above = sin_pi(turns.to(dtype))
    below = sin_pi(offset.to(dtype))
    peak = below.abs() < _ON_LATTICE_POINT
    return above.div_(below).masked_fill_(peak, cells)


def sinc3(square: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 3 (sin x/x − cos x)/x² up to sign, from (x/π)² in float64."""
    turns = torch.sqrt(square)
    rest = (turns - torch.round(turns)).to(dtype)
    argument = (turns * math.pi).to(dtype)
    argument_squared = argument * argument
    far = (sin_pi(rest) / argument - cos_pi(rest)) * 3.0 / argument_squared
    near = horner(argument_squared, _sinc3_series(_SERIES_TERMS[dtype]))
    return torch.where(argument < _SERIES_LIMIT, near, far)


def _sinc3_series(terms: int) -> tuple[float, ...]:
    """Coefficients of x⁰, x², x⁴ … : (−1)ᵏ 6(k+1)/(2k+3)!."""
    return tuple(
        (-1.0) ** power * 6.0 * (power + 1) / math.factorial(2 * power + 3)
        for power in range(terms)
    )


def _radius_squared(shape: LatticeShape, offsets: Indices) -> Tensor:
    """r² = δᵀ S δ, float64."""
    total = torch.zeros_like(offsets[0])
    for offset, row in zip(offsets, shape.form, strict=True):
        total += offset * (offsets[0] * row[0] + offsets[1] * row[1] + offsets[2] * row[2])
    return total
