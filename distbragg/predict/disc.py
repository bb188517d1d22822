"""Integrals over the rays of spots, by the trapezoidal rule.

Nodes are two lattices of squares on the disc of a spot, one in the gaps of the other. For what is
smooth and falls to nothing at the edge the error of either falls as the exponential of the square
of their number; where the two agree, that of their mean is far smaller than what they differ by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.places import Places

_FIRST, _LAST = 3, 192
"""Nodes along a radius, which are doubled until the lattices agree: a rotation can move a narrow
spot along its disc."""

_AGREED: Final = 1e-2
_ELEMENTS: Final = 1 << 13  # rays looked at together: what stays in the cache of a core

_REACH: Final = 5.0
"""Standard deviations to the edge of a disc: 4e-6 of a Gaussian are beyond. What is rendered of a
spot far from the sphere is cut off nearer, but is next to nothing."""

Densities = Callable[[IntArray, Float64Array], Float64Array]
"""Of some spots, (n,), and their rays, (n, rays, 3): quantities per steradian, (k, n, rays)."""


def integrate(places: Places, densities: Densities) -> Float64Array:
    """Return the integrals of quantities over the rays of each spot, (k, n); the first decides."""
    waiting = np.arange(len(places))
    found: Float64Array = np.zeros((0, len(places)))
    radius = _FIRST
    while len(waiting):
        both = [_summed(places, waiting, densities, radius, shift) for shift in (0.0, 0.5)]
        first, second = both
        if not len(found):
            found = np.zeros((len(first), len(places)))
        found[:, waiting] = 0.5 * (first + second)
        away = np.abs(first[0] - second[0]) > _AGREED * 0.5 * (first[0] + second[0])
        # What neither has met may lie between their nodes.
        away |= first[0] + second[0] <= 0.0
        waiting = waiting[away] if radius < _LAST else waiting[:0]
        radius *= 2
    return found


def _summed(
    places: Places, chosen: IntArray, densities: Densities, radius: int, shift: float
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


def _lattice(radius: int, shift: float) -> tuple[Float64Array, Float64Array]:
    """Return the nodes of one lattice in the unit disc."""
    line = (np.arange(-radius, radius + 1) + shift) / radius
    a, b = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    inside = a * a + b * b <= 1.0
    return a[inside], b[inside]
