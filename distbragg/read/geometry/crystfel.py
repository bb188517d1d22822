"""CrystFEL geometry files: panels by corner and direction vectors, camera length, beam.

CrystFEL's frame has the beam along +z and y upwards; corners count in pixels, the camera length
in metres. Properties given before a panel's first line are the defaults of the panels after it.
A value that is no number is a place in the data files. Definition: crystfel_geometry(5).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.read.geometry.crystfel_masks import bad_region, masked
from distbragg.read.geometry.model import (
    ASSUMED_DISTANCE_MM,
    MAXIMUM_PANELS,
    FileGeometry,
    PanelGeometry,
    Triple,
    check_panels,
    count,
    direction,
    number,
    parsed_number,
    positive,
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


@dataclass(frozen=True, slots=True)
class _Contents:
    """A file taken apart: top-level values, panels and bad regions as written."""

    top: dict[str, str]
    panels: dict[str, dict[str, str]]
    bad: dict[str, dict[str, str]]


def read_crystfel(path: str) -> FileGeometry:
    """Read a CrystFEL geometry file.

    Raises
    ------
    InputError
        A panel without its place or size, or values that are no numbers.
    """
    contents = _contents(read_text(path, MAXIMUM_BYTES), path)
    if not contents.panels:
        raise InputError("the file describes no panel", source=path)
    notes: list[str] = []
    top = contents.top
    shift = [_length(top.get(f"detector_shift_{axis}"), path) for axis in "xy"]
    for axis, found in zip("xy", shift, strict=True):
        if found is None and f"detector_shift_{axis}" in top:
            notes.append(f"detector_shift_{axis} stands in the data files: 0 is taken")
    bad = [bad_region(values, path) for values in contents.bad.values()]
    panels: list[PanelGeometry] = []
    assumed = False
    for name, values in contents.panels.items():
        clen = _length(values.get("clen", top.get("clen")), path)
        assumed = assumed or clen is None
        place = (shift[0] or 0.0, shift[1] or 0.0, ASSUMED_DISTANCE_MM if clen is None else clen)
        panel, first = _panel(name, values, place, path)
        panels.append(masked(panel, first, bad, values, path))
    if assumed:
        asked = "clen is not a number in the file: the distance must be given"
        if any(values.get("coffset", "0").strip("0. ") for values in contents.panels.values()):
            asked += ", coffset included"
        notes.append(asked)
    strange = {region.panel for region in bad} - {"", *contents.panels}
    notes += [f"a bad region lies in '{shown(name)}', which is no panel" for name in strange]
    wavelength = _wavelength(top, notes, path)
    notes += _left_aside(contents, path)
    return check_panels(
        FileGeometry(
            source=path,
            format="crystfel",
            frame=_FRAME,
            panels=tuple(panels),
            beam=(0.0, 0.0, 1.0),
            wavelength=wavelength,
            polarization=(1.0, 0.0, 0.0),
            distance_stated=not assumed,
            notes=tuple(notes),
        )
    )


def _contents(text: str, path: str) -> _Contents:
    top: dict[str, str] = {}
    panels: dict[str, dict[str, str]] = {}
    bad: dict[str, dict[str, str]] = {}
    defaults: dict[str, str] = {}
    for line_number, line in enumerate(text.splitlines(), start=1):
        content = line.split(";", 1)[0].strip()
        if not content or content.startswith("#"):
            continue
        key, sign, value = (part.strip() for part in content.partition("="))
        if not sign or not key:
            raise InputError(f"'{shown(content)}' is no assignment", source=f"{path}:{line_number}")
        name, slash, prop = key.partition("/")
        if not slash or not name:
            top[key] = defaults[key] = value
        elif name.startswith("bad"):
            bad.setdefault(name, {})[prop] = value
        else:
            panels.setdefault(name, dict(defaults))[prop] = value
        if len(panels) > MAXIMUM_PANELS or len(bad) > _MAXIMUM_BAD:
            raise InputError("too many panels or bad regions", source=path)
    return _Contents(top, panels, bad)


def _panel(
    name: str, values: dict[str, str], place: Triple, path: str
) -> tuple[PanelGeometry, tuple[int, int]]:
    """Return a panel, and the (fast, slow) index of its first pixel in the file's images.

    `place` is the shift in x and y and the camera length, mm.
    """
    source = f"{path}: {shown(name)}"
    for needed in _NEEDED:
        if needed not in values:
            raise InputError(f"panel '{shown(name)}' has no {needed}", source=path)
    numbers = {key: parsed_number(values[key], source, key) for key in _NEEDED[2:]}
    unit = _pixel_mm(name, values, path)
    fast, slow = (_vector(values[side], source, side) for side in ("fs", "ss"))
    lengths = math.hypot(*fast), math.hypot(*slow)
    if abs(lengths[0] - lengths[1]) > _UNIT_PIXEL * lengths[0]:
        raise InputError(
            f"fs and ss are {lengths[0]:g} and {lengths[1]:g} long",
            source=source,
            remedy="only square pixels can be rendered",
        )
    # Vectors that are of length 1 but for their last digits leave the pixel as it is written.
    pixel = unit if abs(lengths[0] - 1.0) <= _UNIT_PIXEL else unit * lengths[0]
    corner = (
        numbers["corner_x"] * unit + place[0],
        numbers["corner_y"] * unit + place[1],
        place[2] + (_length(values.get("coffset"), path) or 0.0),
    )
    shape = tuple(
        count(numbers[f"max_{side}"] - numbers[f"min_{side}"] + 1, source, f"max_{side}")
        for side in ("ss", "fs")
    )
    panel = PanelGeometry(
        name=name[:80],
        shape=(shape[0], shape[1]),
        pixel_size=positive(pixel, source, "1/res"),
        origin=corner,
        fast=direction(fast, source, "fs"),
        slow=direction(slow, source, "ss"),
    )
    return panel, (int(numbers["min_fs"]), int(numbers["min_ss"]))


def _pixel_mm(name: str, values: dict[str, str], path: str) -> float:
    """Return the length that corners count in, mm: 1/res, or pixel_pitch."""
    source = f"{path}: {shown(name)}"
    if "res" in values:
        return 1e3 / positive(parsed_number(values["res"], source, "res"), source, "res")
    pitch = _length(values.get("pixel_pitch"), path)
    if pitch is None:
        raise InputError(f"panel '{shown(name)}' has no res", source=path)
    return positive(pitch, source, "pixel_pitch")


def _vector(text: str, place: str, what: str) -> Triple:
    """Read a sum of terms such as +0.999x -0.002y."""
    parts = {"x": 0.0, "y": 0.0, "z": 0.0}
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise InputError(f"{what} '{shown(text)}' is no direction", source=place)
        factor = (match[1] or "+").replace(" ", "")
        parts[match[2]] += float(f"{factor}1" if factor in "+-" else factor)
        position = match.end()
        if not text[position:].strip():
            break
    vector = parts["x"], parts["y"], parts["z"]
    for part in vector:
        number(part, place, what)
    return vector


def _sized(text: str | None, what: str, path: str) -> tuple[float, str] | None:
    """Split a value into number and unit; None for one that stands in the data files."""
    match = None if text is None else _SIZED.fullmatch(text)
    return None if match is None else (parsed_number(match[1], path, what), match[2].strip())


def _length(text: str | None, path: str) -> float | None:
    """Return a length, mm, or None where it stands in the data files; without a unit in m."""
    found = _sized(text, "a length", path)
    if found is None:
        return None
    unit = length_mm(found[1] or "m")
    if unit is None:
        raise InputError(f"'{shown(text or '')}' is no length in m or mm", source=path)
    return found[0] * unit


def _wavelength(top: dict[str, str], notes: list[str], path: str) -> float | None:
    """Return the wavelength, Å, where the file states it, a photon energy or a voltage."""
    names = [name for name in ("photon_energy", "wavelength", "electron_voltage") if name in top]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)} are given", source=path, remedy="keep one")
    name = names[0] if names else "photon_energy"
    found = _sized(top.get(name), name, path)
    if found is None:
        notes.append(f"{name} is not a number in the file: the wavelength must be given")
        return None
    size = positive(found[0], path, name)
    if name == "electron_voltage":
        volts = _VOLTS.get(found[1].lower())
        if volts is None:
            raise InputError(f"{name} '{shown(top[name])}' has no known unit", source=path)
        notes.append("the beam is one of electrons: the image is that of X-rays of its wavelength")
        return _ELECTRON[0] / math.sqrt(size * volts * (1.0 + _ELECTRON[1] * size * volts))
    unit = spectral_unit(found[1]) if found[1] else EV
    if name == "wavelength" and not found[1]:
        unit = unit_by_size([size], "wavelength", path, name)
        notes.append(f"wavelength says no unit: {size:g} is taken as {unit.name} by its size")
    if unit is None or (unit.quantity == "energy") != (name == "photon_energy"):
        raise InputError(f"{name} '{shown(top[name])}' has no known unit", source=path)
    return positive(unit.angstrom(size), path, "wavelength")


def _left_aside(contents: _Contents, path: str) -> list[str]:
    """Say what the file holds that bears on its images and is not read."""
    given = set(contents.top).union(*contents.panels.values())
    notes = []
    if masks := sorted(name for name in given if _MASKS.match(name)):
        notes.append(f"left aside: {', '.join(masks)}; detector.mask_file gives a mask")
    if counts := sorted(given & set(_COUNTS)):
        notes.append(f"left aside, since images are in photons: {', '.join(counts)}")
    if "bandwidth" in contents.top:
        width = parsed_number(contents.top["bandwidth"], path, "bandwidth")
        if width > 1e-7:
            notes.append(f"bandwidth {width:g} (standard deviation of the wavelength over itself) "
                         "is left aside: beam.dispersion or beam.spectrum gives it")  # fmt: skip
    unknown = sorted(
        shown(name)
        for name in given - _READ_AT_TOP - set(_COUNTS)
        if not _WITHOUT_EFFECT.fullmatch(name) and not _MASKS.match(name)
    )
    if unknown:
        notes.append(f"not known and left aside: {', '.join(unknown[:20])}")
    return notes
