"""Draw the figures of `docs/explanation/physics/real-looking-frames.md`: two whole detectors.

python -m tools.figures.real_looking
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tools.figures.drawing import FOLDER, rendered

CELL: Final = (79.1, 79.1, 38.0)
"""Å: tetragonal lysozyme, P 4₃ 2₁ 2."""
DMIN: Final = 1.5
B_FACTOR: Final = 18.0
_SHADES: Final = 52
SQUARED: Final = 3.2e5
"""Electrons²: Σ f² of the atoms in the cell, the mean |F|² that does not fall off."""

RAYONIX: Final[dict[str, Any]] = {
    "beam": {
        "wavelength_angstrom": 0.9795,
        "flux_photons_per_s": 1e12,
        "exposure_s": 0.1,
        "size_mm": 0.05,
        "bandwidth_percent": 0.02,
        "divergence_mrad": [0.15, 0.05],
        "polarization": {"kahn_factor": 0.95},
    },
    "crystal": {
        "cell": [*CELL, 90, 90, 90],
        "block_cells": [60, 60, 120],
        "misset_deg": [23, 41, 67],
        "shape": "gauss",
        "specimen": {"edges_um": [50, 60, 80]},
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.12},
    },
    "goniometer": {"oscillation_deg": 0.5, "spindle_axis": [0, 0, 1]},
    "detector": {
        "preset": "rayonix_mx340hs",
        "distance_mm": 220,
        "point_spread": {"kind": "fibre", "fwhm_um": 80, "radius_px": 20},
        "response": "typical",
        "beam_stop": {"radius_mm": 3.0, "edge_mm": 0.6, "arm_width_mm": 1.2, "arm_angle_deg": 90},
    },
    "background": {
        "materials": [
            {"name": "water", "thickness_um": 120},
            {"name": "oil", "thickness_um": 8},
            {"name": "air", "thickness_um": 30_000},
        ]
    },
    "noise": {"photon": True, "seed": 3},
    "output": {"dtype": "uint16"},
}
JUNGFRAU: Final[dict[str, Any]] = {
    "beam": {
        "wavelength_angstrom": 1.305,
        "fluence_photons_per_m2": 3e21,
        "size_mm": 0.004,
        "bandwidth_percent": 0.1,
        "divergence_mrad": [0.2, 0.2],
        "polarization": {"kahn_factor": 0.99},
    },
    "crystal": {
        "cell": [*CELL, 90, 90, 90],
        "block_cells": [30, 30, 60],
        "misset_deg": [133, 41, 17],
        "shape": "gauss",
        "specimen": {"edges_um": [6, 8, 10]},
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.08},
    },
    "detector": {"preset": "jungfrau_4m", "distance_mm": 110, "response": "typical"},
    "background": {
        "materials": [
            {"name": "water", "thickness_um": 30},
            {"name": "air", "thickness_um": 3_000},
        ]
    },
    "noise": {"photon": True, "seed": 3},
}


def write_reflections(path: Path) -> None:
    """Write |F| of lysozyme's cell and symmetry with Wilson's statistics: of no structure."""
    random = np.random.default_rng(1)
    known: dict[tuple[int, ...], float] = {}
    lines = []
    ranges = (range(-int(edge / DMIN), int(edge / DMIN) + 1) for edge in CELL)
    for index in itertools.product(*ranges):
        squared = sum((i / edge) ** 2 for i, edge in zip(index, CELL, strict=True))
        first, second = sorted(map(abs, index[:2]), reverse=True)
        unique = first, second, abs(index[2])
        if not 0.0 < squared <= DMIN**-2 or _absent(*unique):
            continue
        if unique not in known:
            # The solvent between the molecules hides them at low resolution.
            seen = (1.0 - 0.85 * np.exp(-46.0 * squared / 4.0)) ** 2
            fall = np.exp(-2.0 * B_FACTOR * squared / 4.0)
            known[unique] = float(np.sqrt(SQUARED * fall * seen * random.exponential()))
        lines.append(" ".join(map(str, index)) + f" {known[unique]:.3f}\n")
    path.write_text("".join(lines), encoding="ascii")


def _absent(first: int, second: int, third: int) -> bool:
    """Whether the screw axes of P 4₃ 2₁ 2 extinguish a reflection of its asymmetric unit."""
    along_c = first == second == 0 and third % 4 != 0
    along_a = second == third == 0 and first % 2 != 0
    return along_c or along_a


def draw(name: str, image: np.ndarray, corner: tuple[int, int], binned: int) -> None:
    """Draw a detector, pixels binned, and beside it a part of it pixel by pixel; dark is bright."""
    pixels = image.astype(np.float64)
    slow, fast = (size // binned for size in pixels.shape)
    blocks = pixels[: slow * binned, : fast * binned].reshape(slow, binned, fast, binned)
    whole = blocks.mean(axis=(1, 3))
    part = pixels[corner[0] : corner[0] + slow, corner[1] : corner[1] + slow]
    between = np.ones((slow, 8))
    shades = np.hstack([_shades(whole), between, _shades(part)])
    steps = np.round((_SHADES - 1) * shades) * (255 // (_SHADES - 1))
    picture = Image.fromarray(steps.astype(np.uint8))
    picture.quantize(_SHADES).save(FOLDER / f"{name}.png", optimize=True)


def _shades(shown: np.ndarray) -> np.ndarray:
    """From 1, white, to 0: linear up to a little above what all but few pixels hold."""
    low, high = np.percentile(shown, [0.5, 98.5])
    most = low + 1.6 * (high - low)
    return np.asarray(np.clip((most - shown) / (most - low), 0.0, 1.0))


def main() -> None:
    """Render both and draw them."""
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        path = Path(folder) / "lysozyme.hkl"
        write_reflections(path)
        shared = {
            "structure_factors": {"file": str(path)},
            "sampling": {"method": "closed_form", "dmin_angstrom": DMIN},
        }
        rayonix, jungfrau = (rendered({**one, **shared}) for one in (RAYONIX, JUNGFRAU))
    draw("real-looking-rayonix", rayonix, (2300, 2300), 10)
    draw("real-looking-jungfrau", jungfrau, (1700, 480), 6)


if __name__ == "__main__":
    main()
