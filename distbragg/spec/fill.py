"""Values of axes that depend on the axes beside them: samples, draws, and what is derived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic_core import PydanticCustomError

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec, Sample
from distbragg.spec.axis_values import AxisValues
from distbragg.spec.deviates import Deviates
from distbragg.spec.distributions import Drawing
from distbragg.spec.draw import DrawSpec
from distbragg.spec.expression import parse_expression
from distbragg.spec.paths import names_file

Axes = tuple[AxisSpec, ...]


def fill_axes(axes: Axes, *, count: int | None = None, seed: int | None = None) -> None:
    """Give sampled, drawn and derived axes their values.

    `count` is the size of dims of which all axes are drawn; `seed`, 0 where it is None, that of
    all draws without one of their own.
    """
    groups: dict[tuple[str, str, int, int], list[tuple[AxisSpec, Sample]]] = {}
    for position, axis in enumerate(axes):
        if axis.table is not None:
            raise InputError(
                f"the table {axis.table.file!r} was not read",
                field=f"axes.{position}.table",
                remedy="load the sweep from its file with distbragg.load_sweep",
            )
        if (drawn := axis.sample) is not None:
            key = (axis.dimension, drawn.method, drawn.count, drawn.seed)
            groups.setdefault(key, []).append((axis, drawn))
    for members in groups.values():
        cube = members[0][1].design(len(members))
        for column, (axis, drawn) in enumerate(members):
            axis._expanded = drawn.within(cube[:, column])
    _Draws(axes, count, seed or 0).fill()
    for position, axis in enumerate(axes):
        if axis.derived is not None:
            axis._expanded = _derive(axis, axes, f"axes.{position}.derived")


class _Draws:
    """Draws of a sweep, each made once the axes are known that it depends on."""

    def __init__(self, axes: Axes, count: int | None, seed: int) -> None:
        self._axes = {axis.name: axis for axis in axes}
        self._places = {axis.name: f"axes.{place}.draw" for place, axis in enumerate(axes)}
        self._count, self._seed = count, seed
        self._done: set[str] = set()

    def fill(self) -> None:
        """Draw all of them."""
        for axis, draw in self._drawn():
            self._fill(axis, draw, ())
        self._check_count()

    def _check_count(self) -> None:
        """Refuse a count of the sweep that no dim has, since its draws have counts of their own."""
        drawn = list(self._drawn())
        sizes = {len(axis.expanded) for axis, _ in drawn}
        unequal = len({(axis.dimension, len(axis.expanded)) for axis, _ in drawn}) > len(
            {axis.dimension for axis, _ in drawn}
        )  # which is refused where all axes are looked at
        if self._count is None or not drawn or self._count in sizes or unequal:
            return
        name, own = next(
            ((axis.name, draw.count) for axis, draw in drawn if draw.count is not None), ("", None)
        )
        if own is not None:
            raise InputError(
                f"{self._count} positions, where {name!r} is drawn {own} times",
                field="count",
                remedy=f"leave one of the two out, or give {own} in both",
            )

    def _drawn(self, dim: str | None = None) -> Iterator[tuple[AxisSpec, DrawSpec]]:
        for axis in self._axes.values():
            if axis.draw is not None and dim in (None, axis.dimension):
                yield axis, axis.draw

    def _fill(self, axis: AxisSpec, draw: DrawSpec, above: Sequence[str]) -> None:
        if axis.name in self._done:
            return
        field, beside = self._places[axis.name], {}
        if axis.name in above:
            cycle = ", ".join(map(repr, above))
            raise InputError(f"the draws of {cycle} depend on one another", field=field)
        size = self._size(axis, draw)
        for name in draw.uses():
            other = self._axes.get(name)
            if other is None or other.dimension != axis.dimension or other.derived is not None:
                raise InputError(
                    f"{name!r} is not an axis along {axis.dimension!r} that a draw can depend on",
                    field=field,
                    remedy="name an axis of the same dim that is not derived",
                )
            if other.draw is not None:
                self._fill(other, other.draw, (*above, axis.name))
            if len(other.expanded) != size:
                problem = f"{name!r} has {len(other.expanded)} values, {axis.name!r} {size}"
                raise InputError(problem, field=field)
            beside[name] = _told(other)
        own = self._seed if draw.seed is None else draw.seed
        try:
            axis._expanded = draw.drawn(Drawing(Deviates(own, axis.name, size), beside))
        except PydanticCustomError as error:
            said = error.context or {}
            inner = f".{said['field']}" if said.get("field") else ""
            raise InputError(
                said.get("problem", ""), field=f"{field}{inner}", remedy=said.get("remedy", "")
            ) from None
        self._done.add(axis.name)

    def _size(self, axis: AxisSpec, draw: DrawSpec) -> int:
        """Return the number of positions: its own, the dim's, the sweep's, that of other axes."""
        dim = axis.dimension
        beside = [other.count for _, other in self._drawn(dim)]
        others = (
            len(other.expanded)
            for other in self._axes.values()
            if other.dimension == dim and other.draw is None and other.derived is None
        )
        stated = [draw.count, *beside, self._count, *others]
        for count in stated:
            if count is not None:
                return count
        raise InputError(
            f"nothing says how many values are drawn along {dim!r}",
            field="count",
            remedy="give the sweep a count, the number of its frames",
        )


def _told(axis: AxisSpec) -> AxisValues:
    """Return the values that a draw may depend on: files by their last names."""
    values = axis.expanded
    if not names_file(axis.target):
        return values
    names = [str(name).replace("\\", "/").rpartition("/")[2] for name in values.array.tolist()]
    return AxisValues(np.array(names), values.missing)


def _derive(axis: AxisSpec, axes: tuple[AxisSpec, ...], field: str) -> AxisValues:
    """Compute a derived axis from the axes of its dim that are not derived themselves."""
    expression = parse_expression(axis.derived or "")
    beside = {
        other.name: other
        for other in axes
        if other.derived is None and other.dimension == axis.dimension
    }
    if not beside:
        raise InputError(
            f"no other axis runs along {axis.dimension!r}", field=field.replace("derived", "dim")
        )
    size = len(next(iter(beside.values())).expanded)
    values = {"index": np.arange(size, dtype=np.float64)}
    for name in sorted(expression.names - {"index"}):
        if name not in beside:
            raise InputError(
                f"{name!r} is not an axis along {axis.dimension!r}",
                field=field,
                remedy=f"use index and {', '.join(beside)}; derived axes cannot use one another",
            )
        array = beside[name].expanded.array
        if array.ndim != 1 or array.dtype.kind not in "biuf" or array.shape[0] != size:
            raise InputError(f"the axis {name!r} is not one number a position", field=field)
        values[name] = array.astype(np.float64)
    try:
        return AxisValues(expression.evaluate(values, size))
    except PydanticCustomError as error:
        raise InputError(error.message(), field=field) from None
