"""Sweeps: one experiment, and axes along which its fields vary.

Axes that share a `dim` advance together (zip); different dims form the grid product, in
order of first appearance. The cost of a sweep is the sum of its axes, never their product.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ValidationError, model_validator

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec, axis_labels, lookalike
from distbragg.spec.base import Count, Seed, SpecModel
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.expression import parse_expression
from distbragg.spec.fill import fill_axes
from distbragg.spec.paths import (
    default_at,
    ends_at_group,
    names_file,
    overlap,
    split_path,
    unit_of,
    value_at,
    with_value,
)
from distbragg.spec.problems import input_error

if TYPE_CHECKING:
    from distbragg.viewer.serve import Viewer

_FIXED = {
    "compute": "the plan is one for the whole stack",
    "output": "a stack stores one kind of image",
    "header_files": "a header may change the shape of a frame",
    "detector.pixels_fast": "all frames of a stack have one shape",
    "detector.pixels_slow": "all frames of a stack have one shape",
    "detector.size_fast_mm": "all frames of a stack have one shape",
    "detector.size_slow_mm": "all frames of a stack have one shape",
}
_SPREAD = "crystal.mosaic.spread_deg"  # nine numbers are a covariance, in the square of the unit
_split = cache(split_path)
_CHECKED_INDICES = 20_000
"""Longest axis of which every value is validated at load; of a longer one, that many spread
evenly, both ends among them (its frames are validated again when they are made)."""
_CHECKED_DRAWS = 2_000
"""The same where all values are drawn, by rules that nobody mistyped, besides all extremes."""
_BY_RULE = ("draw", "random_orientations", "sample", "derived")


@dataclass(frozen=True, slots=True)
class AxisCoordinate:
    """A labelled coordinate of the stack."""

    name: str  # that of the dimension where it labels the dimension itself
    dim: str
    path: str  # the field the axis sets, or several; empty for a plain index
    unit: str  # "1" for a number without unit, empty for text
    values: NDArray[Any]  # (size,) or (size, components), files by name
    component_dim: str = ""  # name of the second dimension of `values`
    drawn: str = ""  # the distribution that values are drawn from, in words

    @property
    def told(self) -> str:
        """What the axis sets, its unit, and what its values are drawn from; empty of an index."""
        unit = f" ({self.unit})" if self.unit not in ("", "1") else ""
        drawn = f": {self.drawn}" if self.drawn else ""
        return f"{self.path}{unit}{drawn}".removeprefix(": ")


def _own(axes: tuple[AxisSpec, ...]) -> tuple[AxisSpec, ...]:
    """Copy axes whose values depend on the sweep: another sweep may have the same axis."""
    depend = ("sample", "draw", "derived")
    return tuple(
        axis.model_copy() if any(getattr(axis, kind) is not None for kind in depend) else axis
        for axis in axes
    )


class SweepSpec(SpecModel):
    """An experiment and the axes of its sweep; without axes, a sweep of one frame."""

    experiment: ExperimentSpec = ExperimentSpec()
    """The experiment of all frames, but for what the axes set; in a file also the path of its file.
    """
    axes: Annotated[tuple[AxisSpec, ...], AfterValidator(_own)] = ()
    """What varies from frame to frame; without axes there is one frame."""
    count: Count | None = None
    """Number of positions of a dim that axes are drawn along: of frames, where it is the only one.
    Left out: the `count` of a draw, else as many as other axes of the dim have. Example: 2000"""
    seed: Seed | None = None
    """Seed of all draws that have none of their own. Left out: 0. Example: 1"""

    @model_validator(mode="after")
    def _check_sweep(self) -> Self:
        fill_axes(self.axes, count=self.count, seed=self.seed)
        self._check_names()
        for position, axis in enumerate(self.axes):
            field = f"axes.{position}.path" if axis.target else f"axes.{position}.alternatives"
            for target in axis.targets:
                _check_target(axis, target, self.experiment, field=field)
        self._check_sizes()
        self._check_draws()
        for dim, size in self.dims:
            members = [axis for axis in self.axes if axis.dimension == dim]
            for index in _checked(members, size):
                self._spec_with(_settings(members, index), dim)
        return self

    def _check_draws(self) -> None:
        """Refuse what is drawn for nothing."""
        drawn = {axis.name: axis.draw for axis in self.axes if axis.draw is not None}
        for field in ("count", "seed"):
            if not drawn and getattr(self, field) is not None:
                raise InputError("no axis is drawn", field=field, remedy="leave it out")
        used = {name for draw in drawn.values() for name in draw.uses()}
        for axis in self.axes:
            used |= parse_expression(axis.derived).names if axis.derived is not None else set()
        for position, axis in enumerate(self.axes):
            if not (axis.targets or axis.name in used or "path" in axis.model_fields_set):
                raise InputError(
                    "is missing",
                    field=f"axes.{position}.path",
                    remedy=f"name the field that {axis.name!r} sets, or use it in another axis",
                )

    def _check_names(self) -> None:
        dims = {axis.dimension for axis in self.axes}
        spelt: dict[str, str] = {}
        for position, axis in enumerate(self.axes):
            field, before = f"axes.{position}.name", self.axes[:position]
            for name in (axis.name, axis.dimension):
                if (other := spelt.setdefault(lookalike(name), name)) != name:
                    raise InputError(
                        f"the name {name!r} differs from {other!r} by case or look-alike letters",
                        field=field,
                        remedy="rename one of the two",
                    )
            if any(axis.name == other.name for other in before):
                raise InputError(f"the name {axis.name!r} is used twice", field=field)
            if axis.name in dims and axis.name != axis.dimension:
                problem = f"the name {axis.name!r} is the dimension of another axis"
                raise InputError(problem, field=field)
            set_before = [target for other in before for target in other.targets]
            for target in axis.targets:
                if any(overlap(target, other) for other in set_before):
                    problem = f"{target} is set by two axes"
                    raise InputError(problem, field=f"axes.{position}.path")
        self._check_vector_names({axis.name for axis in self.axes} | dims)

    def _check_vector_names(self, taken: set[str]) -> None:
        """Refuse axes called as the coordinate or the component dimension of a vector axis."""
        for axis in self.axes:
            if axis.expanded.array.ndim != 2:
                continue
            made = _coordinate(axis)
            for name in {made.name, made.component_dim} - {axis.name}:
                if name in taken:
                    raise InputError(
                        f"the name {name!r} is needed for the vectors of {axis.name!r}",
                        field="axes",
                        remedy="rename one of the two axes",
                    )
                taken.add(name)

    def _check_sizes(self) -> None:
        sizes: dict[str, int] = {}
        for position, axis in enumerate(self.axes):
            size = axis.size
            if size == 0:
                raise InputError("the axis has no values", field=f"axes.{position}")
            first = sizes.setdefault(axis.dimension, size)
            if first != size:
                raise InputError(
                    f"{size} values along {axis.dimension!r}, where another axis has {first}",
                    field=f"axes.{position}",
                    remedy="axes of one dim advance together and need equal lengths",
                )

    @property
    def dims(self) -> tuple[tuple[str, int], ...]:
        """Names and sizes of the sweep dimensions, in order of first appearance."""
        sizes: dict[str, int] = {}
        for axis in self.axes:
            sizes.setdefault(axis.dimension, axis.size)
        return tuple(sizes.items())

    @property
    def frames(self) -> int:
        """Number of frames: the product of the dimension sizes."""
        return math.prod(size for _, size in self.dims)

    @property
    def swept(self) -> dict[str, str]:
        """Names of the axes by the dotted path of each field that they set."""
        return {path: axis.name for axis in self.axes for path in axis.targets}

    def view(self, **how: Any) -> Viewer:  # noqa: ANN401 what `distbragg.view` takes
        """Show the frames in a browser, or at the end of a notebook's cell: `distbragg.view`."""
        import distbragg  # the viewer is made of what is made of this

        return distbragg.view(self, **how)

    def rows(self) -> list[tuple[str, str]]:
        """Rows (name, value) that a notebook shows: frames, axes, and the experiment's own."""
        sizes = " x ".join(f"{name} {size:,}" for name, size in self.dims) or "none"
        rows = [("frames", f"{self.frames:,}"), ("dimensions", sizes)]
        rows += [(f"axis {axis.name}", axis.told) for axis in self.coordinates() if axis.told]
        return rows + self.experiment.rows()

    def frame_index(self, index: int) -> dict[str, int]:
        """Position along each dimension of a flat C-order frame index."""
        dims = self.dims
        frames = math.prod(size for _, size in dims)
        if not 0 <= index < frames:
            raise InputError(f"there is no frame {index}; the sweep has {frames}")
        position: dict[str, int] = {}
        for name, size in reversed(dims):
            index, position[name] = divmod(index, size)
        return position

    def frame_at(self, position: Mapping[str, int]) -> int:
        """Flat C-order index of a position along each dimension, 0 where it names none."""
        index = 0
        for name, size in self.dims:
            index = index * size + position.get(name, 0)
        return index

    def frame_values(self, index: int) -> dict[str, Any]:
        """Values of one frame by the dotted path of the field they set."""
        position = self.frame_index(index)
        found: dict[str, Any] = {}
        for axis in self.axes:
            found |= axis.settings(position[axis.dimension])
        return found

    def frame_spec(self, index: int) -> ExperimentSpec:
        """Validate and return the experiment of one frame."""
        return self._spec_with(self.frame_values(index), f"frame {index}")

    def _spec_with(self, values: dict[str, Any], where: str) -> ExperimentSpec:
        if not values:
            return self.experiment
        plain: object = self.experiment
        for path, value in values.items():
            parts = _split(path)
            # What is null is as if it were not given.
            given = default_at(parts) if value is None else value
            plain = with_value(plain, parts, given, path=path)
        try:
            return ExperimentSpec.model_validate(plain)
        except ValidationError as error:
            problem = input_error(error, ExperimentSpec)
            raise InputError(
                f"{problem.problem} (sweep over {where})",
                field=problem.field,
                remedy=problem.remedy,
            ) from None

    def coordinates(self) -> tuple[AxisCoordinate, ...]:
        """Coordinates of the stack: each dimension's own label first, then its axes."""
        found: list[AxisCoordinate] = []
        for dim, size in self.dims:
            members = [axis for axis in self.axes if axis.dimension == dim]
            labels = [a for a in members if a.name == dim and a.expanded.array.ndim == 1]
            if not labels:
                found.append(AxisCoordinate(dim, dim, "", "1", np.arange(size, dtype=np.int64)))
            found += [_coordinate(axis) for axis in members]
        return tuple(found)


