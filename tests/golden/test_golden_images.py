"""All images of the C program, in both precisions and every kernel of this machine."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions
from tests.tolerances import (
    GOLDEN_EDGE_PIXELS,
    GOLDEN_FLOAT64_RELATIVE,
    GOLDEN_MIXED_OF_MAXIMUM,
    GOLDEN_MIXED_RELATIVE,
    GOLDEN_MIXED_TOTAL,
    KERNEL_TWIN_FLOAT64_RELATIVE,
)
from tests.unit.kernel.experiments import make_experiment
from tests.unit.kernel_triton.kit import interpreted, triton_options
from tools.evidence.golden import (
    WHOLE,
    GoldenCase,
    compare,
    golden_cases,
    holds_edge_step,
    markdown_table,
    render_panel,
)

DATA = Path(__file__).parent / "data"
CASES = golden_cases(DATA)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])

pytestmark = pytest.mark.golden


def options(kernel: str, precision: str) -> KernelOptions:
    if kernel == "native" and not native.available():
        pytest.skip(native.reason())
    return KernelOptions(precision, kernel, "cpu", 1)  # type: ignore[arg-type]


def about_peak(case: GoldenCase, rows: int) -> slice:
    """So many rows of the image, with its highest pixel among them."""
    height, width = case.expected().shape
    first = min(max(0, int(case.expected().argmax()) // width - rows // 2), height - rows)
    return slice(first, first + rows)


def test_there_are_37_cases_and_their_images_are_the_listed_ones() -> None:
    listed = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))["cases"]
    assert len(listed) == 37
    for case, entry in zip(CASES, listed, strict=True):
        image = case.expected()
        assert list(image.shape) == entry["shape"]
        assert image.max() == entry["max"]
        assert image.sum() == pytest.approx(entry["sum"], rel=1e-12)


@pytest.mark.spec("SCL-9")
@pytest.mark.parametrize(
    ("kernel", "case"),
    [
        pytest.param(kernel, case, id=f"{case.name}-{kernel}")
        for case in CASES
        for kernel in ("model", "native")
        if (kernel, case.name) != ("model", "big_N")  # see the next test
    ],
)
def test_float64_reproduces_the_program(case: GoldenCase, kernel: str) -> None:
    row = compare(case, options(kernel, "float64"), GOLDEN_FLOAT64_RELATIVE)
    assert row.relative <= GOLDEN_FLOAT64_RELATIVE
    assert row.edge_pixels <= GOLDEN_EDGE_PIXELS * row.pixels


@pytest.mark.spec("SCL-9")
def test_the_model_of_the_largest_crystal_is_the_native_kernel() -> None:
    """Which reproduces the program with 132² sub-pixels: seven seconds of the model."""
    case = next(case for case in CASES if case.name == "big_N")
    experiment = case.experiment()
    assert experiment.sampling.oversample == 132
    few = replace(experiment, sampling=replace(experiment.sampling, oversample=13))
    rows = about_peak(case, 30)
    model, native = (
        render_panel(few, options(kernel, "float64"), rows=rows) for kernel in ("model", "native")
    )
    assert model.max() > 0.0
    assert np.abs(model - native).max() <= KERNEL_TWIN_FLOAT64_RELATIVE * model.max()


@pytest.mark.spec("SCL-10")
@EVERY_CASE
def test_mixed_precision_keeps_its_bars(case: GoldenCase) -> None:
    row = compare(case, options("native", "mixed"), GOLDEN_MIXED_RELATIVE)
    assert row.bright <= GOLDEN_MIXED_RELATIVE
    assert row.of_maximum <= GOLDEN_MIXED_OF_MAXIMUM
    assert row.total <= GOLDEN_MIXED_TOTAL
    assert row.edge_pixels <= GOLDEN_EDGE_PIXELS * row.pixels


ALL_INTERPRETED = os.environ.get("DISTBRAGG_ALL_GOLDEN") == "1"
INTERPRETED_CASES = [
    case
    for case in CASES
    if ALL_INTERPRETED or case.name in {"cubic_default_F", "gauss_xtal", "tophat", "interpolate"}
]
"""What the interpreter renders in seconds, a third of it; `make golden-triton` takes all."""


@pytest.mark.spec("SCL-9")
@pytest.mark.spec("SCL-10")
@interpreted
@pytest.mark.parametrize("case", INTERPRETED_CASES, ids=[case.name for case in INTERPRETED_CASES])
def test_fused_gpu_kernel_keeps_the_bars_through_the_interpreter(case: GoldenCase) -> None:
    rows = WHOLE if ALL_INTERPRETED else about_peak(case, case.expected().shape[0] // 3)
    row = compare(case, triton_options("float64"), GOLDEN_FLOAT64_RELATIVE, rows)
    assert row.relative <= GOLDEN_FLOAT64_RELATIVE
    assert row.edge_pixels <= GOLDEN_EDGE_PIXELS * row.pixels
    for indices in ("wide", "split"):
        row = compare(case, triton_options("mixed", indices), GOLDEN_MIXED_RELATIVE, rows)
        assert row.bright <= GOLDEN_MIXED_RELATIVE
        assert row.of_maximum <= GOLDEN_MIXED_OF_MAXIMUM
        assert row.total <= GOLDEN_MIXED_TOTAL
        assert row.edge_pixels <= GOLDEN_EDGE_PIXELS * row.pixels


@pytest.mark.spec("GEO-9")
@pytest.mark.parametrize("name", ["roi", "mask"])
def test_pixels_the_program_skips_are_exactly_zero(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    experiment = case.experiment()
    expected = case.expected()
    assert (expected[~experiment.detector.panels[0].active] == 0.0).all()
    assert (expected[experiment.detector.panels[0].active] > 0.0).mean() > 0.99


def test_table_has_one_line_per_row() -> None:
    row = compare(CASES[0], options("model", "float64"), GOLDEN_FLOAT64_RELATIVE)
    lines = markdown_table([row, row]).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| cubic_default_F | model | float64 |")


def test_steps_on_an_edge_are_found_and_others_are_not() -> None:
    on_edge = make_experiment(
        cell=((40.0, 0.0, 0.0), (0.0, 40.0, 0.0), (0.0, 0.0, 40.0)), missets=(0.0, 0.0, 0.0)
    )
    panel = on_edge.detector.panels[0]
    centre = np.argwhere(
        [[not holds_edge_step(on_edge, s, f) for f in range(panel.shape[1])] for s in range(3)]
    )
    assert len(centre) == 3 * panel.shape[1]
    # λ·|a|/2 tuned so that the pixel's own h is a half: h = a·q scales with the cell edge.
    experiment = _with_half_index(on_edge)
    assert holds_edge_step(experiment, 4, 5)


def _with_half_index(experiment):
    from tests.unit.kernel.experiments import all_sources
    from tools.pixel_trace import trace_pixel

    step = next(trace_pixel(experiment, 0, 4, 5, all_sources(experiment))).steps[0]
    edge = 40.0 * (abs(step.nearest[1]) + 0.5) / abs(step.index[1])
    return make_experiment(
        cell=((40.0, 0.0, 0.0), (0.0, edge, 0.0), (0.0, 0.0, 40.0)), missets=(0.0, 0.0, 0.0)
    )
