"""Geometry files for the tests, written out as their programs write them."""

from __future__ import annotations

from typing import Any

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def expt_panel(name: str, origin: list[float], **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "SENSOR_PAD",
        "fast_axis": [1.0, 0.0, 0.0],
        "slow_axis": [0.0, -1.0, 0.0],
        "origin": origin,
        "image_size": [12, 10],
        "pixel_size": [0.5, 0.5],
        "trusted_range": [-1.0, 1e6],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "mask": [],
        **changes,
    }


def expt(panels: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """Two panels of 12 x 10 pixels side by side, a spindle along x, a tetragonal crystal."""
    if panels is None:
        panels = [
            expt_panel("left", [-6.5, 2.5, -60.0]),
            expt_panel("right", [0.5, 2.5, -60.0], mask=[[2, 3, 5, 4]]),
        ]
    return {
        "__id__": "ExperimentList",
        "experiment": [
            {
                "__id__": "Experiment",
                "beam": 0,
                "detector": 0,
                "goniometer": 0,
                "scan": 0,
                "crystal": 0,
            }
        ],
        "imageset": [],
        "beam": [
            {
                "direction": [0.0, 0.0, 1.0],
                "wavelength": 1.1,
                "polarization_normal": [0.0, 1.0, 0.0],
                "polarization_fraction": 0.99,
            }
        ],
        "detector": [{"panels": panels}],
        "goniometer": [
            {
                "rotation_axis": [1.0, 0.0, 0.0],
                "fixed_rotation": IDENTITY,
                "setting_rotation": IDENTITY,
            }
        ],
        "scan": [{"image_range": [1, 20], "oscillation": [5.0, 0.25]}],
        "crystal": [
            {
                "__id__": "crystal",
                "real_space_a": [0.0, 0.0, 40.0],
                "real_space_b": [40.0, 0.0, 0.0],
                "real_space_c": [0.0, 60.0, 0.0],
                "space_group_hall_symbol": " P 4",
            }
        ],
        **changes,
    }
