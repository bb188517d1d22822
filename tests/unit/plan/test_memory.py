"""Refusing what cannot fit, by arithmetic, naming the number to change."""

from __future__ import annotations

import dataclasses
import tracemalloc

import pytest

from distbragg.errors import PlanError
from distbragg.plan.frame import tile_panel
from distbragg.plan.memory import (
    check_fits,
    memory_limit_bytes,
    precheck_spec,
    predict_peak_bytes,
    spec_pixels,
)
from distbragg.plan.sweep import plan_sweep
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.spec.load import parse_spec

from .test_sweep_plan import frame_plan


def sweep(frames: int = 64, per_unit: int = 16, slow: int = 1000, fast: int = 1000):
    return plan_sweep(
        (("n", frames),),
        frame_plan(slow=slow, fast=fast),
        ComputeSpec(frames_per_unit=per_unit),
        OutputSpec(),
    )


def tiled(plan):
    tiles = tile_panel(plan.frame.shape, (100, 100))
    return dataclasses.replace(plan, frame=dataclasses.replace(plan.frame, tiles=tiles))


def test_prediction_grows_with_the_frames_of_a_unit():
    small = predict_peak_bytes(sweep(per_unit=2), grid_points=1000)
    large = predict_peak_bytes(sweep(per_unit=32), grid_points=1000)
    assert large.total - small.total > 20 * 1000 * 1000 * 4


def test_frames_of_large_counts_are_held_in_twice_the_bytes_that_are_stored():
    def images(dtype: str) -> int:
        plan = plan_sweep((), frame_plan(), ComputeSpec(), OutputSpec(dtype=dtype))
        return predict_peak_bytes(plan, grid_points=1).unit_images

    assert images("uint32") == images("float64") == 2 * images("float32")
    assert images("uint16") == images("float32")


def test_plan_that_fits_passes():
    plan = sweep()
    check_fits(
        plan,
        predict_peak_bytes(plan, grid_points=1000),
        memory_bytes=8 * 10**9,
        disk_free_bytes=10**12,
    )


@pytest.mark.parametrize(
    ("plan", "grid_points", "field"),
    [
        (sweep(per_unit=64), 1000, "compute.frames_per_unit"),
        (tiled(sweep(per_unit=1, slow=10_000, fast=10_000)), 1000, "detector.pixels_fast"),
        (sweep(per_unit=1), 10**9, "structure_factors.dmin_angstrom"),
    ],
)
def test_refusal_names_the_number_to_change(plan, grid_points: int, field: str):
    estimate = predict_peak_bytes(plan, grid_points=grid_points)
    with pytest.raises(PlanError, match=field):
        check_fits(plan, estimate, memory_bytes=300 * 10**6)


def test_many_source_chunks_on_a_large_tile_name_the_tile():
    frame = dataclasses.replace(
        frame_plan(slow=1000, fast=1000),
        chunks=tuple(frame_plan().chunks[0] for _ in range(512)),
    )
    plan = plan_sweep((), frame, ComputeSpec(), OutputSpec())
    estimate = predict_peak_bytes(plan, grid_points=0)
    with pytest.raises(PlanError, match=r"compute\.tile"):
        check_fits(plan, dataclasses.replace(estimate, baseline=0), memory_bytes=10**8)


def test_full_disk_is_refused_before_anything_is_written():
    plan = sweep(frames=1000)
    estimate = predict_peak_bytes(plan, grid_points=1000)
    with pytest.raises(PlanError, match="disk"):
        check_fits(plan, estimate, memory_bytes=10**12, disk_free_bytes=10**9)


def test_absurd_detector_is_refused_without_allocating():
    spec = parse_spec(
        {
            "crystal": {"cell": [50, 60, 70, 90, 90, 90], "block_cells": [3, 3, 3]},
            "beam": {"wavelength_angstrom": 1.0},
            "detector": {"distance_mm": 100, "pixels_fast": 10**6, "pixels_slow": 10**6},
        }
    )
    tracemalloc.start()
    with pytest.raises(PlanError, match=r"detector\.pixels_fast"):
        precheck_spec(spec, 64 * 10**9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_absurd_numbers_of_domains_and_sources_are_refused():
    base = {
        "crystal": {"cell": [50, 60, 70, 90, 90, 90], "block_cells": [3, 3, 3]},
        "beam": {"wavelength_angstrom": 1.0},
        "detector": {"distance_mm": 100},
    }
    crystal = {**base["crystal"], "mosaic": {"spread_deg": 1, "domains": 10**6}}
    with pytest.raises(PlanError, match=r"crystal\.mosaic\.domains"):
        precheck_spec(parse_spec({**base, "crystal": crystal}), 10**8)
    divergence = {"horizontal": {"steps": 10**5, "range_mrad": 1.0}}
    divergence["vertical"] = divergence["horizontal"]
    beam = {**base["beam"], "divergence": divergence}
    with pytest.raises(PlanError, match="beam"):
        precheck_spec(parse_spec({**base, "beam": beam}), 10**10)


def test_ordinary_spec_passes_the_precheck():
    spec = parse_spec({"detector": {"size_fast_mm": 51.2, "pixel_size_mm": 0.5}})
    assert spec_pixels(spec) == (205, 102)
    assert 0 < precheck_spec(spec, 10**9) < 10**8


def test_limit_is_the_smaller_of_the_spec_and_the_share():
    assert memory_limit_bytes(ComputeSpec(), 8 * 10**9, workers=4) == 2 * 10**9
    assert memory_limit_bytes(ComputeSpec(memory_limit_gb=1), 8 * 10**9, workers=4) == 10**9
    assert memory_limit_bytes(ComputeSpec(memory_limit_gb=9), 8 * 10**9) == 8 * 10**9
