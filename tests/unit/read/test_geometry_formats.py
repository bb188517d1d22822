"""Geometry files of XDS, CrystFEL, NeXus and image headers: the same facts from each."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.read.geometry.model import FileGeometry, Rectangle
from distbragg.read.geometry.read import FORMATS, detect_format, read_geometry
from distbragg.spec.load import parse_spec
from tests import geometry_files as files

FILES: dict[str, bytes] = {
    "expt": json.dumps(files.expt()).encode(),
    "xds": files.XDS_INP,
    "xparm": files.XPARM,
    "crystfel": files.CRYSTFEL,
    "cbf": files.MINI_CBF,
    "smv": files.SMV,
}


def read(tmp_path: Path, content: bytes, format: str = "auto") -> FileGeometry:
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    return read_geometry(str(path), format)


def nexus(tmp_path: Path, **settings: float) -> FileGeometry:
    path = tmp_path / "master.h5"
    files.write_nexus(str(path), **settings)
    return read_geometry(str(path))


@pytest.mark.spec("GEO-16")
def test_every_format_is_told_by_its_content(tmp_path):
    for format, content in FILES.items():
        path = tmp_path / "some.file"
        path.write_bytes(content)
        assert detect_format(str(path)) == format
    files.write_nexus(str(tmp_path / "n"))
    assert detect_format(str(tmp_path / "n")) == "nxmx"
    assert set(FORMATS) == {*FILES, "nxmx"}
    with pytest.raises(InputError, match="none of the known geometry formats"):
        read(tmp_path, b"some other text\n")


@pytest.mark.spec("GEO-16")
def test_xds_counts_pixels_from_one_at_their_centres(tmp_path):
    found = read(tmp_path, files.XDS_INP)
    (panel,) = found.panels
    assert panel.shape == (10, 24)
    assert panel.origin == (-6.0, -2.5, 60.0)
    assert (panel.fast, panel.slow) == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    assert (panel.thickness, panel.attenuation_length) == (0.32, 0.25)
    # Pixels between 12 and 14, exclusive and from 1: number 13, index 12.
    assert panel.masked == (Rectangle(0, 10, 12, 13),)
    assert found.beam == (0.0, 0.0, 1.0)
    assert (found.wavelength, found.phi, found.oscillation) == (1.1, 5.0, 0.25)
    assert found.spindle == (1.0, 0.0, 0.0)
    assert found.polarization == (1.0, 0.0, 0.0)
    assert found.real_space == ((0.0, 0.0, 40.0), (40.0, 0.0, 0.0), (0.0, 60.0, 0.0))


@pytest.mark.spec("GEO-16")
def test_xds_starts_at_zero_where_no_starting_angle_is_given(tmp_path):
    found = read(tmp_path, files.XDS_INP.replace(b"STARTING_ANGLE= 5", b""))
    assert (found.phi, found.oscillation) == (0.0, 0.25)
    still = files.XDS_INP.replace(b"STARTING_ANGLE= 5 OSCILLATION_RANGE= 0.25", b"")
    assert (read(tmp_path, still).phi, read(tmp_path, still).oscillation) == (None, None)


@pytest.mark.spec("GEO-16")
def test_xparm_says_the_same_as_the_input_that_led_to_it(tmp_path):
    first, second = read(tmp_path, files.XDS_INP), read(tmp_path, files.XPARM)
    assert second.panels[0].origin == first.panels[0].origin
    assert second.panels[0].shape == first.panels[0].shape
    for name in ("beam", "wavelength", "spindle", "phi", "oscillation", "real_space"):
        assert getattr(first, name) == getattr(second, name), name


@pytest.mark.spec("GEO-16")
def test_segments_of_xds_stand_within_the_detectors_frame(tmp_path):
    left, right = read(tmp_path, files.XDS_SEGMENTS).panels
    assert left.shape == right.shape == (10, 12)
    np.testing.assert_allclose(left.origin, [-6.0, -2.5, 60.0], atol=1e-12)
    # Pixel edge 12.5 less the segment's origin 2: 5.25 mm along its axis (0.6, 0, 0.8), and
    # 1.5 mm along its normal (-0.8, 0, 0.6), from the detector's corner (-6.25, -2.75, 60).
    np.testing.assert_allclose(
        right.origin, [-6.25 + 3.15 - 1.2, -2.5, 60.0 + 4.2 + 0.9], atol=1e-12
    )
    np.testing.assert_allclose(right.fast, [0.6, 0.0, 0.8], atol=1e-15)
    assert left.masked == (Rectangle(0, 10, 12, 13),)
    assert right.masked == (Rectangle(0, 10, 0, 1),)


@pytest.mark.spec("GEO-16")
def test_crystfel_corners_count_in_pixels_and_defaults_reach_later_panels(tmp_path):
    found = read(tmp_path, files.CRYSTFEL)
    left, right = found.panels
    assert left.shape == right.shape == (10, 12)
    assert left.pixel_size == 0.5
    np.testing.assert_allclose(left.origin, [-6.0, 2.5, 60.0], rtol=1e-14)
    np.testing.assert_allclose(right.origin, [1.0, 2.5, 59.0], rtol=1e-14)
    assert (left.fast, left.slow) == ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    assert right.fast == (0.6, 0.0, 0.8)
    assert right.masked == (Rectangle(2, 3, 1, 3),)
    assert found.wavelength == pytest.approx(1.31898, rel=1e-4)
    assert found.beam == (0.0, 0.0, 1.0)
    # Centres of the left panel lie at -11.5, -10.5, … and 4.5, 3.5, … pixels.
    assert left.mask is not None
    assert np.argwhere(~left.mask).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert right.mask is None


def test_a_camera_length_in_the_data_files_asks_for_a_distance(tmp_path):
    path = tmp_path / "x.geom"
    path.write_bytes(files.CRYSTFEL.replace(b"clen = 0.06", b"clen = /LCLS/detector/z"))
    base = {
        "crystal": {"cell": [40, 40, 40, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 1},
        "sampling": {"oversample": 1},
    }
    detector = {"geometry_file": str(path)}
    with pytest.raises(InputError, match="does not state the distance"):
        build_experiment(parse_spec({**base, "detector": detector}))
    detector["distance_mm"] = 80
    left, _ = build_experiment(parse_spec({**base, "detector": detector})).detector.panels
    assert left.origin[2] == pytest.approx(0.08, rel=1e-12)


@pytest.mark.spec("GEO-16")
def test_mini_headers_of_cbf_images(tmp_path):
    found = read(tmp_path, files.MINI_CBF)
    (panel,) = found.panels
    assert panel.shape == (10, 12)
    assert panel.pixel_size == pytest.approx(0.172, rel=1e-15)
    np.testing.assert_allclose(panel.origin, [-7.5 * 0.172, 4.25 * 0.172, -190.18], rtol=1e-14)
    assert (panel.material, panel.thickness) == ("Silicon", pytest.approx(0.32))
    assert (found.wavelength, found.phi, found.oscillation) == (0.9795, 5.0, 0.25)
    assert found.polarization_fraction == 0.99
    assert found.beam == (0.0, 0.0, -1.0)


@pytest.mark.spec("GEO-16")
def test_smv_headers_give_the_centre_as_mosflm_does_unless_they_say_orgx(tmp_path):
    (panel,) = read(tmp_path, files.SMV).panels
    assert panel.origin == (-0.23, 0.12, -100.0)
    found = read(tmp_path, files.SMV.replace(b"PHI=3;\n", b"ORGX=2.5;\nORGY=1.5;\n"))
    np.testing.assert_allclose(found.panels[0].origin, [-0.2, 0.1, -100.0], rtol=1e-14)
    assert (found.phi, found.oscillation, found.wavelength) == (4.0, 0.5, 1.2)


@pytest.mark.spec("GEO-16")
def test_nexus_modules_hang_on_their_chain_of_transformations(tmp_path):
    found = nexus(tmp_path)
    first, second = found.panels
    np.testing.assert_allclose(first.origin, [6.5, 2.5, 60.0], rtol=1e-14)
    np.testing.assert_allclose(second.origin, [-0.5, 2.5, 60.0], rtol=1e-14)
    np.testing.assert_allclose(first.fast, [-1.0, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(first.slow, [0.0, -1.0, 0.0], atol=1e-15)
    assert (first.shape, first.pixel_size) == ((10, 12), 0.5)
    assert (first.material, first.thickness) == ("Si", pytest.approx(0.45))
    assert first.mask is None
    assert second.mask is not None
    assert np.argwhere(~second.mask).tolist() == [[3, 4]]
    assert found.wavelength == pytest.approx(1.1)
    # The scan's axis stands on an omega of 90 degrees about z: -x becomes -y.
    np.testing.assert_allclose(found.spindle, [0.0, -1.0, 0.0], atol=1e-15)
    assert (found.phi, found.oscillation) == (5.0, 0.25)
    turned = nexus(tmp_path, detector_turn=90.0).panels[0]
    np.testing.assert_allclose(turned.origin, [60.0, 2.5, -6.5], atol=1e-13)
    np.testing.assert_allclose(turned.fast, [0.0, 0.0, 1.0], atol=1e-15)


def test_chains_of_nexus_that_run_in_a_circle_are_refused(tmp_path):
    path = tmp_path / "master.h5"
    files.write_nexus(str(path))
    with h5py.File(path, "r+") as file:
        chain = file["entry/instrument/detector/transformations"]
        chain["two_theta"].attrs["depends_on"] = "z"
    with pytest.raises(InputError, match="circle"):
        read_geometry(str(path))


def test_links_of_nexus_to_other_files_are_not_followed(tmp_path):
    path = tmp_path / "master.h5"
    files.write_nexus(str(path))
    with h5py.File(path, "r+") as file:
        detector = file["entry/instrument/detector"]
        del detector["pixel_mask"]
        detector["pixel_mask"] = h5py.ExternalLink("elsewhere.h5", "/mask")
    found = read_geometry(str(path))
    assert all(panel.mask is None for panel in found.panels)
    assert any("ignored" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (files.XDS_INP.replace(b"NX= 24", b""), "NX= is missing"),
        (files.XDS_INP.replace(b"QX=0.5", b"QX=0.6"), "square"),
        (files.XDS_INP.replace(b"ORGX= 12.5", b"ORGX= twelve"), "'twelve' is not a number"),
        (files.XDS_SEGMENTS.replace(b"SEGMENT_DISTANCE= 1.5", b""), "SEGMENT_DISTANCE="),
        (files.XPARM[:-40], "last segment"),
        (files.XPARM[:500], "last table"),
        (files.CRYSTFEL.replace(b"left/corner_x = -13.0\n", b""), "no corner_x"),
        (files.CRYSTFEL.replace(b"+0.6x + 0.8z", b"0.6q"), "not a direction"),
        (files.CRYSTFEL.replace(b"9.4 keV", b"9.4 GeV"), "unit"),
        (files.MINI_CBF.replace(b"# Pixel_size", b"# Size"), "Pixel_size"),
        (files.MINI_CBF.replace(b"_array_data.header_contents", b"_x"), "no mini header"),
        (files.SMV.replace(b"DISTANCE=100;", b"DISTANCE=-10;"), "DISTANCE"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path, content)
    assert "file.txt" in str(raised.value)
