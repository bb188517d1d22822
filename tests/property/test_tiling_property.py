"""Odd tilings and chunkings cover everything once, whatever the sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distbragg.plan.frame import (
    MAX_TILE_PIXELS,
    automatic_tile,
    balanced,
    chunk_sources,
    grid_edges,
    tile_panel,
)

sizes = st.integers(1, 40)


@given(shape=st.tuples(sizes, sizes), tile=st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_every_pixel_lies_in_exactly_one_tile(shape: tuple[int, int], tile: tuple[int, int]):
    hits = np.zeros(shape, dtype=int)
    for piece in tile_panel(shape, tile):
        assert piece.pixels > 0
        assert piece.shape[0] <= tile[0]
        assert piece.shape[1] <= tile[1]
        hits[piece.slow_start : piece.slow_stop, piece.fast_start : piece.fast_stop] += 1
    assert (hits == 1).all()


@given(shape=st.tuples(sizes, sizes), tile=st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_tiles_are_a_row_major_grid(shape: tuple[int, int], tile: tuple[int, int]):
    tiles = tile_panel(shape, tile)
    rows, columns = grid_edges(tiles)
    assert (sum(rows), sum(columns)) == shape
    assert [piece.shape for piece in tiles] == [(row, column) for row in rows for column in columns]
    assert list(tiles) == sorted(tiles)


@given(count=st.integers(1, 500), size=st.integers(1, 600))
def test_chunks_are_consecutive_and_complete(count: int, size: int):
    chunks = chunk_sources(count, size)
    covered = [source for chunk in chunks for source in range(chunk.start, chunk.stop)]
    assert covered == list(range(count))
    assert max(chunk.count for chunk in chunks) <= size


@given(size=st.integers(1, 10**7), most=st.integers(1, 10**7))
def test_balanced_parts_are_as_few_as_possible_and_nearly_equal(size: int, most: int):
    part = balanced(size, most)
    assert 1 <= part <= most
    assert -(-size // part) <= -(-size // min(most, size))
    assert (size - 1) // part * part < size


@given(
    shape=st.tuples(st.integers(1, 20_000), st.integers(1, 200_000)),
    pixels=st.integers(0, 10**8),
)
def test_automatic_tile_stays_within_the_largest(shape: tuple[int, int], pixels: int):
    slow, fast = automatic_tile(shape, pixels)
    assert 1 <= slow <= shape[0]
    assert 1 <= fast <= shape[1]
    assert slow * fast <= MAX_TILE_PIXELS
