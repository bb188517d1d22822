"""What watching a run costs: processor seconds with it and without, in interleaved pairs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from distbragg.errors import EnvironmentFailure
from distbragg.evidence.bundle import Bundle, markdown_table
from distbragg.evidence.plain_sweep import plain_sweep
from distbragg.graph.cluster import open_cluster
from distbragg.graph.progress import EventCallback
from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.sweep import SweepSpec

PAIRS: Final = 20
WORKERS: Final = 2
UNITS: Final = 24
BAR: Final = 0.01
"""Most that watching may add to the processor time of a run."""

EDGE: Final = 700
DOMAINS: Final = 250
"""Size of a frame and its mosaic domains: a unit of one frame takes a third of a second."""

_RESAMPLES: Final = 2000

MakeListener = Callable[[], AbstractContextManager[EventCallback | None]]
"""Gives what a user sees of a run that is watched."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same sweep watched and not watched: processor and wall seconds of each."""

    cpu_on: float
    cpu_off: float
    wall_on: float
    wall_off: float

    @property
    def extra(self) -> float:
        """Share that watching adds to the processor time."""
        return self.cpu_on / self.cpu_off - 1.0


def write_bundle(root: Path, listener: MakeListener, *, pairs: int = PAIRS) -> Path:
    """Measure pairs and write them as a bundle under `root`; return its folder.

    Parameters
    ----------
    root : Path
    listener : callable
        Makes the display of a watched run.
    pairs : int
    """
    bundle = Bundle.create(root, "watching")
    with tempfile.TemporaryDirectory(prefix="distbragg-watching-") as scratch:
        found = list(measure(Path(scratch), listener, pairs))
    bundle.write_json("pairs.json", [{**asdict(pair), "extra": pair.extra} for pair in found])
    bundle.write_text("summary.md", summary(found))
    return bundle.path


def measure(
    scratch: Path, listener: MakeListener, pairs: int, *, units: int = UNITS
) -> Iterator[Pair]:
    """Render one sweep twice a pair, alternating whether the watched run goes first.

    All runs share one cluster, so that the start of processes, which both kinds need, hides
    nothing. One run of each kind goes before, uncounted.

    Yields
    ------
    Pair
    """
    with open_cluster(f"local:{WORKERS}") as client:
        address = str(client.scheduler_info()["address"])

        def spent(number: int, *, watch: bool) -> tuple[float, float]:
            name = f"{number}-{'on' if watch else 'off'}"
            run = create(sweep_of(name, units), scratch / name)
            cpu, wall = cpu_seconds(), time.perf_counter()
            with listener() if watch else nullcontext() as told:
                result = resume(run, cluster=address, on_event=told, watch=watch)
            used = cpu_seconds() - cpu, time.perf_counter() - wall
            if result.failed:
                raise EnvironmentFailure(f"{result.failed} frames were set aside")
            return used

        for number in range(-1, pairs):
            order = (True, False) if number % 2 else (False, True)
            seconds = {watch: spent(number, watch=watch) for watch in order}
            if number >= 0:
                (cpu_on, wall_on), (cpu_off, wall_off) = seconds[True], seconds[False]
                yield Pair(cpu_on, cpu_off, wall_on, wall_off)


def sweep_of(title: str, units: int) -> SweepSpec:
    """Describe a sweep of so many frames, one in each unit."""
    return plain_sweep(title, units=units, domains=DOMAINS, edge=EDGE)


def cpu_seconds() -> float:
    """Processor time of this process, with its scheduler, and of all its children, s."""
    driver = psutil.Process()
    total = 0.0
    for process in (driver, *driver.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def interval(pairs: Sequence[Pair]) -> tuple[float, float]:
    """95 % interval of the median extra, from resampled pairs; the same for the same pairs."""
    extras = np.array([pair.extra for pair in pairs])
    drawn = np.random.default_rng(0).integers(0, len(extras), (_RESAMPLES, len(extras)))
    low, high = np.quantile(np.median(extras[drawn], axis=1), [0.025, 0.975])
    return float(low), float(high)


def summary(pairs: Sequence[Pair]) -> str:
    """Write the table with its verdict."""
    extra = statistics.median(pair.extra for pair in pairs)
    low, high = interval(pairs)
    on = statistics.median(pair.cpu_on for pair in pairs)
    off = statistics.median(pair.cpu_off for pair in pairs)
    wall = statistics.median(pair.wall_on / pair.wall_off for pair in pairs)
    rows = [
        ("processor time that watching adds, %", f"{100 * extra:.2f}", "≤ 1"),
        ("its 95 % interval, %", f"{100 * low:.2f} to {100 * high:.2f}", ""),
        ("processor time of a run, watched and not, s", f"{on:.3f}, {off:.3f}", ""),
        ("wall time, watched over not", f"{wall:.4f}", ""),
    ]
    each = [
        (number, f"{pair.cpu_on:.2f}", f"{pair.cpu_off:.2f}", f"{100 * pair.extra:.2f}")
        for number, pair in enumerate(pairs)
    ]
    return f"""# What watching costs

{UNITS} units of one frame of {EDGE} × {EDGE} pixels on {WORKERS} one-thread workers, watched
(live display, dashboard page, metrics, meters, thumbnails) and not, in {len(pairs)} interleaved
pairs on one cluster; medians over pairs. Processor time is that of the driver, its scheduler and
all workers.

{markdown_table(("what", "measured", "bar"), rows)}

The bar {"holds" if extra <= BAR else "FAILS"}.

{markdown_table(("pair", "watched, s", "not, s", "extra, %"), each)}
"""
