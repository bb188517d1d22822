"""Draw the figure of `docs/explanation/physics/lattices.md`.

python -m tools.figures.lattices
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tools.bench.closed_scenes import write_reflections
from tools.figures.drawing import draw_row, rendered

PANELS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("one lattice", {}),
    ("two, split by 1°", {"lattices": [{"turned_deg": [0.0, 0.0, 1.0]}]}),
    ("two, independent", {"drawn_lattices": {"count": 2, "seed": 3}}),
    ("a miss", {"present": False}),
)


def specification(reflections: str, crystal: dict[str, Any]) -> dict[str, Any]:
    """Return a still of a tetragonal protein in closed form, off the beam, with water."""
    return {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e22,
            "bandwidth_percent": 0.1,
            "polarization": {"kahn_factor": 0.99},
        },
        "crystal": {
            "cell": [79.0, 79.0, 38.0, 90.0, 90.0, 90.0],
            "block_cells": [30, 30, 60],
            "shape": "gauss",
            "misset_deg": [12.0, 37.0, 61.0],
            "illuminated_blocks": 2e4,
            "mosaic": {"distribution": "gaussian", "spread_deg": 0.15},
            **crystal,
        },
        "structure_factors": {"file": reflections},
        "detector": {
            "distance_mm": 150.0,
            "pixel_size_mm": 0.15,
            "pixels_fast": 220,
            "pixels_slow": 220,
            "convention": "mosflm",
            "xbeam_mm": -30.0,
            "ybeam_mm": -30.0,
        },
        "background": {"water_um": 4.5},
    }


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        listed = str(write_reflections(Path(folder) / "reflections.hkl"))
        draw_row(
            "lattices",
            [(title, rendered(specification(listed, crystal))) for title, crystal in PANELS],
            150.0,
        )
