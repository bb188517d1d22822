"""The most memory a worker process holds, beside what `plan` predicts."""

from __future__ import annotations

import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

from distbragg.run.bench import How, find_workload
from distbragg.run.prepare import plan
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from distbragg.spec.nanobragg import parse_nanobragg
from distbragg.spec.sweep import SweepSpec
from tools.bench.small_frames import sweep_plain

POLL_S: Final = 0.1
SMALL_FRAMES: Final = 64
GRAPH_CHUNK: Final = 25
"""Sources of a chunk in the graph form, so that several partial sums of a tile are merged."""

_HIGH_WATER: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Peak resident bytes of the largest worker, measured and planned; 0 where not measured."""

    name: str
    peak: int
    planned: int

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {"workload": self.name, "peak_bytes": self.peak, "planned_bytes": self.planned}


class ChildrenWatch:
    """While open, reads the high-water mark of every process started since, by this one or below.

    `ru_maxrss` would not do: it counts what this process held when it started the other one.
    For the same reason a child counts only when it runs a program of its own: until then the
    system tells the memory of its parent.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._own = psutil.Process()
        self._command = self._own.cmdline()
        self._older = set(self._own.children(recursive=True))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_S):
            for child in self._own.children(recursive=True):
                if child not in self._older and self._runs_its_own(child):
                    self.peak = max(self.peak, high_water(child.pid))

    def _runs_its_own(self, child: psutil.Process) -> bool:
        try:
            return child.cmdline() not in ([], self._command)
        except psutil.Error:
            return False


def high_water(pid: int) -> int:
    """Return the most resident bytes a process has held; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = _HIGH_WATER.search(text)
    return int(found[1]) * 1024 if found is not None else 0


def measure_memory(inputs: Path, how: How, names: tuple[str, ...]) -> tuple[PeakMemory, ...]:
    """Render each workload, and a sweep of small frames, on local workers.

    Parameters
    ----------
    inputs : Path
    how : How
    names : tuple of str
        Workloads, each on one worker, in both forms.
    """
    specs: list[tuple[str, SweepSpec]] = [
        ("small_frames", parse_sweep(sweep_plain(inputs, SMALL_FRAMES), source="small_frames"))
    ]
    for name in names:
        arguments = [*find_workload(name).arguments, *how.flags]
        spec = parse_nanobragg(arguments, base_dir=inputs).spec
        specs.append((name, SweepSpec(experiment=spec)))
        compute = spec.compute.model_copy(update={"form": "graph", "source_chunk": GRAPH_CHUNK})
        graph = spec.model_copy(update={"compute": compute})
        specs.append((f"{name}, graph form", SweepSpec(experiment=graph)))
    return tuple(_measure(name, spec) for name, spec in specs)


def _measure(name: str, spec: SweepSpec) -> PeakMemory:
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder, ChildrenWatch() as watch:
        sweep(spec, Path(folder) / "out.zarr", cluster="local:1", threads=1)
    return PeakMemory(name, watch.peak, plan(spec).memory.total)
