"""Counts, ranges and steps; expectations are those that nanoBragg resolves for the same flags."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build_crystal import spindle_angles
from distbragg.models.sensor import build_sensor
from distbragg.models.setting import HeaderValues
from distbragg.models.steps import MAXIMUM_STEPS, resolve_domains, resolve_grid, resolve_phi
from distbragg.spec.detector import SensorSpec
from distbragg.spec.experiment import GoniometerSpec


@pytest.mark.spec("SAM-2")
@pytest.mark.parametrize(
    ("extent", "step", "count", "expected"),
    [
        (None, None, None, (1, 0.0, 0.0)),
        (0.008, None, None, (2, 0.008, 0.008)),
        (None, 0.002, None, (2, 0.002, 0.002)),
        (None, None, 3, (3, 1.0, 1.0 / 3.0)),
        (0.008, 0.003, None, (3, 0.008, 0.003)),
        (0.008, None, 1, (2, 0.008, 0.008)),
        (0.008, None, 5, (5, 0.008, 0.002)),
        (None, 0.002, 5, (2, 0.002, 0.002)),
        (0.0, None, 5, (1, 0.0, 0.0)),
        (0.008, 0.002, 7, (7, 0.008, 0.002)),
        (-1.0, -1.0, -1, (1, 0.0, 0.0)),
    ],
)
def test_any_two_of_range_step_and_count_give_the_third(extent, step, count, expected):
    grid = resolve_grid(extent, step, count, nominal=1.0, field="beam")
    assert (grid.count, grid.extent, grid.step) == pytest.approx(expected, rel=1e-15)


def test_a_grid_of_absurd_length_is_refused_with_its_field():
    with pytest.raises(InputError, match=r"beam\.divergence"):
        resolve_grid(1.0, 1e-300, None, nominal=1.0, field="beam.divergence")
    with pytest.raises(InputError, match="more than"):
        resolve_phi(1.0, None, MAXIMUM_STEPS + 1)


@pytest.mark.spec("SAM-3")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [0.0]),
        ({"oscillation_deg": 2}, [0, 1]),
        ({"step_deg": 0.5}, [0, 0.5]),
        ({"steps": 4}, [0, 0.25, 0.5, 0.75]),
        ({"steps": 1}, [0]),
        ({"oscillation_deg": 2, "step_deg": 0.6}, [0, 0.6, 1.2, 1.8]),
        ({"oscillation_deg": 2, "steps": 5}, [0, 0.4, 0.8, 1.2, 1.6]),
        ({"step_deg": 0.5, "steps": 7}, [0, 0.5]),
        ({"oscillation_deg": 2, "step_deg": 0.5, "steps": 3}, [0, 0.5, 1.0]),
        ({"phi_deg": 30, "oscillation_deg": 1}, [30, 30.5]),
    ],
)
def test_nanobragg_phi_steps_are_left_edges(given, expected):
    phi, _ = spindle_angles(GoniometerSpec(**given), HeaderValues(), "nanobragg")
    np.testing.assert_allclose(np.degrees(phi), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.spec("SAM-4")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"phi_deg": 10}, [10]),
        ({"phi_deg": 10, "steps": 1}, [10]),
        ({"phi_deg": 10, "oscillation_deg": 0}, [10]),
        ({"oscillation_deg": 1}, [0.25, 0.75]),
        ({"phi_deg": -1, "oscillation_deg": 2, "steps": 4}, [-0.75, -0.25, 0.25, 0.75]),
        ({"oscillation_deg": 2, "step_deg": 0.6}, [0.25, 0.75, 1.25, 1.75]),
        ({"oscillation_deg": -2, "steps": 2}, [-0.5, -1.5]),
        ({"step_deg": 0.5, "steps": 2}, [0.25, 0.75]),
        ({"oscillation_deg": 0.3, "step_deg": 0.1}, [0.05, 0.15, 0.25]),
    ],
)
def test_exact_phi_steps_are_midpoints_of_equal_intervals(given, expected):
    phi, _ = spindle_angles(GoniometerSpec(**given), HeaderValues(), "exact")
    np.testing.assert_allclose(np.degrees(phi), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0, 0)),
        ({"phi_deg": 10}, (10, 10)),
        ({"phi_deg": -1, "oscillation_deg": 2, "steps": 4}, (-1, 1)),
        ({"oscillation_deg": 2, "step_deg": 0.5}, (0, 2)),
    ],
)
def test_the_oscillation_is_the_whole_range_of_a_frame(given, expected, physics):
    _, ends = spindle_angles(GoniometerSpec(**given), HeaderValues(), physics)
    np.testing.assert_allclose(np.degrees(ends), expected, rtol=1e-14, atol=1e-14)


def test_a_rotation_backwards_has_its_least_angle_first():
    _, ends = spindle_angles(GoniometerSpec(phi_deg=1, oscillation_deg=-3), HeaderValues(), "exact")
    np.testing.assert_allclose(np.degrees(ends), (-2, 1), rtol=1e-14)


@pytest.mark.spec("SAM-10")
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"steps": 3}, "goniometer.steps: given without a range"),
        ({"step_deg": 0.5}, "goniometer.step_deg: given without a range"),
        ({"oscillation_deg": 2, "step_deg": -1}, "goniometer.step_deg: is not positive"),
        ({"oscillation_deg": 2, "step_deg": 0.5, "steps": 3}, "goniometer.oscillation_deg"),
    ],
)
def test_exact_steps_that_nobody_gave_are_refused(given, field):
    with pytest.raises(InputError, match=field):
        spindle_angles(GoniometerSpec(**given), HeaderValues(), "exact")


@pytest.mark.spec("SAM-6")
@pytest.mark.parametrize(
    ("spread", "count", "expected"),
    [
        (None, None, (0.0, 1)),
        (0.01, None, (0.01, 10)),
        (None, 5, (0.0, 1)),
        (0.0, 5, (0.0, 1)),
        (0.01, 1, (0.01, 1)),
        (0.01, 12, (0.01, 12)),
    ],
)
def test_domains_without_a_spread_are_one(spread, count, expected):
    assert resolve_domains(spread, count) == expected


@pytest.mark.spec("SAM-2")
@pytest.mark.parametrize(
    ("given", "depths_um", "attenuation"),
    [
        ({"thickness_um": 900}, [0, 450], 1 / 900e-6),
        ({"thickness_um": 900, "layers": 1}, [0, 900], 1 / 900e-6),
        ({"thickness_um": 900, "layers": 4}, [0, 300, 600, 900], 1 / 900e-6),
        ({"thickness_um": 900, "attenuation_length_um": 450}, [0, 450], 1 / 450e-6),
    ],
)
def test_nanobragg_layers_cover_more_than_the_thickness(given, depths_um, attenuation):
    sensor = build_sensor(SensorSpec(**given), "nanobragg", 1.0)
    step = depths_um[1] * 1e-6
    assert sensor.absorbs
    assert sensor.attenuation == pytest.approx(attenuation, rel=1e-14)
    np.testing.assert_allclose(sensor.position, np.array(depths_um) * 1e-6, rtol=1e-14)
    np.testing.assert_allclose(sensor.front, sensor.position, rtol=0)
    np.testing.assert_allclose(sensor.back - sensor.front, step, rtol=1e-12)


@pytest.mark.spec("SAM-7")
@pytest.mark.parametrize("layers", [1, 3])
def test_exact_layers_cover_the_thickness_and_are_sampled_at_their_centres(layers):
    sensor = build_sensor(SensorSpec(thickness_um=300, layers=layers), "exact", 1.0)
    edges = np.linspace(0, 300e-6, layers + 1)
    np.testing.assert_allclose(sensor.front, edges[:-1], atol=1e-18)
    np.testing.assert_allclose(sensor.back, edges[1:], rtol=1e-13)
    np.testing.assert_allclose(sensor.position, (edges[1:] + edges[:-1]) / 2, rtol=1e-13)


@pytest.mark.spec("GEO-10")
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"layers": 4},
        {"attenuation_length_um": 450},
        {"thickness_um": 0, "attenuation_length_um": 450},
        {"thickness_um": 900, "attenuation_length_um": math.inf},
        {"thickness_um": 900, "attenuation_length_um": 0},
    ],
)
def test_a_sensor_without_thickness_or_attenuation_is_one_transparent_layer(given, physics):
    sensor = build_sensor(SensorSpec(**given), physics, 1.0)
    assert not sensor.absorbs
    assert sensor.count == 1
    assert sensor.position[0] == 0.0
