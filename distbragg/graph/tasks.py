"""The tasks: module-level, idempotent functions of plain arguments.

A task may run twice, or be killed and run elsewhere: it writes whole shards, adds to
nothing that is stored, and returns numpy arrays or plain data.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import AccountingError
from distbragg.graph.device import device_turn
from distbragg.graph.frame import FrameJob, finish_tile, render_jobs, render_part, skipped_photons
from distbragg.graph.labels import UnitLabels
from distbragg.graph.metering import KERNEL, meter, unit_numbers
from distbragg.graph.partial import PartialImage, merge
from distbragg.graph.thumbnail import thumbnail
from distbragg.graph.work import PICTURE, RUN_HASH_DIGITS, TaskSettings, TileTask, Work
from distbragg.graph.worker import (
    PreparedFrame,
    PreparedRun,
    prepare_frame,
    prepare_run,
    run_id_of,
)
from distbragg.plan.keys import TileKey
from distbragg.plan.sweep import frames_at_once, held_bytes
from distbragg.store.layout import SKIPPED, StackLayout
from distbragg.store.run_directory import open_run
from distbragg.store.write import UnitWriter


def run_hash(run: str) -> str:
    """Name the run in task keys, so that two runs on one scheduler never share a result."""
    return run_id_of(open_run(run))[:RUN_HASH_DIGITS]


def render_unit(run: str, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    """Render the frames of a unit, store them as one shard, and return the receipt.

    Parameters
    ----------
    run : str
        Path of the run directory.
    unit, attempt : int
    settings : TaskSettings

    Returns
    -------
    dict
        The receipt: a few hundred bytes; beside it, where `settings.picture` asks for one, a
        thumbnail under `PICTURE`.

    Raises
    ------
    RefusedError
        This process computes in another numeric class than the run.
    InputError
        A frame's specification cannot be rendered or stored.
    EnvironmentFailure
        There is no room to store the unit.
    """
    started = time.perf_counter()
    prepared = prepare_run(run, settings)
    layout = prepared.directory.layout
    kernel_seconds = 0.0
    steps = 0
    labels = UnitLabels(prepared.directory)
    skipped: list[float] = []
    with UnitWriter(prepared.directory, unit, threads=settings.threads) as writer:
        for frames in _groups(layout, unit):
            # Small frames go through each stage together: a stage that has just run is in the
            # processor's caches, which the kernel empties of all else.
            group = [prepare_frame(prepared.directory, frame) for frame in frames]
            jobs = [
                FrameJob(writer.blank(), ready.experiment, ready.plan, frame)
                for frame, ready in zip(frames, group, strict=True)
            ]
            # On a GPU another unit of this process is encoded and written meanwhile.
            with device_turn(prepared.options):
                rendered = render_jobs(jobs, prepared.options)
            for frame, ready, job, done in zip(frames, group, jobs, rendered, strict=True):
                kernel_seconds += done.kernel_seconds
                skipped.append(done.skipped)
                steps += ready.plan.steps
                labels.add(frame, ready)
                writer.add(job.image)
            image = jobs[-1].image
        seconds = time.perf_counter() - started - writer.seconds
        facts = _facts(attempt, steps, seconds, kernel_seconds, skipped)
        receipt = _finish(writer, prepared, facts, labels)
    if settings.watch:
        meter(unit_numbers(receipt, _raw_bytes(layout, unit)))
    return _with_picture(receipt, image, settings)


def expand_unit(run: str, unit: int) -> tuple[TileTask, ...]:
    """List the tiles of a unit in the order `write_unit` takes their sums."""
    directory = open_run(run)
    tasks: list[TileTask] = []
    for frame in unit_frames(directory.layout, unit):
        plan = prepare_frame(directory, frame).plan
        tasks.extend(
            TileTask(plan.tile_keys(frame, panel, tile), plan.merge_arity)
            for panel in range(plan.panels)
            for tile in range(len(plan.tiles))
        )
    return tuple(tasks)


def render_partial(run: str, key: TileKey, settings: TaskSettings) -> PartialImage:
    """Render one tile × source chunk of a run's frame; see `render_unit` for the errors."""
    prepared = prepare_run(run, settings)
    ready = prepare_frame(prepared.directory, key.frame)
    partial = render_part(ready.experiment, ready.plan, prepared.options, key)
    if settings.watch:
        meter({KERNEL: partial.kernel_seconds})
    return partial


def merge_partials(parts: Sequence[PartialImage]) -> PartialImage:
    """Add one group of the merge tree."""
    return merge(parts)


