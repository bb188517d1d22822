"""XDS's own geometry: the parameters of `XDS.INP` and the tables of `XPARM.XDS`, with segments.

XDS counts pixels from 1 at their centres. A pixel (x, y) of a segment lies in the detector's
frame at (x − ORGXS)·QX·EDS1 + (y − ORGYS)·QY·EDS2 + FS·EDS3, and in the laboratory at the sum of
those coordinates, less (ORGX·QX, ORGY·QY, −F), times the detector's axes. Without segments the
segment's part is the identity. The numbers of XPARM.XDS are read as the parameters they stand for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.matrices import apply3, determinant3
from distbragg.read.geometry.model import (
    ASSUMED_DISTANCE_MM,
    FileGeometry,
    GeometryReading,
    PanelGeometry,
    Rectangle,
    Triple,
)
from distbragg.read.text import read_text

MAXIMUM_BYTES: Final = 1 << 22
_MAXIMUM_AREAS: Final = 10_000
_FRAME: Final = "the file's own (XDS: usually the beam along +z, the spindle along +x)"
_KEYWORD = re.compile(r"([A-Z][A-Z0-9_.'()/-]*)=")
_LEFT_ASIDE: Final = ("MASK_FILE", "X-GEO_CORR", "Y-GEO_CORR", "DARK_CURRENT_IMAGE")
_X: Final[Triple] = (1.0, 0.0, 0.0)
_Y: Final[Triple] = (0.0, 1.0, 0.0)
_Z: Final[Triple] = (0.0, 0.0, 1.0)

_TABLES: Final = {
    "STARTING_FRAME": 1, "STARTING_ANGLE": 1, "OSCILLATION_RANGE": 1, "ROTATION_AXIS": 3,
    "X-RAY_WAVELENGTH": 1, "INCIDENT_BEAM_DIRECTION": 3,
    "SPACE_GROUP_NUMBER": 1, "UNIT_CELL_CONSTANTS": 6,
    "UNIT_CELL_A-AXIS": 3, "UNIT_CELL_B-AXIS": 3, "UNIT_CELL_C-AXIS": 3,
    "segments": 1, "NX": 1, "NY": 1, "QX": 1, "QY": 1,
    "ORGX": 1, "ORGY": 1, "DETECTOR_DISTANCE": 1,
    "DIRECTION_OF_DETECTOR_X-AXIS": 3, "DIRECTION_OF_DETECTOR_Y-AXIS": 3, "normal": 3,
}  # fmt: skip
"""What XPARM.XDS lists after its first line, and how many numbers each has."""

_TABLES_OF_A_SEGMENT: Final = {
    "number": 1, "SEGMENT": 4, "SEGMENT_ORGX": 1, "SEGMENT_ORGY": 1, "SEGMENT_DISTANCE": 1,
    "DIRECTION_OF_SEGMENT_X-AXIS": 3, "DIRECTION_OF_SEGMENT_Y-AXIS": 3,
}  # fmt: skip
_MOST_NUMBERS: Final = sum(_TABLES.values()) + 4096 * sum(_TABLES_OF_A_SEGMENT.values())

Mask = NDArray[np.bool_]
_Shape = tuple[Callable[..., Mask], list[float], list[float]]
"""What tells the pixels inside, the numbers of a shape, its bounds: x from and to, then y."""


@dataclass(slots=True)
class _Segment:
    """Pixels (1-based, inclusive) and place of a segment in the detector's frame."""

    first_x: int
    last_x: int
    first_y: int
    last_y: int
    org: tuple[float, float] = (0.0, 0.0)
    distance: float = 0.0
    x_axis: Triple = _X
    y_axis: Triple = _Y

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (slow, fast)."""
        return self.last_y - self.first_y + 1, self.last_x - self.first_x + 1


def read_xds_inp(path: str) -> FileGeometry:
    """Read the geometry of an XDS.INP."""
    inp = _Parameters(path)
    for line in read_text(path, MAXIMUM_BYTES).splitlines():
        content = line.split("!", 1)[0]
        found = list(_KEYWORD.finditer(content))
        ends = [match.start() for match in found[1:]] + [len(content)]
        for match, end in zip(found, ends, strict=False):
            inp.add(match[1], content[match.end() : end].split())
    normal = inp.vector("POLARIZATION_PLANE_NORMAL", _Y)
    x, y, z = np.cross(normal, inp.vector("INCIDENT_BEAM_DIRECTION", _Z)).tolist()
    return replace(
        inp.geometry("xds"),
        polarization=(x, y, z) if math.hypot(x, y, z) > 1e-9 else None,
        polarization_fraction=inp.optional("FRACTION_OF_POLARIZATION"),
    )


def read_xparm(path: str) -> FileGeometry:
    """Read an XPARM.XDS or GXPARM.XDS of a version that names itself in its first line."""
    head, _, body = read_text(path, MAXIMUM_BYTES).partition("\n")
    inp = _Parameters(path)
    if "XPARM" not in head:
        raise inp.refusal("not an XPARM.XDS", "its first line says XPARM.XDS")
    words = body.split()[:_MOST_NUMBERS]
    for word in words:
        inp.parsed(word, "a value")
    left = iter(words)
    if not inp.add_tables(left, _TABLES):
        raise inp.refusal("the file ends before its last table")
    for _ in range(int(inp.positive(inp.one("segments"), "the number of segments"))):
        if not inp.add_tables(left, _TABLES_OF_A_SEGMENT):
            raise inp.refusal("the file ends before its last segment")
    inp.positive(inp.one("X-RAY_WAVELENGTH"), "the wavelength")
    return inp.geometry("xparm")


class _Parameters(GeometryReading):
    """Parameters by name, the words of each time that one is given."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.values: dict[str, list[list[str]]] = {}

    def add(self, name: str, words: list[str]) -> None:
        """Add a parameter as it is written."""
        self.values.setdefault(name, []).append(words)

    def add_tables(self, words: Iterator[str], sizes: dict[str, int]) -> bool:
        """Add parameters that stand one after another; False where the words do not last."""
        for name, size in sizes.items():
            self.add(name, list(islice(words, size)))
        return len(self.values[name][-1]) == size

    def all(self, name: str, size: int) -> list[list[float]]:
        """Every occurrence of a parameter of `size` numbers."""
        found = self.values.get(name, [])[:_MAXIMUM_AREAS]
        rows = [[self.parsed(word, name) for word in words[:size]] for words in found]
        if any(len(row) < size for row in rows):
            raise self.refusal(f"{name}= needs {size} numbers")
        return rows

    def optional(self, name: str) -> float | None:
        """Return the last value of a parameter of one number, or None."""
        rows = self.all(name, 1)
        return rows[-1][0] if rows else None

    def one(self, name: str) -> float:
        """Return the last value of a parameter that must be there."""
        value = self.optional(name)
        if value is None:
            raise self.refusal(f"{name}= is missing")
        return value

    def vector(self, name: str, default: Triple) -> Triple:
        """Return a unit vector."""
        rows = self.all(name, 3)
        return self.direction(rows[-1], f"{name}=") if rows else default

    def geometry(self, format: str) -> FileGeometry:
        """Return what the parameters say of the geometry, but for the polarisation."""
        distance = self.optional("DETECTOR_DISTANCE") or None
        phi, oscillation = self.optional("STARTING_ANGLE"), self.optional("OSCILLATION_RANGE")
        if phi is None and oscillation is not None:
            phi = 0.0  # XDS's own default
        self._say_what_is_left()
        return FileGeometry(
            source=self.path,
            format=format,
            frame=_FRAME,
            panels=self._panels(ASSUMED_DISTANCE_MM if distance is None else distance),
            beam=self.vector("INCIDENT_BEAM_DIRECTION", _Z),
            wavelength=self.positive_or_none(self.optional("X-RAY_WAVELENGTH"), "wavelength"),
            spindle=self.vector("ROTATION_AXIS", _X),
            phi=phi,
            oscillation=oscillation,
            real_space=self._cell(),
            distance_stated=distance is not None,
            centre_stated=None not in (self.optional("ORGX"), self.optional("ORGY")),
            notes=self.said,
        )

    def _cell(self) -> tuple[Triple, Triple, Triple] | None:
        rows = [self.all(f"UNIT_CELL_{axis}-AXIS", 3) for axis in "ABC"]
        if not all(rows):
            return None
        a, b, c = (self.triple(row[-1], "an axis of the cell") for row in rows)
        if not determinant3(np.array([a, b, c])) > 0.0:
            raise self.refusal("the cell's axes are left-handed or lie in one plane")
        return a, b, c

    def _say_what_is_left(self) -> None:
        """Say what bears on the image and is not read."""
        for name in _LEFT_ASIDE:
            if name in self.values:
                self.note(f"{name} is ignored")
        if "ROTATION_AXIS" not in self.values and "OSCILLATION_RANGE" in self.values:
            self.note("ROTATION_AXIS= is not given: +x is taken")
        group = self.values.get("SPACE_GROUP_NUMBER", [[]])[-1]
        with_axes = "UNIT_CELL_A-AXIS" in self.values
        if with_axes and group and (number := self.parsed(group[0], "SPACE_GROUP_NUMBER=")) > 1.0:
            self.note(
                f"the space group, number {number:g}, is ignored: structure_factors.space_group"
            )
        started, data = self.optional("STARTING_FRAME"), self.optional("DATA_RANGE")
        if started is not None and data is not None and started != data:
            self.note(f"the rotation starts at STARTING_FRAME= {started:g}, not at DATA_RANGE=")
        constants = self.values.get("UNIT_CELL_CONSTANTS", [[]])[-1]
        if not with_axes and any(word.strip("0.") for word in constants):
            self.note("UNIT_CELL_CONSTANTS has no orientation and is ignored: crystal.cell")

    def _segments(self, whole: _Segment) -> list[_Segment]:
        """Return the segments; each SEGMENT= opens one, what follows belongs to it in order."""
        areas = self.all("SEGMENT", 4)
        rows: list[list[list[float]]] = []
        for name in ("ORGX", "ORGY", "DISTANCE"):
            rows.append(self.all(f"SEGMENT_{name}", 1))
            if areas and len(rows[-1]) != len(areas):
                raise self.refusal(f"SEGMENT_{name}= is not given once for each SEGMENT=")
        for side, usual in (("X", _X), ("Y", _Y)):
            found = self.all(f"DIRECTION_OF_SEGMENT_{side}-AXIS", 3)
            rows.append(found or [list(usual)] * len(areas))
            if len(rows[-1]) != len(areas):
                raise self.refusal("an axis is not given once for each SEGMENT=")
        segments = []
        for area, orgx, orgy, distance, x_axis, y_axis in zip(areas, *rows, strict=False):
            x1, x2, y1, y2 = (self.count(value, "SEGMENT=") for value in area)
            x = self.direction(x_axis, "a segment's x axis")
            y = self.direction(y_axis, "a segment's y axis")
            segment = _Segment(x1, x2, y1, y2, (orgx[0], orgy[0]), distance[0], x, y)
            if min(segment.shape) < 1:
                raise self.refusal("a segment holds no pixel")
            segments.append(segment)
        return [] if segments == [whole] else segments

    def _panels(self, distance: float) -> tuple[PanelGeometry, ...]:
        columns, rows = (self.count(self.one(name), f"{name}=") for name in ("NX", "NY"))
        pixel = self.square_pixel(self.one("QX"), self.one("QY"), "QX x QY")
        org = self.optional("ORGX"), self.optional("ORGY")
        orgx = (columns + 1) / 2 if org[0] is None else org[0]
        orgy = (rows + 1) / 2 if org[1] is None else org[1]
        corner = np.array([-orgx * pixel, -orgy * pixel, distance])
        x_axis = self.vector("DIRECTION_OF_DETECTOR_X-AXIS", _X)
        y_axis = self.vector("DIRECTION_OF_DETECTOR_Y-AXIS", _Y)
        axes = np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=1)
        thickness, attenuation = self._sensor()
        rectangles, shapes = self.all("UNTRUSTED_RECTANGLE", 4), self._shapes()
        whole = _Segment(1, columns, 1, rows)
        segments = self._segments(whole)
        panels = []
        for index, segment in enumerate(segments or [whole]):
            x, y = np.array(segment.x_axis), np.array(segment.y_axis)
            local = (
                (segment.first_x - 0.5 - segment.org[0]) * pixel * x
                + (segment.first_y - 0.5 - segment.org[1]) * pixel * y
                + segment.distance * np.cross(x, y)
            )
            panels.append(
                PanelGeometry(
                    name=f"segment{index + 1}" if segments else "detector",
                    shape=segment.shape,
                    pixel_size=pixel,
                    origin=self.triple(apply3(axes, local + corner).tolist(), "a segment's place"),
                    fast=self.triple(apply3(axes, x).tolist(), "a segment's x axis"),
                    slow=self.triple(apply3(axes, y).tolist(), "a segment's y axis"),
                    thickness=thickness,
                    attenuation_length=attenuation,
                    # SILICON= may state the absorption of any sensor: only without it is one of
                    # silicon meant.
                    material="Si" if thickness is not None and attenuation is None else "",
                    masked=_untrusted(segment, rectangles),
                    mask=_trusted(segment, shapes),
                )
            )
        return tuple(panels)

    def _sensor(self) -> tuple[float | None, float | None]:
        """Thickness and attenuation length, mm, where they are given."""
        thickness, silicon = self.optional("SENSOR_THICKNESS"), self.optional("SILICON")
        if thickness is None:
            return None, None
        return abs(thickness), 1.0 / silicon if silicon is not None and silicon > 1e-9 else None

    def _shapes(self) -> list[_Shape]:
        """Return the untrusted ellipses and quadrilaterals."""
        ellipses = self.all("UNTRUSTED_ELLIPSE", 4)
        shapes: list[_Shape] = [(_in_ellipse, row, row) for row in ellipses]
        for row in self.all("UNTRUSTED_QUADRILATERAL", 8):
            xs, ys = row[0::2], row[1::2]
            shapes.append((_in_quadrilateral, row, [min(xs), max(xs), min(ys), max(ys)]))
        return shapes


