"""What the headers of exported frames say: plain numbers, resolved by the caller.

Vectors stand in the frame that imgCIF, DIALS and the SMV and miniCBF readers share: the beam
travels along −z, x is the part of the spindle across the beam, y completes a right-handed frame. Of
a geometry of CrystFEL y is its y. NeXus's own frame (McStas) has x and z reversed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.export.scaling import DEFAULT_ADC_OFFSET, Recording
from distbragg.export.smv import SmvGeometry
from distbragg.matrices import dot3
from distbragg.models.vectors import Vector

_ALONG: Final = 1e-6
_LENGTH: Final = 1e-9  # mm, that the rounding of a place is below


@dataclass(frozen=True, slots=True)
class PanelHeader:
    """One panel as a header describes it: lengths in mm, vectors in the imgCIF frame."""

    name: str
    shape: tuple[int, int]  # pixels (slow, fast) that the panel has; the stack may pad them
    pixel_size: float
    distance: float  # along the beam
    beam: tuple[float, float]  # pixels (fast, slow) from the outer corner to the direct beam
    origin: Vector  # outer corner of the first pixel
    fast: Vector
    slow: Vector
    thickness: float  # of the sensor; 0 where none absorbs
    smv: SmvGeometry
    mu: float = 0.0  # 1/mm, attenuation of the sensor; 0 where none absorbs
    material: str = "Si"  # of the sensor, as NXmx and DIALS name it
    masked: int = 0  # pixels without signal: gaps, mask, outside of the region of interest


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """One frame as a header describes it."""

    title: str
    wavelength: float  # Å
    phi: float  # degrees, start of the rotation
    oscillation: float  # degrees, its width; 0 for a still
    spindle: Vector  # unit vector, imgCIF frame
    panels: tuple[PanelHeader, ...]
    counts: bool  # pixels are whole numbers
    exposure: float  # s
    date: str  # when the stack was created, ISO 8601 without zone, UTC
    recording: Recording | None = None  # where the response of the detector was asked for


@dataclass(frozen=True, slots=True, eq=False)
class FrameFile:
    """The file of one panel of a frame."""

    path: Path
    header: FrameHeader
    panel: int
    dtype: np.dtype[Any]  # of the stack
    scale: float = 1.0  # counts per photon of SMV and CBF
    adc_offset: int = int(DEFAULT_ADC_OFFSET)  # added to every count of SMV

    @property
    def plate(self) -> PanelHeader:
        """The panel."""
        return self.header.panels[self.panel]

    def begins(self, head: bytes, itemsize: int) -> bool:
        """Whether the file begins with `head` and has the pixels after it."""
        slow, fast = self.plate.shape
        try:
            with self.path.open("rb") as stream:
                size = len(head) + slow * fast * itemsize
                return stream.read(len(head)) == head and self.path.stat().st_size == size
        except OSError:
            return False


def differ_in_distance_alone(one: FrameHeader, other: FrameHeader) -> bool:
    """Whether the panels of two headers differ by a shift along the beam, the same for all."""
    moved = [
        np.subtract(theirs.origin, ours.origin)
        for ours, theirs in zip(one.panels, other.panels, strict=True)
    ]
    turned = any(
        (ours.fast, ours.slow) != (theirs.fast, theirs.slow)
        for ours, theirs in zip(one.panels, other.panels, strict=True)
    )
    shift = np.array([0.0, 0.0, moved[0][2]])
    return not turned and bool(np.abs(np.array(moved) - shift).max() < _LENGTH)


def is_square(header: FrameHeader) -> bool:
    """Whether headers of one distance and one beam centre say it all.

    SMV and miniCBF readers assume a panel square to the beam, its fast axis along the spindle
    and its slow axis so that fast × slow points along the beam. A still has no spindle.
    """
    for panel in header.panels:
        fast, slow = np.array(panel.fast), np.array(panel.slow)
        if header.oscillation != 0.0 and abs(float(dot3(header.spindle, fast)) - 1.0) > _ALONG:
            return False
        if abs(np.cross(fast, slow)[2] + 1.0) > _ALONG:
            return False
    return True
