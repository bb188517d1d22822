"""The tracer: what it reports is what the model sums."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk, Tile
from tests.unit.kernel.experiments import all_sources, make_experiment
from tools.pixel_trace import trace_pixel

MODEL = KernelOptions(kernel="model")


def traced(experiment: Experiment, slow: int, fast: int, chunk: SourceChunk) -> float:
    """The numerator of a pixel from the terms that were traced."""
    return math.fsum(t.value * t.weight for t in trace_pixel(experiment, 0, slow, fast, chunk))


@pytest.mark.parametrize("surface", ["flat", "sphere"])
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
def test_trace_holds_every_step_of_a_pixel_and_adds_up(shape: str, surface: str) -> None:
    experiment = make_experiment(
        wavelengths=(1.0, 1.1), weights=(0.75, 0.5), phi=(0.1, 0.2, 0.3), domains=2,
        oversample=2, layers=3, molecules=5.0, shape=shape, surface=surface, fudge=0.01,
    )  # fmt: skip
    chunk = all_sources(experiment)
    traces = list(trace_pixel(experiment, 0, 4, 7, chunk))
    assert len(traces) == 2 * 3 * 4
    assert all(len(trace.steps) == 6 for trace in traces)
    assert [step.domain for step in traces[0].steps] == [0, 1] * 3
    assert [step.phi for step in traces[0].steps] == [0, 0, 1, 1, 2, 2]
    by_hand = 0.0
    for trace in traces:
        bragg = sum((s.cell_amplitude * s.lattice_amplitude) ** 2 for s in trace.steps)
        factors = trace.polarization * trace.solid_angle * trace.capture
        by_hand += trace.weight * factors * (bragg + trace.background)
    assert by_hand > 0.0
    assert traced(experiment, 4, 7, chunk) == pytest.approx(by_hand, rel=1e-14)
    found = render_tile(experiment, 0, Tile(4, 5, 7, 8), chunk, MODEL)
    assert found.tolist() == pytest.approx([by_hand], rel=1e-14)


def test_tile_is_its_pixels_in_row_major_order() -> None:
    experiment = make_experiment(masked=0.3)
    chunk = all_sources(experiment)
    found = render_tile(experiment, 0, Tile(2, 5, 3, 7), chunk, MODEL)
    active = experiment.detector.panels[0].active
    expected = [
        traced(experiment, slow, fast, chunk) if active[slow, fast] else 0.0
        for slow in range(2, 5)
        for fast in range(3, 7)
    ]
    assert found.tolist() == expected


def test_a_chunk_traces_its_own_sources() -> None:
    experiment = make_experiment(wavelengths=(1.0, 1.1, 1.2), weights=(0.5, 0.2, 0.3))
    last = list(trace_pixel(experiment, 0, 4, 7, SourceChunk(2, 3)))
    assert [(trace.source, trace.weight) for trace in last] == [(2, 0.3)]
    whole = list(trace_pixel(experiment, 0, 4, 7, all_sources(experiment)))
    assert whole[2] == last[0]


def test_radius_is_the_shapes_own_and_0_for_the_square() -> None:
    for shape, physics in (("tophat", "exact"), ("tophat", "nanobragg"), ("square", "exact")):
        experiment = make_experiment(shape=shape, physics=physics)
        trace = next(trace_pixel(experiment, 0, 4, 7, all_sources(experiment)))
        step = trace.steps[0]
        delta = np.array(step.index) - np.array(step.nearest)
        expected = 0.0 if shape == "square" else delta @ experiment.crystal.spot_form @ delta
        assert step.radius == pytest.approx(expected, rel=1e-12)


def test_empty_chunk_sums_nothing() -> None:
    experiment = make_experiment()
    assert not render_tile(experiment, 0, Tile(0, 2, 0, 2), SourceChunk(1, 1), MODEL).any()
    assert list(trace_pixel(experiment, 0, 0, 0, SourceChunk(1, 1))) == []


@pytest.mark.spec("SAM-5")
def test_zero_rotation_is_no_rotation() -> None:
    turned = make_experiment(phi=(0.4, 0.0))
    still = make_experiment(phi=(0.0,))
    chunk = all_sources(still)
    steps = next(trace_pixel(turned, 0, 1, 1, chunk)).steps
    plain = next(trace_pixel(still, 0, 1, 1, chunk)).steps
    assert steps[1].index == plain[0].index
    assert steps[0].index != plain[0].index


def test_the_closed_form_has_no_samples_to_trace() -> None:
    scene = make_experiment()
    closed = replace(scene, sampling=replace(scene.sampling, method="closed_form"))
    with pytest.raises(InputError, match="no samples that could be traced"):
        next(trace_pixel(closed, 0, 0, 0, SourceChunk(0, 1)))


@pytest.mark.spec("LAT-1")
def test_the_terms_of_all_lattices_add_up_to_the_pixel():
    alone = make_experiment(phi=(0.1, 0.2), molecules=5.0)
    other = replace(alone.crystal, phi=alone.crystal.phi[:1], scale=2.5)
    experiment = replace(alone, others=(other,))
    chunk = all_sources(experiment)
    (expected,) = render_tile(experiment, 0, Tile(4, 5, 7, 8), chunk, MODEL)
    traces = list(trace_pixel(experiment, 0, 4, 7, chunk))
    assert {trace.lattice for trace in traces} == {0, 1}
    assert traced(experiment, 4, 7, chunk) == pytest.approx(expected, rel=1e-12)
