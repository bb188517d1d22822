"""Integrals over the rays of spots, by the trapezoidal rule.

Nodes are two lattices of squares on the disc of a spot, one in the gaps of the other. For what is
smooth and falls to nothing at the edge the error of either falls as the exponential of the square
of their number; where the two agree, that of their mean is far smaller than what they differ by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.places import Places

_FIRST: Final = {False: 3.0, True: 3.5}
"""Nodes along a radius, by whether the crystal rotates: a spot that is recorded in part has a
larger disc than it fills."""

_DOUBLINGS: Final = 6
"""How often nodes are doubled until the lattices agree: a rotation can move a narrow spot along its
disc."""

_AGREED: Final = 1e-2
_ELEMENTS: Final = 1 << 13  # rays looked at together: what stays in the cache of a core

_REACH: Final = 5.0
"""Standard deviations to the edge of a disc: 4e-6 of a Gaussian are beyond. What is rendered of a
spot far from the sphere is cut off nearer, but is next to nothing."""

Densities = Callable[[IntArray, Float64Array], Float64Array]
"""Of some spots, (n,), and their rays, (n, rays, 3): quantities per steradian, (k, n, rays)."""


def integrate(places: Places, densities: Densities, *, rotates: bool) -> Float64Array:
    """Return the integrals of quantities over the rays of each spot, (k, n); the first decides."""
    waiting = np.arange(len(places))
    found: Float64Array = np.zeros((0, len(places)))
    for doubling in range(_DOUBLINGS + 1):
        if len(waiting) == 0:
            break
        radius = _FIRST[rotates] * 2.0**doubling
        both = [_summed(places, waiting, densities, radius, shift) for shift in (0.0, 0.5)]
        first, second = both
        if not len(found):
            found = np.zeros((len(first), len(places)))
        found[:, waiting] = 0.5 * (first + second)
        away = np.abs(first[0] - second[0]) > _AGREED * 0.5 * (first[0] + second[0])
        # What neither has met may lie between their nodes.
        away |= first[0] + second[0] <= 0.0
        waiting = waiting[away]
    return found


def _summed(
    places: Places, chosen: IntArray, densities: Densities, radius: float, shift: float
) -> Float64Array:
    """Return the sum over one lattice, (k, chosen)."""
    a, b = _lattice(radius, shift)
    step = max(1, _ELEMENTS // len(a))
    parts = []
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        rays, square = places[some].rays(_REACH, a, b)
        l11, _, l22 = places[some].roots()
        area = _REACH * _REACH * l11 * l22 / (square * np.sqrt(square))
        parts.append((densities(some, rays) * area).sum(axis=2) / radius**2)
    return np.concatenate(parts, axis=1)


@lru_cache(maxsize=32)
def _lattice(radius: float, shift: float) -> tuple[Float64Array, Float64Array]:
    """Return the nodes of one lattice in the unit disc."""
    most = math.ceil(radius)
    line = (np.arange(-most, most + 1) + shift) / radius
    a, b = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    inside = a * a + b * b <= 1.0
    return a[inside], b[inside]
