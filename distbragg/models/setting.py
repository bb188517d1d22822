"""What stands beside the sections of a specification: its files, and the convention of axes.

Image headers, geometry files and spectra lie beneath what the specification says explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.conventions import CONVENTIONS, ConventionRule, convention_of
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.models.origins import tell
from distbragg.models.sensor import known_material
from distbragg.models.vectors import Triad, Vector
from distbragg.read.geometry.model import FileGeometry, GeometryReading, PanelGeometry
from distbragg.read.geometry.read import read_geometry
from distbragg.read.preset import read_preset
from distbragg.read.smv import SmvHeader, read_smv_header
from distbragg.read.spectrum import (
    SHOT_SUFFIXES,
    ZARR_SUFFIXES,
    Spectrum,
    read_spectrum,
    usable_weights,
)
from distbragg.read.text import remembered
from distbragg.spec.beam import BeamSpec, SpectrumSpec
from distbragg.spec.detector import DetectorSpec, Material, PanelSpec
from distbragg.spec.experiment import ExperimentSpec, HeaderFile
from distbragg.spec.nanobragg_resolve import PROGRAM_WAVELENGTH_ANGSTROM
from distbragg.units import deg_to_rad, energy_ev_to_wavelength_angstrom, if_given, mm_to_m

DEFAULT_SIZE_MM: Final = 102.4
DEFAULT_PIXEL_MM: Final = 0.1
_SAME_WAVELENGTH: Final = 1e-3

_KEYWORDS: Final[dict[str, tuple[Callable[[float], float], tuple[str, ...]]]] = {
    "pixel_size": (mm_to_m, ("PIXEL_SIZE",)),
    "wavelength": (float, ("WAVELENGTH",)),
    "distance": (mm_to_m, ("DISTANCE",)),
    "close_distance": (mm_to_m, ("CLOSE_DISTANCE",)),
    "xbeam": (mm_to_m, ("BEAM_CENTER_X",)),
    "ybeam": (mm_to_m, ("BEAM_CENTER_Y",)),
    "orgx": (float, ("ORGX", "XDS_ORGX")),
    "orgy": (float, ("ORGY", "XDS_ORGY")),
    "phi": (deg_to_rad, ("PHI",)),
    "oscillation": (deg_to_rad, ("OSC_RANGE",)),
    "twotheta": (deg_to_rad, ("TWOTHETA",)),
}
"""What a header says: conversion, and the keywords of which the first that is there counts."""


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """Geometry found in files, in the units of the models; None where no file says."""

    wavelength: float | None = None  # Å
    distance: float | None = None  # m, as are the next four
    close_distance: float | None = None
    pixel_size: float | None = None
    xbeam: float | None = None
    ybeam: float | None = None
    orgx: float | None = None  # pixels
    orgy: float | None = None
    phi: float | None = None  # rad
    oscillation: float | None = None
    twotheta: float | None = None
    shape: tuple[int, int] | None = None  # pixels (slow, fast)
    kahn_factor: float | None = None
    real_space: Triad | None = None  # a, b, c at spindle angle 0, Å
    spectrum: Spectrum | None = None
    source: str = ""  # the file that was read last, for messages


@dataclass(frozen=True, slots=True)
class Setting:
    """What the files of a specification say, and the convention."""

    geometry: FileGeometry | None
    headers: HeaderValues  # headers and geometry together
    each: tuple[HeaderValues, ...]  # each header alone, the one that wins first
    rule: ConventionRule

    @classmethod
    def of(cls, spec: ExperimentSpec) -> Setting:
        """Read the files that a specification names."""
        spectrum = spec.beam.spectrum
        of_file = spectrum is not None and spectrum.of_geometry_file
        geometry = geometry_of(spec.detector, shot=spectrum.shot if spectrum and of_file else None)
        headers, each = read_headers(spec)
        rule = _frame_rule(CONVENTIONS[convention_of(spec)], geometry)
        return cls(geometry, _with_geometry(headers, geometry), each, rule)


@dataclass(frozen=True, slots=True)
class Resolved:
    """An experiment, the specification it was resolved from, and the setting of both."""

    spec: ExperimentSpec
    experiment: Experiment
    setting: Setting | None = None
    table: Reflections | None = None
    """|F| before what the frame makes of it, which further frames may share."""


def read_headers(spec: ExperimentSpec) -> tuple[HeaderValues, tuple[HeaderValues, ...]]:
    """Return what header files (masks, then images) say together, and each, the last first."""
    files = sorted(spec.header_files, key=lambda file: file.role != "mask")
    read = [(file, read_smv_header(file.path)) for file in files]
    values = HeaderValues()
    for file, header in read:
        values = _ingest(values, file, header)
    return values, tuple(_ingest(HeaderValues(), *one) for one in reversed(read))


def _ingest(values: HeaderValues, file: HeaderFile, header: SmvHeader) -> HeaderValues:
    """Lay a header over what others say; a mask's BEAM_CENTER_Y counts from the slow axis' end."""
    found: dict[str, Any] = {"source": header.source, "shape": header.shape}
    for name, (convert, keys) in _KEYWORDS.items():
        value = header.number(*keys)
        if value is None:
            continue
        if name in ("pixel_size", "wavelength") and not value > 0.0:
            raise InputError(f"{keys[0]} is {value:g}, not a positive number", source=header.source)
        found[name] = convert(value)
    if file.role == "mask" and "ybeam" in found:
        pixel = found.get("pixel_size") or values.pixel_size or mm_to_m(DEFAULT_PIXEL_MM)
        found["ybeam"] = pixel * header.shape[0] - found["ybeam"]
    return replace(values, **found)


def with_program_wavelength(spec: ExperimentSpec) -> ExperimentSpec:
    """Return a command of nanoBragg with that program's wavelength where nothing names one."""
    beam = spec.beam
    known = beam.wavelength_angstrom is not None or beam.energy_ev is not None
    if known or read_headers(spec)[0].wavelength is not None:
        return spec
    named = beam.model_copy(update={"wavelength_angstrom": PROGRAM_WAVELENGTH_ANGSTROM})
    return spec.model_copy(update={"beam": named})


