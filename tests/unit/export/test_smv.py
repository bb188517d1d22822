"""SMV images read back by fabio and by hand, and geometry against nanoBragg's formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest

from distbragg.export.smv import HEADER_BYTES, SmvGeometry, smv_geometry, smv_header, write_smv
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.spec.load import parse_spec

GEOMETRY = SmvGeometry(
    pixel_size=0.1,
    distance=100.0,
    close_distance=100.0,
    wavelength=1.5,
    beam_center=(5.0, 6.0),
    beam_fast=6.05,
    beam_slow=5.05,
    size_slow=9.0,
    origin=(1.0, -2.0, -100.0),
    origin_px=(61.0, 51.0),
    phi=12.5,
    oscillation=1.0,
)


def parse(header: bytes) -> dict[str, str]:
    text = header.decode("ascii").partition("\f")[0].strip("{}\n")
    return dict(line.rstrip(";").split("=") for line in text.splitlines())


def experiment(**detector: object) -> Experiment:
    plain = {
        "beam": {"wavelength_angstrom": 1.2},
        "crystal": {"cell": [30, 40, 50, 90, 90, 90], "block_cells": [5, 5, 5]},
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"distance_mm": 80, "pixel_size_mm": 0.2, "pixels_fast": 60, "pixels_slow": 40}
        | detector,
    }
    return build_experiment(parse_spec(plain))


def test_header_is_512_bytes_and_has_what_readers_look_for() -> None:
    header = smv_header(GEOMETRY, (40, 60), adc_offset=40.0, date="Mon Nov 23 12:00:00 2026")
    assert len(header) == HEADER_BYTES
    found = parse(header)
    assert found["HEADER_BYTES"] == "512"
    assert found["BEAMLINE"] == "fake"
    assert found["TYPE"] == "unsigned_short"
    assert found["BYTE_ORDER"] == "little_endian"
    assert (found["SIZE1"], found["SIZE2"]) == ("60", "40")
    assert (found["OSC_START"], found["OSC_RANGE"], found["PHI"]) == ("12.5", "1", "12.5")
    assert found["ADC_OFFSET"] == "40"
    assert found["DATE"] == "Mon Nov 23 12:00:00 2026"


def test_long_numbers_push_out_only_what_the_c_program_does_not_write() -> None:
    long = 123456.789e-12
    crowded = replace(
        GEOMETRY,
        pixel_size=long,
        distance=long,
        close_distance=long,
        wavelength=long,
        beam_center=(-long, -long),
        beam_fast=-long,
        beam_slow=-long,
        size_slow=long,
        origin=(-long, -long, -long),
        origin_px=(-long, -long),
        phi=-long,
        oscillation=long,
        twotheta=-long,
    )
    header = smv_header(crowded, (40000, 60000), adc_offset=40.0, date="Mon Nov 23 12:00:00 2026")
    assert parse(header)["BEAMLINE"] == "fake"
    assert len(header) % HEADER_BYTES == 0
    assert int(parse(header)["HEADER_BYTES"]) == len(header)


def test_fabio_reads_the_pixels_back(tmp_path: Path) -> None:
    counts = np.random.default_rng(2).integers(0, 65536, size=(17, 23)).astype(np.uint16)
    write_smv(tmp_path / "a.img", counts, smv_header(GEOMETRY, counts.shape, adc_offset=40.0))
    assert (tmp_path / "a.img").stat().st_size == 512 + 2 * 17 * 23
    image = fabio.open(str(tmp_path / "a.img"))
    assert np.array_equal(image.data, counts)
    assert float(image.header["WAVELENGTH"]) == 1.5


@pytest.mark.parametrize(
    ("convention", "detector", "center"),
    [
        ("mosflm", {"xbeam_mm": 3.0, "ybeam_mm": 7.0}, (3.0, 7.0)),
        ("denzo", {"xbeam_mm": 3.0, "ybeam_mm": 7.0}, (3.0, 7.0)),
        ("adxv", {"xbeam_mm": 3.0, "ybeam_mm": 7.0}, (3.0, 7.0)),
        ("xds", {"xclose_mm": 3.0, "yclose_mm": 7.0}, (3.0, 7.0)),
        ("dials", {"xclose_mm": 3.0, "yclose_mm": 7.0}, (3.0, 7.0)),
    ],
)
def test_the_beam_centre_given_comes_back_in_its_convention(
    convention: str, detector: dict[str, float], center: tuple[float, float]
) -> None:
    geometry = smv_geometry(experiment(convention=convention, **detector), convention=convention)
    assert geometry.beam_center == pytest.approx(center, abs=1e-9)
    assert geometry.distance == pytest.approx(80.0)


def test_a_tilted_panel_keeps_its_beam_centre_under_the_beam_pivot() -> None:
    tilted = experiment(
        convention="mosflm", xbeam_mm=3.0, ybeam_mm=7.0, rotation_deg=[4.0, -3.0, 2.0]
    )
    geometry = smv_geometry(tilted, convention="mosflm")
    assert geometry.beam_center == pytest.approx((3.0, 7.0), abs=1e-9)
    assert geometry.close_distance < geometry.distance


def test_xds_origin_is_where_the_normal_meets_the_panel() -> None:
    geometry = smv_geometry(experiment(convention="xds", orgx_px=11.5, orgy_px=20.5))
    assert geometry.origin_px == pytest.approx((11.5, 20.5))
