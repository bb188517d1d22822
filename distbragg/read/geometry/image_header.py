"""Geometry of single images: SMV headers and the mini headers of Pilatus-style CBF files.

Both describe a panel square to the beam. It is placed in the frame of imgCIF: beam along −z,
spindle and fast axis along +x, slow axis along −y.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Final

from distbragg.read.geometry.model import FileGeometry, GeometryReading, Triple, square_panel
from distbragg.read.smv import read_smv_header
from distbragg.read.text import first_bytes, shown
from distbragg.read.units import ANGSTROM, EV, angle_deg, length_mm, spectral_unit

_FRAME: Final = "imgCIF's (beam along -z, spindle along +x)"
_FAST: Final[Triple] = (1.0, 0.0, 0.0)
_BEAM: Final[Triple] = (0.0, 0.0, -1.0)
_geometry = partial(FileGeometry, frame=_FRAME, beam=_BEAM, polarization=_FAST, spindle=_FAST)
_square = partial(square_panel, axes=(_FAST, (0.0, -1.0, 0.0)), beam=_BEAM)
_CBF_HEADER_BYTES: Final = 64 * 1024
_CBF_BINARY: Final = b"\x0c\x1a\x04\xd5"
_NUMBER: Final = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_UNIT: Final = r"[ \t]*([^\W\d_]+)?"
_TILT: Final = 1e-6
_LONGEST_M: Final = 10.0  # a distance without a unit that is longer, in metres, is in mm
_BLANKS: Final = str.maketrans("#:=,()", "      ")
"""What the definition of the mini header lets stand for a blank."""

_USUAL_AXIS: Final = re.compile(
    r"[+]?X?[\s.]*(?:CW)?|[+]?1(?:\.0*)?(?:\s+0(?:\.0*)?){2}", re.IGNORECASE
)
_NAMED_AXES: Final = {"OMEGA": (), "PHI": ("Kappa", "Chi")}

Centre = tuple[float, float] | None
Sized = tuple[float, str | None]  # a number, and the word of its unit where there is one


def read_smv(path: str) -> FileGeometry:
    """Read the header of an SMV image.

    ORGX and ORGY (pixels, XDS's) win over BEAM_CENTER_X and BEAM_CENTER_Y (mm), which are taken
    as MOSFLM's: X along the slow axis, Y along the fast one.
    """
    header, reading = read_smv_header(path), GeometryReading(path)
    if "CCD_DETECTOR_NAMES" in header.values or "SOURCE_WAVELENGTH" in header.values:
        raise reading.refusal(
            "a header of d*TREK (Rigaku), which keeps its geometry in keywords of its own",
            "use `dials.import` and its imported.expt",
        )
    if (size := header.number("PIXEL_SIZE")) is None:
        raise reading.refusal("the header has no PIXEL_SIZE")
    pixel = reading.positive(size, "PIXEL_SIZE")
    distance = reading.positive_or_none(header.number("DISTANCE"), "DISTANCE")
    orgx, orgy = header.number("ORGX", "XDS_ORGX"), header.number("ORGY", "XDS_ORGY")
    along, across = header.number("BEAM_CENTER_Y"), header.number("BEAM_CENTER_X")
    centre: Centre = None
    if orgx is not None and orgy is not None:
        centre = (orgx - 0.5) * pixel, (orgy - 0.5) * pixel
        reading.note("the beam centre is ORGX, ORGY")
    elif along is not None and across is not None and (along or across):
        # Some beamlines write pixels for mm: where the centre is on the detector in pixels alone.
        sides = list(zip((across, along), header.shape, strict=True))
        in_mm = all(value <= side * pixel for value, side in sides)
        unit = pixel if not in_mm and all(value <= side for value, side in sides) else 1.0
        centre = along * unit, across * unit
        reading.note(
            f"the beam centre is BEAM_CENTER_Y along fast, BEAM_CENTER_X along slow (MOSFLM), in "
            f"{'mm' if unit == 1.0 else 'pixels by its size'}; beamlines differ: check it"
        )
    if abs(header.number("TWOTHETA") or 0.0) > _TILT:
        reading.note("TWOTHETA is ignored: give detector.twotheta_deg and its axis")
    return _geometry(
        source=path,
        format="smv",
        panels=(_square(header.shape, pixel, centre=centre, distance=distance),),
        wavelength=reading.positive_or_none(header.number("WAVELENGTH"), "WAVELENGTH"),
        phi=header.number("OSC_START", "PHI"),
        oscillation=header.number("OSC_RANGE"),
        distance_stated=distance is not None,
        centre_stated=centre is not None,
        notes=reading.said,
    )


def read_minicbf(path: str) -> FileGeometry:
    """Read the mini header of a CBF image."""
    header = _MiniHeader(path)
    rows, columns = (
        header.count(header.number_of(f"X-Binary-Size-{side}-Dimension"), what)
        for side, what in (("Second", "rows"), ("Fastest", "columns"))
    )
    pixel = header.pixel()
    sensor = header.find(rf"(\w+)\s+sensor\s+thickness\s+{_NUMBER}{_UNIT}")
    distance, centre = header.distance(), header.centre(pixel)
    panel = _square((rows, columns), pixel, centre=centre, distance=distance)
    if sensor is not None:
        what = "the sensor's thickness"
        thickness = header.mm((header.parsed(sensor[2], what), sensor[3]), what)
        panel = replace(panel, material=sensor[1], thickness=thickness)
    phi, oscillation = header.rotation()
    polarized = header.sized("Polarization")
    wavelength = header.wavelength()
    header.say_what_is_left()
    return _geometry(
        source=path,
        format="cbf",
        panels=(panel,),
        wavelength=wavelength,
        polarization_fraction=None if polarized is None else polarized[0],
        phi=phi,
        oscillation=oscillation,
        distance_stated=distance is not None,
        centre_stated=centre is not None,
        notes=header.said,
    )


class _MiniHeader(GeometryReading):
    """Values of the mini header of a CBF image, found by their patterns."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        start = first_bytes(path, _CBF_HEADER_BYTES)
        if not start.startswith(b"###CBF"):
            raise self.refusal("not a CBF image", "one begins with ###CBF")
        head = start.split(_CBF_BINARY, 1)[0]
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError:
            text = head.decode("latin-1")
        if "_array_data.header_contents" not in text:
            raise self.refusal(
                "the CBF image has no mini header",
                "for full imgCIF headers use `dials.import` and its imported.expt",
            )
        self.text = text.translate(_BLANKS)

    def find(self, pattern: str) -> re.Match[str] | None:
        """Find a value that may be missing."""
        return re.search(pattern, self.text)

    def sized(self, name: str) -> Sized | None:
        """Return a number and its unit, where the header has them."""
        found = self.find(rf"\b(?:{name})\s+{_NUMBER}{_UNIT}")
        return None if found is None else (self.parsed(found[1], name), found[2])

    def number_of(self, name: str) -> float:
        """Return a number that must be there."""
        found = self.sized(name)
        if found is None:
            raise self.refusal(f"the header has no {name}")
        return found[0]

    def mm(self, found: Sized, what: str) -> float:
        """Return a length, mm; without a unit it is in metres, as the definition has it."""
        size, unit = found
        if unit is None:
            unit = "m" if abs(size) <= _LONGEST_M else "mm"
            self.note(f"{what} has no unit: {size:g} is taken in {unit}")
        return size * self.unit(length_mm(unit), what, unit)

    def pixel(self) -> float:
        """Return the edge of a pixel, mm."""
        side = rf"{_NUMBER}[ \t]*((?!x\b)[^\W\d_]+)?"
        found = self.find(rf"Pixel_size\s+{side}\s*x\s*{side}")
        if found is None:
            raise self.refusal("the header has no Pixel_size")
        fast, slow = (
            self.mm((self.parsed(number, "Pixel_size"), unit), "Pixel_size")
            for number, unit in ((found[1], found[2]), (found[3], found[4]))
        )
        return self.square_pixel(fast, slow, "Pixel_size")

    def distance(self) -> float | None:
        """Return the distance, mm, or None."""
        found = self.sized("Detector_distance")
        if found is None:
            return None
        return self.positive_or_none(self.mm(found, "Detector_distance"), "Detector_distance")

    def angle(self, name: str) -> float | None:
        """Return an angle, degrees, that may be missing; without a unit it is in degrees."""
        found = self.sized(name)
        if found is None:
            return None
        return found[0] * self.unit(angle_deg(found[1] or "deg"), name, found[1])

    def centre(self, pixel: float) -> Centre:
        """Return the beam centre from the corner, mm; None where (0, 0) stands for none."""
        both = self.find(rf"Beam_xy\s+{_NUMBER}\s+{_NUMBER}{_UNIT}")
        x, y = self.sized("Beam_x"), self.sized("Beam_y")
        if both is not None:
            x, y = ((self.parsed(both[side], "Beam_xy"), both[3]) for side in (1, 2))
        if x is None or y is None:
            return None
        across, down = (
            number * self.unit(length_mm(unit or "pixels", pixel), "Beam_xy", unit)
            for number, unit in (x, y)
        )
        return (across, down) if across or down else None

    def wavelength(self) -> float | None:
        """Return the wavelength, Å, of the lines Wavelength or Photon_energy, or None."""
        for name, usual in (("Wavelength", ANGSTROM), ("Photon_energy|Energy", EV)):
            found = self.sized(name)
            if found is None:
                continue
            unit = usual if found[1] is None else spectral_unit(found[1])
            if unit is not None and unit.quantity != usual.quantity:
                unit = None
            unit = self.unit(unit, name, found[1])
            value = self.positive_or_none(found[0], name)
            if value is not None:
                return self.positive(unit.angstrom(value), name)
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

    def say_what_is_left(self) -> None:
        """Say what bears on the image and is not read."""
        for name in ("Detector_2theta", "Two_theta"):
            if self._turns(name):
                self.note(f"{name} is ignored: give detector.twotheta_deg and its axis")
        raised = self.sized("Detector_Voffset")
        if raised is not None and abs(raised[0]) > _TILT:
            self.note("Detector_Voffset is ignored: detector.ybeam_mm gives the beam centre")
        self._say_axis()
        if "_axis.vector[1]" in self.text or "_diffrn_scan_axis" in self.text:
            self.note("the full imgCIF header is ignored: the mini header is read")

    def _say_axis(self) -> None:
        """Say where the spindle is taken along +x though the header has it elsewhere."""
        found = self.find(r"Oscillation_axis[ \t]+([^\r\n]+)")
        if found is None:
            return
        word = " ".join(found[1].split())
        named = _NAMED_AXES.get(word.upper())
        if turned := [name for name in named or () if self._turns(name)]:
            self.note(
                f"the spindle {shown(word)} is taken along +x, though {' and '.join(turned)} "
                "would turn it: goniometer.spindle_axis"
            )
        elif named is None and not _USUAL_AXIS.fullmatch(word):
            self.note(f"the spindle is +x, not '{shown(word)}': goniometer.spindle_axis")

    def _turns(self, name: str) -> bool:
        return abs(self.angle(name) or 0.0) > _TILT
