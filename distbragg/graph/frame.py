"""Rendering frames in this process: tiles, source chunks, ordered merge, finalize."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from distbragg.graph.partial import OrderedMerge, PartialImage, check_complete, check_counts
from distbragg.kernel.device_sum import DeviceSum
from distbragg.kernel.finalize import finalize_into
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.photons import TilePhotons, finishes_in_kernel, render_photons
from distbragg.kernel.render_tile import sum_tile
from distbragg.kernel.terms import count_terms
from distbragg.kernel.tile_sum import TileSum
from distbragg.models.arrays import Float64Array
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import FramePlan
from distbragg.plan.keys import SourceChunk, Tile, TileKey

TileCallback = Callable[[int, int], None]
"""Called after each tile with (tiles done, tiles of the frame)."""


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What there is to say of a rendered frame beside its pixels.

    Attributes
    ----------
    kernel_seconds : float
        Time inside the kernel.
    skipped : float
        At most this many photons were left out of any pixel within the tolerance.
    """

    kernel_seconds: float
    skipped: float = 0.0


@dataclass(frozen=True, slots=True)
class FrameJob:
    """A frame to render, and where to.

    Attributes
    ----------
    image : (panels, slow, fast) float32 or float64
        Every pixel is written; what is too large for its type becomes infinite.
    experiment : Experiment
    plan : FramePlan
        `plan_frame(experiment, …)`.
    frame : int
        Flat index of the frame in its sweep; keys the noise.
    """

    image: NDArray[Any]
    experiment: Experiment
    plan: FramePlan
    frame: int


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A finished frame.

    Attributes
    ----------
    image : (panels, slow, fast) float64
        Photons per pixel.
    kernel_seconds : float
    skipped : float
        At most this many photons were left out of any pixel within the tolerance.
    """

    image: Float64Array
    kernel_seconds: float
    skipped: float = 0.0


def render_frame(
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    frame: int = 0,
    on_tile: TileCallback | None = None,
) -> Float64Array:
    """Render one frame.

    Parameters
    ----------
    experiment : Experiment
    plan : FramePlan
        `plan_frame(experiment, …)`.
    options : KernelOptions
    frame : int
        Flat index of the frame in its sweep; keys the noise.
    on_tile : callable, optional
        Called with (tiles done, tiles of the frame).

    Returns
    -------
    (panels, slow, fast) float64
        Photons per pixel; inactive pixels are 0.

    Raises
    ------
    AccountingError
        The partial sums do not add up to the plan.
    """
    return render_timed(experiment, plan, options, frame, on_tile).image


def render_timed(
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    frame: int,
    on_tile: TileCallback | None = None,
) -> RenderedFrame:
    """Render one frame and measure the kernel; see `render_frame`."""
    image = np.empty((plan.panels, *plan.shape))
    facts = render_into(image, experiment, plan, options, frame=frame, on_tile=on_tile)
    return RenderedFrame(image, facts.kernel_seconds, facts.skipped)


def render_into(
    image: NDArray[Any],
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    *,
    frame: int,
    on_tile: TileCallback | None = None,
) -> FrameFacts:
    """Render one frame into `image`; see `FrameJob` and `render_frame`."""
    (facts,) = render_jobs([FrameJob(image, experiment, plan, frame)], options, on_tile)
    return facts


def render_jobs(
    jobs: Sequence[FrameJob], options: KernelOptions, on_tile: TileCallback | None = None
) -> list[FrameFacts]:
    """Render frames of a sweep into their images.

    Small frames cost little more than their kernel where several are given at once. No bit
    depends on what is rendered together.

    Parameters
    ----------
    jobs : sequence of FrameJob
    options : KernelOptions
    on_tile : callable, optional
        Called with (tiles done, tiles of the frame).

    Returns
    -------
    list of FrameFacts
        The kernel's time of frames that one call has rendered is shared out evenly.

    Raises
    ------
    AccountingError
        The partial sums do not add up to the plan.
    """
    if len({job.plan.plan_hash for job in jobs}) == 1 and all(
        len(job.plan.chunks) == 1 and finishes_in_kernel(job.experiment, options) for job in jobs
    ):
        return _render_finished(jobs, options, on_tile)
    return [_render_and_finish(job, options, on_tile) for job in jobs]


def _render_finished(
    jobs: Sequence[FrameJob], options: KernelOptions, on_tile: TileCallback | None
) -> list[FrameFacts]:
    """Render frames of one plan, tile by tile, where the kernel writes photons itself."""
    seconds = 0.0
    skipped = [0.0] * len(jobs)
    places = _places(jobs[0].plan)
    for done, (panel, index) in enumerate(places, start=1):
        started = time.perf_counter()
        tiles = [_tile_photons(job, panel, index) for job in jobs]
        left_out = render_photons(tiles, options)
        seconds += time.perf_counter() - started
        skipped = [max(pair) for pair in zip(skipped, left_out, strict=True)]
        if on_tile is not None:
            on_tile(done, len(places))
    return [FrameFacts(seconds / len(jobs), most) for most in skipped]


def _tile_photons(job: FrameJob, panel: int, index: int) -> TilePhotons:
    """Name a tile over all its sources, after the proof that this is what its plan asks for."""
    plan = job.plan
    tile, chunk = plan.tiles[index], plan.chunks[0]
    terms = count_terms(job.experiment, panel, tile, chunk)
    weight = _weight(job.experiment, chunk)
    check_counts(plan, TileKey(job.frame, panel, index, 0), terms=terms, weight=weight)
    return TilePhotons(job.experiment, panel, tile, chunk, _window(job.image, panel, tile))


def _render_and_finish(
    job: FrameJob, options: KernelOptions, on_tile: TileCallback | None
) -> FrameFacts:
    """Render one frame whose sums are merged, or need more than a factor to be photons."""
    plan, experiment = job.plan, job.experiment
    seconds = skipped = 0.0
    places = _places(plan)
    with _Finisher(beside=options.threads > 1 and len(places) > 1) as finisher:
        for done, (panel, index) in enumerate(places, start=1):
            keys = plan.tile_keys(job.frame, panel, index)
            partial = render_whole_tile(experiment, plan, options, keys)
            seconds += partial.kernel_seconds
            skipped = max(skipped, skipped_photons(experiment, partial))
            finisher.do(finish_tile, job.image, experiment, plan, partial)
            if on_tile is not None:
                on_tile(done, len(places))
    return FrameFacts(seconds, skipped)


def _places(plan: FramePlan) -> list[tuple[int, int]]:
    return [(panel, tile) for panel in range(plan.panels) for tile in range(len(plan.tiles))]


def _window(image: NDArray[Any], panel: int, tile: Tile) -> NDArray[Any]:
    """Return the place (slow, fast) of a tile in its frame."""
    return image[panel, tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]


def _weight(experiment: Experiment, chunk: SourceChunk) -> float:
    return math.fsum(experiment.beam.sources.weight[chunk.start : chunk.stop].tolist())


class _Finisher:
    """Finishes tiles at once, or in a thread beside the kernel, one tile behind it.

    The kernel's threads leave cores idle while a tile is finished; the kernel itself leaves
    Python's lock free, so that finishing the last tile fills them.
    """

    def __init__(self, *, beside: bool) -> None:
        self._pool = ThreadPoolExecutor(1, "finish") if beside else None
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._pool is None:
            return
        with self._pool:
            if kind is None:
                self._wait()

    def do(self, function: Callable[..., None], *arguments: object) -> None:
        if self._pool is None:
            function(*arguments)
            return
        self._wait()
        self._pending = self._pool.submit(function, *arguments)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()


def skipped_photons(experiment: Experiment, partial: PartialImage) -> float:
    """Return what was left out of any pixel of a tile's whole sum at most, photons."""
    # Where nothing was left out the scale does not matter, even where it is no number.
    return partial.skipped * intensity_scale(experiment) if partial.skipped else 0.0