def _settings(axes: Sequence[AxisSpec], index: int) -> dict[str, Any]:
    """Return what axes of one dim set at a position, by path."""
    return {path: value for axis in axes for path, value in axis.settings(index).items()}


def _coordinate(axis: AxisSpec) -> AxisCoordinate:
    array = axis_labels(axis)
    unit = "" if array.dtype.kind in "UT" else unit_of(axis.target) if axis.target else "1"
    if axis.target == _SPREAD and array.shape[1:] == (9,):
        unit = f"{unit}2"
    name, component = axis.name, ""
    if array.ndim == 2:
        component = f"{axis.name}_component"
        if axis.name == axis.dimension:
            leaf = [part for part in axis.target.split(".") if not part.isdecimal()][-1]
            name = f"{axis.name}_{leaf}"
    path = ", ".join(axis.targets)
    drawn = "" if axis.draw is None else axis.draw.told()
    if drawn and names_file(axis.target):
        drawn = re.sub(r"[^\s,]*[/\\]", "", drawn)  # folders
    return AxisCoordinate(name, axis.dimension, path, unit, array, component, drawn)


def _checked(members: Sequence[AxisSpec], size: int) -> list[int]:
    """Choose the positions along a dimension whose values are validated at load."""
    if all(axis.random_orientations is not None for axis in members):
        return [0]  # unit quaternions by construction
    by_rule = all(any(getattr(axis, kind) is not None for kind in _BY_RULE) for axis in members)
    if size <= _CHECKED_DRAWS or not (by_rule and any(axis.draw for axis in members)):
        return _spread(size, _CHECKED_INDICES)
    found = set(_spread(size, _CHECKED_DRAWS))
    return sorted(found.union(*(axis.expanded.extremes(size) for axis in members)))


