"""Cutting: a panel into tiles, the source table into chunks.

Everything here is a pure function of its integers, so every process that cuts the same
experiment cuts it the same way.
"""

from __future__ import annotations

import math
from typing import Final

from distbragg.errors import PlanError
from distbragg.plan.keys import SourceChunk, Tile

MAX_TILE_PIXELS: Final = 1 << 20
"""Pixels of the largest automatic tile: its float64 sum is 8 MiB."""

MAX_GPU_TILE_PIXELS: Final = 1 << 24
"""The same on a GPU, which a smaller tile leaves idle: its sum, in the GPU's memory, is 128 MiB."""

MIN_TILE_PIXELS: Final = 1 << 14
"""Pixels of the smallest automatic tile: below, call overhead shows."""

MIN_FULL_ROWS: Final = 16
"""An automatic tile spans whole rows where at least this many of them fit."""

MAX_CHUNK_SOURCES: Final = 256
"""Sources of the largest automatic chunk."""


def tile_panel(shape: tuple[int, int], tile_shape: tuple[int, int]) -> tuple[Tile, ...]:
    """Cut a panel into tiles that cover every pixel once.

    Parameters
    ----------
    shape : (int, int)
        Pixels (slow, fast) of the panel, each at least 1.
    tile_shape : (int, int)
        Pixels (slow, fast) of a tile; larger than the panel means the whole panel, and
        the last tiles of a row or column are smaller where it does not divide.

    Returns
    -------
    tuple of Tile
        Row-major over the grid of tiles.

    Raises
    ------
    PlanError
        A size is below 1.
    """
    if min(shape) < 1:
        raise PlanError(f"panel of {shape[0]} x {shape[1]} pixels", field="detector.pixels_fast")
    if min(tile_shape) < 1:
        raise PlanError(f"tile of {tile_shape[0]} x {tile_shape[1]} pixels", field="compute.tile")
    rows, columns = _cuts(shape[0], tile_shape[0]), _cuts(shape[1], tile_shape[1])
    return tuple(Tile(*row, *column) for row in rows for column in columns)


def chunk_sources(count: int, size: int) -> tuple[SourceChunk, ...]:
    """Cut a table of `count` sources into consecutive chunks of at most `size`.

    Raises
    ------
    PlanError
        `count` or `size` is below 1.
    """
    if count < 1:
        raise PlanError("there is no source to render", field="beam")
    if size < 1:
        raise PlanError(f"source chunk of {size} sources", field="compute.source_chunk")
    return tuple(SourceChunk(start, stop) for start, stop in _cuts(count, size))


def grid_edges(tiles: tuple[Tile, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the tile rows and of the tile columns, pixels."""
    rows = sorted({(tile.slow_start, tile.slow_stop) for tile in tiles})
    columns = sorted({(tile.fast_start, tile.fast_stop) for tile in tiles})
    return tuple(b - a for a, b in rows), tuple(b - a for a, b in columns)


def balanced(size: int, most: int) -> int:
    """Part size that cuts `size` into the fewest near-equal parts of at most `most`."""
    return math.ceil(size / math.ceil(size / max(1, most)))


def automatic_chunk(count: int) -> int:
    """Return the sources per chunk when none is given."""
    return balanced(max(1, count), MAX_CHUNK_SOURCES)


def automatic_tile(
    shape: tuple[int, int], pixels: int, largest: int = MAX_TILE_PIXELS
) -> tuple[int, int]:
    """Tile (slow, fast) of about `pixels` pixels: whole rows, or a squarish rectangle.

    Parameters
    ----------
    shape : (int, int)
        Pixels (slow, fast) of the panel.
    pixels : int
        Wished pixels of a tile, brought within `MIN_TILE_PIXELS` and `largest`.
    largest : int
        Pixels of the largest tile.
    """
    budget = min(max(pixels, MIN_TILE_PIXELS), largest)
    slow, fast = shape
    if slow * fast <= budget:
        return shape
    if budget // fast >= MIN_FULL_ROWS:
        return balanced(slow, budget // fast), fast
    columns = balanced(fast, max(1, math.isqrt(budget)))
    return balanced(slow, max(1, budget // columns)), columns


def _cuts(size: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, size)) for start in range(0, size, step)]
