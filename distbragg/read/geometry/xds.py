"""XDS's own geometry: the parameters of `XDS.INP` and the tables of `XPARM.XDS`, with segments.

XDS counts pixels from 1 at their centres. A pixel (x, y) of a segment lies in the detector's
frame at (x − ORGXS)·QX·EDS1 + (y − ORGYS)·QY·EDS2 + FS·EDS3, and in the laboratory at the sum of
those coordinates, less (ORGX·QX, ORGY·QY, −F), times the detector's axes. Without segments the
segment's part is the identity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.matrices import apply3, determinant3
from distbragg.read.geometry.model import (
    ASSUMED_DISTANCE_MM,
    FileGeometry,
    PanelGeometry,
    Rectangle,
    Triple,
    check_panels,
    count,
    direction,
    number,
    parsed_number,
    positive,
    positive_or_none,
    square_pixel,
)
from distbragg.read.geometry.xds_masks import trusted_pixels
from distbragg.read.text import read_text

MAXIMUM_BYTES: Final = 1 << 22
_MAXIMUM_AREAS: Final = 10_000
_FRAME: Final = "the file's own (XDS: usually the beam along +z, the spindle along +x)"
_KEYWORD = re.compile(r"([A-Z][A-Z0-9_.'()/-]*)=")
_LEFT_ASIDE: Final = ("MASK_FILE", "X-GEO_CORR", "Y-GEO_CORR", "DARK_CURRENT_IMAGE")
_TABLES: Final = 43
"""Numbers of XPARM.XDS before those of its segments."""

_PER_SEGMENT: Final = 14
_MOST_NUMBERS: Final = _TABLES + _PER_SEGMENT * 4096

Matrix = NDArray[np.float64]


@dataclass(slots=True)
class _Segment:
    """Pixels (1-based, inclusive) and place of a segment in the detector's frame."""

    area: tuple[int, int, int, int]
    org: tuple[float, float] = (0.0, 0.0)
    distance: float = 0.0
    x_axis: Triple = (1.0, 0.0, 0.0)
    y_axis: Triple = (0.0, 1.0, 0.0)


@dataclass(slots=True)
class _Detector:
    """The detector of either file, as XDS writes it."""

    size: tuple[int, int]
    pixel: tuple[float, float]
    org: tuple[float, float]
    distance: float
    x_axis: Triple
    y_axis: Triple
    thickness: float | None = None
    attenuation_length: float | None = None
    segments: list[_Segment] = field(default_factory=list)
    masked: list[Rectangle] = field(default_factory=list)
    ellipses: list[list[float]] = field(default_factory=list)
    quadrilaterals: list[list[float]] = field(default_factory=list)


def read_xds_inp(path: str) -> FileGeometry:
    """Read the geometry of an XDS.INP.

    Raises
    ------
    InputError
        A missing or impossible parameter, or no XDS.INP.
    """
    values = _parameters(read_text(path, MAXIMUM_BYTES))
    inp = _Input(path, values)
    distance = inp.optional("DETECTOR_DISTANCE") or None
    detector = _Detector(
        size=(inp.whole("NX"), inp.whole("NY")),
        pixel=(inp.above_zero("QX"), inp.above_zero("QY")),
        org=(
            _or(inp.optional("ORGX"), (inp.whole("NX") + 1) / 2),
            _or(inp.optional("ORGY"), (inp.whole("NY") + 1) / 2),
        ),
        distance=_or(distance, ASSUMED_DISTANCE_MM),
        x_axis=inp.vector("DIRECTION_OF_DETECTOR_X-AXIS", (1.0, 0.0, 0.0)),
        y_axis=inp.vector("DIRECTION_OF_DETECTOR_Y-AXIS", (0.0, 1.0, 0.0)),
        segments=_segments(inp),
        masked=[_untrusted(area, path) for area in inp.all("UNTRUSTED_RECTANGLE", 4)],
        ellipses=inp.all("UNTRUSTED_ELLIPSE", 4),
        quadrilaterals=inp.all("UNTRUSTED_QUADRILATERAL", 8),
    )
    thickness = inp.optional("SENSOR_THICKNESS")
    silicon = inp.optional("SILICON")
    if thickness is not None:
        detector.thickness = abs(thickness)
        detector.attenuation_length = 1.0 / silicon if silicon and silicon > 1e-9 else None
    beam = inp.vector("INCIDENT_BEAM_DIRECTION", (0.0, 0.0, 1.0))
    normal = inp.vector("POLARIZATION_PLANE_NORMAL", (0.0, 1.0, 0.0))
    x, y, z = np.cross(normal, beam).tolist()
    notes = _left_aside(inp)
    phi, oscillation = inp.optional("STARTING_ANGLE"), inp.optional("OSCILLATION_RANGE")
    if phi is None and oscillation is not None:
        phi = 0.0  # XDS's own default
    return check_panels(
        FileGeometry(
            source=path,
            format="xds",
            frame=_FRAME,
            panels=_panels(detector, path),
            beam=beam,
            wavelength=positive_or_none(inp.optional("X-RAY_WAVELENGTH"), path, "wavelength"),
            polarization=(x, y, z) if math.hypot(x, y, z) > 1e-9 else None,
            polarization_fraction=inp.optional("FRACTION_OF_POLARIZATION"),
            spindle=inp.vector("ROTATION_AXIS", (1.0, 0.0, 0.0)),
            phi=phi,
            oscillation=oscillation,
            real_space=_axes_of_cell(inp),
            distance_stated=distance is not None,
            centre_stated=inp.optional("ORGX") is not None and inp.optional("ORGY") is not None,
            notes=tuple(notes),
        )
    )