def _with_geometry(values: HeaderValues, geometry: FileGeometry | None) -> HeaderValues:
    """Lay what a geometry file says beside its panels over what headers say."""
    if geometry is None:
        return values
    share = geometry.polarization_fraction
    found: dict[str, Any] = {
        "wavelength": geometry.wavelength,
        "phi": if_given(deg_to_rad, geometry.phi),
        "oscillation": if_given(deg_to_rad, geometry.oscillation),
        "kahn_factor": None if share is None else min(1.0, max(-1.0, 2.0 * share - 1.0)),
        "real_space": geometry.real_space,
        "spectrum": geometry.spectrum,
        "source": geometry.source or None,
    }
    return replace(values, **{key: value for key, value in found.items() if value is not None})


def geometry_of(spec: DetectorSpec, *, shot: int | None = None) -> FileGeometry | None:
    """Return the panels of a geometry file or list, or None; `shot`: whose spectrum is taken."""
    if spec.geometry_file is not None:
        geometry = read_geometry(spec.geometry_file, spec.geometry_format, spec.geometry_experiment)
        for name, what, stated in (
            ("distance_mm", "distance", geometry.distance_stated),
            ("xbeam_mm", "beam centre", geometry.centre_stated),
            ("ybeam_mm", "beam centre", geometry.centre_stated),
        ):
            if not stated and getattr(spec, name) is None:
                raise InputError(
                    f"the file does not state the {what}",
                    source=spec.geometry_file,
                    field=f"detector.{name}",
                    remedy="give it in the specification",
                )
        return geometry if shot is None else _of_shot(geometry, shot)
    if shot is not None:
        raise InputError(
            "names a shot of no file",
            field="beam.spectrum.shot",
            remedy="give beam.spectrum.file, or an NXmx master as detector.geometry_file",
        )
    if spec.panels is None:
        return None
    panels = tuple(_listed(spec, panel, index) for index, panel in enumerate(spec.panels))
    return FileGeometry(source="", format="panels", frame="laboratory", panels=panels)


def _of_shot(geometry: FileGeometry, shot: int) -> FileGeometry:
    """Return a geometry with the beam of one shot of its file."""
    if geometry.format != "nxmx":
        raise InputError(
            "the geometry file has no shots",
            source=geometry.source,
            field="beam.spectrum.shot",
            remedy="leave it out, or give beam.spectrum.file",
        )
    # Loaded here: few experiments need h5py.
    from distbragg.read.geometry.nexus_beam import read_nexus_beam

    beam = read_nexus_beam(geometry.source, shot)
    beside = tuple(note for note in geometry.notes if "beam.spectrum.shot" not in note)
    return replace(
        geometry,
        wavelength=beam.wavelength,
        spectrum=beam.spectrum,
        notes=tuple(dict.fromkeys((*beside, *(note.text for note in beam.notes)))),
    )


def _listed(spec: DetectorSpec, panel: PanelSpec, index: int) -> PanelGeometry:
    pixel = panel.pixel_size_mm or spec.pixel_size_mm or DEFAULT_PIXEL_MM
    default = max(1, round(DEFAULT_SIZE_MM / pixel))
    field = GeometryReading(f"detector.panels.{index}")
    return PanelGeometry(
        name=panel.name or f"panel{index}",
        shape=(
            panel.pixels_slow or spec.pixels_slow or default,
            panel.pixels_fast or spec.pixels_fast or default,
        ),
        pixel_size=pixel,
        origin=panel.origin_mm,
        fast=field.direction(panel.fast, "the fast axis"),
        slow=field.direction(panel.slow, "the slow axis"),
    )


