"""The rotation series, as SMV, CBF and NXmx, with DIALS's own defaults throughout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tools.acceptance.common import export, find_and_index, render
from tools.acceptance.verdict import CLOSED_INDEXED, RECORDED_INDEXED, Verdict

CELL: Final = (79.1, 79.1, 38.0)
INDEX_LIMITS: Final = (40, 40, 20)
DMIN: Final = 1.9
B_FACTOR: Final = 10.0
MEAN_INTENSITY: Final = 3e5
CLOSED_SPREAD_DEG: Final = 0.25  # a standard deviation
FORMATS: Final = ("smv", "cbf", "nxmx")
_SOURCES: Final = {
    "smv": "template={}/series_####.img",
    "cbf": "template={}/series_####.cbf",
    "nxmx": "{}/series_master.h5",
}
BACKGROUND_UM: Final = 0.25
"""Edge of the cube of water that scatters a background of some ten photons a pixel. Images without
any, which no detector takes, show every fragment of three photons: discrete mosaic domains then
come apart into spots of their own, of which indexing keeps one."""

WATER_UM: Final = 5.0
AIR_UM: Final = 2000.0
FLUENCE: Final = 1e20
BLOCKS: Final = 1e7
"""Of the recorded series: 1e12 photons through 0.1 mm, and the blocks of a crystal of 16 µm."""


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
                "block_cells": [12, 12, 12],
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
            "background": {"water_um": BACKGROUND_UM},
            "noise": {"photon": True, "seed": 1},
            "output": {"labels": True},
        },
        "axes": [
            {
                "name": "phi",
                "path": "goniometer.phi_deg",
                "arange": {"start": 0.0, "stop": 20.0, "step": 1.0},
            }
        ],
    }


def closed_spec() -> dict[str, Any]:
    """Return the same series, of a Gaussian crystal that is rendered in closed form."""
    spec = series_spec()
    experiment = spec["experiment"]
    crystal = {
        **experiment["crystal"],
        "shape": "gauss",
        "mosaic": {"distribution": "gaussian", "spread_deg": CLOSED_SPREAD_DEG},
    }
    experiment |= {
        "title": "Rotation series in closed form",
        "crystal": crystal,
        "goniometer": {"oscillation_deg": 1.0},
        "sampling": {"method": "closed_form"},
    }
    return spec


def recorded_spec() -> dict[str, Any]:
    """Return the same series as a detector would have recorded it: with all of it on."""
    spec = closed_spec()
    experiment = spec["experiment"]
    detector = {
        **experiment["detector"],
        "beam_stop": {"radius_mm": 2.0, "edge_mm": 0.3, "arm_width_mm": 1.0},
        "point_spread": {"kind": "fibre", "fwhm_um": 100.0, "radius_px": 10},
        "response": {
            "seed": 1,
            "calibration_fraction": 0.03,
            "gain_adu_per_photon": 0.7,
            "offset_adu": 10.0,
            "readout_adu": 1.5,
        },
    }
    materials = [
        {"name": "water", "thickness_um": WATER_UM},
        {"name": "air", "thickness_um": AIR_UM},
    ]
    experiment |= {
        "title": "Rotation series as a detector would have recorded it",
        "beam": {**experiment["beam"], "fluence_photons_per_m2": FLUENCE},
        "crystal": {**experiment["crystal"], "illuminated_blocks": BLOCKS},
        "detector": detector,
        "background": {"materials": materials},
        "output": {"labels": True, "dtype": "uint16"},
    }
    return spec


def judge_masked(folder: Path, picture: Path) -> Verdict:
    """Render the series with gaps between modules, and let DIALS judge its CBF.

    DIALS takes a masked pixel of 0 counts for a measured one: the gaps then break every spot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_structure_factors(folder / "P1.hkl")
    np.save(folder / "gaps.npy", module_gaps())
    spec = series_spec()
    spec["experiment"]["detector"]["mask_file"] = "gaps.npy"
    run = render(folder, "series", spec)
    source = _SOURCES["cbf"].format(export(run, "cbf"))
    return find_and_index(folder / "dials", source, run, picture)


def module_gaps() -> NDArray[np.uint8]:
    """Return the mask of the series' detector: 0 between modules of 180 x 190 pixels, 1 on them."""
    mask = np.ones((1024, 1024), dtype=np.uint8)
    for start in range(180, 1024, 187):
        mask[:, start : start + 7] = 0
    for start in range(190, 1024, 207):
        mask[start : start + 17] = 0
    return mask


def judge_closed(folder: Path, picture: Path) -> Verdict:
    """Render the series in closed form in `folder`, and let DIALS judge its SMV."""
    verdict = _judge_smv(folder, closed_spec(), picture)
    return replace(verdict, least_indexed=CLOSED_INDEXED)


def judge_recorded(folder: Path, picture: Path) -> Verdict:
    """Render the recorded series in `folder`, and let DIALS judge its SMV."""
    verdict = _judge_smv(folder, recorded_spec(), picture)
    return replace(verdict, least_indexed=RECORDED_INDEXED)


def _judge_smv(folder: Path, spec: dict[str, Any], picture: Path) -> Verdict:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "P1.hkl").exists():
        write_structure_factors(folder / "P1.hkl")
    run = render(folder, "series", spec)
    source = _SOURCES["smv"].format(export(run, "smv"))
    return find_and_index(folder / "dials", source, run, picture)


def judge_series(folder: Path, form: str, picture: Path) -> Verdict:
    """Render the series in `folder`, and let DIALS judge it in one format."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "P1.hkl").exists():
        write_structure_factors(folder / "P1.hkl")
    run = render(folder, "series", series_spec())
    source = _SOURCES[form].format(export(run, form))
    return find_and_index(folder / f"dials-{form}", source, run, picture)
