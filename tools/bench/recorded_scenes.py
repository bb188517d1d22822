"""The frames that the costs of a detector's image are timed on, as plain specifications."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from tools.bench.closed_scenes import CELL, exafel

ELEMENT: Final = "Hg"
"""Whose L3 edge, 1.0093 Å, lies beside the spectra."""

ATOMS: Final = 1000
HEAVY_ATOMS: Final = 4
WATER: Final[dict[str, Any]] = {"name": "water", "thickness_um": 5.0}
AIR: Final[dict[str, Any]] = {"name": "air", "thickness_um": 5000.0}
RESPONSE: Final[dict[str, Any]] = {
    "seed": 1,
    "calibration_fraction": 0.03,
    "gain_adu_per_photon": 0.7,
    "offset_adu": 40.0,
    "readout_adu": 1.5,
}
FIBRE: Final[dict[str, Any]] = {"kind": "fibre", "fwhm_um": 80.0, "radius_px": 10}


def write_model(path: Path) -> Path:
    """Write a crystal of P 43 21 2 with atoms at random and a few heavy ones among them."""
    random = np.random.default_rng(1)
    edges = " ".join(f"{edge:8.3f}" for edge in CELL)
    lines = [f"CRYST1 {edges}  90.00  90.00  90.00 P 43 21 2     8"]
    places = random.uniform(0.0, 1.0, (ATOMS, 3)) * CELL
    for number, (x, y, z) in enumerate(places, start=1):
        heavy = number <= HEAVY_ATOMS
        element = ELEMENT.upper() if heavy else "CNO"[number % 3]
        name = f"{element:<4}" if heavy else f" {element:<3}"
        record = "HETATM" if heavy else "ATOM  "
        lines.append(
            f"{record}{number:5d} {name} {'HG ' if heavy else 'GLY'} A{number % 9999:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00 15.00          {element:>2}"
        )
    path.write_text("\n".join([*lines, "END", ""]), encoding="ascii")
    return path


def of_one_table(plain: dict[str, Any], model: Path) -> dict[str, Any]:
    """Return the frame with |F| of a model, the same at all energies."""
    return {**plain, "structure_factors": {"file": str(model), "dmin_angstrom": 1.5}}


def by_energy(plain: dict[str, Any], model: Path) -> dict[str, Any]:
    """Return the frame with |F| of a model at the energy of each line."""
    of_model = of_one_table(plain, model)
    elements = [{"element": ELEMENT}]
    factors = {**of_model["structure_factors"], "anomalous_elements": elements}
    return {**of_model, "structure_factors": factors}


def with_materials(plain: dict[str, Any], *materials: dict[str, Any]) -> dict[str, Any]:
    """Return the frame with these materials for its background."""
    return {**plain, "background": {"materials": list(materials)}}


def responding(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the frame as a detector of calibration, gain, offset and readout records it."""
    return {**plain, "detector": {**plain["detector"], "response": RESPONSE}}


def with_fibre(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the frame behind a fibre taper of 80 µm."""
    return {**plain, "detector": {**plain["detector"], "point_spread": FIBRE}}


def second_lattice(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the frame with one lattice more, turned far away."""
    crystal = {**plain["crystal"], "lattices": [{"misset_deg": [70.0, -35.0, 15.0]}]}
    return {**plain, "crystal": crystal}


def exafel_full(reflections: Path, model: Path) -> dict[str, Any]:
    """Return ExaFEL's frame with all that a detector would have recorded."""
    plain = with_materials(exafel(reflections), WATER, AIR)
    return responding(by_energy(plain, model))
