"""Photons written by the kernel itself are its sums, finished, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_into
from distbragg.kernel.native import finishes_in_kernel
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import TilePhotons, sum_tile
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import Tile
from tests.unit.kernel.experiments import all_sources, make_experiment

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

SHAPE = (31, 22)
FRAME = 2**33 + 7
TILES = (Tile(0, 31, 0, 22), Tile(3, 20, 5, 22), Tile(30, 31, 21, 22), Tile(0, 9, 0, 22))
KINDS = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(["gauss", "square", "round", "tophat"]),
        "cells": st.tuples(*[st.integers(1, 20)] * 3),
        "domains": st.integers(1, 7),
        "wavelengths": st.sampled_from([(1.0,), (1.0, 1.03)]),
        "pixels": st.just(SHAPE),
        "pixel_size": st.just(1e-3),
        "layers": st.integers(0, 2),
        "masked": st.sampled_from([0.0, 0.3, 1.0]),
        "oversample": st.integers(1, 2),
        "molecules": st.sampled_from([0.0, 1e6]),
        "default_amplitude": st.sampled_from([0.0, 200.0]),
        "seed": st.integers(0, 1000),
    }
)


def options(precision: str, threads: int = 1) -> KernelOptions:
    return KernelOptions(precision, "native", "cpu", threads)  # type: ignore[arg-type]


def turned(experiment: Experiment, number: int) -> Experiment:
    """Another frame of the same sweep: only the crystal differs."""
    crystal = experiment.crystal
    vectors = np.roll(crystal.real_space, number, axis=1)
    return replace(experiment, crystal=replace(crystal, real_space=vectors))


def counted(experiment: Experiment, scale: float | None) -> Experiment:
    """The same with noise, so many times as bright."""
    if scale is None:
        return experiment
    noise = replace(experiment.noise, photon=True, seed=2**62 + 5)
    beam = replace(experiment.beam, fluence=experiment.beam.fluence * scale)
    return replace(experiment, beam=beam, noise=noise)


def apart(experiment: Experiment, tile: Tile, frame: np.ndarray, how: KernelOptions) -> float:
    """Sum and finish in two steps."""
    summed = sum_tile(experiment, 0, tile, all_sources(experiment), how)
    finalize_into(window(frame, tile), experiment, 0, tile, summed.numerator, frame=FRAME)
    return summed.skipped * intensity_scale(experiment) if summed.skipped else 0.0


def window(frame: np.ndarray, tile: Tile) -> np.ndarray:
    return frame[tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]


@pytest.mark.spec("NOI-2")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=KINDS,
    tiles=st.tuples(*[st.sampled_from(TILES)] * 2),
    dtype=st.sampled_from([np.float32, np.float64]),
    precision=st.sampled_from(["mixed", "float64"]),
    tolerance=st.sampled_from([0.0, 1e-9, 1e30]),
    threads=st.sampled_from([1, 3]),
    # None: no noise. Means below 10, between and above 10⁶ photons go by ways of their own.
    scale=st.sampled_from([None, 1e3, 1e5, 1e9]),
)
def test_frames_rendered_together_are_those_summed_and_finished_alone(
    kind, tiles, dtype, precision, tolerance, threads, scale
):
    base = counted(make_experiment(**kind, physics="exact"), scale)
    base = replace(base, sampling=replace(base.sampling, tolerance=tolerance))
    other = counted(make_experiment(**{**kind, "seed": kind["seed"] + 1}, physics="exact"), scale)
    experiments = [base, base, turned(base, 1), turned(base, 1), other, turned(base, 2)]
    chosen = [tiles[number % 2] for number in range(len(experiments))]
    assert all(finishes_in_kernel(one, options(precision)) for one in experiments)
    expected = [np.full(SHAPE, np.nan, dtype) for _ in experiments]
    left_out = [
        apart(one, tile, frame, options(precision))
        for one, tile, frame in zip(experiments, chosen, expected, strict=True)
    ]
    frames = [np.full(SHAPE, np.nan, dtype) for _ in experiments]
    tiles = [
        TilePhotons(one, 0, tile, all_sources(one), window(frame, tile), FRAME)
        for one, tile, frame in zip(experiments, chosen, frames, strict=True)
    ]
    assert native.render_photons(tiles, options(precision, threads)) == left_out
    for frame, wanted in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame, wanted)


def test_counts_of_a_frame_whose_rows_lie_otherwise_are_refused():
    experiment = counted(make_experiment(pixels=SHAPE, physics="exact"), 1.0)
    tile = TILES[1]
    job = TilePhotons(experiment, 0, tile, all_sources(experiment), np.zeros(tile.shape), FRAME)
    with pytest.raises(ValueError, match="rows of 22 pixels lie 17 apart"):
        native.render_photons([job], options("mixed"))


def test_a_frame_of_another_shape_or_layout_is_refused():
    experiment = make_experiment(pixels=SHAPE, physics="exact")
    tile = TILES[1]
    for frame in (np.zeros((17, 18)), np.zeros((17, 34))[:, ::2]):
        job = TilePhotons(experiment, 0, tile, all_sources(experiment), frame)
        with pytest.raises(ValueError, match="cannot write"):
            native.render_photons([job], options("mixed"))


def test_what_needs_more_than_a_factor_is_not_finished_in_the_kernel():
    experiment = make_experiment(pixels=SHAPE, physics="exact")
    assert not finishes_in_kernel(replace(experiment, physics="nanobragg"), options("mixed"))
    assert not finishes_in_kernel(experiment, KernelOptions("mixed", "model", "cpu", 1))
