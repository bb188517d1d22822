"""Panels drawn where they stand."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.figures.assemble import assemble
from distbragg.models.build import build_experiment
from distbragg.spec.load import parse_spec


def panels_of(panels):
    plain = {
        "beam": {"wavelength_angstrom": 1.0},
        "structure_factors": {"default_f_electrons": 10},
        "crystal": {"cell": [40, 40, 40, 90, 90, 90]},
        "sampling": {"oversample": 1},
        "detector": {"pixel_size_mm": 1.0, "panels": panels},
    }
    experiment = build_experiment(parse_spec(plain))
    return experiment.detector.panels, np.asarray(experiment.beam.direction)


def test_every_pixel_is_drawn_at_its_place_and_gaps_are_left_out():
    upright = {"fast": [0, 0, 1], "slow": [0, -1, 0], "pixels_fast": 3, "pixels_slow": 2}
    turned = {"fast": [0, 1, 0], "slow": [0, 0, 1], "pixels_fast": 2, "pixels_slow": 3}
    panels, beam = panels_of(
        [
            {**upright, "origin_mm": [50, 2, -4]},
            {**turned, "origin_mm": [50, 0, 0]},
        ]
    )
    image = np.zeros((2, 3, 3))
    image[0, :2, :3] = [[1, 2, 3], [4, 5, 6]]
    image[1, :3, :2] = [[7, 8], [9, 10], [11, 12]]
    picture = assemble(image, panels, beam)
    # With the beam along x and y upwards, z lies to the right.
    np.testing.assert_array_equal(
        picture.image, [[1, 2, 3, np.nan, 8, 10, 12], [4, 5, 6, np.nan, 7, 9, 11]]
    )
    assert picture.extent == pytest.approx((-4.0, 3.0, 0.0, 2.0))


def test_a_bright_pixel_survives_a_small_picture():
    panel = {"fast": [0, 0, 1], "slow": [0, -1, 0], "pixels_fast": 90, "pixels_slow": 70}
    panels, beam = panels_of([{**panel, "origin_mm": [50, 35, -45]}])
    for row, column in ((0, 0), (33, 47), (69, 89)):
        image = np.zeros((1, 70, 90))
        image[0, row, column] = 5.0
        small = assemble(image, panels, beam, edge=30)
        assert small.image.shape == (23, 30)
        assert np.nanmax(small.image) == 5.0


def test_a_render_of_panels_as_png_shows_them_all(tmp_path):
    from PIL import Image

    (tmp_path / "x.yaml").write_text(
        """
crystal: {cell: [40, 50, 60, 90, 90, 90], block_cells: [3, 3, 3]}
beam: {wavelength_angstrom: 1.0}
structure_factors: {default_f_electrons: 10}
sampling: {oversample: 1}
detector:
  pixel_size_mm: 1
  pixels_fast: 9
  pixels_slow: 7
  panels:
    - {origin_mm: [50, 5, -10], fast: [0, 0, 1], slow: [0, -1, 0]}
    - {origin_mm: [50, 5, 1], fast: [0, 0, 1], slow: [0, -1, 0]}
"""
    )
    assert main(["render", str(tmp_path / "x.yaml"), "-o", str(tmp_path / "x.png")]) == 0
    with Image.open(tmp_path / "x.png") as picture:
        assert min(picture.size) > 250