def read_xparm(path: str) -> FileGeometry:
    """Read an XPARM.XDS or GXPARM.XDS of a version that names itself in its first line.

    Raises
    ------
    InputError
        Another file, or one that ends early.
    """
    head, _, body = read_text(path, MAXIMUM_BYTES).partition("\n")
    if "XPARM" not in head:
        raise InputError("not an XPARM.XDS", source=path, remedy="its first line says XPARM.XDS")
    numbers = [parsed_number(word, path, "a value") for word in body.split()[:_MOST_NUMBERS]]
    if len(numbers) < _TABLES:
        raise InputError("the file ends before its last table", source=path)
    segments = int(positive(numbers[26], path, "the number of segments"))
    if len(numbers) < _TABLES + _PER_SEGMENT * segments:
        raise InputError("the file ends before its last segment", source=path)
    detector = _Detector(
        size=(count(numbers[27], path, "NX"), count(numbers[28], path, "NY")),
        pixel=(positive(numbers[29], path, "QX"), positive(numbers[30], path, "QY")),
        org=(numbers[31], numbers[32]),
        distance=numbers[33],
        x_axis=_vector(numbers[34:37], path, "the detector's x axis"),
        y_axis=_vector(numbers[37:40], path, "the detector's y axis"),
        segments=[
            _table_segment(numbers[_TABLES + _PER_SEGMENT * index :][:_PER_SEGMENT], path)
            for index in range(segments)
        ],
    )
    if detector.segments == [_Segment((1, detector.size[0], 1, detector.size[1]))]:
        detector.segments = []
    a, b, c = (_plain(numbers[start : start + 3]) for start in (17, 20, 23))
    return check_panels(
        FileGeometry(
            source=path,
            format="xparm",
            frame=_FRAME,
            panels=_panels(detector, path),
            beam=_vector(numbers[7:10], path, "the beam"),
            wavelength=positive(numbers[6], path, "the wavelength"),
            spindle=_vector(numbers[3:6], path, "the rotation axis"),
            phi=numbers[1],
            oscillation=numbers[2],
            real_space=_checked_cell((a, b, c), path),
            notes=tuple(_symmetry(numbers[10])),
        )
    )


