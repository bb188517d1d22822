"""Rendering frames in this process: tiles, source chunks, ordered and accounted merge, finalize."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import AccountingError
from distbragg.kernel.finalize import finalize_into
from distbragg.kernel.native import finishes_in_kernel, render_photons
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import TilePhotons, sum_tile
from distbragg.kernel.response import record_frame
from distbragg.kernel.tile import DeviceSum, TileSum, active_positions
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import FramePlan, SourceChunk, Tile, TileKey, frames_at_once
from distbragg.plan.merge import merge_tree

RESOURCE: Final = "GPU"
"""Dask's worker resource of a GPU process; a rendering task asks for 1 of it."""

UNITS_AT_ONCE: Final = 3
"""Units in a GPU process at a time, and how much of `RESOURCE` it has: while one has the device,
the others are encoded and written, which takes a core longer than rendering takes a fast GPU."""

_turn = threading.Lock()

TileCallback = Callable[[int, int], None]
"""Called after each tile with (tiles done, tiles of the frame)."""


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """The kernel's time on a frame, and how many photons it left out of any pixel at most.

    `overloads` are the pixels beyond what the detector can hold, where its response is asked for.
    """

    kernel_seconds: float
    skipped: float = 0.0
    overloads: int = 0


@dataclass(frozen=True, slots=True)
class FrameJob:
    """A frame to render, by its plan, and where to."""

    image: NDArray[Any]  # (panels, slow, fast) float32 or float64; what is too large is infinite
    experiment: Experiment
    plan: FramePlan
    frame: int  # flat index in the sweep; keys the noise

    def window(self, panel: int, index: int) -> NDArray[Any]:
        """Return the place (slow, fast) of a tile in the frame."""
        tile = self.plan.tiles[index]
        return self.image[panel, tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]


@dataclass(frozen=True, slots=True)
class PartialImage:
    """The un-normalised sum of a tile over some of its source chunks.

    Σ w·I over the sources of `keys`, (pixels,) row-major (slow, fast): numpy, or in the memory of
    the GPU where the whole frame is made in this process.
    """

    numerator: Float64Array | DeviceSum
    weight: float  # of those sources together
    n_terms: int  # steps summed, skipped ones included
    plan_hash: str
    keys: tuple[TileKey, ...]  # the partials it consists of, increasing
    kernel_seconds: float = 0.0
    skipped: float = 0.0  # left out of any pixel at most; see `TileSum`

    def __post_init__(self) -> None:
        numerator = self.numerator
        if type(numerator) not in (np.ndarray, DeviceSum) or numerator.dtype != np.float64:
            raise TypeError(f"a partial sum is a float64 numpy array, not {type(numerator)}")
        if numerator.ndim != 1:
            raise ValueError(f"a partial sum is flat, not of shape {numerator.shape}")
        if not self.keys:
            raise AccountingError("a partial sum names no part of the plan")


def merge(parts: Sequence[PartialImage]) -> PartialImage:
    """Add partial sums of one tile, in key order whatever their order of arrival."""
    ordered = sorted(parts, key=lambda part: part.keys)
    if not ordered:
        raise AccountingError("nothing to merge")
    first = ordered[0]
    if len(ordered) == 1:
        return first
    keys = tuple(key for part in ordered for key in part.keys)
    plans = sorted({part.plan_hash for part in ordered})
    if len(plans) > 1:
        names = ", ".join(name[:12] for name in plans)
        raise AccountingError(f"sums of two plans cannot be merged ({names})")
    sizes = sorted({part.numerator.size for part in ordered})
    if len(sizes) > 1:
        raise AccountingError(f"sums of {sizes[0]} and {sizes[1]} pixels cannot be merged")
    tiles = sorted({key.place for key in keys})
    if len(tiles) > 1:
        raise AccountingError(f"sums of tiles {tiles[0]} and {tiles[1]} cannot be merged")
    if any(after <= before for before, after in pairwise(keys)):
        raise AccountingError(f"a partial sum of tile {tiles[0]} arrived twice")
    numerator: Any = first.numerator.copy()
    for part in ordered[1:]:
        numerator += part.numerator
    return PartialImage(
        numerator=numerator,
        weight=math.fsum(part.weight for part in ordered),
        n_terms=sum(part.n_terms for part in ordered),
        plan_hash=first.plan_hash,
        keys=keys,
        kernel_seconds=math.fsum(part.kernel_seconds for part in ordered),
        skipped=math.fsum(part.skipped for part in ordered),
    )


def check_complete(partial: PartialImage, plan: FramePlan, panel: int, tile: int) -> None:
    """Prove that `partial` is the whole sum of a tile, exactly."""
    frame = partial.keys[0].frame
    expected = plan.tile_keys(frame, panel, tile)
    where = f"tile {expected[0].place}"
    if partial.plan_hash != plan.plan_hash:
        raise AccountingError(
            f"{where}: sum of plan {partial.plan_hash[:12]}, expected {plan.plan_hash[:12]}"
        )
    if partial.keys != expected:
        lost = sorted(set(expected) - set(partial.keys))
        other = sorted(set(partial.keys) - set(expected))
        raise AccountingError(
            f"{where}: {len(partial.keys)} of {len(expected)} source chunks; "
            f"missing {_names(lost)}, unexpected {_names(other)}"
        )
    pixels = plan.tiles[tile].pixels
    if partial.numerator.shape != (pixels,):
        raise AccountingError(f"{where}: {partial.numerator.shape} pixels, expected {pixels}")
    plan.check_counts(expected[0], partial.n_terms, partial.weight)


