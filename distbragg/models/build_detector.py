"""Resolve the detector: size, axes, origin, active pixels."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.active import active_pixels
from distbragg.models.arrays import frozen_float64
from distbragg.models.beam_centre import Centres, resolve_centres
from distbragg.models.build_beam import Physics
from distbragg.models.build_panels import Surroundings, build_panels
from distbragg.models.conventions import ConventionRule, Pivot
from distbragg.models.detector import Detector, Panel, Surface
from distbragg.models.detector_axes import PARALLEL, PanelAxes, Swing, panel_axes, swing_of
from distbragg.models.file_geometry import is_wavelength_of
from distbragg.models.headers import HeaderValues
from distbragg.models.presets import preset_panels, with_preset
from distbragg.models.sensor import build_sensor
from distbragg.models.vectors import (
    Vector,
    combine,
    dot,
    rotate_xyz,
    scale,
)
from distbragg.read.geometry.model import FileGeometry
from distbragg.spec.detector import DetectorSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import mm_to_m

logger = logging.getLogger("distbragg")

MAXIMUM_PIXELS: Final = 1 << 31

_DEFAULT_DISTANCE_MM: Final = 100.0
_DEFAULT_SIZE_MM: Final = 102.4
_DEFAULT_PIXEL_MM: Final = 0.1


def convention_of(spec: ExperimentSpec) -> str:
    """Name the convention: as given, else `custom` where directions or pix0 are, else MOSFLM.

    Panels with places of their own are such directions.

    Under `physics: nanobragg` a polarisation or spindle axis is such a direction too; under
    `physics: exact` those two merely replace the convention's own.
    """
    if spec.detector.convention is not None:
        return spec.detector.convention
    if spec.detector.panels is not None or spec.detector.geometry_file is not None:
        return "custom"
    directions: list[object] = [
        spec.detector.axes.fast,
        spec.detector.axes.slow,
        spec.detector.axes.normal,
        spec.detector.axes.twotheta,
        spec.detector.pix0_m,
        spec.beam.direction,
    ]
    if spec.physics == "nanobragg":
        directions += [spec.beam.polarization.axis, spec.goniometer.spindle_axis]
    return "custom" if any(direction is not None for direction in directions) else "mosflm"


@dataclass(frozen=True, slots=True)
class PanelSize:
    """Pixels, pixel size and lengths (m) of a panel; a length given as such is kept as given."""

    shape: tuple[int, int]
    pixel: float
    fast: float
    slow: float


def build_detector(
    spec: ExperimentSpec,
    rule: ConventionRule,
    headers: HeaderValues,
    beam: Vector,
    *,
    wavelength: float,
    geometry: FileGeometry | None = None,
) -> Detector:
    """Resolve the detector: the panels of a geometry, or the one panel of a spec.

    Parameters
    ----------
    spec : ExperimentSpec
    rule : ConventionRule
    headers : HeaderValues
    beam : (3,) floats
        Unit vector along the beam.
    wavelength : float, Å
        Nominal.
    geometry : FileGeometry, optional
        Panels that have places of their own.

    Raises
    ------
    InputError
        Names the field that cannot be used.
    """
    physics = spec.physics
    if geometry is not None:
        around = Surroundings(physics, beam, wavelength, is_wavelength_of(geometry, wavelength))
        return build_panels(spec.detector, geometry, rule, around)
    written = spec.detector
    detector, preset = with_preset(written)
    spec = spec.model_copy(update={"detector": detector})
    size = panel_size(detector, headers, physics)
    axes = panel_axes(detector, rule, physics, beam)
    swing = swing_of(detector, headers, physics)
    ratio = dot(beam, rotate_xyz(axes.normal, swing.angles))
    if detector.pix0_m is not None and physics == "exact":
        origin = _given_origin(detector.pix0_m)
    else:
        origin = _computed_origin(spec, rule, headers, _Frame(size, axes, swing, beam, ratio))
    turned = PanelAxes(
        swing.turn(axes.fast, axes),
        swing.turn(axes.slow, axes),
        swing.turn(axes.normal, axes),
        axes.twotheta,
    )
    normal = turned.normal
    close = dot(origin, normal)
    if close == 0.0:
        raise InputError("the detector plane holds the sample", field="detector.pix0_m")
    distance = close / ratio if abs(ratio) > PARALLEL else close
    if close < 0.0 and physics == "exact":
        # The C program's normal may point at the sample, which makes its images negative.
        normal, close = scale(normal, -1.0), -close
    panel = Panel(
        name="detector",
        shape=size.shape,
        pixels=size.shape,
        pixel_size=size.pixel,
        origin=frozen_float64(origin),
        fast=frozen_float64(turned.fast),
        slow=frozen_float64(turned.slow),
        normal=frozen_float64(normal),
        close_distance=close,
        distance=distance,
        surface=_surface(detector, physics),
        point_pixel=detector.point_pixel,
        sensor=build_sensor(detector.sensor, physics, wavelength),
        active=active_pixels(size.shape, detector.roi, detector.mask_file),
    )
    if preset is not None:
        return Detector(panels=preset_panels(panel, preset, written))
    return Detector(panels=(panel,))


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the origin is computed from; `ratio` is beam · normal before 2θ."""

    size: PanelSize
    axes: PanelAxes
    swing: Swing
    beam: Vector
    ratio: float


