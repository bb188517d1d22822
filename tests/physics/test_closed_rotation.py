"""A long rotation in closed form is the mean of the short ones that it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.plan.frame import Tile
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off

WIDE = {"detector": {"distance_mm": 100, "pixels_fast": 600, "pixels_slow": 600}}
CORNER = Tile(0, 60, 0, 60)
"""Of reflections between 1.2 and 1.4 Å, which move the most."""


def turning(start: float, width: float, spread: float, *changes):
    goniometer = {"phi_deg": start, "oscillation_deg": width, "spindle_axis": [0.3, 1, 0.2]}
    crystal = {"block_cells": [50, 40, 33], "mosaic": {"spread_deg": spread}}
    return experiment({"goniometer": goniometer, "crystal": crystal}, *changes)


@pytest.mark.spec("SAM-17")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("width", [2.0, 5.0, -10.0, 30.0])
def test_a_long_rotation_is_the_mean_of_short_ones(width: float, spread: float):
    fine = {"detector": {"pixel_size_mm": 0.3}, "sampling": {"dmin_angstrom": 1.2}}
    count = round(abs(width) / 0.25)
    step = width / count
    parts = [
        image(turning(10.0 + n * step, step, spread, WIDE, fine), tile=CORNER) for n in range(count)
    ]
    expected = sum(parts) / count
    whole = turning(10.0, width, spread, WIDE, fine)
    assert expected.max() > 0.0
    assert off(image(whole, FLOAT64, tile=CORNER), expected) <= 1e-5
    assert off(image(whole, MIXED, tile=CORNER), expected) <= 3e-4


@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize(("spread", "width"), [(0.05, 0.5), (0.02, 0.5), (0.02, 1.0)])
def test_a_rotation_much_wider_than_its_spots_is_drawn_by_polynomials(spread: float, width: float):
    """Evaluated at every pixel, spots are those of double precision to the last digits."""
    changes = {
        "beam": {"bandwidth_percent": 0.02, "divergence_mrad": [0.3, 0.1]},
        "crystal": {"cell": [103, 103, 131, 90, 90, 120], "block_cells": [100, 100, 100]},
        "detector": {
            "distance_mm": 200, "pixel_size_mm": 0.3, "pixels_fast": 1000, "pixels_slow": 1000,
        },
        "goniometer": {"spindle_axis": [1, 0, 0]},
        "sampling": {"oversample": "auto", "dmin_angstrom": 1.5},
    }  # fmt: skip
    scene, tile = turning(10.0, width, spread, changes), Tile(120, 220, 120, 220)
    exact, drawn = image(scene, FLOAT64, tile=tile), image(scene, MIXED, tile=tile)
    lit = exact > 1e-3 * exact.max()
    assert lit.sum() > 100
    assert (np.abs(drawn - exact) > 1e-9 * exact)[lit].mean() > 0.9
    assert off(drawn, exact) <= 1e-3


@pytest.mark.spec("SAM-17")
@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_the_model_cuts_a_long_rotation_as_the_native_kernel_does():
    scene = turning(10.0, 7.0, 0.3, {"detector": {"pixels_fast": 25, "pixels_slow": 20}})
    assert off(image(scene, MODEL), image(scene)) <= 1e-11


DIRECT = {
    "crystal": {
        "cell": [45, 51, 42, 90, 90, 90],
        "block_cells": [9, 54, 110],
        "misset_deg": [68, 250, 29],
        "mosaic": {"spread_deg": 0.9},
    },
    "detector": {
        "distance_mm": 112, "pixel_size_mm": 0.2, "pixels_fast": 9, "pixels_slow": 9,
    },
}  # fmt: skip
"""The direct beam, where the point 000 turns in its place, and a plate with it."""


@pytest.mark.spec("SAM-17")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("oversample", [1, "auto"])
def test_what_hardly_moves_is_the_mean_of_its_angles(oversample):
    """The logarithm is nearly a straight line of the angle, of which error functions say little."""
    area = {"sampling": {"oversample": oversample}}

    def turned(start: float, width: float):
        axis = {"spindle_axis": [-0.86, -0.5, 0.1], "phi_deg": start, "oscillation_deg": width}
        return experiment(DIRECT, area, {"goniometer": axis})

    nodes, weights = np.polynomial.legendre.leggauss(8)
    expected = sum(
        0.5 * weight * image(turned(115.0 + 0.85 * (1.0 + node), 0.0), FLOAT64)
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True)
    )
    whole = turned(115.0, 1.7)
    assert off(image(whole, FLOAT64), expected) <= 1e-4
    assert off(image(whole, MIXED), expected) <= 3e-4
