"""From the shell to a closed store of one small image: how long, and where it goes."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from distbragg.run.bench import INPUT_FILE
from tools.bench.pairs import Spread
from tools.bench.processes import run_distbragg, run_python

EDGE: Final = 256
"""Pixels along each edge of the image that stands for start-up."""

_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)([\w.]+)")


@dataclass(frozen=True, slots=True)
class StartUp:
    """Start-up of `distbragg render`, s.

    Attributes
    ----------
    seconds : Spread
        Wall time of the whole command.
    interpreter : float
        Of a Python that does nothing.
    imports : dict of str to float
        Time of loading modules, by outermost package, largest first; measured by
        `-X importtime`, which itself costs some.
    """

    seconds: Spread
    interpreter: float
    imports: dict[str, float]

    @property
    def import_seconds(self) -> float:
        """Time of loading all modules."""
        return sum(self.imports.values())

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "seconds": self.seconds.plain(),
            "interpreter_s": self.interpreter,
            "imports_s": self.imports,
            "rest_s": max(0.0, self.seconds.median - self.interpreter - self.import_seconds),
        }


def small_experiment(inputs: Path, *, domains: int = 10) -> dict[str, Any]:
    """Return a specification of 256 × 256 pixels with 10 mosaic domains, as plain data."""
    return {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {
            "cell": [79.1, 79.1, 38.0, 90.0, 90.0, 90.0],
            "block_cells": [20, 20, 20],
            "mosaic": {"spread_deg": 0.3, "domains": domains},
        },
        "structure_factors": {"file": str(inputs / INPUT_FILE)},
        "detector": {
            "distance_mm": 150.0,
            "pixel_size_mm": 0.68,
            "pixels_fast": EDGE,
            "pixels_slow": EDGE,
        },
        "sampling": {"oversample": 1},
    }


def measure_startup(inputs: Path, threads: int, repeats: int) -> StartUp:
    """Time `distbragg render` of a 256² image into a new store, warm, everything counted."""
    with tempfile.TemporaryDirectory(prefix="distbragg-") as scratch:
        folder = Path(scratch)
        # JSON is YAML.
        (folder / "experiment.yaml").write_text(json.dumps(small_experiment(inputs)))
        command = ["render", "experiment.yaml", "-o", "out.zarr", "--threads", str(threads)]
        _fresh(folder, command)
        seconds = [_fresh(folder, command) for _ in range(repeats)]
        empty = Spread.of(run_python(["-c", "pass"], folder).seconds for _ in range(repeats))
        shutil.rmtree(folder / "out.zarr")
        report = run_distbragg(command, folder, "-X", "importtime").errors
    return StartUp(Spread.of(seconds), empty.median, import_times(report.splitlines()))


def import_times(lines: Iterable[str]) -> dict[str, float]:
    """Sum the time of `-X importtime` by outermost package, s, largest first.

    Parameters
    ----------
    lines : iterable of str
        What the interpreter wrote to standard error.
    """
    packages: dict[str, float] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is not None:
            package = match[4].partition(".")[0].lstrip("_") or match[4]
            packages[package] = packages.get(package, 0.0) + int(match[1]) * 1e-6
    return dict(sorted(packages.items(), key=lambda item: -item[1]))


def _fresh(folder: Path, command: list[str]) -> float:
    shutil.rmtree(folder / "out.zarr", ignore_errors=True)
    return run_distbragg(command, folder).seconds
