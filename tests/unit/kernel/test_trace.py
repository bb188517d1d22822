"""The tracer: what it reports is what it sums."""

from __future__ import annotations

import pytest

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.reference import pixel_numerator, trace_pixel
from distbragg.kernel.render_tile import render_tile
from distbragg.plan.keys import SourceChunk, Tile
from tests.unit.kernel.experiments import all_sources, make_experiment

OPTIONS = KernelOptions("float64", "reference", "cpu", 1)


def test_trace_holds_every_step_of_a_pixel_and_adds_up() -> None:
    experiment = make_experiment(
        wavelengths=(1.0, 1.1), weights=(0.75, 0.5), phi=(0.1, 0.2, 0.3), domains=2,
        oversample=2, layers=3, molecules=5.0,
    )  # fmt: skip
    traces = list(trace_pixel(experiment, 0, 4, 7, all_sources(experiment)))
    assert len(traces) == 2 * 3 * 4
    assert all(len(trace.steps) == 6 for trace in traces)
    assert [step.domain for step in traces[0].steps] == [0, 1] * 3
    by_hand = 0.0
    for trace in traces:
        bragg = sum((s.cell_amplitude * s.lattice_amplitude) ** 2 for s in trace.steps)
        factors = trace.polarization * trace.solid_angle * trace.capture
        by_hand += trace.weight * factors * (bragg + trace.background)
    assert pixel_numerator(experiment, 0, 4, 7, all_sources(experiment)) == pytest.approx(
        by_hand, rel=1e-14
    )


def test_tile_is_its_pixels_in_row_major_order() -> None:
    experiment = make_experiment(masked=0.3)
    chunk = all_sources(experiment)
    found = render_tile(experiment, 0, Tile(2, 5, 3, 7), chunk, OPTIONS)
    active = experiment.detector.panels[0].active
    expected = [
        pixel_numerator(experiment, 0, slow, fast, chunk) if active[slow, fast] else 0.0
        for slow in range(2, 5)
        for fast in range(3, 7)
    ]
    assert found.tolist() == expected


def test_empty_chunk_sums_nothing() -> None:
    experiment = make_experiment()
    for kernel in ("reference", "eager"):
        options = KernelOptions("float64", kernel, "cpu", 1)  # type: ignore[arg-type]
        assert not render_tile(experiment, 0, Tile(0, 2, 0, 2), SourceChunk(1, 1), options).any()


@pytest.mark.spec("SAM-5")
def test_zero_rotation_is_no_rotation() -> None:
    turned = make_experiment(phi=(0.4, 0.0))
    still = make_experiment(phi=(0.0,))
    chunk = all_sources(still)
    steps = next(trace_pixel(turned, 0, 1, 1, chunk)).steps
    plain = next(trace_pixel(still, 0, 1, 1, chunk)).steps
    assert steps[1].index == plain[0].index
    assert steps[0].index != plain[0].index
