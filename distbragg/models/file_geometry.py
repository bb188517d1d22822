"""Panels given by a specification's own list or by a geometry file, and the frame they bring."""

from __future__ import annotations

from dataclasses import replace

from distbragg.errors import InputError
from distbragg.models.conventions import ConventionRule
from distbragg.models.sensor import known_material
from distbragg.models.vectors import Vector
from distbragg.read.geometry.model import (
    FileGeometry,
    PanelGeometry,
    check_panels,
    direction,
)
from distbragg.read.geometry.read import read_geometry
from distbragg.read.preset import read_preset
from distbragg.spec.detector import DetectorSpec, Material, PanelSpec

_DEFAULT_SIZE_MM = 102.4
_DEFAULT_PIXEL_MM = 0.1


def geometry_of(spec: DetectorSpec) -> FileGeometry | None:
    """Return the panels of a geometry file or of the specification's list; None for neither.

    Raises
    ------
    InputError
        A file that cannot be read, or panels that cannot be rendered.
    """
    if spec.geometry_file is not None:
        geometry = read_geometry(spec.geometry_file, spec.geometry_format)
        if not geometry.distance_stated and spec.distance_mm is None:
            raise InputError(
                "the file does not state the distance",
                source=spec.geometry_file,
                field="detector.distance_mm",
                remedy="give it in the specification",
            )
        return geometry
    if spec.panels is None:
        return None
    panels = tuple(_listed(spec, panel, index) for index, panel in enumerate(spec.panels))
    return check_panels(FileGeometry(source="", format="panels", frame="laboratory", panels=panels))


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
        geometry = read_geometry(spec.geometry_file, spec.geometry_format)
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
