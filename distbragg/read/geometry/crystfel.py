"""CrystFEL geometry files: panels by corner and direction vectors, camera length, beam.

CrystFEL's frame has the beam along +z and y upwards; corners count in pixels, the camera length
in metres. Properties given before a panel's first line are the defaults of the panels after it.
A value that is not a number is a place in the data files. Definition: crystfel_geometry(5).
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.read.geometry.model import (
    ASSUMED_DISTANCE_MM,
    MAXIMUM_PANELS,
    FileGeometry,
    GeometryReading,
    PanelGeometry,
    Rectangle,
    Triple,
)
from distbragg.read.spectrum import unit_by_size
from distbragg.read.text import read_text, shown
from distbragg.read.units import EV, length_mm, spectral_unit

MAXIMUM_BYTES: Final = 1 << 24
_FRAME: Final = "CrystFEL's (beam along +z, y upwards)"
_NUMBER = r"[-+]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"\s*({_NUMBER}|[-+])?\s*\*?\s*([xyz])")
_SIZED = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)")
_MAXIMUM_BAD: Final = 10_000
_MAXIMUM_MASKED: Final = 1 << 28
_BLOCK_PIXELS: Final = 1 << 20
_NEEDED: Final = ("fs", "ss", "corner_x", "corner_y", "min_fs", "max_fs", "min_ss", "max_ss")
_UNIT_PIXEL: Final = 1e-3
_VOLTS: Final = {"": 1.0, "v": 1.0, "kv": 1e3}
_ELECTRON: Final = (12.2642598, 9.7847554e-7)
"""λ = a/√(V (1 + b V)) Å: a = h/√(2 m e), b = e/(2 m c²) of an electron (CODATA 2018)."""

_MASKS = re.compile(r"mask(\d_file|\d_data|\d_goodbits|\d_badbits|_file|_good|_bad)?$")
_COUNTS: Final = ("adu_per_photon", "adu_per_eV", "max_adu", "saturation_map", "flag_equal",
                  "flag_lessthan", "flag_morethan")  # fmt: skip
_WITHOUT_EFFECT = re.compile(
    r"data|dim\d+|name|peak_(list(_type)?|info_location)|saturation_map_file|photon_energy_scale|"
    r"(rigid_)?group_\S*|(min|max)_[fs]s|no_index|mask_edge_pixels|fs|ss|corner_[xy]|res|"
    r"pixel_pitch|clen|coffset|badrow_direction|beam_center_[xy]"
)
_READ_AT_TOP: Final = frozenset(
    ("photon_energy", "wavelength", "electron_voltage", "bandwidth", "detector_shift_x",
     "detector_shift_y")
)  # fmt: skip

Mask = NDArray[np.bool_]
Lines = dict[str, str]  # properties of the file, of a panel or of a bad region, as written


def read_crystfel(path: str) -> FileGeometry:
    """Read a CrystFEL geometry file; its notes stand in the order in which they come up."""
    file = _Crystfel(path)
    shift = [file.length(file.top.get(f"detector_shift_{axis}")) for axis in "xy"]
    for axis, found in zip("xy", shift, strict=True):
        if found is None and f"detector_shift_{axis}" in file.top:
            file.note(f"detector_shift_{axis} stands in the data files: 0 is taken")
    panels: list[PanelGeometry] = []
    assumed = False
    for name, values in file.panels.items():
        clen = file.length(values.get("clen", file.top.get("clen")))
        assumed = assumed or clen is None
        distance = ASSUMED_DISTANCE_MM if clen is None else clen
        panels.append(file.panel(name, values, (shift[0] or 0.0, shift[1] or 0.0, distance)))
    if assumed:
        asked = "clen is not a number in the file: the distance must be given"
        if any(values.get("coffset", "0").strip("0. ") for values in file.panels.values()):
            asked += ", coffset included"
        file.note(asked)
    strange = {panel for panel, _ in file.regions} - {"", *file.panels}
    for name in strange:
        file.note(f"a bad region lies in '{shown(name)}', which is not a panel")
    wavelength = file.wavelength()
    file.say_what_is_left()
    return FileGeometry(
        source=path,
        format="crystfel",
        frame=_FRAME,
        panels=tuple(panels),
        beam=(0.0, 0.0, 1.0),
        wavelength=wavelength,
        polarization=(1.0, 0.0, 0.0),
        distance_stated=not assumed,
        notes=file.said,
    )


class _Crystfel(GeometryReading):
    """A file taken apart: top-level values, panels and bad regions."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.top: Lines = {}
        self.panels: dict[str, Lines] = {}
        bad: dict[str, Lines] = {}
        for line_number, line in enumerate(read_text(path, MAXIMUM_BYTES).splitlines(), start=1):
            content = line.split(";", 1)[0].strip()
            if not content or content.startswith("#"):
                continue
            key, sign, value = (part.strip() for part in content.partition("="))
            if not sign or not key:
                raise self.refusal(f"'{shown(content)}' is not an assignment", line=line_number)
            name, slash, prop = key.partition("/")
            if not slash or not name:
                self.top[key] = value
            elif name.startswith("bad"):
                bad.setdefault(name, {})[prop] = value
            else:
                self.panels.setdefault(name, dict(self.top))[prop] = value
            if len(self.panels) > MAXIMUM_PANELS or len(bad) > _MAXIMUM_BAD:
                raise self.refusal("too many panels or bad regions")
        if not self.panels:
            raise self.refusal("the file describes no panel")
        self.regions = [(region.get("panel", ""), self._bounds(region)) for region in bad.values()]

    def panel(self, name: str, values: Lines, place: Triple) -> PanelGeometry:
        """Return a panel; `place` is the shift in x and y and the camera length, mm."""
        for needed in _NEEDED:
            if needed not in values:
                raise self.refusal(f"panel '{shown(name)}' has no {needed}")
        here = GeometryReading(f"{self.path}: {shown(name)}")
        numbers = {key: here.parsed(values[key], key) for key in _NEEDED[2:]}
        if "res" in values:
            unit = 1e3 / here.positive(here.parsed(values["res"], "res"), "res")
        elif (pitch := self.length(values.get("pixel_pitch"))) is not None:
            unit = here.positive(pitch, "pixel_pitch")
        else:
            raise self.refusal(f"panel '{shown(name)}' has no res")
        fast, slow = (_vector(values[side], here, side) for side in ("fs", "ss"))
        lengths = math.hypot(*fast), math.hypot(*slow)
        if abs(lengths[0] - lengths[1]) > _UNIT_PIXEL * lengths[0]:
            raise here.refusal(
                f"fs and ss are {lengths[0]:g} and {lengths[1]:g} long",
                "only square pixels can be rendered",
            )
        # Vectors that are of length 1 but for their last digits leave the pixel as it is written.
        pixel = unit if abs(lengths[0] - 1.0) <= _UNIT_PIXEL else unit * lengths[0]
        rows, columns = (
            here.count(numbers[f"max_{side}"] - numbers[f"min_{side}"] + 1, f"max_{side}")
            for side in ("ss", "fs")
        )
        panel = PanelGeometry(
            name=name[:80],
            shape=(rows, columns),
            pixel_size=here.positive(pixel, "1/res"),
            origin=(
                numbers["corner_x"] * unit + place[0],
                numbers["corner_y"] * unit + place[1],
                place[2] + (self.length(values.get("coffset")) or 0.0),
            ),
            fast=here.direction(fast, "fs"),
            slow=here.direction(slow, "ss"),
        )
        return self._masked(panel, values, int(numbers["min_fs"]), int(numbers["min_ss"]))

    def _masked(
        self, panel: PanelGeometry, values: Lines, min_fs: int, min_ss: int
    ) -> PanelGeometry:
        """Return a panel with what the file takes out of it.

        That is the whole panel under `no_index`, an edge of `mask_edge_pixels`, and bad regions,
        of which those in pixels count in the file's images, where the panel begins at `min_fs`.
        """
        slow, fast = panel.shape
        whole = Rectangle(0, slow, 0, fast)
        word = values.get("no_index", "0").strip().lower()
        if word == "true" or (word != "false" and self.parsed(word, "no_index") != 0.0):
            return replace(panel, masked=(whole,))
        edge = int(max(0.0, self.parsed(values.get("mask_edge_pixels", "0"), "mask_edge_pixels")))
        areas: list[Rectangle] = []
        if 2 * edge >= min(slow, fast):
            areas = [whole]
        elif edge:
            areas = [
                Rectangle(0, edge, 0, fast),
                Rectangle(slow - edge, slow, 0, fast),
                Rectangle(0, slow, 0, edge),
                Rectangle(0, slow, fast - edge, fast),
            ]
        mask: Mask | None = None
        for name, bounds in self.regions:
            if name not in ("", panel.name):
                continue
            if "min_fs" in bounds:
                rows = [int(bounds[f"{end}_ss"]) - min_ss for end in ("min", "max")]
                columns = [int(bounds[f"{end}_fs"]) - min_fs for end in ("min", "max")]
                areas.append(Rectangle(rows[0], rows[1] + 1, columns[0], columns[1] + 1))
                continue
            if slow * fast > _MAXIMUM_MASKED:
                raise self.refusal(f"panel '{shown(panel.name)}' is too large for a mask")
            if _may_touch(panel, bounds):
                mask = _outside(panel, bounds) if mask is None else mask & _outside(panel, bounds)
        return replace(panel, masked=tuple(areas), mask=mask)

    def _bounds(self, region: Lines) -> dict[str, float]:
        """Return the bounds of a bad region: four, in x and y or in fs and ss."""
        pairs = ("min_x", "max_x", "min_y", "max_y"), ("min_fs", "max_fs", "min_ss", "max_ss")
        bounds = {
            name: self.parsed(region[name], f"a bad region's {name}")
            for name in (*pairs[0], *pairs[1])
            if name in region
        }
        if not any(set(four) <= set(bounds) for four in pairs):
            raise self.refusal("a bad region lacks one of its four bounds")
        if len(bounds) > 4:
            raise self.refusal("a bad region has bounds in x, y and in fs, ss")
        return bounds

    def _sized(self, text: str | None, what: str) -> tuple[float, str] | None:
        """Split a value into number and unit; None for one that stands in the data files."""
        match = None if text is None else _SIZED.fullmatch(text)
        return None if match is None else (self.parsed(match[1], what), match[2].strip())

    def length(self, text: str | None) -> float | None:
        """Return a length, mm, or None where it stands in the data files; without a unit in m."""
        found = self._sized(text, "a length")
        if found is None:
            return None
        unit = length_mm(found[1] or "m")
        if unit is None:
            raise self.refusal(f"'{shown(text or '')}' is not a length in m or mm")
        return found[0] * unit

    def wavelength(self) -> float | None:
        """Return the wavelength, Å, where the file states it, a photon energy or a voltage."""
        top = self.top
        names = [
            name for name in ("photon_energy", "wavelength", "electron_voltage") if name in top
        ]
        if len(names) > 1:
            raise self.refusal(f"{' and '.join(names)} are given", "keep one")
        name = names[0] if names else "photon_energy"
        found = self._sized(top.get(name), name)
        if found is None:
            self.note(f"{name} is not a number in the file: the wavelength must be given")
            return None
        size = self.positive(found[0], name)
        unknown = self.refusal(f"{name} '{shown(top[name])}' has no known unit")
        if name == "electron_voltage":
            factor = _VOLTS.get(found[1].lower())
            if factor is None:
                raise unknown
            self.note("the beam is one of electrons: the image is that of X-rays of its wavelength")
            return _ELECTRON[0] / math.sqrt(size * factor * (1.0 + _ELECTRON[1] * size * factor))
        unit = spectral_unit(found[1]) if found[1] else EV
        if name == "wavelength" and not found[1]:
            unit = unit_by_size([size], "wavelength", self.path, name)
            self.note(f"wavelength has no unit: {size:g} is taken as {unit.name} by its size")
        if unit is None or (unit.quantity == "energy") != (name == "photon_energy"):
            raise unknown
        return self.positive(unit.angstrom(size), "wavelength")

    def say_what_is_left(self) -> None:
        """Say what the file holds that bears on its images and is not read."""
        given = set(self.top).union(*self.panels.values())
        if masks := sorted(name for name in given if _MASKS.match(name)):
            self.note(f"ignored: {', '.join(masks)}; detector.mask_file gives a mask")
        if counts := sorted(given & set(_COUNTS)):
            self.note(f"ignored, since images are in photons: {', '.join(counts)}")
        width = self.parsed(self.top.get("bandwidth", "0"), "bandwidth")
        if width > 1e-7:
            self.note(
                f"bandwidth {width:g} (standard deviation of the wavelength over itself) is "
                "ignored: beam.dispersion or beam.spectrum gives it"
            )
        unknown = sorted(
            shown(name)
            for name in given - _READ_AT_TOP - set(_COUNTS)
            if not _WITHOUT_EFFECT.fullmatch(name) and not _MASKS.match(name)
        )
        if unknown:
            self.note(f"not known and ignored: {', '.join(unknown[:20])}")


