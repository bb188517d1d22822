"""Small shots with the spots that a detector's image of them holds: a training set's pace."""

from __future__ import annotations

import os
import runpy
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.engine.events import Event, RunStarted, UnitFinished
from distbragg.errors import EnvironmentFailure
from distbragg.models.tables import load_sweep
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import open_run
from tools.bench.recorded_scenes import RESPONSE, WATER
from tools.bench.summary import table

EDGE: Final = 512  # pixels
CELLS: Final = (80.0, 130.0)  # Å, edges drawn between these
DMIN: Final = 2.8
LINES: Final = 50
BAR: Final = 40.0  # frames/s on two cores
CORES: Final = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """How many shots of each kind are stored, in how many turns."""

    frames: int = 170
    turns: int = 3


QUICK: Final = Extent(frames=8, turns=1)
"""Everything once, to see that it works."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Shots of a beam and a number of lattices."""

    pink: bool
    lattices: int

    @property
    def name(self) -> str:
        """What the page calls it."""
        beam = f"{LINES} lines over 1 %" if self.pink else "one wavelength"
        return f"{beam}, {self.lattices} lattice{'s' if self.lattices > 1 else ''}"


RECIPE: Final = "the spot finder's recipe, everything drawn"
_RECIPE: Final = Path(__file__).parents[2] / "workflows" / "spot_finder.py"

KINDS: Final = tuple(Kind(*chosen) for chosen in product((False, True), (1, 2)))


@dataclass(frozen=True, slots=True)
class Stored:
    """One sweep of a kind: seconds of all its shots, and what they hold."""

    frames: int
    process: float  # of this process, or 0 where workers did it
    wall: float
    spots: int
    labels: float  # of the seconds, those that predicting spots and encoding their tables took
    kernel: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """By kind: turns on one core in this process, and one on two workers."""

    one_core: dict[str, list[Stored]]
    workers: dict[str, Stored]

    @property
    def rates(self) -> list[float]:
        """Frames/s of all kinds together on two cores, by the process's time, turn by turn."""
        turns = zip(*(self.one_core[kind.name] for kind in KINDS), strict=True)
        return [
            CORES * sum(one.frames for one in turn) / sum(one.process for one in turn)
            for turn in turns
        ]

    @property
    def rate_of_workers(self) -> float:
        """Frames/s of all kinds together on two workers, by the clock."""
        stored = [self.workers[kind.name] for kind in KINDS]
        return sum(one.frames for one in stored) / sum(one.wall for one in stored)

    @property
    def rates_of_recipe(self) -> list[float]:
        """Frames/s of the recipe's shots on two cores, by the process's time, turn by turn."""
        return [CORES * one.frames / one.process for one in self.one_core[RECIPE]]

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            **asdict(self),
            "rates": self.rates,
            "rate_of_workers": self.rate_of_workers,
            "rates_of_recipe": self.rates_of_recipe,
        }


class _Clock:
    """Remembers when the first task could start and when the last unit ended."""

    def __init__(self) -> None:
        self.began = self.ended = (0.0, 0.0)

    def __call__(self, event: Event) -> None:
        now = (time.process_time(), time.perf_counter())
        if isinstance(event, RunStarted):
            self.began = now
        elif isinstance(event, UnitFinished):
            self.ended = now


def write_reflections(path: Path) -> Path:
    """Write |F| of Wilson statistics for every index that a cell of the longest edges has."""
    most = int(CELLS[1] / DMIN)
    line = np.arange(-most, most + 1)
    hkl = np.stack([part.ravel() for part in np.meshgrid(line, line, line, indexing="ij")], axis=1)
    squared = ((hkl / CELLS[0]) ** 2).sum(axis=1)
    hkl, squared = hkl[(hkl**2).sum(axis=1) <= most**2], squared[(hkl**2).sum(axis=1) <= most**2]
    mean = 2.0e5 * np.exp(-2.0 * 20.0 * squared / 4.0)
    amplitude = np.sqrt(np.random.default_rng(1).exponential(1.0, len(hkl)) * mean)
    np.savetxt(path, np.column_stack([hkl, amplitude]), fmt="%d %d %d %.3f")
    return path


def shots(reflections: Path, kind: Kind, frames: int) -> dict[str, Any]:
    """Return a sweep of shots, each of a cell and an orientation of its own."""
    random = np.random.default_rng(7 + kind.lattices)
    cells = [[*edges, 90.0, 90.0, 90.0] for edges in random.uniform(*CELLS, (frames, 3)).tolist()]
    beam: dict[str, Any] = {
        "flux_photons_per_s": 1e12,
        "exposure_s": 0.2,
        "size_mm": 0.02,
        "wavelength_angstrom": 1.3,
    }
    if kind.pink:
        away = np.linspace(-1.0, 1.0, LINES)
        del beam["wavelength_angstrom"]
        beam["spectrum"] = {
            "wavelengths_angstrom": (1.3 * (1.0 + 0.005 * away)).tolist(),
            "weights": np.exp(-2.0 * away**2).tolist(),
        }
    crystal: dict[str, Any] = {
        "cell": [100.0, 100.0, 100.0, 90.0, 90.0, 90.0],
        "shape": "gauss",
        "block_cells": [15, 15, 15],
        "specimen": {"edges_um": [20.0, 20.0, 20.0]},
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.1},
    }
    if kind.lattices > 1:
        crystal["lattices"] = [{"misset_deg": [70.0, -35.0, 15.0]}]
    return {
        "experiment": {
            "beam": beam,
            "crystal": crystal,
            "structure_factors": {"file": str(reflections)},
            "detector": {
                "distance_mm": 110.0,
                "pixel_size_mm": 0.2,
                "pixels_fast": EDGE,
                "pixels_slow": EDGE,
                "response": RESPONSE,
            },
            "background": {"materials": [WATER]},
            "noise": {"photon": True, "seed": 1},
            "sampling": {"method": "closed_form", "dmin_angstrom": DMIN},
            "output": {"dtype": "uint16", "labels": True, "label_minimum_photons": 5.0},
        },
        "axes": [
            {
                "name": "orientation",
                "dim": "shot",
                "random_orientations": {"count": frames, "seed": 1},
            },
            {"name": "cell", "dim": "shot", "path": "crystal.cell", "values": cells},
        ],
    }


