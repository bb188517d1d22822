"""Random crystals and beams in closed form: needles, plates, stills and rotations, a spot each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import call
from distbragg.physics.near_sphere import gaussian_crystal, incidence_of, near_sphere
from tests.physics.closed_scenes import (
    FLOAT64,
    MIXED,
    MODEL,
    alone,
    experiment,
    image,
    off,
    panel_about,
)

pytestmark = [
    pytest.mark.spec("SAM-13"),
    pytest.mark.spec("SAM-14"),
    pytest.mark.skipif(not native.available(), reason=native.reason()),
]


def drawn(seed: int) -> dict[str, Any]:
    """Draw a crystal of any shape in a beam of any width, which turns or stands still."""
    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    crystal = {
        "cell": [*(between(30, 100) for _ in range(3)), *rng.uniform(75, 105, 3).tolist()],
        "block_cells": [round(between(12, 600)) for _ in range(3)],
        "misset_deg": rng.uniform(0, 360, 3).tolist(),
        "mosaic": {"spread_deg": rng.choice([0.0, 1.0]) * between(0.01, 1.5)},
    }
    beam = {"wavelength_angstrom": between(0.7, 2.0)}
    if rng.random() < 0.5:
        beam["bandwidth_percent"] = between(0.02, 1.0)
    if rng.random() < 0.5:
        beam["divergence_mrad"] = between(0.05, 1.0)
    turn = {"oscillation_deg": between(0.05, 1.0), "spindle_axis": rng.normal(size=3).tolist()}
    return {"crystal": crystal, "beam": beam, "goniometer": turn if rng.random() < 0.5 else {}}


@pytest.mark.parametrize("seed", range(20))
def test_a_spot_is_where_the_formulas_have_it(monkeypatch, seed: int):
    """As in the model, and as on a panel of which nothing is left out."""
    changes = {**drawn(seed), "sampling": {"dmin_angstrom": 3.0}}
    plain = experiment(changes)
    part, source = gaussian_crystal(plain.crystal).parts()[0], incidence_of(plain.beam, 0)
    places = near_sphere(part, source, cut=2.0, dmin=3.0)
    chosen = places[np.flatnonzero(np.linalg.norm(places.relp, axis=1) >= 1.0 / 20.0)[:1]]
    ray = chosen.centre[0]
    size = 120.0 * float(np.sqrt(chosen.covariance[0, [0, 2]]).min())
    panel = panel_about(ray, chosen.first[0], distance_mm=120.0, size_mm=size, edge=12)
    scene = alone(chosen.hkl[0], panel, changes, {"sampling": {"oversample": 1}})
    found, mixed, model = (image(scene, options) for options in (FLOAT64, MIXED, MODEL))
    assert off(found, model) <= 1e-10
    monkeypatch.setitem(call.CUT, "float64", 30.0)
    whole = image(scene, FLOAT64)
    assert off(found, whole) <= 1e-5
    assert off(mixed, whole) <= 2e-3
