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
    ASSUMED_DISTANCE_MM,
    FileGeometry,
    PanelGeometry,
    Triple,
    check_panels,
    count,
    number,
    positive,
    positive_or_none,
    square_pixel,
)
from distbragg.read.smv import SmvHeader, read_smv_header
from distbragg.read.text import shown
from distbragg.read.units import ANGSTROM, EV, length_mm, spectral_unit

_FRAME: Final = "imgCIF's (beam along -z, spindle along +x)"
_FAST: Final[Triple] = (1.0, 0.0, 0.0)
_SLOW: Final[Triple] = (0.0, -1.0, 0.0)
_BEAM: Final[Triple] = (0.0, 0.0, -1.0)
_CBF_HEADER_BYTES: Final = 64 * 1024
_CBF_BINARY: Final = b"\x0c\x1a\x04\xd5"
_NUMBER: Final = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_WORD: Final = r"[^\W\d_]+"
_TILT: Final = 1e-6


def read_smv(path: str) -> FileGeometry:
    """Read the header of an SMV image.

    ORGX and ORGY (pixels, XDS's) win over BEAM_CENTER_X and BEAM_CENTER_Y (mm), which are taken
    as MOSFLM's: X along the slow axis, Y along the fast one.

    Raises
    ------
    InputError
        No SMV image, or a header without size or pixel size.
    """
    header = read_smv_header(path)
    pixel = positive(_needed(header, "PIXEL_SIZE"), path, "PIXEL_SIZE")
    distance = positive_or_none(header.number("DISTANCE"), path, "DISTANCE")
    orgx, orgy = header.number("ORGX", "XDS_ORGX"), header.number("ORGY", "XDS_ORGY")
    along, across = header.number("BEAM_CENTER_Y"), header.number("BEAM_CENTER_X")
    centre, notes = None, []
    if orgx is not None and orgy is not None:
        centre = (orgx - 0.5) * pixel, (orgy - 0.5) * pixel
        notes.append("the beam centre is ORGX, ORGY")
    elif along is not None and across is not None:
        centre = along, across
        notes.append(
            "the beam centre is BEAM_CENTER_Y along fast, BEAM_CENTER_X along slow (MOSFLM); "
            "beamlines differ: check it"
        )
    if abs(header.number("TWOTHETA") or 0.0) > _TILT:
        notes.append("TWOTHETA is left aside: give detector.twotheta_deg and its axis")
    return _square(
        path,
        "smv",
        shape=header.shape,
        pixel=pixel,
        distance=distance,
        centre=centre,
        wavelength=positive_or_none(header.number("WAVELENGTH"), path, "WAVELENGTH"),
        phi=header.number("OSC_START", "PHI"),
        oscillation=header.number("OSC_RANGE"),
        notes=notes,
    )


