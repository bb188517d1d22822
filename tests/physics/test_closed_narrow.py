"""Spots of large crystals, far narrower than a pixel: their photons are those of converged sums."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from distbragg.kernel import native
from tests.physics.closed_scenes import (
    FLOAT64,
    MIXED,
    alone,
    experiment,
    image,
    panel_about,
)
from tests.physics.closed_scenes import off as apart

HKL = (-6, 20, 15)
"""Of 2.26 Å, within 3e-7 1/Å of the Ewald sphere: a crystal of 1,000 cells is 1e-5 wide."""

EDGE, PIXEL_MM = 5, 0.1
PLACE = (0.13, 0.31)
"""Where the spot is in the middle pixel, pixels from its centre."""

SUB_PIXELS = {300: (64, 128), 1000: (192, 256)}
"""Middles that stand for a pixel along each edge: one to a standard deviation is enough. With 32
of them a crystal of 1,000 cells is a third off, which is not a reference."""

TURN = {"goniometer": {"phi_deg": -0.05, "oscillation_deg": 0.1}}
WIDTHS = {
    "perfect": (0.0, {}),
    "mosaic": (0.02, {}),
    "streak": (0.1, {}),
    "bandwidth": (0.0, {"beam": {"bandwidth_percent": 0.1}}),
    "divergence": (0.0, {"beam": {"divergence_mrad": 0.1}}),
    "rotation": (0.02, TURN),
}
"""The streak is 250 times as long as it is wide. Much longer ones bend: the page on the closed form
tells of arcs."""


def scene(cells: int, oversample, name: str):
    spread, change = WIDTHS[name]
    crystal = {"block_cells": [cells] * 3, "mosaic": {"spread_deg": spread}}
    sampling = {"oversample": oversample, "dmin_angstrom": 1.2}
    changes = {"crystal": crystal, "sampling": sampling}, change
    plain = experiment(*changes)
    ray = np.array(HKL) @ plain.crystal.reciprocal - plain.beam.sources.direction[0]
    ray /= np.linalg.norm(ray)
    fast = np.cross(ray, [0.0, 0.0, 1.0])
    fast /= np.linalg.norm(fast)
    panel = panel_about(ray, fast, distance_mm=60.0, size_mm=PIXEL_MM, edge=EDGE, place=PLACE)
    return alone(HKL, panel, *changes)


@cache
def photons(cells: int, name: str) -> float:
    """The converged sum."""
    coarse, fine = (
        image(scene(cells, count, name)).sum() / count**2 for count in SUB_PIXELS[cells]
    )
    assert coarse == pytest.approx(fine, rel=1e-5)
    return fine


def off(cells: int, name: str, options) -> float:
    """How far the photons of areas are from the converged sum."""
    whole = scene(cells, "auto", name)
    assert whole.sampling.integrate
    return abs(image(whole, options).sum() / photons(cells, name) - 1.0)


@pytest.mark.spec("SAM-16")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("cells", SUB_PIXELS)
@pytest.mark.parametrize("name", WIDTHS)
def test_photons_of_very_narrow_spots_are_those_of_converged_sums(cells: int, name: str):
    assert off(cells, name, FLOAT64) <= 1e-5
    assert off(cells, name, MIXED) <= 1e-3


@pytest.mark.spec("SAM-16")
@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_layers_of_a_thick_sensor_keep_the_photons_of_narrow_spots():
    """A pixel of another layer is larger or smaller, as a spot is seen there."""
    sensor = {"thickness_um": 1000, "attenuation_length_um": 2000, "layers": 3}
    crystal = {"block_cells": [80, 60, 50], "mosaic": {"spread_deg": 0.05}}
    area = {"oversample": "auto", "dmin_angstrom": 2.5}
    view = experiment({"crystal": crystal, "detector": {"sensor": sensor}, "sampling": area})
    each, together = image(view, FLOAT64), image(view, MIXED)
    assert apart(together, each) <= 1e-3
    assert together.sum() == pytest.approx(each.sum(), rel=1e-3)
