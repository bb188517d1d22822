"""Which pixels of a tile are rendered, and where they are on the panel: numpy alone."""

from __future__ import annotations

import numpy as np

from distbragg.models.arrays import Float64Array, IntArray
from distbragg.models.detector import Panel
from distbragg.plan.keys import Tile


def active_positions(panel: Panel, tile: Tile) -> IntArray:
    """Return the row-major positions within `tile` of its active pixels, (active,) int64."""
    window = panel.active[tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]
    return np.flatnonzero(window).astype(np.int64)


def pixel_coordinates(tile: Tile, positions: IntArray) -> tuple[Float64Array, Float64Array]:
    """Return global slow and fast indices of row-major positions of a tile, as float64."""
    width = tile.fast_stop - tile.fast_start
    slow = tile.slow_start + positions // width
    fast = tile.fast_start + positions % width
    return slow.astype(np.float64), fast.astype(np.float64)
