"""The sweeps that are broken, and their undisturbed serial runs."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import object_digests
from distbragg.store.run_directory import RunDirectory, open_run


def spec_of(units: int, *, edge: int = 61, domains: int = 4, frames: int = 1) -> SweepSpec:
    """A sweep of so many units; `edge` and `domains` set how long one takes."""
    plain: dict[str, Any] = {
        "title": "broken on purpose",
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
        "crystal": {
            "cell": [50, 60, 70, 80, 90, 100],
            "block_cells": [5, 6, 7],
            "mosaic": {"spread_deg": 0.3, "domains": domains, "seed": 1},
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 100.0,
            "pixel_size_mm": 0.2,
            "pixels_fast": edge,
            "pixels_slow": edge - 8,
        },
        "sampling": {"oversample": 1},
        "compute": {"frames_per_unit": frames},
    }
    step = {"start": 0.0, "stop": 90.0, "count": units * frames}
    axis = {"name": "phi", "path": "goniometer.phi_deg", "linspace": step}
    return SweepSpec.model_validate({"experiment": plain, "axes": [axis]})


def digests(path: Path) -> dict[int, str]:
    """What the stack at `path` holds, by its valid receipts."""
    return object_digests(open_run(path))


def new_run(path: Path, units: int, **sizes: int) -> RunDirectory:
    """Create a run with nothing rendered."""
    return create(spec_of(units, **sizes), path)


@functools.cache
def undisturbed(units: int, **sizes: int) -> dict[int, str]:
    """Digests of the same sweep rendered in this process with nothing in its way."""
    with tempfile.TemporaryDirectory(prefix="distbragg-undisturbed-") as folder:
        run = new_run(Path(folder) / "RUN", units, **sizes)
        resume(run, cluster="serial", threads=1)
        return digests(run.path)
