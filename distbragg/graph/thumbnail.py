"""A small picture of one frame: all of an image that ever travels, for whoever watches a run."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.arrays import Float64Array

EDGE: Final = 160
"""Most pixels along an edge of the picture."""

LEVELS: Final = 255
BRIGHT: Final = 0.998
"""Share of blocks that are darker than white."""


def thumbnail(image: NDArray[Any]) -> dict[str, Any]:
    """Shrink a frame to at most `EDGE` × `EDGE` levels; spots survive the shrinking.

    Parameters
    ----------
    image : (panels, slow, fast) float
        Photons per pixel. Panels are laid out in rows, as near to a square as their number
        allows.

    Returns
    -------
    dict
        `shape` (rows, columns), `levels` (bytes, row by row; 255 is white, steps are even in the
        logarithm of photons), `max` (photons). At most 26 kB.
    """
    columns = math.ceil(math.sqrt(image.shape[0]))
    edge = max(1, EDGE // columns)
    small = [shrink(panel, edge) for panel in image]
    height, width = small[0].shape
    rows = math.ceil(len(small) / columns)
    sheet = np.zeros((rows * height, columns * width))
    for index, panel in enumerate(small):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = panel
    brightest = float(sheet.max())
    return {
        "shape": [int(size) for size in sheet.shape],
        "levels": _levels(sheet, brightest).tobytes(),
        "max": brightest,
    }


def shrink(panel: NDArray[Any], edge: int) -> Float64Array:
    """Give each block of pixels its brightest one, in at most `edge` blocks along each side."""
    factor = max(1, math.ceil(max(panel.shape) / edge))
    starts = [np.arange(0, size, factor) for size in panel.shape]
    rows = np.maximum.reduceat(panel, starts[0], axis=0)
    return np.asarray(np.maximum.reduceat(rows, starts[1], axis=1), dtype=np.float64)


def _levels(sheet: Float64Array, brightest: float) -> NDArray[np.uint8]:
    """Levels even in the logarithm, two decades from the median up to the brightest blocks.

    The median is the background's; the few blocks beyond `BRIGHT` are all white, so that a
    single strong spot does not hide the others.
    """
    if not brightest > 0:
        return np.zeros(sheet.shape, dtype=np.uint8)
    floor, top = (float(value) for value in np.quantile(sheet, [0.5, BRIGHT]))
    if not top > floor:
        floor, top = min(floor, 0.5 * brightest), brightest
    scale = max((top - floor) / 100.0, 1e-300)
    tall = np.log1p(np.clip(sheet - floor, 0.0, top - floor) / scale)
    levels: NDArray[np.uint8] = np.rint(LEVELS * tall / tall.max()).astype(np.uint8)
    return levels