def _recipe(folder: Path, frames: int) -> SweepSpec:
    """Return the shots of the recipe of the spot finder; its molecules lie in `folder`."""
    runpy.run_path(str(_RECIPE))["write_molecules"](folder)
    shutil.copy(_RECIPE.with_suffix(".yaml"), folder / "shots.yaml")
    return load_sweep(folder / "shots.yaml", overrides=[f"count={frames}"])


def measure_labelled(extent: Extent, say: Callable[[str], None]) -> Labelled:
    """Store shots of all kinds, one after another in this process, then on two workers."""
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        reflections = write_reflections(Path(folder) / "P1.hkl")
        sweeps = {
            kind.name: parse_sweep(shots(reflections, kind, extent.frames), source="labelled")
            for kind in KINDS
        }
        sweeps[RECIPE] = _recipe(Path(folder), extent.frames)
        one: dict[str, list[Stored]] = {name: [] for name in sweeps}
        workers = {}
        for _ in range(extent.turns):
            for name, sweep_of_kind in sweeps.items():
                say(f"{name}, one core")
                one[name].append(_store(sweep_of_kind, "serial"))
        for name, sweep_of_kind in sweeps.items():
            say(f"{name}, {CORES} workers")
            workers[name] = _store(sweep_of_kind, f"local:{CORES}")
    return Labelled(one, workers)


def _store(spec: SweepSpec, cluster: str) -> Stored:
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="distbragg-", dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder) / "out.zarr"
        result = sweep(spec, path, cluster=cluster, threads=1, on_event=clock)
        if result.failed:
            raise EnvironmentFailure(f"labelled: {result.failed} frames were set aside")
        receipts = [receipt.to_plain() for receipt in completed_units(open_run(path)).values()]

    def total(name: str) -> float:
        return sum(float(receipt[name]) for receipt in receipts)

    (process, wall), (process_end, wall_end) = clock.began, clock.ended
    return Stored(
        frames=int(total("frames")),
        process=process_end - process if cluster == "serial" else 0.0,
        wall=wall_end - wall,
        spots=int(total("spots")),
        labels=total("label_seconds"),
        kernel=total("kernel_seconds"),
    )


def summary(found: Labelled) -> str:
    """Write the page."""
    rows = []
    for name, turns in found.one_core.items():
        each = sorted(1e3 * one.process / one.frames for one in turns)
        last = turns[-1]
        rows.append(
            (
                name,
                f"{last.spots / last.frames:.0f}",
                f"{each[len(each) // 2]:.1f} ({each[0]:.1f} to {each[-1]:.1f})",
                f"{1e3 * last.kernel / last.frames:.1f}",
                f"{1e3 * last.labels / last.frames:.1f}",
                f"{1e3 * found.workers[name].wall / last.frames:.1f}",
            )
        )
    rates = sorted(found.rates)
    rate = rates[len(rates) // 2]
    of_recipe = sorted(found.rates_of_recipe)
    recipe = of_recipe[len(of_recipe) // 2]
    verdict = "reached" if rate >= BAR else "missed"
    return "\n\n".join(
        (
            "# Small shots with labels",
            f"{EDGE}² pixels to {DMIN} Å, cells of {CELLS[0]:g} to {CELLS[1]:g} Å, each shot one "
            "of its own, spread 0.1°, water, counts, gain, offset and readout, 16 bits, with the "
            "table of spots, in a closed store. Medians with the least and greatest of the turns "
            "in brackets; `env.json` names the machine, `commands.txt` the command. Process time "
            "is what a core worked; where the machine was shared, wall time is more.",
            table(
                (
                    "shots of",
                    "spots",
                    "process, ms a frame",
                    "of it the kernel",
                    "of it labels",
                    f"by the clock, {CORES} workers",
                ),
                rows,
            ),
            f"All kinds together on {CORES} cores, by process time: {rate:.1f} frames/s "
            f"({rates[0]:.1f} to {rates[-1]:.1f}); bar {BAR:g}: {verdict}. On {CORES} workers by "
            f"the clock, the start of the cluster left out: {found.rate_of_workers:.1f}.",
            f"The recipe's shots ([spot finder](../../../workflows/spot_finder.md)) by process "
            f"time: {recipe:.1f} frames/s ({of_recipe[0]:.1f} to {of_recipe[-1]:.1f}).",
        )
    )
