"""Let DIALS judge exported images: a rotation series as SMV, CBF and NXmx, found and indexed.

Renders 20 frames of 1 degree with photon noise as one sweep, exports them in the three formats
and runs `dials.import`, `dials.find_spots` and `dials.index` on each. The truth (cell,
orientation) is read from the stack. Where DIALS is missing, `--install` fetches Debian's package
with apt-get; where that is not possible either, the run is skipped and says why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from distbragg.cli.main import main as distbragg
from distbragg.export.header import imgcif_frame
from distbragg.run.frame_header import frame_geometry
from distbragg.store.run_directory import open_run

CELL: Final = (79.1, 79.1, 38.0)
INDEX_LIMITS: Final = (40, 40, 20)
DMIN: Final = 1.9
B_FACTOR: Final = 10.0
MEAN_INTENSITY: Final = 3e5

MINIMUM_SPOTS: Final = 2000
MINIMUM_INDEXED: Final = 0.90
CELL_LENGTH_RELATIVE: Final = 1e-3
CELL_ANGLE_DEG: Final = 0.05
ORIENTATION_DEG: Final = 0.05

PROGRAMS: Final = ("dials.import", "dials.find_spots", "dials.index")
FORMATS: Final = ("smv", "cbf", "nxmx")
COMMAND_TIMEOUT_S: Final = 1800
SPOT_PIXELS: Final = 6
"""Least pixels of a strong spot: what DIALS takes for CCDs. For NeXus it knows pixel-array
detectors alone and takes 3, by which the discrete mosaic domains of one reflection come apart
into several spots, of which indexing keeps one."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What DIALS made of one format.

    Attributes
    ----------
    spots : int
        Strong spots.
    indexed : float
        Share of the spots given to indexing that were indexed.
    length_error : float
        Largest relative error of a cell length.
    angle_error, orientation_error : float, degrees
    """

    spots: int
    indexed: float
    length_error: float
    angle_error: float
    orientation_error: float

    def failures(self) -> list[str]:
        """Return the bars that are missed."""
        bars = {
            f"fewer than {MINIMUM_SPOTS} strong spots": self.spots < MINIMUM_SPOTS,
            f"less than {MINIMUM_INDEXED:.0%} indexed": self.indexed < MINIMUM_INDEXED,
            "cell lengths": self.length_error > CELL_LENGTH_RELATIVE,
            "cell angles": self.angle_error > CELL_ANGLE_DEG,
            "orientation": self.orientation_error > ORIENTATION_DEG,
        }
        return [name for name, missed in bars.items() if missed]


def write_structure_factors(path: Path) -> None:
    """Write synthetic, Friedel-symmetric |F| of a lysozyme-like cell with Wilson statistics."""
    random = np.random.default_rng(1)
    known: dict[tuple[int, int, int], float] = {}
    lines: list[str] = []
    for h in range(-INDEX_LIMITS[0], INDEX_LIMITS[0] + 1):
        for k in range(-INDEX_LIMITS[1], INDEX_LIMITS[1] + 1):
            for l in range(-INDEX_LIMITS[2], INDEX_LIMITS[2] + 1):  # noqa: E741 the field's letter
                squared = sum((i / edge) ** 2 for i, edge in zip((h, k, l), CELL, strict=True))
                if squared > DMIN**-2:
                    continue
                value = known.get((-h, -k, -l))
                if value is None:
                    fall = float(np.exp(-2.0 * B_FACTOR * squared / 4.0))
                    value = float(np.sqrt(random.exponential(1.0) * MEAN_INTENSITY * fall))
                known[h, k, l] = value
                lines.append(f"{h} {k} {l} {value:.3f}\n")
    path.write_text("".join(lines), encoding="ascii")


def series_spec() -> dict[str, Any]:
    """Return the sweep: a series that DIALS is known to index."""
    return {
        "experiment": {
            "title": "Rotation series that DIALS indexes",
            "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 3e26},
            "crystal": {
                "cell": [*CELL, 90.0, 90.0, 90.0],
                "cells": [12, 12, 12],
                "misset_deg": [10.0, 20.0, 30.0],
                "mosaic": {"spread_deg": 0.5, "domains": 10},
            },
            "structure_factors": {"file": "P1.hkl"},
            "detector": {
                "distance_mm": 150.0,
                "pixel_size_mm": 0.17,
                "pixels_fast": 1024,
                "pixels_slow": 1024,
            },
            "goniometer": {"oscillation_deg": 1.0, "steps": 8},
            "sampling": {"oversample": 1},
            "noise": {"photon": True, "seed": 1},
        },
        "axes": [
            {
                "name": "phi",
                "path": "goniometer.phi_deg",
                "arange": {"start": 0.0, "stop": 20.0, "step": 1.0},
            }
        ],
    }


def true_reciprocal(run: Path) -> Matrix:
    """Columns a*, b*, c* at spindle angle 0 in DIALS's frame, 1/Å, from the stack."""
    _, experiment = frame_geometry(open_run(run), 0)
    turn = imgcif_frame(
        np.asarray(experiment.beam.direction),
        np.asarray(experiment.crystal.spindle_axis),
        np.asarray(experiment.detector.panels[0].fast),
    )
    return np.asarray(turn @ np.asarray(experiment.crystal.reciprocal).T, dtype=np.float64)


