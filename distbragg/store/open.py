"""Opening a stack for reading, with checks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distbragg.errors import DamageError, InputError
from distbragg.store.array import open_reader
from distbragg.store.label import RENDERED
from distbragg.store.layout import IMAGES, StackLayout
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import RunDirectory, open_run

if TYPE_CHECKING:
    import xarray as xr


def open_stack(path: str | Path) -> xr.Dataset:
    """Open the stack of a run, lazily, after checking it.

    Returns
    -------
    xr.Dataset
        `images` with the sweep's dimensions, then `panel` where there are several, `slow`,
        `fast`; the boolean coordinate `rendered` over the sweep's dimensions says which
        frames are done, `missing_frames` in the attributes how many are not.

    Raises
    ------
    InputError
        `path` does not exist or is not a run.
    DamageError
        The manifest is damaged, or the stored array is not the one it describes.
    """
    # Loaded here: checking a stored array, as `verify` does, needs no xarray.
    import xarray as xr

    if not Path(path).exists():
        raise InputError("does not exist", source=str(path), remedy="check the path")
    run = open_run(path)
    check_array(run)
    stack = xr.open_zarr(str(run.path))
    rendered = rendered_frames(run.layout, completed_units(run))
    missing = int(rendered.size - np.count_nonzero(rendered))
    names = [name for name, _ in run.layout.dims]
    attrs = {"long_name": "frame is in the stack", "flag_meanings": "missing rendered"}
    stack = stack.assign_coords({RENDERED: (names, rendered, attrs)})
    labelled: xr.Dataset = stack.assign_attrs(missing_frames=missing)
    return labelled


def check_array(run: RunDirectory) -> None:
    """Compare the stored array's metadata with the manifest.

    Raises
    ------
    DamageError
        They differ, or the array cannot be opened.
    """
    layout = run.layout
    try:
        array = open_reader(run.path)
        found: dict[str, Any] = {
            "shape": tuple(array.shape),
            "dtype": str(array.dtype),
            "shards": tuple(array.shards or ()),
            "chunks": tuple(array.chunks),
            "dimension names": tuple(array.metadata.dimension_names or ()),  # type: ignore[union-attr]
        }
    except Exception as error:  # zarr raises nearly anything on metadata that make no sense
        raise DamageError(f"{run.path}/{IMAGES}: array cannot be opened ({error})") from error
    expected: dict[str, Any] = {
        "shape": layout.array_shape,
        "dtype": layout.dtype,
        "shards": layout.shard_shape,
        "chunks": layout.chunk_shape,
        "dimension names": layout.dimension_names,
    }
    for name, value in expected.items():
        if found[name] != value:
            raise DamageError(
                f"{run.path}/{IMAGES}: {name} {found[name]} is not the manifest's {value}"
            )


def rendered_frames(layout: StackLayout, done: Iterable[int]) -> np.ndarray[Any, Any]:
    """Boolean array over the sweep's dimensions: True where the frame's unit is done."""
    rendered = np.zeros(tuple(size for _, size in layout.dims), dtype=bool)
    for unit in done:
        rendered[layout.unit_region(unit)] = True
    return rendered
