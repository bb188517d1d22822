"""The frames that the closed form is timed on, as plain specifications."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

CELL: Final = (79.0, 79.0, 38.0)
DMIN: Final = 1.5
LINES: Final = 100
BANDWIDTH_PERCENT: Final = 0.5
SPREAD_DEG: Final = 0.3
DOMAINS: Final = 100
"""What a sampled image of the protein still would take."""

PROTEIN: Final[dict[str, Any]] = {
    "distance_mm": 179.2,
    "pixel_size_mm": 0.1,
    "pixels_fast": 2048,
    "pixels_slow": 2048,
}
"""A detector whose corners see 1.5 Å at 1 Å; so do those of the other."""

EXAFEL: Final[dict[str, Any]] = {
    "distance_mm": 150.0,
    "pixel_size_mm": 0.0446,
    "pixels_fast": 3840,
    "pixels_slow": 3840,
}
WATER_UM: Final = 0.25


def write_reflections(path: Path) -> Path:
    """Write every reflection of the cell to 1.5 Å with |F| of Wilson statistics, B = 10 Å²."""
    most = [int(edge / DMIN) for edge in CELL]
    grid = np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij")
    hkl = np.stack([part.ravel() for part in grid], axis=1)
    squared = ((hkl / np.array(CELL)) ** 2).sum(axis=1)
    hkl, squared = hkl[squared <= DMIN**-2], squared[squared <= DMIN**-2]
    mean = 3.0e5 * np.exp(-2.0 * 10.0 * squared / 4.0)
    amplitude = np.sqrt(np.random.default_rng(1).exponential(1.0, len(hkl)) * mean)
    np.savetxt(path, np.column_stack([hkl, amplitude]), fmt="%d %d %d %.3f")
    return path


def protein(reflections: Path) -> dict[str, Any]:
    """Return a still: spread 0.3°, 100 lines with normal weights to 3 σ, σ = 0.5 %."""
    away = np.linspace(-3.0, 3.0, LINES)
    wavelengths = 1.0 + away * BANDWIDTH_PERCENT / 100.0
    return {
        "beam": {
            "fluence_photons_per_m2": 1e27,
            "spectrum": {
                "wavelengths_angstrom": wavelengths.tolist(),
                "weights": np.exp(-0.5 * away**2).tolist(),
            },
        },
        "crystal": _crystal(SPREAD_DEG),
        "structure_factors": {"file": str(reflections)},
        "detector": PROTEIN,
    }


def exafel(reflections: Path) -> dict[str, Any]:
    """Return the frame that ExaFEL published the time of, with water, noise and 16 bits."""
    wavelengths = np.linspace(0.995, 1.005, LINES)
    return measured(
        {
            "beam": {
                "fluence_photons_per_m2": 3e27,
                "spectrum": {"wavelengths_angstrom": wavelengths.tolist()},
            },
            "crystal": _crystal(0.05),
            "structure_factors": {"file": str(reflections)},
            "detector": EXAFEL,
        }
    )


def _crystal(spread_deg: float) -> dict[str, Any]:
    return {
        "cell": [*CELL, 90.0, 90.0, 90.0],
        "shape": "gauss",
        "block_cells": [20, 20, 20],
        "misset_deg": [10.0, 20.0, 30.0],
        "mosaic": {"distribution": "gaussian", "spread_deg": spread_deg},
    }


def measured(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the frame with some ten photons a pixel of water, counted, in 16 bits."""
    return {
        **plain,
        "background": {"water_um": WATER_UM},
        "noise": {"photon": True, "seed": 1},
        "output": {"dtype": "uint16"},
        "compute": {"frames_per_unit": 1},
    }


def without_crystal(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the same frame with |F| = 0 throughout."""
    return {**plain, "structure_factors": {"default_f_electrons": 0.0}}


def sampled(plain: dict[str, Any], domains: int) -> dict[str, Any]:
    """Return the same frame from so many domains, one point a pixel."""
    mosaic = {**plain["crystal"]["mosaic"], "domains": domains}
    return {
        **plain,
        "crystal": {**plain["crystal"], "mosaic": mosaic},
        "sampling": {"method": "sampled", "oversample": 1},
    }


def c_arguments(reflections: Path, domains: int, lines: int) -> tuple[str, ...]:
    """Return the protein still for the C program, whose lines weigh the same."""
    words = (
        f"-hkl {reflections} -cell {CELL[0]} {CELL[1]} {CELL[2]} 90 90 90 -misset 10 20 30 "
        f"-lambda 1 -oversample 1 -N 20 -gauss_xtal -distance {PROTEIN['distance_mm']} "
        f"-detpixels {PROTEIN['pixels_fast']} -pixel {PROTEIN['pixel_size_mm']} "
        f"-mosaic {SPREAD_DEG} -mosaic_domains {domains} "
        f"-dispersion {6.0 * BANDWIDTH_PERCENT} -dispsteps {lines}"
    )
    return tuple(words.split())
