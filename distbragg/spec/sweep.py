"""Sweeps: one experiment, and axes along which its fields vary.

Axes that share a `dim` advance together (zip); different dims form the grid product, in
order of first appearance. The cost of a sweep is the sum of its axes, never their product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError, model_validator

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec, fill_axes
from distbragg.spec.base import SpecModel
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.file_names import axis_labels
from distbragg.spec.paths import ends_at_group, leaf_paths, split_path, value_at, with_value
from distbragg.spec.problems import input_error
from distbragg.spec.revise import NotRevisableError, changes_of, revised
from distbragg.spec.suffix import unit_of

_FIXED = {
    "compute": "the plan is one for the whole stack",
    "output": "a stack stores one kind of image",
    "header_files": "a header may change the shape of a frame",
    "detector.pixels_fast": "all frames of a stack have one shape",
    "detector.pixels_slow": "all frames of a stack have one shape",
    "detector.size_fast_mm": "all frames of a stack have one shape",
    "detector.size_slow_mm": "all frames of a stack have one shape",
}
_CHECKED_INDICES = 20_000
"""Longest axis of which every value is validated at load; of a longer one, that many spread
evenly, both ends among them (its frames are validated again when they are made)."""


@dataclass(frozen=True, slots=True)
class AxisCoordinate:
    """A labelled coordinate of the stack.

    Attributes
    ----------
    name : str
        Name of the coordinate; differs from `dim` unless it labels the dimension itself.
    dim : str
    path : str
        Field the axis sets; empty for a plain index.
    unit : str
        "1" for a number without unit, empty for text.
    values : (size,) or (size, components) array
        Files by name.
    component_dim : str
        Name for the second dimension of `values`; empty where there is none.
    """

    name: str
    dim: str
    path: str
    unit: str
    values: NDArray[Any]
    component_dim: str = ""


class SweepSpec(SpecModel):
    """An experiment and the axes of its sweep; without axes, a sweep of one frame."""

    experiment: ExperimentSpec = ExperimentSpec()
    axes: tuple[AxisSpec, ...] = ()

    @model_validator(mode="after")
    def _check_sweep(self) -> Self:
        fill_axes(self.axes)
        self._check_names()
        for position, axis in enumerate(self.axes):
            _check_target(axis, self.experiment, field=f"axes.{position}.path")
        self._check_sizes()
        for dim, size in self.dims:
            self._check_values(dim, size)
        return self

    def _check_names(self) -> None:
        seen: set[str] = set()
        targets: set[str] = set()
        dims = {axis.dimension for axis in self.axes}
        for position, axis in enumerate(self.axes):
            if axis.name in seen:
                raise InputError(
                    f"the name {axis.name!r} is used twice", field=f"axes.{position}.name"
                )
            if axis.name in dims and axis.name != axis.dimension:
                raise InputError(
                    f"the name {axis.name!r} is the dimension of another axis",
                    field=f"axes.{position}.name",
                )
            clash = next((t for t in targets if _overlap(t, axis.target)), None)
            if clash is not None:
                raise InputError(f"{axis.target} is set by two axes", field=f"axes.{position}.path")
            seen.add(axis.name)
            targets.add(axis.target)
        self._check_vector_names(seen | dims)

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
            size = len(axis.expanded)
            if size == 0:
                raise InputError("the axis has no values", field=f"axes.{position}")
            first = sizes.setdefault(axis.dimension, size)
            if first != size:
                raise InputError(
                    f"{size} values along {axis.dimension!r}, where another axis has {first}",
                    field=f"axes.{position}",
                    remedy="axes of one dim advance together and need equal lengths",
                )

    def _check_values(self, dim: str, size: int) -> None:
        """Validate each value of the axes of one dim against the base experiment."""
        members = [axis for axis in self.axes if axis.dimension == dim]
        if all(axis.random_orientations is not None for axis in members):
            size = 1  # every one is a unit quaternion by construction
        for index in _spread(size):
            self._spec_with({axis.target: axis.expanded.item(index) for axis in members}, dim)

    @property
    def dims(self) -> tuple[tuple[str, int], ...]:
        """Names and sizes of the sweep dimensions, in order of first appearance."""
        sizes: dict[str, int] = {}
        for axis in self.axes:
            sizes.setdefault(axis.dimension, len(axis.expanded))
        return tuple(sizes.items())

    @property
    def frames(self) -> int:
        """Number of frames: the product of the dimension sizes."""
        return math.prod(size for _, size in self.dims)

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

    def frame_values(self, index: int) -> dict[str, Any]:
        """Values of one frame by the dotted path of the field they set."""
        position = self.frame_index(index)
        return {axis.target: axis.expanded.item(position[axis.dimension]) for axis in self.axes}

    def frame_spec(self, index: int) -> ExperimentSpec:
        """Validate and return the experiment of one frame.

        Raises
        ------
        InputError
            The values of this frame do not go together.
        """
        return self._spec_with(self.frame_values(index), f"frame {index}")

    def _spec_with(self, values: dict[str, Any], where: str) -> ExperimentSpec:
        if not values:
            return self.experiment
        try:
            changes = changes_of({_split(path): value for path, value in values.items()})
            return revised(self.experiment, changes)
        except (NotRevisableError, ValueError, InputError):
            pass  # validated whole, where an error has its place named from the top
        plain: object = self.experiment
        for path, value in values.items():
            plain = with_value(plain, _split(path), value, path=path)
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


def _coordinate(axis: AxisSpec) -> AxisCoordinate:
    array = axis_labels(axis)
    unit = "" if array.dtype.kind in "UT" else unit_of(axis.target)
    name, component = axis.name, ""
    if array.ndim == 2:
        component = f"{axis.name}_component"
        if axis.name == axis.dimension:
            leaf = [part for part in axis.target.split(".") if not part.isdecimal()][-1]
            name = f"{axis.name}_{leaf}"
    return AxisCoordinate(name, axis.dimension, axis.target, unit, array, component)


@cache
def _split(path: str) -> tuple[str | int, ...]:
    return split_path(path)


@cache
def _leaves() -> frozenset[str]:
    return frozenset(leaf_paths())


def _overlap(first: str, second: str) -> bool:
    return f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}.")


def _spread(size: int) -> Iterator[int]:
    if size <= _CHECKED_INDICES:
        yield from range(size)
        return
    for step in range(_CHECKED_INDICES):
        yield step * (size - 1) // (_CHECKED_INDICES - 1)


def _check_target(axis: AxisSpec, base: ExperimentSpec, *, field: str) -> None:
    """Refuse paths that do not exist, are not a value, or change what all frames share."""
    try:
        parts = _split(axis.target)
    except InputError as error:
        raise InputError(error.problem, field=field, remedy=error.remedy) from None
    for fixed, reason in _FIXED.items():
        if _overlap(axis.target, fixed):
            raise InputError(f"{axis.target} cannot be swept: {reason}", field=field)
    if axis.target == "detector.pixel_size_mm":
        detector = base.detector
        if detector.pixels_fast is None or detector.pixels_slow is None:
            raise InputError(
                "sweeping the pixel size needs the pixel counts, or the frame's shape would change",
                field=field,
                remedy="give detector.pixels_fast and detector.pixels_slow",
            )
    names = ".".join(part for part in parts if isinstance(part, str))
    within_list = any(isinstance(part, int) for part in parts)
    if ends_at_group(parts) if within_list else names not in _leaves():
        raise InputError(
            f"{axis.target} is a group of fields", field=field, remedy="name one field of it"
        )
    if isinstance(parts[-1], int) and value_at(base, parts) is None:
        raise InputError(
            f"{axis.target} sets one element of a list the experiment does not give",
            field=field,
            remedy="give the whole list in the experiment",
        )