def _vector(text: str, here: GeometryReading, what: str) -> Triple:
    """Read a sum of terms such as +0.999x -0.002y."""
    parts = {"x": 0.0, "y": 0.0, "z": 0.0}
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise here.refusal(f"{what} '{shown(text)}' is not a direction")
        factor = (match[1] or "+").replace(" ", "")
        parts[match[2]] += float(f"{factor}1" if factor in "+-" else factor)
        position = match.end()
        if not text[position:].strip():
            break
    return here.triple(list(parts.values()), what)


def _may_touch(panel: PanelGeometry, bounds: dict[str, float]) -> bool:
    """Whether a region of the laboratory meets the rectangle around a panel."""
    for axis, name in enumerate("xy"):
        places = [
            panel.origin[axis] / panel.pixel_size + f * panel.fast[axis] + s * panel.slow[axis]
            for f in (0, panel.shape[1])
            for s in (0, panel.shape[0])
        ]
        if not (min(places) < bounds[f"max_{name}"] and max(places) > bounds[f"min_{name}"]):
            return False
    return True


def _outside(panel: PanelGeometry, bounds: dict[str, float]) -> Mask:
    """Pixels whose centres lie outside a region of the laboratory, bounds in pixels."""
    slow_count, fast_count = panel.shape
    inside = np.ones(panel.shape, dtype=np.bool_)
    fast = (np.arange(fast_count) + 0.5)[np.newaxis, :]
    rows = max(1, _BLOCK_PIXELS // fast_count)
    for start in range(0, slow_count, rows):
        block = inside[start : start + rows]
        slow = (np.arange(start, start + block.shape[0]) + 0.5)[:, np.newaxis]
        for axis, name in enumerate("xy"):
            place = (
                panel.origin[axis] / panel.pixel_size
                + fast * panel.fast[axis]
                + slow * panel.slow[axis]
            )
            block &= (place > bounds[f"min_{name}"]) & (place < bounds[f"max_{name}"])
    return ~inside
