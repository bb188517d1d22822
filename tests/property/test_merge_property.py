"""The merge tree adds the same numbers in the same order, whatever arrives when."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distbragg.graph.partial import OrderedMerge, PartialImage, merge
from distbragg.plan.keys import TileKey
from distbragg.plan.merge import merge_depth, merge_levels, merge_tasks

PIXELS = 5


def leaves(count: int, seed: int) -> list[PartialImage]:
    rng = np.random.default_rng(seed)
    return [
        PartialImage(
            numerator=rng.standard_normal(PIXELS) * 10.0 ** rng.integers(-8, 8),
            weight=float(rng.random()),
            n_terms=int(rng.integers(0, 100)),
            plan_hash="plan",
            keys=(TileKey(3, 0, 2, index),),
        )
        for index in range(count)
    ]


def merge_by_levels(parts: list[PartialImage], arity: int) -> PartialImage:
    items = list(parts)
    for groups in merge_levels(len(items), arity):
        items = [merge(items[group.start : group.stop]) for group in groups]
    return items[0]


@given(count=st.integers(1, 90), arity=st.integers(2, 9), seed=st.integers(0, 2**32))
def test_streaming_merge_equals_the_plans_tree_bit_for_bit(count: int, arity: int, seed: int):
    parts = leaves(count, seed)
    tree = OrderedMerge(arity)
    for part in parts:
        tree.push(part)
    streamed, levelled = tree.result(), merge_by_levels(parts, arity)
    assert streamed.numerator.tobytes() == levelled.numerator.tobytes()
    assert streamed.keys == levelled.keys == tuple(key for part in parts for key in part.keys)
    assert streamed.n_terms == sum(part.n_terms for part in parts)


@given(
    parts=st.integers(2, 12).flatmap(lambda n: st.permutations(range(n))),
    seed=st.integers(0, 2**32),
)
def test_order_of_arrival_changes_no_bit(parts: list[int], seed: int):
    ordered = leaves(len(parts), seed)
    arrived = merge([ordered[index] for index in parts])
    assert arrived.numerator.tobytes() == merge(ordered).numerator.tobytes()
    assert arrived.keys == merge(ordered).keys


@given(count=st.integers(1, 5000), arity=st.integers(2, 16))
def test_each_level_covers_the_one_below_once(count: int, arity: int):
    items, depth, additions = count, 0, 0
    for groups in merge_levels(count, arity):
        covered = [item for group in groups for item in range(group.start, group.stop)]
        assert covered == list(range(items))
        assert all(group.stop - group.start <= arity for group in groups)
        items, depth = len(groups), depth + 1
        additions += sum(group.stop - group.start > 1 for group in groups)
    assert items == 1
    assert merge_depth(count, arity) == depth
    assert merge_tasks(count, arity) == additions
