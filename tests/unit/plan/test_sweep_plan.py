"""Frames into units: every frame once, blocks of consecutive frames, within the budget."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbragg.plan.cost import UNIT_BYTES, UNIT_SECONDS
from distbragg.plan.frame import FramePlan, SourceChunk, Tile
from distbragg.plan.sweep import choose_form, plan_sweep
from distbragg.spec.canonical import to_plain
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.store.layout import make_layout

OUTPUT = to_plain(OutputSpec())


def frame_plan(*, slow: int = 100, fast: int = 100, samples: int = 1) -> FramePlan:
    return FramePlan(
        panels=1,
        shape=(slow, fast),
        tiles=(Tile(0, slow, 0, fast),),
        chunks=(SourceChunk(0, 1),),
        merge_arity=8,
        active=((slow * fast,),),
        samples=(samples,),
        steps=slow * fast * samples,
        weight_sum=1.0,
        precision="mixed",
        plan_hash="0" * 64,
    )


dims = st.lists(st.integers(1, 9), max_size=4).map(
    lambda sizes: tuple((f"axis{i}", size) for i, size in enumerate(sizes))
)


@given(dims=dims, frames=st.integers(1, 60))
def test_every_frame_belongs_to_one_unit_and_units_are_consecutive(
    dims: tuple[tuple[str, int], ...], frames: int
):
    plan = plan_sweep(dims, frame_plan(), ComputeSpec(frames_per_unit=frames), OutputSpec())
    layout = make_layout(plan, OUTPUT)
    seen = [frame for unit in range(plan.units) for frame in layout.unit_frames(unit)]
    assert seen == list(range(plan.frames))
    assert plan.frames_per_unit <= frames


@given(dims=dims, frames=st.integers(1, 60))
def test_unit_block_is_one_then_a_cut_then_whole(dims: tuple[tuple[str, int], ...], frames: int):
    plan = plan_sweep(dims, frame_plan(), ComputeSpec(frames_per_unit=frames), OutputSpec())
    kinds = [
        "one" if block == 1 else "whole" if block == size else "cut"
        for block, (_, size) in zip(plan.unit_shape, dims, strict=True)
        if size > 1
    ]
    assert kinds == sorted(kinds, key=("one", "cut", "whole").index)
    assert kinds.count("cut") <= 1


def test_cheap_frames_share_a_unit_within_the_byte_budget():
    plan = plan_sweep((("n", 10**5),), frame_plan(slow=1000), ComputeSpec(), OutputSpec())
    assert plan.frames_per_unit > 1
    assert plan.frames_per_unit * plan.frame_bytes <= UNIT_BYTES
    assert plan.frames_per_unit * plan.frame.nominal_seconds <= UNIT_SECONDS


def test_costly_frames_get_a_unit_each():
    plan = plan_sweep((("n", 5),), frame_plan(samples=10**9), ComputeSpec(), OutputSpec())
    assert plan.unit_shape == (1,)
    assert plan.units == 5


def test_single_frame_has_no_dimension_and_one_unit():
    plan = plan_sweep((), frame_plan(), ComputeSpec(), OutputSpec(dtype="uint16"))
    assert (plan.units, plan.frames, plan.unit_shape) == (1, 1, ())
    assert make_layout(plan, OUTPUT).unit_frames(0) == (0,)
    assert plan.frame_bytes == 100 * 100 * 2


def test_last_unit_is_clipped_at_the_edge():
    compute = ComputeSpec(frames_per_unit=3)
    plan = plan_sweep((("a", 2), ("b", 7)), frame_plan(), compute, OutputSpec())
    assert plan.unit_shape == (1, 3)
    assert plan.unit_grid == (2, 3)
    layout = make_layout(plan, OUTPUT)
    assert layout.unit_region(5) == (slice(1, 2), slice(6, 7))
    assert layout.unit_frames(5) == (13,)
    with pytest.raises(IndexError):
        layout.unit_region(6)


def test_many_objects_are_a_warning(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="distbragg"):
        plan_sweep((("n", 10**6),), frame_plan(), ComputeSpec(frames_per_unit=2), OutputSpec())
    assert "compute.frames_per_unit" in caplog.text


def test_heavy_frames_of_several_tiles_become_graphs_unless_told_otherwise():
    heavy = dataclasses.replace(
        frame_plan(samples=10**7), tiles=(Tile(0, 50, 0, 100), Tile(50, 100, 0, 100))
    )
    plan = plan_sweep((), heavy, ComputeSpec(), OutputSpec())
    assert choose_form(plan, ComputeSpec()) == "graph"
    assert choose_form(plan, ComputeSpec(form="unit")) == "unit"
    light = plan_sweep((), frame_plan(), ComputeSpec(), OutputSpec())
    assert choose_form(light, ComputeSpec()) == "unit"
    assert choose_form(light, ComputeSpec(form="graph")) == "graph"
