"""What image headers and geometry files say, beneath what the spec says explicitly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from distbragg.errors import InputError
from distbragg.models.vectors import Vector
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.smv import SmvHeader, read_smv_header
from distbragg.read.spectrum import Spectrum
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.nanobragg_resolve import PROGRAM_WAVELENGTH_ANGSTROM
from distbragg.spec.sampling import HeaderFile
from distbragg.units import deg_to_rad, mm_to_m


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """Geometry found in files, in the units of the models; None where no file says.

    Attributes
    ----------
    wavelength : float, Å
    distance, close_distance, pixel_size, xbeam, ybeam : float, m
    orgx, orgy : float, pixels
    phi, oscillation, twotheta : float, rad
    shape : (int, int)
        Pixels (slow, fast).
    kahn_factor : float
    real_space : three vectors, Å
        Cell vectors a, b, c at spindle angle 0.
    spectrum : Spectrum
    source : str
        The file that was read last, for messages; empty where there is none.
    """

    wavelength: float | None = None
    distance: float | None = None
    close_distance: float | None = None
    pixel_size: float | None = None
    xbeam: float | None = None
    ybeam: float | None = None
    orgx: float | None = None
    orgy: float | None = None
    phi: float | None = None
    oscillation: float | None = None
    twotheta: float | None = None
    shape: tuple[int, int] | None = None
    kahn_factor: float | None = None
    real_space: tuple[Vector, Vector, Vector] | None = None
    spectrum: Spectrum | None = None
    source: str = ""


_DEFAULT_PIXEL_MM = 0.1


def ingest_headers(spec: ExperimentSpec) -> HeaderValues:
    """Read the header files in order (masks first, images after); a later one wins.

    A mask's BEAM_CENTER_Y counts from the other end of the slow axis.

    Raises
    ------
    InputError
        An unreadable file, or a value no detector can have.
    """
    values = HeaderValues()
    for file in _ordered(spec):
        values = _ingest(values, file)
    return values


def header_values(spec: ExperimentSpec) -> tuple[HeaderValues, ...]:
    """Return what each header file says alone, the one that wins first."""
    return tuple(_ingest(HeaderValues(), file) for file in reversed(_ordered(spec)))


def with_program_wavelength(spec: ExperimentSpec) -> ExperimentSpec:
    """Return a command of nanoBragg with that program's wavelength where nothing names one.

    Raises
    ------
    InputError
        A header file that cannot be read.
    """
    beam = spec.beam
    if beam.wavelength_angstrom is not None or beam.energy_ev is not None:
        return spec
    if ingest_headers(spec).wavelength is not None:
        return spec
    named = beam.model_copy(update={"wavelength_angstrom": PROGRAM_WAVELENGTH_ANGSTROM})
    return spec.model_copy(update={"beam": named})


def _ordered(spec: ExperimentSpec) -> list[HeaderFile]:
    return sorted(spec.header_files, key=lambda file: file.role != "mask")


def with_geometry(values: HeaderValues, geometry: FileGeometry | None) -> HeaderValues:
    """Lay what a geometry file says beside its panels over what headers say."""
    if geometry is None:
        return values
    share = geometry.polarization_fraction
    found = {
        "wavelength": geometry.wavelength,
        "phi": _radians(geometry.phi),
        "oscillation": _radians(geometry.oscillation),
        "kahn_factor": None if share is None else min(1.0, max(-1.0, 2.0 * share - 1.0)),
        "real_space": geometry.real_space,
        "spectrum": geometry.spectrum,
        "source": geometry.source or None,
    }
    return replace(values, **{key: value for key, value in found.items() if value is not None})  # type: ignore[arg-type]


def _ingest(values: HeaderValues, file: HeaderFile) -> HeaderValues:
    header = read_smv_header(file.path)
    pixel_mm = _positive(header, "PIXEL_SIZE")
    found: dict[str, float | str | tuple[int, int] | None] = {
        "source": header.source,
        "shape": header.shape,
        "wavelength": _positive(header, "WAVELENGTH"),
        "pixel_size": _metres(pixel_mm),
        "distance": _metres(header.number("DISTANCE")),
        "close_distance": _metres(header.number("CLOSE_DISTANCE")),
        "xbeam": _metres(header.number("BEAM_CENTER_X")),
        "ybeam": _metres(header.number("BEAM_CENTER_Y")),
        "orgx": header.number("ORGX", "XDS_ORGX"),
        "orgy": header.number("ORGY", "XDS_ORGY"),
        "phi": _radians(header.number("PHI")),
        "oscillation": _radians(header.number("OSC_RANGE")),
        "twotheta": _radians(header.number("TWOTHETA")),
    }
    if file.role == "mask" and isinstance(found["ybeam"], float):
        pixel = found["pixel_size"] or values.pixel_size or mm_to_m(_DEFAULT_PIXEL_MM)
        if isinstance(pixel, float):
            found["ybeam"] = pixel * header.shape[0] - found["ybeam"]
    return replace(values, **{key: value for key, value in found.items() if value is not None})  # type: ignore[arg-type]


def _positive(header: SmvHeader, key: str) -> float | None:
    value = header.number(key)
    if value is not None and not 0.0 < value < math.inf:
        raise InputError(f"{key} is {value:g}, not a positive number", source=header.source)
    return value


def _metres(value: float | None) -> float | None:
    return None if value is None else mm_to_m(value)


def _radians(value: float | None) -> float | None:
    return None if value is None else deg_to_rad(value)
