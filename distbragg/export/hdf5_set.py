"""Training sets in HDF5: images, labels and spots of many frames, in one file or several parts.

Of several parts a master holds the labels, and views of images and spots (virtual data sets) that
h5py and other readers of HDF5 1.10 take for one array; it names the parts, which lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.export.nxmx import Compression, filters
from distbragg.store.files import durable_path

IMAGES: Final = "images"
LABELS: Final = "labels"
SPOTS: Final = "spots"
OFFSETS: Final = "offsets"
IDENTITY: Final = "distbragg_identity"

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class SetFrames:
    """The frames of a file of a set.

    `labels` are by name, (frames, …), as is what tells of frames in `own`; `spots` by column,
    (spots,) each, of one frame after another, `counts` of them a frame: None without tables.
    """

    shape: tuple[int, ...]  # of a frame: ([panels,] slow, fast)
    dtype: np.dtype[Any]
    own: Columns
    labels: Columns
    spots: Columns | None
    counts: NDArray[np.int64]
    attrs: Mapping[str, Any]  # of the images
    group_attrs: Mapping[str, Any]  # of the file


def write_part(
    path: Path,
    frames: SetFrames,
    images: Iterator[NDArray[Any]],
    *,
    compression: Compression,
    identity: str,
) -> None:
    """Write a file of a set whole or not at all, one chunk a frame."""
    chosen = filters(compression)
    with durable_path(path) as temporary, h5py.File(temporary, "w") as file:
        stored = file.create_dataset(
            IMAGES,
            shape=(len(frames.counts), *frames.shape),
            dtype=frames.dtype,
            chunks=(1, *frames.shape),
            **chosen,
        )
        for index, image in enumerate(images):
            stored[index] = image
        stored.attrs.update(frames.attrs)
        _write_columns(file, frames.own)
        _write_columns(file.create_group(LABELS), frames.labels)
        if frames.spots is not None:
            spots = file.create_group(SPOTS)
            _write_offsets(spots, frames.counts)
            for name, values in frames.spots.items():
                # Nothing has no chunks, and so no compression.
                spots.create_dataset(name, data=values, **(chosen if values.size else {}))
        file.attrs.update({**frames.group_attrs, IDENTITY: identity})


def write_set(path: Path, parts: Sequence[Path]) -> None:
    """Write the master over parts that lie beside it, whole or not at all."""
    with ExitStack() as opened:
        files = [opened.enter_context(h5py.File(part)) for part in parts]
        temporary = opened.enter_context(durable_path(path))
        master = opened.enter_context(h5py.File(temporary, "w"))
        names, first = [part.name for part in parts], files[0]
        master.attrs.update({key: value for key, value in first.attrs.items() if key != IDENTITY})
        _view(master, IMAGES, names, [file[IMAGES] for file in files])
        master[IMAGES].attrs.update(first[IMAGES].attrs)
        own = [name for name, part in first.items() if isinstance(part, h5py.Dataset)]
        _write_columns(master, _joined(files, [name for name in own if name != IMAGES]))
        labels = [file[LABELS] for file in files]
        _write_columns(master.create_group(LABELS), _joined(labels, list(labels[0])))
        if SPOTS in first:
            tables, spots = [file[SPOTS] for file in files], master.create_group(SPOTS)
            _write_offsets(spots, np.concatenate([np.diff(one[OFFSETS][()]) for one in tables]))
            for name in set(tables[0]) - {OFFSETS}:
                _view(spots, name, names, [table[name] for table in tables])


def _view(
    group: h5py.Group, name: str, files: Sequence[str], sources: Sequence[h5py.Dataset]
) -> None:
    """Make a data set of those of the same place in several files, one after another."""
    first, start = sources[0], 0
    layout = h5py.VirtualLayout((sum(map(len, sources)), *first.shape[1:]), first.dtype)
    for file, source in zip(files, sources, strict=True):
        if len(source):
            layout[start : start + len(source)] = h5py.VirtualSource(
                file, source.name, source.shape, source.dtype
            )
        start += len(source)
    group.create_virtual_dataset(name, layout)


def _joined(groups: Sequence[h5py.Group], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read columns of several files, one after another."""
    return {name: np.concatenate([group[name][()] for group in groups]) for name in names}


def _write_columns(group: h5py.Group, columns: Columns) -> None:
    for name, values in columns.items():
        if values.dtype.kind in "UO":
            group.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=values)


def _write_offsets(spots: h5py.Group, counts: NDArray[np.int64]) -> None:
    """Write where the spots of each frame begin."""
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    told = "rows of frame i are those from offsets[i] up to but without offsets[i + 1]"
    spots.create_dataset(OFFSETS, data=starts).attrs["long_name"] = told
