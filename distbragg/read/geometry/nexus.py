"""NXmx: detector modules and the goniometer of a NeXus master file, read with h5py.

Vectors stay in NeXus's frame (McStas: beam along +z). A chain of transformations is followed
by `depends_on` from the innermost axis outwards; only what is stored in the file itself is read.
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
from distbragg.read.geometry.model import (
    MAXIMUM_PANELS,
    FileGeometry,
    PanelGeometry,
    Triple,
    check_panels,
    count,
    direction,
    number,
    positive,
    square_pixel,
    triple,
)
from distbragg.read.geometry.rotation import rotation_matrix
from distbragg.read.heaps import check_heaps

_FRAME: Final = "NeXus's (McStas: beam along +z)"
_LENGTHS: Final = {"m": 1e3, "mm": 1.0, "cm": 10.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3}
_ANGLES: Final = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180.0 / math.pi}
_WAVELENGTHS: Final = {"angstrom": 1.0, "å": 1.0, "a": 1.0, "nm": 10.0, "m": 1e10}
_LONGEST_CHAIN: Final = 64
_MOST_VALUES: Final = 1_000_000
_LARGEST_MASK: Final = 1 << 27

Matrix = NDArray[np.float64]
Node = Any
"""A group, dataset or their attributes: h5py carries no types."""


def read_nxmx(path: str) -> FileGeometry:
    """Read the first NXmx entry of a NeXus file.

    Raises
    ------
    InputError
        No NeXus file, or a detector whose modules cannot be placed.
    """
    with _damage_is_input_error(path):
        check_heaps(path)
    with _damage_is_input_error(path), h5py.File(path, "r") as file:
        return check_panels(_Reader(file, path).geometry())


@contextmanager
def _damage_is_input_error(path: str) -> Iterator[None]:
    """Turn what h5py raises on a file that is no or no whole HDF5 into one line."""
    try:
        yield
    except InputError:
        raise
    except (
        OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError,
        IndexError, MemoryError, UnicodeError, NotImplementedError, RecursionError,
    ) as error:  # fmt: skip
        text = " ".join(str(error).split())[:120]
        raise InputError(f"not a readable NeXus file ({text})", source=path) from error


class _Reader:
    """One open file."""

    def __init__(self, file: h5py.File, path: str) -> None:
        self.file, self.path = file, path
        self.notes: list[str] = []

    def geometry(self) -> FileGeometry:
        """Read the whole geometry."""
        entry = self._first(self.file, "NXentry")
        instrument = self._first(entry, "NXinstrument")
        detector = self._first(instrument, "NXdetector")
        spindle, phi, oscillation = self._goniometer(entry)
        return FileGeometry(
            source=self.path,
            format="nxmx",
            frame=_FRAME,
            panels=self._panels(detector),
            beam=(0.0, 0.0, 1.0),
            wavelength=self._wavelength(entry, instrument),
            polarization=(1.0, 0.0, 0.0),
            spindle=spindle,
            phi=phi,
            oscillation=oscillation,
            notes=tuple(self.notes),
        )

    def _stored(self, group: Node, name: str) -> Node:
        """Return a member that lies in this file, or None."""
        link = group.get(name, getlink=True)
        if link is None or isinstance(link, h5py.ExternalLink):
            return None
        return group.get(name)

    def _of_class(self, group: Node, nx_class: str) -> list[tuple[str, Node]]:
        found = []
        for name in sorted(group):
            member = self._stored(group, name)
            if isinstance(member, h5py.Group) and _text(member.attrs.get("NX_class")) == nx_class:
                found.append((name, member))
            if len(found) > MAXIMUM_PANELS:
                break
        return found

    def _first(self, group: Node, nx_class: str) -> Node:
        found = self._of_class(group, nx_class)
        if not found:
            raise InputError(f"there is no {nx_class} in it", source=self.path)
        if len(found) > 1:
            self.notes.append(f"{found[0][0]} is used of {len(found)} {nx_class}")
        return found[0][1]

    def _values(self, dataset: Node, what: str) -> list[float]:
        if not isinstance(dataset, h5py.Dataset) or dataset.size is None:
            raise InputError(f"{what} is no field of numbers", source=self.path)
        if not 1 <= dataset.size <= _MOST_VALUES or dataset.dtype.kind not in "iuf":
            raise InputError(f"{what} holds no number", source=self.path)
        values = np.asarray(dataset[()], dtype=np.float64).reshape(-1)
        return [number(value, self.path, what) for value in values.tolist()]

    def _field(self, group: Node, name: str) -> list[float]:
        member = self._stored(group, name)
        if member is None:
            raise InputError(f"{group.name} has no {name}", source=self.path)
        return self._values(member, name)

    def _length(self, group: Node, name: str) -> float | None:
        """Return a length, mm, or None where it is missing."""
        member = self._stored(group, name)
        if member is None:
            return None
        return self._values(member, name)[0] * self._unit(member.attrs, "units", _LENGTHS, name)

    def _unit(self, attrs: Node, key: str, table: dict[str, float], what: str) -> float:
        unit = _text(attrs.get(key)).lower()
        if unit not in table:
            raise InputError(f"{what} has no known unit ('{unit[:20]}')", source=self.path)
        return table[unit]

    def _axis(self, dataset: Node, what: str) -> Triple:
        vector = np.asarray(dataset.attrs["vector"], dtype=np.float64).reshape(-1)
        if vector.size != 3:
            raise InputError(f"the vector of {what} has not three numbers", source=self.path)
        return direction(triple(vector.tolist(), self.path, what), self.path, what)

    def _offset(self, dataset: Node, what: str, unit: float) -> Matrix:
        """Offset of an axis, mm; without units of its own it has the axis's."""
        if "offset" not in dataset.attrs:
            return np.zeros(3)
        values = np.asarray(dataset.attrs["offset"], dtype=np.float64).reshape(-1)
        if values.size != 3:
            raise InputError(f"the offset of {what} has not three numbers", source=self.path)
        if "offset_units" in dataset.attrs:
            unit = self._unit(dataset.attrs, "offset_units", _LENGTHS, f"the offset of {what}")
        return np.array(triple(values.tolist(), self.path, what)) * unit

    def _chain(self, start: str, *, skip_values_of: str = "") -> tuple[Matrix, Matrix]:
        """Rotation and translation (mm) of a chain of axes, the innermost named first.

        The axis `skip_values_of` counts as standing at 0.
        """
        rotation, translation = np.eye(3), np.zeros(3)
        for name, dataset in self._axes(start):
            kind = _text(dataset.attrs.get("transformation_type"))
            vector = np.array(self._axis(dataset, name))
            value = 0.0 if name == skip_values_of else self._values(dataset, name)[0]
            if kind == "rotation":
                turn = rotation_matrix(
                    self._axis(dataset, name),
                    value * self._unit(dataset.attrs, "units", _ANGLES, name),
                )
                shift = self._offset(dataset, name, _LENGTHS["m"])
                rotation = matmul3(turn, rotation)
                translation = apply3(turn, translation) + shift
            elif kind == "translation":
                unit = self._unit(dataset.attrs, "units", _LENGTHS, name)
                shift = self._offset(dataset, name, unit)
                translation = translation + vector * value * unit + shift
            else:
                raise InputError(f"{name} is neither rotation nor translation", source=self.path)
        return rotation, translation

    def _axes(self, start: str) -> Iterator[tuple[str, Node]]:
        """Yield the axes from the innermost outwards."""
        seen: set[str] = set()
        name = start
        while name not in ("", "."):
            if name in seen or len(seen) >= _LONGEST_CHAIN:
                raise InputError("a chain of axes runs in a circle", source=self.path)
            seen.add(name)
            dataset = self._stored(self.file, name)
            if not isinstance(dataset, h5py.Dataset):
                raise InputError(f"the axis {name[:80]} is missing", source=self.path)
            yield name, dataset
            name = _resolved(_text(dataset.attrs.get("depends_on")), dataset.name)

    def _panels(self, detector: Node) -> tuple[PanelGeometry, ...]:
        modules = self._of_class(detector, "NXdetector_module")
        if not modules:
            raise InputError("the detector has no NXdetector_module", source=self.path)
        thickness = self._length(detector, "sensor_thickness")
        material = _text(self._scalar(detector, "sensor_material"))
        mask = self._mask(detector)
        return tuple(
            self._panel(name, module, thickness, material, mask) for name, module in modules
        )

    def _panel(
        self,
        name: str,
        module: Node,
        thickness: float | None,
        material: str,
        mask: NDArray[Any] | None,
    ) -> PanelGeometry:
        fast = self._stored(module, "fast_pixel_direction")
        slow = self._stored(module, "slow_pixel_direction")
        if fast is None or slow is None:
            raise InputError(f"{name} has no pixel directions", source=self.path)
        size, first = self._field(module, "data_size"), self._field(module, "data_origin")
        if len(size) < 2 or len(first) != len(size):
            raise InputError(f"data_size of {name} has not two numbers", source=self.path)
        shape = (
            count(size[-2], self.path, "data_size"),
            count(size[-1], self.path, "data_size"),
        )
        fast_unit = self._unit(fast.attrs, "units", _LENGTHS, "fast_pixel_direction")
        slow_unit = self._unit(slow.attrs, "units", _LENGTHS, "slow_pixel_direction")
        pixel = square_pixel(
            positive(self._values(fast, "a pixel")[0] * fast_unit, self.path, "the pixel size"),
            positive(self._values(slow, "a pixel")[0] * slow_unit, self.path, "the pixel size"),
            self.path,
        )
        turn, shift = self._chain(_resolved(_text(fast.attrs.get("depends_on")), fast.name))
        slow_turn, _ = self._chain(_resolved(_text(slow.attrs.get("depends_on")), slow.name))
        origin = apply3(turn, self._offset(fast, name, fast_unit)) + shift
        return PanelGeometry(
            name=name,
            shape=shape,
            pixel_size=pixel,
            origin=triple(origin.tolist(), self.path, f"the place of {name}"),
            fast=_turned(turn, self._axis(fast, name)),
            slow=_turned(slow_turn, self._axis(slow, name)),
            thickness=thickness,
            material=material,
            mask=_cut(mask, first, shape),
        )

    def _scalar(self, group: Node, name: str) -> object:
        member = self._stored(group, name)
        return member[()] if isinstance(member, h5py.Dataset) and member.shape == () else None

    def _mask(self, detector: Node) -> NDArray[Any] | None:
        """Return the pixel mask where it is stored here: 0 for good pixels."""
        member = self._stored(detector, "pixel_mask")
        if not isinstance(member, h5py.Dataset) or member.is_virtual:
            if detector.get("pixel_mask", getlink=True) is not None:
                self.notes.append("the pixel mask lies in another file and is left aside")
            return None
        if member.dtype.kind not in "iu" or not 2 <= member.ndim <= 3:
            raise InputError("pixel_mask is no image of whole numbers", source=self.path)
        if not 0 < member.size <= _LARGEST_MASK:
            raise InputError(f"the pixel mask has {member.size} pixels", source=self.path)
        return np.asarray(member[()])

    def _goniometer(self, entry: Node) -> tuple[Triple | None, float | None, float | None]:
        """Axis that turns during the scan, its start and its step."""
        samples = self._of_class(entry, "NXsample")
        if not samples:
            return None, None, None
        sample = samples[0][1]
        start = _resolved(_text(self._scalar(sample, "depends_on")), sample.name + "/x")
        rotations = [
            (name, dataset)
            for name, dataset in self._axes(start)
            if _text(dataset.attrs.get("transformation_type")) == "rotation"
        ]
        if not rotations:
            return None, None, None
        name, dataset = max(rotations, key=lambda item: item[1].size or 0)
        unit = self._unit(dataset.attrs, "units", _ANGLES, name)
        angles = self._values(dataset, name)
        outer = _resolved(_text(dataset.attrs.get("depends_on")), dataset.name)
        turn, _ = self._chain(outer)
        step = (angles[1] - angles[0]) * unit if len(angles) > 1 else None
        return _turned(turn, self._axis(dataset, name)), angles[0] * unit, step

    def _wavelength(self, entry: Node, instrument: Node) -> float | None:
        for group in (instrument, *(sample for _, sample in self._of_class(entry, "NXsample"))):
            for _, beam in self._of_class(group, "NXbeam"):
                member = self._stored(beam, "incident_wavelength")
                if member is not None:
                    unit = self._unit(member.attrs, "units", _WAVELENGTHS, "incident_wavelength")
                    value = self._values(member, "incident_wavelength")[0] * unit
                    return positive(value, self.path, "incident_wavelength")
        return None


def _turned(matrix: Matrix, vector: Triple) -> Triple:
    """Rotate a vector; what is not turned keeps its bits."""
    if (matrix == np.eye(3)).all():
        return vector
    x, y, z = apply3(matrix, vector).tolist()
    return x, y, z


def _cut(
    mask: NDArray[Any] | None, first: list[float], shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Good pixels of a module, where the mask reaches over it and takes any out."""
    if mask is None or mask.ndim != len(first):
        return None
    start = [int(value) for value in first]
    part = mask[start[0]] if mask.ndim == 3 and 0 <= start[0] < mask.shape[0] else mask
    if part.ndim != 2:
        return None
    rows = slice(start[-2], start[-2] + shape[0])
    good: NDArray[np.bool_] = part[rows, start[-1] : start[-1] + shape[1]] == 0
    return None if good.shape != shape or good.all() else good


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _text(value.reshape(-1)[0])
    return value if isinstance(value, str) else ""


def _resolved(name: str, place: str) -> str:
    """Return the absolute path of a `depends_on`, which may be relative to its own group."""
    if name in ("", ".") or name.startswith("/"):
        return name
    return f"{place.rpartition('/')[0]}/{name}"
