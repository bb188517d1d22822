"""Panels given by a specification's own list or by a geometry file, and the frame they bring."""

from __future__ import annotations

from dataclasses import replace

from distbragg.errors import InputError
from distbragg.models.conventions import ConventionRule
from distbragg.models.sensor import THINNEST_MM, known_material
from distbragg.models.spectrum import resolve_spectrum, takes_file_spectrum
from distbragg.models.vectors import Vector
from distbragg.notes import Note, Notes
from distbragg.read.geometry.model import (
    FileGeometry,
    PanelGeometry,
    check_panels,
    direction,
)
from distbragg.read.geometry.read import read_geometry
from distbragg.read.preset import read_preset
from distbragg.read.text import shown
from distbragg.spec.beam import BeamSpec
from distbragg.spec.detector import DetectorSpec, Material, PanelSpec, SensorSpec
from distbragg.spec.experiment import ExperimentSpec

_SAME_WAVELENGTH = 1e-3
_DEFAULT_SIZE_MM = 102.4
_DEFAULT_PIXEL_MM = 0.1


def geometry_of(spec: DetectorSpec, *, shot: int | None = None) -> FileGeometry | None:
    """Return the panels of a geometry file or of the specification's list; None for neither.

    Parameters
    ----------
    spec : DetectorSpec
    shot : int, optional
        Whose wavelength or spectrum is taken of a file of many (`shot_of`).

    Raises
    ------
    InputError
        A file that cannot be read or has no such shot, panels that cannot be rendered, or a
        distance or beam centre that neither file nor specification states.
    """
    if spec.geometry_file is not None:
        geometry = read_geometry(spec.geometry_file, spec.geometry_format, spec.geometry_experiment)
        given = {
            "distance_mm": geometry.distance_stated or spec.distance_mm is not None,
            "xbeam_mm": geometry.centre_stated or spec.xbeam_mm is not None,
            "ybeam_mm": geometry.centre_stated or spec.ybeam_mm is not None,
        }
        missing = [name for name, known in given.items() if not known]
        if missing:
            raise InputError(
                "the file does not state the "
                + ("distance" if missing[0] == "distance_mm" else "beam centre"),
                source=spec.geometry_file,
                field=f"detector.{missing[0]}",
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
    return check_panels(FileGeometry(source="", format="panels", frame="laboratory", panels=panels))


def shot_of(spec: BeamSpec) -> int | None:
    """Return the shot of the geometry file that a specification asks for, or None."""
    spectrum = spec.spectrum
    return None if spectrum is None or not spectrum.of_geometry_file else spectrum.shot


def is_wavelength_of(geometry: FileGeometry, wavelength: float) -> bool:
    """Whether a wavelength (Å) is the one that a geometry file states, or it states none."""
    stated = geometry.wavelength
    return stated is None or abs(wavelength - stated) <= _SAME_WAVELENGTH * stated


def file_notes(spec: ExperimentSpec, geometry: FileGeometry | None, wavelength: float) -> Notes:
    """Return what the readers of a geometry file and of a spectrum have to say.

    `wavelength` is the nominal one of the experiment, Å.
    """
    found: list[Note] = []
    if geometry is not None:
        if not is_wavelength_of(geometry, wavelength) and any(
            panel.attenuation_length is not None and known_material(panel.material) is None
            for panel in geometry.panels
        ):
            said = f"the sensor's attenuation is that of {geometry.wavelength:g} Å"
            found.append(Note("warning", geometry.source, f"{said}: detector.sensor gives another"))
        found += [Note("note", geometry.source, text) for text in geometry.notes]
        found += _sensor_notes(spec.detector.sensor, geometry)
        if geometry.spectrum is not None and not takes_file_spectrum(spec.beam):
            found.append(Note("note", geometry.source, "the spectrum of the file is left aside: "
                              "the specification gives the wavelength"))  # fmt: skip
    if spec.beam.spectrum is not None and spec.beam.source_file is None:
        spectrum = resolve_spectrum(spec.beam.spectrum)
        found += () if spectrum is None else spectrum.notes
    return tuple(found)


def _sensor_notes(spec: SensorSpec, geometry: FileGeometry) -> Notes:
    """Say where a sensor whose thickness a file states absorbs nothing (`merged_sensor`)."""
    if spec.material is not None or spec.attenuation_length_um is not None:
        return ()
    for panel in geometry.panels:
        known = panel.attenuation_length is not None or known_material(panel.material) is not None
        if not known and panel.thickness is not None and panel.thickness >= THINNEST_MM:
            made = f"of '{shown(panel.material)}', which is not known" if panel.material else (
                "of no material that the file names")  # fmt: skip
            said = f"the sensor, {panel.thickness:g} mm {made}, absorbs nothing"
            return (Note("note", geometry.source, f"{said}: detector.sensor.material"),)
    return ()


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


def frame_rule(rule: ConventionRule, geometry: FileGeometry | None) -> ConventionRule:
    """Return the convention with the axes a geometry file states in place of its own.

    Where a file gives a beam but no spindle or E-vector, those of the convention may lie along
    the beam; the x axis, or y where the beam runs along x, stands for them then.
    """
    if geometry is None or geometry.beam is None:
        return rule
    across: Vector = (0.0, 1.0, 0.0) if abs(geometry.beam[0]) > 0.9 else (1.0, 0.0, 0.0)
    return replace(
        rule,
        beam=geometry.beam,
        polarization=geometry.polarization or across,
        spindle=geometry.spindle or across,
        twotheta=geometry.spindle or across,
    )


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


def _listed(spec: DetectorSpec, panel: PanelSpec, index: int) -> PanelGeometry:
    pixel = panel.pixel_size_mm or spec.pixel_size_mm or _DEFAULT_PIXEL_MM
    sides = {
        "slow": panel.pixels_slow or spec.pixels_slow,
        "fast": panel.pixels_fast or spec.pixels_fast,
    }
    default = max(1, round(_DEFAULT_SIZE_MM / pixel))
    field = f"detector.panels.{index}"
    return PanelGeometry(
        name=panel.name or f"panel{index}",
        shape=(sides["slow"] or default, sides["fast"] or default),
        pixel_size=pixel,
        origin=panel.origin_mm,
        fast=direction(panel.fast, field, "the fast axis"),
        slow=direction(panel.slow, field, "the slow axis"),
    )
