"""Partial sums, their ordered merge, and the accounting that proves none was lost or doubled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from distbragg.errors import AccountingError
from distbragg.kernel.device_sum import DeviceSum
from distbragg.models.arrays import Float64Array
from distbragg.plan.frame import FramePlan
from distbragg.plan.keys import TileKey

WEIGHT_RELATIVE = 1e-9
"""Agreement asked of the summed weights: their own order of addition differs from the plan's."""


@dataclass(frozen=True, slots=True)
class PartialImage:
    """The un-normalised sum of a tile over some of its source chunks.

    Attributes
    ----------
    numerator : (pixels,) float64
        Σ w·I over the sources of `keys`, row-major (slow, fast): numpy, or in the memory of the
        GPU where the whole frame is made in this process.
    weight : float
        Sum of the weights of those sources.
    n_terms : int
        Steps summed, skipped ones included.
    plan_hash : str
        The frame plan the sum belongs to.
    keys : tuple of TileKey
        The partials it consists of, increasing.
    kernel_seconds : float
        Time the kernel took.
    skipped : float
        At most this much was left out of any pixel within the tolerance; see `TileSum`.
    """

    numerator: Float64Array | DeviceSum
    weight: float
    n_terms: int
    plan_hash: str
    keys: tuple[TileKey, ...]
    kernel_seconds: float = 0.0
    skipped: float = 0.0

    def __post_init__(self) -> None:
        numerator = self.numerator
        if type(numerator) not in (np.ndarray, DeviceSum) or numerator.dtype != np.float64:
            raise TypeError(f"a partial sum is a float64 numpy array, not {type(numerator)}")
        if numerator.ndim != 1:
            raise ValueError(f"a partial sum is flat, not of shape {numerator.shape}")
        if not self.keys:
            raise AccountingError("a partial sum names no part of the plan")


def merge(parts: Sequence[PartialImage]) -> PartialImage:
    """Add partial sums of one tile, in key order whatever their order of arrival.

    Raises
    ------
    AccountingError
        They belong to different plans, frames, panels or tiles, differ in shape, or one
        part is there twice.
    """
    ordered = sorted(parts, key=lambda part: part.keys)
    if not ordered:
        raise AccountingError("nothing to merge")
    first = ordered[0]
    if len(ordered) == 1:
        return first
    _check_alike(ordered)
    keys = tuple(key for part in ordered for key in part.keys)
    if any(after <= before for before, after in pairwise(keys)):
        raise AccountingError(f"a partial sum of tile {_place(first.keys[0])} is there twice")
    numerator: Any = first.numerator.copy()
    for part in ordered[1:]:
        numerator += part.numerator
    return PartialImage(
        numerator=numerator,
        weight=math.fsum(part.weight for part in ordered),
        n_terms=sum(part.n_terms for part in ordered),
        plan_hash=first.plan_hash,
        keys=keys,
        kernel_seconds=math.fsum(part.kernel_seconds for part in ordered),
        skipped=math.fsum(part.skipped for part in ordered),
    )


def check_complete(partial: PartialImage, plan: FramePlan, panel: int, tile: int) -> None:
    """Prove that `partial` is the whole sum of a tile, exactly.

    Raises
    ------
    AccountingError
        It belongs to another plan or place, lacks or doubles a source chunk, has the
        wrong number of pixels or steps, or its weights do not add up.
    """
    frame = partial.keys[0].frame
    expected = plan.tile_keys(frame, panel, tile)
    where = f"tile {_place(expected[0])}"
    if partial.plan_hash != plan.plan_hash:
        raise AccountingError(
            f"{where}: sum of plan {partial.plan_hash[:12]}, expected {plan.plan_hash[:12]}"
        )
    if partial.keys != expected:
        lost = sorted(set(expected) - set(partial.keys))
        other = sorted(set(partial.keys) - set(expected))
        raise AccountingError(
            f"{where}: {len(partial.keys)} of {len(expected)} source chunks; "
            f"missing {_names(lost)}, unexpected {_names(other)}"
        )
    pixels = plan.tiles[tile].pixels
    if partial.numerator.shape != (pixels,):
        raise AccountingError(f"{where}: {partial.numerator.shape} pixels, expected {pixels}")
    check_counts(plan, expected[0], terms=partial.n_terms, weight=partial.weight)


def check_counts(plan: FramePlan, key: TileKey, *, terms: int, weight: float) -> None:
    """Prove that a tile's sum has as many steps and as much weight as its plan says.

    Parameters
    ----------
    plan : FramePlan
    key : TileKey
        Of the tile's first partial.
    terms : int
        Steps summed over all its sources, skipped ones included.
    weight : float
        Sum of the weights of those sources.

    Raises
    ------
    AccountingError
        It has not.
    """
    expected = plan.tile_terms(key.panel, key.tile)
    if terms != expected:
        raise AccountingError(f"tile {_place(key)}: {terms} steps summed, expected {expected}")
    if not math.isclose(weight, plan.weight_sum, rel_tol=WEIGHT_RELATIVE):
        raise AccountingError(f"tile {_place(key)}: weights sum to {weight}, not {plan.weight_sum}")


class OrderedMerge:
    """The plan's merge tree, fed one partial at a time in index order.

    Holds at most `arity` sums per level, so a thousand source chunks need a few dozen
    tiles of memory. The additions are those of `plan.merge.merge_levels`, in that order.

    Parameters
    ----------
    arity : int
        Items added in one merge.
    """

    def __init__(self, arity: int) -> None:
        self._arity = arity
        self._levels: list[list[PartialImage]] = []

    def push(self, partial: PartialImage) -> None:
        """Take the next leaf."""
        self._add(0, partial)

    def result(self) -> PartialImage:
        """Close the open groups, lowest first, and return the root.

        Raises
        ------
        AccountingError
            Nothing was pushed.
        """
        level = 0
        while level < len(self._levels):
            waiting, self._levels[level] = self._levels[level], []
            if waiting:
                root = merge(waiting)
                if not any(self._levels[level + 1 :]):
                    return root
                self._add(level + 1, root)
            level += 1
        raise AccountingError("nothing to merge")

    def _add(self, level: int, partial: PartialImage) -> None:
        if level == len(self._levels):
            self._levels.append([])
        waiting = self._levels[level]
        waiting.append(partial)
        if len(waiting) == self._arity:
            self._levels[level] = []
            self._add(level + 1, merge(waiting))


def _check_alike(parts: Sequence[PartialImage]) -> None:
    first = parts[0]
    tile = first.keys[0].frame, first.keys[0].panel, first.keys[0].tile
    for part in parts:
        if part.plan_hash != first.plan_hash:
            raise AccountingError(
                f"sums of two plans cannot be merged ({first.plan_hash[:12]}, "
                f"{part.plan_hash[:12]})"
            )
        if part.numerator.shape != first.numerator.shape:
            raise AccountingError(
                f"sums of {first.numerator.size} and {part.numerator.size} pixels cannot be merged"
            )
        for key in part.keys:
            if (key.frame, key.panel, key.tile) != tile:
                raise AccountingError(
                    f"sums of tiles {_place(first.keys[0])} and {_place(key)} cannot be merged"
                )


def _place(key: TileKey) -> str:
    return f"f{key.frame}-p{key.panel}-t{key.tile}"


def _names(keys: Sequence[TileKey]) -> str:
    if not keys:
        return "none"
    text = ", ".join(str(key) for key in keys[:3])
    return text if len(keys) <= 3 else f"{text} and {len(keys) - 3} more"
