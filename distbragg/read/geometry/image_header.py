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
from distbragg.read.units import ANGSTROM, EV, angle_deg, length_mm, spectral_unit

_FRAME: Final = "imgCIF's (beam along -z, spindle along +x)"
_FAST: Final[Triple] = (1.0, 0.0, 0.0)
_SLOW: Final[Triple] = (0.0, -1.0, 0.0)
_BEAM: Final[Triple] = (0.0, 0.0, -1.0)
_CBF_HEADER_BYTES: Final = 64 * 1024
_CBF_BINARY: Final = b"\x0c\x1a\x04\xd5"
_NUMBER: Final = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_WORD: Final = r"[^\W\d_]+"
_UNIT: Final = r"(?!x\b)[^\W\d_]+"
_TILT: Final = 1e-6
_LONGEST_M: Final = 10.0
"""A distance without a unit that is longer, in metres, is in mm."""

_BLANKS: Final = str.maketrans("#:=,()", "      ")
"""What the definition of the mini header lets stand for a blank."""

_USUAL_AXIS: Final = re.compile(
    r"[+]?X?[\s.]*(?:CW)?|[+]?1(?:\.0*)?(?:\s+0(?:\.0*)?){2}", re.IGNORECASE
)
_NAMED_AXES: Final = {"OMEGA": (), "PHI": ("Kappa", "Chi")}


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
    if "CCD_DETECTOR_NAMES" in header.values or "SOURCE_WAVELENGTH" in header.values:
        raise InputError(
            "a header of d*TREK (Rigaku), which keeps its geometry in keywords of its own",
            source=path,
            remedy="use `dials.import` and its imported.expt",
        )
    pixel = positive(_needed(header, "PIXEL_SIZE"), path, "PIXEL_SIZE")
    distance = positive_or_none(header.number("DISTANCE"), path, "DISTANCE")
    orgx, orgy = header.number("ORGX", "XDS_ORGX"), header.number("ORGY", "XDS_ORGY")
    along, across = header.number("BEAM_CENTER_Y"), header.number("BEAM_CENTER_X")
    centre, notes = None, []
    if orgx is not None and orgy is not None:
        centre = (orgx - 0.5) * pixel, (orgy - 0.5) * pixel
        notes.append("the beam centre is ORGX, ORGY")
    elif along is not None and across is not None and (along or across):
        unit = _centre_unit((across, along), header.shape, pixel)
        centre = along * unit, across * unit
        notes.append(
            f"the beam centre is BEAM_CENTER_Y along fast, BEAM_CENTER_X along slow (MOSFLM), in "
            f"{'mm' if unit == 1.0 else 'pixels by its size'}; beamlines differ: check it"
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
        count(fields.value(rf"X-Binary-Size-Second-Dimension\s*{_NUMBER}"), path, "rows"),
        count(fields.value(rf"X-Binary-Size-Fastest-Dimension\s*{_NUMBER}"), path, "columns"),
    )
    sizes = fields.match(rf"Pixel_size\s+{_NUMBER}[ \t]*({_UNIT})?\s*x\s*{_NUMBER}[ \t]*({_UNIT})?")
    pixel = square_pixel(
        positive(fields.mm(sizes[1], sizes[2], "Pixel_size"), path, "Pixel_size"),
        positive(fields.mm(sizes[3], sizes[4], "Pixel_size"), path, "Pixel_size"),
        path,
    )
    sensor = fields.find(rf"(\w+)\s+sensor\s+thickness\s+{_NUMBER}[ \t]*({_WORD})?")
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
            None if sensor is None else fields.mm(sensor[2], sensor[3], "the sensor's thickness")
        ),
        notes=fields.left_aside(),
    )


