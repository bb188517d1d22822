"""Writing one unit: a whole shard in one file, then its receipt.

A shard is encoded chunks one after another, then the index of their places, as Zarr defines it.
zarr's own writer takes three times as long as the compression itself for chunks of 256² pixels
and encodes the chunks of a shard one after another. What is written here is the codec chain that
the array's metadata names (`store.create`); zarr reads it back, and a test compares every chunk
with the bytes that zarr would have written.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, Self

import google_crc32c
import numpy as np
from numcodecs import Blosc, blosc
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.plan.frame import held_bytes
from distbragg.spec.compute import Overflow
from distbragg.store.generations import OldFrames
from distbragg.store.layout import OVERLOADS, StackLayout, fill_value, largest_value
from distbragg.store.ledger import append_receipt
from distbragg.store.run_directory import RunDirectory
from distbragg.store.spots import store_labels

Chunk = tuple[bytes, bytes]

_ABSENT: Final = 2**64 - 1  # offset and length, in a shard's index, of a chunk that is not there
_CHECKSUM_BYTES: Final = 4
_BLOCK_PIXELS: Final = 1 << 16

_blosc_lock = threading.Lock()
_blosc_users = 0
_blosc_before: bool | None = None


class UnitWriter:
    """Takes the frames of a unit in order, encodes each at once, and stores them as one shard.

    Bytes go to a file of the writer's own meanwhile; nothing is seen of the shard before
    `finish`, and leaving the context without it stores nothing. With several `threads`, frames are
    encoded by threads of their own while the caller goes on. `seconds` is the time that the
    caller has spent in here, s; `largest` the brightest pixel of each frame so far, photons.
    """

    def __init__(self, run: RunDirectory, unit: int, *, threads: int = 1) -> None:
        self._run, self._unit, self._layout = run, unit, run.layout
        self._encoder = ChunkEncoder(self._layout)
        self._pool = ThreadPoolExecutor(threads, "encode") if threads > 1 else None
        self._spool = run.objects.writer(self._layout.object_name(unit))
        self._old = OldFrames(run, unit) if run.lineage else None
        self._lengths: list[int] = []
        self._pending: list[Future[Chunk]] = []
        self._encoding: list[NDArray[Any]] = []
        self._free: list[NDArray[Any]] = []
        self._sums: list[float] = []
        self._overloads: list[int] = []
        self.largest: list[float] = []
        self._maps = {one.array: _MapShard(run, one, unit) for one in run.maps}
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._spool.close()
        for shard in self._maps.values():
            shard.close()

    def blank(self) -> NDArray[Any]:
        """Return an array (panels, slow, fast), content undefined, to be filled for `add`."""
        if self._free:
            return self._free.pop()
        dtype = np.dtype(f"f{held_bytes(self._layout.dtype)}")
        return np.empty((self._layout.panels, *self._layout.shape), dtype=dtype)

    def add(self, frame: NDArray[Any], overloads: int = 0) -> None:
        """Check, convert and encode the next frame (panels, slow, fast): the writer's now.

        `overloads` are pixels that hold the detector's overload value already.
        """
        with self._timed():
            output = self._run.sweep.experiment.output
            check_overloads(overloads, frame.size, output.overflow)
            stored, total, beyond = to_stored(frame, output.dtype, overflow=output.overflow)
            self._sums.append(total)
            self._overloads.append(overloads + beyond)
            self.largest.append(float(stored.max()))
            tiles = [tile for panel in stored for tile in self._encoder.tiles(panel)]
            if self._pool is None:
                self._keep([self._encoder.encode(tile) for tile in tiles])
                self._free.append(frame)
            else:
                self._settle()
                self._pending = [self._pool.submit(self._encoder.encode, tile) for tile in tiles]
                self._encoding = [frame]

    def add_maps(self, maps: Mapping[str, NDArray[Any]]) -> None:
        """Encode the maps of the frame that was added last, each (panels, slow, fast)."""
        with self._timed():
            for name, shard in self._maps.items():
                shard.add(maps[name])

    def finish(self, info: Mapping[str, Any], labels: bytes | None = None) -> dict[str, Any]:
        """Store the shard and the table of spots, append the receipt, and return that.

        `info` is what the receipt should also say: attempt, seconds, `class` and `code` where they
        are not the manifest's. The receipt's `write_seconds` are all the time spent in this writer
        but for the receipt's own line; of them `encode_seconds` went into checking, converting and
        compressing pixels, and `verify_seconds` into waiting for what is hashed and written beside
        rendering, and for the disk or the network. Where frames of an earlier generation come out
        otherwise, a `DamageError` is raised and nothing stored.
        """
        layout, unit = self._layout, self._unit
        if len(self._sums) != layout.frame_count(unit):
            raise ValueError(
                f"unit {unit} has {layout.frame_count(unit)} frames, got {len(self._sums)}"
            )
        with self._timed():
            self._settle()
            index = shard_index(layout, unit, self._lengths)
        encode_seconds, started = self.seconds, time.perf_counter()
        maps = {name: shard.finish() for name, shard in self._maps.items()}
        self._spool.add([index])
        done = self._spool.finish()
        table: dict[str, Any] = (
            {} if labels is None else {"labels": store_labels(self._run, unit, labels)}
        )
        stored = time.perf_counter()
        self.seconds += stored - started
        receipt = (
            self._receipt(info)
            | table
            | ({"maps": maps} if maps else {})
            | {
                "digest": done.digest,
                "size": done.size,
                "encode_seconds": round(encode_seconds, 6),
                "verify_seconds": round(done.waiting, 6),
                "write_seconds": round(self.seconds, 6),
            }
        )
        append_receipt(self._run, receipt)
        return receipt

    def _settle(self) -> None:
        """Wait for what is being encoded."""
        self._keep([chunk.result() for chunk in self._pending])
        self._free.extend(self._encoding)
        self._pending, self._encoding = [], []

    def _keep(self, chunks: Sequence[Chunk]) -> None:
        """Take encoded chunks, the next of the shard."""
        self._lengths.extend(len(data) + len(check) for data, check in chunks)
        pieces = list(chain.from_iterable(chunks))
        if self._old is not None:
            self._old.compare(pieces)
        self._spool.add(pieces)

    def _receipt(self, info: Mapping[str, Any]) -> dict[str, Any]:
        manifest = self._run.manifest
        return {
            "class": manifest.class_id,
            "code": manifest.numeric_class.get("code", ""),
            **info,
            "run": self._run.run_id,
            "unit": self._unit,
            "frames": len(self._sums),
            "sum": math.fsum(self._sums),
            "max": max(self.largest),
            **({OVERLOADS: self._overloads} if any(self._overloads) else {}),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "time": time.time(),
        }

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


class EncodedShard:
    """The bytes of a unit's object, made frame by frame."""

    def __init__(self, layout: StackLayout, unit: int) -> None:
        self._layout, self._unit = layout, unit
        self._encoder, self._lengths = ChunkEncoder(layout), list[int]()

    def pieces(self, frame: NDArray[Any]) -> Iterator[bytes]:
        """Yield the bytes of the next frame, (panels, slow, fast) of the stored type."""
        for tile in (tile for panel in frame for tile in self._encoder.tiles(panel)):
            pieces = self._encoder.encode(tile)
            self._lengths.append(sum(map(len, pieces)))
            yield from pieces

    def index(self) -> bytes:
        """Return what ends it."""
        return shard_index(self._layout, self._unit, self._lengths)


