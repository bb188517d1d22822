"""Plane sections of the crystal's transform: what of a reflection the Ewald sphere cuts out.

Near a reciprocal lattice point the sphere is a plane at a signed distance ε along its normal n.
The integral of |F_latt|² over that plane is

    G(ε) = ∫ A(t n) cos(2π ε t) dt

with A the autocorrelation of the crystal's shape over the volume of the unit cell
(projection-slice theorem). For a parallelepiped A is a product of three triangles, for an
ellipsoid a cubic polynomial; Gaussian and top-hat transforms are integrated directly: with
r² = δᵀ S δ and s = (n·a*, n·b*, n·c*) S⁻¹ (n·a*, n·b*, n·c*)ᵀ the plane meets r = ε/√s at nearest,
and its area scales as 1/(V √(s det S)). The integral of G over ε is A(0).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.matrices import determinant3, inverse3
from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Float64Array
from distbragg.shapes import SHAPES

_SERIES_LIMIT: Final = 0.5
"""Phase below which the cosine moments are taken from their power series: the recurrence loses
n!/phase^n of the last digits."""

_SERIES_TERMS: Final = 8


class Section:
    """G(ε) of one crystal."""

    def __init__(self, crystal: Crystal) -> None:
        self._row = SHAPES[crystal.shape]
        self._cells = crystal.cells
        self._count = crystal.unit_cells
        self._volume = abs(float(determinant3(crystal.real_space)))
        self._inverse = inverse3(crystal.spot_form)
        # Volume of r < 1 in units of 4π/3, 1/Å³.
        self._unit = 1.0 / (math.sqrt(float(determinant3(crystal.spot_form))) * self._volume)

    @property
    def area(self) -> float:
        """A(0), the integral of G over ε, Å⁻³."""
        square = self._count * self._count * self._unit
        if self._row.transform == "gaussian":
            return square * math.pow(math.pi / self._row.decay, 1.5)
        if self._row.transform == "step":
            return square * 4.0 / 3.0 * math.pi * self._row.zero_radius**3
        return square

    def width(self, slopes: Float64Array) -> Float64Array:
        """Return the distance ε over which G falls: one fringe, or the width of the bell, 1/Å.

        `slopes`: (..., 3); a*·n, b*·n, c*·n, 1/Å.
        """
        if self._row.transform == "gaussian":
            return np.asarray(np.sqrt(self._lean(slopes) / self._row.decay))
        if self._row.transform == "step":
            return np.asarray(np.sqrt(self._lean(slopes)) * self._row.zero_radius)
        return np.asarray(0.5 / self._reach(slopes))

    def value(self, distance: Float64Array, slopes: Float64Array) -> Float64Array:
        """Return G(ε), Å⁻², at `distance` ε, 1/Å; the slopes are those of `width`."""
        if self._row.transform in {"gaussian", "step"}:
            lean = self._lean(slopes)
            square = distance * distance / lean
            scale = self._count**2 * self._unit * math.pi / np.sqrt(lean)
            if self._row.transform == "gaussian":
                return np.asarray(scale / self._row.decay * np.exp(-self._row.decay * square))
            return np.asarray(scale * np.maximum(self._row.zero_radius**2 - square, 0.0))
        reach = self._reach(slopes)
        moments = cosine_moments(2.0 * math.pi * distance * reach)
        if self._row.transform == "sinc3":
            overlap = moments[0] - 1.5 * moments[1] + 0.5 * moments[3]
        else:
            overlap = _triangles(np.abs(slopes) * (reach[..., np.newaxis] / self._cells), moments)
        return np.asarray(2.0 * reach * self.area * overlap)

    def spread(self, reciprocal: Float64Array) -> Float64Array:
        """Return the shape tensor of |F_latt|² about a lattice point, up to a factor: (..., 3, 3).

        `reciprocal`: (..., 3, 3); rows a*, b*, c*, 1/Å.
        """
        spans = (
            reciprocal[..., :, np.newaxis, :, np.newaxis]
            * reciprocal[..., np.newaxis, :, np.newaxis, :]
        )
        return np.asarray((spans * self._inverse[..., np.newaxis, np.newaxis]).sum((-4, -3)))

    def _lean(self, slopes: Float64Array) -> Float64Array:
        """Square of the greatest ε at which a plane still meets r = 1, Å⁻²."""
        rows = (slopes[..., np.newaxis, :] * self._inverse).sum(-1)
        return np.asarray((slopes * rows).sum(-1))

    def _reach(self, slopes: Float64Array) -> Float64Array:
        """Return t beyond which the crystal no longer overlaps itself, Å."""
        if self._row.transform == "sinc3":
            return np.asarray(1.0 / np.sqrt(self._lean(slopes)))
        return np.asarray(1.0 / (np.abs(slopes) / self._cells).max(axis=-1))


def cosine_moments(phase: Float64Array) -> tuple[Float64Array, ...]:
    """Return ∫₀¹ uⁿ cos(ωu) du of the phase ω for n = 0 … 3."""
    small = np.abs(phase) < _SERIES_LIMIT
    omega = np.where(small, 1.0, phase)
    sine, cosine = np.sin(omega), np.cos(omega)
    even, odd = sine / omega, (1.0 - cosine) / omega
    far = [even]
    for power in range(1, 4):
        even, odd = (sine - power * odd) / omega, (power * even - cosine) / omega
        far.append(even)
    square = np.where(small, phase * phase, 0.0)
    return tuple(np.where(small, _series(square, n), value) for n, value in enumerate(far))


def _series(square: Float64Array, power: int) -> Float64Array:
    """Σ (−1)ᵏ ω²ᵏ / ((2k)! (power + 2k + 1))."""
    total = np.zeros_like(square)
    for k in reversed(range(_SERIES_TERMS)):
        total = total * square + (-1.0) ** k / (math.factorial(2 * k) * (power + 2 * k + 1))
    return total


def _triangles(slopes: Float64Array, moments: tuple[Float64Array, ...]) -> Float64Array:
    """∫₀¹ Π (1 − αᵢ u) cos(ωu) du, with αᵢ in the last axis of `slopes`."""
    a, b, c = slopes[..., 0], slopes[..., 1], slopes[..., 2]
    return np.asarray(
        moments[0]
        - (a + b + c) * moments[1]
        + (a * b + b * c + c * a) * moments[2]
        - a * b * c * moments[3]
    )
