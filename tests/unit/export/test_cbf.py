"""CBF images read back by fabio; headers by the rules of their readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest

from distbragg.export.cbf import cbf_text, is_whole_cbf, write_cbf
from distbragg.export.header import FrameFile, FrameHeader, PanelHeader
from distbragg.export.scaling import COUNT_CUTOFF
from distbragg.export.smv import SmvGeometry

SMV = SmvGeometry(
    pixel_size=0.172,
    distance=200.0,
    close_distance=200.0,
    wavelength=1.1,
    beam_center=(1.0, 2.0),
    beam_fast=1.0,
    beam_slow=2.0,
    size_slow=2.924,
    origin=(0.0, 0.0, 0.0),
    origin_px=(0.0, 0.0),
)
HEADER = FrameHeader(
    title="test",
    wavelength=1.1,
    phi=12.5,
    oscillation=0.25,
    spindle=(1.0, 0.0, 0.0),
    panels=(
        PanelHeader(
            name="p",
            shape=(17, 23),
            pixel_size=0.172,
            distance=200.0,
            beam=(11.25, 8.5),
            origin=(-1.935, 1.462, -200.0),
            fast=(1.0, 0.0, 0.0),
            slow=(0.0, -1.0, 0.0),
            thickness=0.45,
            smv=SMV,
        ),
    ),
    counts=True,
    exposure=0.1,
    date="2026-11-23T07:00:00",
)


NOTHING = np.zeros((17, 23), dtype=bool)


def file(path: Path, header: FrameHeader = HEADER) -> FrameFile:
    return FrameFile(path, header, 0, np.dtype("float32"))


def image() -> np.ndarray:
    # Steps of every width of the byte-offset code: 8, 16 and 32 bits, up and down.
    values = np.random.default_rng(3).integers(0, 100, size=(17, 23))
    values[3, 4], values[5, 6], values[7, 8] = 127, 40000, COUNT_CUTOFF
    return values.astype(np.float64)


@pytest.mark.spec("EXP-1")
def test_fabio_reads_the_counts_back(tmp_path: Path) -> None:
    path = tmp_path / "a_0001.cbf"
    assert write_cbf(file(path), image(), NOTHING) == 0
    with fabio.open(str(path)) as read:
        np.testing.assert_array_equal(read.data, image().astype(np.int64))
        contents = read.header["_array_data.header_contents"]
    assert "Wavelength 1.1 A" in contents
    assert "Detector_distance 0.2 m" in contents
    assert "Beam_xy (11.2500, 8.5000) pixels" in contents
    assert "Start_angle 12.500000 deg." in contents
    assert "Angle_increment 0.250000 deg." in contents
    assert "Silicon sensor, thickness 0.000450 m" in contents


@pytest.mark.spec("EXP-3")
def test_counts_out_of_range_are_held_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.cbf"
    frame = image()
    frame[0, 0], frame[0, 1] = 1e12, -1.0
    assert write_cbf(file(path), frame, NOTHING) == 2
    with fabio.open(str(path)) as read:
        assert read.data[0, :2].tolist() == [COUNT_CUTOFF, 0]


@pytest.mark.parametrize(
    ("shape", "name"),
    [((195, 487), "PILATUS"), ((2527, 2463), "PILATUS"), ((1024, 1024), "GENERIC_MINI")],
)
def test_only_an_array_of_pilatus_modules_is_called_one(shape, name) -> None:
    header = replace(HEADER, panels=(replace(HEADER.panels[0], shape=shape),))
    assert f'header_convention "{name}' in cbf_text(file(Path("a.cbf"), header)).decode()


def test_a_sensor_without_thickness_is_no_silicon() -> None:
    header = replace(HEADER, panels=(replace(HEADER.panels[0], thickness=0.0),))
    text = cbf_text(file(Path("a.cbf"), header)).decode()
    assert "CCD sensor" in text
    assert "Silicon" not in text


@pytest.mark.spec("EXP-5")
def test_a_file_is_whole_only_with_its_header_and_all_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.cbf"
    assert not is_whole_cbf(file(path))
    write_cbf(file(path), image(), NOTHING)
    first = path.read_bytes()
    assert is_whole_cbf(file(path))
    assert not is_whole_cbf(file(path, replace(HEADER, phi=13.0)))
    path.write_bytes(first[:-1])
    assert not is_whole_cbf(file(path))
    write_cbf(file(path), image(), NOTHING)
    assert path.read_bytes() == first, "equal frames make equal files"


@pytest.mark.spec("EXP-10")
@pytest.mark.parametrize("shape", [(17, 23), (407, 981)])
def test_masked_pixels_are_no_counts(shape: tuple[int, int], tmp_path: Path) -> None:
    counts = np.random.default_rng(1).integers(0, 100, size=shape)
    masked = np.zeros(shape, dtype=bool)
    masked[3:5, 7], masked[-1] = True, True
    expected = np.where(masked, -1, counts)
    if shape == (407, 981):
        # Two by two Pilatus modules of 195 x 487 pixels: the cross between them is the gap.
        masked[195:212], masked[:, 487:494] = True, True
        expected = np.where(masked, -2, counts)
        expected[195:212], expected[:, 487:494] = -1, -1
    plate = replace(HEADER.panels[0], shape=shape, masked=int(masked.sum()))
    header = replace(HEADER, panels=(plate,))
    path = tmp_path / "a_0001.cbf"
    assert write_cbf(file(path, header), np.where(masked, 0.0, counts), masked) == 0
    with fabio.open(str(path)) as read:
        np.testing.assert_array_equal(read.data, expected)
        contents = read.header["_array_data.header_contents"]
    assert f"N_excluded_pixels = {masked.sum()}" in contents
