"""Opening a stack for reading, with checks: as a data set, or frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.plan.variants import Variant
from distbragg.store.coordinates import RENDERED
from distbragg.store.frame_labels import FrameLabels, Seen
from distbragg.store.generations import left_short
from distbragg.store.layout import IMAGES, OVERLOADS, SKIPPED, StackLayout
from distbragg.store.ledger import Receipt, completed_units
from distbragg.store.own_arrays import GuardedStore, check_own_arrays
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.shard_reader import ShardReader
from distbragg.store.split import Split, split_frames, warn_of_shared_crystals
from distbragg.store.spots import check_labels, has_labels

if TYPE_CHECKING:
    import xarray as xr
    import zarr

    Chunks = Literal["shards", "auto"] | Mapping[Any, Any] | int | None


TOLD: Final[Mapping[str, tuple[float, Mapping[str, str]]]] = {
    SKIPPED: (np.nan, {"long_name": "at most left out of any pixel", "units": "photons"}),
    OVERLOADS: (
        0,
        {"long_name": "pixels beyond the range of the detector or the type", "units": "1"},
    ),
}
"""What receipts may tell of frames: value of frames that are not done, attributes."""

RUN_ID: Final = "distbragg_run_id"
OPENED: Final[dict[str, RunDirectory]] = {}
"""Runs whose stacks this process opened, by identity: what `.bragg` finds its images by."""


def open_stack(
    path: str | Path,
    *,
    chunks: Chunks = "shards",
    split: Split | None = None,
    seen: Seen | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open the stack of a run, lazily, after checking it.

    Variables, coordinates and attributes that a user added are there too, as xarray reads them.

    Parameters
    ----------
    path : path or URL
    chunks : "shards", None or as for `xarray.open_zarr`
        How Dask cuts the variables. "shards": `images` with one task for each stored object, a
        unit of work of the run; what a user added as it is stored. None: no Dask, values are
        read when they are asked for.
    split : Split, optional
        Adds the coordinate `split`: `train`, `validation` or `test` for every frame.
    seen : Seen, optional
        Which spots the labels of frames count, and how many make a hit; default: all that the
        tables list, and one.
    storage_options : mapping, optional
        For a run on an object store: `endpoint`, `region`, `access_key_id` and what else obstore
        takes as configuration; default: the environment.

    Returns
    -------
    xr.Dataset
        `images` with the sweep's dimensions, then `panel` where there are several, `slow`,
        `fast`; the boolean coordinate `rendered` over the sweep's dimensions says which
        frames are done, `missing_frames` in the attributes how many are not. Counts keep their
        integer type, so that frames that are missing hold the fill value. Where anything was left
        out, within a tolerance or beyond the cut of the closed form, `skipped_photons` says how
        much of any pixel at most; where pixels were beyond the range of the type, `overloads`
        says how many of each frame are held at its largest value. The maps of `output.maps` are
        variables beside `images`, of the same dimensions. The variants of `output.variants` are
        variables whose pixels have dimensions of their own, `<name>_slow` and `<name>_fast`, and
        whose attributes say how they are made and where positions lie in them; under
        `output.frames: false` there are no `images`. A run with `output.labels` has labels of
        frames as coordinates, read when they are asked for, where no axis has their name:
        `lattices_in_beam` and `has_crystal` as specified; `spots_seen` (of `minimum_photons`, whose
        middle an active pixel records), `hit` (`minimum_spots` or more), `lattices_seen` (each of
        as many) and `resolution_seen`, the finest in Å. Their attributes state both bounds.

    Raises
    ------
    InputError
        `path` does not exist or is not a run, or `chunks` or an option is unknown.
    DamageError
        The manifest is damaged, or the stored array is not the one it describes.
    """
    if isinstance(chunks, str) and chunks not in ("shards", "auto"):
        raise InputError(
            f"{chunks!r} is not a way to cut the images",
            source="chunks",
            remedy='give "shards", "auto", None, a number, or a mapping of dimensions to lengths',
        )
    # Loaded here: checking a stored array, as `verify` does, needs no xarray.
    import xarray as xr

    import distbragg.store.accessor  # noqa: F401 registers `.bragg`

    run = open_run(path, storage_options=storage_options)
    OPENED[run.run_id] = run
    own = [one.array for one in run.arrays]
    stack = xr.open_dataset(
        reading_store(run),  # type: ignore[arg-type]
        engine="zarr",
        chunks=None if chunks == "shards" else chunks,
        cache=None if chunks is None else False,
        mask_and_scale=dict.fromkeys(own, False),
    )
    for array in (stack[name] for name in own):
        array.attrs[RUN_ID] = run.run_id
        if "_FillValue" in array.attrs:
            array.encoding["_FillValue"] = array.attrs.pop("_FillValue")
    if chunks == "shards":
        stack = _chunked(stack, run.arrays)
    if run.layout.dims:
        # An extension that is being put in place may have lengthened the arrays already.
        name, size = run.layout.dims[0]
        stack = stack.isel({name: slice(0, size)}) if stack.sizes[name] > size else stack
    done = completed_units(run)
    rendered = frames_there(run, done)
    missing = int(rendered.size - np.count_nonzero(rendered))
    names = [name for name, _ in run.layout.dims]
    attrs = {"long_name": "frame is in the stack", "flag_meanings": "missing rendered"}
    stack = stack.assign_coords({RENDERED: (names, rendered, attrs)})
    stack = stack.assign_coords(_of_frames(stack, run, done, seen))
    if split is not None:
        described = {"long_name": "part of the data set", "seed": split.seed}
        parts = split_frames(run, split)
        warn_of_shared_crystals(run, parts)
        stack = stack.assign_coords(split=(names, parts, described))
    labelled: xr.Dataset = stack.assign_attrs(missing_frames=missing)
    return labelled


