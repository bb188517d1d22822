"""Exports for training: the frames of a shard for WebDataset, or of a file of a set in HDF5."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.run.frame_set import FrameSet

if TYPE_CHECKING:
    from distbragg.export.hdf5_set import SetFrames
    from distbragg.export.nxmx import Compression

_KEY_DIGITS: Final = 9
_AT_ONCE: Final = 1 << 26  # bytes of pixels that are read together


def write_samples(path: Path, frames: FrameSet, members: Sequence[int], identity: str) -> bool:
    """Write a shard of these frames; False where it is there and whole."""
    from distbragg.export.webdataset import is_whole_shard, write_shard

    if is_whole_shard(path, identity):
        return False
    write_shard(path, _samples(frames, members), identity)
    return True


def _samples(frames: FrameSet, members: Sequence[int]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the samples of frames: image, labels, and a table of spots."""
    from distbragg.export.webdataset import json_bytes, npy_bytes

    for frame, image in _images(frames, members):
        parts = {} if frames.split is None else {"split": str(frames.parts[frame])}
        labels = {name: _finite(value) for name, value in frames.labels(frame).items()}
        sample = {
            "npy": npy_bytes(image),
            "json": json_bytes({"frame": frame, **parts, "labels": labels}),
        }
        spots = frames.spots(frame)
        if spots is not None:
            sample["spots.npy"] = npy_bytes(_as_records(spots))
        yield f"{frame:0{_KEY_DIGITS}d}", sample


def _images(frames: FrameSet, members: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield frames and their pixels, some read together."""
    step = max(1, _AT_ONCE // frames.frame_bytes)
    for start in range(0, len(members), step):
        some = members[start : start + step]
        yield from zip(some, frames.reader.read(some), strict=True)


def _as_records(spots: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return columns as one array with names."""
    kinds = [(name, values.dtype) for name, values in spots.items()]
    table = np.empty(len(spots["h"]), dtype=kinds)
    for name, values in spots.items():
        table[name] = values
    return table


def _finite(value: object) -> object:
    """Return a label as JSON has it: what is not a number is null."""
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_set_part(
    path: Path, frames: FrameSet, members: Sequence[int], compression: Compression, identity: str
) -> bool:
    """Write a file of these frames; False where it is there and whole."""
    from distbragg.export.hdf5_set import IMAGES, write_part
    from distbragg.export.nxmx import is_whole_data_file

    shape: Any = (len(members), *frames.shape)
    if is_whole_data_file(path, shape, identity, data=IMAGES):
        return False
    pixels = (image for _, image in _images(frames, members))
    write_part(
        path, _set_frames(frames, members), pixels, compression=compression, identity=identity
    )
    return True


def _set_frames(frames: FrameSet, members: Sequence[int]) -> SetFrames:
    from distbragg.export.hdf5_set import SetFrames

    tables = [frames.spots(frame) for frame in members]
    there = [table for table in tables if table is not None]
    spots = None
    if there:
        spots = {name: np.concatenate([table[name] for table in there]) for name in there[0]}
    counts = [0 if table is None else len(table["h"]) for table in tables]
    return SetFrames(
        shape=frames.shape,
        dtype=np.dtype(frames.reader.layout.dtype),
        own=frames.numbers(members),
        labels=frames.columns(members),
        spots=spots,
        counts=np.array(counts, dtype=np.int64),
        attrs=frames.attrs,
        group_attrs=frames.group_attrs,
    )
