"""Integrals over the rays of spots, by the trapezoidal rule.

Nodes are two lattices of squares on the disc of a spot, one in the gaps of the other. For what is
smooth and falls to nothing at the edge the error of either falls as the exponential of the square
of their number; where the two agree, that of their mean is far smaller than what they differ by.
Along the narrow way of a spot that a rotation moves (`grain`) nodes lie closer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.places import Places
from distbragg.predict.grain import Grain

_FIRST: Final = {False: 3.0, True: 3.5}
"""Nodes along a radius, by whether the crystal rotates: a spot that is recorded in part has a
larger disc than it fills."""

_DOUBLINGS: Final = 6
"""How often nodes are doubled until the lattices agree; those along the narrow way count half."""

_AGREED: Final = 1e-2
_ELEMENTS: Final = 1 << 13  # rays looked at together: what stays in the cache of a core

_REACH: Final = 5.0
"""Standard deviations to the edge of a disc: 4e-6 of a Gaussian are beyond. What is rendered of a
spot far from the sphere is cut off nearer, but is next to nothing."""

Densities = Callable[[IntArray, Float64Array], Float64Array]
"""Of some spots, (n,), and their rays, (n, rays, 3): quantities per steradian, (k, n, rays)."""


def integrate(places: Places, densities: Densities, grain: Grain, *, rotates: bool) -> Float64Array:
    """Return the integrals of quantities over the rays of each spot, (k, n); the first decides."""
    found: Float64Array = np.zeros((0, len(places)))
    for finer in np.unique(grain.doublings).tolist():
        waiting = np.flatnonzero(grain.doublings == finer)
        for doubling in range(_DOUBLINGS - finer // 2 + 1):
            if len(waiting) == 0:
                break
            radius = _FIRST[rotates] * 2.0**doubling
            both = [
                _summed(places, waiting, densities, grain, lattice)
                for lattice in _lattices(radius * 2.0**finer, radius)
            ]
            first, second = both
            if not len(found):
                found = np.zeros((len(first), len(places)))
            found[:, waiting] = 0.5 * (first + second)
            away = np.abs(first[0] - second[0]) > _AGREED * 0.5 * (first[0] + second[0])
            # What neither has met may lie between their nodes.
            away |= first[0] + second[0] <= 0.0
            waiting = waiting[away]
    return found


@dataclass(frozen=True, slots=True)
class _Lattice:
    """Nodes in the unit disc, (nodes,), along the narrow way of a spot and across it."""

    narrow: Float64Array
    wide: Float64Array
    area: float  # that belongs to each


def _summed(
    places: Places, chosen: IntArray, densities: Densities, grain: Grain, lattice: _Lattice
) -> Float64Array:
    """Return the sum over one lattice, (k, chosen)."""
    narrow, wide = lattice.narrow, lattice.wide
    step = max(1, _ELEMENTS // len(narrow))
    parts = []
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        own = grain[some]
        cosine, sine = own.cosine[:, np.newaxis], own.sine[:, np.newaxis]
        a, b = cosine * narrow - sine * wide, sine * narrow + cosine * wide
        rays, square = places[some].rays(_REACH, a, b)
        l11, _, l22 = places[some].roots()
        area = _REACH * _REACH * l11 * l22 / (square * np.sqrt(square))
        parts.append((densities(some, rays) * area).sum(axis=2) * lattice.area)
    return np.concatenate(parts, axis=1)


@lru_cache(maxsize=32)
def _lattices(narrow: float, wide: float) -> list[_Lattice]:
    """Return both lattices, of so many nodes along either radius."""
    found = []
    for shift in (0.0, 0.5):
        lines = [
            (np.arange(-math.ceil(radius), math.ceil(radius) + 1) + shift) / radius
            for radius in (narrow, wide)
        ]
        a, b = (part.ravel() for part in np.meshgrid(*lines, indexing="ij"))
        inside = a * a + b * b <= 1.0
        found.append(_Lattice(a[inside], b[inside], 1.0 / (narrow * wide)))
    return found
