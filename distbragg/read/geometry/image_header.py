"""Geometry of single images: SMV headers and the mini headers of Pilatus-style CBF files.

Both describe a panel square to the beam. It is placed in the frame of imgCIF: beam along −z,
spindle and fast axis along +x, slow axis along −y.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from distbragg.errors import InputError
from distbragg.read.geometry.model import (
    FileGeometry,
    PanelGeometry,
    Triple,
    check_panels,
    count,
    number,
    positive,
    square_pixel,
)
from distbragg.read.smv import SmvHeader, read_smv_header
from distbragg.read.text import shown

_FRAME: Final = "imgCIF's (beam along -z, spindle along +x)"
_FAST: Final[Triple] = (1.0, 0.0, 0.0)
_SLOW: Final[Triple] = (0.0, -1.0, 0.0)
_BEAM: Final[Triple] = (0.0, 0.0, -1.0)
_CBF_HEADER_BYTES: Final = 64 * 1024
_CBF_BINARY: Final = b"\x0c\x1a\x04\xd5"
_NUMBER: Final = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_METRES: Final = {"m": 1e3, "mm": 1.0}
_TILT: Final = 1e-6


def read_smv(path: str) -> FileGeometry:
    """Read the header of an SMV image.

    ORGX and ORGY (pixels, XDS's) win over BEAM_CENTER_X and BEAM_CENTER_Y (mm), which are taken
    as MOSFLM's: X along the slow axis, Y along the fast one.

    Raises
    ------
    InputError
        No SMV image, or a header without size, pixel size, distance or beam centre.
    """
    header = read_smv_header(path)
    pixel = positive(_needed(header, "PIXEL_SIZE"), path, "PIXEL_SIZE")
    distance = positive(_needed(header, "DISTANCE"), path, "DISTANCE")
    orgx, orgy = header.number("ORGX", "XDS_ORGX"), header.number("ORGY", "XDS_ORGY")
    if orgx is not None and orgy is not None:
        centre = (orgx - 0.5) * pixel, (orgy - 0.5) * pixel
        notes = ["the beam centre is ORGX, ORGY"]
    else:
        centre = _needed(header, "BEAM_CENTER_Y"), _needed(header, "BEAM_CENTER_X")
        notes = [
            "the beam centre is BEAM_CENTER_Y along fast, BEAM_CENTER_X along slow (MOSFLM); "
            "beamlines differ: check it"
        ]
    if abs(header.number("TWOTHETA") or 0.0) > _TILT:
        notes.append("TWOTHETA is left aside: give detector.twotheta_deg and its axis")
    wavelength = header.number("WAVELENGTH")
    return _square(
        path,
        "smv",
        shape=header.shape,
        pixel=pixel,
        distance=distance,
        centre=centre,
        wavelength=None if wavelength is None else positive(wavelength, path, "WAVELENGTH"),
        phi=header.number("OSC_START", "PHI"),
        oscillation=header.number("OSC_RANGE"),
        notes=notes,
    )


def read_minicbf(path: str) -> FileGeometry:
    """Read the mini header of a CBF image.

    Raises
    ------
    InputError
        No CBF image with a mini header, or one without size, pixel size, distance or centre.
    """
    text = _cbf_header(path)
    fields = _MiniHeader(path, text)
    shape = (
        count(fields.value(rf"X-Binary-Size-Second-Dimension:\s*{_NUMBER}"), path, "rows"),
        count(fields.value(rf"X-Binary-Size-Fastest-Dimension:\s*{_NUMBER}"), path, "columns"),
    )
    sizes = fields.match(rf"Pixel_size\s+{_NUMBER}\s*(mm|m)\s*x\s*{_NUMBER}\s*(mm|m)\b")
    pixel = square_pixel(
        positive(fields.parsed(sizes[1]) * _METRES[sizes[2]], path, "Pixel_size"),
        positive(fields.parsed(sizes[3]) * _METRES[sizes[4]], path, "Pixel_size"),
        path,
    )
    centre = fields.match(rf"Beam_xy\s+\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)")
    away = fields.match(rf"Detector_distance\s+{_NUMBER}\s*(mm|m)\b")
    sensor = fields.find(rf"(\w+)\s+sensor,\s*thickness\s+{_NUMBER}\s*(mm|m)\b")
    notes = []
    if abs(fields.optional(rf"Detector_2theta\s+{_NUMBER}") or 0.0) > _TILT:
        notes.append("Detector_2theta is left aside: give detector.twotheta_deg and its axis")
    return _square(
        path,
        "cbf",
        shape=shape,
        pixel=pixel,
        distance=positive(fields.parsed(away[1]) * _METRES[away[2]], path, "Detector_distance"),
        centre=(fields.parsed(centre[1]) * pixel, fields.parsed(centre[2]) * pixel),
        wavelength=fields.positive_or_none(rf"Wavelength\s+{_NUMBER}\s*A"),
        phi=fields.optional(rf"Start_angle\s+{_NUMBER}"),
        oscillation=fields.optional(rf"Angle_increment\s+{_NUMBER}"),
        fraction=fields.optional(rf"Polarization\s+{_NUMBER}"),
        material="" if sensor is None else sensor[1],
        thickness=None if sensor is None else fields.parsed(sensor[2]) * _METRES[sensor[3]],
        notes=notes,
    )


class _MiniHeader:
    """Values of a mini header, found by their patterns."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    def find(self, pattern: str) -> re.Match[str] | None:
        """Find a value that may be missing."""
        return re.search(pattern, self.text)

    def match(self, pattern: str) -> re.Match[str]:
        """Find a value that must be there."""
        found = self.find(pattern)
        if found is None:
            key = re.split(r"[\\(:]", pattern, maxsplit=1)[0]
            raise InputError(f"the header does not say {key}", source=self.path)
        return found

    def value(self, pattern: str) -> float:
        """Return a number that must be there."""
        return self.parsed(self.match(pattern)[1])

    def optional(self, pattern: str) -> float | None:
        """Return a number that may be missing."""
        found = self.find(pattern)
        return None if found is None else self.parsed(found[1])

    def positive_or_none(self, pattern: str) -> float | None:
        """Return a number above zero that may be missing."""
        value = self.optional(pattern)
        return None if value is None else positive(value, self.path, "a header value")

    def parsed(self, word: str) -> float:
        """Return text as a number."""
        try:
            value = float(word)
        except ValueError as error:
            raise InputError(f"'{shown(word)}' is not a number", source=self.path) from error
        return number(value, self.path, "a header value")


def _cbf_header(path: str) -> str:
    try:
        with Path(path).open("rb") as handle:
            start = handle.read(_CBF_HEADER_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    if not start.startswith(b"###CBF"):
        raise InputError("not a CBF image", source=path, remedy="one begins with ###CBF")
    text = start.split(_CBF_BINARY, 1)[0].decode("latin-1")
    if "_array_data.header_contents" not in text:
        raise InputError(
            "the CBF image has no mini header",
            source=path,
            remedy="for full imgCIF headers use `dials.import` and its imported.expt",
        )
    return text


def _needed(header: SmvHeader, key: str) -> float:
    value = header.number(key)
    if value is None:
        raise InputError(f"the header does not say {key}", source=header.source)
    return number(value, header.source, key)


def _square(
    path: str,
    format: str,
    *,
    shape: tuple[int, int],
    pixel: float,
    distance: float,
    centre: tuple[float, float],
    wavelength: float | None,
    phi: float | None,
    oscillation: float | None,
    fraction: float | None = None,
    material: str = "",
    thickness: float | None = None,
    notes: list[str],
) -> FileGeometry:
    panel = PanelGeometry(
        name="detector",
        shape=shape,
        pixel_size=pixel,
        origin=(0.0 - centre[0], centre[1], -distance),
        fast=_FAST,
        slow=_SLOW,
        thickness=thickness,
        material=material,
    )
    return check_panels(
        FileGeometry(
            source=path,
            format=format,
            frame=_FRAME,
            panels=(panel,),
            beam=_BEAM,
            wavelength=wavelength,
            polarization=_FAST,
            polarization_fraction=fraction,
            spindle=_FAST,
            phi=phi,
            oscillation=oscillation,
            notes=tuple(notes),
        )
    )
