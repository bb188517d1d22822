"""Weights, divisors and generated grids."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build_beam import (
    build_beam,
    divergence_directions,
    make_sources,
    nominal_wavelength,
    resolve_fluence,
    weight_rule,
)
from distbragg.models.conventions import CONVENTIONS
from distbragg.models.setting import HeaderValues
from distbragg.models.steps import Grid
from distbragg.spec.beam import BeamSpec

MOSFLM = CONVENTIONS["mosflm"]


def table(weights, rule):
    count = len(weights)
    direction = np.tile([-1.0, 0.0, 0.0], (count, 1))
    return make_sources(direction, np.linspace(1, 1.1, count), np.array(weights, float), rule)


@pytest.mark.spec("SRC-3")
def test_sum_divides_by_the_weights_and_drops_zero_ones():
    sources = table([1.0, 0.0, 3.0], "sum")
    assert sources.count == 2
    assert sources.listed == 3
    assert sources.weight.max() == 0.75
    assert sources.total_weight == 1.0
    np.testing.assert_array_equal(sources.wavelength, [1.0, 1.1])


@pytest.mark.spec("SRC-3")
def test_count_divides_by_the_number_listed_and_ignores_weights():
    sources = table([0.0, 0.0, 3.0], "count")
    assert sources.count == 3
    assert sources.total_weight == 3.0
    np.testing.assert_array_equal(sources.weight, 1.0)


@pytest.mark.spec("SRC-3")
def test_none_keeps_the_weights_and_divides_by_one():
    sources = table([5.0, 0.0, 0.125], "none")
    np.testing.assert_array_equal(sources.weight, [5.0, 0.125])
    assert sources.total_weight == 1.0


@pytest.mark.spec("SRC-3")
def test_auto_depends_on_the_physics():
    assert weight_rule("auto", "exact") == "sum"
    assert weight_rule("auto", "nanobragg") == "count"
    assert weight_rule("none", "nanobragg") == "none"


@pytest.mark.spec("SRC-6")
@pytest.mark.parametrize("exponent", [-1000, -60, 3, 900])
def test_a_power_of_two_on_all_weights_changes_no_bit(exponent):
    weights = [0.1, 0.7, 0.30000001, 1e-3]
    plain = table(weights, "sum")
    scaled = table([math.ldexp(weight, exponent) for weight in weights], "sum")
    np.testing.assert_array_equal(scaled.weight, plain.weight)
    assert scaled.total_weight == plain.total_weight
    assert 0.5 <= plain.weight.max() < 1.0


def test_the_smallest_subnormal_weight_alone_is_full_light():
    sources = table([5e-324], "sum")
    assert sources.weight[0] == 0.5
    assert sources.total_weight == 0.5


@pytest.mark.spec("SRC-4")
def test_the_divisor_is_an_exactly_rounded_sum():
    weights = [1.0] + [1e-17] * 1000
    assert table(weights, "sum").total_weight == math.fsum(weights) / 2


@pytest.mark.spec("SRC-7")
@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", ["sum", "count", "none"])
def test_weights_that_are_no_weights_are_refused(bad, rule):
    with pytest.raises(InputError, match="source 2"):
        table([1.0, bad], rule)


@pytest.mark.spec("SRC-7")
@pytest.mark.parametrize("rule", ["sum", "none"])
def test_all_zero_weights_are_refused(rule):
    with pytest.raises(InputError, match="every source weight is zero"):
        table([0.0, 0.0], rule)


def test_an_empty_table_is_refused():
    with pytest.raises(InputError, match="empty"):
        table([], "sum")


@pytest.mark.spec("SRC-11")
@pytest.mark.parametrize(("round_off", "expected"), [(True, 12), (False, 20)])
def test_a_round_grid_leaves_out_its_corners(round_off, expected):
    horizontal, vertical = Grid(5, 0.008, 0.002), Grid(4, 0.006, 0.002)
    directions = divergence_directions(
        (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), horizontal, vertical, round_off=round_off
    )
    assert directions.shape == (expected, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, rtol=1e-15)


@pytest.mark.spec("SRC-11")
def test_vertical_divergence_turns_about_the_polarisation_axis():
    directions = divergence_directions(
        (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), Grid(1, 0, 0), Grid(2, 0.2, 0.2), round_off=True
    )
    expected = [
        [-math.cos(0.1), math.sin(0.1), 0],
        [-math.cos(0.1), -math.sin(0.1), 0],
    ]
    np.testing.assert_allclose(directions, expected, atol=1e-15)


def _angles(divergence: dict, physics: str = "exact") -> np.ndarray:
    """Horizontal and vertical angle of every direction against the nominal one, mrad."""
    spec = BeamSpec(wavelength_angstrom=1.0, divergence=divergence)
    beam = build_beam(spec, physics, MOSFLM, HeaderValues())
    across, upward = MOSFLM.polarization, np.cross(MOSFLM.beam, MOSFLM.polarization)
    towards = beam.sources.direction
    assert np.linalg.norm(towards, axis=1) == pytest.approx(1.0, abs=1e-15)
    return np.stack([towards @ across, towards @ upward], axis=1) * 1e3


@pytest.mark.spec("SRC-30")
def test_exact_divergence_is_centred_on_the_beam():
    # Worked out by hand: 2 mrad in steps of 0.5 are four parts, centred at ±0.25 and ±0.75.
    found = np.sort(np.abs(_angles({"horizontal": {"range_mrad": 2, "step_mrad": 0.5}})), axis=0)
    np.testing.assert_allclose(found[:, 0], [0.25, 0.25, 0.75, 0.75], atol=1e-6)
    np.testing.assert_array_equal(found[:, 1], 0.0)
    for shape in ("round", "square"):
        grid = {
            "horizontal": {"range_mrad": 6, "steps": 4},
            "vertical": {"range_mrad": 4, "steps": 3},
            "shape": shape,
        }
        np.testing.assert_allclose(_angles(grid).mean(axis=0), 0.0, atol=1e-12)


@pytest.mark.spec("SRC-30")
def test_exact_round_divergence_keeps_what_lies_inside_the_ellipse():
    sides = {"range_mrad": 6, "steps": 6}
    found = _angles({"horizontal": sides, "vertical": sides})
    # Centres at ±0.5, ±1.5, ±2.5: of each quadrant's nine, (2.5, 2.5) lies beyond 3 mrad.
    assert len(found) == 32
    assert np.hypot(found[:, 0], found[:, 1]).max() < 3.0
    assert len(_angles({"horizontal": sides, "vertical": sides, "shape": "square"})) == 36


@pytest.mark.spec("SRC-30")
@pytest.mark.parametrize(
    ("beam", "message"),
    [
        ({"divergence": {"horizontal": {"steps": 5}}}, r"horizontal\.steps: given without a range"),
        ({"divergence": {"vertical": {"step_mrad": 1}}}, r"vertical\.step_mrad: given without"),
        ({"divergence": {"vertical": {"range_mrad": -1}}}, r"vertical\.range_mrad: is negative"),
        ({"dispersion": {"steps": 5}}, r"dispersion\.steps: given without a range"),
        ({"dispersion": {"range_percent": 1, "steps": 1}}, "one wavelength has no range"),
        ({"dispersion": {"range_percent": -1}}, r"dispersion\.range_percent: is negative"),
    ],
)
def test_exact_grids_of_numbers_that_nobody_gave_are_refused(beam, message):
    spec = BeamSpec(wavelength_angstrom=1.0, **beam)
    with pytest.raises(InputError, match=message):
        build_beam(spec, "exact", MOSFLM, HeaderValues())


@pytest.mark.spec("SRC-12")
@pytest.mark.parametrize(
    ("dispersion", "expected"),
    [
        ({"range_percent": 2}, [0.99, 1.01]),
        ({"steps": 3}, [1.0]),
        ({"range_percent": 2, "steps": 1}, [0.99, 1.01]),
        ({"range_percent": 2, "steps": 5}, [0.99, 0.995, 1.0, 1.005, 1.01]),
    ],
)
def test_dispersion_grids_are_those_of_nanobragg(dispersion, expected):
    beam = build_beam(
        BeamSpec(wavelength_angstrom=1.0, dispersion=dispersion),
        "nanobragg",
        MOSFLM,
        HeaderValues(),
    )
    np.testing.assert_allclose(beam.sources.wavelength, expected, rtol=1e-14)


def test_a_dispersion_that_reaches_zero_wavelength_is_refused():
    spec = BeamSpec(wavelength_angstrom=1.0, dispersion={"range_percent": 200})
    with pytest.raises(InputError, match=r"beam\.dispersion\.range_percent"):
        build_beam(spec, "exact", MOSFLM, HeaderValues())


@pytest.mark.spec("SRC-10")
def test_a_spectrum_multiplies_the_directions():
    spec = BeamSpec(
        spectrum={"wavelengths_angstrom": (1.0, 1.2), "weights": (1, 3)},
        divergence={"horizontal": {"range_mrad": 2, "steps": 3}},
    )
    beam = build_beam(spec, "exact", MOSFLM, HeaderValues())
    assert beam.sources.count == 6
    np.testing.assert_array_equal(beam.sources.wavelength, [1.0, 1.2] * 3)
    np.testing.assert_array_equal(beam.sources.weight, [0.25, 0.75] * 3)
    assert beam.sources.total_weight == 3.0
    assert beam.wavelength == pytest.approx(1.15)


@pytest.mark.spec("SRC-10")
def test_a_given_wavelength_beats_the_mean_of_the_spectrum_and_the_header():
    spec = BeamSpec(wavelength_angstrom=0.9, spectrum={"energies_ev": (12398.42,)})
    assert nominal_wavelength(spec, 1.3) == 0.9
    assert nominal_wavelength(BeamSpec(), 1.3) == 1.3
    assert nominal_wavelength(BeamSpec(energy_ev=12398.42), None) == 1.0


@pytest.mark.spec("SRC-8")
def test_a_source_file_becomes_unit_directions_in_angstrom(tmp_path):
    path = tmp_path / "s.txt"
    path.write_bytes(b"# X Y Z\r\n-20 0 0 1.0 1.00e-10\r\n\r\n0 -3 4 3")
    spec = BeamSpec(source_file=str(path), wavelength_angstrom=1.5)
    beam = build_beam(spec, "exact", MOSFLM, HeaderValues())
    np.testing.assert_allclose(beam.sources.direction, [[-1, 0, 0], [0, -0.6, 0.8]], rtol=1e-15)
    np.testing.assert_allclose(beam.sources.wavelength, [1.0, 1.5], rtol=1e-15)
    np.testing.assert_array_equal(beam.sources.weight, [0.25, 0.75])


@pytest.mark.spec("SCL-6")
def test_fluence_from_flux_exposure_and_size():
    spec = BeamSpec(flux_photons_per_s=1e12, exposure_s=0.1, size_mm=0.02)
    assert resolve_fluence(spec, "exact") == pytest.approx(1e11 / 4e-10, rel=1e-14)
    assert resolve_fluence(BeamSpec(flux_photons_per_s=2e10), "exact") == pytest.approx(2e18)


@pytest.mark.spec("SCL-6")
def test_a_flux_of_zero_counts_as_not_given_under_nanobragg_alone():
    spec = BeamSpec(flux_photons_per_s=0)
    assert resolve_fluence(spec, "exact") == 0.0
    assert resolve_fluence(spec, "nanobragg") == resolve_fluence(BeamSpec(), "nanobragg")
