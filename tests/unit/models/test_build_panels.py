"""Detectors of several panels: from the specification, from a file, moved, turned, masked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import plan_frame
from distbragg.plan.memory import spec_pixels
from distbragg.spec.load import parse_spec
from tests.beams import beam_of
from tests.geometry_files import expt, expt_panel

PANEL = {"pixels_fast": 12, "pixels_slow": 10, "fast": [0, 0, 1], "slow": [0, -1, 0]}


def build(detector, **sections) -> Experiment:
    plain = {
        "crystal": {"cell": [31, 37, 41, 85, 95, 100]},
        "structure_factors": {"default_f_electrons": 10.0},
        "sampling": {"oversample": 1},
        "detector": detector,
        **sections,
        **({} if "geometry_file" in detector else {"beam": beam_of(sections.get("beam"))}),
    }
    return build_experiment(parse_spec(plain))


def two(**changes):
    upper = {**PANEL, "name": "upper", "origin_mm": [60, 2.5, -3], "pixel_size_mm": 0.5}
    lower = {**PANEL, "name": "lower", "origin_mm": [60, -2.75, -3], "pixel_size_mm": 0.5}
    return {"panels": [upper, lower], **changes}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "two.expt"
    path.write_text(json.dumps(expt()))
    return str(path)


@pytest.mark.spec("GEO-12")
def test_every_panel_has_its_own_place_axes_and_size():
    upper, lower = build(two()).detector.panels
    assert (upper.name, lower.name) == ("upper", "lower")
    np.testing.assert_array_equal(upper.origin, [0.06, 0.0025, -0.003])
    np.testing.assert_array_equal(lower.origin, [0.06, -0.00275, -0.003])
    for panel in (upper, lower):
        assert panel.shape == panel.pixels == (10, 12)
        assert panel.pixel_size == 0.0005
        np.testing.assert_array_equal(panel.normal, [1, 0, 0])
        assert panel.close_distance == panel.distance == 0.06


@pytest.mark.spec("GEO-12")
def test_panels_take_what_they_leave_out_from_the_detector():
    bare = {"origin_mm": [60, 0, 0], "fast": [0, 0, 2], "slow": [0, -3, 0]}
    detector = {
        "panels": [bare, {**bare, "pixels_fast": 7, "sensor": {"layers": 3}}],
        "pixels_fast": 5,
        "pixels_slow": 6,
        "pixel_size_mm": 0.25,
        "sensor": {"thickness_um": 320, "attenuation_length_um": 240},
    }
    first, second = build(detector).detector.panels
    assert (first.name, second.name) == ("panel0", "panel1")
    assert (first.pixels, second.pixels) == ((6, 5), (6, 7))
    assert (first.sensor.count, second.sensor.count) == (2, 3)
    assert first.sensor.back[-1] == second.sensor.back[-1] == pytest.approx(320e-6)


@pytest.mark.spec("GEO-14")
def test_smaller_panels_are_padded_with_inactive_pixels():
    detector = two()
    detector["panels"][1] |= {"pixels_fast": 7, "pixels_slow": 8}
    experiment = build(detector)
    whole, small = experiment.detector.panels
    assert whole.shape == small.shape == (10, 12)
    assert small.pixels == (8, 7)
    assert whole.active.all()
    assert small.active[:8, :7].all()
    assert small.active.sum() == 56
    plan = plan_frame(experiment, parse_spec({}).compute)
    assert plan.steps == 120 + 56


@pytest.mark.spec("GEO-12")
def test_a_panel_may_face_the_sample_with_either_side():
    detector = two()
    detector["panels"][0] |= {"slow": [0, 1, 0]}
    left_handed, _ = build(detector).detector.panels
    np.testing.assert_array_equal(left_handed.normal, [1, 0, 0])
    assert left_handed.close_distance == 0.06


@pytest.mark.spec("GEO-13")
def test_a_geometry_file_brings_its_frame_beam_scan_and_crystal(file):
    experiment = build({"geometry_file": file}, crystal={})
    np.testing.assert_array_equal(experiment.beam.direction, [0, 0, -1])
    np.testing.assert_array_equal(np.abs(experiment.beam.polarization_axis), [1, 0, 0])
    assert experiment.beam.kahn_factor == pytest.approx(0.98)
    assert experiment.beam.wavelength == 1.1
    np.testing.assert_array_equal(experiment.crystal.spindle_axis, [1, 0, 0])
    np.testing.assert_allclose(np.degrees(experiment.crystal.phi), [5.0625, 5.1875])
    np.testing.assert_array_equal(
        experiment.crystal.real_space, [[0, 0, 40], [40, 0, 0], [0, 60, 0]]
    )
    left, right = experiment.detector.panels
    assert (left.name, right.name) == ("left", "right")
    np.testing.assert_array_equal(left.origin, [-0.0065, 0.0025, -0.06])
    assert left.close_distance == left.distance == 0.06
    assert left.active.all()
    assert np.argwhere(~right.active).tolist() == [[3, 2], [3, 3], [3, 4]]


@pytest.mark.spec("GEO-13")
def test_explicit_fields_win_over_the_file(file):
    experiment = build(
        {
            "geometry_file": file,
            "distance_mm": 80,
            "sensor": {"thickness_um": 300, "material": "Si"},
        },
        beam={"wavelength_angstrom": 0.9, "polarization": {"kahn_factor": 0.1}},
        goniometer={"spindle_axis": [0, 1, 0], "phi_deg": 1.0, "oscillation_deg": 0.0},
    )
    assert experiment.beam.wavelength == 0.9
    assert experiment.beam.kahn_factor == 0.1
    np.testing.assert_array_equal(experiment.crystal.spindle_axis, [0, 1, 0])
    np.testing.assert_allclose(np.degrees(experiment.crystal.phi), [1.0])
    assert experiment.crystal.cell[0] == pytest.approx(31.0)
    left, right = experiment.detector.panels
    np.testing.assert_allclose(left.origin, [-0.0065, 0.0025, -0.08], rtol=1e-14)
    np.testing.assert_allclose(right.origin, [0.0005, 0.0025, -0.08], rtol=1e-14)
    assert left.sensor.absorbs


@pytest.mark.spec("GEO-13")
@pytest.mark.parametrize("pivot", ["sample", "beam"])
def test_the_whole_detector_turns_about_the_sample_or_about_the_beams_spot(file, pivot):
    plain = build({"geometry_file": file}).detector.panels
    turned = build(
        {"geometry_file": file, "twotheta_deg": 90, "axes": {"twotheta": [0, 1, 0]}, "pivot": pivot}
    ).detector.panels
    centre = np.array([0, 0, -0.06]) if pivot == "beam" else np.zeros(3)
    matrix = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    for before, after in zip(plain, turned, strict=True):
        np.testing.assert_allclose(
            after.origin, centre + matrix @ (before.origin - centre), atol=1e-17
        )
        np.testing.assert_allclose(after.fast, matrix @ before.fast, atol=1e-16)
        np.testing.assert_allclose(after.slow, matrix @ before.slow, atol=1e-16)


@pytest.mark.spec("GEO-13")
def test_a_beam_centre_shifts_the_whole_detector(file):
    """Between the panels the nearest one counts, of two equally near the first."""
    left, right = build({"geometry_file": file, "xbeam_mm": 1.5, "ybeam_mm": 2.0}).detector.panels
    np.testing.assert_allclose(left.origin, [-0.0015, 0.002, -0.06], rtol=1e-13)
    np.testing.assert_allclose(right.origin, [0.0055, 0.002, -0.06], rtol=1e-13)


@pytest.mark.spec("GEO-13")
@pytest.mark.parametrize(
    "extra",
    [
        {"pixel_size_mm": 0.1},
        {"pixels_fast": 10},
        {"convention": "xds"},
        {"origin_mm": [100, 0, 0]},
        {"axes": {"fast": [1, 0, 0]}},
        {"curved": True},
        {"orgx_px": 3},
        {"panels": [{**PANEL, "origin_mm": [1, 0, 0]}]},
    ],
)
def test_fields_that_place_one_panel_are_refused_beside_a_file(file, extra):
    with pytest.raises(InputError, match="given together with"):
        build({"geometry_file": file, **extra})


def test_a_mask_holds_all_panels_one_below_the_other(tmp_path):
    mask = np.ones((20, 12), dtype=np.uint8)
    mask[13, 4] = 0
    np.save(tmp_path / "m.npy", mask)
    upper, lower = build(two(mask_file=str(tmp_path / "m.npy"))).detector.panels
    assert upper.active.all()
    assert np.argwhere(~lower.active).tolist() == [[3, 4]]
    np.save(tmp_path / "m.npy", mask[:10])
    with pytest.raises(InputError, match="all panels"):
        build(two(mask_file=str(tmp_path / "m.npy")))


@pytest.mark.spec("GEO-15")
def test_the_attenuation_of_a_material_is_that_at_the_wavelength(file):
    """Silicon lets 1/e through 68.9 and 240 um at 8.05 and 12.4 keV within a few per cent."""
    sensor = {"thickness_um": 450, "material": "Si"}
    for wavelength, length in ((1.5406, 68.0), (1.0, 238.0)):
        (panel,) = build(
            {"sensor": sensor}, beam={"wavelength_angstrom": wavelength}
        ).detector.panels
        assert 1e6 / panel.sensor.attenuation == pytest.approx(length, rel=0.03)
    with pytest.raises(InputError, match="tabulated"):
        build({"sensor": sensor}, beam={"energy_ev": 1500.0})


@pytest.mark.spec("GEO-13")
def test_a_files_sensor_absorbs_where_it_says_how_much(tmp_path):
    path = tmp_path / "s.expt"
    panels = [
        expt_panel("a", [0, 0, -50], thickness=0.32, mu=4.0),
        expt_panel("b", [9, 0, -50], thickness=0.32, material="Si"),
        expt_panel("c", [18, 0, -50], thickness=0.32),
    ]
    path.write_text(json.dumps(expt(panels)))
    first, second, third = build({"geometry_file": str(path)}).detector.panels
    assert first.sensor.attenuation == pytest.approx(4000.0)
    assert 1e6 / second.sensor.attenuation == pytest.approx(180.0, rel=0.05)
    assert not third.sensor.absorbs


def test_the_finest_sampling_any_panel_needs_serves_all():
    near, far = ({**PANEL, "origin_mm": [x, 0, 0], "pixel_size_mm": 0.5} for x in (50, 500))
    spec = {"crystal": {"cell": [50, 50, 50, 90, 90, 90], "block_cells": [40, 40, 40]}}
    both, alone = (
        build({"panels": panels}, sampling={}, **spec).sampling.oversample
        for panels in ([far, near], [near])
    )
    assert both == alone > 1


def test_panels_of_one_name_are_told_apart():
    detector = two()
    detector["panels"][1]["name"] = "upper"
    assert [panel.name for panel in build(detector).detector.panels] == ["upper_0", "upper_1"]


def test_the_plan_knows_the_size_of_a_files_panels(file):
    assert spec_pixels(parse_spec({"detector": {"geometry_file": file}})) == (20, 12)
