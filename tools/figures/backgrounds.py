"""Draw the figure of `docs/explanation/physics/backgrounds.md`.

python -m tools.figures.backgrounds
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tools.figures.drawing import draw_row, rendered

WATER: Final = {"name": "water", "thickness_um": 30}
AIR: Final = {"name": "air", "thickness_um": 4_000}
STOP: Final = {"radius_mm": 4, "edge_mm": 0.6, "arm_width_mm": 2, "arm_angle_deg": 100}
FRAMES: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    ("water, 30 µm", {"materials": [WATER]}, {}),
    ("water, air 4 mm, beam stop", {"materials": [WATER, AIR]}, {"beam_stop": STOP}),
    (
        "and rings of 2 µm of ice",
        {"materials": [WATER, AIR], "ice_rings": {"thickness_um": 2}},
        {"beam_stop": STOP},
    ),
)


def frame_of(background: dict[str, Any], stop: dict[str, Any]) -> np.ndarray:
    """Render counts of a protein crystal of 15 µm on a background."""
    return rendered(
        {
            "beam": {
                "wavelength_angstrom": 1.0,
                "flux_photons_per_s": 1e12,
                "exposure_s": 0.1,
                "size_mm": 0.02,
                "bandwidth_percent": 0.3,
            },
            "crystal": {
                "cell": [79.1, 79.1, 37.9, 90, 90, 90],
                "block_cells": [30, 30, 30],
                "misset_deg": [10, 20, 30],
                "shape": "gauss",
                "mosaic": {"distribution": "gaussian", "spread_deg": 0.3},
                "specimen": {"edges_um": [15, 20, 20]},
            },
            "sampling": {"dmin_angstrom": 1.8},
            "structure_factors": {"default_f_electrons": 150},
            "background": background,
            "detector": {
                "distance_mm": 150,
                "pixel_size_mm": 0.8,
                "pixels_fast": 250,
                "pixels_slow": 250,
                **stop,
            },
            "noise": {"photon": True, "seed": 1},
        }
    )


if __name__ == "__main__":
    draw_row(
        "backgrounds",
        [(title, frame_of(background, stop)) for title, background, stop in FRAMES],
        1200.0,
    )
