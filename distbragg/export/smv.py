"""SMV images (ADSC header, unsigned 16-bit pixels) as nanoBragg's readers expect them.

DIALS recognises a nanoBragg image by `BEAMLINE=fake`; the header repeats the beam centre
in every convention the C program writes, and adds the date and the ADC offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.export.files import write_whole
from distbragg.matrices import dot3
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment

HEADER_BYTES: Final = 512
"""Length of the header block; programs that skip it by hand count on this number."""

MM_PER_M: Final = 1000.0

_CONVENTIONS: Final = ("mosflm", "denzo", "adxv", "xds", "dials", "custom")


@dataclass(frozen=True, slots=True)
class SmvGeometry:
    """What an SMV header says about the experiment; lengths in mm, angles in degrees.

    Attributes
    ----------
    pixel_size, distance, close_distance : float, mm
    wavelength : float, Å
    beam_center : (float, float), mm
        X and Y in the convention of the experiment.
    beam_fast, beam_slow : float, mm
        Where the direct beam meets the panel, along fast and slow from the corner.
    size_slow : float, mm
    origin : (float, float, float), mm
        Panel corner in DIALS's laboratory frame as the C program turns it: (z, y, −x).
    origin_px : (float, float)
        XDS's ORGX and ORGY.
    phi, oscillation, twotheta : float, degrees
    """

    pixel_size: float
    distance: float
    close_distance: float
    wavelength: float
    beam_center: tuple[float, float]
    beam_fast: float
    beam_slow: float
    size_slow: float
    origin: tuple[float, float, float]
    origin_px: tuple[float, float]
    phi: float = 0.0
    oscillation: float = 0.0
    twotheta: float = 0.0


def smv_geometry(
    experiment: Experiment,
    *,
    convention: str = "mosflm",
    phi_deg: float = 0.0,
    oscillation_deg: float = 0.0,
    twotheta_deg: float = 0.0,
    panel: int = 0,
) -> SmvGeometry:
    """Derive the header's numbers from the resolved panel.

    BEAM_CENTER is where the direct beam meets the panel's plane; nanoBragg repeats the number
    it was given, which for a panel turned about the sample is another place. Under `physics:
    nanobragg` the distance is the program's, which leaves a 2θ swing out of account, and so
    are the centres of the other conventions, which it derives from that distance.

    Raises
    ------
    InputError
        Unknown convention, or a panel parallel to the beam.
    """
    if convention not in _CONVENTIONS:
        raise InputError(f"unknown detector convention {convention!r}", field="convention")
    plate = experiment.detector.panels[panel]
    beam = np.asarray(experiment.beam.direction)
    ratio = float(dot3(beam, plate.normal))
    if ratio == 0.0 or not math.isfinite(ratio):
        raise InputError("the panel is parallel to the beam: SMV has no beam centre for it")
    distance = plate.close_distance / ratio
    x, y = _beam_center(convention, plate, distance * beam)
    if experiment.physics == "nanobragg":
        distance = plate.distance
    impact = distance * beam - plate.origin
    fast, slow = float(dot3(impact, plate.fast)), float(dot3(impact, plate.slow))
    closest = -float(dot3(plate.origin, plate.fast)), -float(dot3(plate.origin, plate.slow))
    size_slow = plate.pixels[0] * plate.pixel_size
    return SmvGeometry(
        pixel_size=plate.pixel_size * MM_PER_M,
        distance=distance * MM_PER_M,
        close_distance=plate.close_distance * MM_PER_M,
        wavelength=experiment.beam.wavelength,
        beam_center=(x * MM_PER_M, y * MM_PER_M),
        beam_fast=fast * MM_PER_M,
        beam_slow=slow * MM_PER_M,
        size_slow=size_slow * MM_PER_M,
        origin=(
            float(plate.origin[2]) * MM_PER_M,
            float(plate.origin[1]) * MM_PER_M,
            -float(plate.origin[0]) * MM_PER_M,
        ),
        origin_px=(closest[0] / plate.pixel_size + 0.5, closest[1] / plate.pixel_size + 0.5),
        phi=phi_deg,
        oscillation=oscillation_deg,
        twotheta=twotheta_deg,
    )


def _beam_center(convention: str, panel: Panel, impact: NDArray[np.float64]) -> tuple[float, float]:
    """X and Y of the beam centre, metres: the convention's rule for Fbeam, Sbeam inverted.

    `impact` is where the direct beam meets the panel's plane, from the sample.
    """
    place = impact - panel.origin
    fast, slow = float(dot3(place, panel.fast)), float(dot3(place, panel.slow))
    if convention == "mosflm":
        return slow - 0.5 * panel.pixel_size, fast - 0.5 * panel.pixel_size
    if convention == "denzo":
        return slow, fast
    if convention == "adxv":
        return fast, panel.pixels[0] * panel.pixel_size - slow
    return fast, slow


def smv_header(
    geometry: SmvGeometry,
    shape: tuple[int, int],
    *,
    adc_offset: float,
    date: str = "",
    byte_order: str = "little",
    complete: bool = False,
) -> bytes:
    """Format the header of an image of `shape` (slow, fast).

    It is 512 bytes, and a whole number of such blocks where numbers are so long that they
    need more. The ADC offset and the date are left out where they would need another block,
    unless `complete`.
    """
    half = 0.5 * geometry.pixel_size
    beam_fast, beam_slow = geometry.beam_fast, geometry.beam_slow
    origin = ",".join(f"{value:g}" for value in geometry.origin)
    entries: list[tuple[str, str | int | float]] = [
        ("HEADER_BYTES", HEADER_BYTES),
        ("DIM", 2),
        ("BYTE_ORDER", f"{byte_order}_endian"),
        ("TYPE", "unsigned_short"),
        ("SIZE1", shape[1]),
        ("SIZE2", shape[0]),
        ("PIXEL_SIZE", geometry.pixel_size),
        ("DISTANCE", geometry.distance),
        ("WAVELENGTH", geometry.wavelength),
        ("BEAM_CENTER_X", geometry.beam_center[0]),
        ("BEAM_CENTER_Y", geometry.beam_center[1]),
        ("ADXV_CENTER_X", beam_fast),
        ("ADXV_CENTER_Y", geometry.size_slow - beam_slow),
        ("MOSFLM_CENTER_X", beam_slow - half),
        ("MOSFLM_CENTER_Y", beam_fast - half),
        ("DENZO_X_BEAM", beam_slow),
        ("DENZO_Y_BEAM", beam_fast),
        ("DIALS_ORIGIN", origin),
        ("XDS_ORGX", geometry.origin_px[0]),
        ("XDS_ORGY", geometry.origin_px[1]),
        ("CLOSE_DISTANCE", geometry.close_distance),
        ("PHI", geometry.phi),
        ("OSC_START", geometry.phi),
        ("OSC_RANGE", geometry.oscillation),
        ("TWOTHETA", geometry.twotheta),
        ("DETECTOR_SN", "000"),
        ("BEAMLINE", "fake"),
    ]
    # What the C program does not write comes last and gives way when the block is full.
    for optional in (("ADC_OFFSET", adc_offset), ("DATE", date)):
        fits = complete or len(_format([*entries, optional])) <= HEADER_BYTES
        if optional[1] != "" and fits:
            entries.append(optional)
    blocks = -(-len(_format(entries)) // HEADER_BYTES)
    entries[0] = ("HEADER_BYTES", blocks * HEADER_BYTES)
    return _format(entries).ljust(blocks * HEADER_BYTES).encode("ascii")


def _format(entries: list[tuple[str, str | int | float]]) -> str:
    lines = (
        f"{key}={value:g};\n" if isinstance(value, float) else f"{key}={value};\n"
        for key, value in entries
    )
    return "{\n" + "".join(lines) + "}\f"


def write_smv(
    path: str | Path,
    counts: NDArray[np.uint16],
    geometry: SmvGeometry,
    *,
    adc_offset: float,
    date: str = "",
    complete: bool = False,
) -> None:
    """Write counts as an SMV image, pixels little-endian.

    Parameters
    ----------
    path : path
    counts : (slow, fast) uint16
    geometry : SmvGeometry
    adc_offset : float
        Recorded, not added.
    date : str
        As `time.asctime` writes it; left out when empty.
    complete : bool
        See `smv_header`.
    """
    slow, fast = counts.shape
    header = smv_header(
        geometry,
        (slow, fast),
        adc_offset=adc_offset,
        date=date,
        byte_order="little",
        complete=complete,
    )
    write_whole(path, header + counts.astype("<u2").tobytes())
