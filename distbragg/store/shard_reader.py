"""Reading frames of shards: the counterpart of what `UnitWriter` writes.

zarr passes each chunk through an event loop, threads and buffers of its own, which takes several
times as long as decoding it. What is read here is the codec chain that was compared with the
array's metadata (`own_arrays`); tests compare what is read with what zarr reads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from distbragg.errors import DamageError
from distbragg.read.bounds import SLACK_BYTES, decoded_bytes
from distbragg.store.layout import StackLayout, fill_value
from distbragg.store.objects import Objects
from distbragg.store.shard import ABSENT, CHECKSUM_BYTES, single_threaded_blosc

Bytes = NDArray[np.uint8]

_ENTRY: Final = np.dtype([("offset", "<u8"), ("length", "<u8")])
_HEAD_BYTES: Final = 16  # of Blosc, in which it states what it decodes to
_WHOLE_SHARE: Final = 0.5  # share of a shard's frames from which on it is read in one piece


class ShardReader:
    """Reads frames of one array of a run: `images`, or what is cut like them."""

    def __init__(self, objects: Objects, layout: StackLayout) -> None:
        self._objects, self.layout = objects, layout
        slow, fast = layout.inner
        self._tiles = [
            (panel, row, column)
            for panel in range(layout.panels)
            for row in range(0, layout.shape[0], slow)
            for column in range(0, layout.shape[1], fast)
        ]
        chunks = math.prod(layout.unit_shape) * len(self._tiles)
        self._tail = chunks * _ENTRY.itemsize + CHECKSUM_BYTES
        self._dtype = np.dtype(layout.dtype).newbyteorder("<")
        self._tile_shape = layout.tile_shape
        self._own = threading.local()
        self._chunk_bytes = math.prod(self._tile_shape) * self._dtype.itemsize

    def read(self, unit: int, targets: Mapping[int, NDArray[Any]]) -> None:
        """Read frames of a unit, by their numbers, into arrays of the layout's `frame_shape`.

        Numbers are turned into the type of the array. A frame that is not stored holds the fill
        value. `DamageError` where bytes are not those that were written.
        """
        key, layout = self.layout.object_name(unit), self.layout
        starts = [part.start for part in layout.unit_region(unit)]
        whole = len(targets) >= _WHOLE_SHARE * layout.frame_count(unit)
        places = {
            frame: _place(np.subtract(layout.position(frame), starts).tolist(), layout.unit_shape)
            for frame in targets
        }
        try:
            data = self._whole(key) if whole else self._parts(key, list(places.values()))
        except FileNotFoundError:
            data = {}
        with single_threaded_blosc():
            for frame, place in places.items():
                self._frame(key, data, place, targets[frame])

    def _whole(self, key: str) -> dict[int, Bytes]:
        """Return all chunks of a shard by their number, without copying them."""
        shard = _bytes(self._objects.get(key))
        index = self._index(key, shard[-self._tail :], shard.size)
        return {
            number: shard[offset : offset + length]
            for number, (offset, length) in enumerate(index)
            if offset != ABSENT
        }

    def _parts(self, key: str, places: Sequence[int]) -> dict[int, Bytes]:
        """Return the chunks of some frames of a shard by their number."""
        each = len(self._tiles)
        with self._objects.spans(key) as read:
            (tail,) = read([(-self._tail, self._tail)])
            index = self._index(key, _bytes(tail))
            numbers = [place * each + tile for place in places for tile in range(each)]
            wanted = [number for number in numbers if index[number][0] != ABSENT]
            parts = read([index[number] for number in wanted])
        return dict(zip(wanted, map(_bytes, parts), strict=True))

    def _index(self, key: str, data: Bytes, size: int = ABSENT) -> list[tuple[int, int]]:
        """Return offset and length of each chunk of a shard of `size` bytes, checked."""
        if data.size != self._tail or not _is_whole(data):
            raise self._damage(key, "its index is damaged")
        entries = np.frombuffer(data[:-CHECKSUM_BYTES], dtype=_ENTRY)
        there = entries[entries["offset"] != ABSENT]
        most = self._chunk_bytes + self._chunk_bytes // 64 + SLACK_BYTES
        beyond = np.any(there["offset"] > size) or np.any(there["length"] > size - there["offset"])
        if beyond or np.any(there["length"] > most):
            raise self._damage(key, "its index points beyond what a chunk of it can have")
        found: list[tuple[int, int]] = entries.tolist()
        return found

    def _frame(self, key: str, data: Mapping[int, Bytes], place: int, target: NDArray[Any]) -> None:
        """Decode one frame into an array."""
        panels = target if self.layout.panels > 1 else target[np.newaxis]
        slow, fast = self._tile_shape[:2]
        for number, (panel, row, column) in enumerate(self._tiles, place * len(self._tiles)):
            tile = panels[panel, row : row + slow, column : column + fast]
            if number not in data:
                tile[...] = fill_value(self.layout.dtype)
            elif tile.shape == self._tile_shape and self._can_hold(tile):
                self._decode(key, data[number], tile)
            else:
                spare = self._spare()
                self._decode(key, data[number], spare)
                tile[...] = spare[: tile.shape[0], : tile.shape[1]]

    def _can_hold(self, tile: NDArray[Any]) -> bool:
        return tile.dtype == self._dtype and tile.flags.c_contiguous

    def _spare(self) -> NDArray[Any]:
        """Return this thread's own memory of a chunk: to get it anew takes as long as decoding."""
        found: NDArray[Any] | None = getattr(self._own, "spare", None)
        if found is None:
            found = self._own.spare = np.empty(self._tile_shape, dtype=self._dtype)
        return found

    def _decode(self, key: str, chunk: Bytes, tile: NDArray[Any]) -> None:
        """Decode a chunk into a tile of its size."""
        if not _is_whole(chunk):
            raise self._damage(key, "a chunk has another checksum")
        encoded = chunk[:-CHECKSUM_BYTES]
        if decoded_bytes("blosc", encoded[:_HEAD_BYTES].tobytes(), 0) != self._chunk_bytes:
            raise self._damage(key, "a chunk does not decode to its size")
        try:
            blosc.decompress(encoded, tile)
        except (ValueError, RuntimeError) as error:
            raise self._damage(key, " ".join(str(error).split())) from None

    def _damage(self, key: str, reason: str) -> DamageError:
        return DamageError(f"{self._objects.url}/{key}: frames cannot be read ({reason})")


def _place(index: Sequence[int], shape: tuple[int, ...]) -> int:
    """Return the flat index, C order, of a frame in its shard."""
    return int(np.ravel_multi_index(tuple(index), shape)) if shape else 0


def _bytes(data: bytes) -> Bytes:
    return np.frombuffer(data, dtype=np.uint8)


def _is_whole(data: Bytes) -> bool:
    """Whether bytes end in their CRC-32C."""
    if data.size < CHECKSUM_BYTES + _HEAD_BYTES:
        return False
    stated = int.from_bytes(data[-CHECKSUM_BYTES:].tobytes(), "little")
    return bool(google_crc32c.value(data[:-CHECKSUM_BYTES]) == stated)
