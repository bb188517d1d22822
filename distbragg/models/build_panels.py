"""Resolve a detector of panels that have places of their own."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from distbragg.errors import InputError
from distbragg.models.active import panel_active, panel_masks
from distbragg.models.arrays import BoolArray, frozen_float64
from distbragg.models.beam_spot import beam_spot
from distbragg.models.build_beam import Physics, direction_of
from distbragg.models.conventions import ConventionRule
from distbragg.models.detector import Detector, Panel
from distbragg.models.sensor import build_sensor, merged_sensor
from distbragg.models.vectors import (
    Vector,
    combine,
    cross,
    dot,
    rotate_about,
    rotate_xyz,
    scale,
    unit,
)
from distbragg.read.geometry.model import FileGeometry, PanelGeometry
from distbragg.spec.detector import DetectorSpec, PanelSpec
from distbragg.units import deg_to_rad, mm_to_m

logger = logging.getLogger("distbragg")

_PARALLEL: Final = 1e-12
_RIGHT_ANGLE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all panels of a detector share: beam (unit vector), wavelength (Å), physics.

    `same_wavelength` tells that the wavelength is that of their geometry file.
    """

    physics: Physics
    beam: Vector
    wavelength: float
    same_wavelength: bool = True


def build_panels(
    spec: DetectorSpec, geometry: FileGeometry, rule: ConventionRule, around: Surroundings
) -> Detector:
    """Resolve all panels, padded to the shape of the largest.

    Parameters
    ----------
    spec : DetectorSpec
        Moves, turns and masks them.
    geometry : FileGeometry
    rule : ConventionRule
        Gives the 2θ axis where the spec does not.
    around : Surroundings

    Raises
    ------
    InputError
        Names what cannot be used.
    """
    placed = turn_panels(spec, rule, around.beam, move_panels(spec, around.beam, geometry.panels))
    shape = (max(p.shape[0] for p in placed), max(p.shape[1] for p in placed))
    listed = spec.panels or (None,) * len(placed)
    masks = panel_masks(spec.mask_file, shape, len(placed))
    panels = [
        _panel(spec, panel, item, around, shape=shape, mask=mask)
        for panel, item, mask in zip(placed, listed, masks, strict=True)
    ]
    if len({panel.name for panel in panels}) < len(panels):
        panels = [
            replace(panel, name=f"{panel.name}_{index}") for index, panel in enumerate(panels)
        ]
    return Detector(panels=tuple(panels))


def move_panels(
    spec: DetectorSpec, beam: Vector, panels: tuple[PanelGeometry, ...]
) -> tuple[PanelGeometry, ...]:
    """Shift all panels together, so that distance and beam centre are those of the spec.

    Both are those of the reference panel (`beam_spot`): `distance_mm` along the beam,
    `xbeam_mm` and `ybeam_mm` along the panel's fast and slow axes from its corner.
    """
    wanted = (spec.distance_mm, spec.xbeam_mm, spec.ybeam_mm)
    if wanted == (None, None, None):
        return panels
    spot = beam_spot(panels, beam)
    reference = panels[spot.panel]
    shift: Vector = (0.0, 0.0, 0.0)
    if spec.distance_mm is not None:
        shift = scale(beam, spec.distance_mm - spot.distance)
    if spec.xbeam_mm is not None:
        shift = combine((1.0, shift), (spot.fast - spec.xbeam_mm, reference.fast))
    if spec.ybeam_mm is not None:
        shift = combine((1.0, shift), (spot.slow - spec.ybeam_mm, reference.slow))
    return tuple(
        replace(panel, origin=combine((1.0, panel.origin), (1.0, shift))) for panel in panels
    )


def turn_panels(
    spec: DetectorSpec, rule: ConventionRule, beam: Vector, panels: tuple[PanelGeometry, ...]
) -> tuple[PanelGeometry, ...]:
    """Turn all panels together about the sample, or with `pivot: beam` about the beam's spot."""
    x, y, z = spec.rotation_deg
    swing = spec.twotheta_deg or 0.0
    if (x, y, z, swing) == (0.0, 0.0, 0.0, 0.0):
        return panels
    angles = (deg_to_rad(x), deg_to_rad(y), deg_to_rad(z))
    axis = direction_of(spec.axes.twotheta or rule.twotheta, "detector.axes.twotheta")
    pivot: Vector = (0.0, 0.0, 0.0)
    if spec.pivot == "beam":
        pivot = scale(beam, beam_spot(panels, beam).distance)

    def turn(vector: Vector) -> Vector:
        return rotate_about(rotate_xyz(vector, angles), axis, deg_to_rad(swing))

    return tuple(
        replace(
            panel,
            origin=combine((1.0, pivot), (1.0, turn(combine((1.0, panel.origin), (-1.0, pivot))))),
            fast=turn(panel.fast),
            slow=turn(panel.slow),
        )
        for panel in panels
    )


def _panel(
    spec: DetectorSpec,
    panel: PanelGeometry,
    listed: PanelSpec | None,
    around: Surroundings,
    *,
    shape: tuple[int, int],
    mask: BoolArray | None,
) -> Panel:
    origin: Vector = (mm_to_m(panel.origin[0]), mm_to_m(panel.origin[1]), mm_to_m(panel.origin[2]))
    normal = unit(cross(panel.fast, panel.slow))
    close = dot(origin, normal)
    if close == 0.0:
        raise InputError(
            f"the plane of panel '{panel.name}' holds the sample",
            field="detector.geometry_file" if listed is None else "detector.panels",
        )
    if close < 0.0:
        normal, close = scale(normal, -1.0), -close
    if abs(dot(panel.fast, panel.slow)) > _RIGHT_ANGLE:
        logger.warning(
            "detector: the fast and slow axes of panel '%s' are not at right angles", panel.name
        )
    ratio = dot(around.beam, normal)
    sensor = merged_sensor(
        spec.sensor,
        panel,
        None if listed is None else listed.sensor,
        same_wavelength=around.same_wavelength,
    )
    return Panel(
        name=panel.name,
        shape=shape,
        pixels=panel.shape,
        pixel_size=mm_to_m(panel.pixel_size),
        origin=frozen_float64(origin),
        fast=frozen_float64(panel.fast),
        slow=frozen_float64(panel.slow),
        normal=frozen_float64(normal),
        close_distance=close,
        distance=close / ratio if abs(ratio) > _PARALLEL else close,
        surface="flat",
        point_pixel=spec.point_pixel,
        sensor=build_sensor(sensor, around.physics, around.wavelength),
        active=panel_active(
            shape,
            panel,
            roi=spec.roi,
            mask_file=None if listed is None else listed.mask_file,
            mask=mask,
        ),
    )
