"""Clauses of `specs/diffuse.md`: what a displaced crystal adds to a step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.models.diffuse import Diffuse
from distbragg.models.vectors import frozen_float64
from distbragg.physics.factors import intensity_scale
from tests.clauses.scene import SCATTERING, SOLID_ANGLE, panel, reflections, scene

ABOUT_C = [np.eye(3), np.diag([-1.0, -1.0, 1.0])]
FOURFOLD = [np.eye(3), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])]


def displaced(experiment, gamma, sigma, *, axes=None, operations=None, stencil=0):
    """The same crystal with diffuse scattering."""
    diffuse = Diffuse(
        gamma=frozen_float64(gamma),
        sigma=frozen_float64(sigma),
        axes=frozen_float64(np.eye(3) if axes is None else axes),
        operations=frozen_float64([np.eye(3)] if operations is None else operations),
        stencil=stencil,
    )
    return replace(experiment, crystal=replace(experiment.crystal, diffuse=diffuse))


@pytest.mark.spec("DIF-1")
def test_a_halo_worked_out_by_hand(kernel) -> None:
    # q = (3, 4, −1)/13 and edges of 9.1 along x, 3.25 along y, −13 Å along z: h = 2.1, 1, 1.
    # Q = (2/9.1, 1/3.25, 1/13) = (0.2197802, 0.3076923, 0.0769231) with σ = 0.2, 0.3, 0.1:
    # e = 39.4784176 (0.0019321 + 0.0085207 + 0.0000592) = 0.4149977
    # Δ = 0.1/9.1 along x with γ = 5: (1 + 39.4784176 · 0.0549451²)² = 1.1191837² = 1.2525722
    # 8π · 5 · 7 · 9/(9.1 · 3.25 · 13 Å³) · 6 cells = 7916.8135/384.475 · 6 = 123.5474
    # 0.4149977 · exp(−0.4149977) · 123.5474/1.2525722 = 27.02995
    # N = (3, 2, 1): F_latt² = (sin 0.3π/sin 0.1π)² 2² = 27.41641.
    view = scene(index=(2.1, 1.0, 1.0), cells=(3.0, 2.0, 1.0))
    found = kernel.pixel(displaced(view, (5.0, 7.0, 9.0), (0.2, 0.3, 0.1))) / SOLID_ANGLE
    assert found == pytest.approx(27.41641 + 27.02995, rel=1e-6)


@pytest.mark.spec("DIF-1", "DIF-3")
@pytest.mark.parametrize("shape", ["square", "gauss", "tophat"])
@pytest.mark.parametrize("stencil", [0, 1, 2])
def test_small_images_are_those_of_the_written_out_formula(fast_kernel, shape, stencil) -> None:
    turned = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    edges = np.array([[20.0, 1.0, 3.0], [-2.0, 30.0, 1.0], [3.0, 4.0, 25.0]])
    box = 1.0 + np.arange(12.0 * 14 * 8).reshape(12, 14, 8) % 7
    view = scene(
        view=panel(shape=(5, 6), pixel_size=0.02, origin=(-0.03, 0.01, 0.09)),
        table=reflections(box, (-5, -4, -5), default=2.0),
        edges=edges,
        cells=(3.0, 4.0, 2.0),
        shape=shape,
    )
    gamma, sigma = np.array([30.0, 20.0, 45.0]), np.array([0.5, 0.3, 0.2])
    given = displaced(view, gamma, sigma, axes=turned, operations=ABOUT_C, stencil=stencil)
    found = fast_kernel.numerator(given) - fast_kernel.numerator(view)
    wanted = _written_out(view, edges, box, turned @ _frame(edges), gamma, sigma, stencil)
    assert np.abs(found - wanted).max() < 20 * fast_kernel.relative * wanted.max()


def _frame(edges):
    """Unit vectors x along a, y, z along c*, as rows."""
    a, b, _ = edges
    x, z = a / np.linalg.norm(a), np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    return np.array([x, np.cross(z, x), z])


def _written_out(view, edges, box, axes, gamma, sigma, stencil):
    """DIF-1 to DIF-3 in loops over the pixels of a panel, solid angle included."""
    plane, star = view.detector.panels[0], np.linalg.inv(edges)
    image = np.zeros(plane.shape)
    steps = range(-stencil, stencil + 1)
    for i, j in np.ndindex(*plane.shape):
        place = plane.origin + plane.pixel_size * ((j + 0.5) * plane.fast + (i + 0.5) * plane.slow)
        length = np.linalg.norm(place)
        index = edges @ (place / length - [0.0, 0.0, 1.0])
        nearest = np.ceil(index - 0.5)
        for o in np.array([(h, k, m) for h in steps for k in steps for m in steps]):
            at = tuple((nearest + o).astype(int) - [-5, -4, -5])
            inside = all(0 <= n < size for n, size in zip(at, box.shape, strict=True))
            amplitude = box[at] if inside else 2.0
            for operation in ABOUT_C:
                project = axes @ star @ operation
                e = 4 * math.pi**2 * np.sum((sigma * (project @ (nearest + o))) ** 2)
                wide = 1 + 4 * math.pi**2 * np.sum((gamma * (project @ (index - nearest - o))) ** 2)
                halo = 8 * math.pi * gamma.prod() / wide**2
                image[i, j] += amplitude**2 * e * math.exp(-e) * halo
        image[i, j] *= plane.pixel_size**2 * 0.09 / length**3
    return image * 24.0 / abs(np.linalg.det(edges)) / 2.0


@pytest.mark.spec("DIF-1")
def test_blocks_and_the_resolution_cut_bear_on_the_halo(fast_kernel) -> None:
    view = displaced(scene(index=(2.1, 1.0, 1.0)), (5.0, 7.0, 9.0), (0.2, 0.3, 0.1))
    many = replace(view, crystal=replace(view.crystal, scale=5.0))
    one = fast_kernel.pixel(view)
    assert fast_kernel.pixel(many) == pytest.approx(5.0 * one, rel=1e-12)
    # The pixel is at 1/|q| = 13/√26 = 2.5495 Å.
    cut = replace(view, sampling=replace(view.sampling, dmin=2.6))
    assert fast_kernel.pixel(cut) == 0.0


@pytest.mark.spec("DIF-2")
def test_the_scattering_has_the_symmetry_of_the_group(kernel) -> None:
    # A cell with a = b about the beam: a quarter turn of the crystal is an operation of 4/m.
    square = {"scattering": SCATTERING, "edges": np.diag([20.0, 20.0, -26.0])}
    turned = {"edges": np.array([[0, 20.0, 0], [-20.0, 0, 0], [0, 0, -26.0]])}
    pair = [
        displaced(scene(**edges), (5.0, 20.0, 9.0), (0.1, 0.3, 0.1), operations=FOURFOLD)
        for edges in (square, turned)
    ]
    one, other = (kernel.pixel(view) for view in pair)
    assert one == pytest.approx(other, rel=kernel.relative)
    alone = [displaced(view, (5.0, 20.0, 9.0), (0.1, 0.3, 0.1)) for view in pair]
    one, other = (kernel.pixel(view) for view in alone)
    assert abs(one - other) > 0.01 * one


@pytest.mark.spec("DIF-3")
def test_the_stencil_adds_its_neighbours(kernel) -> None:
    # Only 3 1 1 scatters, and the pixel lies nearest to 2 1 1.
    box = np.zeros((3, 1, 1))
    box[2] = 3.0
    view = scene(table=reflections(box, (1, 1, 1)), index=(2.4, 1.0, 1.0))
    near = kernel.pixel(displaced(view, (5.0, 7.0, 9.0), (0.2, 0.3, 0.1)))
    assert near == 0.0
    found = kernel.pixel(displaced(view, (5.0, 7.0, 9.0), (0.2, 0.3, 0.1), stencil=1))
    edges = np.array([2.4, 1.0, 1.0]) / SCATTERING
    e = 4 * math.pi**2 * np.sum(([0.2, 0.3, 0.1] * np.array([3, 1, 1]) / edges) ** 2)
    wide = 1 + 4 * math.pi**2 * (5.0 * 0.6 / edges[0]) ** 2
    halo = 8 * math.pi * 5 * 7 * 9 / abs(np.prod(edges)) / wide**2
    wanted = 9.0 * e * math.exp(-e) * halo * SOLID_ANGLE
    assert found == pytest.approx(wanted, rel=10 * kernel.relative)


@pytest.mark.spec("DIF-4")
def test_without_displacements_the_bits_are_the_old_ones(kernel) -> None:
    view = scene(
        view=panel(shape=(3, 4), pixel_size=0.02, origin=(0.01, 0.0, 0.09)),
        index=(2.1, 1.3, 1.2),
        cells=(3.0, 2.0, 4.0),
    )
    still = displaced(view, (5.0, 7.0, 9.0), (0.0, 0.0, 0.0), stencil=1)
    # The GPU kernel knows no halos: the model renders them there.
    by = "model" if kernel.options.kernel == "triton" else kernel.options.kernel
    other = replace(kernel, options=replace(kernel.options, kernel=by))
    assert np.array_equal(kernel.numerator(still), other.numerator(view))


@pytest.mark.spec("DIF-8")
def test_a_halo_in_closed_form_is_its_mean_over_the_spectrum(kernel) -> None:
    # The pixel of the first test: q is 2.1 1 1 times 1 + 0.02 z with a normal z.
    still = scene(index=(2.1, 1.0, 1.0), cells=(40.0, 40.0, 40.0), shape="gauss")
    view = replace(
        still,
        beam=replace(still.beam, sources=replace(still.beam.sources, bandwidth=0.02)),
        sampling=replace(still.sampling, method="closed_form"),
    )
    given = displaced(view, (5.0, 7.0, 9.0), (0.2, 0.3, 0.1))
    found = (kernel.pixel(given) - kernel.pixel(view)) / SOLID_ANGLE
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    index = np.array([2.1, 1.0, 1.0])
    away = index * (1.0 + 0.02 * points[:, None]) - [2.0, 1.0, 1.0]
    edges = index / SCATTERING
    wide = 1.0 + 4.0 * math.pi**2 * np.sum(([5.0, 7.0, 9.0] * away / edges) ** 2, axis=1)
    mean = float(weights @ wide**-2) / math.sqrt(2.0 * math.pi)
    e = 0.4149977
    height = 8 * math.pi * 5 * 7 * 9 * 40.0**3 / abs(np.prod(edges))
    assert found == pytest.approx(e * math.exp(-e) * height * mean, rel=2e-3)


@pytest.mark.spec("DIF-10")
def test_halos_of_many_lines_are_the_sum_over_them(kernel) -> None:
    # The same pixel under 41 lines: q is 2.1 1 1 times 1 + z.
    still = scene(index=(2.1, 1.0, 1.0), cells=(40.0, 40.0, 40.0), shape="gauss")
    z = np.linspace(-0.06, 0.06, 41)
    weight = np.exp(-0.5 * (z / 0.02) ** 2) * (1.2 + np.sin(200.0 * z))
    weight /= weight.sum()
    own = still.beam.sources
    lines = replace(
        own,
        direction=frozen_float64(np.repeat(own.direction, 41, axis=0)),
        wavelength=frozen_float64(own.wavelength[0] / (1.0 + z)),
        weight=frozen_float64(weight),
        listed=41,
    )
    view = replace(
        still,
        beam=replace(still.beam, sources=lines),
        sampling=replace(still.sampling, method="closed_form"),
    )
    found = kernel.pixel(displaced(view, (5.0, 7.0, 9.0), (0.2, 0.3, 0.1))) - kernel.pixel(view)
    index = np.array([2.1, 1.0, 1.0])
    away = index * (1.0 + z[:, None]) - [2.0, 1.0, 1.0]
    wide = 1.0 + 4.0 * math.pi**2 * np.sum(([5.0, 7.0, 9.0] * away * SCATTERING / index) ** 2, 1)
    e = 0.4149977
    height = 8 * math.pi * 5 * 7 * 9 * 40.0**3 / abs(np.prod(index / SCATTERING))
    wanted = e * math.exp(-e) * height * float(weight @ wide**-2)
    assert found / SOLID_ANGLE == pytest.approx(wanted, rel=3e-3)


@pytest.mark.spec("DIF-5")
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_a_tolerance_leaves_nothing_out(kernel, shape) -> None:
    view = scene(
        view=panel(shape=(40, 40), pixel_size=1e-3, origin=(0.01, 0.0, 0.09)),
        index=(6.1, 8.3, 2.2),
        cells=(60.0, 60.0, 60.0),
        shape=shape,
    )
    view = displaced(view, (5.0, 7.0, 9.0), (0.2, 0.3, 0.1), stencil=1)
    exact = kernel.numerator(view)
    bound = 1e3 * float(exact.max()) * intensity_scale(view)
    loose = replace(view, sampling=replace(view.sampling, tolerance=bound))
    assert np.array_equal(kernel.numerator(loose), exact)
    assert np.count_nonzero(exact) == exact.size