def _computed_origin(
    spec: ExperimentSpec, rule: ConventionRule, headers: HeaderValues, frame: _Frame
) -> Vector:
    """Origin from beam centre or nearest point, distance and pivot."""
    detector, physics = spec.detector, spec.physics
    if detector.pix0_m is not None:
        logger.warning(
            "detector.pix0_m: computed from the beam centre and distance, as in nanoBragg; "
            "the given vector is not used"
        )
    close = _close_distance(detector, headers, physics, frame.ratio)
    centres = resolve_centres(
        spec,
        rule,
        headers,
        size_fast=frame.size.fast,
        size_slow=frame.size.slow,
        pixel=frame.size.pixel,
        offsets=_beam_offsets(frame.axes, frame.beam, close),
    )
    pivot = _pivot(detector, rule, physics, convention_of(spec))
    return _origin(centres, frame, close, pivot)


def panel_size(spec: DetectorSpec, headers: HeaderValues, physics: Physics) -> PanelSize:
    """Resolve pixels and pixel size.

    A number of pixels beats a length; a length gives ceil(length/pixel − ½) pixels; neither
    gives 102.4 mm. A header's number of pixels gives way to an explicit length, except under
    `physics: nanobragg`.

    Raises
    ------
    InputError
        No pixels, or more than 2^31.
    """
    pixel = _first(_mm(spec.pixel_size_mm), headers.pixel_size, mm_to_m(_DEFAULT_PIXEL_MM))
    header = headers.shape or (None, None)
    slow, slow_length = _one_side(spec.pixels_slow, spec.size_slow_mm, header[0], pixel, physics)
    fast, fast_length = _one_side(spec.pixels_fast, spec.size_fast_mm, header[1], pixel, physics)
    for name, count in (("slow", slow), ("fast", fast)):
        if count < 1:
            raise InputError(
                f"the {name} side of the detector holds no pixel of {pixel * 1e3:g} mm",
                field=f"detector.size_{name}_mm",
                remedy="give a larger detector or smaller pixels",
            )
    if slow * fast > MAXIMUM_PIXELS:
        raise InputError(
            f"{fast} x {slow} pixels, more than 2^31",
            field="detector.pixels_fast",
            remedy="give fewer or larger pixels",
        )
    return PanelSize((slow, fast), pixel, fast_length, slow_length)


def _one_side(
    pixels: int | None, size_mm: float | None, header: int | None, pixel: float, physics: Physics
) -> tuple[int, float]:
    count = pixels
    if count is None and (size_mm is None or physics == "nanobragg"):
        count = header
    if count is not None:
        return count, pixel * count
    length = mm_to_m(_DEFAULT_SIZE_MM if size_mm is None else size_mm)
    exact = length / pixel - 0.5
    if not exact <= MAXIMUM_PIXELS:
        raise InputError(
            f"{exact:.3g} pixels on one side", field="detector.pixel_size_mm",
            remedy="give fewer or larger pixels",
        )  # fmt: skip
    return math.ceil(exact), length


