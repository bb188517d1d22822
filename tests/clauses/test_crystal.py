"""Clauses of `specs/crystal.md`: what one step of one pixel is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.clauses.scene import SOLID_ANGLE, beam, panel, reflections, scene, sources

FIVE = (5.0, 1.0, 1.0)


@pytest.mark.spec("CRY-7")
def test_indices_are_edges_times_the_scattering_vector(kernel) -> None:
    # q = (3, 4, −1)/13: edges of 26, 39 and −13 Å along x, y, z give h = 6, k = 12, l = 1.
    box = np.zeros((3, 3, 3))
    box[1, 1, 1] = 7.0
    table = reflections(box, (5, 11, 0))
    found = kernel.pixel(scene(table=table, edges=np.diag([26.0, 39.0, -13.0])))
    assert found == pytest.approx(49.0 * SOLID_ANGLE, rel=kernel.relative)


@pytest.mark.spec("CRY-7")
@pytest.mark.parametrize(("h", "nearest"), [(2.4999, 2), (2.5001, 3), (-2.4999, -2), (-2.5001, -3)])
def test_the_nearest_reflection_is_the_rounded_index(kernel, h: float, nearest: int) -> None:
    box = np.arange(1.0, 9.0).reshape(8, 1, 1)
    found = kernel.pixel(scene(table=reflections(box, (-4, 1, 1)), index=(h, 1.0, 1.0)))
    assert found == pytest.approx((nearest + 5.0) ** 2 * SOLID_ANGLE, rel=kernel.relative)


@pytest.mark.spec("CRY-7")
def test_a_half_integer_index_belongs_to_the_point_below(kernel) -> None:
    # A ray along x makes q = (1, 0, −1) without rounding, and an edge of ½ Å h = ½.
    size = 2.0**-10
    view = panel(
        origin=(0.125, -size / 2, -size / 2),
        pixel_size=size,
        fast=(0.0, 1.0, 0.0),
        slow=(0.0, 0.0, 1.0),
        normal=(1.0, 0.0, 0.0),
    )
    table = reflections(np.array([3.0, 100.0]).reshape(2, 1, 1), (0, 0, 1))
    found = kernel.pixel(scene(view=view, table=table, edges=np.diag([0.5, 4.0, -1.0])))
    assert found == pytest.approx(9.0 * size**2 / 0.125**2, rel=kernel.relative)


@pytest.mark.spec("CRY-7")
def test_the_crystal_turns_about_the_spindle_and_then_by_its_domains(kernel) -> None:
    # A quarter turn about x takes b (26 Å along y) to z and c (39 Å along z) to −y; the domain, a
    # quarter turn about z, takes a (13 Å) from x to y and c from −y to x.
    about_z = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    box = np.zeros((1, 1, 1))
    box[0, 0, 0] = 2.0
    # h = 13 · 4/13, k = 26 · (−1/13), l = 39 · 3/13.
    view = scene(
        table=reflections(box, (4, -2, 9)),
        edges=np.diag([13.0, 26.0, 39.0]),
        phi=(math.pi / 2,),
        rotations=[about_z],
    )
    assert kernel.pixel(view) == pytest.approx(4.0 * SOLID_ANGLE, rel=kernel.relative)


@pytest.mark.spec("CRY-8")
@pytest.mark.parametrize(
    ("h", "cells", "squared"),
    [
        # sin(5π · 0.1)/sin(π · 0.1) = 1/0.309017 = 3.236068
        (2.1, FIVE, 3.2360679775**2),
        # sin(5π · 0.25)/sin(π · 0.25) = −1
        (2.25, FIVE, 1.0),
        # sin(1000π · 0.0005)/sin(π · 0.0005) = 1/0.00157080
        (3.0005, (1000.0, 1.0, 1.0), (1.0 / math.sin(math.pi * 0.0005)) ** 2),
        # At whole h, N; an axis of one cell gives 1.
        (3.0, FIVE, 25.0),
        (2.1, (1.0, 1.0, 1.0), 1.0),
    ],
)
def test_square_crystal(kernel, h: float, cells, squared: float) -> None:
    found = kernel.squared_transform(index=(h, 1.0, 1.0), cells=cells)
    assert found == pytest.approx(squared, rel=100 * kernel.relative if h > 3 else kernel.relative)


@pytest.mark.spec("CRY-8")
def test_square_crystal_multiplies_its_axes(kernel) -> None:
    found = kernel.squared_transform(index=(2.1, 3.25, 1.5), cells=(5.0, 6.0, 3.0))
    # 3.236068, sin(1.5π)/sin(π/4) = −√2, sin(1.5π)/sin(π/2) = −1
    assert found == pytest.approx(3.2360679775**2 * 2.0, rel=kernel.relative)


@pytest.mark.spec("CRY-9")
@pytest.mark.parametrize(
    ("h", "fudge", "ball"),
    [
        # x = π · 5 · 0.1 = π/2: 3 (2/π)/(π/2)² = 24/π³
        (2.1, 1.0, 24.0 / math.pi**3),
        # x = π: 3 · 1/π²
        (2.2, 1.0, 3.0 / math.pi**2),
        # x = 2π by fudge 4: −3/(4π²)
        (2.2, 4.0, 3.0 / (4.0 * math.pi**2)),
        (2.0, 1.0, 1.0),
    ],
)
def test_round_crystal(kernel, h: float, fudge: float, ball: float) -> None:
    found = kernel.squared_transform(shape="round", index=(h, 1.0, 1.0), cells=FIVE, fudge=fudge)
    expected = (5.0 * 0.723601254558268 * ball) ** 2
    assert found == pytest.approx(expected, rel=10 * kernel.relative)


@pytest.mark.spec("CRY-9", "CRY-10", "CRY-11")
@pytest.mark.parametrize("shape", ["round", "gauss", "tophat"])
def test_the_radius_adds_the_axes_each_with_its_own_cells(kernel, shape: str) -> None:
    # 5 · 0.06 = 0.3, 8 · 0.05 = 0.4, 2.5 · 0.16 = 0.4: the same radius √0.41 as along one axis.
    several = kernel.squared_transform(
        shape=shape, index=(1.06, 2.05, -1.16), cells=(5.0, 8.0, 2.5), fudge=0.9
    )
    one = kernel.squared_transform(
        shape=shape,
        index=(1.0 + math.sqrt(0.41) / 10, 1.0, 1.0),
        cells=(10.0, 10.0, 1.0),
        fudge=0.9,
    )
    assert one > 0.0
    assert several == pytest.approx(one, rel=10 * kernel.relative)


@pytest.mark.spec("CRY-10")
def test_gaussian_crystal(kernel) -> None:
    # r² = (5 · 0.1)² = ¼: F² = 25 exp(−π/4) = 25 · 0.455938
    found = kernel.squared_transform(shape="gauss", index=(2.1, 1.0, 1.0), cells=FIVE)
    assert found == pytest.approx(25.0 * 0.4559381277659962, rel=kernel.relative)
    found = kernel.squared_transform(shape="gauss", index=(2.1, 1.0, 1.0), cells=FIVE, fudge=2.0)
    assert found == pytest.approx(25.0 * 0.4559381277659962**2, rel=kernel.relative)


@pytest.mark.spec("CRY-10")
def test_gaussian_crystal_of_the_c_program(kernel) -> None:
    # a = 2.1/(3/13) = 9.1 Å; |Δq*|² = (0.1/9.1)², times 5² · fudge 8 over 0.63.
    found = kernel.squared_transform(
        shape="gauss",
        index=(2.1, 1.0, 1.0),
        cells=FIVE,
        fudge=8.0,
        physics="nanobragg",
        per_sample=(True, True, True),
    )
    expected = 25.0 * math.exp(-2.0 * (0.1 / 9.1) ** 2 * 25.0 * 8.0 / 0.63)
    assert found == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("CRY-11")
def test_top_hat_crystal(kernel) -> None:
    # (3/(4π))^(1/3) = 0.620350: with 5 cells the edge is at δ = 0.124070.
    for h, inside in ((2.124, True), (2.1241, False), (1.876, True), (1.8759, False)):
        found = kernel.squared_transform(shape="tophat", index=(h, 1.0, 1.0), cells=FIVE)
        assert found == pytest.approx(25.0 if inside else 0.0, rel=kernel.relative), h


@pytest.mark.spec("CRY-11")
def test_top_hat_crystal_of_the_c_program(kernel) -> None:
    # |Δq*| · 5 · √fudge < 0.63 with a = h/(3/13): at fudge 130 the edge is at |Δq*| = 0.0110509.
    for offset, inside in ((0.1005, True), (0.1011, False)):
        found = kernel.squared_transform(
            shape="tophat",
            index=(2.0 + offset, 1.0, 1.0),
            edges=np.diag([(2.0 + offset) * 13 / 3, 13 / 4, -13.0]),
            cells=FIVE,
            fudge=130.0,
            physics="nanobragg",
            per_sample=(True, True, True),
        )
        reach = offset / ((2.0 + offset) * 13 / 3) * 5.0 * math.sqrt(130.0)
        assert (reach < 0.63) == inside
        assert found == pytest.approx(25.0 if inside else 0.0, rel=kernel.relative)


@pytest.mark.spec("CRY-10")
def test_gaussian_crystal_that_is_round_in_reciprocal_space(kernel) -> None:
    # Edges of 9.1, 13/4 and 13 Å: V = 384.475 Å³, with 5 cells (5 V)^(2/3) = 154.616 Å²; the step
    # 0.1/9.1 gives r² = 0.0186714, and along b, 0.1/3.25, r² = 0.146385, whatever the cells.
    edges = np.diag([2.1 * 13 / 3, 13 / 4, -13.0])
    found = kernel.squared_transform(shape="gauss_star", index=(2.1, 1, 1), cells=FIVE, edges=edges)
    assert found == pytest.approx(25.0 * math.exp(-math.pi * 0.0186713), rel=1e-5)
    edges = np.diag([2.0 * 13 / 3, 1.1 * 13 / 4, -13.0])
    found = kernel.squared_transform(shape="gauss_star", index=(2, 1.1, 1), cells=FIVE, edges=edges)
    volume = 5.0 * (26 / 3) * 3.575 * 13.0
    square = (0.1 / 3.575) ** 2 * volume ** (2.0 / 3.0)
    assert found == pytest.approx(25.0 * math.exp(-math.pi * square), rel=10 * kernel.relative)


@pytest.mark.spec("CRY-50")
@pytest.mark.parametrize("cells", [5, 12, 30, 100])
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
def test_every_shape_holds_the_same_photons(kernel, shape: str, cells: int) -> None:
    # ∫ F_latt² over a reciprocal cell, in index units, is Na·Nb·Nc.
    half, samples = {
        # One period, finer than the fringes: the sum over whole periods is exact.
        "square": (0.5, 2 * cells + 1),
        "round": (0.5, 4 * cells + 1),
        "gauss": (min(0.5, 2.5 / cells), 30),
        "gauss_star": (min(0.5, 3.6 / cells), 40),
        "tophat": (0.7 / cells, 50),
    }[shape]
    interpreted = kernel.options.kernel == "triton" and cells != 5
    if interpreted or (kernel.options.kernel != "native" and samples > 100):
        pytest.skip("the same formula at other crystals; too slow")
    found = spot_integral(kernel, shape, cells, half, samples)
    # The fringes of an ellipsoid beyond half-way to its neighbours are in nobody's cell.
    share = ball_inside_its_cell(cells) if shape == "round" else 1.0
    bar = {"tophat": 0.01, "round": 2e-3, "square": 2e-4}.get(shape, 1e-3)
    assert found / cells**3 == pytest.approx(share, rel=bar)
    if shape == "round":
        assert share == pytest.approx(1.0, abs=0.52 / cells)


def spot_integral(kernel, shape: str, cells: int, half: float, samples: int) -> float:
    """Sum F_latt² over a cube of indices of ±`half` about a reflection, as an integral.

    The beam runs along z, the ray along x: pixels step h and k, wavelengths l. The cell is so
    large that the patch of the Ewald sphere is flat, and oblique: its edges are dual to the steps.
    """
    edge = 1e4
    step = 2.0 * half / samples
    size = step / edge
    view = panel(
        shape=(samples, samples),
        pixel_size=size,
        origin=(1.0, -half / edge, -half / edge),
        fast=(0.0, 1.0, 0.0),
        slow=(0.0, 0.0, 1.0),
        normal=(1.0, 0.0, 0.0),
    )
    places = (np.arange(samples) + 0.5) * step - half
    table = sources(*[((0.0, 0.0, -1.0), 1.0 / (1.0 + at / edge), 1.0) for at in places])
    experiment = scene(
        view=view,
        beam_of=beam(table),
        shape=shape,
        cells=(cells, cells, cells),
        edges=edge * np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    )
    return float(kernel.numerator(experiment).sum()) / size**2 * step**3


def ball_inside_its_cell(cells: int) -> float:
    """Share of ∫ (0.7236 · 3 (sin x/x − cos x)/x²)², x = πr, that lies in a cube of `cells` a side.

    Outside of the sphere that the cube holds the square is 9/(2x⁴) on average.
    """
    radius = np.linspace(1e-3, cells / 2.0, 200 * cells + 1)
    x = math.pi * radius
    profile = (0.723601254558268 * 3.0 * (np.sin(x) / x - np.cos(x)) / x**2) ** 2
    inside = float(np.trapezoid(4.0 * math.pi * radius**2 * profile, radius))
    # ∫ r⁻⁴ over the cube's corners outside of the sphere, for a cube of half-side 1.
    at = (np.arange(60) + 0.5) / 60.0
    square = at[:, None, None] ** 2 + at[None, :, None] ** 2 + at[None, None, :] ** 2
    corners = 8.0 * float((square**-2 * (square > 1.0)).mean())
    return inside + 0.723601254558268**2 * 4.5 / math.pi**4 * corners / (cells / 2.0)


@pytest.mark.spec("CRY-14")
def test_points_outside_the_list_have_the_default(kernel) -> None:
    table = reflections(np.full((2, 2, 2), 5.0), (0, 0, 0), default=3.0)
    for index, expected in (
        ((1.0, 1.0, 1.0), 5.0),
        ((2.0, 1.0, 1.0), 3.0),
        ((1.0, -1.0, 1.0), 3.0),
    ):
        found = kernel.pixel(scene(table=table, index=index))
        assert found == pytest.approx(expected**2 * SOLID_ANGLE, rel=kernel.relative)


@pytest.mark.spec("CRY-14")
def test_without_a_list_every_point_has_the_default(kernel) -> None:
    found = kernel.squared_transform(index=(40.0, -30.0, 20.0))
    assert found == pytest.approx(1.0, rel=kernel.relative)


@pytest.mark.spec("CRY-15")
def test_interpolation_is_cubic_where_it_has_its_points_and_nearest_elsewhere(kernel) -> None:
    # |F| = h³ on h = 0 … 7 is a cubic, so that the polynomial gives it everywhere.
    box = (np.arange(8.0) ** 3).reshape(8, 1, 1) * np.ones((8, 8, 8))
    table = reflections(box, (0, -4, -4), interpolate=True)
    middle = {"k": 0.3, "l": -0.4}
    for h, expected in ((3.4, 3.4**3), (1.2, 1.0), (6.4, 216.0)):
        found = kernel.pixel(scene(table=table, index=(h, middle["k"], middle["l"])))
        assert found == pytest.approx(expected**2 * SOLID_ANGLE, rel=10 * kernel.relative), h
