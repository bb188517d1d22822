"""What Gaussian crystals cost in closed form: beside samples, a frame's background and ExaFEL."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from distbragg.engine.events import Event, UnitFinished
from distbragg.errors import EnvironmentFailure
from distbragg.run.bench import Workload
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from tools.bench.c_program import CProgram, find_program
from tools.bench.closed_scenes import (
    DOMAINS,
    LINES,
    c_arguments,
    exafel,
    measured,
    protein,
    sampled,
    without_crystal,
    write_reflections,
)
from tools.bench.frames import Taken, prepare_frame
from tools.bench.pairs import Spread

SAMPLED_DOMAINS: Final = 4
"""Of 100, by our kernel; all 100 lines."""

C_DOMAINS, C_LINES = 2, 2
"""Of 100 each, by the C program."""

CRYSTAL_BAR: Final = 1.25
EXAFEL_BAR_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: pairs of frames and of sweeps, frames of each sweep."""

    pairs: int = 5
    sweeps: int = 3
    frames: int = 5


QUICK: Final = Extent(pairs=1, sweeps=1, frames=2)
"""Everything once, to see that it works."""


@dataclass(frozen=True, slots=True)
class BraggPart:
    """The noise-free still on one core, s: interleaved pairs with the crystal and without.

    `sampled` and `c_program` are scaled to 100 lines × 100 domains from what was measured.
    """

    crystal: list[Taken] = field(default_factory=list)
    blank: list[Taken] = field(default_factory=list)
    sampled: float = 0.0  # process time
    c_program: float = 0.0  # wall time without its start; 0 without the program

    def bragg(self, kind: str) -> Spread:
        """Return what the crystal adds to the frame, of `process` or `wall` time."""
        pairs = zip(self.crystal, self.blank, strict=True)
        return Spread.of(getattr(a, kind) - getattr(b, kind) for a, b in pairs)

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            **asdict(self),
            "bragg_process": self.bragg("process").plain(),
            "bragg_wall": self.bragg("wall").plain(),
        }


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """All of it; seconds of a stored frame are those between ends of units."""

    bragg: BraggPart
    crystal: list[Taken]
    blank: list[Taken]
    exafel: Taken

    def ratio(self, kind: str) -> Spread:
        """Return a stored frame's time with the crystal over that without."""
        pairs = zip(self.crystal, self.blank, strict=True)
        return Spread.of(getattr(a, kind) / getattr(b, kind) for a, b in pairs)

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "bragg": self.bragg.plain(),
            "stored_crystal": [asdict(row) for row in self.crystal],
            "stored_blank": [asdict(row) for row in self.blank],
            "ratio_wall": self.ratio("wall").plain(),
            "ratio_process": self.ratio("process").plain(),
            "exafel_closed": asdict(self.exafel),
        }


class _Ticks:
    """Remembers when units end, by the clock and by the process's own time."""

    def __init__(self) -> None:
        self._ends: list[Taken] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, UnitFinished):
            self._ends.append(Taken(time.process_time(), time.perf_counter()))

    def taken(self) -> Taken:
        """Return the median from one end to the next."""
        steps = [
            (b.process - a.process, b.wall - a.wall)
            for a, b in zip(self._ends, self._ends[1:], strict=False)
        ]
        return Taken(*(statistics.median(column) for column in zip(*steps, strict=True)))


def measure_closed_form(extent: Extent, say: Callable[[str], None]) -> ClosedForm:
    """Measure everything on one core.

    Raises
    ------
    EnvironmentFailure
        `NB_C_BIN` names no program, or frames are set aside.
    """
    with one_core(), tempfile.TemporaryDirectory(prefix="distbragg-") as name:
        folder = Path(name)
        reflections = write_reflections(folder / "P1.hkl")
        still = protein(reflections)
        say("protein still without noise, with the crystal and without")
        bragg = _bragg_part(still, extent.pairs, find_program(folder, 1), reflections, say)
        say("protein still with water and noise, stored")
        counted = measured(still)
        pairs = [
            (store(counted, extent.frames), store(without_crystal(counted), extent.frames))
            for _ in range(extent.sweeps)
        ]
        say("exafel_closed")
        frames = store(exafel(reflections), extent.frames)
    return ClosedForm(bragg, [a for a, _ in pairs], [b for _, b in pairs], frames)


def _bragg_part(
    still: dict[str, Any],
    pairs: int,
    program: CProgram | None,
    reflections: Path,
    say: Callable[[str], None],
) -> BraggPart:
    frame, blank = prepare_frame(still), prepare_frame(without_crystal(still))
    frame.render()  # the warm-up
    blank.render()
    taken = [(frame.render(), blank.render()) for _ in range(pairs)]
    say(f"the same from {SAMPLED_DOMAINS} domains")
    few = prepare_frame(sampled(still, SAMPLED_DOMAINS)).render().process
    base = taken[0][1].process
    sampling = base + max(0.0, few - base) * DOMAINS / SAMPLED_DOMAINS
    c_seconds = 0.0
    if program is None:
        say("NB_C_BIN is not set: the C program is left out")
    else:
        say(f"the C program with {C_LINES} lines and {C_DOMAINS} domains")
        workload = Workload("protein", c_arguments(reflections, C_DOMAINS, C_LINES), 0)
        seconds = program.seconds(workload) - program.start_seconds(workload)
        c_seconds = seconds * DOMAINS * LINES / (C_DOMAINS * C_LINES)
    return BraggPart([a for a, _ in taken], [b for _, b in taken], sampling, c_seconds)


def store(plain: dict[str, Any], frames: int) -> Taken:
    """Render `frames` orientations into a closed store; return what a frame takes, unit to unit."""
    axis = {"name": "orientation", "random_orientations": {"count": frames, "seed": 1}}
    crystal = {name: value for name, value in plain["crystal"].items() if name != "misset_deg"}
    swept = {"experiment": {**plain, "crystal": crystal}, "axes": [axis]}
    spec = parse_sweep(swept, source="closed_form")
    ticks = _Ticks()
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        result = sweep(spec, Path(folder) / "out.zarr", cluster="serial", threads=1, on_event=ticks)
    if result.failed:
        raise EnvironmentFailure(f"closed_form: {result.failed} frames were set aside")
    return ticks.taken()


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and all that it starts, to one core where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
