"""Geometry from image headers."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.spec.experiment import ExperimentSpec

FIELDS = {
    "HEADER_BYTES": 1024,
    "DIM": 2,
    "BYTE_ORDER": "big_endian",
    "TYPE": "unsigned_short",
    "SIZE1": 40,
    "SIZE2": 30,
    "PIXEL_SIZE": 0.25,
    "DISTANCE": 123,
    "WAVELENGTH": 1.1,
    "BEAM_CENTER_X": 4.5,
    "BEAM_CENTER_Y": 6.25,
    "XDS_ORGX": 19.5,
    "XDS_ORGY": 14.25,
    "CLOSE_DISTANCE": 120,
    "PHI": 12,
    "OSC_RANGE": 0.5,
    "TWOTHETA": 9,
}


def write(path, **changes):
    fields = {**FIELDS, **changes}
    text = "{\n" + "".join(f"{key}={value};\n" for key, value in fields.items()) + "}\f"
    path.write_bytes(text.encode().ljust(1024) + b"\0\1" * (fields["SIZE1"] * fields["SIZE2"]))
    return str(path)


def build(files, physics="nanobragg", beam=None, goniometer=None, **detector):
    return build_experiment(
        ExperimentSpec(
            physics=physics,
            beam=beam or {},
            crystal={"cell": (25, 31, 35, 80, 85, 75), "block_cells": (6, 6, 6)},
            structure_factors={"default_f_electrons": 1},
            goniometer=goniometer or {},
            detector=detector,
            header_files=[{"path": path, "role": role} for path, role in files],
        )
    )


@pytest.mark.spec("CON-6")
def test_an_image_header_fills_in_everything_it_knows(tmp_path):
    image = write(tmp_path / "a.img")
    experiment = build([(image, "image")])
    panel = experiment.detector.panels[0]
    assert panel.shape == (30, 40)
    assert panel.pixel_size == 0.25e-3
    assert experiment.beam.wavelength == 1.1
    assert panel.close_distance == pytest.approx(0.12)
    np.testing.assert_allclose(np.degrees(experiment.crystal.phi), [12, 12.25], rtol=1e-14)
    # MOSFLM: fast from Ybeam, slow from Xbeam, each plus half a pixel.
    np.testing.assert_allclose(panel.origin, [0.12, 4.625e-3, -6.375e-3], rtol=1e-12)


@pytest.mark.spec("CON-6")
def test_org_of_an_image_is_the_nearest_point_under_xds(tmp_path):
    panel = build([(write(tmp_path / "a.img"), "image")], convention="xds").detector.panels[0]
    np.testing.assert_allclose(panel.origin, [-4.75e-3, -3.4375e-3, 0.12], rtol=1e-12)


@pytest.mark.spec("CON-6")
def test_a_mask_counts_its_y_from_the_other_end(tmp_path):
    panel = build([(write(tmp_path / "a.img"), "mask")]).detector.panels[0]
    np.testing.assert_allclose(panel.origin, [0.12, 4.625e-3, -1.375e-3], rtol=1e-12)


@pytest.mark.spec("CON-6")
@pytest.mark.parametrize("swapped", [False, True])
def test_the_image_wins_over_the_mask_whatever_their_order(tmp_path, swapped):
    files = [
        (write(tmp_path / "m.img", WAVELENGTH=2.0, BEAM_CENTER_Y=1.0), "mask"),
        (write(tmp_path / "i.img"), "image"),
    ]
    experiment = build(files[::-1] if swapped else files)
    assert experiment.beam.wavelength == 1.1
    assert experiment.detector.panels[0].origin[2] == pytest.approx(-6.375e-3)


@pytest.mark.spec("CON-6")
def test_explicit_fields_win_over_the_header(tmp_path):
    image = write(tmp_path / "a.img")
    experiment = build(
        [(image, "image")],
        "exact",
        beam={"wavelength_angstrom": 1.5},
        goniometer={"phi_deg": 3, "oscillation_deg": 0},
        distance_mm=200,
        pixel_size_mm=0.1,
        twotheta_deg=0,
        xbeam_mm=2,
        ybeam_mm=1,
        size_fast_mm=5,
    )
    panel = experiment.detector.panels[0]
    assert experiment.beam.wavelength == 1.5
    assert panel.shape == (30, 50)
    assert panel.close_distance == pytest.approx(0.2)
    np.testing.assert_allclose(panel.origin, [0.2, 2.05e-3, -1.05e-3], rtol=1e-12)
    np.testing.assert_allclose(np.degrees(experiment.crystal.phi), [3.0])


def test_twotheta_of_a_header_is_used_under_exact_alone(tmp_path):
    files = [(write(tmp_path / "a.img"), "image")]
    assert build(files, "nanobragg").detector.panels[0].normal[0] == 1.0
    assert build(files, "exact").detector.panels[0].normal[0] == pytest.approx(
        np.cos(np.radians(9))
    )
