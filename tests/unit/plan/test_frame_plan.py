"""The plan of a frame: exact counts, and a hash that names it."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import PlanError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, TileKey, chunk_sources, plan_frame, tile_panel
from distbragg.spec.load import parse_spec


def small_spec(**compute: object):
    return parse_spec(
        {
            "beam": {
                "wavelength_angstrom": 1.0,
                "spectrum": {
                    "wavelengths_angstrom": [1.0, 1.01, 0.99, 1.02, 0.98],
                    "weights": [1.0, 2.0, 0.5, 0.25, 3.0],
                },
            },
            "crystal": {
                "cell": [50, 60, 70, 90, 90, 90],
                "block_cells": [3, 4, 5],
                "mosaic": {"spread_deg": 0.2, "domains": 3},
            },
            "structure_factors": {"default_f_electrons": 10.0},
            "detector": {
                "distance_mm": 100,
                "pixel_size_mm": 1.0,
                "pixels_fast": 13,
                "pixels_slow": 11,
                "roi": [1, 11, 2, 9],
            },
            "goniometer": {"phi_deg": 0, "oscillation_deg": 1, "steps": 2},
            "sampling": {"oversample": 2},
            "compute": compute,
        }
    )


def planned(**compute: object) -> tuple[Experiment, FramePlan]:
    spec = small_spec(**compute)
    experiment = build_experiment(spec)
    return experiment, plan_frame(experiment, spec.compute)


def test_terms_add_up_to_the_steps_of_the_frame():
    experiment, plan = planned(tile=[4, 5], source_chunk=2)
    active = int(np.count_nonzero(experiment.detector.panels[0].active))
    assert 0 < active < 11 * 13
    per_pixel = 2 * 3 * 2 * 2
    total = sum(
        plan.active[0][tile] * chunk.count * plan.samples[0]
        for tile in range(len(plan.tiles))
        for chunk in plan.chunks
    )
    assert total == plan.steps == active * 5 * per_pixel
    assert sum(plan.tile_terms(0, tile) for tile in range(len(plan.tiles))) == plan.steps


def test_tiles_and_chunks_are_those_asked_for():
    _, plan = planned(tile=[4, 5], source_chunk=2)
    assert plan.tiles == tile_panel((11, 13), (4, 5))
    assert plan.chunks == chunk_sources(5, 2)
    assert plan.sources == 5
    assert plan.largest_tile == 20
    assert plan.tile_keys(7, 0, 3) == tuple(TileKey(7, 0, 3, chunk) for chunk in range(3))


def test_small_frame_is_one_tile_and_one_chunk_by_default():
    _, plan = planned()
    assert [tile.shape for tile in plan.tiles] == [(11, 13)]
    assert [chunk.count for chunk in plan.chunks] == [5]


def test_same_spec_gives_the_same_hash_and_another_cut_another():
    hashes = {planned()[1].plan_hash, planned()[1].plan_hash}
    assert len(hashes) == 1
    cuts = ({}, {"tile": [4, 5]}, {"source_chunk": 2}, {"tile": [5, 4]}, {"precision": "float64"})
    assert len({planned(**cut)[1].plan_hash for cut in cuts}) == len(cuts)


def test_plan_is_plain_data():
    _, plan = planned(tile=[4, 5])
    plain = plan.to_plain()
    assert plain["plan_hash"] == plan.plan_hash
    assert plain["tiles"][0] == [0, 4, 0, 5]


def test_costly_pixels_make_smaller_tiles():
    spec = small_spec()
    experiment = build_experiment(spec)
    cheap = plan_frame(experiment, spec.compute)
    big = small_spec().model_copy(
        update={
            "detector": spec.detector.model_copy(
                update={"pixels_fast": 700, "pixels_slow": 900, "roi": None}
            ),
            "sampling": spec.sampling.model_copy(update={"oversample": 20}),
        }
    )
    costly = plan_frame(build_experiment(big), big.compute)
    assert len(cheap.tiles) == 1
    assert len(costly.tiles) > 10
    assert all(tile.shape[1] == 700 for tile in costly.tiles)


def test_panel_without_pixels_is_refused():
    with pytest.raises(PlanError):
        tile_panel((0, 5), (1, 1))