def _names(keys: Sequence[TileKey]) -> str:
    if not keys:
        return "none"
    text = ", ".join(str(key) for key in keys[:3])
    return text if len(keys) <= 3 else f"{text} and {len(keys) - 3} more"


def tile_places(plan: FramePlan) -> list[tuple[int, int]]:
    """Return panel and tile index of every tile of a frame, in order."""
    return list(product(range(plan.panels), range(len(plan.tiles))))


def render_frame(
    experiment: Experiment, plan: FramePlan, options: KernelOptions, frame: int = 0
) -> Float64Array:
    """Return the photons of one frame, (panels, slow, fast) float64; see `render_into`."""
    image = np.empty((plan.panels, *plan.shape))
    render_into(image, experiment, plan, options, frame=frame)
    return image


def render_into(
    image: NDArray[Any],
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    *,
    frame: int,
    on_tile: TileCallback | None = None,
) -> FrameFacts:
    """Render one frame into `image`; see `FrameJob` and `render_jobs`."""
    (facts,) = render_jobs([FrameJob(image, experiment, plan, frame)], options, on_tile)
    return facts


def render_groups(
    jobs: Iterable[FrameJob], options: KernelOptions
) -> Iterator[tuple[FrameJob, FrameFacts]]:
    """Render frames of a sweep as they are drawn, several small ones at a time, and yield each.

    Small frames go through each stage together: a stage that has just run is in the processor's
    caches, which the kernel empties of all else.
    """
    jobs = iter(jobs)
    for first in jobs:
        group = [first, *islice(jobs, frames_at_once(first.image.nbytes) - 1)]
        # On a GPU another unit of this process is encoded and written meanwhile.
        with device_turn(options):
            rendered = render_jobs(group, options)
        yield from zip(group, rendered, strict=True)


def render_jobs(
    jobs: Sequence[FrameJob], options: KernelOptions, on_tile: TileCallback | None = None
) -> list[FrameFacts]:
    """Render frames of a sweep into their images.

    Small frames cost little more than their kernel where several are given at once, and share
    out its time evenly. No bit depends on what is rendered together. An `AccountingError` says
    where partial sums do not add up to the plan.
    """
    together: dict[str, list[int]] = {}
    facts: dict[int, FrameFacts] = {}
    for number, job in enumerate(jobs):
        if len(job.plan.chunks) == 1 and finishes_in_kernel(job.experiment, options):
            together.setdefault(job.plan.plan_hash, []).append(number)
        else:
            facts[number] = _render_and_finish(job, options, on_tile)
    for members in together.values():
        made = _render_finished([jobs[number] for number in members], options, on_tile)
        facts |= zip(members, made, strict=True)
    return [
        _recorded(job, facts[number], options) if job.experiment.recorded else facts[number]
        for number, job in enumerate(jobs)
    ]


def _recorded(job: FrameJob, done: FrameFacts, options: KernelOptions) -> FrameFacts:
    """Turn the photons of a whole frame into what its detector recorded."""
    over = record_frame(job.image, job.experiment, job.frame, threads=options.threads)
    return replace(done, overloads=over) if over else done


def _render_finished(
    jobs: Sequence[FrameJob], options: KernelOptions, on_tile: TileCallback | None
) -> list[FrameFacts]:
    """Render frames of one plan, where the kernel writes photons itself.

    All tiles at once where they share what is prepared of a frame; tile by tile where each holds
    its own, or where `on_tile` is to be told.
    """
    seconds = 0.0
    skipped = [0.0] * len(jobs)
    places = tile_places(jobs[0].plan)
    together = on_tile is None and all(_is_plain(job.experiment) for job in jobs)
    steps = [places] if together else [[place] for place in places]
    for done, some in enumerate(steps, start=1):
        started = time.perf_counter()
        tiles = [_tile_photons(job, panel, index) for job in jobs for panel, index in some]
        left_out = iter(render_photons(tiles, options))
        seconds += time.perf_counter() - started
        skipped = [max(most, *islice(left_out, len(some))) for most in skipped]
        if on_tile is not None:
            on_tile(done, len(places))
    return [FrameFacts(seconds / len(jobs), most) for most in skipped]


def _is_plain(experiment: Experiment) -> bool:
    """Whether the kernel sums nothing beside one lattice."""
    return len(experiment.summed) == 1 and experiment.crystal.diffuse is None