def _frame_rule(rule: ConventionRule, geometry: FileGeometry | None) -> ConventionRule:
    """Return the convention with the axes a geometry file states in place of its own.

    Where a file gives a beam but no spindle or E-vector, those of the convention may lie along
    the beam; the x axis, or y where the beam runs along x, stands for them then.
    """
    if geometry is None or geometry.beam is None:
        return rule
    tell("rule.beam", "header", "beam")
    for name in ("polarization", "spindle"):
        stated = getattr(geometry, name) is not None
        tell(f"rule.{name}", *(("header", name) if stated else ("rule", "across the beam")))
    across: Vector = (0.0, 1.0, 0.0) if abs(geometry.beam[0]) > 0.9 else (1.0, 0.0, 0.0)
    return replace(
        rule,
        beam=geometry.beam,
        polarization=geometry.polarization or across,
        spindle=geometry.spindle or across,
        twotheta=geometry.spindle or across,
    )


def is_wavelength_of(geometry: FileGeometry, wavelength: float) -> bool:
    """Whether a wavelength (Å) is the one that a geometry file states, or it states none."""
    stated = geometry.wavelength
    return stated is None or abs(wavelength - stated) <= _SAME_WAVELENGTH * stated


def sensor_material(spec: DetectorSpec, panel: int) -> Material:
    """Name the material of a panel's sensor: as given, of the preset or file, else silicon."""
    own = spec.panels[panel].sensor.material if spec.panels is not None else None
    found = own or spec.sensor.material
    if found is None and spec.preset is not None:
        found = known_material(read_preset(spec.preset).material)
    if found is None and spec.geometry_file is not None:
        geometry = read_geometry(spec.geometry_file, spec.geometry_format, spec.geometry_experiment)
        found = known_material(geometry.panels[panel].material)
    return found or "Si"


def takes_file_spectrum(spec: BeamSpec) -> bool:
    """Whether the wavelengths are those of the geometry file, where it has a spectrum."""
    if spec.source_file is not None:
        return False
    if spec.spectrum is not None:
        return spec.spectrum.of_geometry_file
    given = (spec.wavelength_angstrom, spec.energy_ev)
    return given == (None, None) and not spec.dispersion.asked_for


def spectrum_of(spec: BeamSpec, of_file: Spectrum | None) -> Spectrum | None:
    """Return the spectrum of a beam: the specification's, else the geometry file's, or None."""
    if takes_file_spectrum(spec):
        return of_file
    return None if spec.spectrum is None else resolve_spectrum(spec.spectrum)


def resolve_spectrum(spec: SpectrumSpec) -> Spectrum | None:
    """Return a spectrum; None where it names a shot alone, which is one of the geometry file."""
    if spec.file is not None:
        return _of_file(spec, spec.file)
    if spec.of_geometry_file:
        return None
    if spec.wavelengths_angstrom is not None:
        lambdas = list(spec.wavelengths_angstrom)
    else:
        lambdas = [energy_ev_to_wavelength_angstrom(e) for e in spec.energies_ev or ()]
    weights = np.ones(len(lambdas)) if spec.weights is None else np.array(spec.weights)
    usable, notes = usable_weights(weights, "beam.spectrum.weights", "the list")
    return Spectrum(np.array(lambdas, dtype=np.float64), usable, notes)


def _of_file(spec: SpectrumSpec, path: str) -> Spectrum:
    """Read a table, or one shot of a file of many; a file that stays as it is, once."""
    if path.lower().endswith(ZARR_SUFFIXES):
        return _read_shot(path, spec)  # A folder does not show that its files change.
    if path.lower().endswith(SHOT_SUFFIXES):
        return _shot(path, spec)
    for name in ("shot", "weights_dataset", "channels_dataset", "channels_unit"):
        if getattr(spec, name) is not None:
            raise InputError(
                "needs a file of many shots",
                field=f"beam.spectrum.{name}",
                remedy=f"its name ends with {', '.join(SHOT_SUFFIXES)}",
            )
    return _table(path)


def _read_shot(path: str, spec: SpectrumSpec) -> Spectrum:
    # Loaded here: few experiments need h5py.
    weights, channels = spec.weights_dataset, spec.channels_dataset
    if weights is None and channels is None and not path.lower().endswith(ZARR_SUFFIXES):
        from distbragg.read.geometry.nexus_beam import read_nexus_beam

        return read_nexus_beam(path, spec.shot).as_spectrum(path)
    if weights is None or channels is None:
        raise InputError(
            "a file of many shots needs weights_dataset and channels_dataset",
            source=path,
            field="beam.spectrum",
            remedy="name the two arrays in it",
        )
    from distbragg.read.shots import read_shot

    unit = spec.channels_unit
    return read_shot(path, spec.shot, weights=weights, channels=channels, unit=unit)


_table = remembered(8)(read_spectrum)
_shot = remembered(8)(_read_shot)
