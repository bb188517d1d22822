"""Frames of several lattices: how they are cut, shared out and finished changes no bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.rendering.frame import (
    finish_tile,
    render_frame,
    render_into,
    render_whole_tile,
    tile_places,
)
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.load import parse_spec

METHODS = {
    "sampled": {"spread_deg": 0.3, "domains": 3},
    "closed_form": {"spread_deg": 0.3, "distribution": "gaussian"},
}


@pytest.fixture(params=METHODS)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    drawn = {"count": 3, "orientation": "split", "split_deg": 2.0, "relative_scale": (0.5, 2.0)}
    spec: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e26},
        "crystal": {
            "cell": [40, 50, 60, 90, 90, 90],
            "block_cells": [15, 15, 15],
            "shape": "gauss",
            "mosaic": METHODS[request.param],
            "drawn_lattices": drawn,
        },
        "structure_factors": {"default_f_electrons": 100},
        "detector": {
            "pixels_fast": 43,
            "pixels_slow": 37,
            "pixel_size_mm": 0.2,
            "distance_mm": 60,
        },
        "sampling": {"dmin_angstrom": 5.0, "oversample": 1},
        "background": {"water_um": 20},
        "noise": {"photon": True, "seed": 3},
    }
    made = build_experiment(parse_spec(spec))
    assert made.sampling.method == request.param
    assert len(made.lattices) == 3
    return made


def by_sums(experiment: Experiment, plan: FramePlan, options: KernelOptions) -> np.ndarray:
    """The frame from sums that are merged and finished tile by tile, as workers do."""
    image = np.empty((plan.panels, *plan.shape))
    for panel, index in tile_places(plan):
        tile, keys = plan.tiles[index], plan.tile_keys(2, panel, index)
        place = image[panel, tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]
        finish_tile(place, experiment, plan, render_whole_tile(experiment, plan, options, keys))
    return image


@pytest.mark.spec("LAT-3")
@pytest.mark.parametrize("precision", ["mixed", "float64"])
def test_tiles_threads_and_who_finishes_change_no_count(experiment, precision) -> None:
    if not native.available():
        pytest.skip(native.reason())
    whole = plan_frame(experiment, ComputeSpec())
    cut = plan_frame(experiment, ComputeSpec(tile=(11, 17)))
    expected = render_frame(experiment, whole, KernelOptions(precision), frame=2)
    assert expected.max() > 100
    for threads in (1, 2):
        options = KernelOptions(precision, threads=threads)
        assert np.array_equal(render_frame(experiment, cut, options, frame=2), expected)
        assert np.array_equal(by_sums(experiment, cut, options), expected)


@pytest.mark.spec("LAT-3")
def test_what_is_left_out_of_all_lattices_is_within_the_tolerance(experiment) -> None:
    if not native.available():
        pytest.skip(native.reason())
    noiseless = replace(experiment, noise=replace(experiment.noise, photon=False))
    loose = replace(noiseless, sampling=replace(noiseless.sampling, tolerance=5.0))
    images, left_out = [], []
    for view in (noiseless, loose):
        plan = plan_frame(view, ComputeSpec())
        image = np.empty((plan.panels, *plan.shape))
        facts = render_into(image, view, plan, KernelOptions("float64"), frame=0)
        images.append(image)
        left_out.append(facts.skipped)
    missing = images[0] - images[1]
    assert missing.max() <= left_out[1] - left_out[0] + 1e-9 * images[0].max()
    if experiment.sampling.method == "sampled":
        assert left_out[0] == 0.0
        assert 0.0 < missing.max() <= left_out[1] <= 5.0
