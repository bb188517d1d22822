"""Writing one unit: a whole shard in one file, then its receipt."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.plan.sweep import held_bytes
from distbragg.store.held_over import check_grown
from distbragg.store.home import object_spool
from distbragg.store.labels import store_labels
from distbragg.store.ledger import append_receipt
from distbragg.store.manifest import class_id
from distbragg.store.run_directory import RunDirectory
from distbragg.store.shard import ChunkEncoder, shard_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    Chunk = tuple[bytes, bytes]


class UnitWriter:
    """Takes the frames of a unit in order, encodes each at once, and stores them as one shard.

    Bytes go to a file of the writer's own meanwhile; nothing is seen of the shard before
    `finish`, and leaving the context without it stores nothing.

    Parameters
    ----------
    run : RunDirectory
    unit : int
    threads : int
        With more than one, frames are encoded by threads of their own while the caller goes on.

    Attributes
    ----------
    seconds : float
        Time that the caller has spent in this writer, s.
    """

    def __init__(self, run: RunDirectory, unit: int, *, threads: int = 1) -> None:
        self._run, self._unit = run, unit
        self._encoder = ChunkEncoder(run.layout)
        self._pool = ThreadPoolExecutor(threads, "encode") if threads > 1 else None
        self._spool = object_spool(run, unit)
        self._chunks: list[Chunk] = []
        self._pending: list[Future[Chunk]] = []
        self._encoding: list[NDArray[Any]] = []
        self._free: list[NDArray[Any]] = []
        self._sums: list[float] = []
        self._largest = -math.inf
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._spool.close()

    def blank(self) -> NDArray[Any]:
        """Return an array (panels, slow, fast) to be filled and given to `add`.

        Its type holds what is to be stored; its content is undefined. An earlier frame's memory
        is used again once that frame is encoded.
        """
        if self._free:
            return self._free.pop()
        layout = self._run.layout
        dtype = np.dtype(f"f{held_bytes(layout.dtype)}")
        return np.empty((layout.panels, *layout.shape), dtype=dtype)

    def add(self, frame: NDArray[Any]) -> None:
        """Check, convert and encode the next frame (panels, slow, fast), photons per pixel.

        The frame is the writer's from here on.

        Raises
        ------
        InputError
            Pixels are not finite, or do not fit the stored type.
        """
        with self._timed():
            stored, total = to_stored(frame, self._run.layout.dtype, self._unit)
            self._sums.append(total)
            self._largest = max(self._largest, float(stored.max()))
            tiles = [tile for panel in stored for tile in self._encoder.tiles(panel)]
            if self._pool is None:
                self._keep([self._encoder.encode(tile) for tile in tiles])
                self._free.append(frame)
            else:
                self._settle()
                self._pending = [self._pool.submit(self._encoder.encode, tile) for tile in tiles]
                self._encoding = [frame]

    def finish(self, info: Mapping[str, Any], labels: bytes | None = None) -> dict[str, Any]:
        """Store the shard and the table of spots, append the receipt, and return that.

        Parameters
        ----------
        info : mapping
            What the receipt should also say: attempt, seconds, `numeric_class` (a mapping; the
            manifest's where absent).
        labels : bytes, optional
            The unit's table of spots.

        Returns
        -------
        dict
            A few hundred bytes. Its `write_seconds` are all the time spent in this writer but
            for the receipt's own line; of them `encode_seconds` went into checking, converting
            and compressing pixels, and `verify_seconds` into waiting for what is hashed and written
            beside rendering, and for the disk or the network.

        Raises
        ------
        ValueError
            Not all frames of the unit were added.
        EnvironmentFailure
            There is no room.
        DamageError
            Frames of an earlier generation came out otherwise.
        """
        layout, unit = self._run.layout, self._unit
        if len(self._sums) != layout.frame_count(unit):
            raise ValueError(
                f"unit {unit} has {layout.frame_count(unit)} frames, got {len(self._sums)}"
            )
        with self._timed():
            self._settle()
            lengths = [len(data) + len(check) for data, check in self._chunks]
            index = shard_index(layout, unit, lengths)
        encode_seconds, started = self.seconds, time.perf_counter()
        check_grown(self._run, unit, [*chain.from_iterable(self._chunks), index])
        self._spool.add([index])
        done = self._spool.finish()
        table = {} if labels is None else {"labels": store_labels(self._run, unit, labels)}
        stored = time.perf_counter()
        self.seconds += stored - started
        receipt = (
            self._receipt(info)
            | table
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
        self._chunks.extend(chunks)
        self._spool.add(list(chain.from_iterable(chunks)))

    def _receipt(self, info: Mapping[str, Any]) -> dict[str, Any]:
        numeric_class = info.get("numeric_class", self._run.manifest.numeric_class)
        rest = {key: value for key, value in info.items() if key != "numeric_class"}
        return {
            **rest,
            "run": self._run.run_id,
            "unit": self._unit,
            "class": class_id(numeric_class),
            "frames": len(self._sums),
            "sum": math.fsum(self._sums),
            "max": self._largest,
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


def write_unit(
    run: RunDirectory, unit: int, images: NDArray[Any], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Store the frames of a unit as one shard and append its receipt; see `UnitWriter`.

    Parameters
    ----------
    run : RunDirectory
    unit : int
    images : (frames of the unit, panels, slow, fast) float
        Photons per pixel, frames in C order.
    info : mapping

    Raises
    ------
    InputError
        Pixels are not finite, or do not fit the stored type.
    EnvironmentFailure
        There is no room.
    """
    expected = (run.layout.frame_count(unit), run.layout.panels, *run.layout.shape)
    if images.shape != expected:
        raise ValueError(f"unit {unit} has shape {expected}, got {images.shape}")
    with UnitWriter(run, unit) as writer:
        for frame in images:
            writer.add(frame)
        return writer.finish(info)


def to_stored(images: NDArray[Any], dtype: str, unit: int) -> tuple[NDArray[Any], float]:
    """Convert to the stored type, refusing what it cannot hold; return it with its sum.

    Raises
    ------
    InputError
        NaN or infinite pixels, or values beyond the range of `dtype`.
    """
    target = np.dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        if target.kind == "u":
            _check_finite(images, unit)
            stored = _to_counts(images, target, unit)
        else:
            stored = np.ascontiguousarray(images, dtype=target)
        total = float(stored.sum(dtype=np.float64))
    # One pixel that is not finite makes the sum so; to look at each takes longer than the sum.
    if not math.isfinite(total):
        _check_finite(images, unit)
        if not np.isfinite(stored).all():
            raise InputError(
                f"unit {unit}: pixels up to {images.max():.3g} do not fit {dtype}",
                field="output.dtype",
                remedy="use float64",
            )
    return stored, total


def _check_finite(images: NDArray[Any], unit: int) -> None:
    bad = images.size - int(np.count_nonzero(np.isfinite(images)))
    if bad:
        raise InputError(
            f"unit {unit}: {bad} of {images.size} pixels are not finite, or beyond float32; "
            "nothing was stored",
            remedy="look for an impossible geometry, amplitude or fluence in the specification",
        )


def _to_counts(images: NDArray[Any], target: np.dtype[Any], unit: int) -> NDArray[Any]:
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > np.iinfo(target).max:
        raise InputError(
            f"unit {unit}: counts from {low:g} to {high:g} do not fit {target.name}",
            field="output.dtype",
            remedy="use uint32 or float32",
        )
    stored = np.ascontiguousarray(images, dtype=target)
    if not np.array_equal(stored, images):
        raise InputError(
            f"unit {unit}: pixels are not whole counts, {target.name} would round them",
            field="output.dtype",
            remedy="set noise.photon, or store float32",
        )
    return stored
