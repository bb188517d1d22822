"""Draw the figure of `docs/explanation/physics/scale-of-the-crystal.md`.

python -m tools.figures.scale_of_the_crystal
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tools.figures.drawing import ROOT, draw_row, rendered

CRYSTALS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("one block of 8³ cells, 9 nm", {"illuminated_blocks": 1}),
    ("a crystal of (1 µm)³: 1.3e6 blocks", {"specimen": {"edges_um": [1, 1, 1]}}),
    ("a crystal of (4 µm)³: 8.3e7 blocks", {"specimen": {"edges_um": [4, 4, 4]}}),
)


def frame_of(crystal: dict[str, Any]) -> np.ndarray:
    """Render counts of a garnet in a beam of 10 µm, on 10 µm of water."""
    return rendered(
        {
            "beam": {
                "wavelength_angstrom": 0.5,
                "flux_photons_per_s": 1e12,
                "exposure_s": 0.012,
                "size_mm": 0.01,
                "bandwidth_percent": 0.5,
            },
            "crystal": {
                "cell": [11.459, 11.459, 11.459, 90, 90, 90],
                "block_cells": [8, 8, 8],
                "misset_deg": [10, 20, 30],
                "shape": "gauss",
                "mosaic": {"distribution": "gaussian", "spread_deg": 0.5},
                **crystal,
            },
            "structure_factors": {
                "file": str(ROOT / "distbragg" / "data" / "pyrope.cif"),
                "dmin_angstrom": 0.6,
                "bulk_solvent": False,
            },
            "background": {"water_um": 10},
            "detector": {
                "distance_mm": 60,
                "pixel_size_mm": 0.5,
                "pixels_fast": 200,
                "pixels_slow": 200,
            },
            "noise": {"photon": True, "seed": 1},
        }
    )


if __name__ == "__main__":
    draw_row(
        "scale-of-the-crystal", [(title, frame_of(crystal)) for title, crystal in CRYSTALS], 121.0
    )