class _MiniHeader:
    """Values of a mini header, found by their patterns."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text.translate(_BLANKS)
        self.notes: list[str] = []

    def find(self, pattern: str) -> re.Match[str] | None:
        """Find a value that may be missing."""
        return re.search(pattern, self.text)

    def match(self, pattern: str) -> re.Match[str]:
        """Find a value that must be there."""
        found = self.find(pattern)
        if found is None:
            key = re.split(r"[\\(]", pattern, maxsplit=1)[0]
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

    def mm(self, value: str, unit: str | None, what: str) -> float:
        """Return a length, mm; without a unit it is in metres, as the definition has it."""
        size = self.parsed(value)
        if unit is None:
            unit = "m" if abs(size) <= _LONGEST_M else "mm"
            self.notes.append(f"{what} says no unit: {size:g} is taken in {unit}")
        return size * self.unit(unit, what)

    def length(self, name: str) -> float | None:
        """Return a positive length, mm, that may be missing."""
        found = self.find(rf"{name}\s+{_NUMBER}[ \t]*({_WORD})?")
        if found is None:
            return None
        return positive_or_none(self.mm(found[1], found[2], name), self.path, name)

    def angle(self, name: str) -> float | None:
        """Return an angle, degrees, that may be missing; without a unit it is in degrees."""
        found = self.find(rf"\b{name}\s+{_NUMBER}[ \t]*({_WORD})?")
        if found is None:
            return None
        unit = angle_deg(found[2] or "deg")
        if unit is None:
            raise InputError(f"{name} has no known unit ('{shown(found[2])}')", source=self.path)
        return self.parsed(found[1]) * unit

    def centre(self, pixel: float) -> tuple[float, float] | None:
        """Return the beam centre from the corner, mm, or None.

        It counts in pixels unless it says more. Programs that were told none write (0, 0).
        """
        found = self.find(rf"Beam_xy\s+{_NUMBER}\s+{_NUMBER}[ \t]*({_WORD})?")
        if found is not None:
            centre = self._place(found[1], found[3], pixel), self._place(found[2], found[3], pixel)
        else:
            across, down = (self.find(rf"Beam_{side}\s+{_NUMBER}[ \t]*({_WORD})?") for side in "xy")
            if across is None or down is None:
                return None
            centre = (
                self._place(across[1], across[2], pixel),
                self._place(down[1], down[2], pixel),
            )
        return centre if any(centre) else None

    def _place(self, value: str, unit: str | None, pixel: float) -> float:
        word = unit or "pixels"
        known = pixel if word.lower().startswith(("pixel", "px")) else self.unit(word, "Beam_xy")
        return self.parsed(value) * known

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
        phi, width = self.angle("Start_angle"), self.angle("Angle_increment")
        for axis in ("Omega", "Phi"):
            step = self.angle(f"{axis}_increment")
            if width is None and step:
                width = step
                phi = self.angle(axis) if phi is None else phi
        return phi, width

    def left_aside(self) -> list[str]:
        """Say what bears on the image and is not read."""
        notes = list(dict.fromkeys(self.notes))
        notes += [
            f"{name} is left aside: give detector.twotheta_deg and its axis"
            for name in ("Detector_2theta", "Two_theta")
            if self._turns(name)
        ]
        if abs(self.optional(rf"Detector_Voffset\s+{_NUMBER}") or 0.0) > _TILT:
            notes.append("Detector_Voffset is left aside: detector.ybeam_mm gives the beam centre")
        notes += self._axis()
        if "_axis.vector[1]" in self.text or "_diffrn_scan_axis" in self.text:
            notes.append("the full imgCIF header is left aside: the mini header is read")
        return notes

    def _axis(self) -> list[str]:
        """Say where the spindle is taken along +x though the header has it elsewhere."""
        found = self.find(r"Oscillation_axis[ \t]+([^\r\n]+)")
        if found is None:
            return []
        word = " ".join(found[1].split())
        named = _NAMED_AXES.get(word.upper())
        if turned := [name for name in named or () if self._turns(name)]:
            return [f"the spindle {shown(word)} is taken along +x, though {' and '.join(turned)} "
                    "would turn it: goniometer.spindle_axis"]  # fmt: skip
        if named is not None or _USUAL_AXIS.fullmatch(word):
            return []
        return [f"the spindle is +x, not '{shown(word)}': goniometer.spindle_axis"]

    def _turns(self, name: str) -> bool:
        return abs(self.angle(name) or 0.0) > _TILT

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


def _centre_unit(centre: tuple[float, float], shape: tuple[int, int], pixel: float) -> float:
    """Return the unit of a centre (along slow, along fast), mm.

    Some beamlines write pixels for mm: where it lies on the detector in pixels alone.
    """
    in_mm = all(value <= side * pixel for value, side in zip(centre, shape, strict=True))
    in_pixels = all(value <= side for value, side in zip(centre, shape, strict=True))
    return pixel if in_pixels and not in_mm else 1.0


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
