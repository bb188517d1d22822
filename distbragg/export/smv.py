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
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector, components
from distbragg.spec.detector import Convention
from distbragg.units import MM_PER_METRE

HEADER_BYTES: Final = 512
"""Length of the header block; programs that skip it by hand count on this number."""


@dataclass(frozen=True, slots=True)
class SmvGeometry:
    """What an SMV header says about the experiment; lengths in mm, angles in degrees."""

    pixel_size: float
    distance: float
    close_distance: float
    wavelength: float  # Å
    beam_center: tuple[float, float]  # X and Y in the convention of the experiment
    beam_fast: float  # where the direct beam meets the panel, from the corner
    beam_slow: float
    size_slow: float
    origin: Vector  # corner in DIALS's laboratory frame as the C program turns it: (z, y, −x)
    origin_px: tuple[float, float]  # XDS's ORGX and ORGY
    phi: float = 0.0
    oscillation: float = 0.0
    twotheta: float = 0.0


@dataclass(frozen=True, slots=True)
class SmvCounts:
    """How the counts of a file stand to photons: counts = gain · photons + pedestal."""

    gain: float
    pedestal: float
    saturated: float  # what a pixel beyond the range holds


def smv_geometry(
    experiment: Experiment,
    *,
    convention: Convention = "mosflm",
    phi_deg: float = 0.0,
    oscillation_deg: float = 0.0,
    twotheta_deg: float = 0.0,
    panel: int = 0,
) -> SmvGeometry:
    """Derive the header's numbers from the resolved panel; refuse one parallel to the beam.

    BEAM_CENTER is where the direct beam meets the panel's plane; nanoBragg repeats the number
    it was given, which for a panel turned about the sample is another place. Under `physics:
    nanobragg` the distance is the program's, which leaves a 2θ swing out of account, and so
    are the centres of the other conventions, which it derives from that distance.
    """
    plate = experiment.detector.panels[panel]
    beam = np.asarray(experiment.beam.direction)
    ratio = float(dot3(beam, plate.normal))
    if ratio == 0.0 or not math.isfinite(ratio):
        raise InputError(
            f"panel {plate.name!r} is parallel to the beam: headers have no beam centre for it",
            remedy="write it by `distbragg export --format` zarr2, hdf5 or webdataset, which have "
            "no header",
        )

    def on_panel(distance: float) -> tuple[float, float]:
        """Where the direct beam meets the panel, metres along fast and slow from the corner."""
        place = distance * beam - plate.origin
        return float(dot3(place, plate.fast)), float(dot3(place, plate.slow))

    distance = plate.close_distance / ratio
    size_slow = plate.pixels[0] * plate.pixel_size
    meets = on_panel(distance)
    x, y = beam_centres(*meets, plate.pixel_size, size_slow).get(convention, meets)
    if experiment.physics == "nanobragg":
        distance = plate.distance
    fast, slow = on_panel(distance)
    closest_fast, closest_slow = on_panel(0.0)
    origin_x, origin_y, origin_z = components(plate.origin * MM_PER_METRE)
    return SmvGeometry(
        pixel_size=plate.pixel_size * MM_PER_METRE,
        distance=distance * MM_PER_METRE,
        close_distance=plate.close_distance * MM_PER_METRE,
        wavelength=experiment.beam.wavelength,
        beam_center=(x * MM_PER_METRE, y * MM_PER_METRE),
        beam_fast=fast * MM_PER_METRE,
        beam_slow=slow * MM_PER_METRE,
        size_slow=size_slow * MM_PER_METRE,
        origin=(origin_z, origin_y, -origin_x),
        origin_px=(closest_fast / plate.pixel_size + 0.5, closest_slow / plate.pixel_size + 0.5),
        phi=phi_deg,
        oscillation=oscillation_deg,
        twotheta=twotheta_deg,
    )


def beam_centres(
    fast: float, slow: float, pixel_size: float, size_slow: float
) -> dict[str, tuple[float, float]]:
    """X and Y of the beam centre by convention, one unit throughout: their rules inverted.

    `fast` and `slow` are where the direct beam meets the panel, from its corner.
    """
    half = 0.5 * pixel_size
    return {
        "mosflm": (slow - half, fast - half),
        "denzo": (slow, fast),
        "adxv": (fast, size_slow - slow),
    }


def smv_header(
    geometry: SmvGeometry,
    shape: tuple[int, ...],
    *,
    adc_offset: float,
    date: str = "",
    complete: bool = False,
    counts: SmvCounts | None = None,
) -> bytes:
    """Format the header of an image of `shape` (slow, fast).

    It is 512 bytes, and a whole number of such blocks where numbers are so long that they
    need more. The ADC offset, recorded and not added, and the date, as `time.asctime` writes it,
    are left out where they would need another block, unless `complete`. `counts` are the last
    but for these two.
    """
    beam = geometry.beam_fast, geometry.beam_slow
    centres = beam_centres(*beam, geometry.pixel_size, geometry.size_slow)
    origin = ",".join(f"{value:g}" for value in geometry.origin)
    entries: list[tuple[str, str | int | float]] = [
        ("HEADER_BYTES", HEADER_BYTES),
        ("DIM", 2),
        ("BYTE_ORDER", "little_endian"),
        ("TYPE", "unsigned_short"),
        ("SIZE1", shape[1]),
        ("SIZE2", shape[0]),
        ("PIXEL_SIZE", geometry.pixel_size),
        ("DISTANCE", geometry.distance),
        ("WAVELENGTH", geometry.wavelength),
        ("BEAM_CENTER_X", geometry.beam_center[0]),
        ("BEAM_CENTER_Y", geometry.beam_center[1]),
        *zip(("ADXV_CENTER_X", "ADXV_CENTER_Y"), centres["adxv"], strict=True),
        *zip(("MOSFLM_CENTER_X", "MOSFLM_CENTER_Y"), centres["mosflm"], strict=True),
        *zip(("DENZO_X_BEAM", "DENZO_Y_BEAM"), centres["denzo"], strict=True),
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
    if counts is not None:
        entries += [
            ("IMAGE_PEDESTAL", round(counts.pedestal)),
            ("CCD_IMAGE_SATURATION", round(counts.saturated)),
            ("GAIN", counts.gain),
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


def write_smv(path: str | Path, counts: NDArray[np.uint16], header: bytes) -> None:
    """Write counts (slow, fast) as an SMV image, pixels little-endian; see `smv_header`."""
    write_whole(path, header + counts.astype("<u2").tobytes())
