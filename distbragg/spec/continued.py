"""How the axes of a run go on, of which the new frames say nothing.

Along the dimension that grows every axis needs new values. One that is left out goes on only where
there is one way to: what is constant stays, what is drawn one value after another is drawn on, and
what is derived is derived. Whatever else is left out is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.spec.axis import AxisSpec
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.fill import fill_axes
from distbragg.spec.sweep import SweepSpec

FRAME_SHIFT: Final = "noise.frame_shift"
DRAWN: Final = ("random_orientations", "sample")
"""Kinds of axes of which more values begin with the fewer: but for a Latin hypercube."""


def named_as_before(axes: object, run: SweepSpec) -> object:
    """Fill in path and dim, where a plain axis leaves them out, from the run's axis of its name."""
    if not isinstance(axes, list | tuple):
        return axes
    known = {axis.name: axis for axis in run.axes}
    return [_named(axis, known) if isinstance(axis, Mapping) else axis for axis in axes]


def _named(plain: Mapping[str, Any], known: Mapping[str, AxisSpec]) -> Mapping[str, Any]:
    before = known.get(str(plain.get("name")))
    if before is None:
        return plain
    if before.alternatives is not None:
        return {"alternatives": before.alternatives, "dim": before.dim, **plain}
    path = {} if "random_orientations" in plain else {"path": before.target}
    return {**path, **({"dim": before.dim} if before.dim else {}), **plain}


def continued(run: SweepSpec, more: SweepSpec) -> tuple[SweepSpec, Notes]:
    """Return `more` with the axes that it leaves out along the dimension that grows.

    Parameters
    ----------
    run : SweepSpec
        What is there.
    more : SweepSpec
        New values of at least one axis along the first dimension of `run`.

    Returns
    -------
    tuple of SweepSpec and notes
        The notes say of each axis that was left out how it goes on.

    Raises
    ------
    InputError
        An axis has no way to go on by itself; names it and the remedy.
    """
    first = run.dims[0][0] if run.axes else ""
    given = {axis.name for axis in more.axes}
    members = [axis for axis in run.axes if axis.dimension == first]
    counts = [len(axis.expanded) for axis in more.axes if axis.dimension == first]
    left_out = [axis for axis in members if axis.name not in given and axis.derived is None]
    if not counts or not left_out:
        return more, ()
    count, size = counts[0], run.dims[0][1]
    longer = _drawn_on(members, size + count)
    made, notes = [], []
    drawn_on = f"drawn further, values {size} to {size + count - 1}"
    for axis in left_out:
        if axis.draw is not None:
            notes.append(Note("note", f"axes.{axis.name}", f"not in the file: {drawn_on}"))
            continue
        new, how = _next(axis, longer.get(axis.name), count, run)
        made.append(new)
        notes.append(Note("note", f"axes.{axis.name}", f"not in the file: {how}"))
    plain = to_plain(more)
    return SweepSpec.model_validate({**plain, "axes": [*plain["axes"], *made]}), tuple(notes)


def as_drawn(grown: SweepSpec, run: SweepSpec) -> SweepSpec:
    """Return the same sweep with drawn axes as rules, where those give the same values.

    They can go on once more then, and take less room than their values.
    """
    if not run.axes or not grown.axes:
        return grown
    (first, size), plain = grown.dims[0], to_plain(grown)
    longer = _drawn_on([axis for axis in run.axes if axis.dimension == first], size)
    for position, axis in enumerate(grown.axes):
        rule = longer.get(axis.name)
        if rule is not None and np.array_equal(rule.expanded.array, axis.expanded.array):
            plain["axes"][position] = to_plain(rule)
    try:
        found = SweepSpec.model_validate(plain)
    except InputError:
        return grown
    same = all(
        new.expanded == old.expanded for new, old in zip(found.axes, grown.axes, strict=True)
    )
    return found if same else grown


def fingerprint(more: SweepSpec) -> str:
    """Return the SHA-256 of the axes asked for, hex: asked for again, they are there already."""
    return hashlib.sha256(canonical_json(to_plain(more)["axes"]).encode()).hexdigest()


def _drawn_on(members: Sequence[AxisSpec], size: int) -> dict[str, AxisSpec]:
    """Return the axes that are drawn one value after another, by name, with `size` values."""
    axes = tuple(_longer(members, size))
    fill_axes(axes)
    before = {axis.name: axis.expanded.array for axis in members}
    return {
        axis.name: axis
        for axis in axes
        if np.array_equal(axis.expanded.array[: len(before[axis.name])], before[axis.name])
    }


def _longer(members: Sequence[AxisSpec], size: int) -> Iterator[AxisSpec]:
    for axis in members:
        for kind in DRAWN:
            rule = getattr(axis, kind)
            if rule is not None:
                plain = to_plain(axis)
                yield AxisSpec.model_validate({**plain, kind: {**plain[kind], "count": size}})


def _next(
    axis: AxisSpec, longer: AxisSpec | None, count: int, run: SweepSpec
) -> tuple[dict[str, Any], str]:
    """Return the next values of an axis, as a plain axis, and how they follow."""
    values, size = axis.expanded.array, len(axis.expanded)
    plain = {"name": axis.name, "dim": axis.dim, "path": axis.target}
    if axis.alternatives is not None:
        plain["alternatives"] = to_plain(axis)["alternatives"]
    if axis.target == FRAME_SHIFT:
        shift = _fresh_shift(axis, run)
        return {**plain, "values": [shift] * count}, f"{shift}, so that no frame has old noise"
    if longer is not None:
        drawn = longer.expanded.array[size:].tolist()
        return {**plain, "values": drawn}, f"drawn further, values {size} to {size + count - 1}"
    if (values == values[0]).all() or axis.expanded.nulls.all():
        value = axis.item(0)
        return {**plain, "values": [value] * count}, f"stays {value}"
    raise InputError(
        f"new values of {axis.name!r} are missing: it runs along {axis.dimension!r}, which grows, "
        "and is neither constant nor drawn one value after another",
        field="axes",
        remedy=f"give {axis.name!r} {count} values of its own, or a rule with another seed",
    )


def _fresh_shift(axis: AxisSpec, run: SweepSpec) -> int:
    """Return a shift by which no new frame has the number of a frame that is there."""
    per_step = run.frames // len(axis.expanded)
    last = per_step * np.arange(1, len(axis.expanded) + 1) - 1 + axis.expanded.array
    return max(0, int(last.max()) + 1 - run.frames)
