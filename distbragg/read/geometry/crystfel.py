"""CrystFEL geometry files: panels by corner and direction vectors, bad regions, camera length.

CrystFEL's frame has the beam along +z and y upwards; corners count in pixels, the camera length
in metres. Properties given before a panel's first line are the defaults of the panels after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.read.geometry.model import (
    MAXIMUM_PANELS,
    FileGeometry,
    PanelGeometry,
    Rectangle,
    Triple,
    check_panels,
    count,
    direction,
    number,
    positive,
)
from distbragg.read.text import read_text, shown
from distbragg.units import energy_ev_to_wavelength_angstrom

MAXIMUM_BYTES: Final = 1 << 24
ASSUMED_CLEN_M: Final = 0.1
_FRAME: Final = "CrystFEL's (beam along +z, y upwards)"
_NUMBER = r"[-+]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"\s*({_NUMBER}|[-+])?\s*([xyz])")
_LENGTHS: Final = {"": 1.0, "m": 1.0, "mm": 1e-3}
_ENERGIES: Final = {"": 1.0, "ev": 1.0, "kev": 1e3, "mev": 1e6}
_MAXIMUM_BAD: Final = 1000
_MAXIMUM_MASKED: Final = 1 << 28
_BLOCK_PIXELS: Final = 1 << 20
_NEEDED: Final = ("fs", "ss", "corner_x", "corner_y", "min_fs", "max_fs", "min_ss", "max_ss", "res")


@dataclass(frozen=True, slots=True)
class _Bad:
    """A bad region: bounds by name, and the panel it is confined to, empty for all."""

    bounds: dict[str, float]
    panel: str


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
    shift = tuple(_length(top.get(f"detector_shift_{axis}"), path) or 0.0 for axis in "xy")
    made: dict[str, tuple[PanelGeometry, tuple[int, int]]] = {}
    assumed = False
    for name, values in contents.panels.items():
        clen = _length(values.get("clen"), path)
        assumed = assumed or clen is None
        made[name] = _panel(name, values, ASSUMED_CLEN_M if clen is None else clen, shift, path)
    if assumed:
        notes.append("clen is not a number in the file: the distance must be given")
    bad = [_bad_region(values, path) for values in contents.bad.values()]
    return check_panels(
        FileGeometry(
            source=path,
            format="crystfel",
            frame=_FRAME,
            panels=tuple(_masked(panel, first, bad, path) for panel, first in made.values()),
            beam=(0.0, 0.0, 1.0),
            wavelength=_wavelength(top, notes, path),
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
        if not content:
            continue
        key, sign, value = (part.strip() for part in content.partition("="))
        if not sign or not key:
            raise InputError(f"'{shown(content)}' is no assignment", source=f"{path}:{line_number}")
        name, slash, prop = key.partition("/")
        if key.startswith(("rigid_group", "group_", "/")):
            continue
        if not slash:
            top[key] = defaults[key] = value
        elif name.startswith("bad"):
            bad.setdefault(name, {})[prop] = value
        else:
            panels.setdefault(name, dict(defaults))[prop] = value
        if len(panels) > MAXIMUM_PANELS or len(bad) > _MAXIMUM_BAD:
            raise InputError("too many panels or bad regions", source=path)
    return _Contents(top, panels, bad)


def _panel(
    name: str, values: dict[str, str], clen: float, shift: tuple[float, ...], path: str
) -> tuple[PanelGeometry, tuple[int, int]]:
    """Return a panel, and the (fast, slow) index of its first pixel in the file's images."""
    place = f"{path}: {shown(name)}"
    for needed in _NEEDED:
        if needed not in values:
            raise InputError(f"panel '{shown(name)}' has no {needed}", source=path)
    numbers = {key: _number(values[key], place, key) for key in _NEEDED[2:]}
    pixel = 1e3 / positive(numbers["res"], place, "res")
    offset = _length(values.get("coffset"), path) or 0.0
    corner = (
        numbers["corner_x"] * pixel + shift[0] * 1e3,
        numbers["corner_y"] * pixel + shift[1] * 1e3,
        (clen + offset) * 1e3,
    )
    shape = tuple(
        count(numbers[f"max_{side}"] - numbers[f"min_{side}"] + 1, place, f"max_{side}")
        for side in ("ss", "fs")
    )
    panel = PanelGeometry(
        name=name[:80],
        shape=(shape[0], shape[1]),
        pixel_size=positive(pixel, place, "1/res"),
        origin=corner,
        fast=direction(_vector(values["fs"], place, "fs"), place, "fs"),
        slow=direction(_vector(values["ss"], place, "ss"), place, "ss"),
    )
    return panel, (int(numbers["min_fs"]), int(numbers["min_ss"]))


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


