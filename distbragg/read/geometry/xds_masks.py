"""Untrusted ellipses and quadrilaterals of an XDS.INP as masks of pixels.

XDS counts pixels from 1 at their centres, and takes those strictly inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def trusted_pixels(
    area: tuple[int, int, int, int],
    ellipses: Sequence[Sequence[float]],
    quadrilaterals: Sequence[Sequence[float]],
) -> Mask | None:
    """Return the pixels of an area that no shape takes out; None where that is all of them.

    Parameters
    ----------
    area : 4 ints
        First and last pixel along x, first and last along y, from 1.
    ellipses : (n, 4) floats
        x1 x2 y1 y2 of the rectangle around each.
    quadrilaterals : (n, 8) floats
        x and y of the four corners of each, in turn.

    Returns
    -------
    (slow, fast) bool or None
    """
    first_x, last_x, first_y, last_y = area
    shape = (last_y - first_y + 1, last_x - first_x + 1)
    good: Mask | None = None
    for inside, bounds, corners in (
        *((_in_ellipse, row, row) for row in ellipses),
        *((_in_quadrilateral, _around(row), row) for row in quadrilaterals),
    ):
        # Only the pixels around a shape are looked at: detectors have many, shapes are small.
        low_x, high_x = max(first_x, int(bounds[0])), min(last_x, int(bounds[1]) + 1)
        low_y, high_y = max(first_y, int(bounds[2])), min(last_y, int(bounds[3]) + 1)
        if low_x > high_x or low_y > high_y:
            continue
        x = np.arange(low_x, high_x + 1, dtype=np.float64)[np.newaxis, :]
        y = np.arange(low_y, high_y + 1, dtype=np.float64)[:, np.newaxis]
        found = inside(x, y, corners)
        if not found.any():
            continue
        if good is None:
            good = np.ones(shape, dtype=np.bool_)
        rows = slice(low_y - first_y, high_y - first_y + 1)
        good[rows, low_x - first_x : high_x - first_x + 1] &= ~found
    return good


def _around(corners: Sequence[float]) -> list[float]:
    xs, ys = corners[0::2], corners[1::2]
    return [min(xs), max(xs), min(ys), max(ys)]


def _in_ellipse(x: NDArray[np.float64], y: NDArray[np.float64], row: Sequence[float]) -> Mask:
    x1, x2, y1, y2 = row
    if x2 <= x1 or y2 <= y1:
        return np.zeros((y.shape[0], x.shape[1]), dtype=np.bool_)
    across = (2.0 * x - x1 - x2) / (x2 - x1)
    down = (2.0 * y - y1 - y2) / (y2 - y1)
    return np.asarray(across**2 + down**2 < 1.0)


def _in_quadrilateral(x: NDArray[np.float64], y: NDArray[np.float64], row: Sequence[float]) -> Mask:
    """Whether a ray to the right crosses an odd number of sides."""
    inside = np.zeros((y.shape[0], x.shape[1]), dtype=np.bool_)
    corners = list(zip(row[0::2], row[1::2], strict=True))
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside
