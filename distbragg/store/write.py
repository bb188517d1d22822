"""Writing one unit: a whole shard of each array in one file, then its receipt."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.plan.frame import held_bytes
from distbragg.spec.compute import Overflow
from distbragg.store.generations import OldFrames
from distbragg.store.layout import IMAGES, OVERLOADS, StackLayout, largest_value
from distbragg.store.ledger import append_receipt
from distbragg.store.objects import Objects, Stored
from distbragg.store.run_directory import RunDirectory
from distbragg.store.shard import Chunk, EncodedShard
from distbragg.store.spots import store_labels

_BLOCK_PIXELS: Final = 1 << 16


class UnitWriter:
    """Takes the frames of a unit in order, encodes each at once, and stores a shard of each array.

    Variants are made of the frames as they are stored, or would be.

    Bytes go to a file of the writer's own meanwhile; nothing is seen of the shard before
    `finish`, and leaving the context without it stores nothing. With several `threads`, frames are
    encoded by threads of their own while the caller goes on. `seconds` is the time that the
    caller has spent in here, s; `largest` the brightest pixel of each frame so far, photons.
    """

    def __init__(self, run: RunDirectory, unit: int, *, threads: int = 1) -> None:
        self._run, self._unit, self._layout, self._run_id = run, unit, run.layout, run.run_id
        self._pool = ThreadPoolExecutor(threads, "encode") if threads > 1 else None
        old = OldFrames(run, unit) if run.lineage else None
        first, *beside = run.arrays
        self._first = _Shard(run.objects, first, unit, self._pool, old)
        self._beside = {one.array: _Shard(run.objects, one, unit) for one in beside}
        self._encoding: list[NDArray[Any]] = []
        self._free: list[NDArray[Any]] = []
        self._sums: list[float] = []
        self._overloads: list[int] = []
        self.largest: list[float] = []
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for shard in (self._first, *self._beside.values()):
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
            arrays = arrays_of(self._run, stored)
            self._first.add(arrays.pop(self._first.array))
            for name, pixels in arrays.items():
                self._beside[name].add(pixels)
            # What was being encoded of the frame before is done.
            self._free.extend(self._encoding)
            self._encoding = [frame] if self._pool else []
            self._free.extend(() if self._pool else (frame,))

    def add_stored(self, arrays: Mapping[str, NDArray[Any]], overloads: int = 0) -> None:
        """Encode what another run stores in place of the next whole frame, by array.

        Its sum and its brightest pixel are not known, and the receipt says nothing of them.
        """
        self._overloads.append(overloads)
        with self._timed():
            self._first.add(arrays[self._first.array])
        self.add_maps({name: arrays[name] for name in self._beside})

    def add_maps(self, maps: Mapping[str, NDArray[Any]]) -> None:
        """Encode the maps of the frame that was added last, each (panels, slow, fast)."""
        with self._timed():
            for name, pixels in maps.items():
                self._beside[name].add(pixels)

    def finish(self, info: Mapping[str, Any], labels: bytes | None = None) -> dict[str, Any]:
        """Store the shard and the table of spots, append the receipt, and return that.

        `info` is what the receipt should also say: attempt, seconds, `class` and `code` where they
        are not the manifest's. The receipt's `write_seconds` are all the time spent in this writer
        but for the receipt's own line; of them `encode_seconds` went into checking, converting and
        compressing pixels, and `verify_seconds` into waiting for what is hashed and written beside
        rendering, and for the disk or the network. Where frames of an earlier generation come out
        otherwise, a `DamageError` is raised and nothing stored.
        """
        frames = self._first.frames
        if (got := len(self._overloads)) != frames:
            raise ValueError(f"unit {self._unit} has {frames} frames, got {got}")
        with self._timed():
            self._first.settle()
        encode_seconds, started = self.seconds, time.perf_counter()
        beside = {name: _stated(shard.finish()) for name, shard in self._beside.items()}
        done = self._first.finish()
        table: dict[str, Any] = (
            {} if labels is None else {"labels": store_labels(self._run, self._unit, labels)}
        )
        stored = time.perf_counter()
        self.seconds += stored - started
        receipt = (
            self._receipt(info)
            | table
            | ({"maps": beside} if beside else {})
            | {
                **_stated(done),
                "encode_seconds": round(encode_seconds, 6),
                "verify_seconds": round(done.waiting, 6),
                "write_seconds": round(self.seconds, 6),
            }
        )
        append_receipt(self._run, receipt)
        return receipt

    def _receipt(self, info: Mapping[str, Any]) -> dict[str, Any]:
        manifest = self._run.manifest
        return {
            "class": manifest.class_id,
            "code": manifest.numeric_class.get("code", ""),
            **info,
            "run": self._run_id,
            "unit": self._unit,
            "frames": len(self._overloads),
            **({"sum": math.fsum(self._sums), "max": max(self.largest)} if self._sums else {}),
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


class _Shard:
    """The object that an array has of a unit, on its way into the stack.

    With a `pool`, its threads encode a frame until the next one comes.
    """

    def __init__(
        self,
        objects: Objects,
        layout: StackLayout,
        unit: int,
        pool: ThreadPoolExecutor | None = None,
        old: OldFrames | None = None,
    ) -> None:
        self._encoded, self._pool, self._old = EncodedShard(layout, unit), pool, old
        self.array, self.frames = layout.array, self._encoded.frames
        self._spool = objects.writer(layout.object_name(unit))
        self._pending: list[Future[Chunk]] = []

    def add(self, frame: NDArray[Any]) -> None:
        """Take the next frame, (panels, slow, fast) of the stored type; see `settle`."""
        self.settle()
        tiles, encode = self._encoded.tiles(frame), self._encoded.encode
        if self._pool is None:
            self._keep(map(encode, tiles))
        else:
            self._pending = [self._pool.submit(encode, tile) for tile in tiles]

    def settle(self) -> None:
        """Wait for what is being encoded: the last frame is the caller's again."""
        if self._pending:
            self._keep(chunk.result() for chunk in self._pending)
            self._pending = []

    def finish(self) -> Stored:
        """Store it; return its digest and size."""
        self.settle()
        self._spool.add([self._encoded.index()])
        return self._spool.finish()

    def close(self) -> None:
        """Leave nothing behind of what was not finished."""
        self._spool.close()

    def _keep(self, chunks: Iterable[Chunk]) -> None:
        pieces = self._encoded.taken(chunks)
        if self._old is not None:
            self._old.compare(pieces)
        self._spool.add(pieces)


def arrays_of(run: RunDirectory, stored: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return what a run stores of a frame, (panels, slow, fast) of its stored type, but for maps.

    By the name of the array: the frame itself, unless it is not kept, and its variants.
    """
    frame = {IMAGES: stored} if run.keeps_frames else {}
    return {**frame, **{one.spec.name: one.make(stored) for one in run.variants}}


def _stated(done: Stored) -> dict[str, Any]:
    """Return what a receipt says of an object."""
    return {"digest": done.digest, "size": done.size}


def to_stored(
    images: NDArray[Any], dtype: str, *, overflow: Overflow = "clip"
) -> tuple[NDArray[Any], float, int]:
    """Convert photons per pixel to the stored type; what is beyond its range becomes its largest.

    Returns the array, its sum, and how many pixels were beyond. Pixels that are not numbers, or no
    whole counts for an integer type, are refused, and under "error" what is beyond.
    """
    target = np.dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        if target.kind != "f":
            return _counts(images, target, int(largest_value(dtype)), overflow)
        stored = np.ascontiguousarray(images, dtype=target)
        total, overloads = float(stored.sum(dtype=np.float64)), 0
        # One pixel that is not finite makes the sum so; to look at each takes longer than the sum.
        if not math.isfinite(total):
            largest = largest_value(dtype)
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
    # 32 bits hold the sum of a block of the narrow type, and are added up in half the time.
    wide = np.uint32 if target == np.uint16 else np.int64
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
        total += int(kept.sum(dtype=wide))
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
