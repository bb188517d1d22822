"""What is applied once: scale, the C program's pixel factors, noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.constants import CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import background_start, intensity_scale
from distbragg.plan.frame import Tile
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile
from tools.pixel_trace import trace_pixel

MODEL = KernelOptions("float64", "model", "cpu", 1)


def finished(experiment: Experiment, frame: int = 0) -> np.ndarray:
    tile = whole_tile(experiment)
    numerator = render_tile(experiment, 0, tile, all_sources(experiment), MODEL)
    shape = experiment.detector.panels[0].shape
    return finalize_tile(experiment, 0, tile, numerator, frame=frame).reshape(shape)


@pytest.mark.spec("SCL-1")
def test_scale_divides_by_every_step_but_the_layers() -> None:
    experiment = make_experiment(
        phi=(0.1, 0.2, 0.3), domains=5, oversample=2, layers=4,
        wavelengths=(1.0, 1.1), weights=(2.0, 0.5), fluence=3e20,
    )  # fmt: skip
    expected = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * 3e20 / (3 * 5 * 4) / 2.5
    assert intensity_scale(experiment) == pytest.approx(expected, rel=1e-15)


@pytest.mark.spec("SCL-3")
@pytest.mark.parametrize("dmin", [0.0, 2.0, 6.0])
def test_pixel_factors_are_those_of_the_named_samples(dmin: float) -> None:
    experiment = make_experiment(
        physics="nanobragg", layers=3, oversample=2, dmin=dmin, kahn_factor=0.9,
        wavelengths=(1.0, 1.9), weights=(1.0, 1.0), rule="count", divergence=0.03,
        pixel_size=2.4e-2, molecules=10.0, pixels=(5, 6),
    )  # fmt: skip
    ones = np.ones(whole_tile(experiment).pixels)
    image = finalize_tile(experiment, 0, whole_tile(experiment), ones, frame=0)
    scale = intensity_scale(experiment) * (1.0 + background_start(experiment))
    unseen = 0
    for slow in range(5):
        for fast in range(slow % 2, 6, 2):
            traces = list(trace_pixel(experiment, 0, slow, fast, all_sources(experiment)))
            traces.sort(key=lambda trace: (trace.sample, trace.source))
            last = next(trace for trace in traces if trace.sample.layer == 2)
            seen = [trace.polarization for trace in traces if not trace.cut]
            unseen += not seen
            polarization = seen[0] if seen else 0.0
            expected = scale * traces[0].solid_angle * last.capture * polarization
            assert image[6 * slow + fast] == pytest.approx(expected, rel=1e-12)
    assert (unseen > 0) == (dmin == 6.0)


@pytest.mark.spec("SAM-8")
def test_pixel_cut_from_every_source_is_zero_background_included() -> None:
    experiment = make_experiment(physics="nanobragg", dmin=5.0, molecules=1e6, pixel_size=9e-3)
    image = finished(experiment)
    assert image[0, 0] == 0.0
    assert image[6, 9] > 0.0


def test_background_of_an_unpolarised_run_does_not_depend_on_the_cut() -> None:
    # The program fixes its factor at 1 before the loops then, so the start value survives.
    experiment = make_experiment(
        physics="nanobragg", dmin=5.0, molecules=1e6, polarized=False, pixel_size=9e-3
    )
    assert finished(experiment)[0, 0] > 0.0


@pytest.mark.spec("SCL-4")
def test_flagged_factors_leave_the_start_value_alone() -> None:
    experiment = make_experiment(
        physics="nanobragg", per_sample=(True, True, True), molecules=1e3, layers=2, dmin=1e3
    )
    expected = background_start(experiment) * intensity_scale(experiment)
    assert finished(experiment) == pytest.approx(np.full((13, 17), expected), rel=1e-14)


@pytest.mark.spec("SCL-4")
def test_per_sample_factors_agree_with_pixel_factors_for_one_sample() -> None:
    plain = make_experiment(physics="nanobragg", layers=1, kahn_factor=0.8)
    inside = make_experiment(
        physics="nanobragg", layers=1, kahn_factor=0.8, per_sample=(True, True, True)
    )
    assert np.allclose(finished(plain), finished(inside), rtol=1e-14, atol=0.0)


@pytest.mark.spec("SCL-7")
def test_exact_background_is_linear_in_fluence_and_free_of_step_counts() -> None:
    few = make_experiment(molecules=1e15, fluence=1e20, box=(0, 0, 0), default_amplitude=0.0)
    many = make_experiment(
        molecules=1e15, fluence=4e20, box=(0, 0, 0), default_amplitude=0.0,
        phi=(0.1, 0.2, 0.3), domains=3,
    )  # fmt: skip
    assert finished(few).min() > 0.0
    assert np.allclose(finished(many), 4.0 * finished(few), rtol=1e-14)


@pytest.mark.spec("SCL-2")
def test_program_background_is_the_start_of_its_sum() -> None:
    experiment = make_experiment(physics="nanobragg", molecules=1e15, polarized=False)
    bare = make_experiment(physics="nanobragg", polarized=False)
    added = finished(experiment) - finished(bare)
    panel = experiment.detector.panels[0]
    trace = next(trace_pixel(experiment, 0, 6, 8, all_sources(experiment)))
    expected = background_start(experiment) * intensity_scale(experiment) * trace.solid_angle
    assert added[6, 8] == pytest.approx(expected, rel=1e-6)
    assert panel.shape == added.shape


@pytest.mark.spec("GEO-9")
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_inactive_pixels_are_exactly_zero(physics: str) -> None:
    experiment = make_experiment(physics=physics, masked=0.5, molecules=1e15, photon_noise=True)
    image = finished(experiment)
    active = experiment.detector.panels[0].active
    assert (image[~active] == 0.0).all()
    bright = make_experiment(physics=physics, masked=0.5, molecules=1e15)
    assert (finished(bright)[active] > 0.0).all()


def test_wholly_masked_tile_is_zero() -> None:
    experiment = make_experiment(masked=1.1)
    assert (finished(experiment) == 0.0).all()


def test_numerator_of_another_size_is_refused() -> None:
    experiment = make_experiment()
    with pytest.raises(ValueError, match="tile of 6 pixels"):
        finalize_tile(experiment, 0, Tile(0, 2, 0, 3), np.zeros(7), frame=0)


@pytest.mark.spec("NOI-2")
def test_noise_does_not_depend_on_the_tile() -> None:
    experiment = make_experiment(photon_noise=True, noise_seed=5, fluence=1e27)
    whole = finished(experiment, frame=3)
    tile = Tile(2, 9, 3, 14)
    numerator = render_tile(experiment, 0, tile, all_sources(experiment), MODEL)
    part = finalize_tile(experiment, 0, tile, numerator, frame=3).reshape(7, 11)
    assert (part == whole[2:9, 3:14]).all()
    assert (whole == np.floor(whole)).all()
    assert whole.sum() > 100.0
    assert (finished(experiment, frame=4) != whole).any()


def test_panels_draw_different_noise() -> None:
    single = make_experiment(photon_noise=True, box=(0, 0, 0), cells=(1, 1, 1), fluence=1e32)
    panel = single.detector.panels[0]
    double = replace(single, detector=replace(single.detector, panels=(panel, panel)))
    tile = whole_tile(double)
    numerator = render_tile(double, 0, tile, all_sources(double), MODEL)
    first = finalize_tile(double, 0, tile, numerator, frame=0)
    second = finalize_tile(double, 1, tile, numerator, frame=0)
    assert (first != second).mean() > 0.3
