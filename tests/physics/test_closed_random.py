"""Random crystals, beams and panels in closed form: needles, plates, rotations; a spot each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import call
from distbragg.kernel.render_tile import sum_tile
from distbragg.physics.near_sphere import gaussian_crystal, incidence_of, near_sphere
from distbragg.physics.places import Places
from distbragg.plan.frame import SourceChunk, Tile
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
    pytest.mark.spec("SAM-18"),
    pytest.mark.skipif(not native.available(), reason=native.reason()),
]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def drawn(seed: int) -> dict[str, Any]:
    """Draw a crystal of any shape in a beam of any width, which turns or stands still."""
    rng = np.random.default_rng(seed)
    between = partial(log_uniform, rng)
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


def one_of(changes: dict[str, Any]) -> Places:
    """Return one of the reflections that are seen well."""
    plain = experiment(changes)
    part, source = gaussian_crystal(plain.crystal).parts()[0], incidence_of(plain.beam, 0)
    places = near_sphere(part, source, cut=2.0, dmin=3.0)
    return places[np.flatnonzero(np.linalg.norm(places.relp, axis=1) >= 1.0 / 20.0)[:1]]


@pytest.mark.parametrize("seed", range(20))
def test_a_spot_is_where_the_formulas_have_it(monkeypatch, seed: int):
    """As in the model, and as on a panel of which nothing is left out."""
    changes = {**drawn(seed), "sampling": {"dmin_angstrom": 3.0}}
    chosen = one_of(changes)
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


def panel_drawn(seed: int, place: Places) -> dict[str, Any]:
    """Draw a panel that a spot lies on: tilted, up to along its rays, with a sensor or without."""
    rng = np.random.default_rng([seed, 1])
    between = partial(log_uniform, rng)
    size = 100.0 * between(0.4, 4.0) * float(np.sqrt(place.covariance[0, [0, 2]]).min())
    turn = rng.uniform(0.0, 2.0 * np.pi)
    fast = np.cos(turn) * place.first[0] + np.sin(turn) * place.second[0]
    tilt = rng.choice([rng.uniform(-60.0, 60.0), 90.0 - between(2.0, 20.0)])
    panel = panel_about(
        place.centre[0],
        fast,
        distance_mm=100.0,
        size_mm=size,
        edge=36,
        tilt_deg=float(tilt),
        place=tuple(rng.uniform(-12.0, 12.0, 2).tolist()),
    )
    if rng.random() < 0.7:
        thickness = between(50.0, 1000.0)
        # Half of it before the place that the panel was given: the ray meets it in the middle.
        normal = np.cross(panel["fast"], panel["slow"])
        normal *= np.sign(normal @ panel["origin_mm"])
        panel["origin_mm"] = (panel["origin_mm"] - 5e-4 * thickness * normal).tolist()
        panel["sensor"] = {
            "thickness_um": thickness,
            "attenuation_length_um": thickness * between(0.3, 3.0),
            "layers": int(rng.integers(2, 5)),
        }
    if rng.random() < 0.5:
        panel["fast"], panel["slow"] = panel["slow"], panel["fast"]
    return panel


@pytest.mark.parametrize("seed", range(32))
def test_a_spot_is_the_same_on_any_panel_in_any_tile(seed: int):
    """As in the model, in both precisions and to the bit, whatever sensor and tilt."""
    rng = np.random.default_rng([seed, 2])
    changes = {**drawn(seed), "sampling": {"dmin_angstrom": 3.0}}
    place = one_of(changes)
    count = [1, 2, "auto"][seed % 3]
    scene = alone(
        place.hkl[0], panel_drawn(seed, place), changes, {"sampling": {"oversample": count}}
    )
    found = image(scene, FLOAT64)
    assert found.max() > 0.0
    sums = sum_tile(scene, 0, Tile(0, 36, 0, 36), SourceChunk(0, 1), MIXED)
    mixed = sums.on_host().reshape(found.shape)
    if count != "auto":
        assert off(found, image(scene, MODEL)) <= 1e-10
    assert abs(mixed - found).max() <= 1e-3 * found.max() + sums.skipped
    for options, whole in ((FLOAT64, found), (MIXED, mixed)):
        assert (image(scene, replace(options, threads=3)) == whole).all()
        rows, columns = (sorted(rng.integers(0, 36, 3).tolist()) for _ in range(2))
        for tile in (
            Tile(rows[0], rows[2] + 1, columns[0], columns[2] + 1),
            Tile(0, 36, columns[1], columns[1] + 1),
            Tile(rows[1], rows[1] + 1, 0, 36),
        ):
            part = whole[tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]
            assert (image(scene, options, tile=tile) == part).all()
