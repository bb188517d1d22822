"""Experiments of a Gaussian crystal for tests of the closed form, and their images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.build_reflections import reflections_from_list
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec

Vector = NDArray[np.float64]

FLOAT64 = KernelOptions("float64", "native", "cpu", 1)
MIXED = KernelOptions("mixed", "native", "cpu", 1)
MODEL = KernelOptions("float64", "model", "cpu", 1)

BASE: dict[str, Any] = {
    "beam": {"wavelength_angstrom": 1.0, "polarization": {"enabled": False}},
    "crystal": {
        "cell": [40, 50, 60, 80, 95, 105],
        "block_cells": [24, 18, 15],
        "misset_deg": [10, 20, 30],
        "shape": "gauss",
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.3},
    },
    "structure_factors": {"default_f_electrons": 10},
    "detector": {
        "distance_mm": 60, "pixel_size_mm": 2.0, "pixels_fast": 45, "pixels_slow": 40,
    },
    "sampling": {"oversample": 1, "dmin_angstrom": 4.0},
}  # fmt: skip
"""A triclinic crystal on a small panel of large pixels, their middles standing for them."""


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a specification with some fields changed, sections within sections."""
    out = dict(base)
    for name, value in changes.items():
        before = out.get(name)
        both = isinstance(before, dict) and isinstance(value, dict)
        out[name] = changed(before, value) if both else value
    return out


def experiment(*changes: dict[str, Any], method: str | None = "closed_form") -> Experiment:
    """Build `BASE` with changes, in closed form unless told otherwise."""
    spec = BASE
    for change in changes:
        spec = changed(spec, change)
    built = build_experiment(parse_spec(spec))
    assert method is None or built.sampling.method == method
    return built


def alone(hkl: Any, panel: dict[str, Any], *changes: dict[str, Any]) -> Experiment:
    """Build `BASE` with changes, of which one reflection scatters onto one panel."""
    spec = BASE
    for change in changes:
        spec = changed(spec, change)
    table = reflections_from_list(np.array([hkl]), np.array([10.0]), 0.0)
    return build_experiment(
        parse_spec({**spec, "detector": {"panels": [panel]}}), reflections=table
    )


def panel_about(
    ray: Vector,
    fast: Vector,
    *,
    distance_mm: float,
    size_mm: float,
    edge: int,
    tilt_deg: float = 0.0,
    place: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Any]:
    """Return a square panel whose middle a ray meets, a unit vector, `fast` another across it.

    It is tilted about slow; `place` is how many pixels beside the middle the ray meets it.
    """
    angle = np.radians(tilt_deg)
    slow = np.cross(ray, fast)
    along = np.cos(angle) * fast + np.sin(angle) * ray
    across, down = (size_mm * (part - 0.5 * edge) for part in place)
    return {
        "origin_mm": (distance_mm * ray + across * along + down * slow).tolist(),
        "fast": along.tolist(), "slow": slow.tolist(),
        "pixel_size_mm": float(size_mm), "pixels_fast": edge, "pixels_slow": edge,
    }  # fmt: skip


def image(
    scene: Experiment,
    options: KernelOptions = FLOAT64,
    panel: int = 0,
    tile: Tile | None = None,
    chunk: SourceChunk | None = None,
) -> np.ndarray:
    """Render a panel, or a tile of it, before the factors that all pixels share."""
    rows, columns = scene.detector.panels[panel].shape
    tile = tile or Tile(0, rows, 0, columns)
    chunk = chunk or SourceChunk(0, scene.beam.sources.count)
    return render_tile(scene, panel, tile, chunk, options).reshape(tile.shape)


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the greatest difference as a share of the maximum."""
    return float(np.abs(found - expected).max() / expected.max())