class _Input:
    """Parameters of an XDS.INP, by name."""

    def __init__(self, path: str, values: dict[str, list[str]]) -> None:
        self.path, self.values = path, values

    def all(self, name: str, size: int) -> list[list[float]]:
        """Every occurrence of a parameter of `size` numbers."""
        found = self.values.get(name, [])[:_MAXIMUM_AREAS]
        rows = [
            [parsed_number(word, self.path, name) for word in text.split()[:size]] for text in found
        ]
        if any(len(row) < size for row in rows):
            raise InputError(f"{name}= needs {size} numbers", source=self.path)
        return rows

    def optional(self, name: str) -> float | None:
        """Return the last value of a parameter of one number, or None."""
        rows = self.all(name, 1)
        return rows[-1][0] if rows else None

    def one(self, name: str) -> float:
        """Return the last value of a parameter that must be there."""
        value = self.optional(name)
        if value is None:
            raise InputError(f"{name}= is missing", source=self.path)
        return value

    def whole(self, name: str) -> int:
        """Return a number of pixels."""
        return count(self.one(name), self.path, f"{name}=")

    def above_zero(self, name: str) -> float:
        """Return a positive number."""
        return positive(self.one(name), self.path, f"{name}=")

    def vector(self, name: str, default: Triple) -> Triple:
        """Return a unit vector."""
        rows = self.all(name, 3)
        return _vector(rows[-1], self.path, f"{name}=") if rows else default


