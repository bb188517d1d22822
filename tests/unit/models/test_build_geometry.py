"""Detector geometry; the nanobragg expectations are what the C program prints, in our frame."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.conventions import CONVENTIONS
from distbragg.spec.experiment import ExperimentSpec
from tests.beams import beam_of


def panel(physics="nanobragg", beam=None, **detector):
    return _build(physics, beam, detector).detector.panels[0]


def places(physics="nanobragg", beam=None, **detector):
    return {note.place for note in _build(physics, beam, detector).notes}


def _build(physics, beam, detector):
    return build_experiment(
        ExperimentSpec(
            physics=physics,
            beam=beam_of(beam),
            crystal={"cell": (25, 31, 35, 80, 85, 75), "block_cells": (6, 6, 6)},
            structure_factors={"default_f_electrons": 100},
            sampling={"oversample": 1},
            detector=detector,
        )
    )


@pytest.mark.spec("CON-1")
@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_the_axes_of_a_convention_are_right_angled_unit_vectors(name):
    rule = CONVENTIONS[name]
    for vector in (rule.beam, rule.fast, rule.slow, rule.normal, rule.polarization, rule.spindle):
        assert np.linalg.norm(vector) == 1.0
    assert np.dot(rule.fast, rule.slow) == 0.0
    np.testing.assert_array_equal(np.abs(np.cross(rule.fast, rule.slow)), np.abs(rule.normal))
    assert np.dot(rule.beam, rule.polarization) == 0.0


@pytest.mark.spec("CON-2")
@pytest.mark.parametrize(
    ("name", "given", "fast", "slow"),
    [
        ("mosflm", (10, 25), 25.2, 10.2),
        ("denzo", (17, 12), 12, 17),
        ("adxv", (14, 21), 14, 38.4 - 21),
        ("custom", (3, 4), 3, 4),
    ],
)
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_the_beam_meets_the_panel_where_the_convention_says(name, given, fast, slow, physics):
    result = panel(
        physics,
        convention=name,
        xbeam_mm=given[0],
        ybeam_mm=given[1],
        pivot="beam",
        distance_mm=80,
        pixels_fast=96,
        pixels_slow=96,
        pixel_size_mm=0.4,
    )
    from_corner = 0.08 * np.array(CONVENTIONS[name].beam) - result.origin
    assert from_corner @ result.fast == pytest.approx(fast * 1e-3, rel=1e-13)
    assert from_corner @ result.slow == pytest.approx(slow * 1e-3, rel=1e-13)


@pytest.mark.spec("CON-2")
@pytest.mark.parametrize(
    ("name", "fast", "slow"),
    [
        ("mosflm", 19.6, 14.8),
        ("denzo", 19.4, 14.6),
        ("adxv", 19.4, 14.6),
        ("xds", 19.2, 14.4),
        ("dials", 19.2, 14.4),
    ],
)
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_default_beam_centres(name, fast, slow, physics):
    result = panel(physics, convention=name, pixels_fast=96, pixels_slow=72, pixel_size_mm=0.4)
    assert -result.origin @ result.fast == pytest.approx(fast * 1e-3, rel=1e-13)
    assert -result.origin @ result.slow == pytest.approx(slow * 1e-3, rel=1e-13)


@pytest.mark.spec("GEO-5")
@pytest.mark.parametrize("rotation", [(0, 0, 0), (5, -3, 7)])
def test_a_beam_pivot_keeps_the_beam_where_it_was(rotation):
    result = panel(
        "exact",
        rotation_deg=rotation,
        twotheta_deg=12,
        pivot="beam",
        distance_mm=80,
        xbeam_mm=10,
        ybeam_mm=25,
        pixel_size_mm=0.4,
    )
    from_corner = 0.08 * np.array([1.0, 0, 0]) - result.origin
    ratio = panel("exact", rotation_deg=rotation, distance_mm=80).close_distance / 0.08
    assert ratio <= 1.0
    np.testing.assert_allclose(
        [from_corner @ result.fast, from_corner @ result.slow], [0.0252, 0.0102], rtol=1e-12
    )


@pytest.mark.spec("GEO-4")
def test_a_sample_pivot_keeps_the_nearest_point_and_distance():
    plain = panel("exact", pivot="sample", distance_mm=80, orgx_px=40.5, orgy_px=60.25)
    swung = panel(
        "exact", pivot="sample", distance_mm=80, orgx_px=40.5, orgy_px=60.25, twotheta_deg=25
    )
    assert swung.close_distance == pytest.approx(plain.close_distance, rel=1e-14)
    for result in (plain, swung):
        assert -result.origin @ result.fast == pytest.approx(40e-4, rel=1e-12)
        assert -result.origin @ result.slow == pytest.approx(59.75e-4, rel=1e-12)


@pytest.mark.spec("CON-4")
def test_a_given_pivot_is_honoured_under_exact_and_undone_with_a_warning_under_nanobragg():
    exact = panel("exact", pivot="sample", twotheta_deg=12, distance_mm=80)
    given = {"pivot": "sample", "twotheta_deg": 12, "distance_mm": 80}
    undone = panel("nanobragg", **given)
    assert "detector.pivot" in places("nanobragg", **given)
    assert exact.close_distance == pytest.approx(0.08, rel=1e-14)
    assert undone.close_distance == pytest.approx(0.08 * np.cos(np.radians(12)), rel=1e-14)


@pytest.mark.spec("GEO-2")
def test_rotations_about_x_y_z_then_twotheta_as_the_program_prints_them():
    result = panel(
        convention="xds",
        pixels_fast=90,
        pixels_slow=70,
        rotation_deg=(5, -8, 11),
        twotheta_deg=17,
        distance_mm=150,
    )
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec([np.radians(17), 0, 0]) * Rotation.from_euler(
        "xyz", [5, -8, 11], degrees=True
    )
    np.testing.assert_allclose(result.fast, turn.apply([1, 0, 0]), atol=1e-14)
    np.testing.assert_allclose(result.slow, turn.apply([0, 1, 0]), atol=1e-14)
    np.testing.assert_allclose(result.normal, turn.apply([0, 0, 1]), atol=1e-14)
    close = 0.15 * (Rotation.from_euler("xyz", [5, -8, 11], degrees=True).apply([0, 0, 1]))[2]
    assert result.close_distance == pytest.approx(close, rel=1e-13)


@pytest.mark.spec("CON-3")
def test_nanobragg_ignores_xclose_under_dials_and_says_so():
    given = {"convention": "dials", "xclose_mm": 12, "yclose_mm": 20}
    result = panel(**given)
    assert "detector.xclose_mm, yclose_mm" in places("nanobragg", **given)
    assert -result.origin @ result.fast == pytest.approx(51.2e-3, rel=1e-13)
    exact = panel("exact", convention="dials", xclose_mm=12, yclose_mm=20)
    assert -exact.origin @ exact.fast == pytest.approx(12e-3, rel=1e-13)
    assert -exact.origin @ exact.slow == pytest.approx(20e-3, rel=1e-13)


@pytest.mark.spec("CON-3")
def test_exact_lets_a_beam_centre_stand_for_the_nearest_point():
    result = panel("exact", convention="xds", xbeam_mm=12, ybeam_mm=20)
    assert -result.origin @ result.fast == pytest.approx(12e-3, rel=1e-13)


@pytest.mark.spec("CON-5")
def test_an_axis_selects_custom_with_the_normal_across_fast_and_slow():
    result = panel("exact", axes={"fast": (0, 1, 0), "slow": (0, 0, 2)}, pivot="sample")
    np.testing.assert_array_equal(result.normal, [1, 0, 0])
    assert -result.origin @ result.fast == pytest.approx(51.2e-3, rel=1e-13)


@pytest.mark.spec("CON-5")
@pytest.mark.parametrize("pivot", ["beam", "sample"])
def test_a_left_handed_pair_of_axes_keeps_the_panel_in_front_of_the_beam(pivot):
    beam, axes = {"direction": (0, 0, 1)}, {"fast": (1, 0, 0), "slow": (0, -1, 0)}
    result = panel("exact", beam, axes=axes, pivot=pivot, distance_mm=150)
    np.testing.assert_array_equal(result.normal, [0, 0, 1])
    assert result.origin[2] == pytest.approx(0.15)
    assert result.distance == pytest.approx(0.15)


@pytest.mark.spec("GEO-8")
@pytest.mark.parametrize(
    "given",
    [
        {"close_distance_mm": -100, "convention": "xds"},
        {"distance_mm": 100, "twotheta_deg": 180, "pivot": "beam"},
    ],
)
def test_a_panel_behind_the_sample_has_a_positive_solid_angle_under_exact(given):
    exact, program = panel("exact", **given), panel("nanobragg", **given)
    np.testing.assert_array_equal(exact.origin, program.origin)
    assert exact.close_distance == pytest.approx(0.1)
    assert exact.normal @ exact.origin == pytest.approx(0.1)
    assert program.close_distance == pytest.approx(-0.1)


@pytest.mark.spec("CON-5")
def test_a_polarisation_axis_selects_custom_under_nanobragg_alone():
    beam = {"polarization": {"axis": (0, 0, 1)}}
    assert -panel("exact", beam).origin @ (0, 0, 1) == pytest.approx(51.3e-3, rel=1e-12)
    assert -panel("nanobragg", beam).origin @ (0, 0, 1) == pytest.approx(51.2e-3, rel=1e-12)


@pytest.mark.spec("GEO-6")
def test_pix0_is_the_origin_under_exact_and_ignored_under_nanobragg():
    pix0 = (90, 10, -20)
    exact = panel("exact", origin_mm=pix0)
    np.testing.assert_array_equal(exact.origin, [0.09, 0.01, -0.02])
    assert exact.close_distance == pytest.approx(0.09)
    assert panel("nanobragg", origin_mm=pix0).origin[0] == pytest.approx(0.1)
    assert "detector.origin_mm" in places("nanobragg", origin_mm=pix0)


@pytest.mark.spec("GEO-3")
def test_close_distance_and_distance_give_one_another():
    result = panel("exact", close_distance_mm=75, rotation_deg=(0, 10, 0))
    assert result.distance == pytest.approx(0.075 / np.cos(np.radians(10)), rel=1e-14)
    assert result.close_distance == pytest.approx(0.075, rel=1e-14)


@pytest.mark.spec("GEO-11")
@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({}, (1024, 1024)),
        ({"size_fast_mm": 51.25, "pixel_size_mm": 0.3}, (341, 171)),
        ({"pixels_fast": 17, "pixels_slow": 5}, (5, 17)),
    ],
)
def test_detector_sizes(given, shape):
    assert panel("exact", **given).shape == shape


@pytest.mark.spec("GEO-11")
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"size_slow_mm": 0.01}, r"detector\.size_slow_mm"),
        ({"pixels_fast": 60_000, "pixels_slow": 60_000}, "pixels_fast"),
        ({"pixel_size_mm": 1e-5}, "pixel"),
        ({"rotation_deg": (0, 90, 0)}, r"rotation_deg|close_distance_mm"),
        ({"axes": {"fast": (0, 1, 0), "slow": (0, 2, 0)}}, r"detector\.axes\.slow"),
        ({"origin_mm": (0, 100, 100)}, r"detector\.origin_mm"),
    ],
)
def test_impossible_detectors_are_refused_by_field(given, field):
    with pytest.raises(InputError, match=field):
        panel("exact", **given)


@pytest.mark.spec("GEO-9")
def test_region_of_interest_is_inclusive_and_cut_at_the_detector():
    active = panel("exact", pixels_fast=10, pixels_slow=7, roi=(2, 4, 5, 99)).active
    expected = np.zeros((7, 10), bool)
    expected[5:7, 2:5] = True
    np.testing.assert_array_equal(active, expected)


@pytest.mark.spec("GEO-9")
def test_a_mask_takes_pixels_out_and_must_fit(tmp_path):
    mask = np.ones((7, 10), np.uint8)
    mask[3, 4] = 0
    path = tmp_path / "mask.npy"
    np.save(path, mask)
    active = panel("exact", pixels_fast=10, pixels_slow=7, mask_file=str(path)).active
    np.testing.assert_array_equal(active, mask != 0)
    with pytest.raises(InputError, match="10 x 7"):
        panel("exact", pixels_fast=7, pixels_slow=10, mask_file=str(path))


def test_a_beam_along_the_default_polarisation_axis_finds_another_one():
    beam = _build(
        "exact", {"direction": (0, 0, 3)}, {"axes": {"fast": (1, 0, 0), "slow": (0, 1, 0)}}
    ).beam
    assert beam.polarization_axis @ beam.direction == 0.0
    with pytest.raises(InputError, match=r"beam\.polarization\.axis"):
        _build(
            "exact",
            {"direction": (0, 0, 3), "polarization": {"kahn_factor": 0.9}},
            {"axes": {"fast": (1, 0, 0), "slow": (0, 1, 0)}},
        )
