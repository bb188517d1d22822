"""The axes of a sweep: a name, the field each sets, and where its values come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from distbragg.errors import InputError
from distbragg.spec.axis_values import (
    AxisValues,
    arange_values,
    designs,
    linspace_values,
    plain_values,
    random_quaternions,
    stretched,
)
from distbragg.spec.base import Count, FilePath, Finite, SpecModel, refusal
from distbragg.spec.expression import parse_expression

QUATERNION_PATH = "crystal.quaternion_xyzw"
RESERVED_NAMES = frozenset(
    {"slow", "fast", "panel", "images", "labels", "rendered", "xyz"}
    | {f"panel_{name}" for name in ("origin", "fast", "slow", "pixel_size")}
    | {f"panel_pixels_{side}" for side in ("slow", "fast")}
)


class Linspace(SpecModel):
    """`count` evenly spaced values, both ends included."""

    start: Finite
    stop: Finite
    count: Count


class Arange(SpecModel):
    """Values from `start` in steps of `step`, up to but not including `stop`."""

    start: Finite
    stop: Finite
    step: Finite


class RandomOrientations(SpecModel):
    """Orientations uniform on SO(3), the same for the same seed."""

    count: Count
    seed: int = Field(default=0, ge=0, lt=2**63)


class Sample(SpecModel):
    """Numbers drawn between `low` and `high`, the same for the same seed.

    The sampled axes of one `dim` with the same method, count and seed are drawn together: a
    Latin hypercube or Sobol sequence fills the space of all of them. `scale: log` draws the
    logarithm evenly, `integer` whole numbers with both ends.
    """

    method: Literal["random", "latin_hypercube", "sobol"] = "random"
    count: Count
    seed: int = Field(default=0, ge=0, lt=2**63)
    low: Finite
    high: Finite
    scale: Literal["linear", "log", "integer"] = "linear"

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not self.low < self.high:
            raise refusal(f"low {self.low:g} is not below high {self.high:g}", field="low")
        if self.scale == "log" and self.low <= 0:
            raise refusal("a logarithmic range needs positive ends", field="low")
        if self.scale == "integer" and not (self.low.is_integer() and self.high.is_integer()):
            raise refusal("a range of whole numbers needs whole ends", field="low")
        return self


class Table(SpecModel):
    """Values from a CSV or Parquet file: one column, or several that make a vector.

    A DIALS experiment list (`.expt`) gives the orientation matrices of its crystals, for
    `crystal.u_matrix`, and needs no columns. Read when the sweep is loaded; the values
    themselves become part of the sweep.
    """

    file: FilePath
    column: str | None = None
    columns: tuple[str, ...] | None = None


class AxisSpec(SpecModel):
    """One axis: a name, the field it sets, and its values.

    `derived` computes the values from other axes of the same `dim`, by name, and `index`.

    `path` is the dotted path of any field outside `compute` and `output` whose change leaves
    the frame's shape alone; an element of a list is addressed by its index. `dim` is by
    default the axis's own name.
    """

    name: str
    path: str = ""
    dim: str = ""
    values: Annotated[tuple[Any, ...], BeforeValidator(plain_values)] | None = None
    linspace: Linspace | None = None
    arange: Arange | None = None
    random_orientations: RandomOrientations | None = None
    sample: Sample | None = None
    table: Table | None = None
    derived: str | None = None

    _expanded: AxisValues = PrivateAttr()

    @model_validator(mode="after")
    def _check_axis(self) -> Self:
        for field, word in (("name", self.name), ("dim", self.dimension)):
            if not word.isidentifier():
                raise refusal(
                    f"{word!r} is no identifier",
                    field=field,
                    remedy="use letters, digits and underscores, not starting with a digit",
                )
            if word in RESERVED_NAMES:
                raise refusal(f"{word!r} is a name of the stack itself", field=field)
        kinds = (
            "values",
            "linspace",
            "arange",
            "random_orientations",
            "sample",
            "table",
            "derived",
        )
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise refusal(f"needs exactly one of {', '.join(kinds)}, found {found}")
        if self.random_orientations is not None and self.path not in ("", QUATERNION_PATH):
            raise refusal(f"random orientations set {QUATERNION_PATH}", field="path")
        if not self.target:
            raise refusal("is missing", field="path", remedy="name the field this axis sets")
        if self.derived is not None:
            parse_expression(self.derived)
            if not self.dim:
                raise refusal(
                    "is missing",
                    field="dim",
                    remedy="a derived axis runs along the dim of the axes it is derived from",
                )
        elif self.sample is None and self.table is None:
            self._expanded = self._expand()
        return self

    def fill(self, values: AxisValues) -> None:
        """Give the axis the values that depend on the axes beside it."""
        self._expanded = values

    @property
    def dimension(self) -> str:
        """Name of the dimension the axis runs along."""
        return self.dim or self.name

    @property
    def target(self) -> str:
        """Dotted path the axis sets."""
        return QUATERNION_PATH if self.random_orientations is not None else self.path

    @property
    def expanded(self) -> AxisValues:
        """All values of the axis, made once."""
        return self._expanded

    def _expand(self) -> AxisValues:
        if self.linspace is not None:
            return linspace_values(self.linspace.start, self.linspace.stop, self.linspace.count)
        if self.arange is not None:
            return arange_values(self.arange.start, self.arange.stop, self.arange.step)
        if self.random_orientations is not None:
            return random_quaternions(self.random_orientations.count, self.random_orientations.seed)
        return AxisValues.of(self.values or ())


def fill_axes(axes: tuple[AxisSpec, ...]) -> None:
    """Give sampled and derived axes their values, which depend on the axes beside them.

    Raises
    ------
    InputError
        A table was not read, or a derived axis cannot be computed.
    """
    groups: dict[tuple[str, str, int, int], list[AxisSpec]] = {}
    for position, axis in enumerate(axes):
        if axis.table is not None:
            raise InputError(
                f"the table {axis.table.file!r} was not read",
                field=f"axes.{position}.table",
                remedy="load the sweep from its file with distbragg.load_sweep",
            )
        if (drawn := axis.sample) is not None:
            key = (axis.dimension, drawn.method, drawn.count, drawn.seed)
            groups.setdefault(key, []).append(axis)
    for (_, method, count, seed), members in groups.items():
        cube = designs(method, count, len(members), seed)
        for column, axis in enumerate(members):
            if (drawn := axis.sample) is not None:
                axis.fill(stretched(cube[:, column], drawn.low, drawn.high, drawn.scale))
    for position, axis in enumerate(axes):
        if axis.derived is not None:
            axis.fill(_derive(axis, axes, f"axes.{position}.derived"))


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
                f"{name!r} is no axis along {axis.dimension!r}",
                field=field,
                remedy=f"use index and {', '.join(beside)}; derived axes cannot use one another",
            )
        array = beside[name].expanded.array
        if array.ndim != 1 or array.dtype.kind not in "iuf" or array.shape[0] != size:
            raise InputError(f"the axis {name!r} is not one number a position", field=field)
        values[name] = array.astype(np.float64)
    try:
        return AxisValues(expression.evaluate(values, size))
    except PydanticCustomError as error:
        raise InputError(error.message(), field=field) from None