def _of_frames(
    stack: xr.Dataset, run: RunDirectory, done: Mapping[int, Receipt], seen: Seen | None
) -> dict[str, Any]:
    """Return coordinates of frames: what receipts tell of them, and labels where there are any."""
    from distbragg.store.label_arrays import label_coordinates

    found: dict[str, Any] = {}
    for key, (fill, said) in TOLD.items():
        told = told_of_frames(run.layout, done, key, fill)
        if told is not None:
            found[key] = ([name for name, _ in run.layout.dims], told, said)
    if seen is not None:
        check_labels(run)
    if has_labels(run):
        taken = [str(name) for name in stack.variables]
        found |= label_coordinates(FrameLabels(run, seen), done, taken)
    return found


def reading_store(run: RunDirectory) -> GuardedStore:
    """Return a store for zarr in which the run's own arrays were checked and are guarded."""
    return GuardedStore(run.objects, check_own_arrays(run))


def open_array(run: RunDirectory, array: str = IMAGES) -> zarr.Array[Any]:
    """Open the array of images, a variant or a map, read-only."""
    import zarr

    return zarr.open_array(reading_store(run), path=array, mode="r", zarr_format=3)


def rendered_frames(layout: StackLayout, done: Iterable[int]) -> np.ndarray[Any, Any]:
    """Boolean array over the sweep's dimensions: True where the frame's unit is done."""
    rendered = np.zeros(tuple(size for _, size in layout.dims), dtype=bool)
    for unit in done:
        rendered[layout.unit_region(unit)] = True
    return rendered


def frames_there(run: RunDirectory, done: Collection[int]) -> np.ndarray[Any, Any]:
    """Boolean array as of `rendered_frames`, old frames of units that an extension left short too.

    `done` are the units that are done.
    """
    rendered = rendered_frames(run.layout, done)
    for unit in left_short(run, done):
        rendered[run.lineage[0].layout.unit_region(unit)] = True
    return rendered


def told_of_frames(
    layout: StackLayout, done: Mapping[int, Receipt], key: str, fill: float
) -> np.ndarray[Any, Any] | None:
    """Return what receipts tell of each frame, `fill` where it is not done; or None."""
    told = {unit: getattr(receipt, key) for unit, receipt in done.items()}
    if not any(told.values()):
        return None
    found = np.full(tuple(size for _, size in layout.dims), fill)
    for unit, values in told.items():
        frames = layout.frame_count(unit)
        said = values or [0] * frames
        # A receipt of fewer frames, made by hand: the object is looked at elsewhere.
        if len(said) == frames:
            found[layout.unit_region(unit)] = np.reshape(said, layout.unit_extent(unit))
    return found


def _chunked(stack: xr.Dataset, layouts: Iterable[StackLayout]) -> xr.Dataset:
    """Let Dask read the run's arrays shard by shard, and other variables as they are stored."""
    shards = {
        one.array: dict(zip(one.dimension_names, one.shard_shape, strict=True)) for one in layouts
    }
    for name, variable in stack.data_vars.items():
        sizes = shards.get(str(name)) or variable.encoding.get("preferred_chunks", {})
        stack[name] = variable.chunk(sizes)
    return stack


def array_of(run: RunDirectory, name: str = IMAGES) -> StackLayout:
    """Return the layout of an array that a run stores; refuse one that it does not."""
    stored = {one.array: one for one in run.arrays}
    if name not in stored:
        what = "no whole frames" if name == IMAGES else f"no array {name!r}"
        raise InputError(
            f"stores {what}, but {', '.join(stored)}",
            source=run.url,
            remedy="name one of them, or render a run that stores it",
        )
    return stored[name]


class FrameReader:
    """Reads frames by their flat number: whole ones, of a variant or of a map.

    It travels between processes as a path. An array that the run does not store is an
    `InputError`.

    Attributes
    ----------
    layout : StackLayout
        Shape and type of what is read.
    variant : Variant or None
        Where positions of a frame lie in what is read, unless they are the same.
    """

    def __init__(self, run: RunLike, array: str = IMAGES) -> None:
        self.run, self._array = open_run(run), array
        self.layout = array_of(self.run, array)
        check_own_arrays(self.run)
        self._shards = ShardReader(self.run.objects, self.layout)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.run.url, "array": self._array}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.run, self._array = open_run(state["path"]), state["array"]
        self.layout = array_of(self.run, self._array)
        self._shards = ShardReader(self.run.objects, self.layout)

    @property
    def variant(self) -> Variant | None:
        """The variant that is read; None of whole frames and of maps."""
        return next((one for one in self.run.variants if one.spec.name == self._array), None)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is stored."""
        return np.dtype(self.layout.dtype)

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of a frame: ([panels,] slow, fast[, components])."""
        return self.layout.frame_shape

    def read(
        self, frames: Sequence[int], out: Sequence[NDArray[Any]] | NDArray[Any] | None = None
    ) -> list[NDArray[Any]]:
        """Return frames ([panels,] slow, fast) as asked for; those of a unit are read together.

        Where arrays `out` are given, one a frame, they are read into these, in their type.
        """
        made: Any = out
        if out is None:
            made = [np.empty(self.frame_shape, self.dtype) for _ in frames]
        first: dict[int, int] = {}
        for place, frame in enumerate(frames):
            first.setdefault(frame, place)
        by_unit: dict[int, dict[int, NDArray[Any]]] = {}
        for frame, place in first.items():
            by_unit.setdefault(self.layout.unit_of(frame), {})[frame] = made[place]
        for unit, targets in by_unit.items():
            self._shards.read(unit, targets)
        for place, frame in enumerate(frames):
            if first[frame] != place:
                made[place][...] = made[first[frame]]
        return list(made)
