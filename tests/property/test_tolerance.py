"""What a tolerance leaves out of a pixel, against every step summed: how to break the bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import sum_tile
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import SourceChunk, Tile
from tests import tolerances
from tests.clauses.scene import panel, scene
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile
from tools.bench.tolerance import every_step

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

LARGE_CELL = ((79.1, 0.0, 0.0), (3.0, 61.0, 0.0), (-9.0, 4.0, 38.0))

EXPERIMENTS = st.fixed_dictionaries(
    {
        "physics": st.sampled_from(["exact", "nanobragg"]),
        "shape": st.sampled_from(["gauss", "square", "round", "tophat"]),
        "cells": st.tuples(*[st.integers(2, 40)] * 3),
        "cell": st.sampled_from([LARGE_CELL, ((9.0, 0, 0), (1.0, 12.0, 0), (0, 0, 7.0))]),
        "fudge": st.sampled_from([1.0, 0.01, 0.1, 5.0]),
        "missets": st.tuples(*[st.floats(-3.0, 3.0)] * 3),
        "interpolate": st.booleans(),
        "default_amplitude": st.sampled_from([0.0, 3.0, 200.0]),
        "phi": st.sampled_from([(0.0,), (0.1, 0.3), (1.2,)]),
        "domains": st.integers(1, 19),
        "wavelengths": st.sampled_from([(1.0,), (1.0, 1.03), (0.5, 2.0, 1.1)]),
        "divergence": st.sampled_from([0.0, 0.01]),
        "rule": st.sampled_from(["sum", "count", "none"]),
        "polarized": st.booleans(),
        "kahn_factor": st.sampled_from([0.0, 0.9, -1.0]),
        "pixels": st.sampled_from([(13, 17), (31, 22), (5, 70)]),
        "pixel_size": st.sampled_from([1e-4, 4e-4, 3e-3, 2e-2]),
        "distance": st.sampled_from([0.02, 0.08, 0.3]),
        "tilt": st.tuples(*[st.sampled_from([0.0, 0.3, -0.7])] * 3),
        "point_pixel": st.booleans(),
        "layers": st.integers(0, 3),
        "masked": st.sampled_from([0.0, 0.3]),
        "oversample": st.integers(1, 3),
        "dmin": st.sampled_from([0.0, 0.0, 2.0]),
        "per_sample": st.tuples(*[st.booleans()] * 3),
        "molecules": st.sampled_from([0.0, 0.0, 1e6]),
        "seed": st.integers(0, 1000),
    }
)

SMALL_SPOTS = st.fixed_dictionaries(
    {
        "physics": st.just("exact"),
        "shape": st.sampled_from(["gauss", "gauss_star", "tophat", "tophat"]),
        "cells": st.tuples(*[st.integers(12, 30)] * 3),
        "cell": st.sampled_from(
            [LARGE_CELL, ((30.0, 0, 0), (14.0, 41.0, 0), (-20.0, 13.0, 77.0)), LARGE_CELL[::-1]]
        ),
        "box": st.sampled_from([(11, 13, 9), (41, 43, 45)]),
        "fudge": st.sampled_from([0.01, 0.3, 1.0, 4.0]),
        "missets": st.tuples(*[st.floats(-3.0, 3.0)] * 3),
        "interpolate": st.booleans(),
        "default_amplitude": st.sampled_from([0.0, 3.0]),
        "phi": st.sampled_from([(0.0,), (0.1, 0.11, 0.3), (1.2,)]),
        "domains": st.sampled_from([1, 7, 25, 40]),
        "wavelengths": st.sampled_from([(1.0,), (1.0, 1.03), (0.5, 2.0, 1.1)]),
        "divergence": st.sampled_from([0.0, 0.01]),
        # Panels across the edges of areas of 128 x 128 pixels.
        "pixels": st.sampled_from([(70, 270), (150, 40), (270, 9)]),
        "pixel_size": st.sampled_from([5e-5, 2e-4, 4e-4]),
        "distance": st.sampled_from([0.05, 0.15, 1.0]),
        "tilt": st.tuples(*[st.sampled_from([0.0, 0.3, -0.7, 3.0])] * 3),
        "layers": st.integers(0, 3),
        "masked": st.sampled_from([0.0, 0.3]),
        "oversample": st.integers(1, 2),
        "molecules": st.sampled_from([0.0, 0.0, 1e6]),
        "seed": st.integers(0, 1000),
    }
)


def _options(precision: str = "float64", threads: int = 1) -> KernelOptions:
    return KernelOptions(precision=precision, kernel="native", device="cpu", threads=threads)  # type: ignore[arg-type]


def _make(kind: dict[str, object]) -> Experiment:
    sources = len(kind["wavelengths"])  # type: ignore[arg-type]
    return make_experiment(**kind, weights=(0.2, 5.0, 1.0)[:sources])


def _within(experiment: Experiment, photons: float) -> Experiment:
    return replace(experiment, sampling=replace(experiment.sampling, tolerance=photons))


def _photons(experiment: Experiment, options: KernelOptions) -> tuple[np.ndarray, float]:
    tile = whole_tile(experiment)
    summed = sum_tile(experiment, 0, tile, all_sources(experiment), options)
    photons = finalize_tile(experiment, 0, tile, summed.numerator, frame=0)
    return photons, summed.skipped * intensity_scale(experiment)


def _assert_bound_holds(
    full: np.ndarray, reduced: np.ndarray, told: float, tolerance: float
) -> None:
    rounding = tolerances.KERNEL_TWIN_FLOAT64_RELATIVE * float(full.max())
    assert told <= tolerance
    assert np.abs(full - reduced).max() <= told + rounding


def _assert_tiles_agree(
    within: Experiment, image: np.ndarray, tiles: tuple[Tile, ...], precision: str
) -> None:
    for tile in tiles:
        part = sum_tile(within, 0, tile, all_sources(within), _options(precision)).numerator
        rows = slice(tile.slow_start, tile.slow_stop)
        columns = slice(tile.fast_start, tile.fast_stop)
        assert np.array_equal(part.reshape(tile.shape), image[rows, columns])


@pytest.mark.spec("SAM-9")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=EXPERIMENTS, share=st.floats(-8.0, 0.0))
def test_no_pixel_loses_more_than_is_told_nor_more_than_is_allowed(kind, share):
    experiment = _make(kind)
    full, nothing = _photons(experiment, _options())
    assert nothing == 0.0
    tolerance = float(full.max()) * 10.0**share
    reduced, told = _photons(_within(experiment, tolerance), _options())
    event(f"leaves something out: {told > 0.0}, {kind['shape']}")
    _assert_bound_holds(full, reduced, told, tolerance)


@pytest.mark.spec("SAM-9")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=SMALL_SPOTS, share=st.floats(-9.0, -1.0))
def test_no_small_spot_is_missed(kind, share):
    experiment = _make(kind)
    with every_step():
        full, _ = _photons(experiment, _options())
    tolerance = float(full.max()) * 10.0**share
    reduced, told = _photons(_within(experiment, tolerance), _options())
    event(f"leaves something out: {told > 0.0}, {kind['shape']}")
    _assert_bound_holds(full, reduced, told, tolerance)
    if kind["shape"] == "tophat":
        assert np.array_equal(full, reduced)


@pytest.mark.spec("SAM-9")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=SMALL_SPOTS, share=st.floats(-9.0, -1.0))
def test_small_spots_are_the_same_in_every_tile(kind, share):
    experiment = _make(kind)
    full, _ = _photons(experiment, _options("mixed"))
    within = _within(experiment, float(full.max()) * 10.0**share)
    whole, sources = whole_tile(within), all_sources(within)
    image = sum_tile(within, 0, whole, sources, _options("mixed", threads=2)).numerator
    image = image.reshape(whole.shape)
    slow, fast = whole.slow_stop, whole.fast_stop
    tiles = Tile(0, 1, 0, fast), Tile(1, slow, 0, 3), Tile(1, slow, 3, fast)
    _assert_tiles_agree(within, image, tiles, "mixed")


@pytest.mark.spec("SAM-9")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=EXPERIMENTS, share=st.floats(-9.0, -1.0), precision=st.sampled_from(["mixed", "float64"])
)
def test_what_is_left_out_depends_on_neither_tile_nor_threads(kind, share, precision):
    experiment = _make(kind)
    full, _ = _photons(experiment, _options(precision))
    within = _within(experiment, float(full.max()) * 10.0**share)
    whole, sources = whole_tile(within), all_sources(within)
    expected = sum_tile(within, 0, whole, sources, _options(precision)).numerator
    threaded = sum_tile(within, 0, whole, sources, _options(precision, threads=2)).numerator
    assert np.array_equal(expected, threaded)
    image = expected.reshape(whole.shape)
    slow, fast = whole.slow_stop, whole.fast_stop
    tiles = Tile(0, 3, 0, fast), Tile(3, slow, 0, 5), Tile(3, slow, 5, fast)
    _assert_tiles_agree(within, image, tiles, precision)


@pytest.mark.spec("SAM-9")
@pytest.mark.parametrize(
    ("shape", "fudge", "share"), [("gauss", 1.0, 1e-4), ("tophat", 1.0, 1e-4), ("round", 1.0, 0.1)]
)
def test_most_steps_of_narrow_spots_are_left_out_and_bright_pixels_stay(shape, fudge, share):
    experiment = make_experiment(
        shape=shape,
        fudge=fudge,
        cells=(20, 20, 20),
        cell=LARGE_CELL,
        domains=11,
        pixels=(61, 75),
        pixel_size=2e-4,
        distance=0.15,
    )
    full, _ = _photons(experiment, _options())
    tolerance = float(full.max()) * share
    reduced, told = _photons(_within(experiment, tolerance), _options())
    assert 0 < np.count_nonzero(reduced) < 0.5 * full.size
    bright = full > 2.0 * tolerance
    assert bright.any()
    assert np.abs(full - reduced)[bright].max() <= told
    assert told <= tolerance


@pytest.mark.spec("SAM-9")
def test_no_tolerance_leaves_the_bits_alone():
    experiment = make_experiment(shape="gauss", cells=(20, 20, 20), domains=3)
    tile, sources = whole_tile(experiment), all_sources(experiment)
    plain = sum_tile(experiment, 0, tile, sources, _options("mixed"))
    assert plain.skipped == 0.0
    tiny = sum_tile(_within(experiment, 1e-300), 0, tile, sources, _options("mixed"))
    assert np.array_equal(plain.numerator, tiny.numerator)


@pytest.mark.spec("SAM-9")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=EXPERIMENTS,
    shape=st.sampled_from(["tophat", "tophat", "gauss"]),
    precision=st.sampled_from(["mixed", "float64"]),
)
def test_without_a_tolerance_only_exact_zeros_are_left_out(kind, shape, precision):
    experiment = _make({**kind, "shape": shape})
    tile, sources = whole_tile(experiment), all_sources(experiment)
    with every_step():
        every = sum_tile(experiment, 0, tile, sources, _options(precision))
    summed = sum_tile(experiment, 0, tile, sources, _options(precision))
    assert every.evaluated is None
    event(f"{shape}, looked for in fields: {summed.evaluated is not None}")
    assert np.array_equal(summed.numerator, every.numerator)
    assert summed.skipped == 0.0


@pytest.mark.spec("SAM-9")
def test_narrow_tophat_spots_are_looked_for_without_a_tolerance_too():
    narrow = make_experiment(
        shape="tophat", cells=(20, 20, 20), cell=LARGE_CELL, pixel_size=2e-4, distance=0.15
    )
    tile, sources = whole_tile(narrow), all_sources(narrow)
    taken = sum_tile(narrow, 0, tile, sources, _options()).evaluated
    assert taken is not None
    assert taken < 0.2 * tile.pixels
    broader = replace(narrow.crystal, spot_form=narrow.crystal.spot_form * 0.02)
    wide = replace(narrow, crystal=broader)
    assert sum_tile(wide, 0, tile, sources, _options()).evaluated is None


@pytest.mark.spec("SAM-9")
def test_chunks_of_sources_tell_of_what_each_left_out():
    experiment = make_experiment(
        shape="gauss",
        cells=(20, 20, 20),
        cell=LARGE_CELL,
        wavelengths=(1.0, 1.01, 1.02),
        weights=(1.0, 2.0, 3.0),
        pixels=(31, 37),
        pixel_size=2e-4,
        distance=0.15,
    )
    full, _ = _photons(experiment, _options())
    within = _within(experiment, float(full.max()) * 1e-3)
    tile = whole_tile(within)
    parts = [sum_tile(within, 0, tile, SourceChunk(i, i + 1), _options()) for i in range(3)]
    whole = sum_tile(within, 0, tile, all_sources(within), _options())
    assert all(part.skipped > 0.0 for part in parts)
    assert sum(part.skipped for part in parts) >= whole.skipped
    merged = sum(part.numerator for part in parts)
    np.testing.assert_allclose(
        merged, whole.numerator, rtol=tolerances.KERNEL_TWIN_FLOAT64_RELATIVE
    )


@pytest.mark.spec("SAM-9")
@pytest.mark.parametrize("curved", [True, False])
def test_squares_with_large_tails_and_curved_panels_are_rendered_whole(curved):
    experiment = make_experiment(
        shape="gauss" if curved else "square",
        cells=(20, 20, 20),
        surface="sphere" if curved else "flat",
        domains=5,
    )
    full, _ = _photons(experiment, _options())
    reduced, told = _photons(_within(experiment, float(full.max()) * 1e-15), _options())
    assert told == 0.0
    assert np.array_equal(full, reduced)


@pytest.mark.spec("SAM-9")
@pytest.mark.parametrize(
    ("shape", "share"),
    [
        *[("round", share) for share in np.geomspace(3e-2, 3e-3, 12)],
        *[(shape, share) for shape in ("gauss", "gauss_star") for share in (1e-1, 1e-3, 1e-6)],
        ("tophat", 1e-3),
    ],
)
def test_bounds_hold_where_one_spot_of_one_domain_fills_the_panel(shape, share):
    """Nothing is averaged, and the spot is a ball: too low a bound shows in some pixel."""
    size = 4e-6
    whole = panel(
        shape=(400, 400), pixel_size=size, origin=(0.03 - 200 * size, 0.04 - 200 * size, 0.12)
    )
    experiment = scene(view=whole, shape=shape, index=(8.0, 9.0, 3.0), cells=(27.0, 32.0, 24.0))
    full, _ = _photons(experiment, _options())
    tolerance = float(full.max()) * share
    reduced, told = _photons(_within(experiment, tolerance), _options())
    assert 0 < np.count_nonzero(reduced) < 0.9 * full.size
    assert np.abs(full - reduced).max() <= told * (1.0 + 1e-6)
    assert told <= tolerance
