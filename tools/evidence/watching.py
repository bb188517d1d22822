"""What watching a run costs: processor seconds with it and without, in interleaved pairs."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from distbragg.clusters.open import open_client
from distbragg.engine.events import Event, UnitFinished, each_of
from distbragg.errors import EnvironmentFailure
from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.sweep import SweepSpec
from tools.evidence.bundle import Bundle, markdown_table
from tools.evidence.metered import KERNEL_CPU, METERED
from tools.evidence.plain_sweep import plain_sweep
from tools.evidence.terminal import on_terminal

PAIRS: Final = 20
WORKERS: Final = 2
UNITS: Final = 24
BAR: Final = 0.01
"""Most that watching may add to the processor time of a run."""

EDGE: Final = 700
DOMAINS: Final = 250
"""Size of a frame and its mosaic domains: a unit of one frame takes a third of a second."""

_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Pair:
    """The same sweep watched and not watched: seconds of each.

    Attributes
    ----------
    cpu_on, cpu_off : float
        Processor time, s.
    wall_on, wall_off : float
    kernel_on, kernel_off : float
        The kernel's share of the processor time, s.
    """

    cpu_on: float
    cpu_off: float
    wall_on: float
    wall_off: float
    kernel_on: float
    kernel_off: float

    @property
    def extra(self) -> float:
        """Share that watching adds to the processor time."""
        return self.cpu_on / self.cpu_off - 1.0

    @property
    def beside_kernel(self) -> float:
        """The same where the kernel, whose work is the same in both, counts as equal.

        The kernel is nine tenths of a run, and on a shared machine its processor time alone
        differs by some per cent from one run to the next.
        """
        on, off = self.cpu_on - self.kernel_on, self.cpu_off - self.kernel_off
        return (on - off) / self.cpu_off


def write_bundle(root: Path, *, pairs: int = PAIRS) -> Path:
    """Measure pairs and write them as a bundle under `root`; return its folder."""
    bundle = Bundle.create(root, "watching")
    with tempfile.TemporaryDirectory(prefix="distbragg-watching-") as scratch:
        found = list(measure(Path(scratch), pairs))
    bundle.write_json("pairs.json", [_plain(pair) for pair in found])
    bundle.write_text("summary.md", summary(found))
    return bundle.path


def measure(scratch: Path, pairs: int, *, units: int = UNITS) -> Iterator[Pair]:
    """Render one sweep twice a pair, alternating whether the watched run goes first.

    All runs share one cluster, so that the start of processes, which both kinds need, hides
    nothing. One run of each kind goes before, uncounted.

    Yields
    ------
    Pair
    """
    with open_client(f"local:{WORKERS}") as opened:
        client = opened.client

        def spent(number: int, *, watch: bool) -> tuple[float, float, float]:
            name = f"{number}-{'on' if watch else 'off'}"
            run = create(sweep_of(name, units), scratch / name)
            kernel: list[float] = []
            cpu, wall = cpu_seconds(), time.perf_counter()
            with on_terminal() if watch else nullcontext() as told:
                heard = each_of(told, partial(_note_kernel, kernel))
                result = resume(run, client=client, on_event=heard, watch=watch, work=METERED)
            used = cpu_seconds() - cpu, time.perf_counter() - wall, math.fsum(kernel)
            if result.failed:
                raise EnvironmentFailure(f"{result.failed} frames were set aside")
            return used

        for number in range(-1, pairs):
            order = (True, False) if number % 2 else (False, True)
            seconds = {watch: spent(number, watch=watch) for watch in order}
            if number >= 0:
                both = zip(seconds[True], seconds[False], strict=True)
                yield Pair(*(value for pair in both for value in pair))


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


def _plain(pair: Pair) -> dict[str, float]:
    return {**asdict(pair), "extra": pair.extra, "beside_kernel": pair.beside_kernel}


def _note_kernel(seconds: list[float], event: Event) -> None:
    if isinstance(event, UnitFinished) and event.outcome.status == "done":
        seconds.append(float(event.outcome.receipt[KERNEL_CPU]))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median, from resampled values; the same for the same values."""
    extras = np.array(values)
    drawn = np.random.default_rng(0).integers(0, len(extras), (_RESAMPLES, len(extras)))
    low, high = np.quantile(np.median(extras[drawn], axis=1), [0.025, 0.975])
    return float(low), float(high)


def summary(pairs: Sequence[Pair]) -> str:
    """Write the table with its verdict."""
    extra = statistics.median(pair.extra for pair in pairs)
    low, high = interval([pair.extra for pair in pairs])
    beside = [pair.beside_kernel for pair in pairs]
    low_beside, high_beside = interval(beside)
    on = statistics.median(pair.cpu_on for pair in pairs)
    off = statistics.median(pair.cpu_off for pair in pairs)
    wall = statistics.median(pair.wall_on / pair.wall_off for pair in pairs)
    rows = [
        ("processor time that watching adds, %", f"{100 * extra:.2f}", "≤ 1"),
        ("its 95 % interval, %", f"{100 * low:.2f} to {100 * high:.2f}", ""),
        ("… with the kernel's taken as equal, %", f"{100 * statistics.median(beside):.2f}", ""),
        ("its 95 % interval, %", f"{100 * low_beside:.2f} to {100 * high_beside:.2f}", ""),
        ("processor time of a run, watched and not, s", f"{on:.3f}, {off:.3f}", ""),
        ("wall time, watched over not", f"{wall:.4f}", ""),
    ]
    each = [
        (
            number,
            f"{pair.cpu_on:.2f}",
            f"{pair.cpu_off:.2f}",
            f"{100 * pair.extra:.2f}",
            f"{100 * pair.beside_kernel:.2f}",
        )
        for number, pair in enumerate(pairs)
    ]
    return f"""# What watching costs

{UNITS} units of one frame of {EDGE} × {EDGE} pixels on {WORKERS} one-thread workers, watched
(live display, dashboard page, metrics, meters, thumbnails) and not, in {len(pairs)} interleaved
pairs on one cluster; medians over pairs. Processor time is that of the driver, its scheduler and
all workers. The kernel's own, nine tenths of it, varies from run to run by more than watching
costs; its work is the same in both.

{markdown_table(("what", "measured", "bar"), rows)}

The bar {"holds" if extra <= BAR else "FAILS"}.

{markdown_table(("pair", "watched, s", "not, s", "extra, %", "beside the kernel, %"), each)}
"""
