"""Cell vectors in short pieces, so that float32 computes Miller indices to 1e-10.

With A ≥ |a| and Q ≥ |q| powers of two, first pieces are whole multiples of 2⁻¹¹ A (2⁻¹¹ Q),
second pieces of 2⁻²³ A (2⁻²³ Q), third pieces what is left, rounded to float32. Σ a₁q₁ is then a
multiple of 2⁻²² AQ below 1.01 AQ, and Σ (a₁q₂ + a₂q₁) a multiple of 2⁻³⁴ AQ below 3.5·2⁻¹² AQ:
both fit 24 bits, so their products and sums are exact. The rest is below 6.5·2⁻²⁴ AQ and its ten
roundings come to at most 43·2⁻⁴⁸ AQ = 1.5e-13 AQ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.vectors import Float64Array

FIRST_BITS: Final = 11
SECOND_BITS: Final = 23
MOST_PRODUCT: Final = 512.0
"""A·Q up to which the worst error stays below 1e-10."""

_ROUND_TO_ONE: Final = 1.5 * 2.0**52
"""Adding it to a float64 rounds that to a whole number."""


@dataclass(frozen=True, slots=True)
class SplitVectors:
    """Cell vectors of all domains in pieces.

    Attributes
    ----------
    pieces : (domains, 27) float32, Å
        Nine first, nine second, nine third pieces.
    grids : (float, float)
        What rounds a scattering vector to its first and second grid when added.
    """

    pieces: NDArray[np.float32]
    grids: tuple[float, float]


def split_vectors(vectors: Float64Array, wavelength: float) -> SplitVectors | None:
    """Split the cell vectors of all domains; None where 1e-10 could not be kept.

    Parameters
    ----------
    vectors : (domains, 9) float64, Å
    wavelength : float
        Shortest wavelength, Å: no scattering vector is longer than 2/λ.
    """
    longest = math.sqrt(float((vectors.reshape(-1, 3) ** 2).sum(axis=1).max()))
    bound, reciprocal = power_above(longest), power_above(2.0 / wavelength)
    if bound * reciprocal > MOST_PRODUCT:
        return None
    first = _rounded(vectors, bound * 2.0**-FIRST_BITS)
    second = _rounded(vectors - first, bound * 2.0**-SECOND_BITS)
    third = vectors - first - second
    pieces = np.concatenate([first, second, third], axis=1).astype(np.float32)
    grids = tuple(_ROUND_TO_ONE * reciprocal * 2.0**-bits for bits in (FIRST_BITS, SECOND_BITS))
    return SplitVectors(pieces, (grids[0], grids[1]))


def power_above(value: float) -> float:
    """Smallest power of two that is not below a positive number."""
    mantissa, exponent = math.frexp(value)
    return 2.0 ** (exponent - 1 if mantissa == 0.5 else exponent)


def _rounded(values: Float64Array, grid: float) -> Float64Array:
    rounded: Float64Array = np.rint(values / grid) * grid
    return rounded