def _parameters(text: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        content = line.split("!", 1)[0]
        found = list(_KEYWORD.finditer(content))
        ends = [match.start() for match in found[1:]] + [len(content)]
        for match, end in zip(found, ends, strict=False):
            values.setdefault(match[1], []).append(content[match.end() : end])
    return values


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _left_aside(inp: _Input) -> list[str]:
    """Say what bears on the image and is not read."""
    notes = [f"{name} is left aside" for name in _LEFT_ASIDE if name in inp.values]
    if "ROTATION_AXIS" not in inp.values and "OSCILLATION_RANGE" in inp.values:
        notes.append("ROTATION_AXIS= is not given: +x is taken")
    group = inp.values.get("SPACE_GROUP_NUMBER", [""])[-1].split()
    if "UNIT_CELL_A-AXIS" in inp.values and group:
        notes += _symmetry(parsed_number(group[0], inp.path, "SPACE_GROUP_NUMBER="))
    started, data = inp.optional("STARTING_FRAME"), inp.optional("DATA_RANGE")
    if started is not None and data is not None and started != data:
        notes.append(f"the rotation starts at STARTING_FRAME= {started:g}, not at DATA_RANGE=")
    if "UNIT_CELL_CONSTANTS" in inp.values and "UNIT_CELL_A-AXIS" not in inp.values:
        cell = inp.values["UNIT_CELL_CONSTANTS"][-1].split()
        if any(word.strip("0.") for word in cell):
            notes.append("UNIT_CELL_CONSTANTS has no orientation and is left aside: crystal.cell")
    return notes


def _symmetry(group: float) -> list[str]:
    """Say that the number of a space group is not read; 0 and 1 say nothing."""
    if group <= 1.0:
        return []
    return [f"the space group, number {group:g}, is left aside: structure_factors.space_group"]


def _plain(values: Sequence[float]) -> Triple:
    x, y, z = values
    return x, y, z


def _vector(values: Sequence[float], path: str, what: str) -> Triple:
    return direction(_plain(values), path, what)


def _segments(inp: _Input) -> list[_Segment]:
    """Segments of an XDS.INP: each SEGMENT= opens one, what follows belongs to it in order."""
    segments = [_Segment(_area(row, inp.path)) for row in inp.all("SEGMENT", 4)]
    for name in ("SEGMENT_ORGX", "SEGMENT_ORGY", "SEGMENT_DISTANCE"):
        if segments and len(inp.values.get(name, [])) != len(segments):
            raise InputError(f"{name}= is not given once for each SEGMENT=", source=inp.path)
    rows = {
        name: inp.all(f"DIRECTION_OF_SEGMENT_{name}-AXIS", 3) or [[]] * len(segments)
        for name in "XY"
    }
    if any(len(row) != len(segments) for row in rows.values()):
        raise InputError("an axis is not given once for each SEGMENT=", source=inp.path)
    for index, segment in enumerate(segments):
        segment.org = (inp.all("SEGMENT_ORGX", 1)[index][0], inp.all("SEGMENT_ORGY", 1)[index][0])
        segment.distance = inp.all("SEGMENT_DISTANCE", 1)[index][0]
        if rows["X"][index] and rows["Y"][index]:
            segment.x_axis = _vector(rows["X"][index], inp.path, "a segment's x axis")
            segment.y_axis = _vector(rows["Y"][index], inp.path, "a segment's y axis")
    return segments


def _table_segment(row: Sequence[float], path: str) -> _Segment:
    """Two lines of XPARM.XDS: number and area; origin, distance, axes."""
    return _Segment(
        area=_area(row[1:5], path),
        org=(row[5], row[6]),
        distance=row[7],
        x_axis=_vector(row[8:11], path, "a segment's x axis"),
        y_axis=_vector(row[11:14], path, "a segment's y axis"),
    )


def _area(row: Sequence[float], path: str) -> tuple[int, int, int, int]:
    first_x, last_x, first_y, last_y = (count(value, path, "SEGMENT=") for value in row)
    if last_x < first_x or last_y < first_y:
        raise InputError("a segment holds no pixel", source=path)
    return first_x, last_x, first_y, last_y


def _untrusted(row: Sequence[float], path: str) -> Rectangle:
    """XDS takes the pixels strictly between the bounds, counted from 1."""
    x1, x2, y1, y2 = (int(number(value, path, "UNTRUSTED_RECTANGLE=")) for value in row)
    return Rectangle(y1, y2 - 1, x1, x2 - 1)


def _axes_of_cell(inp: _Input) -> tuple[Triple, Triple, Triple] | None:
    rows = [inp.all(f"UNIT_CELL_{axis}-AXIS", 3) for axis in "ABC"]
    if not all(rows):
        return None
    a, b, c = (_plain(row[-1]) for row in rows)
    return _checked_cell((a, b, c), inp.path)


def _checked_cell(real: tuple[Triple, Triple, Triple], path: str) -> tuple[Triple, Triple, Triple]:
    if not determinant3(np.array(real)) > 0.0:
        raise InputError("the cell's axes are left-handed or lie in one plane", source=path)
    return real


def _panels(detector: _Detector, path: str) -> tuple[PanelGeometry, ...]:
    axes = np.stack(
        [detector.x_axis, detector.y_axis, np.cross(detector.x_axis, detector.y_axis)], axis=1
    )
    pixel = square_pixel(detector.pixel[0], detector.pixel[1], path, "QX x QY")
    corner = np.array([-detector.org[0] * pixel, -detector.org[1] * pixel, detector.distance])
    segments = detector.segments or [_Segment((1, detector.size[0], 1, detector.size[1]))]
    return tuple(
        _panel(detector, segment, index, axes=axes, corner=corner, pixel=pixel)
        for index, segment in enumerate(segments)
    )


def _panel(
    detector: _Detector,
    segment: _Segment,
    index: int,
    *,
    axes: Matrix,
    corner: Matrix,
    pixel: float,
) -> PanelGeometry:
    first_x, last_x, first_y, last_y = segment.area
    x_axis, y_axis = np.array(segment.x_axis), np.array(segment.y_axis)
    local = (
        (first_x - 0.5 - segment.org[0]) * pixel * x_axis
        + (first_y - 0.5 - segment.org[1]) * pixel * y_axis
        + segment.distance * np.cross(x_axis, y_axis)
    )
    shape = (last_y - first_y + 1, last_x - first_x + 1)
    return PanelGeometry(
        name=f"segment{index + 1}" if detector.segments else "detector",
        shape=shape,
        pixel_size=pixel,
        origin=_plain(apply3(axes, local + corner).tolist()),
        fast=_plain(apply3(axes, x_axis).tolist()),
        slow=_plain(apply3(axes, y_axis).tolist()),
        thickness=detector.thickness,
        attenuation_length=detector.attenuation_length,
        # SILICON= may state the absorption of any sensor: only without it is one of silicon meant.
        material=(
            "Si" if detector.thickness is not None and detector.attenuation_length is None else ""
        ),
        masked=tuple(_shifted(area, first_x - 1, first_y - 1) for area in detector.masked),
        mask=trusted_pixels(segment.area, detector.ellipses, detector.quadrilaterals),
    )


def _shifted(area: Rectangle, fast: int, slow: int) -> Rectangle:
    return Rectangle(
        area.slow_start - slow, area.slow_stop - slow, area.fast_start - fast, area.fast_stop - fast
    )