class _MapShard:
    """The object that a map has of a unit, on its way into the stack."""

    def __init__(self, run: RunDirectory, layout: StackLayout, unit: int) -> None:
        self._encoded = EncodedShard(layout, unit)
        self._spool = run.objects.writer(layout.object_name(unit))

    def add(self, frame: NDArray[Any]) -> None:
        self._spool.add(list(self._encoded.pieces(frame)))

    def finish(self) -> dict[str, Any]:
        """Store it, and return what the receipt says of it."""
        self._spool.add([self._encoded.index()])
        done = self._spool.finish()
        return {"digest": done.digest, "size": done.size}

    def close(self) -> None:
        self._spool.close()


def to_stored(
    images: NDArray[Any], dtype: str, *, overflow: Overflow = "clip"
) -> tuple[NDArray[Any], float, int]:
    """Convert photons per pixel to the stored type; what is beyond its range becomes its largest.

    Returns the array, its sum, and how many pixels were beyond. Pixels that are no numbers, or no
    whole counts for an integer type, are refused, and under "error" what is beyond.
    """
    target, largest = np.dtype(dtype), largest_value(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        if target.kind != "f":
            return _counts(images, target, int(largest), overflow)
        stored = np.ascontiguousarray(images, dtype=target)
        total, overloads = float(stored.sum(dtype=np.float64)), 0
        # One pixel that is not finite makes the sum so; to look at each takes longer than the sum.
        if not math.isfinite(total):
            over = images > largest
            overloads = int(np.count_nonzero(over))
            images = np.where(over, largest, images)
            bad = images.size - int(np.count_nonzero(np.isfinite(images)))
            if target == np.float64:
                bad += overloads
            _check_pixels(images.size, bad, overloads, target, overflow)
            stored = np.ascontiguousarray(images, dtype=target)
            total = float(stored.sum(dtype=np.float64))
    return stored, total, overloads


def _counts(
    images: NDArray[Any], target: np.dtype[Any], largest: int, overflow: Overflow
) -> tuple[NDArray[Any], float, int]:
    """Convert to an integer type, as many pixels at a time as stay in the processor's cache."""
    stored = np.empty(images.shape, target)
    total = bad = overloads = changed = 0
    pixels, counts = np.ascontiguousarray(images).reshape(-1), stored.reshape(-1)
    for start in range(0, pixels.size, _BLOCK_PIXELS):
        part, kept = pixels[start : start + _BLOCK_PIXELS], counts[start : start + _BLOCK_PIXELS]
        kept[...] = part
        if kept.max() > largest or (kept.astype(part.dtype) != part).any():
            over = part > largest
            overloads += int(np.count_nonzero(over))
            part = np.where(over, largest, part)
            bad += int(np.count_nonzero(~np.isfinite(part)))
            kept[...] = part
            changed += int(np.count_nonzero(kept != part))
        total += int(kept.sum(dtype=np.int64))
    _check_pixels(pixels.size, bad, overloads, target, overflow)
    if changed:
        raise InputError(
            f"pixels are negative, or no whole counts, which {target.name} would change",
            field="output.dtype",
            remedy="set noise.photon, or store float32",
        )
    return stored, float(total), overloads


def _check_pixels(
    pixels: int, bad: int, overloads: int, target: np.dtype[Any], overflow: Overflow
) -> None:
    if bad:
        raise InputError(
            f"{bad} of {pixels} pixels are not finite; nothing was stored",
            remedy="look for an impossible geometry, amplitude or fluence in the specification",
        )
    if overloads and overflow == "error":
        raise InputError(
            f"{overloads} of {pixels} pixels are beyond {target.name}, and output.overflow "
            "is error",
            field="output.dtype",
            remedy="store a wider type, or let `output.overflow: clip` hold them at its largest "
            "value",
        )


def check_overloads(overloads: int, pixels: int, overflow: Overflow) -> None:
    """Refuse, under "error", pixels that hold the detector's overload value."""
    if overloads and overflow == "error":
        raise InputError(
            f"{overloads} of {pixels} pixels are beyond what the detector records, and "
            "output.overflow is error",
            field="detector.response",
            remedy="lower the fluence, or let `output.overflow: clip` store them at the "
            "detector's overload value",
        )


class ChunkEncoder:
    """Encodes inner chunks: bytes, Blosc, CRC-32C, as in the array's metadata."""

    def __init__(self, layout: StackLayout) -> None:
        self._edges, self._shape = layout.inner, layout.chunk_shape[-2 - bool(layout.components) :]
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
        with _single_threaded_blosc():
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
    table = np.full((math.prod(layout.unit_shape), per_frame, 2), _ABSENT, dtype="<u8")
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
    return value.to_bytes(_CHECKSUM_BYTES, "little")


@contextmanager
def _single_threaded_blosc() -> Iterator[None]:
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
