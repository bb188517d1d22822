"""Plane sections of the crystal's transform: what of a reflection the Ewald sphere cuts out.

Near a reciprocal lattice point the sphere is a plane at a signed distance ε along its normal n.
The integral of |F_latt|² over that plane is

    G(ε) = ∫ A(t n) cos(2π ε t) dt

with A the autocorrelation of the crystal's shape over the volume of the unit cell
(projection-slice theorem). For a parallelepiped A is a product of three triangles, for an
ellipsoid a cubic polynomial; Gaussian and top-hat transforms are integrated directly. The
integral of G over ε is A(0): Na Nb Nc / V for the first two.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.constants import GAUSS_CRYSTAL_WIDTH, TOPHAT_CRYSTAL_CUT
from distbragg.models.arrays import Float64Array
from distbragg.models.crystal import Crystal

_SERIES_LIMIT: Final = 0.5
"""Phase below which the cosine moments are taken from their power series: the recurrence loses
n!/phase^n of the last digits."""

_SERIES_TERMS: Final = 8


class Section:
    """G(ε) of one crystal.

    Parameters
    ----------
    crystal : Crystal
    """

    def __init__(self, crystal: Crystal) -> None:
        self._shape = crystal.shape
        self._cells = crystal.cells
        self._count = float(crystal.cells.prod())
        self._volume = abs(float(np.linalg.det(crystal.real_space)))
        self._fudge = float(crystal.fudge)

    @property
    def area(self) -> float:
        """A(0), the integral of G over ε, Å⁻³."""
        if self._shape == "square":
            return self._count / self._volume
        if self._shape == "round":
            return self._count / (self._volume * math.pow(self._fudge, 1.5))
        if self._shape == "gauss":
            return self._count**2 * math.pow(math.pi / self._sharpness, 1.5)
        return self._count**2 * 4.0 / 3.0 * math.pi * math.pow(self._radius_squared, 1.5)

    def width(self, slopes: Float64Array) -> Float64Array:
        """Return the distance ε over which G falls: one fringe, or the width of the bell, 1/Å.

        Parameters
        ----------
        slopes : (..., 3) float64
            a*·n, b*·n, c*·n, 1/Å.
        """
        if self._shape in {"square", "round"}:
            return np.asarray(0.5 / self._reach(slopes))
        if self._shape == "gauss":
            return np.full(slopes.shape[:-1], 1.0 / math.sqrt(self._sharpness))
        return np.full(slopes.shape[:-1], math.sqrt(self._radius_squared))

    def value(self, distance: Float64Array, slopes: Float64Array) -> Float64Array:
        """Return G(ε), Å⁻².

        Parameters
        ----------
        distance : (...) float64
            ε, 1/Å.
        slopes : (..., 3) float64
            a*·n, b*·n, c*·n, 1/Å.
        """
        if self._shape == "gauss":
            bell = np.exp(-self._sharpness * distance * distance)
            return np.asarray(self._count**2 * math.pi / self._sharpness * bell)
        if self._shape == "tophat":
            inside = np.maximum(self._radius_squared - distance * distance, 0.0)
            return np.asarray(self._count**2 * math.pi * inside)
        reach = self._reach(slopes)
        moments = cosine_moments(2.0 * math.pi * distance * reach)
        if self._shape == "round":
            overlap = moments[0] - 1.5 * moments[1] + 0.5 * moments[3]
        else:
            overlap = _triangles(np.abs(slopes) * (reach[..., np.newaxis] / self._cells), moments)
        return np.asarray(2.0 * reach * self.area * overlap)

    def spread(self, reciprocal: Float64Array) -> Float64Array:
        """Return the shape tensor of |F_latt|² about a lattice point, up to a factor: (..., 3, 3).

        Parameters
        ----------
        reciprocal : (..., 3, 3) float64, 1/Å
            Rows a*, b*, c*.
        """
        if self._shape in {"gauss", "tophat"}:
            return np.broadcast_to(np.eye(3), reciprocal.shape)
        scaled = reciprocal / self._cells[:, np.newaxis]
        return np.asarray((scaled[..., :, :, np.newaxis] * scaled[..., :, np.newaxis, :]).sum(-3))

    @property
    def _sharpness(self) -> float:
        """Factor b of |F_latt|² = N² exp(−b |Δq|²), Å²."""
        return 2.0 * self._count**2 * self._fudge / GAUSS_CRYSTAL_WIDTH

    @property
    def _radius_squared(self) -> float:
        """Squared radius of the top hat, Å⁻²."""
        return TOPHAT_CRYSTAL_CUT / (self._count**2 * self._fudge)

    def _reach(self, slopes: Float64Array) -> Float64Array:
        """Return t beyond which the crystal no longer overlaps itself, Å."""
        turns = np.abs(slopes) / self._cells
        if self._shape == "square":
            return np.asarray(1.0 / turns.max(axis=-1))
        return np.asarray(math.sqrt(self._fudge) / np.sqrt((turns * turns).sum(axis=-1)))


def cosine_moments(phase: Float64Array) -> tuple[Float64Array, ...]:
    """Return ∫₀¹ uⁿ cos(ωu) du for n = 0 … 3.

    Parameters
    ----------
    phase : (...) float64
        ω.
    """
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
