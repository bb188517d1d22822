"""A sweep of a few small frames, which takes no time to render."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec


def small_sweep(
    phi_deg: Sequence[float],
    *,
    pixels: tuple[int, int] = (11, 13),
    sampling: dict[str, Any] | None = None,
    **compute: Any,
) -> SweepSpec:
    """Return a sweep over `phi_deg` of frames with `pixels` (slow, fast); `compute`: its fields."""
    return parse_sweep(
        {
            "experiment": {
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
                "structure_factors": {"default_f_electrons": 10.0},
                "detector": {
                    "distance_mm": 60,
                    "pixel_size_mm": 2.0,
                    "pixels_fast": pixels[1],
                    "pixels_slow": pixels[0],
                },
                "sampling": sampling or {},
                "compute": {"frames_per_unit": 1, **compute},
            },
            "axes": [{"name": "phi", "path": "goniometer.phi_deg", "values": list(phi_deg)}],
        }
    )
