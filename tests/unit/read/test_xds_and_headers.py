"""XDS inputs and the headers of images: masks, units, fields left to the specification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.geometry.read import read_geometry
from tests.geometry_files import CRYSTFEL, MINI_CBF, SMV, XDS_INP, XPARM


def read(tmp_path: Path, content: bytes) -> FileGeometry:
    path = tmp_path / "file.dat"
    path.write_bytes(content)
    return read_geometry(str(path))


def changed(tmp_path: Path, content: bytes, old: bytes, new: bytes) -> FileGeometry:
    assert old in content
    return read(tmp_path, content.replace(old, new))


@pytest.mark.spec("GEO-16")
def test_untrusted_ellipses_and_quadrilaterals_take_the_pixels_inside(tmp_path: Path) -> None:
    """XDS counts from 1: the ellipse of 2 to 6 along x and 3 to 7 along y is the circle about
    (4, 5) of radius 2, whose border does not belong to it."""
    (panel,) = read(tmp_path, XDS_INP + b"UNTRUSTED_ELLIPSE= 2 6 3 7\n").panels
    assert panel.mask is not None
    y, x = np.mgrid[1:11, 1:25]
    np.testing.assert_array_equal(~panel.mask, (x - 4) ** 2 + (y - 5) ** 2 < 4)
    slanted = b"UNTRUSTED_QUADRILATERAL= 14.5 2.5 18.5 2.5 20.5 6.5 16.5 6.5\n"
    (panel,) = read(tmp_path, XDS_INP + slanted).panels
    assert panel.mask is not None
    left = 14.5 + (y - 2.5) / 2
    np.testing.assert_array_equal(~panel.mask, (y > 2.5) & (y < 6.5) & (x >= left) & (x < left + 4))
    (panel,) = read(tmp_path, XDS_INP + b"UNTRUSTED_ELLIPSE= 0 0 0 0\n").panels
    assert panel.mask is None


WHOLE_XDS_INP = (
    XDS_INP
    + b"""NAME_TEMPLATE_OF_DATA_FRAMES=/data/x_????.cbf CBF
 DATA_RANGE=1 3600  SPOT_RANGE=1 900  BACKGROUND_RANGE=1 10  STARTING_FRAME=1
 SPACE_GROUP_NUMBER=0   ! unknown
 INCLUDE_RESOLUTION_RANGE=50 0  TRUSTED_REGION=0.00 1.2
 VALUE_RANGE_FOR_TRUSTED_DETECTOR_PIXELS= 6000. 30000.
 STRONG_PIXEL= 4 MINIMUM_NUMBER_OF_PIXELS_IN_A_SPOT=3
 NUMBER_OF_PROFILE_GRID_POINTS_ALONG_ALPHA/BETA=13
 REFINE(IDXREF)=CELL BEAM ORIENTATION AXIS ! DISTANCE POSITION
 MINIMUM_ZETA=0.05 BEAM_DIVERGENCE= 0.1 REFLECTING_RANGE= 0.5
