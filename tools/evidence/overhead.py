"""What distribution costs: time beside the kernel, and workers against serial processes."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from distbragg.engine.events import Event, UnitFinished
from distbragg.errors import EnvironmentFailure
from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.sweep import SweepSpec
from tools.evidence.bundle import Bundle, markdown_table
from tools.evidence.checkout import ROOT
from tools.evidence.metered import KERNEL_CPU, METERED, STARTED
from tools.evidence.plain_sweep import plain_sweep

WORKERS: Final = 2
UNITS: Final = 60
UNIT_SECONDS: Final = 5.0
OVERHEAD: Final = 0.05
STORAGE: Final = 0.03
SHARE_OF_SERIAL: Final = 0.95
"""Bars of the table."""

EDGE: Final = 1000
"""Pixels along each edge of a frame; a unit is one frame."""

_PROBE_DOMAINS: Final = 20
_MARGIN: Final = 1.3
"""Units are made so much longer than asked for, because machines speed up and down."""

_SERIAL = """
import json, sys
from tools.evidence.overhead import render_part
print(json.dumps(render_part(sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])))))
"""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of the sweep.

    Attributes
    ----------
    place : str
        `workers` or `serial processes`.
    processes, units : int
    wall : float
        From the start of the first task to the last receipt, s.
    kernel : float
        Processor time in `render_tile`, s, over all processes.
    storage : float
        Time in the writer, s, over all processes.
    shortest : float
        Shortest processor time of the kernel in a unit, s.
    """

    place: str
    processes: int
    units: int
    wall: float
    kernel: float
    storage: float
    shortest: float

    @property
    def overhead(self) -> float:
        """(wall × processes − kernel) / kernel."""
        return (self.wall * self.processes - self.kernel) / self.kernel

    @property
    def storage_share(self) -> float:
        """Time in the writer over time in the kernel."""
        return self.storage / self.kernel

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {**asdict(self), "overhead": self.overhead, "storage_share": self.storage_share}


def write_bundle(
    root: Path, *, units: int = UNITS, unit_seconds: float = UNIT_SECONDS, pairs: int = 1
) -> Path:
    """Measure pairs of executions and write them as a bundle under `root`; return its folder."""
    bundle = Bundle.create(root, "overhead")
    with tempfile.TemporaryDirectory(prefix="distbragg-overhead-") as scratch:
        executions = list(executions_of(Path(scratch), units, unit_seconds, pairs))
    bundle.write_json("executions.json", [item.to_plain() for item in executions])
    bundle.write_text("summary.md", summary(executions, units, unit_seconds))
    return bundle.path


def executions_of(
    scratch: Path, units: int, unit_seconds: float, pairs: int
) -> Iterator[Execution]:
    """Render the same sweep on workers and in as many serial processes, alternating which first."""
    spec = sweep_of(units, domains_for(scratch / "probe", unit_seconds))
    for pair in range(pairs):
        kinds = ("workers", "serial") if pair % 2 == 0 else ("serial", "workers")
        for kind in kinds:
            path = scratch / f"{pair}-{kind}"
            create(spec, path)
            yield _on_workers(path) if kind == "workers" else _serially(path)


def sweep_of(units: int, domains: int) -> SweepSpec:
    """Describe a sweep of so many frames, one in each unit."""
    return plain_sweep("overhead", units=units, domains=domains, edge=EDGE)


def domains_for(path: Path, unit_seconds: float) -> int:
    """Find how many mosaic domains make a unit last so long on this machine."""
    create(sweep_of(2, _PROBE_DOMAINS), path)
    probe = execution("probe", 1, _render(path, cluster="serial", threads=1))
    return max(1, math.ceil(_MARGIN * unit_seconds / probe.shortest * _PROBE_DOMAINS))


def render_part(run: str, part: tuple[int, int]) -> list[dict[str, Any]]:
    """Render one part of a run in this process on one thread; return its receipts."""
    return _render(Path(run), cluster="serial", threads=1, part=part)


def execution(place: str, processes: int, receipts: Iterable[dict[str, Any]]) -> Execution:
    """Sum up what the units of one execution returned."""
    found = list(receipts)
    return Execution(
        place=place,
        processes=processes,
        units=len(found),
        wall=max(item["time"] for item in found) - min(item[STARTED] for item in found),
        kernel=math.fsum(item[KERNEL_CPU] for item in found),
        storage=math.fsum(item["write_seconds"] for item in found),
        shortest=min(item[KERNEL_CPU] for item in found),
    )


def summary(executions: list[Execution], units: int, unit_seconds: float) -> str:
    """Write the table with its verdicts."""
    on_workers = [item for item in executions if item.place == "workers"]
    serial = [item for item in executions if item.place != "workers"]
    overhead = statistics.median(item.overhead for item in on_workers)
    storage = statistics.median(item.storage_share for item in on_workers)
    speed = statistics.median(
        slow.wall / fast.wall for fast, slow in zip(on_workers, serial, strict=True)
    )
    shortest = min(item.shortest for item in on_workers)
    verdicts = [
        ("overhead, % of the kernel", f"{100 * overhead:.2f}", "≤ 5", overhead <= OVERHEAD),
        ("of it storage, %", f"{100 * storage:.2f}", "≤ 3", storage <= STORAGE),
        (
            f"{WORKERS} workers against {WORKERS} serial processes, %",
            f"{100 * speed:.1f}",
            "≥ 95",
            speed >= SHARE_OF_SERIAL,
        ),
        (
            "shortest unit, s of kernel",
            f"{shortest:.2f}",
            f"≥ {unit_seconds:g}",
            shortest >= unit_seconds,
        ),
    ]
    rows = [(*cells, "holds" if holds else "FAILS") for *cells, holds in verdicts]
    runs = [
        (
            item.place,
            item.units,
            f"{item.wall:.2f}",
            f"{item.kernel:.2f}",
            f"{item.storage:.3f}",
            f"{100 * item.overhead:.2f}",
        )
        for item in executions
    ]
    heads = ("place", "units", "wall, s", "kernel, s", "storage, s", "overhead, %")
    return f"""# Overhead

{units} units of one frame of {EDGE} × {EDGE} pixels, on {WORKERS} one-thread worker processes, and
in {WORKERS} serial processes at the same time; medians of pairs: {len(on_workers)}.
Wall time runs from the start of the first task to the last receipt; the kernel's time is the
processor time of its thread inside `render_tile`. Overhead is (wall × workers − kernel) / kernel.

{markdown_table(("what", "measured", "bar", "verdict"), rows)}

{markdown_table(heads, runs)}
"""


def _on_workers(path: Path) -> Execution:
    receipts = _render(path, cluster=f"local:{WORKERS}", threads=1)
    return execution("workers", WORKERS, receipts)


def _serially(path: Path) -> Execution:
    commands = [
        [sys.executable, "-c", _SERIAL, str(path), str(part), str(WORKERS)]
        for part in range(1, WORKERS + 1)
    ]
    running = [
        subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) for line in commands
    ]
    receipts: list[dict[str, Any]] = []
    for process in running:
        out, _ = process.communicate()
        if process.returncode != 0:
            raise EnvironmentFailure(f"a serial process ended with {process.returncode}")
        receipts += json.loads(out)
    return execution("serial processes", WORKERS, receipts)


def _render(path: Path, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    receipts: list[dict[str, Any]] = []

    def collect(event: Event) -> None:
        if isinstance(event, UnitFinished) and event.outcome.status == "done":
            receipts.append(event.outcome.receipt)

    resume(path, work=METERED, on_event=collect, **options)
    return receipts
