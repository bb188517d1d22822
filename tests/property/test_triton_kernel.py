"""The fused GPU kernel, through Triton's interpreter, against the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.plan.frame import SourceChunk, Tile
from tests import tolerances
from tests.unit.kernel_native import kit
from tests.unit.kernel_triton.kit import WAYS, interpreted, triton_options

pytestmark = interpreted

MODEL = KernelOptions(kernel="model")

EXPERIMENTS = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(["square", "round", "gauss", "gauss_star", "tophat"]),
        "cells": st.tuples(*[st.sampled_from([1, 2, 7, 30, 90])] * 3),
        "domains": st.just(2),
        "phi": st.sampled_from([(0.0,), (0.3,)]),
        "fudge": st.sampled_from([1.0, 0.5, 1.7]),
        "sources": st.just(1),
        "one_way": st.booleans(),
        "interpolate": st.sampled_from([False, False, True]),
        "default": st.sampled_from([0.0, 7.0]),
        "dmin": st.sampled_from([0.0, 6.0, 8.0]),
        "layers": st.sampled_from([1, 1, 2]),
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

FIXED = [
    {"shape": "square", "cells": (7, 90, 1), "layers": 2, "surface": "sphere", "box": (6, 7, 8)},
    {"shape": "square", "interpolate": True, "dmin": 6.0, "kahn": -1.0},
    {"shape": "square", "cells": (3, 4, 5), "oversample": 2, "sources": 1, "domains": 1},
    {"shape": "square", "cells": (7, 5, 3), "one_way": True, "sources": 3, "domains": 1},
    {"shape": "round", "fudge": 1.7, "point": True, "default": 0.0, "box": (2, 3, 4)},
    {"shape": "gauss", "cells": (2, 2, 1), "physics": "nanobragg"},
    {"shape": "tophat", "cells": (1, 2, 1), "dmin": 8.0, "polarized": False},
    {"shape": "square", "cells": (1, 1, 1), "box": (0, 0, 0), "background": False},
]
"""Between them: every shape, look-up and correction, whatever hypothesis draws."""

RARE = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""An interpreted step costs what a million compiled ones do."""


def check(kind, tile, precision, indices):
    experiment = kit.make_experiment(**kind)
    _, chunk = kit.whole(experiment)
    expected = render_tile(experiment, 0, tile, chunk, MODEL)
    found = render_tile(experiment, 0, tile, chunk, triton_options(precision, indices))
    largest = expected.max(initial=0.0)
    if precision == "float64":
        tolerance = tolerances.KERNEL_TWIN_FLOAT64_RELATIVE
        assert np.abs(found - expected).max() <= tolerance * (largest + _highest_spot(experiment))
        return
    lost = tolerances.TRITON_MIXED_OF_SPOT * _highest_spot(experiment)
    assert (np.abs(found - expected) <= tolerances.NATIVE_MIXED_RELATIVE * largest + lost).all()


def _highest_spot(experiment):
    """Largest term that any step of the experiment can have, corrections included."""
    reflections, panel = experiment.reflections, experiment.detector.panels[0]
    amplitude = max(
        abs(reflections.default_amplitude), float(np.abs(reflections.amplitude).max(initial=0.0))
    )
    solid = panel.pixel_size**2 / 0.08**2 if not panel.point_pixel else 1.0 / 0.08**2
    share = solid if experiment.sampling.per_sample_solid_angle else 1.0
    return share * (amplitude * float(np.prod(experiment.crystal.cells))) ** 2


@pytest.mark.spec("ENG-17")
@pytest.mark.parametrize(("precision", "indices"), WAYS)
@pytest.mark.parametrize("kind", FIXED, ids=[kind["shape"] for kind in FIXED])
def test_every_feature_equals_the_model(kind, precision, indices):
    check({"domains": 2, "phi": (0.2,), "sources": 2, **kind}, Tile(3, 5, 4, 9), precision, indices)


@pytest.mark.spec("ENG-17")
@pytest.mark.parametrize(("precision", "indices"), WAYS)
@RARE
@given(kind=EXPERIMENTS, tile=TILES)
def test_random_experiments_equal_the_model(precision, indices, kind, tile):
    check(kind, tile, precision, indices)


@pytest.mark.spec("ENG-17")
@pytest.mark.parametrize(("precision", "indices"), WAYS)
@pytest.mark.parametrize("shape", ["square", "gauss"])
def test_tiles_and_source_chunks_change_no_bit(shape, precision, indices):
    mask = np.random.default_rng(5).random((23, 37)) > 0.2
    experiment = kit.make_experiment(shape=shape, domains=1, phi=(0.1,), cells=(7, 5, 3), mask=mask)
    options = triton_options(precision, indices)
    whole, chunk = kit.whole(experiment)
    image = render_tile(experiment, 0, whole, chunk, options).reshape(whole.shape)
    assert (image[~mask] == 0.0).all()
    assert (image[mask] > 0.0).all()
    tile = Tile(4, 19, 11, 36)
    part = render_tile(experiment, 0, tile, chunk, options).reshape(tile.shape)
    assert np.array_equal(part, image[4:19, 11:36])
    summed = sum(
        render_tile(experiment, 0, tile, SourceChunk(n, n + 1), options) for n in range(chunk.stop)
    )
    np.testing.assert_allclose(summed.reshape(tile.shape), part, rtol=1e-14)


@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_passing_over_domains_without_a_spot_loses_no_bit(shape, monkeypatch):
    from distbragg.kernel.native import prepare

    experiment = kit.make_experiment(shape=shape, cells=(9, 8, 7), background=False, domains=2)
    tile, chunk = kit.whole(experiment)
    options = triton_options()
    narrow = render_tile(experiment, 0, tile, chunk, options)
    monkeypatch.setattr(prepare, "spot_reach", lambda *_: 0.0)
    full = replace(experiment, crystal=replace(experiment.crystal))
    assert np.array_equal(narrow, render_tile(full, 0, tile, chunk, options))
