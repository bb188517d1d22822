"""What the trials share: a sweep of units of a known length, its reference, and the report."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from distbragg.store.ledger import all_receipts, completed_units, object_digests
from distbragg.store.run_directory import open_run
from tools.evidence.bundle import STAMP_FORMAT, Bundle, environment, markdown_table

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).resolve().parents[2]
SHAPE: Final = (61, 67)
CALIBRATION_DOMAINS: Final = 20_000
CALIBRATION_FRAMES: Final = 3
MAXIMUM_DOMAINS: Final = 900_000


class SkippedError(Exception):
    """What the trial needs is not there; the text says what."""


class FailedError(Exception):
    """The trial did not end as it must."""


@dataclass
class Trial:
    """One trial at work.

    Attributes
    ----------
    folder : Path
        Scratch folder, where commands run.
    units : int
        Of the sweep that is tried.
    unit_s : float
        Work of a unit, s of one core.
    rows : list
        Name, figures and verdict of each thing tried.
    """

    folder: Path
    units: int = 61
    unit_s: float = 4.0
    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Tell how far the trial is."""
        sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")

    def record(self, what: str, figures: Mapping[str, object], passed: bool) -> None:
        """Keep one result."""
        text = ", ".join(f"{name} {value}" for name, value in figures.items())
        self.rows.append((what, text, passed))
        self.say(f"{'passed' if passed else 'FAILED'}: {what}: {text}")

    def write_sweep(self, name: str, frames: int, domains: int) -> Path:
        """Write a sweep of `frames` units; a unit's time follows the number of domains."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(sweep_of(frames, domains)), encoding="utf-8")
        return path

    def environ(self, **changes: str) -> dict[str, str]:
        """Return an environment in which this installation's commands come first."""
        path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
        return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **changes}

    def run(
        self,
        *command: str,
        statuses: Sequence[int] = (0,),
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command in the scratch folder and return its standard output."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ(**(environ or {})),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in statuses:
            raise FailedError(
                f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}"
            )
        return done.stdout

    def reference(self, sweep: Path, name: str) -> dict[int, str]:
        """Render a sweep serially and return the digests of its objects."""
        self.run("distbragg", "sweep", str(sweep), "-o", name, "--cluster", "serial")
        return self.digests(name)

    def digests(self, name: str) -> dict[int, str]:
        """Return the digests of a run's objects."""
        return object_digests(open_run(str(self.folder / name)))

    def done(self, name: str) -> int:
        """Count the units of a run that are there; 0 where there is no run yet."""
        path = self.folder / name
        if not (path / ".distbragg").is_dir():
            return 0
        return len(completed_units(open_run(str(path))))

    def rendered(self, name: str) -> int:
        """Count the receipts of a run: units rendered, those rendered twice counted twice."""
        return sum(1 for _ in all_receipts(open_run(str(self.folder / name))))

    def calibrate(self) -> int:
        """Return the number of domains with which a unit is as much work as it shall be.

        CPU time is measured, and starting taken off: the machine may be busy.
        """
        used = [self._cpu_seconds(count) for count in (1, CALIBRATION_DOMAINS)]
        each = (used[1] - used[0]) / CALIBRATION_FRAMES / CALIBRATION_DOMAINS
        seconds = self.unit_s
        domains = int(seconds / each) if each > 0 else MAXIMUM_DOMAINS + 1
        if domains > MAXIMUM_DOMAINS:
            raise FailedError(f"a unit of {seconds} s needs {domains} domains here")
        self.say(f"a unit of {domains} domains takes about {seconds} s of one core")
        return domains

    def _cpu_seconds(self, domains: int) -> float:
        name = f"calibration-{domains}"
        sweep = self.write_sweep(f"{name}.yaml", CALIBRATION_FRAMES, domains)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        options = ("--cluster", "serial", "--threads", "1")
        self.run("distbragg", "sweep", str(sweep), "-o", f"{name}.zarr", *options)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def sweep_of(frames: int, domains: int) -> dict[str, Any]:
    """Return a sweep of small frames and many domains: much work, few bytes."""
    return {
        "experiment": {
            "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
            "crystal": {
                "cell": [50, 60, 70, 90, 90, 90],
                "block_cells": [5, 5, 5],
                "mosaic": {"spread_deg": 0.3, "domains": domains, "seed": 1},
            },
            "structure_factors": {"default_f_electrons": 100.0},
            "detector": {
                "distance_mm": 100.0,
                "pixel_size_mm": 1.6,
                "pixels_slow": SHAPE[0],
                "pixels_fast": SHAPE[1],
            },
            "sampling": {"oversample": 1},
            "compute": {"frames_per_unit": 1},
        },
        "axes": [
            {
                "name": "phi",
                "path": "goniometer.phi_deg",
                "linspace": {"start": 0.0, "stop": float(frames - 1), "count": frames},
            }
        ],
    }


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition and return how long it took, s."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise FailedError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.25)
    return time.monotonic() - started


def write_report(root: Path, name: str, title: str, trial: Trial) -> Path:
    """Write the bundle of a trial and return its folder."""
    path = root / datetime.now(UTC).strftime(STAMP_FORMAT)
    path.mkdir(parents=True)
    bundle = Bundle(path)
    options = ["--units", str(trial.units), "--seconds", f"{trial.unit_s:g}"]
    bundle.record_command(["python", "-m", "tools.cluster_trials", name, *options])
    bundle.write_json("env.json", environment())
    rows = [
        {"what": what, "figures": figures, "passed": passed} for what, figures, passed in trial.rows
    ]
    bundle.write_json(f"{name}.json", rows)
    table = markdown_table(
        ("trial", "figures", "passed"),
        [(what, figures, "yes" if passed else "no") for what, figures, passed in trial.rows],
    )
    told = f"Written by `make {name}`; `commands.txt` has the size of the sweep."
    bundle.write_text("README.md", f"# {title}\n\n{told}\n\n{table}")
    return path
