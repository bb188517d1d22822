"""The native kernel against the model over random experiments of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.kernel import native
from distbragg.kernel.native.call import Call
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.plan.frame import Tile
from tests import tolerances
from tests.unit.kernel_native import kit

MODEL = KernelOptions(kernel="model")

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())


EXPERIMENTS = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(["square", "round", "gauss", "gauss_star", "tophat"]),
        "cells": st.tuples(*[st.integers(1, 30)] * 3),
        "domains": st.integers(1, 3),
        "phi": st.sampled_from([(0.0,), (0.1, 0.3), (1.2,)]),
        "fudge": st.sampled_from([1.0, 0.5, 1.7]),
        "sources": st.integers(1, 3),
        "interpolate": st.booleans(),
        "default": st.sampled_from([0.0, 7.0]),
        "dmin": st.sampled_from([0.0, 6.0, 8.0]),
        "oversample": st.integers(1, 2),
        "layers": st.integers(1, 3),
        "surface": st.sampled_from(["flat", "sphere", "cylinder_fast", "cylinder_slow"]),
        "point": st.booleans(),
        "polarized": st.booleans(),
        "kahn": st.sampled_from([0.0, 0.5, -1.0, 1.0]),
        "background": st.booleans(),
        "physics": st.sampled_from(["exact", "nanobragg"]),
        "box": st.sampled_from([(0, 0, 0), (2, 3, 4), (6, 7, 8)]),
        "seed": st.integers(0, 1000),
    }
)
TILES = st.tuples(st.integers(0, 20), st.integers(1, 3), st.integers(0, 34), st.integers(1, 3)).map(
    lambda t: Tile(t[0], t[0] + t[1], t[2], t[2] + t[3])
)


def _options(precision):
    return KernelOptions(precision=precision, kernel="native", device="cpu", threads=1)


def _highest_spot(experiment):
    """Square of the largest F_cell F_latt that any step of the experiment can have."""
    reflections = experiment.reflections
    amplitude = max(
        abs(reflections.default_amplitude), float(np.abs(reflections.amplitude).max(initial=0.0))
    )
    return (amplitude * float(np.prod(experiment.crystal.cells))) ** 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=EXPERIMENTS, tile=TILES)
def test_float64_equals_the_model(kind, tile):
    experiment = kit.make_experiment(**kind)
    whole, chunk = kit.whole(experiment)
    expected = render_tile(experiment, 0, tile, chunk, MODEL)
    got = native.render_numerator(experiment, 0, tile, chunk, _options("float64"))
    # A step of a narrow spot may be denormal in one and 0 in the other: hence the image's maximum.
    largest = native.render_numerator(experiment, 0, whole, chunk, _options("float64")).max()
    tolerance = tolerances.KERNEL_TWIN_FLOAT64_RELATIVE
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * largest)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=EXPERIMENTS, tile=TILES)
def test_mixed_stays_near_float64_and_retiles_to_the_bit(kind, tile):
    experiment = kit.make_experiment(**kind)
    whole, chunk = kit.whole(experiment)
    double = native.render_numerator(experiment, 0, whole, chunk, _options("float64"))
    single = native.render_numerator(experiment, 0, whole, chunk, _options("mixed"))
    largest = double.max()
    lost = tolerances.NATIVE_MIXED_UNDERFLOW * _highest_spot(experiment)
    assert np.abs(single - double).max() <= tolerances.NATIVE_MIXED_RELATIVE * largest + lost
    bright = double > tolerances.GOLDEN_MIXED_FLOOR * largest
    np.testing.assert_allclose(
        single[bright], double[bright], rtol=tolerances.GOLDEN_MIXED_RELATIVE, atol=lost
    )
    part = native.render_numerator(experiment, 0, tile, chunk, _options("mixed"))
    rows, columns = slice(tile.slow_start, tile.slow_stop), slice(tile.fast_start, tile.fast_stop)
    assert np.array_equal(part.reshape(tile.shape), single.reshape(whole.shape)[rows, columns])


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from(["gauss", "gauss_star", "tophat"]),
    precision=st.sampled_from(["mixed", "float64"]),
    cells=st.tuples(*[st.integers(2, 60)] * 3),
    fudge=st.floats(0.05, 20.0),
    seed=st.integers(0, 1000),
)
def test_no_setting_makes_strip_skipping_lose_a_bit(shape, precision, cells, fudge, seed):
    experiment = kit.make_experiment(
        shape=shape, cells=cells, fudge=fudge, seed=seed, background=False, default=7.0
    )
    tile, chunk = kit.whole(experiment)
    skipped = native.render_numerator(experiment, 0, tile, chunk, _options(precision))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "_limits", lambda *_: (0.0, 0.0))
        full = native.render_numerator(experiment, 0, tile, chunk, _options(precision))
    assert np.array_equal(skipped, full)
