"""The bytes of a shard: encoded chunks one after another, then the index of their places.

zarr's own writer takes three times as long as the compression itself for chunks of 256² pixels
and encodes the chunks of a shard one after another. What is made here is the codec chain that
the array's metadata names (`store.create`); zarr reads it back, and a test compares every chunk
with the bytes that zarr would have written.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

import google_crc32c
import numpy as np
from numcodecs import Blosc, blosc
from numpy.typing import NDArray

from distbragg.store.layout import StackLayout, fill_value

Chunk = tuple[bytes, bytes]

ABSENT: Final = 2**64 - 1  # offset and length, in a shard's index, of a chunk that is not there
CHECKSUM_BYTES: Final = 4

_blosc_lock = threading.Lock()
_blosc_users = 0
_blosc_before: bool | None = None


class EncodedShard:
    """The bytes of a unit's object, made frame by frame."""

    def __init__(self, layout: StackLayout, unit: int) -> None:
        self._layout, self._unit = layout, unit
        self._encoder, self._lengths = ChunkEncoder(layout), list[int]()
        self.encode, self.frames = self._encoder.encode, layout.frame_count(unit)

    def tiles(self, frame: NDArray[Any]) -> list[NDArray[Any]]:
        """Cut the next frame, (panels, slow, fast) of the stored type, into inner chunks."""
        return [tile for panel in frame for tile in self._encoder.tiles(panel)]

    def taken(self, chunks: Iterable[Chunk]) -> list[bytes]:
        """Return the bytes of encoded chunks, the next of the shard."""
        chunks = list(chunks)
        self._lengths.extend(len(data) + len(check) for data, check in chunks)
        return list(chain.from_iterable(chunks))

    def index(self) -> bytes:
        """Return what ends it."""
        return shard_index(self._layout, self._unit, self._lengths)


class ChunkEncoder:
    """Encodes inner chunks: bytes, Blosc, CRC-32C, as in the array's metadata."""

    def __init__(self, layout: StackLayout) -> None:
        self._edges, self._shape = layout.inner, layout.tile_shape
        self._fill = fill_value(layout.dtype)
        self._dtype = np.dtype(layout.dtype).newbyteorder("<")
        self._blosc = Blosc(
            cname=layout.compressor,
            clevel=layout.compression_level,
            shuffle=Blosc.BITSHUFFLE if layout.shuffle == "bit" else Blosc.SHUFFLE,
            typesize=self._dtype.itemsize,
        )

    def tiles(self, panel: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Cut one panel (slow, fast) into inner chunks, C order; edges are not yet filled up."""
        slow, fast = self._edges
        for row in range(0, panel.shape[0], slow):
            for column in range(0, panel.shape[1], fast):
                yield panel[row : row + slow, column : column + fast]

    def encode(self, tile: NDArray[Any]) -> tuple[bytes, bytes]:
        """Return the stored bytes of an inner chunk and its checksum; a small tile is filled up."""
        if tile.shape != self._shape:
            whole = np.full(self._shape, self._fill, dtype=self._dtype)
            whole[: tile.shape[0], : tile.shape[1]] = tile
            tile = whole
        with single_threaded_blosc():
            data: bytes = self._blosc.encode(np.ascontiguousarray(tile, dtype=self._dtype))
        return data, checksum(data)


def shard_index(layout: StackLayout, unit: int, lengths: Sequence[int]) -> bytes:
    """Return the index that ends the shard of `unit`.

    `lengths` are the bytes of the encoded chunks, checksums included, in the order they are stored:
    frames of the unit, then panels, then tiles, each in C order.
    """
    extent = layout.unit_extent(unit)
    tiles = [-(-size // edge) for size, edge in zip(layout.shape, layout.inner, strict=True)]
    per_frame = layout.panels * math.prod(tiles)
    table = np.full((math.prod(layout.unit_shape), per_frame, 2), ABSENT, dtype="<u8")
    sizes = np.asarray(lengths, dtype="<u8")
    places = np.stack([np.cumsum(sizes) - sizes, sizes], axis=-1)
    # A unit at the end of an axis fills only a part of its shard.
    table.reshape(*layout.unit_shape, per_frame, 2)[tuple(slice(0, size) for size in extent)] = (
        places.reshape(*extent, per_frame, 2)
    )
    data = table.tobytes()
    return data + checksum(data)


def checksum(data: bytes) -> bytes:
    """CRC-32C of `data` as Zarr appends it: four bytes, least significant first."""
    value: int = google_crc32c.value(data)
    return value.to_bytes(CHECKSUM_BYTES, "little")


@contextmanager
def single_threaded_blosc() -> Iterator[None]:
    """Keep Blosc from using threads of its own while any thread is in here.

    They append compressed blocks in the order they finish, which would make the stored bytes
    depend on timing.
    """
    global _blosc_users, _blosc_before
    with _blosc_lock:
        if _blosc_users == 0:
            _blosc_before, blosc.use_threads = blosc.use_threads, False
        _blosc_users += 1
    try:
        yield
    finally:
        with _blosc_lock:
            _blosc_users -= 1
            if _blosc_users == 0:
                blosc.use_threads = _blosc_before
