"""What any simulated diffraction image must obey, whatever the program that made it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64, rotate_xyz
from distbragg.plan.frame import SourceChunk
from tests.tolerances import (
    GOLDEN_MIXED_FLOOR,
    GOLDEN_MIXED_OF_MAXIMUM,
    GOLDEN_MIXED_RELATIVE,
    GOLDEN_MIXED_TOTAL,
    WEIGHTED_SOURCES_RELATIVE,
)
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile
from tools.pixel_trace import trace_pixel

FLOAT64 = KernelOptions("float64", "model", "cpu", 1)
MIXED = KernelOptions("mixed", "model", "cpu", 1)
CUBE = ((40.0, 0.0, 0.0), (0.0, 40.0, 0.0), (0.0, 0.0, 40.0))


def image_of(experiment: Experiment, how: KernelOptions = FLOAT64) -> np.ndarray:
    tile = whole_tile(experiment)
    numerator = render_tile(experiment, 0, tile, all_sources(experiment), how)
    image = finalize_tile(experiment, 0, tile, numerator, frame=0)
    return image.reshape(experiment.detector.panels[0].shape)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_reflection_appears_at_its_bragg_angle(side: float) -> None:
    # (0, 3, 0) of a 40 Å cube at 1 Å, turned by θ about z, reflects to +y, which is −slow;
    # turned by −θ it is (0, −3, 0) that reflects, the other way.
    theta = math.asin(1.0 * 3.0 / (2.0 * 40.0))
    scene = make_experiment(
        cell=CUBE, missets=(0.0, 0.0, -side * theta), cells=(60, 60, 60), box=(0, 0, 0),
        default_amplitude=1.0, pixels=(181, 161), pixel_size=1e-4, distance=0.1, polarized=False,
    )  # fmt: skip
    image = image_of(scene)
    panel = scene.detector.panels[0]
    beam_slow = -(panel.origin @ panel.slow) / panel.pixel_size - 0.5
    beam_fast = -(panel.origin @ panel.fast) / panel.pixel_size - 0.5
    slow, fast = np.arange(181.0) - beam_slow, np.arange(161.0) - beam_fast
    beside = np.hypot(slow[:, None], fast[None, :]) > 20.0
    peak = np.unravel_index(np.argmax(np.where(beside, image, 0.0)), image.shape)
    radius = 0.1 * math.tan(2.0 * theta) / panel.pixel_size
    assert abs(peak[0] - (beam_slow + side * radius)) <= 1.0
    assert abs(peak[1] - beam_fast) <= 1.0


def test_peak_height_is_the_square_of_all_cells() -> None:
    theta = math.asin(1.0 * 2.0 / (2.0 * 40.0))
    experiment = make_experiment(
        cell=CUBE, missets=(0.0, 0.0, theta), cells=(7, 8, 9), pixels=(1, 1), pixel_size=1e-9,
        box=(0, 0, 0), default_amplitude=5.0, polarized=False, fluence=1e30, distance=0.1,
    )  # fmt: skip
    # Put the one pixel where the diffracted ray of (0, 2, 0) goes.
    cell = experiment.crystal.real_space
    scattering = 2.0 * np.linalg.inv(cell)[:, 1]
    ray = np.array([1.0, 0.0, 0.0]) + scattering
    assert np.linalg.norm(ray) == pytest.approx(1.0, abs=1e-12)
    panel = experiment.detector.panels[0]
    place = ray * (0.1 / ray[0]) - (panel.fast + panel.slow) * 0.5e-9
    moved = replace(
        experiment, detector=replace(experiment.detector, panels=(replace(panel, origin=place),))
    )
    length = 0.1 / ray[0]
    solid_angle = 1e-18 / length**2 * ray[0]
    expected = 7.94079248018965e-30 * 1e30 * 25.0 * (7 * 8 * 9) ** 2 * solid_angle
    assert image_of(moved)[0, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_intensity_is_proportional_to_fluence(physics: str) -> None:
    single = image_of(make_experiment(physics=physics, fluence=1e20))
    triple = image_of(make_experiment(physics=physics, fluence=3e20))
    assert single.min() > 0.0
    assert np.allclose(triple, 3.0 * single, rtol=1e-15, atol=0.0)


def test_intensity_is_proportional_to_the_square_of_amplitudes() -> None:
    plain = make_experiment()
    table = plain.reflections
    doubled = replace(
        plain,
        reflections=replace(
            table,
            amplitude=frozen_float64(table.amplitude * 2.0),
            default_amplitude=table.default_amplitude * 2.0,
        ),
    )
    assert np.allclose(image_of(doubled), 4.0 * image_of(plain), rtol=1e-15, atol=0.0)


def with_table(experiment: Experiment, values: np.ndarray) -> Experiment:
    origin = tuple(-(size // 2) for size in values.shape)
    table = Reflections(frozen_float64(values), origin, 0.0, False)  # type: ignore[arg-type]
    return replace(experiment, reflections=table)


@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_friedel_symmetry(shape: str) -> None:
    # Turning the cell over (a, b, c → −a, −b, −c) takes h to −h: with |F| symmetric the
    # image is the same; with |F| not symmetric it is not.
    base = make_experiment(shape=shape)
    over = make_experiment(
        shape=shape, cell=tuple(tuple(-part for part in row) for row in base.crystal.real_space),  # type: ignore[misc]
        missets=(0.0, 0.0, 0.0),
    )  # fmt: skip
    values = np.random.default_rng(3).uniform(1.0, 9.0, (41, 41, 41))
    symmetric = values + values[::-1, ::-1, ::-1]
    first, second = (image_of(with_table(scene, symmetric)) for scene in (base, over))
    assert np.allclose(first, second, rtol=1e-9, atol=1e-12 * first.max())
    other, unequal = (image_of(with_table(scene, values)) for scene in (base, over))
    assert not np.allclose(other, unequal, rtol=1e-2)


def rotated(experiment: Experiment, angles: tuple[float, float, float]) -> Experiment:
    """Turn crystal, detector, beam and polarisation together."""

    def turn(rows: np.ndarray) -> np.ndarray:
        flat = np.atleast_2d(rows)
        return frozen_float64([rotate_xyz(tuple(row), angles) for row in flat]).reshape(rows.shape)

    panel, beam, crystal = experiment.detector.panels[0], experiment.beam, experiment.crystal
    matrix = turn(np.eye(3)).T
    panel = replace(
        panel, origin=turn(panel.origin), fast=turn(panel.fast), slow=turn(panel.slow),
        normal=turn(panel.normal),
    )  # fmt: skip
    beam = replace(
        beam, direction=turn(beam.direction), polarization_axis=turn(beam.polarization_axis),
        sources=replace(beam.sources, direction=turn(beam.sources.direction)),
    )  # fmt: skip
    domains = [matrix @ rotation @ matrix.T for rotation in crystal.mosaic_rotations]
    crystal = replace(
        crystal, real_space=turn(crystal.real_space), reciprocal=turn(crystal.reciprocal),
        spindle_axis=turn(crystal.spindle_axis), mosaic_rotations=frozen_float64(domains),
    )  # fmt: skip
    detector = replace(experiment.detector, panels=(panel,))
    return replace(experiment, beam=beam, crystal=crystal, detector=detector)


@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_turning_everything_together_changes_nothing(shape: str) -> None:
    experiment = make_experiment(
        shape=shape, domains=4, phi=(0.2, 0.5), kahn_factor=0.95, wavelengths=(1.0, 1.05),
        weights=(0.3, 0.7), divergence=0.01, layers=2, tilt=(0.1, 0.2, 0.0), molecules=1e3,
    )  # fmt: skip
    first, second = image_of(experiment), image_of(rotated(experiment, (0.7, -1.1, 2.3)))
    assert np.allclose(first, second, rtol=1e-8, atol=1e-11 * first.max())


def test_one_cell_scatters_its_molecular_transform() -> None:
    experiment = make_experiment(cells=(1, 1, 1), interpolate=True, polarized=False)
    image = image_of(experiment)
    scale = 7.94079248018965e-30 * experiment.beam.fluence
    for slow, fast in ((0, 0), (6, 8), (12, 3)):
        trace = next(trace_pixel(experiment, 0, slow, fast, all_sources(experiment)))
        (step,) = trace.steps
        assert step.lattice_amplitude == 1.0
        expected = scale * step.cell_amplitude**2 * trace.solid_angle
        assert image[slow, fast] == pytest.approx(expected, rel=1e-12)


def test_shapes_agree_for_a_crystal_of_one_cell_at_a_lattice_point() -> None:
    for shape, height in (("square", 1.0), ("gauss", 1.0), ("tophat", 1.0), ("round", 0.723601)):
        experiment = make_experiment(shape=shape, cells=(1, 1, 1), pixels=(1, 1), pixel_size=1e-12)
        trace = next(trace_pixel(experiment, 0, 0, 0, all_sources(experiment)))
        assert trace.steps[0].lattice_amplitude == pytest.approx(height, rel=1e-6)


@pytest.mark.spec("SCL-10")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
def test_thousand_cells_in_mixed_precision_stay_within_the_bars(shape: str) -> None:
    experiment = make_experiment(
        shape=shape, cells=(1000, 1000, 1000), pixels=(70, 90), pixel_size=5e-4, oversample=2,
        fudge=1.0 if shape in ("square", "round") else 1e-4, box=(41, 41, 41), domains=3,
    )  # fmt: skip
    exact = image_of(experiment)
    mixed = image_of(experiment, KernelOptions("mixed", "native", "cpu", 1))
    maximum = exact.max()
    assert maximum > 0.0
    bright = exact > GOLDEN_MIXED_FLOOR * maximum
    error = np.abs(mixed - exact)
    assert (error[bright] <= GOLDEN_MIXED_RELATIVE * exact[bright]).all()
    assert error.max() <= GOLDEN_MIXED_OF_MAXIMUM * maximum
    assert abs(mixed.sum() / exact.sum() - 1.0) <= GOLDEN_MIXED_TOTAL


def single_source_sum(experiment: Experiment) -> np.ndarray:
    """The oracle: every source alone, at its share of the fluence, added with `math.fsum`."""
    sources = experiment.beam.sources
    total = math.fsum(sources.weight)
    images = []
    for index in range(sources.count):
        share = float(sources.weight[index]) / total
        alone = replace(
            sources, direction=sources.direction[index : index + 1],
            wavelength=sources.wavelength[index : index + 1], weight=frozen_float64([1.0]),
            total_weight=1.0, listed=1,
        )  # fmt: skip
        beam = replace(experiment.beam, sources=alone, fluence=experiment.beam.fluence * share)
        images.append(image_of(replace(experiment, beam=beam)))
    stacked = np.array(images)
    flat = stacked.reshape(len(images), -1)
    return np.array([math.fsum(column) for column in flat.T]).reshape(stacked.shape[1:])


@pytest.mark.spec("SRC-2")
@pytest.mark.parametrize(
    ("weights", "pixels"),
    [
        ((1.0, 0.2), (9, 11)),
        ((1e-6, 1.0, 1e6), (9, 11)),
        (tuple(np.random.default_rng(9).uniform(0.01, 3.0, 500).tolist()), (2, 3)),
    ],
    ids=["two", "twelve decades", "500 channels"],
)
def test_weighted_sources_are_the_sum_of_single_sources(
    weights: tuple[float, ...], pixels: tuple[int, int]
) -> None:
    experiment = make_experiment(
        weights=weights, wavelengths=tuple(np.linspace(0.95, 1.1, len(weights)).tolist()),
        divergence=0.02 / len(weights), kahn_factor=1.0, pixels=pixels, pixel_size=8e-3,
        molecules=1e3, layers=2, dmin=2.0,
    )  # fmt: skip
    expected = single_source_sum(experiment)
    assert expected.min() > 0.0
    found = image_of(experiment)
    assert np.allclose(found, expected, rtol=WEIGHTED_SOURCES_RELATIVE, atol=0.0)


@pytest.mark.spec("SRC-14")
def test_polarisation_is_each_sources_own() -> None:
    # Two directions far apart, E-vector kept near one axis: using the first source's factor
    # for both would be wrong by per cents.
    experiment = make_experiment(
        weights=(0.5, 0.5), wavelengths=(1.0, 1.0), divergence=0.4, kahn_factor=1.0,
        pixel_size=1e-2,
    )  # fmt: skip
    program = make_experiment(
        physics="nanobragg", weights=(0.5, 0.5), wavelengths=(1.0, 1.0), divergence=0.4,
        kahn_factor=1.0, pixel_size=1e-2,
    )  # fmt: skip
    exact, first_only = image_of(experiment), image_of(program)
    assert np.allclose(exact, single_source_sum(experiment), rtol=WEIGHTED_SOURCES_RELATIVE)
    assert np.abs(first_only / exact - 1.0).max() > 0.02


def test_sources_cut_by_resolution_stay_in_the_divisor() -> None:
    settings = {"cells": (2, 2, 2), "pixels": (1, 1), "pixel_size": 1e-6, "distance": 0.08}
    near = make_experiment(wavelengths=(1.0,), weights=(1.0,), dmin=0.0, **settings)
    panel = near.detector.panels[0]
    off_axis = replace(panel, origin=frozen_float64((0.08, 0.03, 0.0)))
    detector = replace(near.detector, panels=(off_axis,))
    near = replace(near, detector=detector)
    # d = λ/(2 sin θ) is 2.8 Å for λ = 1 Å at this pixel and 4.2 Å for λ = 1.5 Å.
    both = make_experiment(wavelengths=(1.0, 1.5), weights=(1.0, 3.0), dmin=3.5, **settings)
    both = replace(both, detector=detector)
    only = make_experiment(wavelengths=(1.5,), weights=(1.0,), dmin=3.5, **settings)
    only = replace(only, detector=detector)
    assert image_of(near)[0, 0] > 0.0
    assert image_of(both)[0, 0] == pytest.approx(0.75 * image_of(only)[0, 0], rel=1e-14)
    chunk = SourceChunk(0, 1)
    assert render_tile(both, 0, whole_tile(both), chunk, FLOAT64).tolist() == [0.0]
