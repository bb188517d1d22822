"""What a geometry file says, in the frame and the units of such files: mm, Å, degrees."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from distbragg.matrices import matmul3
from distbragg.read.spectrum import Spectrum
from distbragg.read.text import Reading, shown

Matrix = NDArray[np.float64]
Triple = tuple[float, float, float]
Unit = TypeVar("Unit")

IDENTITY: Final = np.eye(3)

MAXIMUM_PANELS: Final = 4096
MAXIMUM_SIDE: Final = 1_000_000  # most pixels along one side of a panel, as in a specification
MAXIMUM_MM: Final = 1e9  # largest coordinate: a thousand kilometres is a damaged file
MAXIMUM_PIXELS: Final = 1 << 31
ASSUMED_DISTANCE_MM: Final = 100.0
"""Where panels stand until a distance is given that their file does not state."""

_UNIT: Final = 1e-12
_RIGHT_ANGLE: Final = 0.05
_IN_WORDS: Final = {2: "two", 3: "three", 4: "four", 9: "nine"}
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
    """One panel of a geometry file; lengths in mm."""

    name: str
    shape: tuple[int, int]  # pixels (slow, fast)
    pixel_size: float
    origin: Triple  # outer corner of the first pixel, from the sample
    fast: Triple  # unit vectors
    slow: Triple
    thickness: float | None = None  # of the sensor, as are the next two; not stated: None or empty
    attenuation_length: float | None = None
    material: str = ""
    masked: tuple[Rectangle, ...] = ()
    mask: NDArray[np.bool_] | None = None  # (slow, fast): True where a pixel gives a signal


@dataclass(frozen=True, slots=True, eq=False)
class FileGeometry:
    """A whole geometry file, whose panels can be rendered; None where it does not say."""

    source: str
    format: str
    frame: str  # the laboratory frame of all vectors, in words
    panels: tuple[PanelGeometry, ...]
    beam: Triple | None = None  # unit vector: the way it travels
    wavelength: float | None = None  # Å
    polarization: Triple | None = None  # along the E-vector, not necessarily of unit length
    polarization_fraction: float | None = None  # of the intensity, along it; 0.5: not polarised
    spindle: Triple | None = None  # unit vector: axis of a right-handed rotation
    phi: float | None = None  # degrees: start of the first frame
    oscillation: float | None = None  # degrees: width of a frame
    real_space: tuple[Triple, Triple, Triple] | None = None  # a, b, c at spindle angle 0, Å
    distance_stated: bool = True  # else the panels stand at an assumed distance
    centre_stated: bool = True  # else the beam meets their middle
    spectrum: Spectrum | None = None  # of the first shot; `wavelength` is its nominal one
    notes: tuple[str, ...] = ()  # what was assumed or ignored
    experiments: int = 1  # how many the file lists, this one among them

    def __post_init__(self) -> None:
        panels, reading = self.panels, Reading(self.source)
        if not 1 <= len(panels) <= MAXIMUM_PANELS:
            raise reading.refusal(
                f"the detector has {len(panels)} panels; 1 to {MAXIMUM_PANELS} can be rendered"
            )
        sides = [panel.fast for panel in panels], [panel.slow for panel in panels]
        parallel = ~(np.linalg.norm(np.cross(*sides), axis=1) > _RIGHT_ANGLE)
        if parallel.any():
            name = panels[int(np.argmax(parallel))].name
            raise reading.refusal(f"the axes of panel '{name}' are parallel")
        slow = max(panel.shape[0] for panel in panels)
        fast = max(panel.shape[1] for panel in panels)
        if len(panels) * slow * fast > MAXIMUM_PIXELS:
            raise reading.refusal(
                f"{len(panels)} panels of up to {fast} x {slow} pixels, more than 2^31"
            )


class GeometryReading(Reading):
    """A geometry file that is read, and what its values must be."""

    @property
    def said(self) -> tuple[str, ...]:
        """What was noted, each line once."""
        return tuple(dict.fromkeys(note.text for note in self.notes))

    def number(self, value: Any, what: str) -> float:  # noqa: ANN401 foreign data
        """Return a finite number of bounded size."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refusal(f"{what} is not a number")
        if not abs(value) <= MAXIMUM_MM:
            raise self.refusal(f"{what} is {value:g}, out of any detector's range")
        return float(value)

    def parsed(self, text: str, what: str) -> float:
        """Return a number that a text file writes, the exponents of Fortran included."""
        word = text.strip()
        try:
            value = float(_FORTRAN.sub(r"\1e\2", word))
        except ValueError as error:
            raise self.refusal(f"{what} '{shown(word)}' is not a number") from error
        return self.number(value, what)

    def positive(self, value: Any, what: str) -> float:  # noqa: ANN401 foreign data
        """Return a positive number."""
        result = self.number(value, what)
        if not result > 0.0:
            raise self.refusal(f"{what} is {result:g}, not a positive number")
        return result

    def positive_or_none(self, value: Any, what: str) -> float | None:  # noqa: ANN401 foreign data
        """Return a positive number, or None for none: programs that were told none write 0."""
        return self.positive(value, what) if value else None

    def count(self, value: Any, what: str) -> int:  # noqa: ANN401 foreign data
        """Return a number of pixels."""
        result = self.number(value, what)
        if result != math.floor(result) or not 1 <= result <= MAXIMUM_SIDE:
            raise self.refusal(f"{what} is {result:g}, not a number of pixels")
        return int(result)

    def numbers(self, values: Any, size: int, what: str) -> list[float]:  # noqa: ANN401 foreign data
        """Return a list of finite numbers of bounded size."""
        if not isinstance(values, list | tuple) or len(values) != size:
            raise self.refusal(f"{what} is not a list of {_IN_WORDS[size]} numbers")
        return [self.number(value, what) for value in values]

    def triple(self, values: Any, what: str) -> Triple:  # noqa: ANN401 foreign data
        """Return three finite numbers of bounded size."""
        x, y, z = self.numbers(values, 3, what)
        return x, y, z

    def direction(self, values: Any, what: str) -> Triple:  # noqa: ANN401 foreign data
        """Return a unit vector; one that is of length 1 but for rounding is left as it stands."""
        x, y, z = self.triple(values, what)
        length = math.hypot(x, y, z)
        if not length > 0.0:
            raise self.refusal(f"{what} has no length")
        return (x, y, z) if abs(length - 1.0) <= _UNIT else (x / length, y / length, z / length)

    def square_pixel(self, fast: Any, slow: Any, what: str) -> float:  # noqa: ANN401 foreign data
        """Return the edge of a pixel, mm."""
        edges = self.positive(fast, what), self.positive(slow, what)
        if abs(edges[0] - edges[1]) > 1e-6 * edges[0]:
            raise self.refusal(
                f"{what} is {fast:g} x {slow:g} mm", "only square pixels can be rendered"
            )
        return edges[0]

    def unit(self, found: Unit | None, what: str, word: str | None) -> Unit:
        """Return what was found for the word of a unit; refuse a word that is not known."""
        if found is None:
            said = "no unit" if word is None else f"no known unit ('{shown(word)}')"
            raise self.refusal(f"{what} has {said}")
        return found


def square_panel(
    shape: tuple[int, int],
    pixel: float,
    axes: tuple[Triple, Triple],
    *,
    beam: Triple,
    centre: tuple[float, float] | None,
    distance: float | None,
) -> PanelGeometry:
    """Return a panel of axes (fast, slow) square to a beam along z or against it.

    Without a centre (mm from its corner) the beam meets its middle.
    """
    across, down = centre or (shape[1] * pixel / 2.0, shape[0] * pixel / 2.0)
    x, y, z = (0.0 - across * fast - down * slow for fast, slow in zip(*axes, strict=True))
    z += beam[2] * (ASSUMED_DISTANCE_MM if distance is None else distance)
    return PanelGeometry("detector", shape, pixel, (x, y, z), *axes)


def rotation_matrix(axis: Triple, degrees: float) -> Matrix:
    """Return the right-handed rotation about a unit vector (Rodrigues' formula), (3, 3) float64."""
    x, y, z = axis
    angle = math.radians(degrees)
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned = IDENTITY + math.sin(angle) * skew + (1.0 - math.cos(angle)) * matmul3(skew, skew)
    return np.asarray(turned, dtype=np.float64)
