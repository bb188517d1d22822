"""Appending values to the first dimension of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec
from distbragg.spec.axis_values import AxisValues
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.sweep import SweepSpec


def combine(old: SweepSpec, more: SweepSpec, *, same_experiment: bool = True) -> SweepSpec:
    """Return the sweep that holds the frames of `old`, then those of `more`.

    Frames are numbered with the first dimension slowest, so that it alone can grow without
    renumbering frames and without moving what is stored.

    Parameters
    ----------
    old : SweepSpec
    more : SweepSpec
        The same experiment. Its axes along the first dimension of `old` give the new values;
        axes along other dimensions may be left out, or must be those of `old`.
    same_experiment : bool
        Whether the experiments were compared and found equal.

    Raises
    ------
    InputError
        They do not go together.
    """
    if not old.axes:
        raise InputError(
            "the stack is a single frame, which has no axis to append to",
            remedy="make a sweep of all frames",
        )
    if not same_experiment:
        raise InputError(
            "is not the experiment of the stack",
            field="experiment",
            remedy="leave `experiment` out, or give it as it was",
        )
    first = old.dims[0][0]
    given = {axis.name: axis for axis in more.axes}
    grown = [_grown(axis, given.pop(axis.name, None), first) for axis in old.axes]
    if given:
        raise InputError(
            f"{next(iter(given))!r} is no axis of the stack",
            field="axes",
            remedy=f"axes are {', '.join(axis.name for axis in old.axes)}",
        )
    _refuse_repeats(grown, old, first)
    plain = to_plain(old)
    return SweepSpec.model_validate({**plain, "axes": grown})


def is_tail(old: SweepSpec, more: SweepSpec) -> bool:
    """Whether the frames of `more` are the last ones of `old` already."""
    first = old.dims[0][0] if old.axes else ""
    new = {axis.name: axis for axis in more.axes}
    members = [axis for axis in old.axes if axis.dimension == first and axis.derived is None]
    if not members or not all(axis.name in new for axis in members):
        return False
    return all(
        len(new[axis.name].expanded) <= len(axis.expanded)
        and np.array_equal(
            axis.expanded.array[-len(new[axis.name].expanded) :], new[axis.name].expanded.array
        )
        for axis in members
    )


def _grown(axis: AxisSpec, new: AxisSpec | None, first: str) -> Mapping[str, Any]:
    if new is not None and (new.target, new.dimension) != (axis.target, axis.dimension):
        raise InputError(
            f"{axis.name!r} sets {new.target} along {new.dimension!r}; in the stack it sets "
            f"{axis.target} along {axis.dimension!r}",
            field="axes",
        )
    if axis.dimension != first:
        if new is not None and new.expanded != axis.expanded:
            raise InputError(
                f"{axis.name!r} has other values than in the stack: frames can be appended along "
                f"{first!r}, the first dimension, alone",
                field="axes",
                remedy=f"leave {axis.name!r} out, or render another stack",
            )
        return to_plain(axis)
    if axis.derived is not None and (new is None or new.derived == axis.derived):
        return to_plain(axis)
    if new is None:
        raise InputError(
            f"new values of {axis.name!r} are missing: it runs along {first!r}, which grows",
            field="axes",
        )
    values = [*axis.expanded.array.tolist(), *_as_stored(axis, new.expanded)]
    return {"name": axis.name, "dim": axis.dim, "path": axis.target, "values": values}


def _as_stored(axis: AxisSpec, new: AxisValues) -> list[Any]:
    """Return new values in the type of those that are stored."""
    old = axis.expanded.array
    kind, found = old.dtype.kind, new.array.dtype.kind
    if old.ndim != new.array.ndim or old.shape[1:] != new.array.shape[1:]:
        raise InputError(f"new values of {axis.name!r} have another shape", field="axes")
    if kind == "f" and found == "i":
        return list(new.array.astype(np.float64).tolist())
    if kind != found:
        raise InputError(
            f"new values of {axis.name!r} are of another kind ({new.array.dtype}) than those of "
            f"the stack ({old.dtype})",
            field="axes",
        )
    return list(new.array.tolist())


def _refuse_repeats(grown: Sequence[Mapping[str, Any]], old: SweepSpec, first: str) -> None:
    """Refuse a frame that is there already: seeds would give the same images twice."""
    size = old.dims[0][1]
    members = {axis.name for axis in old.axes if axis.dimension == first}
    columns = [axis["values"] for axis in grown if axis["name"] in members and "values" in axis]
    rows = [canonical_json(list(row)) for row in zip(*columns, strict=True)]
    known = set(rows[:size])
    for number, row in enumerate(rows[size:]):
        if row in known:
            raise InputError(
                f"value {number} along {first!r} is in the stack already",
                field="axes",
                remedy="append other values; random orientations need another seed",
            )
        known.add(row)
