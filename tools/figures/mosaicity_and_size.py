"""Draw the figure of `docs/explanation/physics/mosaicity-and-size.md`.

python -m tools.figures.mosaicity_and_size
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from tools.figures.drawing import rendered, save

_NORMAL: Final = {"distribution": "gaussian"}
_ISOTROPIC: Final = {"mosaic": {**_NORMAL, "spread_deg": 0.15}}

PANELS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("isotropic, 0.15°", _ISOTROPIC),
    ("0.4, 0.02, 0.02°", {"mosaic": {**_NORMAL, "spread_deg": [0.4, 0.02, 0.02]}}),
    ("cells, 0.6 %", {**_ISOTROPIC, "cell_spread": {"lengths_percent": 0.6}}),
    (
        "N a matrix",
        {"mosaic": {**_NORMAL, "spread_deg": 0.02}, "block_cells": [12, 12, 24, 10.5, 0, 0]},
    ),
    (
        "sizes, 50 %",
        {
            "mosaic": {**_NORMAL, "spread_deg": 0.02},
            "block_cells": [14, 14, 28],
            "size_spread_fraction": 0.5,
        },
    ),
)

_MIDDLE: Final = (30.16, 30.05)
"""Where a reflection falls, mm from the direct beam along slow and fast."""

_PIXELS: Final = 80
_PIXEL_MM: Final = 0.05


def specification(crystal: dict[str, Any]) -> dict[str, Any]:
    """Return a still of a tetragonal crystal on a small panel about one reflection."""
    half = 0.5 * _PIXELS * _PIXEL_MM
    return {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e24,
            "bandwidth_percent": 0.05,
            "polarization": {"enabled": False},
        },
        "crystal": {
            "cell": [79.0, 79.0, 38.0, 90.0, 90.0, 90.0],
            "block_cells": [30, 30, 60],
            "shape": "gauss",
            "misset_deg": [12.0, 37.0, 61.0],
            "illuminated_blocks": 2e4,
            **crystal,
        },
        "structure_factors": {"default_f_electrons": 300.0},
        "detector": {
            "distance_mm": 150.0,
            "pixel_size_mm": _PIXEL_MM,
            "pixels_fast": _PIXELS,
            "pixels_slow": _PIXELS,
            "convention": "mosflm",
            "xbeam_mm": half - _MIDDLE[0],
            "ybeam_mm": half - _MIDDLE[1],
        },
    }


def draw() -> None:
    """Draw the spot of each crystal, each as bright as its own maximum."""
    figure = Figure(figsize=(3.0 * len(PANELS), 3.3), layout="constrained")
    axes = figure.subplots(1, len(PANELS))
    for axis, (title, crystal) in zip(axes, PANELS, strict=True):
        image = rendered(specification(crystal))
        axis.imshow(np.sqrt(image / image.max()), cmap="magma")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    save(figure, "mosaicity-and-size")


if __name__ == "__main__":
    draw()
