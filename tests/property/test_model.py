"""The model computes what its formulas say, on experiments nobody chose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.experiment import Experiment
from tests import oracle
from tests.tolerances import (
    GOLDEN_MIXED_FLOOR,
    GOLDEN_MIXED_OF_MAXIMUM,
    GOLDEN_MIXED_RELATIVE,
    GOLDEN_MIXED_TOTAL,
    KERNEL_TWIN_FLOAT64_RELATIVE,
)
from tests.unit.kernel.experiments import Choice, all_sources, make_experiment, whole_tile

MODEL = KernelOptions(kernel="model")
MIXED = KernelOptions(kernel="native")
SURFACES = ["flat", "flat", "sphere", "cylinder_fast", "cylinder_slow", "nanobragg"]


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    sources = draw(st.integers(1, 3))
    layers = draw(st.sampled_from([0, 0, 1, 3]))
    table = draw(st.booleans())
    return Choice(
        physics=draw(st.sampled_from(["exact", "nanobragg"])),
        shape=draw(st.sampled_from(["square", "round", "gauss", "gauss_star", "tophat"])),
        cells=draw(st.tuples(*[st.sampled_from([1, 2, 3, 5, 8])] * 3)),
        fudge=draw(st.sampled_from([1.0, 0.7, 1.9])),
        missets=draw(st.tuples(*[st.floats(-3.0, 3.0)] * 3)),
        interpolate=draw(st.booleans()),
        box=draw(st.sampled_from([(11, 13, 9), (6, 7, 8), (0, 0, 0)])),
        phi=draw(st.sampled_from([(0.0,), (0.3,), (0.1, 0.15, 0.2), (0.0, -0.4)])),
        domains=draw(st.integers(1, 4)),
        wavelengths=tuple(draw(st.floats(0.9, 1.4)) for _ in range(sources)),
        weights=tuple(draw(st.sampled_from([1.0, 0.25, 3.0, 1e-6])) for _ in range(sources)),
        rule=draw(st.sampled_from(["sum", "none"])),
        divergence=draw(st.sampled_from([0.0, 0.01])),
        polarized=draw(st.booleans()),
        kahn_factor=draw(st.sampled_from([0.0, 1.0, -0.5, 0.93])),
        pixels=draw(st.sampled_from([(3, 7), (5, 4), (1, 9)])),
        pixel_size=draw(st.sampled_from([4e-3, 11e-3])),
        tilt=draw(st.sampled_from([(0.0, 0.0, 0.0), (0.1, -0.2, 0.3)])),
        surface=draw(st.sampled_from(SURFACES)),
        point_pixel=draw(st.booleans()),
        layers=layers,
        masked=draw(st.sampled_from([0.0, 0.3, 1.0])),
        oversample=draw(st.integers(1, 3)),
        dmin=draw(st.sampled_from([0.0, 0.0, 2.0, 4.0])),
        per_sample=draw(st.tuples(st.booleans(), st.booleans(), st.booleans())),
        molecules=draw(st.sampled_from([0.0, 1e4])),
        stol=(0.0, 0.1, 0.25) if table else (0.0,),
        background=(2.0, 5.0, 1.0) if table else (2.57,),
        seed=draw(st.integers(0, 50)),
    )


def render(experiment: Experiment, options: KernelOptions) -> np.ndarray:
    tile, chunk = whole_tile(experiment), all_sources(experiment)
    numerator = render_tile(experiment, 0, tile, chunk, options)
    return finalize_tile(experiment, 0, tile, numerator, frame=0)


@pytest.mark.spec("SCL-11")
@settings(max_examples=100, deadline=None)
@given(choices())
def test_the_model_equals_the_oracle(choice: Choice) -> None:
    experiment = make_experiment(choice)
    expected = oracle.image(experiment).ravel()
    found = render(experiment, MODEL)
    assert np.isfinite(found).all()
    error = np.abs(found - expected)
    bound = KERNEL_TWIN_FLOAT64_RELATIVE * (expected + expected.max(initial=0.0))
    assert (error <= bound).all()


@pytest.mark.spec("SCL-10")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@settings(max_examples=60, deadline=None)
@given(choices())
def test_mixed_precision_stays_within_its_bars(choice: Choice) -> None:
    experiment = make_experiment(choice)
    expected, found = render(experiment, MODEL), render(experiment, MIXED)
    maximum = expected.max(initial=0.0)
    error = np.abs(found - expected)
    bright = expected > GOLDEN_MIXED_FLOOR * maximum
    assert (error[bright] <= GOLDEN_MIXED_RELATIVE * expected[bright]).all()
    assert (error <= GOLDEN_MIXED_OF_MAXIMUM * maximum).all()
    assert abs(found.sum() - expected.sum()) <= GOLDEN_MIXED_TOTAL * expected.sum()
