"""The tasks: module-level, idempotent functions of plain arguments.

A task may run twice, or be killed and run elsewhere: it writes whole shards, adds to
nothing that is stored, and returns numpy arrays or plain data.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distbragg.engine.context import Kernel, OpenRun, RunContext
from distbragg.engine.progress import BYTES, KERNEL, SECONDS, unit_numbers
from distbragg.engine.work import PICTURE, TaskSettings, TileTask, UnitFunctions
from distbragg.errors import AccountingError
from distbragg.export.scaling import thumbnail
from distbragg.kernel.response import record_frame
from distbragg.plan.frame import TileKey
from distbragg.rendering.frame import (
    FrameFacts,
    FrameJob,
    PartialImage,
    finish_tile,
    render_groups,
    render_part,
    skipped_photons,
    tile_places,
)
from distbragg.rendering.maps import MapMaker
from distbragg.store.layout import SKIPPED
from distbragg.store.ledger import WORST_KEPT
from distbragg.store.spots import SpotTable
from distbragg.store.write import UnitWriter


def meter(numbers: Mapping[str, float]) -> None:
    """Hand numbers of `unit_numbers` to Dask's meters; nothing happens outside a Dask task."""
    # A process without Dask has no meters, and must not load Dask to find that out.
    metrics = sys.modules.get("distributed.metrics")
    if metrics is None:
        return
    for label, value in numbers.items():
        unit = "seconds" if label in SECONDS else "bytes" if label in BYTES else "count"
        metrics.context_meter.digest_metric(label, value, unit)