"""
)


def test_what_only_processes_data_changes_nothing(tmp_path: Path) -> None:
    plain, whole = read(tmp_path, XDS_INP), read(tmp_path, WHOLE_XDS_INP)
    assert whole.notes == plain.notes == ()
    assert whole.panels[0].origin == plain.panels[0].origin
    assert (whole.phi, whole.oscillation, whole.wavelength) == (5.0, 0.25, 1.1)


@pytest.mark.spec("GEO-18")
@pytest.mark.parametrize(
    ("left_out", "distance", "centre"),
    [
        (b"DETECTOR_DISTANCE= 60", False, True),
        (b"ORGX= 12.5 ORGY= 5.5", True, False),
        (b"ORGY= 5.5", True, False),
    ],
)
def test_an_xds_input_may_leave_distance_and_centre_out(
    tmp_path: Path, left_out: bytes, distance: bool, centre: bool
) -> None:
    found = changed(tmp_path, XDS_INP, left_out, b"")
    assert (found.distance_stated, found.centre_stated) == (distance, centre)


@pytest.mark.spec("SRC-27")
def test_an_xds_input_without_a_wavelength_says_none(tmp_path: Path) -> None:
    assert changed(tmp_path, XDS_INP, b"X-RAY_WAVELENGTH=1.1", b"").wavelength is None


def test_numbers_as_fortran_writes_them(tmp_path: Path) -> None:
    found = changed(tmp_path, XDS_INP, b"DETECTOR_DISTANCE= 60", b"DETECTOR_DISTANCE= 0.6D+02")
    assert found.panels[0].origin[2] == 60.0


def test_what_an_xds_input_says_beside_its_geometry_is_told(tmp_path: Path) -> None:
    plain = XDS_INP.split(b"UNIT_CELL_A-AXIS")[0]
    found = read(
        tmp_path,
        plain + b"X-GEO_CORR= x.cbf\nSTARTING_FRAME= 5\nDATA_RANGE= 1 100\n"
        b"UNIT_CELL_CONSTANTS= 40 40 60 90 90 90\n",
    )
    text = "\n".join(found.notes)
    for part in ("X-GEO_CORR", "STARTING_FRAME= 5", "UNIT_CELL_CONSTANTS"):
        assert part in text
    assert read(tmp_path, plain + b"UNIT_CELL_CONSTANTS= 0 0 0 0 0 0\n").notes == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n ***** CORRECT *****  (VERSION Jan 10, 2022)\n ORGX= 3\n", "a report of XDS"),
        (b"!FORMAT=XDS_ASCII MERGE=FALSE\n!NX= 3\n", "list of reflections of XDS"),
        (b"CrystFEL stream format 2.3\nq/min_fs = 0\n", "a stream of CrystFEL"),
        (b"II*\0rest", "a TIFF image"),
        (b"# Nota\nDistance: 0.1\nPoni1: 0.1\n", "a PONI file"),
        (b"FORMAT :100\n", "a Bruker image"),
        (b"\x83\xaadials::af::reflection_table", "reflection table of DIALS"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
    ],
)
def test_files_that_are_no_geometry_are_refused_by_their_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


@pytest.mark.spec("GEO-19")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0.19018 m", b"190.18 mm"),
        (b"172e-6 m x 172e-6 m", b"0.172 mm x 0.172 mm"),
        (b"172e-6 m x 172e-6 m", b"172 um x 172 um"),
        (b"(7.50, 4.25) pixels", b"(1.29, 0.731) mm"),
        (b"0.9795 A", b"0.09795 nm"),
        (b"0.9795 A", b"0.9795"),
        (b"0.9795 A", "0.9795 Å".encode()),
        (b"0.9795 A", b"0.9795 Angstrom"),
        (b"Wavelength 0.9795 A", b"Photon_energy 12657.907 eV"),
        (b"Wavelength 0.9795 A", b"Energy 12.657907 keV"),
        (b"0.000320 m", b"0.32 mm"),
        (b"0.000320 m", b"320 um"),
        (b"Start_angle 5.0000 deg.\n# Angle_increment 0.2500",
         b"Omega 5.0000 deg.\n# Omega_increment 0.2500"),
    ],
)  # fmt: skip
def test_mini_headers_say_the_same_in_other_units(tmp_path: Path, old: bytes, new: bytes) -> None:
    found, plain = changed(tmp_path, MINI_CBF, old, new), read(tmp_path, MINI_CBF)
    np.testing.assert_allclose(found.panels[0].origin, plain.panels[0].origin, rtol=1e-12)
    assert found.panels[0].pixel_size == pytest.approx(plain.panels[0].pixel_size)
    assert found.panels[0].thickness == pytest.approx(plain.panels[0].thickness)
    assert found.wavelength == pytest.approx(0.9795, rel=1e-6)
    assert (found.phi, found.oscillation) == (5.0, 0.25)


@pytest.mark.spec("GEO-19")
def test_units_of_mini_headers_that_are_not_known_are_refused(tmp_path: Path) -> None:
    for old, new in ((b"0.9795 A", b"0.9795 furlong"), (b"0.19018 m", b"0.19 parsec"),
                     (b"0.9795 A", b"0.9795 eV")):  # fmt: skip
        with pytest.raises(InputError, match="no known unit"):
            changed(tmp_path, MINI_CBF, old, new)


@pytest.mark.spec("GEO-18")
@pytest.mark.parametrize(
    ("content", "line", "distance", "centre"),
    [
        (MINI_CBF, b"# Beam_xy (7.50, 4.25) pixels\n", True, False),
        (MINI_CBF, b"# Detector_distance 0.19018 m\n", False, True),
        (SMV, b"BEAM_CENTER_X=0.12;\nBEAM_CENTER_Y=0.23;\n", True, False),
        (SMV, b"DISTANCE=100;\n", False, True),
    ],
)
def test_headers_may_leave_distance_and_centre_out(
    tmp_path: Path, content: bytes, line: bytes, distance: bool, centre: bool
) -> None:
    found = changed(tmp_path, content, line, b" " * len(line))
    assert (found.distance_stated, found.centre_stated) == (distance, centre)


@pytest.mark.spec("SRC-27")
def test_headers_without_a_wavelength_or_with_one_of_0_say_none(tmp_path: Path) -> None:
    assert changed(tmp_path, MINI_CBF, b"# Wavelength 0.9795 A\n", b"").wavelength is None
    assert changed(tmp_path, MINI_CBF, b"0.9795 A", b"0.0 A").wavelength is None
    assert changed(tmp_path, SMV, b"WAVELENGTH=1.2;", b"               ").wavelength is None


def test_what_a_mini_header_says_of_a_moved_detector_is_told(tmp_path: Path) -> None:
    for line, part in (
        (b"# Detector_2theta 10.0 deg.\n", "Detector_2theta"),
        (b"# Detector_Voffset 0.05 m\n", "Detector_Voffset"),
        (b"# Oscillation_axis X, CCW\n", "'X CCW'"),
    ):
        found = changed(tmp_path, MINI_CBF, b"# Polarization 0.990\n", line)
        assert part in "\n".join(found.notes)
    usual = b"# Detector_2theta 0.0 deg.\n# Detector_Voffset 0.0 m\n# Oscillation_axis X, CW\n"
    assert changed(tmp_path, MINI_CBF, b"# Polarization 0.990\n", usual).notes == ()


@pytest.mark.parametrize("kind", ["long_integer", "signed_long", "unsigned_long", "float"])
def test_an_image_of_other_pixels_gives_its_header(tmp_path: Path, kind: str) -> None:
    content = SMV.replace(b"unsigned_short", kind.encode())[: len(SMV) - 24]
    head = content.split(b"}")[0] + b"}\f"
    found = read(tmp_path, head.ljust(512) + bytes(4 * 12))
    assert found.panels[0].shape == (3, 4)
    assert found.wavelength == 1.2


@pytest.mark.spec("GEO-18")
@pytest.mark.parametrize(
    ("content", "old", "new"),
    [
        (MINI_CBF, b"0.19018 m", b"0.0 m"),
        (SMV, b"DISTANCE=100;", b"DISTANCE=000;"),
        (XDS_INP, b"DETECTOR_DISTANCE= 60", b"DETECTOR_DISTANCE= 0"),
        (XPARM, b"5.500000      60.000000", b"5.500000       0.000000"),
    ],
)
def test_a_distance_of_0_is_one_that_was_not_told(
    tmp_path: Path, content: bytes, old: bytes, new: bytes
) -> None:
    assert not changed(tmp_path, content, old, new).distance_stated


@pytest.mark.spec("SRC-27")
def test_a_wavelength_of_0_is_one_that_was_not_told(tmp_path: Path) -> None:
    assert changed(tmp_path, SMV, b"WAVELENGTH=1.2;", b"WAVELENGTH=0.0;").wavelength is None
    found = changed(tmp_path, XDS_INP, b"X-RAY_WAVELENGTH=1.1", b"X-RAY_WAVELENGTH=0")
    assert found.wavelength is None


PILATUS_LINES = b"""# 2020-01-01T10:00:00.000
# Exposure_time 0.0990000 s
# Exposure_period 0.1000000 s
# Tau = 0 s
# Count_cutoff 1009869 counts
# Threshold_setting: 6329 eV
# Gain_setting: autog (vrf = 1.000)
# N_excluded_pixels = 1164
# Excluded_pixels: badpix_mask.tif
# Energy_range (0, 0) eV
# Detector_Voffset 0.00000 m
# Flux 0.000000
# Filter_transmission 0.1000
# Detector_2theta 0.0000 deg.
# Kappa 0.0000 deg.
# Phi 0.0000 deg.
# Phi_increment 0.0000 deg.
# Omega 7.0000 deg.
# Omega_increment 0.1000 deg.
# Chi 0.0000 deg.
# Oscillation_axis OMEGA
# N_oscillations 1
"""


def test_a_mini_header_with_all_that_detectors_write_reads_as_the_short_one(
    tmp_path: Path,
) -> None:
    """The threshold is not a photon energy; the scan's own angles win over those of an axis."""
    whole = MINI_CBF.replace(b"# Wavelength", PILATUS_LINES + b"# Wavelength")
    for content in (whole, whole.replace(b"\n", b"\r\n")):
        found, plain = read(tmp_path, content), read(tmp_path, MINI_CBF)
        assert found.notes == ()
        assert found.panels[0].origin == plain.panels[0].origin
        assert (found.phi, found.oscillation, found.wavelength) == (5.0, 0.25, 0.9795)
        assert found.panels[0].thickness == pytest.approx(0.32)


