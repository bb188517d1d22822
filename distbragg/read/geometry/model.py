"""What a geometry file says, in the frame and the units of such files: mm, Å, degrees."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.spectrum import Spectrum
from distbragg.read.text import shown

Triple = tuple[float, float, float]

MAXIMUM_PANELS: Final = 4096
MAXIMUM_SIDE: Final = 1_000_000
"""Most pixels along one side of a panel, as in a specification."""

MAXIMUM_MM: Final = 1e9
"""Largest coordinate: a thousand kilometres is a damaged file."""

MAXIMUM_PIXELS: Final = 1 << 31
ASSUMED_DISTANCE_MM: Final = 100.0
"""Where panels stand until a distance is given that their file does not state."""

_UNIT: Final = 1e-12
_RIGHT_ANGLE: Final = 0.05
_FORTRAN: Final = re.compile(r"^([-+]?[\d.]+)[dD]([-+]?\d+)$")


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels without signal, half-open in both directions."""

    slow_start: int
    slow_stop: int
    fast_start: int
    fast_stop: int


@dataclass(frozen=True, slots=True, eq=False)
class PanelGeometry:
    """One panel of a geometry file.

    Attributes
    ----------
    name : str
    shape : (int, int)
        Pixels (slow, fast).
    pixel_size : float, mm
    origin : 3 floats, mm
        Outer corner of the first pixel, from the sample.
    fast, slow : 3 floats
        Unit vectors.
    thickness, attenuation_length : float, mm, or None
        Of the sensor, where the file states them.
    material : str
        Of the sensor; empty where the file does not say.
    masked : tuple of Rectangle
    mask : (slow, fast) bool or None
        True where a pixel gives a signal.
    """

    name: str
    shape: tuple[int, int]
    pixel_size: float
    origin: Triple
    fast: Triple
    slow: Triple
    thickness: float | None = None
    attenuation_length: float | None = None
    material: str = ""
    masked: tuple[Rectangle, ...] = ()
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FileGeometry:
    """A whole geometry file; None where it does not say.

    Attributes
    ----------
    source, format : str
    frame : str
        The laboratory frame of all vectors, in words.
    panels : tuple of PanelGeometry
    beam : 3 floats
        Unit vector, the way the beam travels.
    wavelength : float, Å
    polarization : 3 floats
        Direction of the E-vector, not necessarily of unit length.
    polarization_fraction : float
        Share of the intensity polarised along it, 0.5 for a beam that is not polarised.
    spindle : 3 floats
        Unit vector of a right-handed rotation.
    phi, oscillation : float, degrees
        Start of the first frame, width of a frame.
    real_space : three triples, Å
        Cell vectors a, b, c at spindle angle 0 in the file's frame.
    distance_stated, centre_stated : bool
        False: the panels stand at an assumed distance, or with the beam at their middle.
    spectrum : Spectrum or None
        Of the first shot, where the file has one; `wavelength` is its nominal one.
    experiments : int
        How many the file lists, this one among them.
    notes : tuple of str
        What was assumed or left aside.
    """

    source: str
    format: str
    frame: str
    panels: tuple[PanelGeometry, ...]
    beam: Triple | None = None
    wavelength: float | None = None
    polarization: Triple | None = None
    polarization_fraction: float | None = None
    spindle: Triple | None = None
    phi: float | None = None
    oscillation: float | None = None
    real_space: tuple[Triple, Triple, Triple] | None = None
    distance_stated: bool = True
    centre_stated: bool = True
    spectrum: Spectrum | None = None
    notes: tuple[str, ...] = ()
    experiments: int = 1


def triple(values: Any, source: str, what: str) -> Triple:  # noqa: ANN401 foreign data
    """Return three finite numbers of bounded size.

    Raises
    ------
    InputError
        Anything else.
    """
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise InputError(f"{what} is not a list of three numbers", source=source)
    x, y, z = (number(value, source, what) for value in values)
    return x, y, z


def number(value: Any, source: str, what: str) -> float:  # noqa: ANN401 foreign data
    """Return a finite number of bounded size.

    Raises
    ------
    InputError
        Anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} is not a number", source=source)
    if not abs(value) <= MAXIMUM_MM:
        raise InputError(f"{what} is {value:g}, out of any detector's range", source=source)
    return float(value)


def parsed_number(text: str, source: str, what: str) -> float:
    """Return a number that a text file writes, the exponents of Fortran included.

    Raises
    ------
    InputError
        Text that is none, or one that is not finite or out of bounds.
    """
    word = text.strip()
    try:
        value = float(_FORTRAN.sub(r"\1e\2", word))
    except ValueError as error:
        raise InputError(f"{what} '{shown(word)}' is not a number", source=source) from error
    return number(value, source, what)


def positive(value: Any, source: str, what: str) -> float:  # noqa: ANN401 foreign data
    """Return a positive number.

    Raises
    ------
    InputError
        Anything else.
    """
    result = number(value, source, what)
    if not result > 0.0:
        raise InputError(f"{what} is {result:g}, not a positive number", source=source)
    return result


def positive_or_none(value: float | None, source: str, what: str) -> float | None:
    """Return a positive number, or None for one that is missing or 0: programs told none write 0.

    Raises
    ------
    InputError
        A negative number.
    """
    return positive(value, source, what) if value else None


def count(value: Any, source: str, what: str) -> int:  # noqa: ANN401 foreign data
    """Return a number of pixels.

    Raises
    ------
    InputError
        Not a whole number between 1 and `MAXIMUM_SIDE`.
    """
    result = number(value, source, what)
    if result != math.floor(result) or not 1 <= result <= MAXIMUM_SIDE:
        raise InputError(f"{what} is {result:g}, not a number of pixels", source=source)
    return int(result)


def direction(vector: Triple, source: str, what: str) -> Triple:
    """Return a unit vector; one that is of length 1 but for rounding is left as it stands.

    Raises
    ------
    InputError
        A vector of no length.
    """
    length = math.hypot(*vector)
    if not length > 0.0:
        raise InputError(f"{what} has no length", source=source)
    if abs(length - 1.0) <= _UNIT:
        return vector
    return vector[0] / length, vector[1] / length, vector[2] / length


def square_pixel(fast: float, slow: float, source: str, what: str = "the pixel size") -> float:
    """Return the edge of a pixel, mm.

    Raises
    ------
    InputError
        Sides that differ: panels have square pixels.
    """
    if abs(fast - slow) > 1e-6 * fast:
        raise InputError(
            f"{what} is {fast:g} x {slow:g} mm",
            source=source,
            remedy="only square pixels can be rendered",
        )
    return fast


def check_panels(geometry: FileGeometry) -> FileGeometry:
    """Return the geometry if its panels can be rendered.

    Raises
    ------
    InputError
        No panel, too many, parallel axes, or more than 2^31 pixels.
    """
    panels, source = geometry.panels, geometry.source
    if not 1 <= len(panels) <= MAXIMUM_PANELS:
        raise InputError(
            f"the detector has {len(panels)} panels; 1 to {MAXIMUM_PANELS} can be rendered",
            source=source,
        )
    for panel in panels:
        across = math.hypot(*np.cross(panel.fast, panel.slow).tolist())
        if not across > _RIGHT_ANGLE:
            raise InputError(f"the axes of panel '{panel.name}' are parallel", source=source)
    slow = max(panel.shape[0] for panel in panels)
    fast = max(panel.shape[1] for panel in panels)
    if len(panels) * slow * fast > MAXIMUM_PIXELS:
        raise InputError(
            f"{len(panels)} panels of up to {fast} x {slow} pixels, more than 2^31", source=source
        )
    return geometry