def render_unit(run: RunContext, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    """Render the frames of a unit, store them as one shard, and return the receipt.

    Where `settings.picture` asks for one, a thumbnail stands beside it under `PICTURE`.
    """
    started = time.perf_counter()
    opened = run.opened
    kernel = opened.kernel(settings)
    with UnitWriter(opened.directory, unit, threads=settings.threads) as writer:
        made = UnitInHand(opened, writer, kernel, settings)
        jobs = (
            FrameJob(writer.blank(), ready.experiment, ready.plan, frame)
            for frame in opened.layout.unit_frames(unit)
            for ready in [opened.frame(frame)]
        )
        for job, done in render_groups(jobs, kernel.options):
            made.add(job, done)
        return made.finish(attempt, time.perf_counter() - started)


def expand_unit(run: RunContext, unit: int) -> tuple[TileTask, ...]:
    """List the tiles of a unit in the order `write_unit` takes their sums."""
    tasks: list[TileTask] = []
    for frame in run.opened.layout.unit_frames(unit):
        plan = run.opened.frame(frame).plan
        tasks.extend(
            TileTask(plan.tile_keys(frame, panel, tile), plan.merge_arity)
            for panel, tile in tile_places(plan)
        )
    return tuple(tasks)


def render_partial(run: RunContext, key: TileKey, settings: TaskSettings) -> PartialImage:
    """Render one tile × source chunk of a run's frame."""
    kernel, ready = run.opened.kernel(settings), run.opened.frame(key.frame)
    partial = render_part(ready.experiment, ready.plan, kernel.options, key)
    if settings.watch:
        meter({KERNEL: partial.kernel_seconds})
    return partial


def write_unit(
    run: RunContext, unit: int, attempt: int, roots: Sequence[PartialImage], settings: TaskSettings
) -> dict[str, Any]:
    """Finalize the merged sums of a unit's tiles, store the unit, and return the receipt."""
    started, opened = time.perf_counter(), run.opened
    waiting = {root.keys[0]: root for root in roots}
    with UnitWriter(opened.directory, unit, threads=settings.threads) as writer:
        made = UnitInHand(opened, writer, opened.kernel(settings), settings)
        for frame in opened.layout.unit_frames(unit):
            ready = opened.frame(frame)
            job = FrameJob(writer.blank(), ready.experiment, ready.plan, frame)
            made.add(job, _finish_frame(job, waiting, settings.threads))
        if waiting:
            raise AccountingError(f"{len(waiting)} sums belong to no tile of unit {unit}")
        elsewhere = sum(root.kernel_seconds for root in roots)
        return made.finish(attempt, time.perf_counter() - started, elsewhere)


def _finish_frame(job: FrameJob, waiting: dict[TileKey, PartialImage], threads: int) -> FrameFacts:
    """Finalize the sums of a frame's tiles, which are taken from `waiting`."""
    skipped = seconds = 0.0
    for panel, index in tile_places(job.plan):
        key = TileKey(job.frame, panel, index, 0)
        root = waiting.pop(key, None)
        if root is None:
            raise AccountingError(f"no sum arrived for tile {key.place}")
        finish_tile(job.window(panel, index), job.experiment, job.plan, root)
        skipped = max(skipped, skipped_photons(job.experiment, root))
        seconds += root.kernel_seconds
    overloads = record_frame(job.image, job.experiment, job.frame, threads=threads)
    return FrameFacts(seconds, skipped, overloads)


def _spot_table(run: OpenRun, kernel: Kernel) -> SpotTable:
    from distbragg.kernel.native.moments import twin_beside  # few runs keep tables

    return SpotTable(run.directory, twin_beside(kernel.options.kernel))


class UnitInHand:
    """A unit on its way into the stack, and what its receipt says of its frames."""

    def __init__(
        self, run: OpenRun, writer: UnitWriter, kernel: Kernel, settings: TaskSettings
    ) -> None:
        self._layout, self._writer = run.layout, writer
        self._kernel, self._settings = kernel, settings
        self._table = _spot_table(run, kernel) if run.labelled else None
        output, compute = run.output, run.compute
        self._maps = MapMaker(output, compute, kernel.options) if output.maps else None
        # Numbers alone: the experiments of many frames would fill memory.
        self._times: dict[int, float] = {}
        self._skipped: list[float] = []
        self._steps = 0
        self._last: FrameJob | None = None

    def add(self, job: FrameJob, done: FrameFacts) -> None:
        """Take a rendered frame."""
        if self._table is not None:
            self._table.add(job.frame, job.experiment)
        self._writer.add(job.image, done.overloads)
        if self._maps is not None:
            self._writer.add_maps(self._maps.maps(job.experiment, job.frame))
        self._times[job.frame] = done.kernel_seconds
        self._skipped.append(done.skipped)
        self._steps += job.plan.steps
        self._last = job

    def finish(self, attempt: int, seconds: float, elsewhere: float = 0.0) -> dict[str, Any]:
        """Store the unit; return its receipt, and a picture of its last frame where one is wanted.

        `seconds` is the time in this task so far, `elsewhere` that of the kernel in other tasks,
        which have told Dask's meters of it.
        """
        times, layout = self._times, self._layout
        brightness = dict(zip(times, self._writer.largest, strict=True))
        slowest = sorted(times, key=lambda frame: -times[frame])[:WORST_KEPT]
        brightest = sorted(brightness, key=lambda frame: -brightness[frame])[:WORST_KEPT]
        render_seconds = seconds - self._writer.seconds + elsewhere
        facts = {
            **({SKIPPED: self._skipped} if any(self._skipped) else {}),
            "slowest": [[frame, round(times[frame], 6)] for frame in slowest],
            "brightest": [[frame, brightness[frame]] for frame in brightest],
            "attempt": attempt,
            "steps": self._steps,
            "render_seconds": round(render_seconds, 6),
            "kernel_seconds": round(sum(times.values()), 6),
            "class": self._kernel.class_id,
            "code": self._kernel.numeric_class["code"],
        }
        table, told = (None, {}) if self._table is None else self._table.encode()
        receipt = self._writer.finish({**facts, **told}, table)
        if self._settings.watch:
            pixels = receipt["frames"] * layout.panels * math.prod(layout.shape)
            numbers = unit_numbers(receipt, pixels * np.dtype(layout.dtype).itemsize)
            if elsewhere:
                del numbers[KERNEL]
            meter(numbers)
        if self._settings.picture and self._last is not None:
            return {**receipt, PICTURE: thumbnail(self._last.image)}
        return receipt


RENDERING = UnitFunctions(render_unit, expand_unit, render_partial, write_unit)
"""The functions that render."""