def _close_distance(
    spec: DetectorSpec, headers: HeaderValues, physics: Physics, ratio: float
) -> float:
    """Distance from the sample to the plane along its normal, before 2θ, m."""
    close = _mm(spec.close_distance_mm)
    distance = _mm(spec.distance_mm)
    if close is None and (distance is None or physics == "nanobragg"):
        close = headers.close_distance
        if close is not None and distance is not None:
            logger.warning(
                "detector.distance_mm: CLOSE_DISTANCE of the image header wins, as in nanoBragg"
            )
    if close is None:
        along = _first(distance, headers.distance, mm_to_m(_DEFAULT_DISTANCE_MM))
        if along <= 0.0:
            raise InputError(
                f"a distance of {along * 1e3:g} mm",
                field="detector.distance_mm",
                remedy="distances are positive; turn the detector with detector.rotation_deg",
            )
        close = abs(ratio * along)
    if abs(close) < 1e-15:
        raise InputError(
            "the detector plane holds the sample, or is parallel to the beam",
            field="detector.close_distance_mm" if spec.close_distance_mm is not None
            else "detector.rotation_deg",
        )  # fmt: skip
    return close


def _pivot(spec: DetectorSpec, rule: ConventionRule, physics: Physics, name: str) -> Pivot:
    if physics == "nanobragg" and name != "custom":
        if spec.pivot is not None and spec.pivot != rule.pivot:
            logger.warning(
                "detector.pivot: the %s convention sets the pivot to '%s', as in nanoBragg; "
                "'%s' is not used",
                name,
                rule.pivot,
                spec.pivot,
            )
        return rule.pivot
    if spec.pivot is not None:
        return spec.pivot
    if name != "custom":
        return rule.pivot
    near = (
        spec.xclose_mm,
        spec.yclose_mm,
        spec.orgx_px,
        spec.orgy_px,
        spec.close_distance_mm,
        spec.twotheta_deg,
    )
    return "sample" if any(value is not None for value in near) else "beam"


def _beam_offsets(axes: PanelAxes, beam: Vector, close: float) -> tuple[float, float]:
    """Where the beam hits the unrotated panel, from the nearest point, along fast and slow (m)."""
    along = dot(beam, axes.normal)
    if abs(along) < PARALLEL:
        return 0.0, 0.0
    reach = close / along
    return reach * dot(beam, axes.fast), reach * dot(beam, axes.slow)


def _origin(centres: Centres, frame: _Frame, close: float, pivot: Pivot) -> Vector:
    axes, swing = frame.axes, frame.swing
    if pivot == "sample":
        start = combine(
            (-centres.fast_close, axes.fast),
            (-centres.slow_close, axes.slow),
            (close, axes.normal),
        )
        return swing.turn(start, axes)
    if abs(frame.ratio) < PARALLEL:
        raise InputError(
            "the detector plane is parallel to the beam",
            field="detector.rotation_deg",
            remedy="use pivot: sample with close_distance_mm",
        )
    return combine(
        (-centres.fast_beam, swing.turn(axes.fast, axes)),
        (-centres.slow_beam, swing.turn(axes.slow, axes)),
        (close / frame.ratio, frame.beam),
    )


def _surface(spec: DetectorSpec, physics: Physics) -> Surface:
    """Resolve `curved`: true is a sphere, which the C program bends in its own way."""
    if spec.curved is False:
        return "flat"
    if physics == "exact":
        return "sphere" if spec.curved is True else spec.curved
    if spec.curved not in {True, "sphere"}:
        raise InputError(
            f"the C program bends no panel to a {spec.curved}",
            field="detector.curved",
            remedy="use physics: exact, or curved: true",
        )
    return "nanobragg"


def _given_origin(pix0: Vector) -> Vector:
    if not all(math.isfinite(part) for part in pix0):
        raise InputError("not a finite vector", field="detector.pix0_m")
    return pix0


def _mm(value: float | None) -> float | None:
    return None if value is None else mm_to_m(value)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
