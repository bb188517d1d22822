"""How time grows with pixels, sources, domains and frames."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distbragg.run.bench import How, Workload, find_workload, prepare, time_workload
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from tools.bench.small_frames import sweep_plain

EDGES: Final = (128, 256, 512, 1024, 2048)
SOURCES: Final = (1, 3, 10, 30, 100)
DOMAINS: Final = (1, 5, 25, 100)
FRAMES: Final = (4, 16, 64, 256)
_REPEATS: Final = 3
_SIZE_MM: Final = 174.08
_SCENE_EDGE: Final = 512


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds against one size, everything else the same."""

    name: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """Slope in the log-log plane between the last two points: 1 is proportional."""
        from math import log

        (x, last_x), (y, last_y) = self.sizes[-2:], self.seconds[-2:]
        return log(last_y / y) / log(last_x / x)

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {"sizes": self.sizes, "seconds": self.seconds, "last_exponent": self.exponent}


def measure_scaling(inputs: Path, how: How, *, largest: int | None = None) -> tuple[Curve, ...]:
    """Measure all curves: kernel seconds in memory, and wall time of a sweep for frames.

    Parameters
    ----------
    inputs : Path
    how : How
    largest : int, optional
        Points of each curve; default: all.
    """
    pixels = EDGES[:largest]
    return (
        Curve(
            "pixels",
            tuple(edge * edge for edge in pixels),
            tuple(_kernel(_scene(edge, 1, 25), inputs, how) for edge in pixels),
        ),
        _curve("sources", SOURCES[:largest], inputs, how),
        _curve("domains", DOMAINS[:largest], inputs, how),
        Curve(
            "frames",
            FRAMES[:largest],
            tuple(_sweep_seconds(inputs, frames) for frames in FRAMES[:largest]),
        ),
    )


def _curve(name: str, sizes: tuple[int, ...], inputs: Path, how: How) -> Curve:
    scenes = [
        _scene(_SCENE_EDGE, size, 1) if name == "sources" else _scene(_SCENE_EDGE, 1, size)
        for size in sizes
    ]
    return Curve(name, sizes, tuple(_kernel(scene, inputs, how) for scene in scenes))


def _scene(edge: int, sources: int, domains: int) -> Workload:
    changes: dict[str, object] = {"-detpixels": edge, "-pixel": _SIZE_MM / edge}
    if domains > 1:
        changes |= {"-mosaic": 0.3, "-mosaic_domains": domains}
    else:
        changes |= {"-mosaic": 0, "-mosaic_domains": 1}
    if sources > 1:
        changes |= {"-dispersion": 1, "-dispsteps": sources}
    base = find_workload("mosaic_still")
    return base.with_arguments(f"{edge}-{sources}-{domains}", changes, 0)


def _kernel(workload: Workload, inputs: Path, how: How) -> float:
    return time_workload(prepare(workload, inputs, how), _REPEATS).seconds


def _sweep_seconds(inputs: Path, frames: int) -> float:
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        spec = parse_sweep(sweep_plain(inputs, frames), source="scaling")
        started = time.perf_counter()
        sweep(spec, Path(folder) / "out.zarr", cluster="serial", threads=1)
        return time.perf_counter() - started
