"""What the headers of exported frames say: plain numbers, resolved by the caller.

Vectors stand in the frame that imgCIF, DIALS and the SMV and miniCBF readers share: the beam
travels along −z, x is the part of the spindle across the beam, y completes a right-handed frame.
NeXus's own frame (McStas) has x and z reversed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.export.smv import SmvGeometry
from distbragg.matrices import dot3, norm3

Triple = tuple[float, float, float]

COUNT_CUTOFF: Final = 2**31 - 3
"""Largest count of a 32-bit image; readers take the two above it for masked pixels."""

_ALONG: Final = 1e-6


@dataclass(frozen=True, slots=True)
class PanelHeader:
    """One panel as a header describes it.

    Attributes
    ----------
    name : str
    shape : (int, int)
        Pixels (slow, fast) that the panel has; the stack may pad them.
    pixel_size, distance : float, mm
        The distance is along the beam.
    beam : (float, float), pixels
        Where the direct beam meets the panel's plane, (fast, slow) from its outer corner.
    origin : 3 floats, mm
        Outer corner of the first pixel, imgCIF frame.
    fast, slow : 3 floats
        Unit vectors, imgCIF frame.
    thickness : float, mm
        Of the sensor; 0 where none absorbs.
    smv : SmvGeometry
    mu : float, 1/mm
        Linear attenuation coefficient of the sensor; 0 where none absorbs.
    material : str
        Of the sensor, as NXmx and DIALS name it.
    masked : int
        Pixels without signal: gaps, mask, outside of the region of interest.
    """

    name: str
    shape: tuple[int, int]
    pixel_size: float
    distance: float
    beam: tuple[float, float]
    origin: Triple
    fast: Triple
    slow: Triple
    thickness: float
    smv: SmvGeometry
    mu: float = 0.0
    material: str = "Si"
    masked: int = 0


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """One frame as a header describes it.

    Attributes
    ----------
    title : str
    wavelength : float, Å
    phi, oscillation : float, degrees
        Start and width of the rotation; width 0 for a still.
    spindle : 3 floats
        Unit vector, imgCIF frame.
    panels : tuple of PanelHeader
    counts : bool
        Pixels are whole photon counts.
    exposure : float, s
    date : str
        When the stack was created, ISO 8601 without zone, UTC.
    """

    title: str
    wavelength: float
    phi: float
    oscillation: float
    spindle: Triple
    panels: tuple[PanelHeader, ...]
    counts: bool
    exposure: float
    date: str

    def to_plain(self) -> dict[str, Any]:
        """Return the header as plain data."""
        return asdict(self)


def imgcif_frame(
    beam: NDArray[np.float64], spindle: NDArray[np.float64], fast: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the rotation from the laboratory to the imgCIF frame, rows x, y, z.

    Parameters
    ----------
    beam, spindle, fast : (3,) float64
        Unit vectors. A spindle along the beam gives no x axis; the fast axis does then.
    """
    for axis in (spindle, fast):
        across = axis - float(dot3(axis, beam)) * beam
        length = float(norm3(across))
        if length > _ALONG:
            x = across / length
            return np.stack([x, np.cross(-beam, x), -beam])
    raise InputError("the panel and the spindle lie along the beam: no header describes that")


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


def whole_counts(
    image: NDArray[Any], *, scale: float = 1.0, maximum: int = COUNT_CUTOFF
) -> tuple[NDArray[np.int64], int]:
    """Round photons to whole counts: ⌊image · scale + ½⌋, held within 0 and `maximum`.

    Parameters
    ----------
    image : array, photons
    scale : float
        Counts per photon.
    maximum : int

    Returns
    -------
    array of int64
    int
        Pixels that lay outside 0 … maximum.

    Raises
    ------
    InputError
        NaN or infinite pixels.
    """
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError("the image holds NaN or infinite pixels", remedy="render the frame anew")
    rounded = np.floor(values * scale + 0.5)
    outside = int(np.count_nonzero((rounded < 0.0) | (rounded > maximum)))
    return np.clip(rounded, 0.0, float(maximum)).astype(np.int64), outside
