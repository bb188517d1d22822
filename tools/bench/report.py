"""Everything that is said about speed, measured in one run and written to one folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from distbragg.run.bench import How, load_workloads
from tools.bench.c_program import CProgram, find_program
from tools.bench.end_to_end import EndToEnd, measure_end_to_end
from tools.bench.figures import draw_scaling, draw_throughput
from tools.bench.limit import PlainLoop
from tools.bench.memory import PeakMemory, measure_memory
from tools.bench.pairs import PairedTiming, pair_workload
from tools.bench.scaling import Curve, measure_scaling
from tools.bench.small_frames import FRAMES, SmallFrames, measure_small_frames
from tools.bench.startup import StartUp, measure_startup
from tools.bench.summary import summary
from tools.bench.tolerance import ToleranceGain, measure_tolerance
from tools.build_native import BuildError

BIG: Final = "big_detector"
MEMORY: Final = ("pink_beam", BIG)

_log = logging.getLogger("distbragg")


class Folder(Protocol):
    """Where a report is written: a bundle of evidence."""

    @property
    def path(self) -> Path:
        """The folder itself."""
        ...

    def write_text(self, name: str, text: str) -> Path:
        """Write one text file."""
        ...

    def write_json(self, name: str, value: object) -> Path:
        """Write one JSON file."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: pairs of each kind, frames of the sweep, points of each curve."""

    pairs: int = 3
    big_pairs: int = 2
    starts: int = 5
    frames: int = FRAMES
    points: int | None = None


QUICK: Final = Extent(pairs=1, big_pairs=1, starts=2, frames=100, points=2)
"""Everything once, small: to see that the report works, not to quote."""


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements of one run."""

    how: How
    paired: tuple[PairedTiming, ...]
    big: EndToEnd
    memory: tuple[PeakMemory, ...]
    startup: StartUp
    small: SmallFrames
    curves: tuple[Curve, ...]
    tolerance: tuple[ToleranceGain, ...] = ()

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "threads": self.how.threads,
            "workloads": [row.plain() for row in self.paired],
            BIG: self.big.plain(),
            "memory": [row.plain() for row in self.memory],
            "startup": self.startup.plain(),
            "small_frames": self.small.plain(),
            "tolerance": [row.plain() for row in self.tolerance],
            "scaling": {curve.name: curve.plain() for curve in self.curves},
        }


def write_report(
    folder: Folder,
    inputs: Path,
    how: How,
    extent: Extent | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure everything and write `summary.md`, `performance.json` and two figures.

    Parameters
    ----------
    folder : Folder
    inputs : Path
        Folder of the workloads' files.
    how : How
        Kernel, precision and threads of ours; the C program runs on as many threads.
    extent : Extent, optional
    say : callable
        Told what is measured next.

    Raises
    ------
    EnvironmentFailure
        `NB_C_BIN` names no program, or a run fails.
    """
    report = measure(inputs, how, extent or Extent(), say)
    folder.write_json("performance.json", report.plain())
    draw_throughput(folder.path / "throughput.png", report.paired)
    draw_scaling(folder.path / "scaling.png", report.curves)
    folder.write_text("summary.md", summary(report))
    return report


def measure(inputs: Path, how: How, extent: Extent, say: Callable[[str], None]) -> Report:
    """Measure everything that a report holds."""
    program = find_program(inputs, how.threads)
    if program is None:
        say("NB_C_BIN is not set: the C program is left out")
    paired = measure_pairs(inputs, how, program, extent, say)
    say(f"{BIG}, from the command line to a closed store")
    big = measure_end_to_end(BIG, inputs, how, program, extent.big_pairs)
    say("tolerances")
    tolerance = measure_tolerance(inputs, how, 2 * extent.pairs + 1)
    say("memory of a worker")
    memory = measure_memory(inputs, how, MEMORY)
    say("start-up")
    startup = measure_startup(inputs, how.threads, extent.starts)
    say(f"small_frames, {extent.frames} of them")
    small = measure_small_frames(inputs, how.threads, program, frames=extent.frames)
    say("scaling")
    curves = measure_scaling(inputs, how, largest=extent.points)
    return Report(how, paired, big, memory, startup, small, curves, tolerance)


def measure_pairs(
    inputs: Path,
    how: How,
    program: CProgram | None,
    extent: Extent,
    say: Callable[[str], None],
) -> tuple[PairedTiming, ...]:
    """Time every workload that fits a CPU, in pairs with the C program and the plain loop."""
    loop = open_loop()
    rows: list[PairedTiming] = []
    try:
        for workload in load_workloads().values():
            if workload.gpu_only:
                continue
            say(workload.name)
            pairs = extent.big_pairs if workload.name == BIG else extent.pairs
            rows.append(
                pair_workload(workload, inputs, how, program=program, loop=loop, pairs=pairs)
            )
    finally:
        if loop is not None:
            loop.close()
    return tuple(rows)


def open_loop() -> PlainLoop | None:
    """Build the plain loop; None, with a warning, where it cannot be."""
    try:
        return PlainLoop()
    except (BuildError, OSError) as error:
        _log.warning("no limit is measured: %s", error)
        return None
