"""The Zarr side: creating the group, opening the reader."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec
from zarr.storage import LocalStore

from distbragg.store.bounded import BoundedStore
from distbragg.store.layout import IMAGES, LABELS, STATE_DIR, StackLayout, fill_value
from distbragg.store.zarr_rules import ArrayRules


@dataclass(frozen=True)
class StoredVariable:
    """A coordinate ready to be stored."""

    dims: tuple[str, ...]
    values: np.ndarray[Any, Any]
    attrs: Mapping[str, Any]


def create_group(
    path: Path,
    layout: StackLayout,
    coordinates: Mapping[str, StoredVariable],
    image_attrs: Mapping[str, Any],
    group_attrs: Mapping[str, Any],
    *,
    chunks: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Write the group's metadata and coordinates, with no pixels, to `path`.

    `chunks` are those of coordinates that are not to lie in one chunk.
    """
    store = LocalStore(path)
    group = zarr.create_group(store, zarr_format=3, attributes=dict(group_attrs))
    itemsize = np.dtype(layout.dtype).itemsize
    group.create_array(
        IMAGES,
        shape=layout.array_shape,
        dtype=layout.dtype,
        chunks=layout.chunk_shape,
        shards=layout.shard_shape,
        serializer=BytesCodec(endian="little" if itemsize > 1 else None),
        compressors=[
            BloscCodec(
                cname=layout.compressor,
                clevel=layout.compression_level,
                shuffle="shuffle",
                typesize=itemsize,
            ),
            Crc32cCodec(),
        ],
        fill_value=fill_value(layout.dtype),
        dimension_names=layout.dimension_names,
        attributes={**image_attrs, **_non_index(coordinates)},
    )
    for name, variable in coordinates.items():
        whole = tuple(max(1, size) for size in variable.values.shape)
        _create_coordinate(group, name, variable, (chunks or {}).get(name, whole))
    _consolidate(store)
    _hide_state(path)


def reading_store(path: Path, rules: Mapping[str, ArrayRules]) -> BoundedStore:
    """Return a store that reads the arrays of `rules`, within what these allow."""
    return BoundedStore(LocalStore(path, read_only=True), rules)


def open_reader(path: Path, rules: Mapping[str, ArrayRules]) -> zarr.Array[Any]:
    """Open the image array read-only; `rules` are those of `foreign.check_metadata`."""
    return zarr.open_array(reading_store(path, rules), path=IMAGES, mode="r", zarr_format=3)


def _create_coordinate(
    group: zarr.Group, name: str, variable: StoredVariable, chunks: tuple[int, ...]
) -> None:
    values = variable.values
    if values.dtype.kind in "UO":
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=str,
            chunks=chunks,
            dimension_names=variable.dims,
            attributes=dict(variable.attrs),
        )
        array[...] = values.astype(object)
        return
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=chunks,
        fill_value=fill_value(str(values.dtype)) if values.dtype.kind in "fiu" else None,
        dimension_names=variable.dims,
        attributes=dict(variable.attrs),
        config={"write_empty_chunks": True},
    )
    array[...] = values


def _non_index(coordinates: Mapping[str, StoredVariable]) -> dict[str, str]:
    """CF attribute that lists the coordinates which no dimension is named after."""
    names = [name for name, variable in coordinates.items() if variable.dims != (name,)]
    return {"coordinates": " ".join(names)} if names else {}


def _consolidate(store: LocalStore) -> None:
    # The metadata never change after creation, so one document can hold them all; readers
    # then list no directory. zarr warns that the v3 specification does not define it yet.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store, zarr_format=3)


def create_labels_group(path: Path) -> None:
    """Make the folder of the tables of spots: an empty group, of which zarr does not warn."""
    zarr.create_group(LocalStore(path / LABELS), zarr_format=3)


def _hide_state(path: Path) -> None:
    # A reader that lists the directory instead meets `.distbragg`; as an empty group it is
    # skipped quietly, as a plain directory zarr would warn about it.
    zarr.create_group(LocalStore(path / STATE_DIR), zarr_format=3)
