"""Clauses of `specs/sampling.md` and `specs/sources.md`: what is summed, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.plan.frame import SourceChunk
from tests.clauses.scene import SOLID_ANGLE, beam, dark, panel, scene, sources

BENT = {"index": (1.3, 2.2, 0.7), "cells": (3.0, 4.0, 5.0)}


@pytest.mark.spec("SAM-1")
def test_sub_pixels_add_up(kernel) -> None:
    # 3 × 3 sub-pixels of a pixel are the nine pixels of a third of the size, each of a ninth of Ω.
    size = 3e-3
    corner = (0.03, 0.04, 0.12)
    one = scene(view=panel(origin=corner, pixel_size=size), oversample=3, **BENT)
    nine = scene(view=panel(origin=corner, pixel_size=size / 3, shape=(3, 3)), **BENT)
    assert kernel.pixel(one) == pytest.approx(9 * kernel.numerator(nine).sum(), rel=kernel.relative)


@pytest.mark.spec("SAM-4")
def test_spindle_steps_add_up(kernel) -> None:
    steps = (0.1, 0.7, 1.9)
    together = kernel.pixel(scene(phi=steps, **BENT))
    apart = sum(kernel.pixel(scene(phi=(step,), **BENT)) for step in steps)
    assert together == pytest.approx(apart, rel=kernel.relative)


@pytest.mark.spec("SAM-5")
def test_rotation_by_zero_is_none(kernel) -> None:
    still = kernel.pixel(scene(**BENT))
    kernel.pixel(scene(phi=(0.4,), **BENT))
    assert kernel.pixel(scene(phi=(0.0,), **BENT)) == still
    assert kernel.pixel(scene(phi=(0.0, 0.0), **BENT)) == pytest.approx(2 * still, rel=1e-12)


@pytest.mark.spec("SAM-8")
@pytest.mark.parametrize(
    ("dmin", "left"), [(2.5495097, 1.0), (2.5495098, 0.0), (2.52, 1.0), (2.58, 0.0)]
)
def test_resolution_cut(kernel, dmin: float, left: float) -> None:
    # |q| = √26/13 at the default pixel: d = 2.54950976 Å.
    found = kernel.pixel(scene(dmin=dmin)) / SOLID_ANGLE
    assert found == pytest.approx(left, rel=kernel.relative)


@pytest.mark.spec("SAM-8")
def test_a_cut_pixel_takes_no_other_with_it(kernel) -> None:
    # A row of 300 pixels along fast; the ring of 2 Å crosses it at 2θ = 2 asin(¼) = 28.955°.
    view = panel(shape=(1, 300), origin=(0.0, -0.5e-3, 0.1), pixel_size=0.3e-3)
    cut = kernel.numerator(scene(view=view, dmin=2.0))[0]
    whole = kernel.numerator(scene(view=view))[0]
    along = (np.arange(300) + 0.5) * 0.3e-3
    middle = np.hypot(along, -0.35e-3)
    beyond = np.arctan2(middle, 0.1) > 2 * math.asin(0.25)
    assert 50 < beyond.sum() < 250
    assert (cut[beyond] == 0.0).all()
    assert (cut[~beyond] == whole[~beyond]).all()


@pytest.mark.spec("SAM-8")
def test_the_background_is_not_cut(kernel) -> None:
    with_bragg = kernel.pixel(scene(dmin=3.0, molecules=5.0, background=(2.0,)))
    assert with_bragg == pytest.approx(20.0 * SOLID_ANGLE, rel=kernel.relative)


@pytest.mark.spec("SRC-2", "SRC-13", "SRC-14")
def test_sources_are_summed_with_their_weights_directions_and_wavelengths(kernel) -> None:
    # λ = 1 Å along z: |q|²/4 = (1 − 12/13)/2; λ = 2 Å along y: (1 − 4/13)/2/4.
    table = sources(((0, 0, -1), 1.0, 0.5), ((0, -1, 0), 2.0, 0.25))
    view = dark(scene(beam_of=beam(table), molecules=1.0, stol=(0.0, 1.0), background=(0.0, 1.0)))
    expected = 0.5 * (1 / 13) / 2 + 0.25 * (9 / 13) / 2 / 4
    assert kernel.pixel(view) / SOLID_ANGLE == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("SRC-4", "SRC-5", "SRC-19")
def test_chunks_of_sources_add_up_and_a_skipped_source_adds_nothing(kernel) -> None:
    # d at λ = 2 Å is 5.1 Å, at 1 Å 2.55 Å: a cut at 3 Å leaves the second source alone.
    table = sources(((0, 0, -1), 1.0, 0.5), ((0, 0, -1), 2.0, 0.25))
    view = scene(beam_of=beam(table), dmin=3.0)
    first = kernel.numerator(view, chunk=SourceChunk(0, 1))
    second = kernel.numerator(view, chunk=SourceChunk(1, 2))
    assert float(first[0, 0]) == 0.0
    assert float(second[0, 0]) == pytest.approx(0.25 * SOLID_ANGLE, rel=kernel.relative)
    assert (kernel.numerator(view) == first + second).all()
