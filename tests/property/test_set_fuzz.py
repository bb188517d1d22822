"""`--set`: whatever value a field is given, the outcome is a plan, an image, or one line."""

from __future__ import annotations

import itertools
import os
import random

import numpy as np
import pytest

from distbragg.errors import DistbraggError
from distbragg.run.prepare import check_machine, prepare
from distbragg.run.render import render_image
from distbragg.spec.paths import field_paths

VALUES = (
    "0", "1", "-1", "2", "0100", "1:30", "1e308", "-1e308", "1e100", "5e-324", "1e-300", "1e30",
    "999999999999999999999999", "2147483648", "-0.0", "inf", ".inf", "-.inf", ".nan", "nan", "true",
    "no", "auto", "random", "''", "abc", "../../etc/passwd", "[]", "[1]", "[1, 2]", "[1, 2, 3]",
    "[0, 0, 0]", "[1e308, 1e308, 1e308]", "[1, 2, 3, 90, 90, 90]", "{a: 1}", "null",
)  # fmt: skip
BASES = {
    "exact": "",
    "nanobragg": "physics: nanobragg\n",
    "counts": "noise: {photon: true}\noutput: {dtype: uint16}\n",
}
SMALL = """\
beam: {wavelength_angstrom: 1.0}
crystal: {cell: [79.1, 79.1, 38.0, 90, 90, 90], block_cells: [3, 3, 3]}
structure_factors: {default_f_electrons: 100}
detector: {distance_mm: 100, pixel_size_mm: 0.4, pixels_fast: 7, pixels_slow: 5}
sampling: {oversample: 1}
"""
MOST_STEPS = 200_000
"""Plans of more are not rendered: the fuzz asks what is said, not how fast."""


def outcome(path, item):
    """Plan one experiment as the command line does, and render it where that is cheap."""
    try:
        prepared = prepare(path, [item])
        check_machine(prepared)
        if prepared.plan.frame.steps <= MOST_STEPS and "triton" not in item:
            image = render_image(path, [item], threads=1)
            # The C program writes negative and infinite pixels too, and is followed in that.
            if prepared.experiment.physics == "exact":
                assert np.isfinite(image).all()
                assert (image >= 0).all()
    except DistbraggError as error:
        return str(error)
    return ""


def check(path, items):
    for item in items:
        try:
            line = outcome(path, item)
        except Exception as error:
            raise AssertionError(f"--set '{item}' ends in a {type(error).__name__}") from error
        assert "\n" not in line, item
        assert len(line) < 2000, item


@pytest.fixture(params=BASES)
def base(request, tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(BASES[request.param] + SMALL)
    return path


@pytest.mark.spec("CLI-23")
@pytest.mark.filterwarnings("ignore")
def test_no_value_of_set_ends_in_a_traceback(base):
    """A few hundred of all pairs, the same in every run."""
    pairs = [f"{field}={value}" for field, value in itertools.product(field_paths(), VALUES)]
    check(base, random.Random(13).sample(pairs, 400))


@pytest.mark.slow
@pytest.mark.skipif("DISTBRAGG_NIGHTLY" not in os.environ, reason="by make chaos-nightly")
@pytest.mark.filterwarnings("ignore")
def test_no_value_of_any_field_ends_in_a_traceback(base):
    check(base, (f"{field}={value}" for field in field_paths() for value in VALUES))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("crystal.block_size_mm=[1e308, 1, 1]", "crystal.block_size_mm"),
        ("crystal.block_size_mm=[1, 1e90, 1]", "cells along b"),
        ("detector.pixel_size_mm=5e-324", "detector.pixel_size_mm: 4.94066e-324 is nearer to 0"),
        ("compute.memory_limit_gb=1e308", "compute.memory_limit_gb: 1e+308 is beyond 1e+100"),
        ("structure_factors.default_f_electrons=1e308", "default_f_electrons: 1e+308 is beyond"),
        ("crystal.cell=[1e308, 1, 1, 90, 90, 90]", "crystal.cell.0: 1e+308 is beyond"),
        ("detector.distance_mm=1:30", "write it in decimal"),
    ],
)
def test_numbers_beyond_arithmetic_are_refused_by_name(tmp_path, item, words):
    path = tmp_path / "base.yaml"
    path.write_text(SMALL)
    assert words in outcome(path, item)
