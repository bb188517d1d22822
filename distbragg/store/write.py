"""Writing one unit: a whole shard in one assignment, then its receipt."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numcodecs import blosc
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.store.array import WholeShardStore, open_writer
from distbragg.store.files import no_room, sha256_file
from distbragg.store.layout import StackLayout
from distbragg.store.ledger import append_receipt
from distbragg.store.manifest import class_id
from distbragg.store.run_directory import RunDirectory
from distbragg.store.verify import pixel_sum

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHE_SIZE = 4
_writers: dict[tuple[str, str, int], zarr.Array[Any]] = {}
_writers_lock = threading.Lock()


def write_unit(
    run: RunDirectory, unit: int, images: NDArray[Any], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Store the frames of a unit as one shard and append its receipt.

    Parameters
    ----------
    run : RunDirectory
    unit : int
    images : (frames of the unit, panels, slow, fast) float
        Photons per pixel, frames in C order.
    info : mapping
        What the receipt should also say: attempt, seconds, `numeric_class` (a mapping; the
        manifest's where absent).

    Returns
    -------
    dict
        The receipt, a few hundred bytes. Its `write_seconds` are the whole of this call but
        for the receipt's own line; of them `encode_seconds` went into checking, converting and
        compressing pixels, and `verify_seconds` into flushing and hashing the stored bytes.

    Raises
    ------
    InputError
        Pixels are not finite, or do not fit the stored type.
    EnvironmentFailure
        There is no room.
    """
    layout = run.layout
    started = time.perf_counter()
    _check_shape(layout, unit, images)
    stored = to_stored(images, layout.dtype, unit)
    pixels = layout.array_shape[len(layout.dims) :]
    block = stored.reshape(*layout.unit_extent(unit), *pixels)
    region = layout.full_region(unit)
    check_alignment(layout, region)
    path = run.object_path(unit)
    try:
        with _write_settings():
            writer = _writer(run)
            file_seconds = -_set_seconds(writer)
            writer[region] = block
            file_seconds += _set_seconds(writer)
        written = time.perf_counter()
        digest, size = sha256_file(path, durable=True)
        verified = time.perf_counter()
        receipt = _receipt(run, unit, stored, {**info, "digest": digest, "size": size})
    except OSError as error:
        raise no_room(error, path) from error
    receipt["encode_seconds"] = round(max(0.0, written - started - file_seconds), 6)
    receipt["verify_seconds"] = round(verified - written, 6)
    receipt["write_seconds"] = round(time.perf_counter() - started, 6)
    append_receipt(run, receipt)
    return receipt


def check_alignment(layout: StackLayout, region: tuple[slice, ...]) -> None:
    """Refuse any region that is not exactly one shard, clipped at the array's edge.

    Raises
    ------
    ValueError
        The region starts inside a shard, or does not reach its end. A write of that kind
        would read the shard back and lose what another writer put there meanwhile.
    """
    for part, shard, size in zip(region, layout.shard_shape, layout.array_shape, strict=True):
        aligned = part.start % shard == 0 and part.stop == min(part.start + shard, size)
        if not aligned or part.step not in (None, 1):
            raise ValueError(f"region {region} is not one whole shard of {layout.shard_shape}")


def to_stored(images: NDArray[Any], dtype: str, unit: int) -> NDArray[Any]:
    """Convert to the stored type, refusing what it cannot hold.

    Raises
    ------
    InputError
        NaN or infinite pixels, or values beyond the range of `dtype`.
    """
    bad = images.size - int(np.count_nonzero(np.isfinite(images)))
    if bad:
        raise InputError(
            f"unit {unit}: {bad} of {images.size} pixels are not finite, or beyond float32; "
            "nothing was stored",
            remedy="look for an impossible geometry, amplitude or fluence in the specification",
        )
    target = np.dtype(dtype)
    if target.kind == "u":
        return _to_counts(images, target, unit)
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(images, dtype=target)
    if not np.isfinite(stored).all():
        raise InputError(
            f"unit {unit}: pixels up to {images.max():.3g} do not fit {dtype}",
            field="output.dtype",
            remedy="use float64",
        )
    return stored


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


def _check_shape(layout: StackLayout, unit: int, images: NDArray[Any]) -> None:
    expected = (layout.frame_count(unit), layout.panels, *layout.shape)
    if images.shape != expected:
        raise ValueError(f"unit {unit} has shape {expected}, got {images.shape}")


def _receipt(
    run: RunDirectory,
    unit: int,
    stored: NDArray[Any],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    numeric_class = info.get("numeric_class", run.manifest.numeric_class)
    rest = {key: value for key, value in info.items() if key != "numeric_class"}
    return {
        **rest,
        "run": run.run_id,
        "unit": unit,
        "class": class_id(numeric_class),
        "frames": run.layout.frame_count(unit),
        "sum": pixel_sum(stored),
        "max": float(stored.max()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "time": time.time(),
    }


def _set_seconds(writer: zarr.Array[Any]) -> float:
    store = writer.store
    return store.set_seconds if isinstance(store, WholeShardStore) else 0.0


def _writer(run: RunDirectory) -> zarr.Array[Any]:
    key = (str(run.path), run.run_id, os.getpid())
    with _writers_lock:
        if key not in _writers:
            while len(_writers) >= _CACHE_SIZE:
                _writers.pop(next(iter(_writers)))
            _writers[key] = open_writer(run.path)
        return _writers[key]


@contextmanager
def _write_settings() -> Iterator[None]:
    """Single-threaded Blosc and little concurrency while a shard is written.

    Blosc's own threads append compressed blocks in the order they finish, which would make
    the stored bytes depend on timing.
    """
    threads, blosc.use_threads = blosc.use_threads, False
    try:
        with zarr.config.set({"async.concurrency": 4, "threading.max_workers": 2}):
            yield
    finally:
        blosc.use_threads = threads
