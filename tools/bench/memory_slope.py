"""What a process holds more with every frame of a long run: many tiny frames with labels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from distbragg.engine.events import Event, UnitFinished
from distbragg.errors import EnvironmentFailure
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from tools.bench.summary import table

BAR: Final = 1.0  # kB a frame
WORKERS: Final = 2
_EDGE: Final = 64  # pixels
_OF_UNIT: Final = 100  # frames
_LEAST_BYTES: Final = 60 << 20  # of a process that renders: others that a cluster starts hold less
_KB: Final = 1000.0

Row = tuple[int, dict[str, int]]
"""Frames done, and resident bytes by process."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A process of a run: its resident memory, MB, and how that grows, kB a frame."""

    cluster: str
    process: str
    frames: int
    first: float  # MB, at the first reading
    last: float
    whole: float  # kB a frame, over all of the run
    second_half: float

    @property
    def cells(self) -> tuple[str, ...]:
        """Return a row of the page."""
        verdict = "reached" if self.second_half <= BAR else "missed"
        memory = (f"{self.first:.1f}", f"{self.last:.1f}")
        growth = (f"{self.whole:.3f}", f"{self.second_half:.3f}")
        return (self.cluster, self.process, f"{self.frames:,}", *memory, *growth, verdict)


def tiny_frames(frames: int) -> dict[str, Any]:
    """Return a sweep of stills with labels, each of an orientation of its own."""
    return {
        "experiment": {
            "beam": {"fluence_photons_per_m2": 1e27, "wavelength_angstrom": 1.3},
            "crystal": {
                "cell": [30.0, 35.0, 40.0, 90.0, 90.0, 90.0],
                "shape": "gauss",
                "block_cells": [15, 15, 15],
                "mosaic": {"distribution": "gaussian", "spread_deg": 0.2},
            },
            "structure_factors": {"default_f_electrons": 30.0},
            "detector": {
                "distance_mm": 60.0,
                "pixel_size_mm": 0.8,
                "pixels_fast": _EDGE,
                "pixels_slow": _EDGE,
            },
            "noise": {"photon": True, "seed": 1},
            "sampling": {"method": "closed_form", "dmin_angstrom": 4.0},
            "output": {"dtype": "uint16", "labels": True, "label_minimum_photons": 1.0},
            "compute": {"frames_per_unit": _OF_UNIT},
        },
        "axes": [
            {
                "name": "orientation",
                "dim": "shot",
                "random_orientations": {"count": frames, "seed": 1},
            }
        ],
    }


class _Watch:
    """Reads the memory of this process and those that it has started as units end."""

    def __init__(self, every: int) -> None:
        self.rows: list[Row] = []
        self._every, self._units, self._own = every, 0, psutil.Process()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, UnitFinished):
            return
        self._units += 1
        if self._units % self._every == 0:
            self.rows.append((self._units * _OF_UNIT, self._held()))

    def _held(self) -> dict[str, int]:
        held = {"driver": self._own.memory_info().rss}
        for child in self._own.children(recursive=True):
            try:
                bytes_held = child.memory_info().rss
            except psutil.Error:
                continue
            if bytes_held > _LEAST_BYTES:
                held[str(child.pid)] = bytes_held
        return held


def measure_slope(
    frames: int, clusters: tuple[str, ...], say: Callable[[str], None]
) -> list[Slope]:
    """Render so many frames, of whole units, on each cluster."""
    found = []
    for cluster in clusters:
        say(f"{frames} frames, {cluster}")
        watch = _Watch(max(1, frames // _OF_UNIT // 50))
        spec = parse_sweep(tiny_frames(frames), source="memory-slope")
        with tempfile.TemporaryDirectory(prefix="distbragg-", dir=os.environ.get("TMPDIR")) as to:
            path = Path(to) / "out.zarr"
            result = sweep(spec, path, cluster=cluster, threads=1, on_event=watch)
        if result.failed:
            raise EnvironmentFailure(f"memory-slope: {result.failed} frames were set aside")
        found += _slopes(cluster, frames, watch.rows)
    return found


def _slopes(cluster: str, frames: int, rows: list[Row]) -> list[Slope]:
    found: list[Slope] = []
    for name in rows[-1][1]:
        read = [(done, held[name]) for done, held in rows if name in held]
        done, held = np.array(read, dtype=np.float64).T
        later = done >= 0.5 * frames
        process = name if name == "driver" else f"worker {len(found)}"
        whole, half = (
            float(np.polyfit(done[part], held[part] / _KB, 1)[0]) for part in (done > 0, later)
        )
        first, last = held[0] / _KB**2, held[-1] / _KB**2
        found.append(Slope(cluster, process, frames, first, last, whole, half))
    return found


def plain(found: list[Slope]) -> list[dict[str, object]]:
    """Return as JSON-able data."""
    return [asdict(one) for one in found]


def summary(found: list[Slope]) -> str:
    """Write the page."""
    head = ("cluster", "process", "frames", "first, MB", "last, MB", "kB a frame")
    return "\n\n".join(
        (
            "# Memory over a long run",
            f"Stills of {_EDGE}² pixels with labels and counts, each of an orientation of its own, "
            f"{_OF_UNIT} a unit. Resident memory of each process as units end, the first and last "
            "reading, and the straight line through all of them, and through those of the second "
            f"half: what a process fills once is not of a frame. Bar: {BAR:g} kB a frame. "
            "`env.json` names the machine, `commands.txt` the command.",
            table((*head, "second half", ""), [one.cells for one in found]),
        )
    )
