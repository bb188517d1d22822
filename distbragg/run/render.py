"""Rendering in this process, or lazily as a dask array, with a stack's labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import RefusedError
from distbragg.kernel.options import KernelOptions, numeric_class, resolve_options
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.plan.maps import COMPONENTS
from distbragg.rendering.frame import FrameFacts, TileCallback, render_into
from distbragg.rendering.maps import MapMaker, Maps
from distbragg.run.create import collect_inputs
from distbragg.run.machine import usable_cores
from distbragg.run.notes import tell
from distbragg.run.place import ClientLike
from distbragg.run.prepare import (
    Prepared,
    SpecLike,
    as_experiment,
    as_sweep,
    check_machine,
    prepare,
)
from distbragg.run.progress import Progress, shown_tiles
from distbragg.spec.canonical import canonical_json
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.store.coordinates import label_images, notes_attrs, variant_variables
from distbragg.store.layout import IMAGES, SKIPPED
from distbragg.store.manifest import gather_provenance
from distbragg.store.maps import map_attrs
from distbragg.store.variants import variant_attrs
from distbragg.store.write import check_overloads, to_stored

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr


_log = logging.getLogger("distbragg")


@overload
def render(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    lazy: Literal[False] = False,
    client: ClientLike | None = None,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
    progress: Progress = "auto",
) -> xr.Dataset: ...
@overload
def render(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    lazy: Literal[True],
    client: ClientLike | None = None,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
    progress: Progress = "auto",
) -> xr.DataArray: ...
def render(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    lazy: bool = False,
    client: ClientLike | None = None,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
    progress: Progress = "auto",
) -> xr.Dataset | xr.DataArray:
    """Render one experiment, or describe the frames of a sweep lazily.

    Parameters
    ----------
    spec : ExperimentSpec, SweepSpec or path
        A sweep of several frames only with `lazy`.
    overrides : sequence of "dotted.path=value"
        For a specification file.
    lazy : bool
        Return a dask-backed array at once; pixels are rendered when they are asked for.
    client : distributed.Client or cluster object, optional
        Render the tiles of the frame on its workers. Where `lazy`, warm them up alone: Dask
        renders with the client that the array is computed by.
    threads : int, optional
        Kernel threads; default: all cores, or one where lazy. No bit changes.
    on_tile : callable, optional
        Called with (tiles done, tiles of the frame).
    progress : bool or "auto"
        Show progress, as `sweep` does; of lazy frames, Dask's own displays tell.

    Returns
    -------
    xr.Dataset
        With `images`, dims ([panel,] slow, fast), photons per pixel; float64 under
        `compute.precision: float64`, else float32; and the variants of `output.variants` and the
        maps of `output.maps`, as a stack has them. Where `lazy`,
        the `images` alone, as an xr.DataArray with the sweep's dimensions in front. Values that
        are vectors, such as orientations, cannot be coordinates of an array:
        `SweepSpec.coordinates()` has them.

    Raises
    ------
    InputError
        The specification cannot be used.
    PlanError
        Memory cannot hold the frame.
    RefusedError
        Workers of `client` are of several numeric classes.
    EnvironmentFailure
        The client cannot be used.
    """
    if lazy:
        return _render_lazily(spec, overrides, threads or 1, client)
    if client is not None:
        return _render_there(as_experiment(spec, overrides), threads or 1, client)
    prepared, options, image, facts = _render(spec, overrides, threads, on_tile, progress)
    kernel_class = canonical_json(numeric_class(options))
    attrs = frame_attrs(prepared) | {"distbragg_numeric_class": kernel_class}
    if prepared.experiment.sampling.tolerance > 0.0:
        attrs[SKIPPED] = facts.skipped
    stack = label_images(image, prepared.experiment, attrs=attrs)
    base = prepared.sweep.experiment
    stack = _with_variants(stack, prepared, image)
    return _with_maps(stack, prepared, lambda: _maps_of(prepared.experiment, base, options))


def render_image(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
    progress: Progress = "auto",
) -> NDArray[np.floating[Any]]:
    """Return the pixels of `render`, ([panels,] slow, fast), without labels and without xarray."""
    _, _, image, _ = _render(spec, overrides, threads, on_tile, progress)
    return image[0] if image.shape[0] == 1 else image


def render_maps(spec: SpecLike, *, threads: int | None = None) -> Maps:
    """Return the maps of `output.maps` by name, (panels, slow, fast[, numbers]), nothing else."""
    experiment = as_experiment(spec)
    prepared = prepare(experiment)
    check_machine(prepared)
    options = resolve_options(experiment.compute, threads or usable_cores())
    return _maps_of(prepared.experiment, experiment, options)


def render_experiment(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    threads: int | None = None,
    progress: Progress = "auto",
) -> tuple[Experiment, NDArray[np.floating[Any]]]:
    """Return an experiment and the pixels of its frame, (panels, slow, fast); see `render`."""
    prepared, _, image, _ = _render(spec, overrides, threads, None, progress)
    return prepared.experiment, image


def _render(
    spec: SpecLike,
    overrides: Sequence[str],
    threads: int | None,
    on_tile: TileCallback | None,
    progress: Progress,
) -> tuple[Prepared, KernelOptions, NDArray[np.floating[Any]], FrameFacts]:
    experiment_spec = as_experiment(spec, overrides)
    prepared = prepare(experiment_spec)
    check_machine(prepared)
    tell(prepared.said.notes)
    options = resolve_options(experiment_spec.compute, threads or usable_cores())
    plan, precise = prepared.plan.frame, experiment_spec.compute.precision == "float64"
    image = np.empty((plan.panels, *plan.shape), dtype=np.float64 if precise else np.float32)
    with shown_tiles(progress, on_tile) as told:
        facts = render_into(image, prepared.experiment, plan, options, frame=0, on_tile=told)
    return prepared, options, _as_a_run(prepared, image, facts.overloads), facts


def _as_a_run(
    prepared: Prepared, image: NDArray[np.floating[Any]], overloads: int = 0
) -> NDArray[np.floating[Any]]:
    """Refuse pixels that are not numbers and clip those beyond the type, as a run does.

    `overloads` are pixels that hold the detector's overload value.

    Under `physics: nanobragg` the former are told of: the C program writes them too.
    """
    bad = int(np.count_nonzero(np.isnan(image)))
    if bad and prepared.experiment.physics == "nanobragg":
        _log.warning("%d of %d pixels are not numbers", bad, image.size)
        return image
    overflow = prepared.sweep.experiment.output.overflow
    check_overloads(overloads, image.size, overflow)
    stored, _, beyond = to_stored(image, image.dtype.name, overflow=overflow)
    if overloads:
        _log.warning("%d of %d pixels are overloaded", overloads, image.size)
    if beyond:
        _log.warning(
            "%d of %d pixels are beyond %s and hold its largest value",
            *(beyond, image.size, image.dtype),
        )
    return stored


def frame_attrs(prepared: Prepared) -> dict[str, Any]:
    """Provenance of images that are not part of a run."""
    provenance = gather_provenance()
    return {
        "title": prepared.sweep.experiment.title,
        "source": f"distbragg {provenance['distbragg']}",
        "history": f"{provenance['created']} rendered by distbragg {provenance['distbragg']}",
        "distbragg_spec": canonical_json(prepared.sweep),
        "distbragg_physics_hash": physics_hash(prepared.experiment),
        "distbragg_plan_hash": prepared.plan.frame.plan_hash,
        "distbragg_versions": canonical_json(provenance["packages"]),
        "distbragg_commit": provenance["commit"],
        **notes_attrs(prepared.said.notes),
    }


def _render_lazily(
    spec: SpecLike, overrides: Sequence[str], threads: int, client: ClientLike | None
) -> xr.DataArray:
    prepared = prepare(as_sweep(spec, overrides))
    tell(prepared.said.notes)
    if client is not None:
        from distbragg.clusters.open import open_client

        with open_client(client):
            pass
    stack = label_images(
        _lazy_frames(prepared, threads),
        prepared.experiment,
        dims=prepared.sweep.dims,
        coordinates=prepared.sweep.coordinates(),
    )
    array: xr.DataArray = stack["images"]
    return array.assign_attrs(frame_attrs(prepared))


def _lazy_frames(prepared: Prepared, threads: int) -> da.Array:
    from distbragg.engine.lazy import lazy_frames  # dask is needed for this alone

    inputs = collect_inputs(prepared.sweep)
    return lazy_frames(
        prepared.plan,
        prepared.sweep,
        physics_hash(prepared.experiment),
        {path: item.sha256 for path, item in inputs.items()},
        threads=threads,
    )


def _render_there(spec: ExperimentSpec, threads: int, client: ClientLike) -> xr.Dataset:
    """Render one frame, tile by tile, on the workers of a client."""
    from distbragg.clusters.open import open_client

    prepared = prepare(spec)
    tell(prepared.said.notes)
    with open_client(client) as opened:
        connected: Any = opened.client
        image = connected.compute(_lazy_frames(prepared, threads)).result()
        classes = set(connected.run(_class_here, spec.compute).values())
        maps = connected.submit(_maps_there, spec, threads).result() if spec.output.maps else {}
    if len(classes) > 1:
        raise RefusedError("the workers are of several numeric classes: their pixels may differ")
    attrs = frame_attrs(prepared) | {"distbragg_numeric_class": "".join(classes)}
    image = _as_a_run(prepared, image)
    stack = label_images(image, prepared.experiment, attrs=attrs)
    return _with_maps(_with_variants(stack, prepared, image), prepared, lambda: maps)


def _maps_there(spec: ExperimentSpec, threads: int) -> Maps:
    return _maps_of(build_experiment(spec), spec, resolve_options(spec.compute, threads))


def _maps_of(experiment: Experiment, spec: ExperimentSpec, options: KernelOptions) -> Maps:
    return MapMaker(spec.output, spec.compute, options).maps(experiment, 0)


def _with_variants(
    stack: xr.Dataset, prepared: Prepared, image: NDArray[np.floating[Any]]
) -> xr.Dataset:
    """Add the variants that the specification asks for, as a stack on disk has them."""
    variants, panel = prepared.plan.variants, prepared.experiment.detector.panels[0]
    if not variants:
        return stack
    output, panels = prepared.sweep.experiment.output, stack[IMAGES].dims[:-2]
    stored, *_ = to_stored(image, output.dtype, overflow=output.overflow)
    for one in variants:
        coordinates = variant_variables(one, panel.pixel_size * 1e3)
        pixels = one.make(stored)
        values = pixels if panels else pixels[0]
        attrs = variant_attrs(one, stack[IMAGES].attrs)
        stack = stack.assign({one.spec.name: ((*panels, *coordinates), values, attrs)})
        stack = stack.assign_coords(
            {name: (own.dims, own.values, dict(own.attrs)) for name, own in coordinates.items()}
        )
    return stack


def _with_maps(stack: xr.Dataset, prepared: Prepared, make: Callable[[], Maps]) -> xr.Dataset:
    """Add the maps that the specification asks for, as a stack on disk has them."""
    output = prepared.sweep.experiment.output
    if not output.maps:
        return stack
    dims, shape, attrs = stack[IMAGES].dims, stack[IMAGES].shape, map_attrs(output)
    added = {}
    for name, one in make().items():
        several = one.shape[-1:] if name in COMPONENTS else ()
        more = (f"{name}_component",) * len(several)
        added[name] = ((*dims, *more), one.reshape(*shape, *several), attrs[name])
    whole: xr.Dataset = stack.assign(added)
    return whole


def _class_here(compute: ComputeSpec) -> str:
    return canonical_json(numeric_class(resolve_options(compute, 1)))
