"""A sweep of many small frames: what is left of the workers' time beside the kernel."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from distbragg.engine.events import Event, RunStarted, UnitFinished
from distbragg.errors import EnvironmentFailure
from distbragg.run.bench import INPUT_FILE, Workload
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import open_run
from tools.bench.c_program import CProgram
from tools.bench.startup import EDGE, small_experiment

FRAMES: Final = 1000
DOMAINS: Final = 10
SAMPLE: Final = 20
"""Frames the C program renders; its time for all of them is extrapolated."""


@dataclass(frozen=True, slots=True)
class SmallFrames:
    """A sweep of small frames, times in s.

    Attributes
    ----------
    frames, workers, frames_per_unit : int
    seconds : float
        From the first task on; starting the cluster is not in it.
    whole_seconds : float
        With creating the run and starting the cluster.
    kernel, render, write : float
        Summed over the receipts: inside the kernel; rendering with the kernel; encoding,
        writing and hashing.
    stored_bytes : int
    c_frame : float
        C program per frame in a shell loop on as many threads as there are workers, from a
        sample; 0 without the program.
    """

    frames: int
    workers: int
    frames_per_unit: int
    seconds: float
    whole_seconds: float
    kernel: float
    render: float
    write: float
    stored_bytes: int
    c_frame: float

    @property
    def share_in_memory(self) -> float:
        """Share of rendering that is the kernel: the workers' time were nothing stored."""
        return self.kernel / self.render

    @property
    def share_stored(self) -> float:
        """Share of rendering and storing that is the kernel."""
        return self.kernel / (self.render + self.write)

    @property
    def share_of_wall(self) -> float:
        """Share of workers × wall time that is the kernel."""
        return self.kernel / (self.workers * self.seconds)

    @property
    def ratio(self) -> float:
        """Shell loop over the C program, extrapolated, over ours; 0 without the program."""
        return self.c_frame * self.frames / self.seconds

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "frames": self.frames,
            "workers": self.workers,
            "frames_per_unit": self.frames_per_unit,
            "seconds": self.seconds,
            "whole_seconds": self.whole_seconds,
            "frames_per_s": self.frames / self.seconds,
            "kernel_s": self.kernel,
            "render_s": self.render,
            "write_s": self.write,
            "stored_bytes": self.stored_bytes,
            "kernel_share_in_memory": self.share_in_memory,
            "kernel_share_stored": self.share_stored,
            "kernel_share_of_wall": self.share_of_wall,
            "c_frame_s": self.c_frame,
            "c_sample_frames": SAMPLE if self.c_frame else 0,
            "ratio_extrapolated": self.ratio,
        }


class _Clock:
    """Remembers when the first task could start and when the last unit ended."""

    def __init__(self) -> None:
        self.started = self.ended = math.nan

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.started = time.perf_counter()
        elif isinstance(event, UnitFinished):
            self.ended = time.perf_counter()


def measure_small_frames(
    inputs: Path, workers: int, program: CProgram | None, *, frames: int = FRAMES
) -> SmallFrames:
    """Render `frames` orientations of 256² pixels on `workers` local workers.

    Raises
    ------
    EnvironmentFailure
        Frames were set aside.
    """
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        began = time.perf_counter()
        path = Path(folder) / "out.zarr"
        place = {"cluster": "serial"} if workers == 1 else {"cluster": f"local:{workers}"}
        spec = parse_sweep(sweep_plain(inputs, frames), source="small_frames")
        result = sweep(spec, path, cluster=place["cluster"], threads=1, on_event=clock)
        whole = time.perf_counter() - began
        if result.failed:
            raise EnvironmentFailure(f"small_frames: {result.failed} frames were set aside")
        run = open_run(path)
        receipts = [receipt.to_plain() for receipt in completed_units(run).values()]
        per_unit = max(map(run.layout.frame_count, range(run.layout.units)))
    return SmallFrames(
        frames=frames,
        workers=workers,
        frames_per_unit=per_unit,
        seconds=clock.ended - clock.started,
        whole_seconds=whole,
        kernel=_total(receipts, "kernel_seconds"),
        render=_total(receipts, "render_seconds"),
        write=_total(receipts, "write_seconds"),
        stored_bytes=int(_total(receipts, "size")),
        c_frame=0.0 if program is None else shell_loop(program, SAMPLE) / SAMPLE,
    )


def sweep_plain(inputs: Path, frames: int) -> dict[str, Any]:
    """Return the sweep as plain data: one experiment, random orientations."""
    return {
        "experiment": small_experiment(inputs, domains=DOMAINS),
        "axes": [{"name": "orientation", "random_orientations": {"count": frames, "seed": 1}}],
    }


def shell_loop(program: CProgram, frames: int) -> float:
    """Run the C program once a frame, each in another orientation; return the seconds of all."""
    return math.fsum(program.seconds(_frame(index)) for index in range(frames))


def _frame(index: int) -> Workload:
    angles = (17 * index % 360, 29 * index % 180, 43 * index % 360)
    words = (
        f"-hkl {INPUT_FILE} -cell 79.1 79.1 38 90 90 90 -lambda 1 -oversample 1 -distance 150 "
        f"-detpixels {EDGE} -pixel 0.68 -N 20 -mosaic 0.3 -mosaic_domains {DOMAINS} "
        f"-misset {angles[0]} {angles[1]} {angles[2]}"
    ).split()
    return Workload("small_frame", tuple(words), EDGE * EDGE * DOMAINS)


def _total(receipts: Iterable[dict[str, Any]], name: str) -> float:
    return math.fsum(float(record[name]) for record in receipts)