def _untrusted(segment: _Segment, rectangles: list[list[float]]) -> tuple[Rectangle, ...]:
    """Untrusted pixels: those strictly between the bounds, counted from 1."""
    x0, y0 = segment.first_x, segment.first_y
    return tuple(
        Rectangle(int(y1) - y0 + 1, int(y2) - y0, int(x1) - x0 + 1, int(x2) - x0)
        for x1, x2, y1, y2 in rectangles
    )


def _trusted(segment: _Segment, shapes: list[_Shape]) -> Mask | None:
    """Return the pixels whose centres lie in no ellipse or quadrilateral; None for all of them."""
    good: Mask | None = None
    for inside, row, bounds in shapes:
        # Only the pixels around a shape are looked at: detectors have many, shapes are small.
        low_x = max(segment.first_x, int(bounds[0]))
        low_y = max(segment.first_y, int(bounds[2]))
        high_x = min(segment.last_x, int(bounds[1]) + 1)
        high_y = min(segment.last_y, int(bounds[3]) + 1)
        if low_x > high_x or low_y > high_y:
            continue
        x = np.arange(low_x, high_x + 1, dtype=np.float64)[np.newaxis, :]
        y = np.arange(low_y, high_y + 1, dtype=np.float64)[:, np.newaxis]
        found = inside(x, y, row)
        if not found.any():
            continue
        if good is None:
            good = np.ones(segment.shape, dtype=np.bool_)
        lines = slice(low_y - segment.first_y, high_y - segment.first_y + 1)
        good[lines, low_x - segment.first_x : high_x - segment.first_x + 1] &= ~found
    return good


def _in_ellipse(x: NDArray[np.float64], y: NDArray[np.float64], row: Sequence[float]) -> Mask:
    x1, x2, y1, y2 = row
    if x2 <= x1 or y2 <= y1:
        return np.zeros((y.shape[0], x.shape[1]), dtype=np.bool_)
    across = (2.0 * x - x1 - x2) / (x2 - x1)
    down = (2.0 * y - y1 - y2) / (y2 - y1)
    return np.asarray(across**2 + down**2 < 1.0)


def _in_quadrilateral(x: NDArray[np.float64], y: NDArray[np.float64], row: Sequence[float]) -> Mask:
    """Whether a ray to the right crosses an odd number of sides."""
    inside = np.zeros((y.shape[0], x.shape[1]), dtype=np.bool_)
    corners = list(zip(row[0::2], row[1::2], strict=True))
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside
