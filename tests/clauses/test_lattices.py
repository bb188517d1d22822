"""Clauses of `specs/lattices.md` on every kernel, with numbers by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel.render_tile import render_tile
from distbragg.models.vectors import frozen_float64
from distbragg.physics.lattices import lattices_of
from distbragg.plan.frame import SourceChunk, Tile
from tests.clauses.scene import SOLID_ANGLE, crystal, panel, scene, sources
from tests.clauses.scene import beam as beam_along_z
from tests.clauses.test_closed_form import CELLS, closed

WATER = {"molecules": 7.0, "background": (2.57,)}
BACKGROUND = 7.0 * 2.57**2


def together(view, *others):
    return replace(view, others=others)


def spread(scale, turn):
    """A lattice of the closed form, turned about z by an angle, rad."""
    one = closed().crystal
    c, s = np.cos(turn), np.sin(turn)
    about = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return replace(
        one,
        real_space=frozen_float64(one.real_space @ about.T),
        reciprocal=frozen_float64(one.reciprocal @ about.T),
        mosaic_spread=2e-3,
        mosaic_covariance=frozen_float64(4e-6 * np.eye(3)),
        scale=scale,
    )


@pytest.mark.spec("LAT-1")
def test_intensities_of_lattices_add_up_and_the_background_is_there_once(kernel) -> None:
    # 3³ cells at 1 1 1 and 2³ cells, five times as many of them, at 2 2 2 of another cell:
    # 27² + 5 · 8² = 1049.
    view = scene(cells=(3.0,) * 3, **WATER)
    other = replace(crystal((2.0,) * 3, cells=(2.0,) * 3), scale=5.0)
    found = kernel.pixel(together(view, other)) / SOLID_ANGLE
    assert found == pytest.approx(1049.0 + BACKGROUND, rel=max(kernel.relative, 1e-7))


@pytest.mark.spec("LAT-1")
def test_a_lattice_of_fewer_steps_weighs_as_much(kernel) -> None:
    # The frame's sum is divided by the two steps of the first lattice.
    view = scene(cells=(3.0,) * 3, phi=(0.0, 0.0), **WATER)
    found = kernel.pixel(together(view, crystal(cells=(2.0,) * 3))) / SOLID_ANGLE
    expected = 2.0 * (27.0**2 + 8.0**2 + BACKGROUND)
    assert found == pytest.approx(expected, rel=max(kernel.relative, 1e-7))


@pytest.mark.spec("LAT-1")
def test_peaks_of_lattices_in_closed_form_add_up(kernel) -> None:
    # Cells of half the number have an eighth of the height: 40⁶ (1 + 3/64).
    view = closed(**WATER)
    half = replace(
        crystal(shape="gauss", cells=(CELLS / 2,) * 3), scale=3.0, oscillation=(0.0, 0.0)
    )
    found = kernel.pixel(together(view, half)) / SOLID_ANGLE
    expected = CELLS**6 * (1.0 + 3.0 / 64.0) + BACKGROUND
    assert found == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("LAT-2")
@pytest.mark.parametrize("make", [scene, closed])
def test_a_miss_has_the_background_alone(kernel, make) -> None:
    view = make(dmin=0.5, **WATER)
    missed = replace(view, crystal=replace(view.crystal, scale=0.0))
    found = kernel.pixel(missed) / SOLID_ANGLE
    assert found == pytest.approx(BACKGROUND, rel=max(kernel.relative, 1e-7))


LINES = sources(((0.0, 0.0, -1.0), 1.0, 1.0), ((0.0, 0.0, -1.0), 1.002, 0.5))
WIDE = {"view": panel(shape=(5, 70), pixel_size=3e-4, origin=(0.02, 0.0395, 0.12))}


@pytest.mark.spec("LAT-3")
@pytest.mark.parametrize("integrate", [False, True])
def test_a_frame_is_the_sum_of_its_lattices_alone(kernel, integrate) -> None:
    view = closed(spread=2e-3, integrate=integrate, beam_of=beam_along_z(LINES), **WATER, **WIDE)
    view = together(view, spread(2.5, 0.01), spread(0.5, -0.02))
    alone = [lattice.experiment for lattice in lattices_of(view)]
    assert [one.background.molecules for one in alone] == [7.0, 0.0, 0.0]
    expected = sum(kernel.numerator(one) for one in alone)
    assert kernel.numerator(alone[1]).max() > 10.0 * BACKGROUND * SOLID_ANGLE
    found = kernel.numerator(view)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * expected.max())


@pytest.mark.spec("LAT-3")
@pytest.mark.parametrize("shape", ["square", "gauss", "tophat"])
def test_samples_of_a_frame_are_those_of_its_lattices_alone(kernel, shape) -> None:
    view = panel(shape=(2, 70), pixel_size=3e-4, origin=(0.02, 0.0395, 0.12))
    common = {"shape": shape, "oversample": 2, "view": view, "phi": (0.0, 0.01)}
    one = scene(cells=(5.0,) * 3, beam_of=beam_along_z(LINES), **common, **WATER)
    small = crystal((1.2, 0.9, 1.0), shape=shape, cells=(2.0, 3.0, 4.0), phi=(0.02,))
    frame = together(one, replace(small, scale=40.0))
    first, second = lattices_of(frame)
    assert (first.share, second.share) == (1.0, 2.0)
    expected = kernel.numerator(first.experiment) + 2.0 * kernel.numerator(second.experiment)
    found = kernel.numerator(frame)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * expected.max())


@pytest.mark.spec("LAT-3")
def test_tiles_and_threads_change_no_bit_of_lattices(kernel) -> None:
    view = closed(spread=2e-3, integrate=True, **WATER, **WIDE)
    view = together(view, spread(2.5, 0.01))
    whole, chunk = kernel.numerator(view), SourceChunk(0, 1)
    options = replace(kernel.options, threads=2)
    for tile in (Tile(0, 5, 0, 33), Tile(1, 4, 33, 70)):
        part = render_tile(view, 0, tile, chunk, options).reshape(tile.shape)
        rows = slice(tile.slow_start, tile.slow_stop)
        assert (part == whole[rows, tile.fast_start : tile.fast_stop]).all()
