"""Accounting: a tile lost, doubled or of another plan is an error, never a dim picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from distbragg.errors import AccountingError, PlanError
from distbragg.plan.frame import FramePlan, SourceChunk, Tile, TileKey
from distbragg.plan.merge import merge_tree
from distbragg.rendering.frame import PartialImage, check_complete, merge

PLAN = FramePlan(
    panels=1,
    shape=(2, 6),
    tiles=(Tile(0, 2, 0, 3), Tile(0, 2, 3, 6)),
    chunks=(SourceChunk(0, 2), SourceChunk(2, 4), SourceChunk(4, 5)),
    merge_arity=2,
    active=((6, 5),),
    samples=(4,),
    steps=220,
    weight_sum=2.5,
    precision="mixed",
    plan_hash="a" * 64,
)


def part(chunk: int, *, tile: int = 0, frame: int = 1) -> PartialImage:
    return PartialImage(
        numerator=np.full(6, chunk + 0.5),
        weight=0.5 * PLAN.chunks[chunk].count,
        n_terms=PLAN.active[0][tile] * PLAN.chunks[chunk].count * PLAN.samples[0],
        plan_hash=PLAN.plan_hash,
        keys=(TileKey(frame, 0, tile, chunk),),
    )


def test_whole_tile_passes():
    whole = merge([part(2), part(0), part(1)])
    check_complete(whole, PLAN, 0, 0)
    np.testing.assert_array_equal(whole.numerator, np.full(6, 4.5))
    assert whole.n_terms == PLAN.tile_terms(0, 0)


def test_lost_chunk_is_refused_by_name():
    with pytest.raises(AccountingError, match="missing f1-p0-t0-s1"):
        check_complete(merge([part(0), part(2)]), PLAN, 0, 0)


def test_doubled_chunk_is_refused():
    with pytest.raises(AccountingError, match="twice"):
        merge([part(0), part(1), part(1)])


def test_wrong_number_of_steps_is_refused():
    short = dataclasses.replace(part(1), n_terms=part(1).n_terms - 1)
    with pytest.raises(AccountingError, match="steps"):
        check_complete(merge([part(0), short, part(2)]), PLAN, 0, 0)


def test_weights_that_do_not_add_up_are_refused():
    light = dataclasses.replace(part(1), weight=0.1)
    with pytest.raises(AccountingError, match="weights"):
        check_complete(merge([part(0), light, part(2)]), PLAN, 0, 0)


def test_sum_of_another_plan_is_refused():
    other = dataclasses.replace(part(1), plan_hash="b" * 64)
    with pytest.raises(AccountingError, match="two plans"):
        merge([part(0), other])
    whole = merge([part(0), part(1), part(2)])
    with pytest.raises(AccountingError, match="plan"):
        check_complete(dataclasses.replace(whole, plan_hash="b" * 64), PLAN, 0, 0)


def test_sum_of_another_tile_or_frame_is_refused():
    with pytest.raises(AccountingError, match="cannot be merged"):
        merge([part(0), part(1, tile=1)])
    with pytest.raises(AccountingError, match="cannot be merged"):
        merge([part(0), part(1, frame=2)])
    whole = merge([part(0), part(1), part(2)])
    with pytest.raises(AccountingError, match="unexpected f1-p0-t0-s0"):
        check_complete(whole, PLAN, 0, 1)


def test_other_shape_is_refused():
    small = dataclasses.replace(part(1), numerator=np.zeros(5))
    with pytest.raises(AccountingError, match="pixels"):
        merge([part(0), small])
    whole = merge([part(0), part(1), part(2)])
    with pytest.raises(AccountingError, match="pixels"):
        check_complete(dataclasses.replace(whole, numerator=np.zeros(5)), PLAN, 0, 0)


@pytest.mark.parametrize("bad", [[1.0, 2.0], np.zeros(6, dtype=np.float32), np.ma.zeros(6)])
def test_only_float64_numpy_arrays_are_sums(bad: object):
    with pytest.raises(TypeError):
        PartialImage(bad, 1.0, 1, "plan", (TileKey(0, 0, 0, 0),))  # type: ignore[arg-type]


def test_nothing_is_no_sum():
    with pytest.raises(AccountingError):
        merge([])
    with pytest.raises(PlanError):
        merge_tree([], 2, part, merge)


def test_merge_leaves_its_parts_alone():
    first = part(0)
    merge([first, part(1)])
    np.testing.assert_array_equal(first.numerator, np.full(6, 0.5))


def test_merge_adds_what_its_parts_left_out_and_took():
    told = [
        dataclasses.replace(part(chunk), skipped=0.5**chunk, kernel_seconds=2.0 + chunk)
        for chunk in range(3)
    ]
    whole = merge(told)
    assert whole.skipped == 1.75
    assert whole.kernel_seconds == 9.0


def test_sum_of_another_panel_is_refused():
    other = dataclasses.replace(part(1), keys=(TileKey(1, 1, 0, 1),))
    with pytest.raises(AccountingError, match="cannot be merged"):
        merge([part(0), other])


@pytest.mark.parametrize("arity", [2, 3])
@pytest.mark.parametrize("leaves", range(1, 12))
def test_the_tree_holds_every_leaf_whatever_groups_are_open(leaves: int, arity: int):
    def make(leaf: int) -> PartialImage:
        return PartialImage(
            numerator=np.full(6, 2.0**leaf),
            weight=1.0,
            n_terms=1,
            plan_hash=PLAN.plan_hash,
            keys=(TileKey(1, 0, 0, leaf),),
        )

    root = merge_tree(range(leaves), arity, make, merge)
    np.testing.assert_array_equal(root.numerator, np.full(6, 2.0**leaves - 1.0))
    assert [key.source_chunk for key in root.keys] == list(range(leaves))
    assert (root.weight, root.n_terms) == (leaves, leaves)
