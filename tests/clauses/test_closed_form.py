"""Clauses of `specs/sampling.md` on Gaussian crystals in closed form, with numbers by hand.

At the default pixel q = g = (3, 4, −1)/13 of the reflection 1 1 1. A crystal of N cells along each
edge has there C = diag(g²)/(2πN²), and the peak is |F|² N⁶ √(|C|/|Σ|).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from distbragg.kernel.render_tile import render_tile
from distbragg.models.experiment import Material
from distbragg.models.ice import ring_table
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import SourceChunk, Tile
from tests import oracle
from tests.clauses.scene import (
    DIRECTION,
    SCATTERING,
    SOLID_ANGLE,
    beam,
    no_reflections,
    panel,
    scene,
    sources,
)

CELLS = 40.0
CRYSTAL = np.diag(SCATTERING**2) / (2.0 * math.pi * CELLS**2)


def closed(*, spread=0.0, bandwidth=0.0, divergence=0.0, turn=0.0, integrate=False, **changes):
    """The default scene in closed form; spreads in rad, the divergence along x."""
    still = scene(shape="gauss", cells=(CELLS,) * 3, **changes)
    crystal = replace(
        still.crystal,
        mosaic_spread=spread,
        mosaic_covariance=frozen_float64(spread**2 * np.eye(3)),
        oscillation=(-0.5 * turn, 0.5 * turn),
    )
    lit = replace(
        still.beam,
        sources=replace(still.beam.sources, bandwidth=bandwidth),
        divergence=frozen_float64([[divergence, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    sampling = replace(still.sampling, method="closed_form", integrate=integrate)
    return replace(still, crystal=crystal, beam=lit, sampling=sampling)


def peak(total) -> float:
    """The peak of what covariance Σ spreads."""
    return CELLS**6 * math.sqrt(np.linalg.det(CRYSTAL) / np.linalg.det(total))


@pytest.mark.spec("SAM-13")
def test_without_spread_the_peak_is_that_of_the_crystal(kernel) -> None:
    found = kernel.pixel(closed()) / SOLID_ANGLE
    assert found == pytest.approx(CELLS**6, rel=kernel.relative)


@pytest.mark.spec("SAM-13")
def test_mosaicity_spreads_the_peak_across_its_reflection(kernel) -> None:
    spread = 1e-3
    g = SCATTERING
    total = CRYSTAL + spread**2 * (g @ g * np.eye(3) - np.outer(g, g))
    found = kernel.pixel(closed(spread=spread)) / SOLID_ANGLE
    assert found == pytest.approx(peak(total), rel=1e-4)


@pytest.mark.spec("SAM-13")
def test_a_bandwidth_spreads_the_peak_along_its_reflection(kernel) -> None:
    total = CRYSTAL + 0.01**2 * np.outer(SCATTERING, SCATTERING)
    found = kernel.pixel(closed(bandwidth=0.01)) / SOLID_ANGLE
    assert found == pytest.approx(peak(total), rel=1e-4)


@pytest.mark.spec("SAM-13")
def test_a_divergence_spreads_the_peak_across_the_beam(kernel) -> None:
    total = CRYSTAL + 1e-3**2 * np.diag([1.0, 0.0, 0.0])
    found = kernel.pixel(closed(divergence=1e-3)) / SOLID_ANGLE
    assert found == pytest.approx(peak(total), rel=1e-4)


@pytest.mark.spec("SAM-13")
def test_a_rotation_takes_the_peak_through_the_pixel(kernel) -> None:
    # About x by ±½°: v = x × g, and the mean of exp(−½ φ² v C⁻¹ v) is an error function.
    turn = math.radians(1.0)
    velocity = np.cross([1.0, 0.0, 0.0], SCATTERING)
    stiff = math.sqrt(velocity @ np.linalg.inv(CRYSTAL) @ velocity / 2.0)
    mean = math.sqrt(math.pi) / (stiff * turn) * special.erf(stiff * turn / 2.0)
    found = kernel.pixel(closed(turn=turn)) / SOLID_ANGLE
    assert found == pytest.approx(CELLS**6 * mean, rel=1e-3)


@pytest.mark.spec("SAM-14")
def test_a_reflection_far_from_the_sphere_is_nothing(kernel) -> None:
    # The crystal is changed so that 1 1 1 leaves the sphere along the ray.
    away = math.sqrt(DIRECTION @ CRYSTAL @ DIRECTION)
    for deviations, seen in ((1.0, True), (8.0, False)):
        moved = SCATTERING + deviations * away * DIRECTION
        view = closed(edges=np.diag(1.0 / moved))
        assert (kernel.pixel(view) > 0.0) == seen


@pytest.mark.spec("SAM-15")
@pytest.mark.parametrize(("dmin", "left"), [(2.5495, True), (2.5496, False)])
def test_the_cut_is_by_the_spacing_of_the_reflection(kernel, dmin, left) -> None:
    # The pixel lies at 2.5495 Å too, but it is g that decides: in a pixel beside it as well.
    side = panel(origin=(0.03 + 1e-4, 0.04, 0.12))
    for view in (panel(), side):
        assert (kernel.pixel(closed(dmin=dmin, view=view)) > 0.0) == left


@pytest.mark.spec("SAM-16")
def test_a_pixel_holds_what_its_parts_hold(kernel) -> None:
    # 20 × 20 pixels of the spot, and one of their size, whose solid angle is its middle's.
    size = 2e-3
    origin = (0.03 - size / 2, 0.04 - size / 2, 0.12)
    fine = closed(view=panel(origin=origin, pixel_size=size / 20, shape=(20, 20)))
    whole = closed(view=panel(origin=origin, pixel_size=size), integrate=True)
    expected = kernel.numerator(fine).sum()
    assert kernel.pixel(whole) == pytest.approx(expected, rel=3e-3)


@pytest.mark.spec("SAM-17")
def test_a_rotation_of_ten_degrees_is_the_mean_of_its_parts(kernel) -> None:
    whole = closed(turn=math.radians(10.0))
    part = closed(turn=math.radians(2.0))
    found = kernel.pixel(whole)
    assert found == pytest.approx(kernel.pixel(part) / 5.0, rel=1e-3)


@pytest.mark.spec("SAM-18")
def test_sources_add_up_with_their_weights(kernel) -> None:
    rows = (((0, 0, -1), 1.0, 0.5), ((1e-3, 0, -1), 1.001, 0.25), ((0, 0, -1), 0.999, 0.25))
    widths = {"spread": 5e-3}
    view = closed(beam_of=beam(sources(*rows)), **widths)
    alone = [closed(beam_of=beam(sources((way, wave, 1.0))), **widths) for way, wave, _ in rows]
    expected = math.fsum(row[2] * kernel.pixel(one) for row, one in zip(rows, alone, strict=True))
    # Mixed precision looks up the sum over the sources of one direction.
    exact = kernel.options.precision == "float64"
    assert kernel.pixel(view) == pytest.approx(expected, rel=1e-12 if exact else 1e-3)


@pytest.mark.spec("SAM-18")
def test_tiles_and_threads_change_no_bit(kernel) -> None:
    origin = (0.025, 0.035, 0.12)
    view = closed(
        spread=5e-3,
        bandwidth=2e-3,
        integrate=True,
        view=panel(origin=origin, pixel_size=5e-4, shape=(19, 21)),
    )
    chunk = SourceChunk(0, 1)
    whole = kernel.numerator(view)
    assert whole.max() > 0.0
    options = replace(kernel.options, threads=3)
    for tile in (Tile(0, 7, 0, 21), Tile(7, 19, 3, 4), Tile(2, 12, 5, 20)):
        part = render_tile(view, 0, tile, chunk, options).reshape(tile.shape)
        rows, columns = (
            slice(tile.slow_start, tile.slow_stop),
            slice(tile.fast_start, tile.fast_stop),
        )
        assert (part == whole[rows, columns]).all()


@pytest.mark.spec("SCL-12")
def test_blocks_multiply_the_peak_and_not_the_background(kernel) -> None:
    # 4,400 blocks of 40⁶ and 7e9 molecules of 2.57 electrons.
    view = closed(molecules=7e9, background=(2.57,))
    many = replace(view, crystal=replace(view.crystal, scale=4400.0))
    expected = 4400 * CELLS**6 + 7e9 * 2.57**2
    assert kernel.pixel(many) / SOLID_ANGLE == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("SCL-14", "SCL-15")
def test_lines_of_a_spectrum_see_sharp_rings(fast_kernel) -> None:
    # Three lines whose rings of ice, 0.004 1/Å wide, stand apart; with water.
    lines = sources(((0, 0, -1), 1.0, 1.0), ((0, 0, -1), 1.03, 0.5), ((0, 0, -1), 1.05, 2.0))
    stol, amplitude = ring_table(0.004)
    water = Material(0.1, frozen_float64([0.0, 0.2, 0.5]), frozen_float64([2.0, 7.0, 3.0]))
    size = 2e-4
    view = closed(
        view=panel(origin=(0.028, -0.001, 0.12), pixel_size=size, shape=(4, 130)),
        beam_of=beam(lines),
        molecules=1.0,
        stol=stol,
        background=amplitude,
        table=no_reflections(0.0),
    )
    view = replace(view, background=replace(view.background, others=(water,)))
    found, expected = fast_kernel.numerator(view), oracle.numerator(view)
    assert expected.max() > 5.0 * expected.min()
    bar = 1e-3 if fast_kernel.options.precision == "mixed" else 1e-9
    assert np.abs(found - expected).max() <= bar * expected.max()
