"""Images made smaller so that spots survive."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def block_maximum(image: NDArray[Any], step: int) -> NDArray[Any]:
    """Give each block of `step` × `step` pixels its brightest one: spots survive shrinking."""
    if step <= 1:
        return image
    slow, fast = (np.arange(0, size, step) for size in image.shape)
    rows = np.maximum.reduceat(image, slow, axis=0)
    return np.asarray(np.maximum.reduceat(rows, fast, axis=1))


def shrunk(image: NDArray[Any], edge: int) -> NDArray[Any]:
    """Shrink an image to at most `edge` pixels a side by block maxima."""
    return block_maximum(image, math.ceil(max(image.shape) / edge))
