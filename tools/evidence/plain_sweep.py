"""A plain sweep to measure the engine with: one frame a unit, as much work as wished."""

from __future__ import annotations

from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec


def plain_sweep(title: str, *, units: int, domains: int, edge: int) -> SweepSpec:
    """Describe a still crystal turned from frame to frame.

    Parameters
    ----------
    title : str
        Runs of different titles are different runs.
    units : int
        Frames, one in each unit.
    domains : int
        Mosaic domains: the work of a frame.
    edge : int
        Pixels along each side.
    """
    experiment = {
        "title": title,
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
        "crystal": {
            "cell": [79.0, 79.0, 38.0, 90.0, 90.0, 90.0],
            "block_cells": [20, 20, 20],
            "mosaic": {"spread_deg": 0.5, "domains": domains},
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "pixels_fast": edge,
            "pixels_slow": edge,
            "pixel_size_mm": 0.1,
            "distance_mm": 150.0,
        },
        "sampling": {"oversample": 1},
        "compute": {"frames_per_unit": 1, "form": "unit"},
    }
    values = {"start": 0.0, "stop": 90.0, "count": units}
    axes = [{"name": "phi", "path": "goniometer.phi_deg", "linspace": values}]
    return parse_sweep({"experiment": experiment, "axes": axes}, source=title)