def _tile_photons(job: FrameJob, panel: int, index: int) -> TilePhotons:
    """Name a tile over all its sources, after the proof that this is what its plan asks for."""
    plan = job.plan
    tile, chunk, pixels = plan.tiles[index], plan.chunks[0], job.window(panel, index)
    weight = _weight(job.experiment, chunk)
    terms = count_terms(job.experiment, panel, tile, chunk)
    plan.check_counts(TileKey(job.frame, panel, index, 0), terms, weight)
    return TilePhotons(job.experiment, panel, tile, chunk, pixels, job.frame)


def _render_and_finish(
    job: FrameJob, options: KernelOptions, on_tile: TileCallback | None
) -> FrameFacts:
    """Render one frame whose sums are merged, or need more than a factor to be photons."""
    plan, experiment = job.plan, job.experiment
    seconds = skipped = 0.0
    places = tile_places(plan)
    # With several threads a tile is finished beside the kernel, which is at the next one: its
    # threads leave cores idle meanwhile, and the kernel itself leaves Python's lock free.
    beside = options.threads > 1 and len(places) > 1
    finished: Future[None] | None = None
    with ThreadPoolExecutor(1, "finish") as pool:
        for done, (panel, index) in enumerate(places, start=1):
            keys = plan.tile_keys(job.frame, panel, index)
            partial = render_whole_tile(experiment, plan, options, keys)
            seconds += partial.kernel_seconds
            skipped = max(skipped, skipped_photons(experiment, partial))
            if finished is not None:
                finished.result()
            if beside:
                finished = pool.submit(
                    finish_tile, job.window(panel, index), experiment, plan, partial
                )
            else:
                finish_tile(job.window(panel, index), experiment, plan, partial)
            if on_tile is not None:
                on_tile(done, len(places))
        if finished is not None:
            finished.result()
    return FrameFacts(seconds, skipped)


def _weight(experiment: Experiment, chunk: SourceChunk) -> float:
    return math.fsum(experiment.beam.sources.weight[chunk.start : chunk.stop].tolist())


def skipped_photons(experiment: Experiment, partial: PartialImage) -> float:
    """Return what was left out of any pixel of a tile's whole sum at most, photons."""
    # Where nothing was left out the scale does not matter, even where it is not a number.
    return partial.skipped * intensity_scale(experiment) if partial.skipped else 0.0


def render_whole_tile(
    experiment: Experiment, plan: FramePlan, options: KernelOptions, keys: Sequence[TileKey]
) -> PartialImage:
    """Sum a tile over the source chunks of `keys` by the plan's merge tree, on a GPU in place."""

    def render(key: TileKey) -> PartialImage:
        return render_part(experiment, plan, options, key, in_place=True)

    return merge_tree(keys, plan.merge_arity, render, merge)


def render_part(
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    key: TileKey,
    *,
    in_place: bool = False,
) -> PartialImage:
    """Render one tile × source chunk; `in_place` leaves the sum on its GPU, in this process."""
    tile, chunk = plan.tiles[key.tile], plan.chunks[key.source_chunk]
    terms = count_terms(experiment, key.panel, tile, chunk)
    started = time.perf_counter()
    if terms:
        summed = sum_tile(experiment, key.panel, tile, chunk, options, in_place=in_place)
    else:
        # Every pixel is masked: the sum is exactly 0, and no kernel needs to say so.
        summed = TileSum(np.zeros(tile.pixels))
    by_device = summed.numerator.seconds if isinstance(summed.numerator, DeviceSum) else 0.0
    return PartialImage(
        numerator=summed.numerator,
        weight=_weight(experiment, chunk),
        n_terms=terms,
        plan_hash=plan.plan_hash,
        keys=(key,),
        kernel_seconds=by_device or time.perf_counter() - started,
        skipped=summed.skipped,
    )


def finish_tile(
    pixels: NDArray[Any], experiment: Experiment, plan: FramePlan, partial: PartialImage
) -> None:
    """Check a tile's whole sum against the plan; write its photons to `pixels`, (slow, fast)."""
    key = partial.keys[0]
    check_complete(partial, plan, key.panel, key.tile)
    tile, sums = plan.tiles[key.tile], partial.numerator
    finalize_into(pixels, experiment, key.panel, tile, sums, frame=key.frame)


def device_turn(options: KernelOptions) -> AbstractContextManager[object]:
    """Hold the process's GPU while a frame is rendered; on the CPU nothing is held."""
    return nullcontext() if options.device == "cpu" else _turn


def count_terms(experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk) -> int:
    """Count the steps of one tile × source chunk, those a kernel may skip included.

    They are active pixels × sources × spindle steps × domains × sub-pixels × layers, counted again
    from the arrays the kernel loops over. What this is compared with is the plan's count: that
    guards how a frame is cut and merged, not what the kernel adds up.
    """
    view = experiment.detector.panels[panel]
    active = tile.pixels if view.fully_active else int(active_positions(view, tile).size)
    sources = len(experiment.beam.sources.wavelength[chunk.start : chunk.stop])
    orientations = sum(len(one.phi) * len(one.mosaic_rotations) for one in experiment.summed)
    samples = experiment.sampling.oversample**2 * len(view.sensor.position)
    return active * sources * orientations * samples
