"""Images made smaller so that spots survive."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def block_maximum(image: NDArray[Any], step: int) -> NDArray[Any]:
    """Give each block of `step` × `step` pixels its brightest one: spots survive shrinking.

    Pixels that are not a number do not count.
    """
    if step <= 1:
        return image
    return _brightest(_brightest(image, step).T, step).T


def _brightest(rows: NDArray[Any], step: int) -> NDArray[Any]:
    """Maximum of every `step` rows; many times as fast as `np.maximum.reduceat`."""
    found = rows[::step].copy(order="K")
    for start in range(1, step):
        others = rows[start::step]
        np.fmax(found[: len(others)], others, out=found[: len(others)])
    return found


def shrunk(image: NDArray[Any], edge: int) -> NDArray[Any]:
    """Shrink an image to at most `edge` pixels a side by block maxima."""
    return block_maximum(image, math.ceil(max(image.shape) / edge))