def read_minicbf(path: str) -> FileGeometry:
    """Read the mini header of a CBF image.

    Raises
    ------
    InputError
        No CBF image with a mini header, or one without size or pixel size.
    """
    text = _cbf_header(path)
    fields = _MiniHeader(path, text)
    shape = (
        count(fields.value(rf"X-Binary-Size-Second-Dimension:\s*{_NUMBER}"), path, "rows"),
        count(fields.value(rf"X-Binary-Size-Fastest-Dimension:\s*{_NUMBER}"), path, "columns"),
    )
    sizes = fields.match(rf"Pixel_size\s+{_NUMBER}[ \t]*({_WORD})\s*x\s*{_NUMBER}[ \t]*({_WORD})")
    pixel = square_pixel(
        positive(fields.parsed(sizes[1]) * fields.unit(sizes[2], "Pixel_size"), path, "Pixel_size"),
        positive(fields.parsed(sizes[3]) * fields.unit(sizes[4], "Pixel_size"), path, "Pixel_size"),
        path,
    )
    sensor = fields.find(rf"(\w+)\s+sensor,\s*thickness\s+{_NUMBER}[ \t]*({_WORD})?")
    phi, oscillation = fields.rotation()
    return _square(
        path,
        "cbf",
        shape=shape,
        pixel=pixel,
        distance=fields.length("Detector_distance"),
        centre=fields.centre(pixel),
        wavelength=fields.wavelength(),
        phi=phi,
        oscillation=oscillation,
        fraction=fields.optional(rf"Polarization\s+{_NUMBER}"),
        material="" if sensor is None else sensor[1],
        thickness=(
            None
            if sensor is None
            else fields.parsed(sensor[2]) * fields.unit(sensor[3] or "m", "the sensor")
        ),
        notes=fields.left_aside(),
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

    def unit(self, word: str, what: str) -> float:
        """Return a unit of length, mm."""
        found = length_mm(word)
        if found is None:
            raise InputError(f"{what} has no known unit ('{shown(word)}')", source=self.path)
        return found

    def length(self, name: str) -> float | None:
        """Return a positive length, mm, that may be missing; without a unit it is in metres."""
        found = self.find(rf"{name}\s+{_NUMBER}[ \t]*({_WORD})?")
        if found is None:
            return None
        value = self.parsed(found[1]) * self.unit(found[2] or "m", name)
        return positive_or_none(value, self.path, name)

    def centre(self, pixel: float) -> tuple[float, float] | None:
        """Return the beam centre from the corner, mm; it counts in pixels unless it says more."""
        found = self.find(rf"Beam_xy\s+\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)[ \t]*({_WORD})?")
        if found is None:
            return None
        word = found[3] or "pixels"
        unit = pixel if word.lower().startswith(("pixel", "px")) else self.unit(word, "Beam_xy")
        return self.parsed(found[1]) * unit, self.parsed(found[2]) * unit

    def wavelength(self) -> float | None:
        """Return the wavelength, Å, of the lines Wavelength or Photon_energy, or None."""
        for name, usual in (("Wavelength", ANGSTROM), ("Photon_energy|Energy", EV)):
            found = self.find(rf"\b(?:{name})\s+{_NUMBER}[ \t]*({_WORD})?")
            if found is None:
                continue
            unit = usual if found[2] is None else spectral_unit(found[2])
            if unit is None or unit.quantity != usual.quantity:
                raise InputError(
                    f"{name} has no known unit ('{shown(found[2])}')", source=self.path
                )
            value = positive_or_none(self.parsed(found[1]), self.path, name)
            if value is not None:
                return positive(unit.angstrom(value), self.path, name)
        return None

    def rotation(self) -> tuple[float | None, float | None]:
        """Start and width of the rotation: of the scan, else of the axis that turns, degrees."""
        phi = self.optional(rf"Start_angle\s+{_NUMBER}")
        width = self.optional(rf"Angle_increment\s+{_NUMBER}")
        for axis in ("Omega", "Phi"):
            step = self.optional(rf"{axis}_increment\s+{_NUMBER}")
            if width is None and step:
                width = step
                start = self.optional(rf"\b{axis}\s+{_NUMBER}")
                phi = start if phi is None else phi
        return phi, width

    def left_aside(self) -> list[str]:
        """Say what bears on the image and is not read."""
        notes = []
        if abs(self.optional(rf"Detector_2theta\s+{_NUMBER}") or 0.0) > _TILT:
            notes.append("Detector_2theta is left aside: give detector.twotheta_deg and its axis")
        if abs(self.optional(rf"Detector_Voffset\s+{_NUMBER}") or 0.0) > _TILT:
            notes.append("Detector_Voffset is left aside: detector.ybeam_mm gives the beam centre")
        axis = self.find(r"Oscillation_axis\s+([^\r\n]+)")
        if axis is not None and re.search(r"\bCCW\b|-\s*[XYZ]\b|\b[YZ]\b", axis[1]):
            notes.append(
                f"the spindle is +x, not '{shown(axis[1].strip())}': goniometer.spindle_axis"
            )
        if "_axis.vector[1]" in self.text or "_diffrn_scan_axis" in self.text:
            notes.append("the full imgCIF header is left aside: the mini header is read")
        return notes

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
    head = start.split(_CBF_BINARY, 1)[0]
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        text = head.decode("latin-1")
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
    distance: float | None,
    centre: tuple[float, float] | None,
    wavelength: float | None,
    phi: float | None,
    oscillation: float | None,
    fraction: float | None = None,
    material: str = "",
    thickness: float | None = None,
    notes: list[str],
) -> FileGeometry:
    """Return a panel square to the beam; without a centre the beam meets its middle."""
    fast, slow = centre or (shape[1] * pixel / 2.0, shape[0] * pixel / 2.0)
    panel = PanelGeometry(
        name="detector",
        shape=shape,
        pixel_size=pixel,
        origin=(0.0 - fast, slow, -(ASSUMED_DISTANCE_MM if distance is None else distance)),
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
            distance_stated=distance is not None,
            centre_stated=centre is not None,
            notes=tuple(notes),
        )
    )
