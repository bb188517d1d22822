"""q, resolution, 2θ and azimuth of pixels against numbers worked out by hand; radial profiles."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.physics.pixels import (
    coordinates_of_detector,
    coordinates_of_pixels,
    radial_profile,
)
from distbragg.predict.landing import land
from distbragg.spec.load import parse_spec

DEGREES = 1e-9
"""Far from the beam and from backscattering: some roundings of a float64 angle."""


def experiment(beam: dict[str, Any] | None = None, **detector: Any) -> Experiment:
    """1 Å, 100 mm; pixels of 1 mm, of which number (9, 9) has the beam in its middle under xds."""
    own = {"convention": "xds", "distance_mm": 100, "pixel_size_mm": 1.0}
    own |= {"pixels_fast": 120, "pixels_slow": 110, "orgx_px": 10, "orgy_px": 10}
    return build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0, **(beam or {})},
                "crystal": {"cell": [30, 40, 50, 90, 90, 90], "block_cells": [3, 3, 3]},
                "structure_factors": {"default_f_electrons": 1},
                "detector": {**own, **detector},
                "sampling": {"oversample": 1},
            }
        )
    )


@pytest.mark.spec("FIG-1", "FIG-2")
def test_a_pixel_at_45_degrees_by_hand() -> None:
    """tan 2θ = 100 mm / 100 mm; d = λ / (2 sin 22.5°) = 1.30656 Å, q = 2π/d = 4.80894 1/Å."""
    found = coordinates_of_pixels(experiment(), 0, [9, 109, 9], [109, 9, 9])
    assert found.two_theta == pytest.approx([45, 45, 0], abs=DEGREES)
    assert found.resolution[:2] == pytest.approx([1.3065629649, 1.3065629649])
    assert found.resolution[2] > 1e9
    assert found.q == pytest.approx([4.8089417283, 4.8089417283, 0.0])
    assert found.azimuth[:2] == pytest.approx([0, -90], abs=DEGREES)


@pytest.mark.spec("FIG-1")
def test_the_wavelength_scales_q_and_leaves_the_angles() -> None:
    one = coordinates_of_pixels(experiment(), 0, 30, np.arange(120))
    two = coordinates_of_pixels(experiment({"wavelength_angstrom": 2.0}), 0, 30, np.arange(120))
    assert two.q == pytest.approx(one.q / 2)
    assert two.resolution == pytest.approx(one.resolution * 2)
    assert two.two_theta == pytest.approx(one.two_theta)
    assert two.azimuth == pytest.approx(one.azimuth)


@pytest.mark.spec("FIG-2")
@pytest.mark.parametrize(
    ("convention", "along_fast", "along_slow"),
    [
        ("mosflm", 0, -90),
        ("denzo", 0, -90),
        # Fast is x and the beam z, with y up: seen along the beam, fast runs to the left.
        ("adxv", 180, -90),
        ("xds", 0, -90),
        ("dials", 0, -90),
        ("custom", 0, -90),
    ],
)
def test_azimuth_of_every_convention(convention: str, along_fast: int, along_slow: int) -> None:
    odd = {"pixels_fast": 101, "pixels_slow": 101, "orgx_px": None, "orgy_px": None}
    made = experiment(convention=convention, **odd)
    panel, beam = made.detector.panels[0], made.beam.direction
    middle = panel.distance * beam - panel.origin
    slow, fast = (
        float(middle @ axis) / panel.pixel_size - 0.5 for axis in (panel.slow, panel.fast)
    )
    found = coordinates_of_pixels(
        made, 0, [slow, slow + 20, slow, slow - 20, slow - 20], [fast + 20, fast, fast, fast, fast]
    )
    assert abs(found.azimuth[0]) == pytest.approx(along_fast, abs=1e-6)
    assert found.azimuth[1] == pytest.approx(along_slow, abs=1e-6)
    assert found.azimuth[3] == pytest.approx(-along_slow, abs=1e-6)
    expected = math.degrees(math.atan(20 / 100))
    assert found.two_theta == pytest.approx([expected, expected, 0, expected, expected], abs=1e-6)


@pytest.mark.spec("FIG-1")
def test_a_panel_on_a_swung_arm() -> None:
    """Swung by 30° about x, the nearest point of the panel is seen under 2θ = 30°."""
    swung = experiment(twotheta_deg=30, pivot="sample")
    # Along slow it meets the beam 100·tan 30° = 57.735 mm away, and as far on the other side 60°.
    found = coordinates_of_pixels(swung, 0, [9, 9 + 57.735026919, 9 - 57.735026919], [9, 9, 9])
    assert found.two_theta == pytest.approx([30, 0, 60], abs=1e-6)
    assert found.resolution[2] == pytest.approx(1.0, abs=1e-6)
    assert found.azimuth[[0, 2]] == pytest.approx([90, 90], abs=1e-6)


@pytest.mark.spec("FIG-1")
@pytest.mark.parametrize("curve", ["sphere", "cylinder_slow"])
def test_arcs_of_a_bent_panel_are_angles(curve: str) -> None:
    """On a panel bent about the sample, 35 mm of arc at 100 mm are 0.35 rad."""
    found = coordinates_of_pixels(experiment(curved=curve), 0, 9, [9 + 35])
    assert found.two_theta == pytest.approx([math.degrees(0.35)], abs=DEGREES)
    flat = coordinates_of_pixels(experiment(), 0, 9, [9 + 35])
    assert flat.two_theta == pytest.approx([math.degrees(math.atan(0.35))], abs=DEGREES)


@pytest.mark.spec("FIG-1")
def test_a_pixel_lies_where_a_thick_sensor_stops_its_ray() -> None:
    """The ray of a pixel, followed from the sample, is told to land in the middle of that pixel."""
    sensor = {"thickness_um": 1000, "attenuation_length_um": 400, "layers": 40}
    thick = experiment(sensor=sensor, rotation_deg=[10, -5, 0])
    slow, fast = (part.ravel() for part in np.meshgrid([3, 60, 104], [2, 70, 117]))
    found = coordinates_of_pixels(thick, 0, slow, fast)
    thin = coordinates_of_pixels(experiment(rotation_deg=[10, -5, 0]), 0, slow, fast)
    assert np.abs(found.two_theta - thin.two_theta).max() > 0.05  # parallax matters here
    angle, turn = np.radians(found.two_theta), np.radians(found.azimuth)
    # Under xds the beam is z, right is x and up is -y.
    ray = np.stack(
        [np.sin(angle) * np.cos(turn), -np.sin(angle) * np.sin(turn), np.cos(angle)], axis=1
    )
    landed = land(thick, ray)
    # Means of positions and of depths differ in the second order of the obliquity.
    assert landed.slow - 0.5 == pytest.approx(slow, abs=2e-3)
    assert landed.fast - 0.5 == pytest.approx(fast, abs=2e-3)


@pytest.mark.spec("FIG-1")
def test_every_panel_stands_for_itself() -> None:
    def panel(x: float, y: float) -> dict[str, Any]:
        return {"origin_mm": [x, y, 100], "fast": [1, 0, 0], "slow": [0, 1, 0]}

    size = {"pixels_fast": 7, "pixels_slow": 5, "pixel_size_mm": 1.0}
    two = build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {"cell": [30, 40, 50, 90, 90, 90], "block_cells": [3, 3, 3]},
                "structure_factors": {"default_f_electrons": 1},
                "detector": {
                    **{"convention": "xds", **size},
                    "panels": [panel(-0.5, 2.0), panel(-40.5, -0.5)],
                },
            }
        )
    )
    found = coordinates_of_detector(two)
    assert found.q.shape == (2, 5, 7)
    # Middle of the first pixel: (0, 2.5) and (-40, 0) mm from the beam.
    assert found.two_theta[:, 0, 0] == pytest.approx(
        np.degrees(np.arctan([0.025, 0.4])), abs=DEGREES
    )
    assert found.azimuth[:, 0, 0] == pytest.approx([-90, 180])


@pytest.mark.spec("FIG-1")
def test_a_beam_aslant_is_what_2theta_is_measured_from() -> None:
    made = experiment()
    tipped = [math.sin(0.1), 0.0, math.cos(0.1)]
    aslant = replace(made, beam=replace(made.beam, direction=frozen_float64(tipped)))
    straight = coordinates_of_pixels(made, 0, 9, 59)
    found = coordinates_of_pixels(aslant, 0, 9, 59)
    assert found.two_theta == pytest.approx(straight.two_theta - math.degrees(0.1), abs=DEGREES)


@pytest.mark.spec("FIG-3")
def test_the_profile_of_a_ring_is_the_ring() -> None:
    """An image that depends on q alone has that as its profile, wherever the panel stands."""
    for detector in ({}, {"rotation_deg": [8, 3, 0]}, {"curved": "sphere"}):
        q = coordinates_of_detector(experiment(**detector)).q
        edges = np.linspace(0.5, 3.5, 31)
        level = np.arange(30) % 7 + 1.0
        inside = np.clip(np.searchsorted(edges, q, side="right") - 1, 0, 29)
        found = radial_profile(level[inside], q, edges)
        assert found.mean == pytest.approx(level)
        assert found.variance == pytest.approx(np.zeros(30), abs=1e-20)
        assert found.count.sum() == np.count_nonzero((q >= 0.5) & (q <= 3.5))


@pytest.mark.spec("FIG-3")
def test_means_and_variances_by_hand_without_masked_pixels() -> None:
    values = np.array([[1.0, 3.0, np.nan], [10.0, 1e9, 7.0]])
    at = np.array([[0.0, 0.5, 0.5], [1.0, 1.5, 3.0]])
    valid = np.array([[True, True, True], [True, False, True]])
    found = radial_profile(values, at, [0.0, 1.0, 2.0, 3.0, 4.0], valid)
    assert found.count.tolist() == [2, 1, 0, 1]
    assert found.mean == pytest.approx([2.0, 10.0, np.nan, 7.0], nan_ok=True)
    assert found.variance == pytest.approx([1.0, 0.0, np.nan, 0.0], nan_ok=True)
    # The last bin holds its upper edge too; what lies beyond does not count.
    assert radial_profile(values, at, [0.0, 1.0], valid).count.tolist() == [3]
