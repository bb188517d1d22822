"""The area of a pixel in closed form, on panels of every surface, and narrow spots."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.plan.frame import Tile
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

ANGLE = 0.7
"""Between the beam and the tile along fast; along slow 0.6 of its arc."""


def views(pixel: float, edge: int, surface: str, dmin: float, *changes):
    """A tile off the beam, its area integrated, and by this many sub-pixels explicitly."""
    size = int(180 / pixel)
    place = math.tan(ANGLE) if surface == "flat" else ANGLE
    fast, slow = (size // 2 + int(60 * part * place / pixel) for part in (1.0, 0.6))
    detector = {"pixel_size_mm": pixel, "pixels_fast": size, "pixels_slow": size}
    detector["curved"] = False if surface == "flat" else surface
    tile = Tile(slow, slow + edge, fast, fast + edge)

    def scene(oversample):
        sampling = {"oversample": oversample, "dmin_angstrom": dmin}
        return experiment({"detector": detector, "sampling": sampling}, *changes)

    return tile, scene


def sampled(scene, tile: Tile, count: int) -> np.ndarray:
    """Sub-pixels: midpoints leave an error of the square of their size, which is taken out."""
    one, two = (image(scene(n), tile=tile) / n**2 for n in (count, 2 * count))
    return (4.0 * two - one) / 3.0


@pytest.mark.spec("SAM-16")
@pytest.mark.parametrize("surface", ["flat", "sphere", "cylinder_fast", "cylinder_slow"])
def test_the_area_of_a_pixel_is_that_of_its_surface(surface: str):
    # What is left is that solid angles are those of the pixels' middles.
    tile, scene = views(0.3, 80, surface, 1.2)
    expected = sampled(scene, tile, 8)
    whole = scene("auto")
    assert whole.sampling.integrate
    for options, sums in ((FLOAT64, 3e-4), (MIXED, 1e-3)):
        found = image(whole, options, tile=tile)
        assert off(found, expected) <= 4e-3
        assert found.sum() == pytest.approx(expected.sum(), rel=sums)


@pytest.mark.spec("SAM-16")
@pytest.mark.parametrize("surface", ["flat", "sphere", "cylinder_fast", "cylinder_slow"])
def test_the_model_integrates_as_the_native_kernel_does_in_any_tile(surface: str):
    # Few reflections, turned so that there is a spot in the tile of every surface.
    cell = {"cell": [15, 14, 13, 90, 90, 90], "block_cells": [16, 14, 12]}
    few = {"crystal": {**cell, "misset_deg": [0, 21, 52]}}
    tile, scene = views(0.6, 6, surface, 1.2, few)
    model = image(scene("auto"), MODEL, tile=tile)
    assert model.max() > 1.0
    assert off(image(scene("auto"), tile=tile), model) <= 1e-3
    half = Tile(tile.slow_start, tile.slow_stop, tile.fast_start, tile.fast_start + 2)
    assert (image(scene("auto"), MODEL, tile=half) == model[:, :2]).all()


@pytest.mark.spec("SAM-16")
@pytest.mark.parametrize(("cells", "pixel"), [(60, 0.1), (100, 0.1)])
def test_photons_of_spots_that_are_narrower_than_a_pixel(cells: int, pixel: float):
    crystal = {"block_cells": [cells] * 3, "mosaic": {"spread_deg": 0.02}}
    tile, scene = views(pixel, 200, "flat", 1.2, {"crystal": crystal})
    expected = sampled(scene, tile, 16)
    assert expected.max() > 1.0
    for options, sums in ((FLOAT64, 1e-3), (MIXED, 2e-3)):
        found = image(scene("auto"), options, tile=tile)
        assert found.sum() == pytest.approx(expected.sum(), rel=sums)
