"""Frames of a crystal whose size is a matrix: sampled, in closed form, and their labels."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.physics.factors import intensity_scale
from distbragg.predict.spots import predict_spots
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

MATRIX = {"crystal": {"block_cells": [[24, 6, -4], [6, 18, 5], [-4, 5, 15]]}}
FINE = {
    "crystal": {**MATRIX["crystal"], "mosaic": {"spread_deg": 0.0}},
    "detector": {"pixel_size_mm": 0.1, "pixels_fast": 900, "pixels_slow": 800},
    # Beyond the panel: samples are cut there, and reflections.
    "sampling": {"dmin_angstrom": 1.0},
}


@pytest.mark.spec("MOS-1")
def test_closed_form_and_labels_of_a_matrix_are_those_of_the_sum() -> None:
    closed = experiment(FINE)
    sampled = experiment(FINE, {"sampling": {"method": "sampled"}}, method="sampled")
    found, expected = image(closed), image(sampled)
    # Without spreads the closed form is the sum itself; it cuts spots at 8e-9 of what they may be.
    assert off(found, expected) < 1e-6
    assert off(image(closed, MIXED), expected) < 1e-3
    assert off(image(experiment(MATRIX), FLOAT64), image(experiment(MATRIX), MODEL)) < 1e-11
    photons = expected.sum() * intensity_scale(sampled)
    for scene in (closed, sampled):
        assert predict_spots(scene).photons.sum() == pytest.approx(photons, rel=0.02)
    assert np.count_nonzero(expected > 0.01 * expected.max()) > 100
