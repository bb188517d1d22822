"""Clauses of `specs/scaling.md`: factors, scale and background; whole images against the oracle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel.finalize import finalize_tile
from distbragg.models.experiment import Material
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import Tile
from tests import oracle, tolerances
from tests.clauses.scene import SOLID_ANGLE, beam, dark, panel, scene, sensor, sources

RE2 = 7.94079248018965e-30


def image(kernel, experiment):
    shape = experiment.detector.panels[0].shape
    numerator = kernel.numerator(experiment).reshape(-1)
    tile = Tile(0, shape[0], 0, shape[1])
    return finalize_tile(experiment, 0, tile, numerator, frame=0).reshape(shape)


@pytest.mark.spec("SCL-5")
@pytest.mark.parametrize(
    ("kahn", "axis", "expected"),
    [
        # 2θ: cos = 12/13, sin² = 25/169. Unpolarised: (1 + 144/169)/2 = 313/338.
        (0.0, (1.0, 0.0, 0.0), 313 / 338),
        # E along x, K = 1: 1 − d_x² = 160/169; along y: 1 − d_y² = 153/169.
        (1.0, (1.0, 0.0, 0.0), 160 / 169),
        (1.0, (0.0, 1.0, 0.0), 153 / 169),
        # K = −1 is the other direction; a component of the axis along the beam does not count.
        (-1.0, (1.0, 0.0, 0.0), 153 / 169),
        (1.0, (0.6, 0.0, 0.8), 160 / 169),
        (0.5, (1.0, 0.0, 0.0), (313 / 338 + 160 / 169) / 2),
    ],
)
def test_polarisation(kernel, kahn: float, axis, expected: float) -> None:
    view = scene(beam_of=beam(polarized=True, kahn=kahn, axis=axis))
    assert kernel.pixel(view) / SOLID_ANGLE == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("SCL-5")
def test_polarisation_is_each_sources_own(kernel) -> None:
    # The second beam runs along y, with E along x as well: 1 − d_x² again.
    table = sources(((0, 0, -1), 1.0, 1.0), ((0, -1, 0), 1.0, 1.0))
    view = scene(beam_of=beam(table, polarized=True, kahn=1.0))
    assert kernel.pixel(view) / SOLID_ANGLE == pytest.approx(2 * 160 / 169, rel=kernel.relative)
    unpolarised = scene(beam_of=beam(table, polarized=True))
    expected = 313 / 338 + (1 + 16 / 169) / 2
    assert kernel.pixel(unpolarised) / SOLID_ANGLE == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("SCL-1")
def test_exact_scale_divides_by_every_step_but_the_layers(kernel) -> None:
    # One photon per r_e² a square metre: two sources of weight ½, two steps, two domains and four
    # sub-pixels give the same Ω as one; two layers that capture all of it too.
    table = sources(((0, 0, -1), 1.0, 0.5), ((0, 0, -1), 1.0, 0.5))
    view = scene(
        view=panel(sensor=sensor(0.0, 1e-9, 1.0, attenuation=1e9)),
        beam_of=beam(table, fluence=1 / RE2),
        phi=(0.0, 0.0),
        rotations=[np.eye(3), np.eye(3)],
        oversample=2,
    )
    depth = replace(view.detector.panels[0].sensor, position=np.zeros(2))
    view = replace(
        view,
        detector=replace(view.detector, panels=(replace(view.detector.panels[0], sensor=depth),)),
    )
    assert float(image(kernel, view)[0, 0]) == pytest.approx(SOLID_ANGLE, rel=10 * kernel.relative)


@pytest.mark.spec("SCL-2", "SCL-3")
def test_the_c_programs_scale_counts_sources_and_takes_the_first_samples_factors(kernel) -> None:
    # Two sources counted alike whatever their weights; polarisation of the first alone: 160/169.
    table = sources(((0, 0, -1), 1.0, 1.0), ((0, -1, 0), 1.0, 1.0), rule="count")
    light = beam(table, fluence=1 / RE2, polarized=True, kahn=1.0)
    found = float(image(kernel, scene(physics="nanobragg", beam_of=light))[0, 0])
    assert found == pytest.approx(SOLID_ANGLE * 160 / 169, rel=kernel.relative)


@pytest.mark.spec("SCL-2")
def test_the_c_programs_background_is_the_start_of_its_sum(kernel) -> None:
    # B = F² r_e² Φ M, divided by the two sources: 2.57² · 3/2.
    table = sources(((0, 0, -1), 1.0, 1.0), ((0, 0, -1), 1.0, 1.0), rule="count")
    view = dark(
        scene(
            physics="nanobragg",
            beam_of=beam(table, fluence=1 / RE2),
            molecules=3.0,
            background=(2.57,),
        )
    )
    expected = SOLID_ANGLE * 2.57**2 * 1.5
    assert float(image(kernel, view)[0, 0]) == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("SCL-4")
def test_switches_move_the_factors_inside_the_sum(kernel) -> None:
    table = sources(((0, 0, -1), 1.0, 1.0), ((0, -1, 0), 1.0, 1.0), rule="count")
    light = beam(table, fluence=1 / RE2, polarized=True, kahn=0.0)
    every = scene(physics="nanobragg", beam_of=light, per_sample=(True, True, True))
    expected = SOLID_ANGLE * (313 / 338 + (1 + 16 / 169) / 2) / 2
    assert float(image(kernel, every)[0, 0]) == pytest.approx(expected, rel=kernel.relative)


@pytest.mark.spec("SCL-7", "SCL-8")
@pytest.mark.parametrize(
    ("stol", "amplitudes", "squared"),
    [
        # sin θ/λ = √26/26 = 0.196116 at the default pixel.
        ((0.0,), (2.57,), 2.57**2),
        ((0.1, 0.2, 0.3), (1.0, 3.0, 9.0), (1.0 + 2.0 * 0.96116135) ** 2),
        ((0.3, 0.4), (5.0, 1.0), 25.0),
        ((0.05, 0.1), (5.0, 4.0), 16.0),
    ],
)
def test_background_is_molecules_times_the_squared_amplitude(
    kernel, stol, amplitudes, squared: float
) -> None:
    view = dark(scene(molecules=7.0, stol=stol, background=amplitudes, phi=(0.0, 0.3)))
    # Each of the two steps carries it, and the scale divides by them.
    found = kernel.pixel(view) / SOLID_ANGLE
    assert found == pytest.approx(2 * 7.0 * squared, rel=max(kernel.relative, 1e-7))


OTHERS = (
    Material(4.0, frozen_float64([0.0]), frozen_float64([2.5])),
    Material(0.5, frozen_float64([0.15, 0.19, 0.2]), frozen_float64([1.0, 6.0, -2.0])),
)


@pytest.mark.spec("SCL-14")
def test_materials_add_up(kernel) -> None:
    # sin θ/λ = 0.196116135: 7 · (1 + 2 · 0.96116135)² + 4 · 2.5² + ½ · (6 − 8 · 0.6116135)² of each
    # step.
    view = dark(
        scene(molecules=7.0, stol=(0.1, 0.2, 0.3), background=(1.0, 3.0, 9.0), phi=(0.0, 0.3))
    )
    view = replace(view, background=replace(view.background, others=OTHERS))
    expected = 7 * 2.9223227**2 + 25 + 0.5 * 1.107092**2
    found = kernel.pixel(view) / SOLID_ANGLE
    assert found == pytest.approx(2 * expected, rel=max(kernel.relative, 1e-7))


@pytest.mark.spec("SCL-14")
@pytest.mark.parametrize("shape", ["square", "gauss"])
def test_images_with_materials_are_the_oracles(fast_kernel, shape: str) -> None:
    experiment = rough(shape, "exact", "flat")
    experiment = replace(experiment, background=replace(experiment.background, others=OTHERS))
    agree(fast_kernel, experiment)


@pytest.mark.spec("SCL-12")
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "tophat", "gauss_star"])
def test_blocks_multiply_one_blocks_intensity_and_not_the_background(kernel, shape) -> None:
    # 3³ cells at a lattice point, |F| = 1: 27² = 729 each of the two steps; 4,400 blocks of them
    # and 7 molecules of 2.57 electrons are 2 · (4400 · 729 + 7 · 2.57²) = 6,415,292.5.
    view = scene(shape=shape, cells=(3.0,) * 3, molecules=7.0, background=(2.57,), phi=(0.0, 0.0))
    many = replace(view, crystal=replace(view.crystal, scale=4400.0))
    height = 729.0 * (0.723601254558268**2 if shape == "round" else 1.0)
    expected = 2 * (4400 * height + 7 * 2.57**2)
    assert kernel.pixel(many) / SOLID_ANGLE == pytest.approx(expected, rel=kernel.relative)
    assert kernel.pixel(dark(many)) == pytest.approx(kernel.pixel(dark(view)), rel=1e-15)


ROUGH = {
    "square": {"shape": "square", "cells": (5.0, 7.0, 3.0)},
    "round": {"shape": "round", "cells": (4.5, 6.2, 3.0), "fudge": 0.8},
    "gauss": {"shape": "gauss", "cells": (2.5, 3.0, 1.5), "fudge": 0.7},
    "tophat": {"shape": "tophat", "cells": (1.5, 1.2, 1.0)},
    "gauss_star": {"shape": "gauss_star", "cells": (2.0, 1.5, 2.5)},
}


def rough(shape: str, physics: str, surface: str, pixels=(4, 5)):
    """A little of everything: triclinic, two sources, layers, sub-pixels, a cut, water."""
    rng = np.random.default_rng(7)
    small = np.array([[1.0, -0.02, 0.03], [0.02, 1.0, 0.01], [-0.03, -0.01, 1.0]])
    first, _ = np.linalg.qr(small)
    view = panel(
        shape=pixels,
        origin=(-0.012, 0.004, 0.06),
        pixel_size=6e-3,
        surface=surface,
        sensor=sensor(0.0, 2e-4, 5e-4, attenuation=3000.0),
        active=rng.random(pixels) > 0.1,
    )
    table = sources(
        ((0.02, 0.01, -1), 1.0, 0.75),
        ((-0.03, 0.02, -1), 1.3, 0.5),
        rule="sum" if physics == "exact" else "count",
    )
    if physics == "nanobragg":
        table = replace(table, weight=np.ones(2))
    light = beam(table, polarized=True, kahn=0.7, axis=(0.3, 0.9, 0.1))
    experiment = scene(
        physics=physics,
        view=view,
        beam_of=light,
        oversample=2,
        dmin=2.2 if surface != "nanobragg" else 0.6,
        molecules=2.0,
        stol=(0.0, 0.1, 0.3) if physics == "exact" else (0.0,),
        background=(1.0, 4.0, 2.0) if physics == "exact" else (2.57,),
        edges=[[9.0, 0.4, 1.0], [-1.5, 11.0, 0.7], [0.8, 2.1, 13.0]],
        phi=(0.0, 0.3),
        rotations=[np.eye(3), first * np.sign(np.diag(first))],
        **ROUGH[shape],
    )
    box = 10.0 * rng.random((9, 11, 13))
    return replace(
        experiment, reflections=replace(experiment.reflections, amplitude=box, origin=(-4, -5, -6))
    )


@pytest.mark.spec("SCL-1", "SCL-11")
@pytest.mark.parametrize("surface", ["flat", "sphere", "cylinder_slow", "cylinder_fast"])
@pytest.mark.parametrize("shape", ROUGH)
def test_exact_images_are_the_oracles(fast_kernel, shape: str, surface: str) -> None:
    agree(fast_kernel, rough(shape, "exact", surface))


@pytest.mark.spec("SCL-2", "SCL-3", "SCL-11", "SAM-8")
@pytest.mark.parametrize("surface", ["flat", "nanobragg"])
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "tophat"])
def test_images_of_the_c_programs_physics_are_the_oracles(
    fast_kernel, shape: str, surface: str
) -> None:
    agree(fast_kernel, rough(shape, "nanobragg", surface))


@pytest.mark.spec("SCL-1", "SCL-2", "SCL-11")
@pytest.mark.parametrize(
    ("shape", "physics", "surface"),
    [
        ("square", "exact", "cylinder_slow"),
        ("gauss_star", "exact", "sphere"),
        ("gauss", "nanobragg", "flat"),
    ],
)
def test_small_images_of_every_kernel_are_the_oracles(kernel, shape, physics, surface) -> None:
    agree(kernel, rough(shape, physics, surface, pixels=(2, 3)))


def agree(kernel, experiment) -> None:
    found, expected = image(kernel, experiment), oracle.image(experiment)
    largest = expected.max()
    assert largest > 0.0
    assert math.isfinite(largest)
    bar = tolerances.ORACLE_OF_MAXIMUM if kernel.options.precision == "float64" else kernel.relative
    assert np.abs(found - expected).max() <= bar * largest
    assert (found[expected == 0.0] == 0.0).all()
