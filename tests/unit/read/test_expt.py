"""DIALS experiment lists: panel frames, goniometer, scan, crystal; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.geometry.expt import read_expt
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.geometry.read import read_geometry
from tests.geometry_files import IDENTITY, XDS_INP, expt, expt_panel

SIXTY = np.sqrt(0.75)


def read(tmp_path: Path, document: object) -> FileGeometry:
    path = tmp_path / "x.expt"
    path.write_text(json.dumps(document))
    return read_expt(str(path))


@pytest.mark.spec("GEO-13")
def test_panels_beam_spindle_scan_and_crystal_are_read_in_the_files_frame(tmp_path):
    found = read(tmp_path, expt())
    left, right = found.panels
    assert (left.name, right.name) == ("left", "right")
    assert left.shape == (10, 12)
    assert left.pixel_size == 0.5
    assert left.origin == (-6.5, 2.5, -60.0)
    assert (left.fast, left.slow) == ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    assert left.thickness == 0.0
    assert left.attenuation_length is None
    assert left.masked == ()
    (area,) = right.masked
    assert (area.fast_start, area.fast_stop) == (2, 5)
    assert (area.slow_start, area.slow_stop) == (3, 4)
    assert found.beam == (0.0, 0.0, -1.0)
    assert found.wavelength == 1.1
    assert np.abs(found.polarization).tolist() == [1.0, 0.0, 0.0]
    assert found.polarization_fraction == 0.99
    assert found.spindle == (1.0, 0.0, 0.0)
    assert (found.phi, found.oscillation) == (5.0, 0.25)
    assert found.real_space == ((0.0, 0.0, 40.0), (40.0, 0.0, 0.0), (0.0, 60.0, 0.0))


@pytest.mark.spec("GEO-13")
def test_panels_hang_on_their_groups(tmp_path):
    """A group turned by 60 degrees about y at the end of a shifted one turned by 90 about z."""
    document = expt([expt_panel("a", [1.0, 2.0, 0.0], slow_axis=[0.0, 1.0, 0.0])])
    group = {"fast_axis": [0.5, 0.0, -SIXTY], "slow_axis": [0.0, 1.0, 0.0], "origin": [3, 0, 0]}
    document["detector"][0]["hierarchy"] = {
        "fast_axis": [0.0, 1.0, 0.0],
        "slow_axis": [-1.0, 0.0, 0.0],
        "origin": [0.0, 0.0, -100.0],
        "children": [{**group, "children": [{"panel": 0}]}],
    }
    (panel,) = read(tmp_path, document).panels
    # In the group (1, 2, 0) is (0.5, 2, -0.87), shifted (3.5, 2, -0.87); the root turns x to y.
    np.testing.assert_allclose(panel.origin, [-2.0, 3.5, -100.0 - SIXTY], atol=1e-14)
    np.testing.assert_allclose(panel.fast, [0.0, 0.5, -SIXTY], atol=1e-15)
    np.testing.assert_allclose(panel.slow, [-1.0, 0.0, 0.0], atol=1e-15)


@pytest.mark.spec("GEO-13")
def test_setting_and_fixed_rotations_turn_spindle_and_crystal(tmp_path):
    quarter_z = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    quarter_x = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0]
    single = {
        "rotation_axis": [1.0, 0.0, 0.0],
        "fixed_rotation": quarter_x,
        "setting_rotation": quarter_z,
    }
    axes = {
        "axes": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
        "angles": [90.0, 17.0, 90.0],
        "names": ["phi", "omega", "two"],
        "scan_axis": 1,
    }
    for goniometer in (single, axes):
        found = read(tmp_path, expt(goniometer=[goniometer]))
        np.testing.assert_allclose(found.spindle, [0.0, 1.0, 0.0], atol=1e-15)
        # a = 40 z: turned about x to -40 y, about z to 40 x.
        np.testing.assert_allclose(found.real_space[0], [40.0, 0.0, 0.0], atol=1e-13)


def test_newer_scans_keep_their_angles_among_the_properties(tmp_path):
    scan = [{"image_range": [1, 3], "properties": {"oscillation": [2.0, 2.5, 3.0]}}]
    found = read(tmp_path, expt(scan=scan))
    assert (found.phi, found.oscillation) == (2.0, 0.5)


def test_a_still_has_neither_goniometer_nor_scan(tmp_path):
    still = [{"beam": 0, "detector": 0}]
    found = read(tmp_path, expt(experiment=still))
    assert found.spindle is None
    assert found.phi is None
    assert found.real_space is None


def test_the_attenuation_of_the_sensor_is_the_inverse_of_mu(tmp_path):
    panel = expt_panel("a", [0.0, 0.0, -50.0], thickness=0.32, mu=4.0, material="Si")
    (found,) = read(tmp_path, expt([panel])).panels
    assert (found.thickness, found.attenuation_length, found.material) == (0.32, 0.25, "Si")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a DIALS experiment list"),
        ({"__id__": "ExperimentList", "experiment": []}, "empty"),
        (expt(detector=[]), "no detector of the list"),
        (expt([]), "0 panels"),
        (expt([expt_panel("a", [0, 0, 0], pixel_size=[0.1, 0.2])]), "square"),
        (expt([expt_panel("a", [0, 0, 0], image_size=[0, 4])]), "image_size"),
        (expt([expt_panel("a", [0, 0, 0], image_size=[10**6, 10**6])]), r"2\^31"),
        (expt([expt_panel("a", [0, 0, float("nan")])]), "range"),
        (expt([expt_panel("a", [0, 0, 0], slow_axis=[1, 0, 0])]), "parallel"),
        (expt([expt_panel("a", [0, 0, 0], fast_axis=[0, 0, 0])]), "no length"),
        (expt(goniometer=[{"rotation_axis": [1, 0, 0], "fixed_rotation": [2.0] * 9}]), "rotation"),
        (expt(goniometer=[{"axes": [[1, 0, 0]], "angles": []}]), "do not agree"),
        (expt(beam=[{"direction": "z"}]), "three numbers"),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_one_line(tmp_path, document, message):
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path, document)
    assert "x.expt" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "x.expt"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="no JSON"):
        read_expt(str(path))
    inner = {"panel": 0}
    for _ in range(40):
        inner = {"children": [inner]}
    document = expt()
    document["detector"][0]["hierarchy"] = inner
    with pytest.raises(InputError, match="deeply"):
        read(tmp_path, document)


def test_the_identity_is_not_multiplied_in(tmp_path):
    """Vectors without a group keep every bit."""
    odd = [1 / 3, 2 / 3, 2 / 3]
    document = expt([expt_panel("a", [0.1, 0.2, -0.3], fast_axis=odd)])
    document["detector"][0]["hierarchy"] = {
        "fast_axis": [1.0, 0.0, 0.0],
        "slow_axis": [0.0, 1.0, 0.0],
        "origin": [0.0, 0.0, 0.0],
        "children": [{"panel": 0}],
    }
    assert document["goniometer"][0]["fixed_rotation"] == IDENTITY
    (panel,) = read(tmp_path, document).panels
    assert panel.fast == tuple(odd)
    assert panel.origin == (0.1, 0.2, -0.3)


@pytest.mark.spec("GEO-22")
@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ({"properties": {"oscillation": [10.0], "oscillation_width": [0.5]}}, (10.0, 0.5)),
        ({"properties": {"oscillation": [10.0], "oscillation_width": 0.5}}, (10.0, 0.5)),
        ({"properties": {"oscillation": [10.0, 10.5]}}, (10.0, 0.5)),
        ({"properties": {"oscillation": [10.0, 10.5], "oscillation_width": []}}, (10.0, 0.5)),
        ({"oscillation": [10.0, 0.5]}, (10.0, 0.5)),
        ({"properties": {"oscillation": [10.0]}}, (10.0, 0.0)),
    ],
)
def test_a_scan_of_one_image_keeps_its_width(tmp_path, scan, expected):
    found = read(tmp_path, expt(scan=[{"image_range": [1, 1], **scan}]))
    assert (found.phi, found.oscillation) == expected
    assert any("taken as a still" in note for note in found.notes) == (expected[1] == 0.0)


@pytest.mark.spec("SRC-27")
def test_a_polychromatic_beam_says_no_wavelength(tmp_path):
    beam = {"direction": [0, 0, 1], "wavelength_range": [1.0, 6.0], "__id__": "polychromatic"}
    found = read(tmp_path, expt(beam=[beam]))
    assert found.wavelength is None
    assert any("1.0 to 6.0 Å" in note for note in found.notes)


def test_what_a_list_says_beside_its_geometry_is_told(tmp_path):
    document = expt()
    document["crystal"][0].update(A_at_scan_points=[[0.0] * 9], ML_half_mosaicity_deg=0.1)
    document["beam"][0].update(
        probe="electron", divergence=0.1, flux=1e12, s0_at_scan_points=[[0, 0, -1]]
    )
    document["crystal"][0]["space_group_hall_symbol"] = " P 4nw 2abw"
    document["goniometer"][0]["setting_rotation_at_scan_points"] = [IDENTITY]
    document["imageset"] = [{"mask": "bad.pickle", "gain": None, "dx": "dx.pickle"}]
    document["experiment"][0]["imageset"] = 0
    document["detector"][0]["panels"][0].update(
        gain=2.0, px_mm_strategy={"type": "OffsetParallaxCorrectedPxMmStrategy"}
    )
    text = "\n".join(read(tmp_path, document).notes)
    for part in (
        "A_at_scan_points", "ML_half_mosaicity_deg 0.1", "'electron'", "divergence 0.1",
        "flux 1e+12",
        "s0_at_scan_points", "setting_rotation_at_scan_points", "bad.pickle", "dx.pickle",
        "gain and pedestal", "px_mm_strategy", "Hall symbol P 4nw 2abw",
    ):  # fmt: skip
        assert part in text, part
    assert read(tmp_path, expt()).notes == ()


@pytest.mark.spec("GEO-16")
def test_one_of_several_experiments_is_chosen(tmp_path):
    document = expt()
    document["beam"].append({**document["beam"][0], "wavelength": 0.9})
    document["experiment"].append({**document["experiment"][0], "beam": 1})
    path = tmp_path / "x.expt"
    path.write_text(json.dumps(document))
    first = read_geometry(str(path))
    assert first.wavelength == 1.1
    assert any("experiment 0 of 2 is used" in note for note in first.notes)
    second = read_geometry(str(path), "auto", 1)
    assert (second.wavelength, second.notes) == (0.9, ())
    with pytest.raises(InputError, match="no experiment 2 among 2"):
        read_geometry(str(path), "auto", 2)
    (tmp_path / "XDS.INP").write_bytes(XDS_INP)
    with pytest.raises(InputError, match="lists no experiments"):
        read_geometry(str(tmp_path / "XDS.INP"), "auto", 0)


def test_models_in_files_of_their_own_are_refused(tmp_path):
    document = expt()
    document["experiment"][0]["beam"] = "beam.json"
    with pytest.raises(InputError, match="files of their own are not read"):
        read(tmp_path, document)


def test_a_list_may_begin_with_a_mark_and_say_no_wavelength(tmp_path):
    document = expt()
    document["beam"][0]["wavelength"] = 0.0
    path = tmp_path / "x.expt"
    path.write_text(json.dumps(document), encoding="utf-8-sig")
    assert read_geometry(str(path)).wavelength is None
    path.write_text(json.dumps(document), encoding="utf-16")
    with pytest.raises(InputError, match=r"UTF-16.*save it as UTF-8"):
        read_geometry(str(path))
