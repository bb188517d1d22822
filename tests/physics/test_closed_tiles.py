"""Images in closed form are the same from any tiles, also where spots lie at their edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.render_tile import TilePhotons
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk, Tile
from tests.physics.closed_scenes import BASE, FLOAT64, MIXED, experiment, image, panel_about

pytestmark = [
    pytest.mark.spec("SAM-18"),
    pytest.mark.skipif(not native.available(), reason=native.reason()),
]


def on(panel: dict[str, Any], *changes: dict[str, Any]) -> Experiment:
    detector = {"panels": [panel], **dict.fromkeys(BASE["detector"])}
    return experiment({"detector": detector}, *changes)


def aslant(edge: int) -> dict[str, Any]:
    """Small pixels that rays meet at some 40° from the normal."""
    ray = np.array([0.86, 0.5, 0.1])
    ray /= np.linalg.norm(ray)
    fast = np.cross(ray, [0.0, 0.0, 1.0])
    fast /= np.linalg.norm(fast)
    return panel_about(ray, fast, distance_mm=60.0, size_mm=0.02, edge=edge, tilt_deg=40.0)


def thick_sensor() -> Experiment:
    """Spots narrower than a pixel, whose layers lie 40 pixels apart."""
    sensor = {"thickness_um": 1000, "attenuation_length_um": 2000, "layers": 8}
    narrow = {"crystal": {"block_cells": [400, 400, 400], "mosaic": {"spread_deg": 0.02}}}
    lit = {"beam": {"bandwidth_percent": 1.0}, "sampling": {"dmin_angstrom": 1.6}}
    return on({**aslant(240), "sensor": sensor}, narrow, lit)


def wide_discs() -> Experiment:
    """Rods, whose discs on the panel are larger than they are to first order."""
    cells = [2.046, 22.84, 169.3, -0.1972, 0.1671, -0.1077]
    spread = [[0.5015, -0.3534, -0.3316], [-0.3534, 0.6071, 0.3], [-0.3316, 0.3, 0.2754]]
    crystal = {
        "cell": [60.32, 55.68, 289.9, 90, 90, 90],
        "block_cells": cells,
        "misset_deg": [169.1, 77.87, 337.9],
        "mosaic": {"spread_deg": spread},
    }
    lines = {"range_percent": 1.2, "steps": 7}
    beam = {"wavelength_angstrom": 2.467, "divergence_mrad": 0.0581, "dispersion": lines}
    detector = {
        "distance_mm": 131.2, "pixel_size_mm": 0.048, "pixels_fast": 51, "pixels_slow": 45,
    }  # fmt: skip
    area = {"oversample": "auto"}
    return experiment({"crystal": crystal, "beam": beam, "detector": detector, "sampling": area})


def halves(shape: tuple[int, int], step: int) -> Iterator[tuple[Tile, Tile]]:
    """Cut a panel into two, along each axis, at every so many pixels."""
    rows, columns = shape
    for at in range(step, columns, step):
        yield Tile(0, rows, 0, at), Tile(0, rows, at, columns)
    for at in range(step, rows, step):
        yield Tile(0, at, 0, columns), Tile(at, rows, 0, columns)


@pytest.mark.parametrize("options", [MIXED, FLOAT64], ids=["mixed", "float64"])
@pytest.mark.parametrize("scene", [thick_sensor, wide_discs])
def test_tiles_know_of_all_that_others_draw(scene, options):
    one = scene()
    whole, model = image(one, options), image(one, FLOAT64)
    assert np.count_nonzero(model) > 100
    assert whole.sum() == pytest.approx(model.sum(), rel=1e-3)
    for tiles in halves(whole.shape, 7):
        for tile in tiles:
            expected = whole[tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]
            assert np.array_equal(image(one, options, tile=tile), expected)


SCENES = {
    "smooth": {},
    "lines": {"beam": {"dispersion": {"range_percent": 3.0, "steps": 200}}},
    "few lines": {"beam": {"dispersion": {"range_percent": 3.0, "steps": 7}}},
    "passages": {"goniometer": {"phi_deg": 0.0, "oscillation_deg": 1.0}},
    "arcs": {"crystal": {"mosaic": {"spread_deg": 2.0}}},
    "intervals": {"sampling": {"oversample": "auto"}},
}
"""Changes by which spots are drawn in one way or another."""

MANY = {
    "crystal": {"mosaic": {"spread_deg": 0.6}},
    "detector": {"pixel_size_mm": 0.25, "pixels_fast": 240, "pixels_slow": 200},
    "sampling": {"dmin_angstrom": 2.0},
}
GUARD = 24
"""More pixels than a vector holds."""


@pytest.mark.parametrize("changes", SCENES.values(), ids=SCENES)
def test_nothing_is_written_beside_a_tile(changes):
    one = experiment(MANY, changes)
    rows, columns = one.detector.panels[0].shape
    sources = SourceChunk(0, one.beam.sources.count)
    whole = np.full((rows, columns), np.nan)
    native.render_photons([TilePhotons(one, 0, Tile(0, rows, 0, columns), sources, whole)], MIXED)
    assert np.count_nonzero(whole) > 1000
    # Edges that many spots lie across.
    for tile in (Tile(60, 141, 90, 207), Tile(0, 77, 0, 101), Tile(131, rows, 133, columns)):
        guarded = np.full((tile.shape[0] + 2 * GUARD, tile.shape[1] + 2 * GUARD), -1.0)
        inner = guarded[GUARD:-GUARD, GUARD:-GUARD]
        native.render_photons([TilePhotons(one, 0, tile, sources, inner)], MIXED)
        expected = np.full_like(guarded, -1.0)
        expected[GUARD:-GUARD, GUARD:-GUARD] = whole[
            tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop
        ]
        assert np.array_equal(guarded, expected)
