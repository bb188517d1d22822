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
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.matrices import apply3, matmul3
from distbragg.read.geometry.model import MAXIMUM_PANELS, Triple, direction, number, triple
from distbragg.read.geometry.rotation import rotation_matrix
from distbragg.read.heaps import check_heaps
from distbragg.read.text import shown
from distbragg.read.units import angle_deg, length_mm, unit_attribute

_LONGEST_CHAIN: Final = 64
_MOST_VALUES: Final = 1_000_000
_MM_PER_METRE: Final = 1e3
_UNIT_LENGTH: Final = 1e-3

Matrix = NDArray[np.float64]
Node = Any
"""A group, dataset or their attributes: h5py carries no types."""


@contextmanager
def open_nexus(path: str) -> Iterator[NexusFile]:
    """Open a NeXus file; what h5py raises on a damaged one becomes one line.

    Raises
    ------
    InputError
        It is no HDF5 file, or not a whole one.
    """
    try:
        check_heaps(path)
        with h5py.File(path, "r", locking=False) as file:
            yield NexusFile(file, path)
    except InputError:
        raise
    except (
        OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError,
        IndexError, MemoryError, UnicodeError, NotImplementedError, RecursionError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"not a readable NeXus file ({reason})", source=path) from error


class NexusFile:
    """One open file, and the notes on what was read of it."""

    def __init__(self, file: h5py.File, path: str) -> None:
        self.file, self.path = file, path
        self.notes: list[str] = []

    def stored(self, group: Node, name: str) -> Node:
        """Return a member that lies in this file, or None."""
        link = group.get(name, getlink=True)
        if link is None or isinstance(link, h5py.ExternalLink):
            return None
        member = group.get(name)
        elsewhere = member is not None and member.file.filename != self.file.filename
        return None if elsewhere else member

    def of_class(self, group: Node, nx_class: str) -> list[tuple[str, Node]]:
        """Return the groups of a class in a group, by name."""
        found = []
        for name in sorted(group):
            member = self.stored(group, name)
            if isinstance(member, h5py.Group) and text(member.attrs.get("NX_class")) == nx_class:
                found.append((name, member))
            if len(found) > MAXIMUM_PANELS:
                break
        return found

    def first(self, group: Node, nx_class: str, holding: str = "") -> Node:
        """Return the first group of a class; a note says that there are more.

        Those that hold a member, or a group, of the name or class `holding` go before others.

        Raises
        ------
        InputError
            There is none.
        """
        found = self.of_class(group, nx_class)
        if not found:
            raise InputError(
                f"there is no {nx_class} in it",
                source=self.path,
                remedy="give the master file of the images, by NXmx",
            )
        if len(found) > 1:
            found.sort(key=lambda item: not self._holds(item[1], holding))
            self.notes.append(f"{found[0][0]} is used of {len(found)} {nx_class}")
        return found[0][1]

    def _holds(self, group: Node, wanted: str) -> bool:
        return self.stored(group, wanted) is not None or bool(self.of_class(group, wanted))

    def group(self, parent: Node, name: str) -> Node:
        """Return a member that is a group, or None."""
        member = self.stored(parent, name)
        return member if isinstance(member, h5py.Group) else None

    def array(self, dataset: Node, what: str) -> Matrix:
        """Return all values of a dataset, float64 in its own shape.

        Raises
        ------
        InputError
            It holds no numbers, too many, or one that is not finite.
        """
        if not isinstance(dataset, h5py.Dataset) or dataset.size is None:
            raise InputError(f"{what} is no field of numbers", source=self.path)
        if not 1 <= dataset.size <= _MOST_VALUES or dataset.dtype.kind not in "iuf":
            raise InputError(f"{what} holds no number", source=self.path)
        return np.asarray(dataset[()], dtype=np.float64)

    def values(self, dataset: Node, what: str) -> list[float]:
        """Return all values of a dataset."""
        flat = self.array(dataset, what).reshape(-1)
        return [number(value, self.path, what) for value in flat.tolist()]

    def field(self, group: Node, name: str) -> list[float]:
        """Return the values of a member that must be there."""
        member = self.stored(group, name)
        if member is None:
            raise InputError(f"{group.name} has no {name}", source=self.path)
        return self.values(member, name)

    def optional(self, group: Node, name: str) -> float | None:
        """Return the first value of a member, or None."""
        member = self.stored(group, name)
        return None if member is None else self.values(member, name)[0]

    def scalar(self, group: Node, name: str) -> object:
        """Return a single value of any type, or None."""
        member = self.stored(group, name)
        if not isinstance(member, h5py.Dataset) or member.size != 1:
            return None
        return member[()]

    def length(self, group: Node, name: str) -> float | None:
        """Return a length, mm, or None where it is missing."""
        member = self.stored(group, name)
        if member is None:
            return None
        return self.values(member, name)[0] * self.length_unit(member.attrs, name)

    def length_unit(self, attrs: Node, what: str, key: str | None = None) -> float:
        """Return the size of a unit of length, mm."""
        word = unit_attribute(attrs) if key is None else text(attrs.get(key))
        found = None if word is None else length_mm(word)
        if found is None:
            raise self.unknown_unit(what, word)
        return found

    def angle_unit(self, attrs: Node, what: str) -> float:
        """Return the size of a unit of angles, degrees."""
        word = unit_attribute(attrs)
        found = None if word is None else angle_deg(word)
        if found is None:
            raise self.unknown_unit(what, word)
        return found

    def unknown_unit(self, what: str, word: str | None) -> InputError:
        """Return the error for a unit that is missing or not known."""
        said = "no unit" if word is None else f"no known unit ('{shown(word)}')"
        return InputError(f"{what} has {said}", source=self.path)

    def axis(self, dataset: Node, what: str) -> Triple:
        """Return the unit vector of an axis."""
        if "vector" not in dataset.attrs:
            raise InputError(f"{what} has no vector", source=self.path)
        vector = np.asarray(dataset.attrs["vector"], dtype=np.float64).reshape(-1)
        if vector.size != 3:
            raise InputError(f"the vector of {what} has not three numbers", source=self.path)
        return direction(triple(vector.tolist(), self.path, what), self.path, what)

    def offset(self, dataset: Node, what: str, unit: float | None) -> Matrix:
        """Offset of an axis, mm; without units of its own it has the axis's, else metres."""
        if "offset" not in dataset.attrs:
            return np.zeros(3)
        values = np.asarray(dataset.attrs["offset"], dtype=np.float64).reshape(-1)
        if values.size != 3:
            raise InputError(f"the offset of {what} has not three numbers", source=self.path)
        if "offset_units" in dataset.attrs:
            unit = self.length_unit(dataset.attrs, f"the offset of {what}", "offset_units")
        elif unit is None and values.any():
            self.notes.append(f"the offset of {what} says no unit: metres are taken")
        offset = np.array(triple(values.tolist(), self.path, what))
        return offset * (_MM_PER_METRE if unit is None else unit)

    def chain(self, start: str, *, skip_values_of: str = "") -> tuple[Matrix, Matrix]:
        """Rotation and translation (mm) of a chain of axes, the innermost named first.

        The axis `skip_values_of` counts as standing at 0.
        """
        rotation, translation = np.eye(3), np.zeros(3)
        for name, dataset in self.axes(start):
            kind = text(dataset.attrs.get("transformation_type"))
            value = 0.0 if name == skip_values_of else self._at_first(dataset, name)
            if kind == "rotation":
                angle = value * self.angle_unit(dataset.attrs, name)
                turn = rotation_matrix(self.axis(dataset, name), angle)
                shift = self.offset(dataset, name, None)
                rotation = matmul3(turn, rotation)
                translation = apply3(turn, translation) + shift
            elif kind == "translation":
                unit = self.length_unit(dataset.attrs, name)
                shift = self.offset(dataset, name, unit)
                translation = translation + self._way(dataset, name) * value * unit + shift
            else:
                raise InputError(f"{name} is neither rotation nor translation", source=self.path)
        return rotation, translation

    def _way(self, dataset: Node, name: str) -> Matrix:
        """Return the vector of a translation; one of no length stands for none.

        NeXus asks for unit length. One of another length is taken as it stands, as other
        programs take it, and a note says so.
        """
        vector = np.asarray(dataset.attrs.get("vector", ()), dtype=np.float64).reshape(-1)
        length = math.hypot(*vector.tolist())
        if vector.size == 3 and length == 0.0:
            return np.zeros(3)
        unit = np.array(self.axis(dataset, name))
        if abs(length - 1.0) <= _UNIT_LENGTH:
            return unit
        self.notes.append(f"the vector of {name} is {length:g} long: it is taken as it stands")
        return unit * length

    def _at_first(self, dataset: Node, name: str) -> float:
        """Return the value of an axis; of one that moves, the first."""
        values = self.values(dataset, name)
        note = f"{name} moves: the first of its {len(values)} values is used"
        if any(value != values[0] for value in values) and note not in self.notes:
            self.notes.append(note)
        return values[0]

    def axes(self, start: str) -> Iterator[tuple[str, Node]]:
        """Yield the axes from the innermost outwards."""
        seen: set[str] = set()
        name = start
        while name not in ("", "."):
            if name in seen or len(seen) >= _LONGEST_CHAIN:
                raise InputError("a chain of axes runs in a circle", source=self.path)
            seen.add(name)
            dataset = self.stored(self.file, name)
            if not isinstance(dataset, h5py.Dataset):
                raise InputError(f"the axis {name[:80]} is missing", source=self.path)
            yield name, dataset
            name = resolved(text(dataset.attrs.get("depends_on")), dataset.name)


def turned(matrix: Matrix, vector: Triple) -> Triple:
    """Rotate a vector; what is not turned keeps its bits."""
    if (matrix == np.eye(3)).all():
        return vector
    x, y, z = apply3(matrix, vector).tolist()
    return x, y, z


def text(value: object) -> str:
    """Return a text however it is stored; empty for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return text(value.reshape(-1)[0])
    return value if isinstance(value, str) else ""


def resolved(name: str, place: str) -> str:
    """Return the absolute path of a `depends_on`, which may be relative to its own group."""
    if name in ("", ".") or name.startswith("/"):
        return name
    return f"{place.rpartition('/')[0]}/{name}"
