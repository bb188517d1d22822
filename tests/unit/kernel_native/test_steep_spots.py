"""Closed form over pixels: spots so steep that the step over a sub-pixel is too long for them."""

from __future__ import annotations

import numpy as np
import pytest

import distbragg as db
from distbragg.spec.load import parse_spec


def image(precision: str) -> np.ndarray:
    plain = {
        "crystal": {
            "cell": [40, 50, 60, 90, 90, 90],
            "block_cells": [10, 10, 10],
            "shape": "gauss",
            "mosaic": {"spread_deg": 0.3, "domains": 200, "distribution": "gaussian"},
        },
        "structure_factors": {"default_f_electrons": 100},
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 4e22},
        "detector": {
            "convention": "dials",
            "pixels_fast": 120,
            "pixels_slow": 100,
            "pixel_size_mm": 0.4,
            "distance_mm": 60,
            "roi": [80, 119, 50, 90],
        },
        "compute": {"precision": precision},
    }
    return np.asarray(db.render(parse_spec(plain))["images"].values)


@pytest.mark.spec("SAM-16")
def test_spots_of_grazing_rays_are_no_brighter_than_they_are() -> None:
    mixed, exact = image("mixed"), image("float64")
    assert np.abs(mixed - exact).max() < 5e-3 * exact.max()
