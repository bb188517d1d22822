"""Draw the figure of `docs/explanation/physics/diffuse-scattering.md`.

python -m tools.figures.diffuse_scattering
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from tools.figures.drawing import ROOT, rendered, save

FRAMES: Final[tuple[tuple[str, dict[str, Any] | None], ...]] = (
    ("without", None),
    ("γ = 40 Å, σ = 0.12 Å", {"gamma_angstrom": 40, "sigma_angstrom": 0.12, "stencil": 2}),
    ("γ = 12 Å, σ = 0.12 Å", {"gamma_angstrom": 12, "sigma_angstrom": 0.12, "stencil": 2}),
)
FAINTEST: Final = 0.1
BRIGHTEST: Final = 2e4


def frame_of(diffuse: dict[str, Any] | None) -> np.ndarray:
    """Render expected photons of a garnet in a beam of 10 µm, in closed form."""
    crystal: dict[str, Any] = {
        "cell": [11.459, 11.459, 11.459, 90, 90, 90],
        "block_cells": [20, 20, 20],
        "misset_deg": [0, 12, 2],
        "shape": "gauss",
        "specimen": {"edges_um": [4, 4, 4]},
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.5},
    }
    if diffuse is not None:
        crystal["diffuse"] = diffuse
    return rendered(
        {
            "beam": {
                "wavelength_angstrom": 0.5,
                "flux_photons_per_s": 1e12,
                "exposure_s": 1.0,
                "size_mm": 0.01,
                "bandwidth_percent": 0.3,
            },
            "crystal": crystal,
            "structure_factors": {
                "file": str(ROOT / "distbragg" / "data" / "pyrope.cif"),
                "dmin_angstrom": 0.6,
                "bulk_solvent": False,
            },
            "detector": {
                "distance_mm": 60,
                "pixel_size_mm": 0.15,
                "pixels_fast": 300,
                "pixels_slow": 300,
                "xbeam_mm": -4,
                "ybeam_mm": 4,
            },
            "sampling": {"method": "closed_form"},
        }
    )


def draw() -> None:
    """Draw the frames beside each other, brightness by the logarithm."""
    figure = Figure(figsize=(3.4 * len(FRAMES) + 0.8, 3.8), layout="constrained")
    axes = figure.subplots(1, len(FRAMES))
    scale = LogNorm(FAINTEST, BRIGHTEST)
    for axis, (title, diffuse) in zip(axes, FRAMES, strict=True):
        frame = np.maximum(frame_of(diffuse), FAINTEST)
        shown = axis.imshow(frame, cmap="magma", norm=scale)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    figure.colorbar(shown, ax=list(axes), shrink=0.8, label="photons per pixel")
    save(figure, "diffuse-scattering")


if __name__ == "__main__":
    draw()
