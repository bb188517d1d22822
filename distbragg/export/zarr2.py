"""Zarr format 2 without shards: a copy of the stack for readers that know no newer format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray

from distbragg.errors import DamageError
from distbragg.store.coordinates import RENDERED
from distbragg.store.files import durable_path
from distbragg.store.layout import IMAGES

MAXIMUM_EDGE: Final = 1024  # longest edge of a chunk, pixels


def create_zarr2(path: str | Path, stack: xr.Dataset) -> None:
    """Write the group's metadata and coordinates, without pixels, unless they are there.

    No frame is said to be there: see `finish_zarr2`. The group is made under another name and
    renamed: it is seen whole, and on the disk, or not at all. An array there of another shape or
    type is a DamageError.
    """
    target = Path(path)
    images = stack[IMAGES]
    if target.exists():
        array = _open(target)
        if tuple(array.shape) != images.shape or array.dtype != images.dtype:
            raise DamageError(f"{target}: holds another array; remove it and export again")
        return
    with durable_path(target) as temporary:
        _make(str(temporary), _said_to_hold(stack, np.zeros(stack[RENDERED].shape, dtype=bool)))


def finish_zarr2(path: str | Path, stack: xr.Dataset) -> None:
    """Say which frames are there, and what `stack` tells of frames by now."""
    frames = stack[RENDERED].shape
    names = {item.name for item in (Path(path) / IMAGES).iterdir()}
    array = _open(Path(path))
    there = [names.issuperset(_chunk_names(array, index)) for index in np.ndindex(*frames)]
    told = _said_to_hold(stack, np.reshape(there, frames)).drop_encoding()
    # Text is of axes, which stay; xarray takes its type on the disk for another.
    fixed = [name for name, one in told.variables.items() if one.dtype.kind not in "biuf"]
    told.drop_vars([IMAGES, *fixed]).to_zarr(str(path), mode="a", zarr_format=2, consolidated=False)
    zarr.consolidate_metadata(str(path), zarr_format=2)


def _said_to_hold(stack: xr.Dataset, there: NDArray[np.bool_]) -> xr.Dataset:
    """Return the stack with a coordinate that says so of other frames than it holds."""
    stated: xr.Dataset = stack.assign_coords({RENDERED: stack[RENDERED].copy(data=there)})
    return stated.assign_attrs(missing_frames=int(np.count_nonzero(~there)))


def _make(path: str, stack: xr.Dataset) -> None:
    images, coordinates = stack[IMAGES], stack.drop_vars(IMAGES).drop_encoding()
    coordinates.to_zarr(path, mode="w", zarr_format=2, consolidated=False)
    group = zarr.open_group(path, mode="r+", zarr_format=2)
    group.create_array(
        IMAGES,
        shape=images.shape,
        dtype=images.dtype,
        chunks=(*(1 for _ in images.dims[:-2]), *(min(n, MAXIMUM_EDGE) for n in images.shape[-2:])),
        compressors=Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE),
        fill_value=_absent(images.dtype),
        attributes={**_plain(images.attrs), "_ARRAY_DIMENSIONS": [str(d) for d in images.dims]},
    )
    zarr.consolidate_metadata(path, zarr_format=2)


def _absent(dtype: np.dtype[Any]) -> float | int:
    """Return what stands for frames that were not exported: xarray reads it as NaN.

    Of counts the largest, which is no measurement. A 0 is one.
    """
    return math.nan if dtype.kind == "f" else int(np.iinfo(dtype).max)


def write_zarr2_frame(path: str | Path, index: tuple[int, ...], image: NDArray[Any]) -> None:
    """Write the frame ([panels,] slow, fast) at `index`, empty chunks too, each of them whole."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        _open(Path(path))[index] = image


def is_whole_zarr2_frame(path: Path, index: tuple[int, ...]) -> bool:
    """Whether every chunk of a frame is there."""
    try:
        array = _open(path)
    except (OSError, KeyError):
        return False
    return all((path / IMAGES / name).is_file() for name in _chunk_names(array, index))


def _chunk_names(array: zarr.Array[Any], index: tuple[int, ...]) -> Iterator[str]:
    """Names of the files that hold a frame."""
    rest = len(index)
    counts = [
        -(-size // edge) for size, edge in zip(array.shape[rest:], array.chunks[rest:], strict=True)
    ]
    return (".".join(map(str, (*index, *chunk))) for chunk in product(*map(range, counts)))


def _open(path: Path) -> zarr.Array[Any]:
    array: zarr.Array[Any] = zarr.open_array(str(path / IMAGES), mode="r+", zarr_format=2)
    return array


def _plain(attrs: dict[Any, Any]) -> dict[str, Any]:
    """Attributes as JSON takes them."""
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in attrs.items()
    }
