"""In closed form: panels that rays meet aslant, to their horizon, and layers of their sensors."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.kernel import native
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

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

DMIN = 3.0
WIDE = {"crystal": {"block_cells": [12, 36, 21], "mosaic": {"spread_deg": 2.0}}}
"""Its spots are arcs that no polynomial fits."""


def seen(*changes, of: int = 0):
    """Return one of the reflections that are seen well, and the ray at which it is brightest."""
    plain = experiment({"sampling": {"dmin_angstrom": DMIN}}, *changes)
    part, source = gaussian_crystal(plain.crystal).parts()[0], incidence_of(plain.beam, 0)
    places = near_sphere(part, source, cut=1.0, dmin=DMIN)
    far = np.linalg.norm(places.relp, axis=1) >= 0.1
    return places[np.flatnonzero(far)[of : of + 1]]


@pytest.mark.spec("SAM-16")
@pytest.mark.parametrize(("size_mm", "oversample"), [(0.03, 1), (0.1, "auto")])
def test_layers_of_a_sensor_see_arcs_where_they_meet_them(size_mm: float, oversample):
    """Layers see a part of an arc up to sixty pixels beside its place in the middle."""
    place = seen(WIDE)
    panel = panel_about(
        place.centre[0],
        place.first[0],
        distance_mm=50.0,
        size_mm=size_mm,
        edge=160,
        tilt_deg=75.0,
    )
    panel["sensor"] = {"thickness_um": 1000, "attenuation_length_um": 1000, "layers": 3}
    sampling = {"oversample": oversample, "dmin_angstrom": DMIN}
    scene = alone(place.hkl[0], panel, WIDE, {"sampling": sampling})
    each, drawn = image(scene, FLOAT64), image(scene, MIXED)
    assert off(drawn, each) <= 1e-3
    assert drawn.sum() == pytest.approx(each.sum(), rel=1e-3)


@pytest.mark.spec("SAM-18")
@pytest.mark.parametrize("curved", [False, "cylinder_slow"])
@pytest.mark.parametrize(("thickness_um", "layers"), [(1000, 2), (10, 3), (450, 60)])
def test_layers_stop_the_same_share_in_both_precisions(thickness_um: float, layers: int, curved):
    """Of a sensor that stops 1 in 200, too: water alone, which both precisions see alike."""
    sensor = {"thickness_um": thickness_um, "attenuation_length_um": 2000, "layers": layers}
    sampling = {"oversample": 1, "dmin_angstrom": 500.0}
    water = {"background": {"water_um": 100.0}, "sampling": sampling}
    scene = experiment({"detector": {"sensor": sensor, "curved": curved}}, water)
    each, single = image(scene, FLOAT64), image(scene, MIXED)
    assert each.min() > 0.0
    assert abs(single / each - 1.0).max() <= 1e-6


@pytest.mark.spec("SAM-14")
@pytest.mark.parametrize("beyond", [-1.0, 0.5, 1.5])
def test_a_spot_over_the_horizon_of_a_panel_reaches_it(beyond: float):
    """Its brightest ray runs beside the panel's plane: so many standard deviations beyond it."""
    place = seen()
    ray, across = place.centre[0], place.first[0]
    angle = beyond * np.sqrt(place.covariance[0, 0])
    along = np.cos(angle) * ray + np.sin(angle) * across
    slow = np.cross(ray, across)
    origin = 40.0 * along + 0.02 * np.cross(slow, along) - 0.8 * slow
    panel = {
        "origin_mm": origin.tolist(), "fast": along.tolist(), "slow": slow.tolist(),
        "pixel_size_mm": 0.1, "pixels_fast": 16, "pixels_slow": 16,
    }  # fmt: skip
    scene = alone(place.hkl[0], panel, {"sampling": {"dmin_angstrom": DMIN}})
    assert (scene.detector.panels[0].normal @ ray < 0.0) == (beyond > 0.0)
    expected = image(scene, MODEL)
    assert off(image(scene, FLOAT64), expected) <= 1e-10
    assert off(image(scene, MIXED), expected) <= 1e-3
