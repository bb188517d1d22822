"""The sampled kernel with 20,000 domains against the closed form: apart by its own noise alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.plan.frame import Tile
from tests.physics.closed_scenes import FLOAT64, MIXED, experiment, image, off

BATCHES, DOMAINS = 20, 1001
"""Sets of domains of seeds of their own: how they differ tells the noise of their mean. The first
of each is not drawn, but aligned (CRY-12), and left out."""

SPREAD = (0.3, 0.1, 0.2)

SCENE = {
    "detector": {"pixel_size_mm": 0.4, "pixels_fast": 225, "pixels_slow": 200},
    "crystal": {"block_cells": [14, 11, 9]},
    "sampling": {"dmin_angstrom": 0},
}
TILE = Tile(60, 110, 120, 170)
"""Some twenty spots of about 2 Å, as wide as a pixel."""

CASES = {
    "still": {},
    "lines": {"beam": {"spectrum": {"wavelengths_angstrom": [0.995, 1.0], "weights": [1, 2]}}},
    "rotation": {"goniometer": {"oscillation_deg": 0.2, "steps": 8}},
}


def closed(change, options=FLOAT64, wider: float = 1.0) -> np.ndarray:
    spread = {"crystal": {"mosaic": {"spread_deg": [wider * width for width in SPREAD]}}}
    return image(experiment(SCENE, change, spread), options, tile=TILE)


def drawn(change, seed: int) -> np.ndarray:
    """The mean over the domains of one set and the steps of the rotation."""
    mosaic = {"spread_deg": list(SPREAD), "domains": DOMAINS, "seed": seed}
    method = {"crystal": {"mosaic": mosaic}, "sampling": {"method": "sampled"}}
    scene = experiment(SCENE, change, method, method="sampled")
    turns = scene.crystal.mosaic_rotations
    assert len(turns) == DOMAINS
    others = replace(scene, crystal=replace(scene.crystal, mosaic_rotations=turns[1:].copy()))
    return image(others, tile=TILE) / (len(scene.crystal.phi) * (DOMAINS - 1))


def apart(batches: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """How far the mean of the batches is from what is expected, in its own standard deviations.

    Root mean square over the bright pixels, and of all photons.
    """
    bright = expected > 0.1 * expected.max()
    away = batches.mean(axis=0) - expected
    noise = batches.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    photons = batches.sum(axis=(1, 2))
    total = (photons.mean() - expected.sum()) / (photons.std(ddof=1) / np.sqrt(BATCHES))
    return float(np.sqrt(np.mean((away[bright] / noise[bright]) ** 2))), abs(float(total))


@pytest.mark.spec("SAM-13")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("what", CASES)
def test_20_000_domains_are_off_by_their_own_noise(what: str):
    change = CASES[what]
    batches = np.array([drawn(change, seed) for seed in range(1, BATCHES + 1)])
    for options in (FLOAT64, MIXED):
        expected = closed(change, options)
        # Pixels share their domains: if these are turned on average, all are off together.
        assert max(apart(batches, expected)) <= 3.0
        assert off(batches.mean(axis=0), expected) <= 0.02
    # Enough of them to see a spread that is 5 % wider.
    assert min(apart(batches, closed(change, wider=1.05))) > 4.0
