"""The merge tree adds the same numbers in the same order, whatever arrives when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distbragg.plan.frame import TileKey
from distbragg.plan.merge import merge_depth, merge_tasks, merge_tree
from distbragg.rendering.frame import PartialImage, merge

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


def level_by_level(count: int, arity: int) -> list[list[range]]:
    """Groups of each level, lowest first: the tree as its definition has it."""
    levels, items = [], count
    while items > 1:
        starts = range(0, items, arity)
        levels.append([range(start, min(start + arity, items)) for start in starts])
        items = len(starts)
    return levels


@given(count=st.integers(1, 90), arity=st.integers(2, 9), seed=st.integers(0, 2**32))
def test_tree_equals_the_one_made_level_by_level_bit_for_bit(count: int, arity: int, seed: int):
    parts = leaves(count, seed)
    items = list(parts)
    for groups in level_by_level(count, arity):
        items = [merge([items[index] for index in group]) for group in groups]
    whole = merge_tree(parts, arity, lambda part: part, merge)
    assert whole.numerator.tobytes() == items[0].numerator.tobytes()
    assert whole.keys == items[0].keys == tuple(key for part in parts for key in part.keys)
    assert whole.n_terms == sum(part.n_terms for part in parts)


@given(count=st.integers(1, 300), arity=st.integers(2, 9))
def test_few_parts_wait_at_a_time(count: int, arity: int):
    waiting = most = 0

    def make(leaf: int) -> int:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        return leaf

    def add(parts: Sequence[int]) -> int:
        nonlocal waiting
        waiting -= len(parts) - 1
        return parts[0]

    merge_tree(range(count), arity, make, add)
    assert most <= 1 + merge_depth(count, arity) * (arity - 1)


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
def test_levels_and_additions_are_counted(count: int, arity: int):
    levels = level_by_level(count, arity)
    assert merge_depth(count, arity) == len(levels)
    assert merge_tasks(count, arity) == sum(len(group) > 1 for groups in levels for group in groups)