@pytest.mark.spec("GEO-19")
def test_a_mini_header_may_separate_its_values_by_signs(tmp_path: Path) -> None:
    """Its definition lets `#`, `:`, `=`, commas and brackets stand for blanks."""
    plain = read(tmp_path, MINI_CBF)
    found = read(
        tmp_path,
        MINI_CBF.replace(b"Wavelength 0.9795 A", b"Wavelength = 0.9795 A")
        .replace(b"Detector_distance 0.19018 m", b"Detector_distance: 0.19018 m")
        .replace(b"Beam_xy (7.50, 4.25) pixels", b"Beam_xy 7.50 4.25 pixels")
        .replace(b"sensor, thickness 0.000320", b"sensor, thickness: 0.000320"),
    )
    assert found.wavelength == plain.wavelength == 0.9795
    assert found.panels[0].origin == plain.panels[0].origin
    assert found.panels[0].origin == pytest.approx((-1.29, 0.731, -190.18))
    assert found.panels[0].thickness == plain.panels[0].thickness == 0.32
    assert found.notes == ()


@pytest.mark.spec("GEO-18")
def test_a_beam_centre_in_two_lines_and_one_of_0(tmp_path: Path) -> None:
    both = b"# Beam_xy (7.50, 4.25) pixels\n"
    found = changed(tmp_path, MINI_CBF, both, b"# Beam_x 7.50 pixels\n# Beam_y 0.731 mm\n")
    assert found.centre_stated
    assert found.panels[0].origin[:2] == (-1.29, 0.731)
    # Detectors that were told no centre write 0.
    found = changed(tmp_path, MINI_CBF, both, b"# Beam_xy (0.00, 0.00) pixels\n")
    assert not found.centre_stated
    centre = b"BEAM_CENTER_X=0.12;\nBEAM_CENTER_Y=0.23;\n"
    found = changed(tmp_path, SMV, centre, b"BEAM_CENTER_X=0.00;\nBEAM_CENTER_Y=0.00;\n")
    assert not found.centre_stated