def _number(text: str, place: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{what} '{shown(text)}' is not a number", source=place) from error
    return number(value, place, what)


def _length(text: str | None, path: str) -> float | None:
    """Return a length in metres, or None where it stands in the data files."""
    if text is None or text.startswith("/") or not text:
        return None
    value, _, unit = text.partition(" ")
    factor = _LENGTHS.get(unit.strip().lower())
    if factor is None:
        raise InputError(f"'{shown(text)}' is no length in m or mm", source=path)
    return _number(value, path, "a length") * factor


def _wavelength(top: dict[str, str], notes: list[str], path: str) -> float | None:
    """Return the wavelength, Å, where the file states it or a photon energy."""
    energy, wavelength = top.get("photon_energy"), top.get("wavelength")
    text = energy if energy is not None else wavelength
    if text is None or not text or text.startswith("/"):
        notes.append("the photon energy is not a number in the file")
        return None
    value, _, unit = text.partition(" ")
    size = positive(_number(value, path, "the photon energy"), path, "the photon energy")
    if energy is not None:
        factor = _ENERGIES.get(unit.strip().lower())
        if factor is None:
            raise InputError(f"photon_energy '{shown(text)}' has no known unit", source=path)
        return energy_ev_to_wavelength_angstrom(size * factor)
    factor = {"m": 1e10, "a": 1.0, "": 1e10}.get(unit.strip().lower())
    if factor is None:
        raise InputError(f"wavelength '{shown(text)}' has no known unit", source=path)
    return positive(size * factor, path, "wavelength")


def _bad_region(values: dict[str, str], path: str) -> _Bad:
    bounds = {
        name: _number(values[name], path, f"a bad region's {name}")
        for side in ("x", "y", "fs", "ss")
        for name in (f"min_{side}", f"max_{side}")
        if name in values
    }
    complete = [
        {f"min_{a}", f"max_{a}", f"min_{b}", f"max_{b}"} <= set(bounds)
        for a, b in (("x", "y"), ("fs", "ss"))
    ]
    if not any(complete):
        raise InputError("a bad region lacks one of its four bounds", source=path)
    return _Bad(bounds, values.get("panel", ""))


def _masked(
    panel: PanelGeometry, first: tuple[int, int], regions: list[_Bad], path: str
) -> PanelGeometry:
    areas: list[Rectangle] = []
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None = None
    for region in regions:
        if region.panel not in ("", panel.name):
            continue
        bounds = region.bounds
        if "min_fs" in bounds:
            areas.append(
                Rectangle(
                    int(bounds["min_ss"]) - first[1], int(bounds["max_ss"]) - first[1] + 1,
                    int(bounds["min_fs"]) - first[0], int(bounds["max_fs"]) - first[0] + 1,
                )
            )  # fmt: skip
        elif _may_touch(panel, bounds, path):
            mask = _outside(panel, bounds) if mask is None else mask & _outside(panel, bounds)
    return replace(panel, masked=tuple(areas), mask=mask)


def _may_touch(panel: PanelGeometry, bounds: dict[str, float], path: str) -> bool:
    """Whether a region of the laboratory meets the rectangle around a panel."""
    if panel.shape[0] * panel.shape[1] > _MAXIMUM_MASKED:
        raise InputError(f"panel '{shown(panel.name)}' is too large for a mask", source=path)
    corners = [
        [
            panel.origin[axis] / panel.pixel_size + f * panel.fast[axis] + s * panel.slow[axis]
            for f in (0, panel.shape[1])
            for s in (0, panel.shape[0])
        ]
        for axis in range(2)
    ]
    return all(
        min(places) < bounds[f"max_{name}"] and max(places) > bounds[f"min_{name}"]
        for places, name in zip(corners, "xy", strict=True)
    )


def _outside(
    panel: PanelGeometry, bounds: dict[str, float]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
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
