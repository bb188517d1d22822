"""Opening a stack for reading, with checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distbragg.errors import InputError
from distbragg.store.extension import pending_extension
from distbragg.store.foreign import Checked, check_images, check_metadata
from distbragg.store.held_over import held_over_units, is_held_over
from distbragg.store.home import bounded_store
from distbragg.store.label import RENDERED
from distbragg.store.layout import IMAGES, SKIPPED, StackLayout
from distbragg.store.ledger import Receipt, completed_units
from distbragg.store.remote import is_url
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.split import Split, split_frames
from distbragg.store.zarr_rules import ArrayRules

if TYPE_CHECKING:
    import xarray as xr


def open_stack(path: str | Path, *, split: Split | None = None) -> xr.Dataset:
    """Open the stack of a run, lazily, after checking it.

    Parameters
    ----------
    path : path
    split : Split, optional
        Adds the coordinate `split`: `train`, `validation` or `test` for every frame.

    Returns
    -------
    xr.Dataset
        `images` with the sweep's dimensions, then `panel` where there are several, `slow`,
        `fast`; the boolean coordinate `rendered` over the sweep's dimensions says which
        frames are done, `missing_frames` in the attributes how many are not. Where a tolerance
        left anything out, `skipped_photons` says how much of any pixel at most.

    Raises
    ------
    InputError
        `path` does not exist or is not a run.
    DamageError
        The manifest is damaged, or the stored array is not the one it describes.
    """
    # Loaded here: checking a stored array, as `verify` does, needs no xarray.
    import xarray as xr

    if not is_url(path) and not Path(path).exists():
        raise InputError("does not exist", source=str(path), remedy="check the path")
    run = open_run(path)
    checked = check_array(run)
    stack = xr.open_zarr(bounded_store(run, checked.consolidated or checked.arrays))
    if run.layout.dims:
        # An extension that is being put in place may have lengthened the arrays already.
        name, size = run.layout.dims[0]
        stack = stack.isel({name: slice(0, size)}) if stack.sizes[name] > size else stack
    done = completed_units(run)
    rendered = rendered_frames(run.layout, done)
    for unit in held_over_units(run, done):
        if is_held_over(run, unit):
            rendered[run.lineage[0].manifest.layout.unit_region(unit)] = True
    missing = int(rendered.size - np.count_nonzero(rendered))
    names = [name for name, _ in run.layout.dims]
    attrs = {"long_name": "frame is in the stack", "flag_meanings": "missing rendered"}
    stack = stack.assign_coords({RENDERED: (names, rendered, attrs)})
    skipped = skipped_photons(run.layout, done)
    if skipped is not None:
        said = {"long_name": "at most left out of any pixel", "units": "photons"}
        stack = stack.assign_coords({SKIPPED: (names, skipped, said)})
    if split is not None:
        described = {"long_name": "part of the data set", "seed": split.seed}
        stack = stack.assign_coords(split=(names, split_frames(run, split), described))
    labelled: xr.Dataset = stack.assign_attrs(missing_frames=missing)
    return labelled


def check_array(run: RunDirectory) -> Checked:
    """Compare the stored metadata with the allow-list, and the images' with the manifest.

    Nothing is opened by zarr: the metadata are judged as text first.

    Raises
    ------
    DamageError
        They are not on the list, they differ, or they cannot be read.
    """
    checked = check_metadata(run.path)
    place = f"{run.path}/{IMAGES}"
    for rules in (checked.arrays, checked.consolidated):
        if IMAGES in rules:
            check_images(rules[IMAGES], _layout_of(run, rules[IMAGES]), place)
    return checked


def _layout_of(run: RunDirectory, images: ArrayRules) -> StackLayout:
    """Return the layout to compare with: the next generation's while it is put in place."""
    if images.shape == run.layout.array_shape:
        return run.layout
    coming = pending_extension(run.path)
    return run.layout if coming is None else coming.layout


def rendered_frames(layout: StackLayout, done: Iterable[int]) -> np.ndarray[Any, Any]:
    """Boolean array over the sweep's dimensions: True where the frame's unit is done."""
    rendered = np.zeros(tuple(size for _, size in layout.dims), dtype=bool)
    for unit in done:
        rendered[layout.unit_region(unit)] = True
    return rendered


def skipped_photons(
    layout: StackLayout, done: Mapping[int, Receipt]
) -> np.ndarray[Any, Any] | None:
    """Bound of what was left out of each frame, over the sweep's dimensions.

    NaN where a frame is not done; None where no receipt tells of anything left out.
    """
    if not any(SKIPPED in receipt.record for receipt in done.values()):
        return None
    skipped = np.full(tuple(size for _, size in layout.dims), np.nan)
    for unit, receipt in done.items():
        told = receipt.record.get(SKIPPED, [0.0] * layout.frame_count(unit))
        skipped[layout.unit_region(unit)] = np.reshape(told, layout.unit_extent(unit))
    return skipped
