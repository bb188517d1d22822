"""CrystFEL geometries item by item: what is read, refused or told."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.geometry.model import FileGeometry, Rectangle
from distbragg.read.geometry.read import read_geometry
from tests.geometry_files import CRYSTFEL

TEXT = CRYSTFEL.decode()


def read(tmp_path: Path, text: str) -> FileGeometry:
    path = tmp_path / "d.geom"
    path.write_text(text, encoding="utf-8")
    return read_geometry(str(path))


def changed(tmp_path: Path, old: str, new: str) -> FileGeometry:
    assert old in TEXT
    return read(tmp_path, TEXT.replace(old, new))


def told(found: FileGeometry) -> str:
    return "\n".join(found.notes)


@pytest.mark.spec("GEO-16")
def test_a_panel_without_index_gives_no_signal(tmp_path: Path) -> None:
    for word in ("1", "true", "True"):
        found = read(tmp_path, TEXT + f"right/no_index = {word}\n")
        assert found.panels[1].masked == (Rectangle(0, 10, 0, 12),)
        assert found.panels[0].masked == ()
    for word in ("0", "false"):
        found = read(tmp_path, TEXT + f"right/no_index = {word}\n")
        assert found.panels[1].masked == (Rectangle(2, 3, 1, 3),)


@pytest.mark.spec("GEO-16")
def test_an_edge_of_masked_pixels_runs_round_every_panel_that_has_one(tmp_path: Path) -> None:
    found = changed(tmp_path, "res = 2000", "res = 2000\nmask_edge_pixels = 2")
    for panel in found.panels:
        active = np.ones(panel.shape, dtype=bool)
        for area in panel.masked[:4]:
            active[area.slow_start : area.slow_stop, area.fast_start : area.fast_stop] = False
        assert np.argwhere(active).min(axis=0).tolist() == [2, 2]
        assert np.argwhere(active).max(axis=0).tolist() == [7, 9]
        assert active.sum() == 6 * 8
    one = read(tmp_path, TEXT + "left/mask_edge_pixels = 5\n")
    assert one.panels[0].masked == (Rectangle(0, 10, 0, 12),)


@pytest.mark.spec("GEO-19")
@pytest.mark.parametrize(
    ("line", "wavelength"),
    [
        ("photon_energy = 9400", 12398.42 / 9400),
        ("photon_energy = 9400eV", 12398.42 / 9400),
        ("photon_energy = 9.4keV", 12398.42 / 9400),
        ("photon_energy = 0.0094 MeV", 12398.42 / 9400),
        ("wavelength = 1.3 A", 1.3),
        ("wavelength = 1.3A", 1.3),
        ("wavelength = 1.3e-10 m", 1.3),
        ("wavelength = 0.13 nm", 1.3),
        ("wavelength = 1.3", 1.3),
    ],
)
def test_energy_and_wavelength_in_their_units(tmp_path: Path, line: str, wavelength: float) -> None:
    found = changed(tmp_path, "photon_energy = 9.4 keV", line)
    assert found.wavelength == pytest.approx(wavelength, rel=1e-12)
    assert ("by its size" in told(found)) == (line == "wavelength = 1.3")


def test_electrons_are_told_and_have_their_relativistic_wavelength(tmp_path: Path) -> None:
    """200 kV: h/sqrt(2 m e V (1 + e V / 2 m c²)) = 0.02508 Å, as tables of microscopes have it."""
    found = changed(tmp_path, "photon_energy = 9.4 keV", "electron_voltage = 200 kV")
    assert found.wavelength == pytest.approx(0.0250793, rel=1e-5)
    assert "electrons" in told(found)


@pytest.mark.spec("SRC-27")
@pytest.mark.parametrize(
    "line",
    ["photon_energy = /LCLS/photon_energy_eV", "photon_energy = beam_energy", "",
     "wavelength = /data/wavelength A"],
)  # fmt: skip
def test_an_energy_that_stands_in_the_data_files_is_none(tmp_path: Path, line: str) -> None:
    found = changed(tmp_path, "photon_energy = 9.4 keV", line)
    assert found.wavelength is None
    assert "the wavelength must be given" in told(found)


@pytest.mark.spec("GEO-19")
@pytest.mark.parametrize("line", ["0.06 m", "60 mm", "60mm", "6 cm", "0.06"])
def test_camera_lengths_in_their_units(tmp_path: Path, line: str) -> None:
    found = changed(tmp_path, "clen = 0.06", f"clen = {line}")
    assert found.panels[0].origin[2] == pytest.approx(60.0, rel=1e-14)
    assert found.panels[1].origin[2] == pytest.approx(59.0, rel=1e-14)
    assert found.distance_stated


def test_a_camera_length_after_the_panels_is_theirs_too(tmp_path: Path) -> None:
    found = read(tmp_path, TEXT.replace("clen = 0.06\n", "") + "clen = 0.06\n")
    assert found.panels[0].origin[2] == pytest.approx(60.0)
    assert not changed(tmp_path, "clen = 0.06", "clen = distance mm").distance_stated


def test_pixels_by_pitch_and_vectors_that_are_longer_than_one(tmp_path: Path) -> None:
    first = read(tmp_path, TEXT).panels[0]
    pitch = changed(tmp_path, "res = 2000", "pixel_pitch = 0.0005").panels[0]
    assert (pitch.pixel_size, pitch.origin) == (first.pixel_size, first.origin)
    long = read(
        tmp_path,
        TEXT.replace("fs = x\nss = -y", "fs = 2x\nss = -2y").replace(
            "+0.6x + 0.8z", "+1.2x + 1.6z"
        ),
    ).panels[0]
    assert (long.pixel_size, long.origin) == (1.0, first.origin)
    near = changed(tmp_path, "fs = x", "fs = +0.99995x").panels[0]
    assert near.pixel_size == first.pixel_size
    with pytest.raises(InputError, match="only square pixels"):
        changed(tmp_path, "fs = x", "fs = 2x")


def test_a_shift_that_stands_in_the_data_files_is_told(tmp_path: Path) -> None:
    found = changed(tmp_path, "detector_shift_x = 0.5 mm", "detector_shift_x = /shift mm")
    assert found.panels[0].origin[0] == pytest.approx(-6.5)
    assert "detector_shift_x stands in the data files" in told(found)


def test_what_is_left_aside_is_told_in_one_line_each(tmp_path: Path) -> None:
    extra = (
        "adu_per_photon = 1\nmax_adu = 7000\nmask_file = a.h5\nmask = /data\nmask_good = 0x1\n"
        "mask1_badbits = 0xff\nbandwidth = 5.0e-03\nflag_equal = -1\nwhatever = 3\n"
        "dim0 = %\ndata = /data/data\npeak_list = /peaks\nrigid_group_collection_a = q0\n"
    )
    notes = read(tmp_path, extra + TEXT).notes
    assert notes == (
        "ignored: mask, mask1_badbits, mask_file, mask_good; detector.mask_file gives a mask",
        "ignored, since images are in photons: adu_per_photon, flag_equal, max_adu",
        "bandwidth 0.005 (standard deviation of the wavelength over itself) is ignored: "
        "beam.dispersion or beam.spectrum gives it",
        "not known and ignored: whatever",
    )
    assert read(tmp_path, "bandwidth = 1.0e-8\n" + TEXT).notes == ()


def test_a_bad_region_of_no_panel_is_told(tmp_path: Path) -> None:
    found = changed(tmp_path, "bad_edge/panel = right", "bad_edge/panel = middle")
    assert found.panels[1].masked == ()
    assert "'middle', which is not a panel" in told(found)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bad_edge/panel = right", "bad_edge/min_x = 3", "bounds in x, y and in fs, ss"),
        ("photon_energy = 9.4 keV", "photon_energy = 9 keV\nwavelength = 1.3 A", "keep one"),
        ("photon_energy = 9.4 keV", "photon_energy = 9.4 nm", "unit"),
        ("photon_energy = 9.4 keV", "electron_voltage = 200 eV", "unit"),
        ("clen = 0.06", "clen = 0.06 s", "not a length"),
        ("res = 2000", "data = /x", "no res"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        changed(tmp_path, old, new)


def test_panels_of_a_stacked_array_stand_by_their_own_corners(tmp_path: Path) -> None:
    """As AGIPD and Jungfrau files have them: the same pixels, panel by panel, of `dim1`."""
    lines = ["photon_energy = 9.3 keV", "clen = 0.2 m", "res = 5000", "dim0 = %", "dim2 = ss",
             "dim3 = fs", "min_fs = 0", "max_fs = 127", "min_ss = 0", "max_ss = 63"]  # fmt: skip
    for index, angle in enumerate((0.0, 0.25)):
        c, s = math.cos(angle), math.sin(angle)
        lines += [
            f"p{index}a0/dim1 = {index}",
            f"p{index}a0/fs = {c:+.9f}x {s:+.9f}y",
            f"p{index}a0/ss = {-s:+.9f}x {c:+.9f}y",
            f"p{index}a0/corner_x = {10 * index}",
            f"p{index}a0/corner_y = -32.5",
            f"p{index}a0/coffset = {0.001 * index}",
        ]
    lines += ["group_all = p0a0,p1a0", "badpart/panel = p1a0", "badpart/min_fs = 0",
              "badpart/max_fs = 1", "badpart/min_ss = 0", "badpart/max_ss = 63"]  # fmt: skip
    found = read(tmp_path, "\n".join(lines))
    first, second = found.panels
    assert first.shape == second.shape == (64, 128)
    np.testing.assert_allclose(second.origin, [2.0, -6.5, 201.0], rtol=1e-12)
    np.testing.assert_allclose(second.fast, [math.cos(0.25), math.sin(0.25), 0.0], atol=1e-9)
    assert (first.masked, second.masked) == ((), (Rectangle(0, 64, 0, 2),))
    assert found.notes == ()


EIGER = """; Manually optimized with hdfsee
;clen = 0.288
clen = 0.186
photon_energy = 12000
adu_per_photon = 1
res = 13333.3   ; 75 micron pixel size
dim0 = %
dim1 = ss
dim2 = fs
data = /entry/data/data
rigid_group_d0 = panel0
rigid_group_collection_det = d0
panel0/min_fs = 0
panel0/min_ss = 0
panel0/max_fs = 47
panel0/max_ss = 61
panel0/corner_x = -23.6
panel0/corner_y = -30.5
panel0/fs = +1.000000x +0.000000y
panel0/ss = +0.000000x +1.000000y
"""

EPIX = """photon_energy = /LCLS/photon_energy_eV
clen = /LCLS/detector_1/EncoderValue
coffset = 0.580
res = 10000
adu_per_eV = 0.001
q0a0/corner_x = -38.4
q0a0/corner_y = 10.5
q0a0/fs = +1.0x
q0a0/ss = -1.0 y
q0a0/min_fs = 0
q0a0/max_fs = 38
q0a0/min_ss = 0
q0a0/max_ss = 35
q0a0/no_index = 0
badrow/panel = q0a0
badrow/min_fs = 0
badrow/max_fs = 38
badrow/min_ss = 35
badrow/max_ss = 35
"""


def test_files_as_people_write_them(tmp_path: Path) -> None:
    found = read(tmp_path, EIGER)
    (panel,) = found.panels
    assert panel.shape == (62, 48)
    np.testing.assert_allclose(panel.origin, [-1.7700044, -2.2875057, 186.0], rtol=1e-6)
    assert found.wavelength == pytest.approx(12398.42 / 12000)
    assert found.notes == ("ignored, since images are in photons: adu_per_photon",)
    found = read(tmp_path, "# written by a script\n" + EPIX)
    (panel,) = found.panels
    assert panel.slow == (0.0, -1.0, 0.0)
    assert panel.masked == (Rectangle(35, 36, 0, 39),)
    assert (found.wavelength, found.distance_stated) == (None, False)


def test_a_distance_that_holds_the_offsets_of_panels_says_so(tmp_path: Path) -> None:
    found = changed(tmp_path, "clen = 0.06", "clen = /LCLS/detector_1/EncoderValue")
    assert "the distance must be given, coffset included" in told(found)
    text = TEXT.replace("clen = 0.06", "clen = /z").replace("right/coffset = -0.001\n", "")
    assert told(read(tmp_path, text)).endswith("the distance must be given")


def test_thousands_of_bad_regions_are_read(tmp_path: Path) -> None:
    lines = "".join(
        f"bad{index}/panel = left\nbad{index}/min_fs = 3\nbad{index}/max_fs = 3\n"
        f"bad{index}/min_ss = 4\nbad{index}/max_ss = 4\n"
        for index in range(2500)
    )
    found = read(tmp_path, TEXT + lines)
    assert found.panels[0].masked.count(Rectangle(4, 5, 3, 4)) == 2500
