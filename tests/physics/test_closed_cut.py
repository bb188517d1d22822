"""What the closed form leaves out beyond its cut, and the bound that is told of it."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import call
from distbragg.kernel.render_tile import sum_tile
from distbragg.plan.frame import SourceChunk, Tile
from tests.physics.closed_scenes import BASE, FLOAT64, experiment, panel_about

LINES = {"spectrum": {"wavelengths_angstrom": [0.99, 1.0, 1.01], "weights": [1, 3, 2]}}

RAY, FAST = np.array([0.96, 0.28, 0.0]), np.array([-0.28, 0.96, 0.0])
SEEN = panel_about(RAY, FAST, distance_mm=60.0, size_mm=0.4, edge=60, tilt_deg=85.0)
ASLANT = {
    "detector": {"panels": [SEEN], **dict.fromkeys(BASE["detector"])},
    "sampling": {"dmin_angstrom": 2.0},
}
"""A panel 48 mm from the sample, in a plane 5 mm from it."""

FINE = {"detector": {"pixel_size_mm": 0.4, "pixels_fast": 225, "pixels_slow": 200}}
NARROW = {"crystal": {"block_cells": [100, 90, 80]}, "sampling": {"oversample": "auto"}}


def summed(scene):
    rows, columns = scene.detector.panels[0].shape
    chunk = SourceChunk(0, scene.beam.sources.count)
    return sum_tile(scene, 0, Tile(0, rows, 0, columns), chunk, FLOAT64)


@pytest.mark.spec("SAM-14")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="mosaic"),
        pytest.param({"crystal": {"mosaic": {"spread_deg": 0.0}}}, id="perfect"),
        pytest.param({"crystal": {"mosaic": {"spread_deg": 1.5}}}, id="overlapping"),
        pytest.param({"beam": {"bandwidth_percent": 0.5}}, id="bandwidth"),
        pytest.param({"beam": {"divergence_mrad": 1.0}}, id="divergence"),
        pytest.param({"beam": LINES}, id="lines"),
        pytest.param({"goniometer": {"oscillation_deg": 1.0}}, id="rotation"),
        pytest.param(ASLANT, id="aslant"),
        pytest.param(NARROW, id="narrower than pixels"),
        pytest.param({**NARROW, "goniometer": {"oscillation_deg": 0.05}}, id="narrow and rotating"),
    ],
)
def test_what_is_left_out_stays_within_the_bound_that_is_told(monkeypatch, change):
    scene = experiment(*([] if change is ASLANT else [FINE]), change)
    monkeypatch.setitem(call.CUT, "float64", 8.0)
    whole = summed(scene)
    monkeypatch.setitem(call.CUT, "float64", 4.0)
    cut = summed(scene)
    left_out = np.abs(whole.numerator - cut.numerator).max()
    assert 0.0 < left_out <= cut.skipped
    # The bound is worth something.
    assert cut.skipped <= 100.0 * left_out
    assert whole.skipped <= 1e-8 * cut.skipped
