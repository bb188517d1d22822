"""The merge tree: which partial sums are added to which, and in what order.

Neighbours in index order are added `arity` at a time, then those sums likewise, until
one is left. The tree depends on the number of leaves and the arity alone, so neither
workers nor the order of arrival can change a rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from distbragg.errors import PlanError

Leaf = TypeVar("Leaf")
Part = TypeVar("Part")

MERGE_ARITY: Final = 8  # partial sums added in one merge: 4,096 chunks need four levels


def merge_tree(
    leaves: Sequence[Leaf],
    arity: int,
    make: Callable[[Leaf], Part],
    add: Callable[[Sequence[Part]], Part],
) -> Part:
    """Make a part of each leaf, and add them up by the tree, in index order.

    A branch is added up before the next is begun: at most `arity` parts per level wait, so a
    thousand source chunks need a few dozen tiles of memory.
    """
    if not leaves or arity < 2:
        raise PlanError(f"merge tree of {len(leaves)} leaves and arity {arity}")
    if len(leaves) == 1:
        return make(leaves[0])
    branch = 1
    while branch * arity < len(leaves):
        branch *= arity
    starts = range(0, len(leaves), branch)
    return add([merge_tree(leaves[at : at + branch], arity, make, add) for at in starts])


def merge_tasks(leaves: int, arity: int = MERGE_ARITY) -> int:
    """Count the additions of the tree; a part that is alone in its group costs none."""
    return merge_tree(range(leaves), arity, lambda _: 0, lambda counts: 1 + sum(counts))


def merge_depth(leaves: int, arity: int = MERGE_ARITY) -> int:
    """Count the levels of the tree."""
    return merge_tree(range(leaves), arity, lambda _: 0, lambda depths: 1 + max(depths))
