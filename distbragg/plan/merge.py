"""The merge tree: which partial sums are added to which, and in what order.

Neighbours in index order are added `arity` at a time, then those sums likewise, until
one is left. The tree depends on the number of leaves and the arity alone, so neither
workers nor the order of arrival can change a rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from distbragg.errors import PlanError

MERGE_ARITY: Final = 8
"""Partial sums added in one merge: 4,096 chunks need four levels."""


@dataclass(frozen=True, slots=True, order=True)
class MergeGroup:
    """One addition of the tree: items `start` to `stop` of the level below, in that order.

    Attributes
    ----------
    level : int
        1 for a sum of leaves.
    index : int
        Position within the level.
    start, stop : int
        Half-open range of items of level − 1.
    """

    level: int
    index: int
    start: int
    stop: int


def merge_levels(leaves: int, arity: int = MERGE_ARITY) -> Iterator[tuple[MergeGroup, ...]]:
    """Yield the groups of each level, lowest first; nothing where there is one leaf.

    Raises
    ------
    PlanError
        No leaf, or an arity below 2.
    """
    if leaves < 1 or arity < 2:
        raise PlanError(f"merge tree of {leaves} leaves and arity {arity}")
    level, items = 0, leaves
    while items > 1:
        level += 1
        starts = range(0, items, arity)
        yield tuple(
            MergeGroup(level, index, start, min(start + arity, items))
            for index, start in enumerate(starts)
        )
        items = len(starts)


def merge_tasks(leaves: int, arity: int = MERGE_ARITY) -> int:
    """Count the additions of the tree; a group of one item costs none."""
    return sum(
        1
        for groups in merge_levels(leaves, arity)
        for group in groups
        if group.stop - group.start > 1
    )


def merge_depth(leaves: int, arity: int = MERGE_ARITY) -> int:
    """Count the levels of the tree."""
    return sum(1 for _ in merge_levels(leaves, arity))