@pytest.mark.spec("GEO-19")
def test_missing_units_and_other_units_of_a_mini_header(tmp_path: Path) -> None:
    found = changed(tmp_path, MINI_CBF, b"172e-6 m x 172e-6 m", b"172e-6 x 172e-6")
    assert found.panels[0].pixel_size == pytest.approx(0.172, rel=1e-15)
    assert found.notes == ("Pixel_size has no unit: 0.000172 is taken in m",)
    found = changed(tmp_path, MINI_CBF, b"distance 0.19018 m", b"distance 190.18")
    assert found.panels[0].origin[2] == -190.18
    assert found.notes == ("Detector_distance has no unit: 190.18 is taken in mm",)
    found = changed(tmp_path, MINI_CBF, b"increment 0.2500 deg.", b"increment 0.01 rad")
    assert found.oscillation == pytest.approx(0.5729577951308232, rel=1e-15)
    with pytest.raises(InputError, match="Angle_increment has no known unit"):
        changed(tmp_path, MINI_CBF, b"increment 0.2500 deg.", b"increment 0.01 furlong")


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (b"# Oscillation_axis X, CW\n", ""),
        (b"# Oscillation_axis OMEGA\n# Kappa 30.0 deg.\n", ""),
        (b"# Oscillation_axis (1 0 0)\n", ""),
        (b"# Oscillation_axis x, ccw\n", "not 'x ccw'"),
        (b"# Oscillation_axis (0 1 0)\n", "not '0 1 0'"),
        (b"# Oscillation_axis PHI\n# Chi 24.0 deg.\n", "though Chi would turn it"),
        (b"# Two_theta 20.0 deg.\n", "Two_theta is ignored"),
    ],
)
def test_a_spindle_of_a_mini_header_that_is_not_along_x_is_told(
    tmp_path: Path, lines: bytes, part: str
) -> None:
    found = changed(tmp_path, MINI_CBF, b"# Polarization 0.990\n", lines)
    assert len(found.notes) == bool(part)
    assert part in "".join(found.notes)


