"""A monoclinic crystal on a tilted detector, a detector of two panels, and stills."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tools.acceptance.common import export, find_and_index, render
from tools.acceptance.dials import crystals_of, run_dials
from tools.acceptance.pictures import draw_spots
from tools.acceptance.series import CELL, series_spec, write_structure_factors
from tools.acceptance.truth import choice_of_axes, compare, true_reciprocal
from tools.acceptance.verdict import STILL_ORIENTATION_DEG, Stills, Verdict

SHOTS: Final = 20


def monoclinic_spec(reflections: Path) -> dict[str, Any]:
    """Return the sweep: a whole turn of 5E5Z (P2₁) before a detector tilted and swung.

    The peptide's cell of 1,700 Å³ has 1,700 reflections to 1.66 Å, so 2,000 spots take a whole
    turn, in which each comes twice. Gaussian domains of 140 Å give spots three pixels wide: those
    of larger blocks fall apart into the fragments of ten discrete orientations, and the fringes of
    blocks and spheres are found as spots of their own.
    """
    return {
        "experiment": {
            "title": "5E5Z on a tilted detector",
            "beam": {"wavelength_angstrom": 0.9, "fluence_photons_per_m2": 3e28},
            "crystal": {
                "misset_deg": [15.0, 25.0, 35.0],
                "block_cells": [14, 14, 8],
                "shape": "gauss",
                "mosaic": {"spread_deg": 0.2, "domains": 10},
            },
            "structure_factors": {"file": str(reflections.absolute()), "column": "FP"},
            "detector": {
                "distance_mm": 75.0,
                "pixel_size_mm": 0.15,
                "pixels_fast": 800,
                "pixels_slow": 800,
                "twotheta_deg": 12.0,
                "rotation_deg": [2.0, 3.0, 4.0],
            },
            "goniometer": {"oscillation_deg": 1.0, "steps": 5},
            "sampling": {"oversample": 1},
            "background": {"water_um": 0.05},
            "noise": {"photon": True, "seed": 1},
        },
        "axes": [
            {
                "name": "phi",
                "path": "goniometer.phi_deg",
                "arange": {"start": 0.0, "stop": 360.0, "step": 1.0},
            }
        ],
    }


def judge_monoclinic(folder: Path, reflections: Path, picture: Path) -> Verdict:
    """Judge a series of the crystal of an MTZ file (5E5Z) on a detector tilted and swung."""
    run = render(folder, "monoclinic", monoclinic_spec(reflections))
    source = str(export(run, "nxmx") / "monoclinic_master.h5")
    return find_and_index(folder / "dials", source, run, picture)


def two_panels() -> dict[str, Any]:
    """Return a DIALS experiment list with two panels, the second turned by a degree."""
    shared = {"image_size": [1024, 504], "pixel_size": [0.17, 0.17], "fast_axis": [1, 0, 0]}
    panels = [
        {**shared, "name": "upper", "slow_axis": [0, -1, 0], "origin": [-87.04, 87.04, -150.0]},
        {
            **shared,
            "name": "lower",
            "slow_axis": [0.0, -0.9998476951563913, -0.01745240643728351],
            "origin": [-87.04, -0.34, -150.0],
        },
    ]
    identity = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    return {
        "__id__": "ExperimentList",
        "experiment": [{"__id__": "Experiment", "beam": 0, "detector": 0, "goniometer": 0}],
        "beam": [{"direction": [0, 0, 1], "wavelength": 1.0}],
        "detector": [{"panels": panels, "hierarchy": {"children": [{"panel": 0}, {"panel": 1}]}}],
        "goniometer": [
            {
                "rotation_axis": [1, 0, 0],
                "fixed_rotation": identity,
                "setting_rotation": identity,
            }
        ],
        "scan": [],
        "crystal": [],
    }


def two_panel_spec() -> dict[str, Any]:
    """Return the series before two panels, of a crystal with a smoother spread.

    An experiment list sets the frame, so the crystal lies otherwise than in the series; ten
    domains then fall apart more, and DIALS indexes 90.2 % where it does 93.6 % there.
    """
    spec = series_spec()
    spec["experiment"]["detector"] = {"geometry_file": "panels.expt"}
    spec["experiment"]["crystal"]["mosaic"]["domains"] = 40
    return spec


def judge_two_panels(folder: Path, picture: Path) -> Verdict:
    """Judge the series on a detector of two panels that comes from an experiment list."""
    folder.mkdir(parents=True, exist_ok=True)
    write_structure_factors(folder / "P1.hkl")
    (folder / "panels.expt").write_text(json.dumps(two_panels()), encoding="utf-8")
    run = render(folder, "panels", two_panel_spec())
    source = str(export(run, "nxmx") / "panels_master.h5")
    return find_and_index(folder / "dials", source, run, picture)


def stills_spec() -> dict[str, Any]:
    """Return the sweep: stills of random orientation in a beam of 1 % bandwidth."""
    spec = series_spec()
    experiment = spec["experiment"]
    experiment["title"] = "Stills in a pink beam"
    experiment["beam"] = {
        "wavelength_angstrom": 1.0,
        "fluence_photons_per_m2": 1e27,
        "dispersion": {"range_percent": 1.0, "steps": 15},
    }
    experiment["crystal"] |= {
        "block_cells": [20, 20, 40],
        "mosaic": {"spread_deg": 0.05, "domains": 5},
    }
    del experiment["crystal"]["misset_deg"], experiment["goniometer"]
    spec["axes"] = [{"name": "shot", "random_orientations": {"count": SHOTS, "seed": 7}}]
    return spec


def judge_stills(folder: Path, picture: Path) -> Stills:
    """Judge stills in a pink beam, the cell being known.

    The indexer for sequences works on stills too. That for stills ends in an estimate of the
    mosaicity by a module that Debian's package leaves out (`xfel_mono_sim_ext`): there it can
    index nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_structure_factors(folder / "P1.hkl")
    run = render(folder, "stills", stills_spec())
    source = export(run, "nxmx") / "stills_master.h5"
    cell = ",".join(map(str, (*CELL, 90.0, 90.0, 90.0)))
    run_dials(
        folder / "dials",
        "dials.stills_process",
        str(source),
        f"indexing.known_symmetry.unit_cell={cell}",
        "indexing.known_symmetry.space_group=P1",
        "indexing.stills.indexer=sequences",
        "mp.nproc=1",
        "dispatch.integrate=False",
        "output.composite_output=False",
    )
    found = sorted((folder / "dials").glob("*_refined.expt"), key=shot_of)
    if found:
        table = found[0].with_name(found[0].name.replace("_refined.expt", "_indexed.refl"))
        draw_spots(picture, run, table, shot_of(found[0]), still=True)
    return count_stills(found, run)


def count_stills(found: Sequence[Path], run: Path) -> Stills:
    """Compare the crystals that were found with those of the stack, shot by shot."""
    indexed, right = 0, 0
    for path in found:
        crystals = crystals_of(path)
        if not crystals:
            continue
        indexed += 1
        truth = true_reciprocal(run, shot_of(path))
        whole = abs(np.linalg.det(choice_of_axes(crystals[0], truth))) == 1.0
        right += bool(whole and compare(crystals[0], truth)[2] <= STILL_ORIENTATION_DEG)
    return Stills(indexed, right, SHOTS)


def shot_of(path: Path) -> int:
    """Return the number of the shot in a file's name, counted from 0."""
    numbers = re.findall(r"_(\d+)_refined\.expt$", path.name)
    if not numbers:
        raise ValueError(f"no number of a shot in {path.name}")
    return int(numbers[0])
