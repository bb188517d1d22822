"""The benchmark of the closed form: its frames are what it says, and its page tells the bars."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.spec.load import parse_spec
from tools.bench import closed_scenes
from tools.bench.closed_form import BraggPart, ClosedForm
from tools.bench.closed_summary import closed_summary
from tools.bench.frames import Taken


def test_every_corner_sees_the_longest_reflections():
    for detector in (closed_scenes.PROTEIN, closed_scenes.EXAFEL):
        half = detector["pixels_fast"] * detector["pixel_size_mm"] / 2.0
        angle = math.atan2(half * math.sqrt(2.0), detector["distance_mm"])
        assert 0.5 / math.sin(angle / 2.0) == pytest.approx(closed_scenes.DMIN, rel=2e-3)


def test_frames_are_summed_in_closed_form_and_their_samples_are_not(tmp_path: Path):
    reflections = closed_scenes.write_reflections(tmp_path / "P1.hkl")
    still = closed_scenes.protein(reflections)
    for plain, method in (
        (still, "closed_form"),
        (closed_scenes.without_crystal(still), "closed_form"),
        (closed_scenes.exafel(reflections), "closed_form"),
        (closed_scenes.sampled(still, 4), "sampled"),
    ):
        experiment = build_experiment(parse_spec(plain, source="test"))
        assert experiment.sampling.method == method
        assert experiment.beam.sources.count == 100
    hkl = np.loadtxt(reflections)[:, :3]
    assert 1.0 / np.linalg.norm(hkl / closed_scenes.CELL, axis=1).max() >= 1.5


def test_the_page_tells_ratios_and_bars():
    part = BraggPart([Taken(0.25, 0.3)], [Taken(0.15, 0.2)], sampled=50.0, c_program=4000.0)
    stored = [Taken(0.6, 0.66)], [Taken(0.5, 0.6)]
    page = closed_summary(ClosedForm(part, *stored, exafel=Taken(0.9, 1.6)))
    assert "| 0.1 (0.1 to 0.1) |" in page
    assert "| 500 |" in page
    assert "| 40,000 |" in page
    assert "Bar 1.25 of wall time: reached" in page
    assert "Bar 1 s: missed" in page
    assert "make 40 frames/s, 100,000 frames in 41 min 40 s" in page
    assert "1.3 × 30 (256 A100), 0.7 × 55.6" in page
