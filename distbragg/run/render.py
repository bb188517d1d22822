"""Rendering in this process, or lazily as a dask array, with a stack's labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.graph.frame import FrameFacts, TileCallback, render_into
from distbragg.kernel.options import KernelOptions, numeric_class, resolve_options
from distbragg.models.hashing import physics_hash
from distbragg.run.machine import usable_cores
from distbragg.run.notes import tell
from distbragg.run.prepare import (
    Prepared,
    SpecLike,
    as_experiment,
    as_sweep,
    check_machine,
    prepare,
)
from distbragg.spec.canonical import canonical_json
from distbragg.store.label import label_images, notes_attrs
from distbragg.store.layout import SKIPPED
from distbragg.store.provenance import gather_provenance

if TYPE_CHECKING:
    import xarray as xr

_log = logging.getLogger("distbragg")


@overload
def render(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    lazy: Literal[False] = False,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
) -> xr.Dataset: ...
@overload
def render(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    lazy: Literal[True],
    threads: int | None = None,
    on_tile: TileCallback | None = None,
) -> xr.DataArray: ...
def render(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    lazy: bool = False,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
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
    threads : int, optional
        Kernel threads; default: all cores, or one where lazy. No bit changes.
    on_tile : callable, optional
        Called with (tiles done, tiles of the frame).

    Returns
    -------
    xr.Dataset
        With `images`, dims ([panel,] slow, fast), photons per pixel; float64 under
        `compute.precision: float64`, else float32. Where `lazy`, the `images` alone, as an
        xr.DataArray with the sweep's dimensions in front. Values that are vectors, such as
        orientations, cannot be coordinates of an array: `SweepSpec.coordinates()` has them.

    Raises
    ------
    InputError
        The specification cannot be used.
    PlanError
        Memory cannot hold the frame.
    """
    if lazy:
        return _render_lazily(spec, overrides, threads or 1)
    prepared, options, image, facts = _render(spec, overrides, threads, on_tile)
    attrs = frame_attrs(prepared) | {"distbragg_numeric_class": _text(numeric_class(options))}
    if prepared.experiment.sampling.tolerance > 0.0:
        attrs[SKIPPED] = facts.skipped
    return label_images(image, prepared.experiment, attrs=attrs)


def render_image(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    threads: int | None = None,
    on_tile: TileCallback | None = None,
) -> NDArray[np.floating[Any]]:
    """Render one experiment without labels: the pixels of `render`, xarray not needed.

    Returns
    -------
    ([panels,] slow, fast) float32 or float64
        Photons per pixel; the panel axis only where there are several.

    Raises
    ------
    InputError, PlanError
        See `render`.
    """
    _, _, image, _ = _render(spec, overrides, threads, on_tile)
    return image[0] if image.shape[0] == 1 else image


def _render(
    spec: SpecLike,
    overrides: Sequence[str],
    threads: int | None,
    on_tile: TileCallback | None,
) -> tuple[Prepared, KernelOptions, NDArray[np.floating[Any]], FrameFacts]:
    experiment_spec = as_experiment(spec, overrides)
    prepared = prepare(experiment_spec)
    check_machine(prepared)
    tell(prepared.said.notes)
    options = resolve_options(experiment_spec.compute, threads or usable_cores())
    plan = prepared.plan.frame
    image = np.empty((plan.panels, *plan.shape), dtype=_dtype(prepared))
    facts = render_into(image, prepared.experiment, plan, options, frame=0, on_tile=on_tile)
    _check_finite(prepared, image)
    return prepared, options, image, facts


def _check_finite(prepared: Prepared, image: NDArray[np.floating[Any]]) -> None:
    """Refuse pixels that are not numbers, as a run does.

    Under `physics: nanobragg` they are told of: the C program writes them too.
    """
    bad = image.size - int(np.count_nonzero(np.isfinite(image)))
    if bad:
        problem = f"{bad} of {image.size} pixels are not finite, or beyond {image.dtype}"
        remedy = "look for an impossible geometry, amplitude or fluence in the specification"
        if prepared.experiment.physics == "exact":
            raise InputError(problem, remedy=remedy)
        _log.warning("%s; %s", problem, remedy)


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
        "distbragg_versions": _text(provenance["packages"]),
        "distbragg_commit": provenance["commit"],
        **notes_attrs(prepared.said.notes),
    }


def _render_lazily(spec: SpecLike, overrides: Sequence[str], threads: int) -> xr.DataArray:
    from distbragg.graph.lazy import lazy_sweep  # dask is needed for this alone

    prepared = prepare(as_sweep(spec, overrides))
    tell(prepared.said.notes)
    images = lazy_sweep(prepared.sweep, threads=threads)
    stack = label_images(
        images,
        prepared.experiment,
        dims=prepared.sweep.dims,
        coordinates=prepared.sweep.coordinates(),
    )
    array: xr.DataArray = stack["images"]
    return array.assign_attrs(frame_attrs(prepared))


def _dtype(prepared: Prepared) -> type[np.floating[Any]]:
    precise = prepared.sweep.experiment.compute.precision == "float64"
    return np.float64 if precise else np.float32


def _text(value: object) -> str:
    return canonical_json(value)
