"""A NeXus file: members by class, fields with units, chains of transformations.

Only what is stored in the file itself is read. A chain is followed by `depends_on` from the
innermost axis outwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import h5py
import numpy as np

from distbragg.matrices import apply3, matmul3
from distbragg.read.geometry.model import (
    IDENTITY,
    MAXIMUM_PANELS,
    GeometryReading,
    Matrix,
    Triple,
    rotation_matrix,
)
from distbragg.read.hdf5 import Attributes, Elsewhere, open_hdf5, open_member, stored_values
from distbragg.read.units import angle_deg, length_mm, unit_attribute

_LONGEST_CHAIN: Final = 64
_MOST_VALUES: Final = 1_000_000
_MM_PER_METRE: Final = 1e3
_UNIT_LENGTH: Final = 1e-3

Node = Any  # a group or dataset: h5py carries no types


@contextmanager
def open_nexus(path: str) -> Iterator[NexusFile]:
    """Open a NeXus file; what h5py raises on a damaged one becomes one line."""
    with open_hdf5(path, "NeXus") as file:
        yield NexusFile(file, path)


class NexusFile(GeometryReading):
    """One open file."""

    def __init__(self, file: h5py.File, path: str) -> None:
        super().__init__(path)
        self.file = file

    def stored(self, group: Node, name: str) -> Node:
        """Return a member that lies in this file, or None."""
        try:
            return open_member(group, name, self.path)
        except Elsewhere:
            return None

    def dataset(self, group: Node, name: str) -> Node:
        """Return a member that is a dataset of this file, or None; None of no group too."""
        member = None if group is None else self.stored(group, name)
        return member if isinstance(member, h5py.Dataset) else None

    def group(self, parent: Node, name: str) -> Node:
        """Return a member that is a group of this file, or None."""
        member = self.stored(parent, name)
        return member if isinstance(member, h5py.Group) else None

    def of_class(self, group: Node, nx_class: str) -> list[tuple[str, Node]]:
        """Return the groups of a class in a group, by name."""
        found = []
        for name in sorted(group):
            member = self.group(group, name)
            if member is not None and self.attribute(member, "NX_class") == nx_class:
                found.append((name, member))
            if len(found) > MAXIMUM_PANELS:
                break
        return found

    def first(self, group: Node, nx_class: str, *holding: str) -> Node:
        """Return the first group of a class; a note says that there are more.

        Those that hold a member of the first name, or a group of the first class, of `holding` go
        before those that hold one of the second, and these before others.
        """
        found = self.of_class(group, nx_class)
        if not found:
            raise self.refusal(
                f"there is no {nx_class} in it", "give the master file of the images, by NXmx"
            )
        if len(found) > 1:
            found.sort(key=lambda item: self._rank(item[1], holding))
            self.note(f"{found[0][0]} is used of {len(found)} {nx_class}")
        return found[0][1]

    def _rank(self, group: Node, holding: tuple[str, ...]) -> int:
        for rank, wanted in enumerate(holding):
            if self.stored(group, wanted) is not None or self.of_class(group, wanted):
                return rank
        return len(holding)

    def attribute(self, node: Node, key: str) -> str:
        """Return an attribute that is a text; empty for anything else."""
        return _text(Attributes(node).get(key))

    def text(self, group: Node, name: str) -> str:
        """Return a member that is a single text; empty for anything else."""
        member = self.dataset(group, name)
        if member is None or member.size != 1:
            return ""
        return _text(stored_values(member, self.path)[()])

    def array(self, dataset: Node, what: str) -> Matrix:
        """Return all values of a dataset, float64 in its own shape."""
        if not isinstance(dataset, h5py.Dataset) or dataset.size is None:
            raise self.refusal(f"{what} is not a field of numbers")
        if not 1 <= dataset.size <= _MOST_VALUES or dataset.dtype.kind not in "iuf":
            raise self.refusal(f"{what} holds no number")
        return stored_values(dataset, self.path).astype(np.float64)

    def values(self, dataset: Node, what: str) -> list[float]:
        """Return all values of a dataset."""
        flat = self.array(dataset, what).reshape(-1)
        return [self.number(value, what) for value in flat.tolist()]

    def optional(self, group: Node, name: str) -> float | None:
        """Return the first value of a member, or None."""
        member = self.stored(group, name)
        return None if member is None else self.values(member, name)[0]

    def length(self, group: Node, name: str, pixel: float | None = None) -> float | None:
        """Return a length, mm, or None; without a unit it counts in pixels where one is given."""
        member = self.stored(group, name)
        if member is None:
            return None
        unit = self.length_unit(member, name, pixel=pixel)
        return self.values(member, name)[0] * unit

    def length_unit(
        self, node: Node, what: str, key: str = "", pixel: float | None = None
    ) -> float:
        """Return the size of a unit of length, mm; `key`: the attribute that names it."""
        word = self.attribute(node, key) if key else unit_attribute(Attributes(node))
        if word is None and pixel is not None:
            return pixel
        return self.unit(None if word is None else length_mm(word, pixel), what, word)

    def angle_unit(self, node: Node, what: str) -> float:
        """Return the size of a unit of angles, degrees."""
        word = unit_attribute(Attributes(node))
        return self.unit(None if word is None else angle_deg(word), what, word)

    def _vector(self, node: Node, key: str, what: str) -> Triple:
        """Return an attribute of three numbers."""
        if key not in Attributes(node):
            raise self.refusal(f"{what} has no {key}")
        values = np.asarray(Attributes(node)[key], dtype=np.float64).reshape(-1)
        if values.size != 3:
            raise self.refusal(f"the {key} of {what} has not three numbers")
        return self.triple(values.tolist(), what)

    def axis(self, dataset: Node, what: str) -> Triple:
        """Return the unit vector of an axis."""
        return self.direction(self._vector(dataset, "vector", what), what)

    def offset(self, dataset: Node, what: str, unit: float | None) -> Matrix:
        """Offset of an axis, mm; without units of its own it has the axis's, else metres."""
        if "offset" not in Attributes(dataset):
            return np.zeros(3)
        offset = np.array(self._vector(dataset, "offset", what))
        if "offset_units" in Attributes(dataset):
            unit = self.length_unit(dataset, f"the offset of {what}", "offset_units")
        elif unit is None and offset.any():
            self.note(f"the offset of {what} has no unit: metres are taken")
        return offset * (_MM_PER_METRE if unit is None else unit)

    def chain(self, start: str) -> tuple[Matrix, Matrix]:
        """Rotation and translation (mm) of a chain of axes, the innermost named first."""
        rotation, translation = IDENTITY, np.zeros(3)
        for name, dataset in self.axes(start):
            kind = self.attribute(dataset, "transformation_type")
            value, *others = self.values(dataset, name)
            if any(other != value for other in others):
                self.note(f"{name} moves: the first of its {len(others) + 1} values is used")
            if kind == "rotation":
                angle = value * self.angle_unit(dataset, name)
                turn = rotation_matrix(self.axis(dataset, name), angle)
                rotation = matmul3(turn, rotation)
                translation = apply3(turn, translation) + self.offset(dataset, name, None)
            elif kind == "translation":
                unit = self.length_unit(dataset, name)
                shift = self.offset(dataset, name, unit)
                translation = translation + self._way(dataset, name) * value * unit + shift
            else:
                raise self.refusal(f"{name} is neither rotation nor translation")
        return rotation, translation

    def _way(self, dataset: Node, name: str) -> Matrix:
        """Return the vector of a translation; one of no length stands for none.

        NeXus asks for unit length. One of another length is taken as it stands, as other
        programs take it, and a note says so.
        """
        vector = self._vector(dataset, "vector", name)
        length = math.hypot(*vector)
        if length == 0.0:
            return np.zeros(3)
        unit = np.array(self.direction(vector, name))
        if abs(length - 1.0) <= _UNIT_LENGTH:
            return unit
        self.note(f"the vector of {name} is {length:g} long: it is taken as it stands")
        return unit * length

    def axes(self, start: str) -> Iterator[tuple[str, Node]]:
        """Yield the axes from the innermost outwards."""
        seen: set[str] = set()
        name = start
        while name not in ("", "."):
            if name in seen or len(seen) >= _LONGEST_CHAIN:
                raise self.refusal("a chain of axes runs in a circle")
            seen.add(name)
            dataset = self.dataset(self.file, name)
            if dataset is None:
                raise self.refusal(f"the axis {name[:80]} is missing")
            yield name, dataset
            name = self.outer(dataset)

    def outer(self, dataset: Node) -> str:
        """Return the path of the axis that an axis stands on; empty or a dot for none."""
        return resolved(self.attribute(dataset, "depends_on"), dataset.name.rpartition("/")[0])

    def innermost(self, group: Node) -> str:
        """Return the path of the axis that a group stands on; empty or a dot for none."""
        return resolved(self.text(group, "depends_on"), group.name)


def turned(matrix: Matrix, vector: Triple) -> Triple:
    """Rotate a vector; what is not turned keeps its bits."""
    if (matrix == IDENTITY).all():
        return vector
    x, y, z = apply3(matrix, vector).tolist()
    return x, y, z


def resolved(name: str, group: str) -> str:
    """Return the absolute path of a `depends_on`, which may be relative to its own group."""
    return name if name in ("", ".") or name.startswith("/") else f"{group}/{name}"


def _text(value: object) -> str:
    """Return a text however it is stored; empty for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _text(value.reshape(-1)[0])
    return value if isinstance(value, str) else ""