def compare(found: Matrix, truth: Matrix) -> tuple[float, float, float]:
    """Errors of lengths (relative), angles and orientation (degrees) of a reciprocal basis.

    The basis may be any choice of axes of the same lattice: truth is taken in that choice.

    Parameters
    ----------
    found, truth : (3, 3) float64, 1/Å
        Columns a*, b*, c*.
    """
    choice = np.round(np.linalg.inv(truth) @ found)
    expected = truth @ choice
    lengths, angles = cell_of(found)
    true_lengths, true_angles = cell_of(expected)
    left, _, right = np.linalg.svd(found @ np.linalg.inv(expected))
    cosine = (float(np.trace(left @ right)) - 1.0) / 2.0
    turned = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    return (
        float(np.abs(lengths / true_lengths - 1.0).max()),
        float(np.abs(angles - true_angles).max()),
        turned,
    )


def cell_of(reciprocal: Matrix) -> tuple[Matrix, Matrix]:
    """Lengths (Å) and angles (degrees) of the cell of a reciprocal basis in columns."""
    real = np.linalg.inv(reciprocal)
    lengths = np.linalg.norm(real, axis=1)
    cosines = (real @ real.T) / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(cosines[[1, 0, 0], [2, 2, 1]]))
    return np.asarray(lengths), np.asarray(angles)


def judge(folder: Path, source: str, truth: Matrix) -> Verdict:
    """Run DIALS on one export in `folder`.

    Raises
    ------
    subprocess.CalledProcessError, subprocess.TimeoutExpired
        DIALS stopped; its output is in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _dials(folder, "dials.import", source)
    size = f"spotfinder.filter.min_spot_size={SPOT_PIXELS}"
    spots = _dials(folder, "dials.find_spots", "imported.expt", "nproc=1", size)
    index = _dials(folder, "dials.index", "imported.expt", "strong.refl")
    rows = re.findall(r"^\|\s*\d+\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*[\d.]+%", index, re.MULTILINE)
    indexed, rest = (int(number) for number in rows[-1])
    crystal = json.loads((folder / "indexed.expt").read_text())["crystal"][0]
    real = np.array([crystal[f"real_space_{axis}"] for axis in "abc"], dtype=np.float64)
    errors = compare(np.asarray(np.linalg.inv(real), dtype=np.float64), truth)
    found = re.findall(r"Saved (\d+) reflections to strong\.refl", spots)
    return Verdict(int(found[-1]), indexed / (indexed + rest), *errors)


def _dials(folder: Path, program: str, *arguments: str) -> str:
    log = folder / f"{program}.out"
    # Python's and the linker's settings of our own environment are not for Debian's Python.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    }
    result = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    log.write_text(result.stdout, encoding="utf-8")
    result.check_returncode()
    return result.stdout


def missing_dials(*, install: bool) -> str:
    """Return why DIALS cannot be run; empty where it can."""
    if all(map(shutil.which, PROGRAMS)):
        return ""
    if not install:
        return "DIALS is not installed (--install fetches Debian's with apt-get)"
    if shutil.which("apt-get") is None:
        return "there is no apt-get to install DIALS with"
    if os.geteuid() != 0:
        return "installing DIALS with apt-get needs root"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", "dials"],
    ):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return f"`{' '.join(command)}` failed with status {done.returncode}"
    return "" if all(map(shutil.which, PROGRAMS)) else "apt-get installed no DIALS programs"


def accept(folder: Path, formats: Sequence[str]) -> dict[str, Verdict]:
    """Render, export and judge in `folder`; what is there already is not done again.

    Raises
    ------
    RuntimeError
        A distbragg command failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "P1.hkl").exists():
        write_structure_factors(folder / "P1.hkl")
    spec, run = folder / "series.yaml", folder / "series.zarr"
    spec.write_text(yaml.safe_dump(series_spec()), encoding="utf-8")
    _run(["sweep", str(spec), "-o", str(run)])
    truth = true_reciprocal(run)
    sources = {
        "smv": "template={}/series_####.img",
        "cbf": "template={}/series_####.cbf",
        "nxmx": "{}/series_master.h5",
    }
    verdicts: dict[str, Verdict] = {}
    for name in formats:
        images = folder / f"images-{name}"
        # Debian's HDF5 has no bitshuffle plugin.
        _run(["export", str(run), "--format", name, "-o", str(images), "--compression", "gzip"])
        verdicts[name] = judge(folder / f"dials-{name}", sources[name].format(images), truth)
        _say(_line(name, verdicts[name]))
    return verdicts


def _run(arguments: list[str]) -> None:
    status = distbragg(arguments)
    if status != 0:
        raise RuntimeError(f"distbragg {arguments[0]} ended with status {status}")


def _line(name: str, verdict: Verdict) -> str:
    failures = verdict.failures()
    return (
        f"{name}: {verdict.spots} strong spots, {verdict.indexed:.1%} indexed, "
        f"cell lengths within {verdict.length_error:.3%}, angles within "
        f"{verdict.angle_error:.3f}°, orientation within {verdict.orientation_error:.3f}°: "
        + ("missed: " + ", ".join(failures) if failures else "accepted")
    )


def _say(text: str) -> None:
    sys.stdout.write(f"accept: {text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where DIALS accepts every format or cannot be had, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="apt-get DIALS where missing")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in DIR and keep it")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    chosen = parser.parse_args(arguments)
    reason = missing_dials(install=chosen.install)
    if reason:
        _say(f"skipped: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="accept-") as scratch:
        verdicts = accept((chosen.keep or Path(scratch)).absolute(), chosen.formats)
    return int(any(verdict.failures() for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