def _spread(size: int, most: int) -> list[int]:
    """Choose positions evenly, both ends among them; all where they are few."""
    count = min(size, most)
    return [step * (size - 1) // max(count - 1, 1) for step in range(count)]


def _check_target(axis: AxisSpec, target: str, base: ExperimentSpec, *, field: str) -> None:
    """Refuse paths that do not exist, are not a value, or change what all frames share."""
    try:
        parts = _split(target)
    except InputError as error:
        raise error.placed(source="", field=field) from None
    for fixed, reason in _FIXED.items():
        if overlap(target, fixed):
            raise InputError(f"{target} cannot be swept: {reason}", field=field)
    if target == "detector.pixel_size_mm":
        detector = base.detector
        if detector.pixels_fast is None or detector.pixels_slow is None:
            raise InputError(
                "sweeping the pixel size needs the pixel counts, or the frame's shape would change",
                field=field,
                remedy="give detector.pixels_fast and detector.pixels_slow",
            )
    if ends_at_group(parts) and axis.alternatives is None:
        raise InputError(
            f"{target} is a group of fields", field=field, remedy="name one field of it"
        )
    if isinstance(parts[-1], int) and value_at(base, parts) is None:
        raise InputError(
            f"{target} sets one element of a list the experiment does not give",
            field=field,
            remedy="give the whole list in the experiment",
        )