def write_unit(
    run: str, unit: int, attempt: int, roots: Sequence[PartialImage], settings: TaskSettings
) -> dict[str, Any]:
    """Finalize the merged sums of a unit's tiles, store the unit, and return the receipt.

    Raises
    ------
    AccountingError
        A tile's sum is missing, doubled, or does not add up to its plan.
    """
    started = time.perf_counter()
    prepared = prepare_run(run, settings)
    layout = prepared.directory.layout
    kernel_seconds = sum(root.kernel_seconds for root in roots)
    waiting = {root.keys[0]: root for root in roots}
    steps = 0
    labels = UnitLabels(prepared.directory)
    skipped: list[float] = []
    with UnitWriter(prepared.directory, unit, threads=settings.threads) as writer:
        for frame in unit_frames(layout, unit):
            ready = prepare_frame(prepared.directory, frame)
            image = writer.blank()
            skipped.append(_finish_frame(image, ready, frame, waiting))
            steps += ready.plan.steps
            labels.add(frame, ready)
            writer.add(image)
        if waiting:
            raise AccountingError(f"{len(waiting)} sums belong to no tile of unit {unit}")
        seconds = time.perf_counter() - started - writer.seconds
        facts = _facts(attempt, steps, seconds + kernel_seconds, kernel_seconds, skipped)
        receipt = _finish(writer, prepared, facts, labels)
    if settings.watch:
        numbers = unit_numbers(receipt, _raw_bytes(layout, unit))
        # Other tasks spent the kernel's time, and have told so.
        meter({label: value for label, value in numbers.items() if label != KERNEL})
    return _with_picture(receipt, image, settings)


def unit_frames(layout: StackLayout, unit: int) -> tuple[int, ...]:
    """Flat C-order indices of the frames of `unit`, in the order they are stored."""
    frames = [0]
    for part, (_, size) in zip(layout.unit_region(unit), layout.dims, strict=True):
        frames = [head * size + i for head in frames for i in range(part.start, part.stop)]
    return tuple(frames)


def _groups(layout: StackLayout, unit: int) -> list[tuple[int, ...]]:
    """Cut the frames of a unit into those that are rendered together."""
    frames = unit_frames(layout, unit)
    pixels = layout.panels * layout.shape[0] * layout.shape[1]
    size = frames_at_once(pixels * held_bytes(layout.dtype))
    return [frames[start : start + size] for start in range(0, len(frames), size)]


def _finish_frame(
    image: NDArray[Any],
    ready: PreparedFrame,
    frame: int,
    waiting: dict[TileKey, PartialImage],
) -> float:
    """Finalize the sums of a frame's tiles into `image` (panels, slow, fast).

    Returns what was left out of any pixel within the tolerance at most, photons.
    """
    plan = ready.plan
    skipped = 0.0
    for panel in range(plan.panels):
        for index in range(len(plan.tiles)):
            root = _take(waiting, TileKey(frame, panel, index, 0))
            finish_tile(image, ready.experiment, plan, root)
            skipped = max(skipped, skipped_photons(ready.experiment, root))
    return skipped


def _take(waiting: dict[TileKey, PartialImage], key: TileKey) -> PartialImage:
    root = waiting.pop(key, None)
    if root is None:
        raise AccountingError(f"no sum arrived for tile f{key.frame}-p{key.panel}-t{key.tile}")
    return root


def _finish(
    writer: UnitWriter, prepared: PreparedRun, facts: dict[str, Any], labels: UnitLabels
) -> dict[str, Any]:
    table = labels.encode()
    if table is not None:
        facts = {**facts, "spots": labels.spots, "label_seconds": round(labels.seconds, 6)}
    return writer.finish({**facts, "numeric_class": prepared.numeric_class}, table)


def _raw_bytes(layout: StackLayout, unit: int) -> int:
    pixels = layout.frame_count(unit) * layout.panels * layout.shape[0] * layout.shape[1]
    return pixels * np.dtype(layout.dtype).itemsize


def _with_picture(
    receipt: dict[str, Any], image: NDArray[Any], settings: TaskSettings
) -> dict[str, Any]:
    return {**receipt, PICTURE: thumbnail(image)} if settings.picture else receipt


def _facts(
    attempt: int, steps: int, seconds: float, kernel_seconds: float, skipped: list[float]
) -> dict[str, Any]:
    left_out = {SKIPPED: skipped} if any(skipped) else {}
    return {
        **left_out,
        "attempt": attempt,
        "steps": steps,
        "render_seconds": round(seconds, 6),
        "kernel_seconds": round(kernel_seconds, 6),
    }


RENDERING = Work(
    run_hash=run_hash,
    render_unit=render_unit,
    expand_unit=expand_unit,
    render_partial=render_partial,
    merge_partials=merge_partials,
    write_unit=write_unit,
)
"""The work of a run."""
