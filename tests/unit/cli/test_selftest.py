"""`distbragg selftest` tells a right kernel from a wrong one, in seconds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.kernel import native
from distbragg.run import selftest
from distbragg.run.selftest import agreement, selftest_cases

GOLDEN = Path(__file__).parents[2] / "golden" / "data"


@pytest.mark.spec("CLI-17")
def test_every_image_is_the_c_programs(capsys):
    assert main(["selftest"]) == 0
    text = capsys.readouterr().out
    count = len(list(selftest_cases()))
    assert count >= 8
    kernel = "native" if native.available() else "model"
    assert text.count("numeric class: device cpu, kernel " + kernel) == 2
    assert "precision float64" in text
    assert "precision mixed" in text
    assert text.count("  pass  ") == 2 * count
    assert f"passed: {2 * count} images in " in text


@pytest.mark.spec("CLI-17")
def test_a_kernel_that_is_off_by_a_hundred_thousandth_fails_in_float64_alone(capsys, monkeypatch):
    right = selftest.render_frame
    monkeypatch.setattr(selftest, "render_frame", lambda *given: right(*given) * (1 + 9e-6))
    assert main(["selftest"]) == 5
    captured = capsys.readouterr()
    count = len(list(selftest_cases()))
    assert f"{count} of {2 * count} images are not those of nanoBragg.c" in captured.err
    assert captured.out.count("  FAIL  ") == count


def test_the_packed_images_are_regions_of_the_golden_ones():
    listed = json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))["cases"]
    golden = {case["id"]: case for case in listed}
    for case in selftest_cases():
        image = np.load(GOLDEN / f"{case.name}.npy")
        assert np.array_equal(image[case.window], case.expected)
        assert list(case.arguments[:-5]) == golden[case.name]["args"].split()
        assert (case.expected > 1e-4 * case.expected.max()).mean() > 0.1


def test_errors_are_counted_by_the_floor_that_each_is_for():
    expected = np.array([[1.0, 1e-6, 1e-12, 0.0]])
    found = np.array([[1.0 + 1e-4, 2e-6, 1.0e-5, 0.0]])
    far = agreement(found, expected)
    assert far.relative == pytest.approx(1.0)
    assert far.bright == pytest.approx(1e-4)
    assert far.of_maximum == pytest.approx(1e-4)
    assert far.total == pytest.approx(1.11e-4, rel=1e-2)
    assert not far.held("float64")
    assert not far.held("mixed")
    assert agreement(expected, expected).held("float64")
    found[0, 0] = math.nan
    assert not agreement(found, expected).held("mixed")
