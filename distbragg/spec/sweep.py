"""Sweeps: one experiment, and axes along which its fields vary.

Axes that share a `dim` advance together (zip); different dims form the grid product, in
order of first appearance. The cost of a sweep is the sum of its axes, never their product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError, model_validator

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec, AxisValues, axis_labels, fill_axes, lookalike
from distbragg.spec.base import SpecModel
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import ends_at_group, split_path, unit_of, value_at, with_value
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


@dataclass(frozen=True, slots=True)
class AxisCoordinate:
    """A labelled coordinate of the stack."""

    name: str  # that of the dimension where it labels the dimension itself
    dim: str
    path: str  # the field the axis sets; empty for a plain index
    unit: str  # "1" for a number without unit, empty for text
    values: NDArray[Any]  # (size,) or (size, components), files by name
    component_dim: str = ""  # name of the second dimension of `values`


class SweepSpec(SpecModel):
    """An experiment and the axes of its sweep; without axes, a sweep of one frame."""

    experiment: ExperimentSpec = ExperimentSpec()
    """The experiment of all frames, but for what the axes set; in a file also the path of its file.
    """
    axes: tuple[AxisSpec, ...] = ()
    """What varies from frame to frame; without axes there is one frame."""

    @model_validator(mode="after")
    def _check_sweep(self) -> Self:
        fill_axes(self.axes)
        self._check_names()
        for position, axis in enumerate(self.axes):
            _check_target(axis, self.experiment, field=f"axes.{position}.path")
        self._check_sizes()
        for dim, size in self.dims:
            members = [axis for axis in self.axes if axis.dimension == dim]
            # Random orientations are unit quaternions by construction.
            drawn = all(axis.random_orientations is not None for axis in members)
            for index in _spread(1 if drawn else size):
                self._spec_with({axis.target: axis.expanded.item(index) for axis in members}, dim)
        return self

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
            if any(_overlap(axis.target, other.target) for other in before):
                raise InputError(f"{axis.target} is set by two axes", field=f"axes.{position}.path")
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

    def view(self, **how: Any) -> Viewer:  # noqa: ANN401 what `distbragg.view` takes
        """Show the frames in a browser, or at the end of a notebook's cell: `distbragg.view`."""
        import distbragg  # the viewer is made of what is made of this

        return distbragg.view(self, **how)

    def rows(self) -> list[tuple[str, str]]:
        """Rows (name, value) that a notebook shows: frames, axes, and the experiment's own."""
        sizes = " x ".join(f"{name} {size:,}" for name, size in self.dims) or "none"
        rows = [("frames", f"{self.frames:,}"), ("dimensions", sizes)]
        for axis in self.coordinates():
            if axis.path:
                unit = f" ({axis.unit})" if axis.unit not in ("", "1") else ""
                rows.append((f"axis {axis.name}", f"{axis.path}{unit}"))
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
        return {axis.target: axis.expanded.item(position[axis.dimension]) for axis in self.axes}

    def frame_spec(self, index: int) -> ExperimentSpec:
        """Validate and return the experiment of one frame."""
        return self._spec_with(self.frame_values(index), f"frame {index}")

    def _spec_with(self, values: dict[str, Any], where: str) -> ExperimentSpec:
        if not values:
            return self.experiment
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
    if axis.target == _SPREAD and array.shape[1:] == (9,):
        unit = f"{unit}2"
    name, component = axis.name, ""
    if array.ndim == 2:
        component = f"{axis.name}_component"
        if axis.name == axis.dimension:
            leaf = [part for part in axis.target.split(".") if not part.isdecimal()][-1]
            name = f"{axis.name}_{leaf}"
    return AxisCoordinate(name, axis.dimension, axis.target, unit, array, component)


def _overlap(first: str, second: str) -> bool:
    return f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}.")


def _spread(size: int) -> list[int]:
    """Choose positions evenly, both ends among them; all where they are few."""
    count = min(size, _CHECKED_INDICES)
    return [step * (size - 1) // max(count - 1, 1) for step in range(count)]


def _check_target(axis: AxisSpec, base: ExperimentSpec, *, field: str) -> None:
    """Refuse paths that do not exist, are not a value, or change what all frames share."""
    try:
        parts = _split(axis.target)
    except InputError as error:
        raise error.placed(source="", field=field) from None
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
    if ends_at_group(parts):
        raise InputError(
            f"{axis.target} is a group of fields", field=field, remedy="name one field of it"
        )
    if isinstance(parts[-1], int) and value_at(base, parts) is None:
        raise InputError(
            f"{axis.target} sets one element of a list the experiment does not give",
            field=field,
            remedy="give the whole list in the experiment",
        )


def combine(old: SweepSpec, more: SweepSpec) -> SweepSpec:
    """Return the sweep that holds the frames of `old`, then those of `more`.

    Frames are numbered with the first dimension slowest, so that it alone can grow without
    renumbering frames and without moving what is stored. The axes of `more` along the first
    dimension of `old` give the new values; those along others may be left out, or must be those
    of `old`.
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
    pairs = ((axis.expanded.array, new[axis.name].expanded.array) for axis in members)
    return all(np.array_equal(stored[-len(tail) :], tail) for stored, tail in pairs)


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
