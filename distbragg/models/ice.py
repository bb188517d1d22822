"""Rings of powdered ice: what a molecule of water in it scatters on the average.

In a powder every orientation is alike. A line of 1/d = g has, per molecule,

    F² = Σ |F_hkl|² L(q − g) / (Z V 4π g²),

summed over the reflections of the line, with q = 2 sin(θ)/λ, V the volume of the cell, Z = 4 its
molecules and L the shape of the line, a Gaussian of area 1. Integrated over its ring this is the
λ³ Σ |F|² / (4 V² sin θ) of a powder of volume 1.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array

ICE_CELL_ANGSTROM3: Final = 4.50**2 * math.sqrt(0.75) * 7.34
"""Of ice Ih, whose spacings are those of ice rings; four molecules."""

_MOLECULES: Final = 4
_REACH: Final = 4.0  # standard deviations of a line; beyond it is nothing
_PART_OF_WIDTH: Final = 0.4
"""Of a ring's FWHM that a part of a pixel may span: a mean over parts is then within 6e-3 of the
brightest pixel, and their sum over a ring better."""

_PART: Final = 0.25  # of a standard deviation, between points of a table


def ring_stol(at: Float64Array, width: float) -> Float64Array:
    """Return points of sin(θ)/λ, 1/Å, increasing, between which lines are as good as linear.

    Parameters
    ----------
    at : (lines,)
        1/d of each, 1/Å.
    width : float
        FWHM of 1/d, 1/Å.
    """
    sigma = _sigma(width)
    # All on one lattice, so that lines that overlap share their points; the outermost are 0.
    step = 0.5 * sigma * _PART
    reach = math.ceil(_REACH / _PART)
    middle = np.round(0.5 * at / step).astype(np.int64)
    places = np.unique(middle[:, np.newaxis] + np.arange(-reach - 1, reach + 2))
    return step * places[places >= 0]


def ring_squared(
    at: Float64Array, strength: Float64Array, width: float, stol: Float64Array
) -> Float64Array:
    """Return F² of the lines per molecule at `stol`, electrons².

    Parameters
    ----------
    at, strength : (lines,)
        1/d, 1/Å, and Σ |F|² over its reflections, electrons².
    width : float
        FWHM of 1/d, 1/Å.
    stol : (n,)
        sin(θ)/λ, 1/Å.
    """
    sigma = _sigma(width)
    weight = strength / (_MOLECULES * ICE_CELL_ANGSTROM3 * 4.0 * math.pi * at**2)
    total = np.zeros_like(stol)
    for line, share in zip(at, weight, strict=True):
        away = (2.0 * stol - line) / sigma
        shape = np.exp(-0.5 * away**2) / (sigma * math.sqrt(2.0 * math.pi))
        total += np.where(np.abs(away) <= _REACH + 0.5 * _PART, share * shape, 0.0)
    return total


def ring_table(width: float) -> tuple[Float64Array, Float64Array]:
    """Return sin(θ)/λ, 1/Å, and F, electrons per molecule, of rings of this FWHM of 1/d, 1/Å."""
    at, strength = _lines()
    stol = ring_stol(at, width)
    return stol, np.sqrt(ring_squared(at, strength, width, stol))


def parts_of_pixel(width: float, pixel: float) -> int:
    """Return into how many parts a pixel's sides are cut so that sums over them are integrals.

    Parameters
    ----------
    width, pixel : float
        FWHM of a ring and the most that a pixel spans, of 1/d, 1/Å.
    """
    return max(1, math.ceil(pixel / (_PART_OF_WIDTH * width)))


def _sigma(width: float) -> float:
    return width / math.sqrt(8.0 * math.log(2.0))


@cache
def _lines() -> tuple[Float64Array, Float64Array]:
    file = resources.files("distbragg.data").joinpath("materials", "ice_lines.txt")
    at, strength = np.loadtxt(file.read_text("utf-8").splitlines()).T
    return at, strength
