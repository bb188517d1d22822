"""Draw the figure of `docs/explanation/physics/per-pixel-truth.md`.

python -m tools.figures.per_pixel_truth
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import distbragg as db
from distbragg.spec.load import parse_spec
from tools.bench.closed_scenes import write_reflections
from tools.figures.drawing import save


def specification(reflections: str) -> dict[str, Any]:
    """Return a still of a tetragonal protein in a pink beam, off the beam's centre, with water."""
    return {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e22,
            "bandwidth_percent": 0.7,
            "polarization": {"kahn_factor": 0.99},
        },
        "crystal": {
            "cell": [79.0, 79.0, 38.0, 90.0, 90.0, 90.0],
            "block_cells": [30, 30, 60],
            "shape": "gauss",
            "misset_deg": [12.0, 37.0, 61.0],
            "illuminated_blocks": 6e4,
            "mosaic": {"distribution": "gaussian", "spread_deg": 0.3},
        },
        "structure_factors": {"file": reflections},
        "detector": {
            "distance_mm": 150.0,
            "pixel_size_mm": 0.15,
            "pixels_fast": 180,
            "pixels_slow": 180,
            "convention": "mosflm",
            "xbeam_mm": -25.0,
            "ybeam_mm": -25.0,
        },
        "background": {"water_um": 9.0},
        "noise": {"photon": True, "seed": 1},
        "output": {
            "maps": ["hkl", "mean_wavelength", "bragg_share", "spot_mask"],
            "mask_minimum_photons": 2.0,
            "mask_minimum_fraction": 0.2,
        },
    }


def main() -> None:
    """Draw a frame and its maps beside each other."""
    with TemporaryDirectory() as folder:
        listed = str(write_reflections(Path(folder) / "reflections.hkl"))
        frame = db.render(parse_spec(specification(listed)))
    mask = frame["spot_mask"].to_numpy() > 0
    hkl = frame["hkl"].to_numpy().astype(np.int64)
    # Neighbours differ in shade, and one reflection has one shade throughout.
    shade = (hkl @ np.array([7, 13, 29])) % 17
    figure = Figure(figsize=(16.5, 3.9), layout="constrained")
    shown = [
        ("photons counted", np.sqrt(frame["images"].to_numpy()), "magma", None),
        ("Bragg share", frame["bragg_share"].to_numpy(), "viridis", "share"),
        ("mask", mask.astype(float), "gray", None),
        ("strongest h k l, in the mask", np.where(mask, shade, np.nan), "tab20", None),
        (
            "mean wavelength, in the mask",
            np.where(mask, frame["mean_wavelength"].to_numpy(), np.nan),
            "coolwarm_r",
            "Å",
        ),
    ]
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, (title, values, colours, unit) in zip(axes, shown, strict=True):
        picture = axis.imshow(values, cmap=colours, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        if unit:
            figure.colorbar(picture, ax=axis, shrink=0.8, label=unit)
    save(figure, "per-pixel-truth")


if __name__ == "__main__":
    main()