def render_whole_tile(
    experiment: Experiment, plan: FramePlan, options: KernelOptions, keys: Sequence[TileKey]
) -> PartialImage:
    """Sum a tile over the source chunks of `keys`, by the plan's merge tree.

    On a GPU the sum stays there: merging and finishing it move no pixel to the host.
    """
    tree = OrderedMerge(plan.merge_arity)
    for key in keys:
        tree.push(render_part(experiment, plan, options, key, in_place=True))
    return tree.result()


def render_part(
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    key: TileKey,
    *,
    in_place: bool = False,
) -> PartialImage:
    """Render one tile × source chunk.

    Parameters
    ----------
    in_place : bool
        Leave the sum on the GPU that made it; it can then not leave the process.

    Raises
    ------
    TypeError
        The kernel returned anything but a float64 numpy array.
    """
    tile, chunk = plan.tiles[key.tile], plan.chunks[key.source_chunk]
    terms = count_terms(experiment, key.panel, tile, chunk)
    started = time.perf_counter()
    if terms:
        summed = sum_tile(experiment, key.panel, tile, chunk, options, in_place=in_place)
    else:
        # Every pixel is masked: the sum is exactly 0, and no kernel needs to say so.
        summed = TileSum(np.zeros(tile.pixels))
    return PartialImage(
        numerator=summed.numerator,
        weight=_weight(experiment, chunk),
        n_terms=terms,
        plan_hash=plan.plan_hash,
        keys=(key,),
        kernel_seconds=_kernel_seconds(summed.numerator, started),
        skipped=summed.skipped,
    )


def _kernel_seconds(numerator: Float64Array | DeviceSum, started: float) -> float:
    """Time by the device's own clock where there is one, else since `started`, s."""
    by_device = numerator.seconds if isinstance(numerator, DeviceSum) else 0.0
    return by_device or time.perf_counter() - started


def finish_tile(
    image: NDArray[Any],
    experiment: Experiment,
    plan: FramePlan,
    partial: PartialImage,
) -> None:
    """Check a tile's sum against the plan, and write its photons into their place in a frame.

    Parameters
    ----------
    image : (panels, slow, fast) float32 or float64
        The frame; a value too large for its type becomes infinite, which is refused when stored.
    partial : PartialImage
        The whole sum of the tile that its keys name.
    """
    key = partial.keys[0]
    check_complete(partial, plan, key.panel, key.tile)
    tile = plan.tiles[key.tile]
    finalize_into(
        _window(image, key.panel, tile),
        experiment,
        key.panel,
        tile,
        partial.numerator,
        frame=key.frame,
    )
