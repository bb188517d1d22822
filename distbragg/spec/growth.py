"""Sweeps that grow along their first dimension, as runs are extended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec
from distbragg.spec.axis_values import AxisValues
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.sweep import SweepSpec

_COUNTED: Final = ("draw", "random_orientations", "sample")
"""Kinds of values that are drawn, of which more may be drawn."""


def combine(old: SweepSpec, more: SweepSpec) -> SweepSpec:
    """Return the sweep that holds the frames of `old`, then those of `more`.

    Frames are numbered with the first dimension slowest, so that it alone can grow without
    renumbering frames and without moving what is stored. The axes of `more` along the first
    dimension of `old` give the new values; those along others may be left out, or must be those
    of `old`. Axes that are drawn draw on where `more` does not name them.
    """
    if not old.axes:
        raise InputError(
            "the stack is a single frame, which has no axis to append to",
            remedy="make a sweep of all frames",
        )
    first = old.dims[0][0]
    given = {axis.name: axis for axis in more.axes}
    grown = [_grown(axis, given.pop(axis.name, None), first) for axis in old.axes]
    if given:
        raise InputError(
            f"{next(iter(given))!r} is not an axis of the stack",
            field="axes",
            remedy=f"axes are {', '.join(axis.name for axis in old.axes)}",
        )
    _refuse_repeats(grown, old, first)
    plain = {**to_plain(old), "axes": grown}
    along = zip(old.axes, grown, strict=True)
    sizes = [len(new["values"]) for a, new in along if a.dimension == first and "values" in new]
    if sizes:
        _resize(plain, old, sizes[0])
    return SweepSpec.model_validate(plain)


def is_tail(old: SweepSpec, more: SweepSpec) -> bool:
    """Whether the frames of `more` are the last ones of `old` already."""
    first = old.dims[0][0] if old.axes else ""
    new = {axis.name: axis for axis in more.axes}
    along = [axis for axis in old.axes if axis.dimension == first and axis.derived is None]
    members = [axis for axis in along if axis.draw is None or axis.name in new]
    if not members or not all(axis.name in new for axis in members):
        return False
    return all(_ends_with(axis.expanded, new[axis.name].expanded) for axis in members)


def _ends_with(values: AxisValues, tail: AxisValues) -> bool:
    return values.take(np.arange(len(values))[-len(tail) :]) == tail


def grown(sweep: SweepSpec, count: int) -> SweepSpec:
    """Return the sweep with `count` positions along its first dimension; those it has stay.

    For dimensions whose axes are drawn by position, or in order from a seed. Raises `InputError`
    where an axis has its values listed, or would change those it has.
    """
    if not sweep.axes:
        raise InputError("the stack is a single frame, which has no axis to append to")
    first, size = sweep.dims[0]
    if count < size:
        problem = f"{count} positions along {first!r}, which has {size}"
        raise InputError(problem, field="count", remedy=f"give more than {size}")
    plain = to_plain(sweep)
    for axis, data in zip(sweep.axes, plain["axes"], strict=True):
        kind = next((kind for kind in _COUNTED if kind in data), "")
        if axis.dimension == first and not kind and axis.derived is None:
            raise InputError(
                f"{axis.name!r} has its values listed: a count says none of the new ones",
                field="axes",
                remedy="append by a file with new values of it",
            )
        if axis.dimension == first and "count" in data.get(kind, {}):
            data[kind]["count"] = count
    _resize(plain, sweep, count)
    made = SweepSpec.model_validate(plain)
    for axis, longer in zip(sweep.axes, made.axes, strict=True):
        if longer.expanded.take(np.arange(len(axis.expanded))) != axis.expanded:
            raise InputError(
                f"{axis.name!r} would be drawn otherwise for more positions",
                field="axes",
                remedy="append by a file with new values of it",
            )
    return made


def _resize(plain: dict[str, Any], sweep: SweepSpec, count: int) -> None:
    """Give the draws along the first dimension a number of positions, in plain data."""
    first = sweep.dims[0][0]
    others = any(axis.draw is not None and axis.dimension != first for axis in sweep.axes)
    if sweep.count is not None and not others:
        plain["count"] = count
    for axis, data in zip(sweep.axes, plain["axes"], strict=True):
        if "draw" in data and axis.dimension == first and ("count" in data["draw"] or others):
            data["draw"]["count"] = count


def _grown(axis: AxisSpec, new: AxisSpec | None, first: str) -> Mapping[str, Any]:
    if new is not None and (new.targets, new.dimension) != (axis.targets, axis.dimension):
        raise InputError(
            f"{axis.name!r} sets {', '.join(new.targets)} along {new.dimension!r}; in the stack it "
            f"sets {', '.join(axis.targets)} along {axis.dimension!r}",
            field="axes",
        )
    if new is not None and new.alternatives != axis.alternatives:
        raise InputError(f"{axis.name!r} has other alternatives than in the stack", field="axes")
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
    if new is None and axis.draw is not None:
        return to_plain(axis)
    if new is None:
        raise InputError(
            f"new values of {axis.name!r} are missing: it runs along {first!r}, which grows",
            field="axes",
        )
    values = [*axis.expanded.items(), *_as_stored(axis, new.expanded)]
    named = {key: value for key, value in to_plain(axis).items() if key == "alternatives"}
    return {"name": axis.name, "dim": axis.dim, "path": axis.target, "values": values, **named}


def _as_stored(axis: AxisSpec, new: AxisValues) -> list[Any]:
    """Return new values in the type of those that are stored."""
    old = axis.expanded.array
    kind, found = old.dtype.kind, new.array.dtype.kind
    if old.ndim != new.array.ndim or old.shape[1:] != new.array.shape[1:]:
        raise InputError(f"new values of {axis.name!r} have another shape", field="axes")
    if kind == "f" and found == "i":
        return AxisValues(new.array.astype(np.float64), new.missing).items()
    if kind != found:
        raise InputError(
            f"new values of {axis.name!r} are of another kind ({new.array.dtype}) than those of "
            f"the stack ({old.dtype})",
            field="axes",
        )
    return new.items()


def _refuse_repeats(grown: Sequence[Mapping[str, Any]], old: SweepSpec, first: str) -> None:
    """Refuse a frame that is there already: seeds would give the same images twice."""
    size = old.dims[0][1]
    if any("draw" in axis for axis in grown if axis.get("dim") == first):
        return  # what is drawn differs
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