def test_more_files_that_are_no_geometry_are_refused_by_their_name(tmp_path: Path) -> None:
    trek = b"{\nHEADER_BYTES= 512;\nSIZE1=4;\nSIZE2=3;\nData_type=unsigned short int;\n" \
        b"SOURCE_WAVELENGTH=1.0 0.71073;\nCCD_DETECTOR_DIMENSIONS=4 3;\n}\n"  # fmt: skip
    old = b"     1   0.0 0.5  1.0 0.0 0.0\n  0.9795 0.0 0.0 1.0209\n 1024 1024 0.1 0.1\n"
    for content, message in (
        (trek.ljust(512) + bytes(24), "d.TREK .*dials.import"),
        (old, "XPARM.XDS of a version before 2010"),
        (
            b'[\n  {\n    "__id__": "DataBlock",\n    "beam": []\n  }\n]\n',
            "datablock .*dials.import",
        ),
        (b"<?xml version='1.0'?>\n<site/>\n", "a file of XML"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, content)


def test_line_ends_and_comments_do_not_hide_what_a_file_is(tmp_path: Path) -> None:
    assert read(tmp_path, XDS_INP.replace(b"\n", b"\r")).panels[0].shape == (10, 24)
    assert (
        read(tmp_path, b"; made from XDS.INP with NX=24 ORGX=3\n" + CRYSTFEL).format == "crystfel"
    )


def test_a_symmetry_and_an_axis_that_an_xds_input_leaves_open_are_told(tmp_path: Path) -> None:
    found = read(tmp_path, XDS_INP + b"SPACE_GROUP_NUMBER= 75\n")
    said = "the space group, number 75, is ignored: structure_factors.space_group"
    assert found.notes == (said,)
    assert read(tmp_path, XPARM).notes == (said,)
    assert read(tmp_path, XDS_INP + b"SPACE_GROUP_NUMBER= 0\n").notes == ()
    found = changed(tmp_path, XDS_INP, b"ROTATION_AXIS= 2 0 0 ", b"")
    assert found.spindle == (1.0, 0.0, 0.0)
    assert found.notes == ("ROTATION_AXIS= is not given: +x is taken",)


def test_a_centre_of_an_smv_header_in_pixels_is_taken_as_such(tmp_path: Path) -> None:
    """4 x 3 pixels of 0.1 mm: 2 and 1.5 lie on the detector in pixels alone."""
    centre = b"BEAM_CENTER_X=0.12;\nBEAM_CENTER_Y=0.23;\n"
    found = changed(tmp_path, SMV, centre, b"BEAM_CENTER_X=1.50;\nBEAM_CENTER_Y=2.00;\n")
    assert found.panels[0].origin[:2] == pytest.approx((-0.2, 0.15))
    assert "in pixels by its size" in found.notes[0]
    # Off the detector in either: as its definition has it.
    found = changed(tmp_path, SMV, centre, b"BEAM_CENTER_X=9.00;\nBEAM_CENTER_Y=9.00;\n")
    assert found.panels[0].origin[:2] == (-9.0, 9.0)
    assert "in mm" in found.notes[0]
