"""Resolve the detector: size, axes, origin, active pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.build_panels import (
    PARALLEL,
    Swing,
    active_pixels,
    build_panels,
    preset_panels,
    swing_of,
    with_preset,
)
from distbragg.models.build_surface import check_bend, surface_of
from distbragg.models.conventions import (
    CONVENTIONS,
    BeamCentre,
    ConventionRule,
    Pivot,
    convention_of,
)
from distbragg.models.detector import Detector, Panel
from distbragg.models.origins import Kind, first, tell
from distbragg.models.sensor import build_sensor
from distbragg.models.setting import DEFAULT_PIXEL_MM, DEFAULT_SIZE_MM, HeaderValues, Setting
from distbragg.models.vectors import (
    Physics,
    Vector,
    combine,
    cross,
    direction_of,
    dot,
    frozen_float64,
    norm,
    rotate_xyz,
    scale,
    unit,
)
from distbragg.spec.detector import DetectorAxesSpec, DetectorSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import deg_to_rad, if_given, mm_to_m

_MAXIMUM_PIXELS: Final = 1 << 31
_DEFAULT_DISTANCE_MM: Final = 100.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """A panel before it is swung, its swing, and beam · normal after all of it but 2θ."""

    shape: tuple[int, int]
    pixel: float  # m
    lengths: tuple[float, float]  # (slow, fast), m; as given where given as such
    fast: Vector
    slow: Vector
    normal: Vector
    swing: Swing
    ratio: float


def build_detector(
    spec: ExperimentSpec, setting: Setting, beam: Vector, wavelength: float
) -> Detector:
    """Resolve the detector; `beam` is a unit vector, `wavelength` the nominal one, Å."""
    physics, written = spec.physics, spec.detector
    if setting.geometry is not None:
        return build_panels(spec, setting, setting.geometry, beam, wavelength)
    detector, preset = with_preset(written)
    spec = spec.model_copy(update={"detector": detector})
    frame = _frame(spec, setting, beam)
    swing, shape = frame.swing, frame.shape
    if detector.origin_m is not None and physics == "exact":
        origin = detector.origin_m
        for name in ("detector.distance_mm", "beam.x", "beam.y", "nearest.x", "nearest.y"):
            tell(name, "given", "detector.origin_mm")
    else:
        origin = _computed_origin(spec, setting, frame, beam)
    normal = swing.turn(frame.normal)
    close = dot(origin, normal)
    if close == 0.0:
        raise InputError("the detector plane holds the sample", field="detector.origin_mm")
    distance = close / frame.ratio if abs(frame.ratio) > PARALLEL else close
    if close < 0.0 and physics == "exact":
        # The C program's normal may point at the sample, which makes its images negative.
        normal, close = scale(normal, -1.0), -close
    panel = Panel(
        name="detector",
        shape=shape,
        pixels=shape,
        pixel_size=frame.pixel,
        origin=frozen_float64(origin),
        fast=frozen_float64(swing.turn(frame.fast)),
        slow=frozen_float64(swing.turn(frame.slow)),
        normal=frozen_float64(normal),
        close_distance=close,
        distance=distance,
        surface=surface_of(detector, physics),
        point_pixel=detector.point_pixel,
        sensor=build_sensor(detector.sensor, physics, wavelength),
        active=active_pixels(shape, detector.roi, detector.mask_file),
    )
    check_bend(panel)
    return Detector((panel,) if preset is None else preset_panels(panel, preset, written))


def _frame(spec: ExperimentSpec, setting: Setting, beam: Vector) -> _Frame:
    """Resolve size, axes and swing; a header's 2θ counts under `physics: exact` alone."""
    detector, rule, given = spec.detector, setting.rule, spec.detector.axes
    fast = direction_of(given.fast or rule.fast, "detector.axes.fast")
    slow = direction_of(given.slow or rule.slow, "detector.axes.slow")
    across = cross(fast, slow)
    if norm(across) < PARALLEL:
        raise InputError("the fast and slow axes are parallel", field="detector.axes.slow")
    if spec.physics == "exact" and dot(beam, across) < 0.0:
        across = scale(across, -1.0)
    normal = _normal(given, across, rule, spec.physics)
    of_header = setting.headers.twotheta if spec.physics == "exact" else None
    twotheta = first(
        "detector.twotheta_deg",
        (if_given(deg_to_rad, detector.twotheta_deg), "given", ""),
        (of_header, "header", "twotheta"),
        (0.0, "default", ""),
    )
    swing = swing_of(detector, rule, twotheta)
    ratio = dot(beam, rotate_xyz(normal, swing.angles))
    size = _panel_size(detector, setting.headers, spec.physics)
    return _Frame(*size, fast, slow, normal, swing, ratio)


def _normal(
    given: DetectorAxesSpec, across: Vector, rule: ConventionRule, physics: Physics
) -> Vector:
    """Return the panel normal: the convention's, unless axes of the panel itself were given.

    For given axes it is ± fast × slow, whichever looks along the beam: a slow axis that points
    down would else put the panel behind the sample. nanoBragg keeps its initial x axis there.
    """
    if given.normal is None:
        own = physics == "exact" and (given.fast is not None or given.slow is not None)
        return unit(across) if own else rule.normal
    if physics == "nanobragg" and norm(given.normal) != 1.0:
        return unit(across)
    return direction_of(given.normal, "detector.axes.normal")


def _computed_origin(spec: ExperimentSpec, setting: Setting, frame: _Frame, beam: Vector) -> Vector:
    """Origin from beam centre or nearest point, distance and pivot."""
    fast, slow, normal, swing = frame.fast, frame.slow, frame.normal, frame.swing
    close = _close_distance(spec.detector, setting.headers, spec.physics, frame.ratio)
    along = dot(beam, normal)
    reach = 0.0 if abs(along) < PARALLEL else close / along
    centres = []
    # Where the beam hits the unrotated panel, from the nearest point: `reach` along it.
    for name, centre, size, axis in (
        ("x", setting.rule.fast_centre, frame.lengths[1], fast),
        ("y", setting.rule.slow_centre, frame.lengths[0], slow),
    ):
        side = _Side(name, size, frame.pixel, reach * dot(beam, axis))
        resolve = _nanobragg_centre if spec.physics == "nanobragg" else _exact_centre
        centres.append(resolve(spec.detector, setting.headers, centre, side))
    (fast_beam, fast_close), (slow_beam, slow_close) = centres
    if spec.physics == "nanobragg" and setting.rule is CONVENTIONS["custom"]:
        fast_close, slow_close = fast_beam, slow_beam
    if pivot_of(spec) == "sample":
        return swing.turn(combine((-fast_close, fast), (-slow_close, slow), (close, normal)))
    if abs(frame.ratio) < PARALLEL:
        raise InputError(
            "the detector plane is parallel to the beam",
            field="detector.rotation_deg",
            remedy="use pivot: sample with close_distance_mm",
        )
    return combine(
        (-fast_beam, swing.turn(fast)), (-slow_beam, swing.turn(slow)), (close / frame.ratio, beam)
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One panel axis: its length and pixel (m) and where the beam lies from the nearest point."""

    name: str
    size: float
    pixel: float
    offset: float

    def of_org(self, org: float | None) -> float | None:
        """Return the place of ORGX or ORGY, m."""
        return None if org is None else (org - 0.5) * self.pixel

    def given(self, detector: DetectorSpec, centre: BeamCentre) -> list[float | None]:
        """Return what is said of beam (as the convention writes it) and nearest point, m, ORG."""
        beam, close, org = f"{centre.field}_mm", f"{self.name}close_mm", f"org{self.name}_px"
        lengths = [if_given(mm_to_m, getattr(detector, field)) for field in (beam, close)]
        return [*lengths, getattr(detector, org)]

    def default(self, centre: BeamCentre) -> float:
        """Return where a beam lies of which only the convention is known, m."""
        value = (self.size + centre.default_pixel * self.pixel) / 2.0
        return centre.position(value, self.size, self.pixel)


def _nanobragg_centre(
    detector: DetectorSpec, headers: HeaderValues, centre: BeamCentre, side: _Side
) -> tuple[float, float]:
    """Resolve beam centre and nearest point along one axis as the program does, m.

    The nearest point comes from ORGX/Y alone (from the beam centre under CUSTOM), and the beam
    centre from Xbeam/Ybeam by the convention.
    """
    beam, close, org = side.given(detector, centre)
    nearest = first(
        f"nearest.{side.name}",
        (side.of_org(org), "given", f"detector.org{side.name}_px"),
        (side.of_org(getattr(headers, f"org{side.name}")), "header", f"org{side.name}"),
        (side.size / 2.0, "convention", "the middle"),
    )
    of_close = nearest if close is None else close
    beam = first(
        f"beam.{side.name}",
        (beam, "given", f"detector.{centre.field}_mm"),
        (getattr(headers, centre.field), "header", centre.field),
        (of_close if centre.from_close else None, "rule", "the nearest point"),
        (math.nan, "convention", "the middle"),
    )
    if math.isnan(beam):
        return side.default(centre), nearest
    return centre.position(beam, side.size, side.pixel), nearest


def _exact_centre(
    detector: DetectorSpec, headers: HeaderValues, centre: BeamCentre, side: _Side
) -> tuple[float, float]:
    """Resolve the same before rotations; explicit fields replace those of a header together."""
    beam, close, org = side.given(detector, centre)
    if close is not None and org is not None:
        raise InputError(
            f"given together with detector.{side.name}close_mm",
            field=f"detector.org{side.name}_px",
            remedy="keep one of the two",
        )
    of_beam, of_nearest = f"{centre.field}_mm", f"org{side.name}_px"
    kind: Kind = "given"
    if close is not None:
        of_nearest = f"{side.name}close_mm"
    if beam is None and close is None and org is None:
        beam, org = getattr(headers, centre.field), getattr(headers, f"org{side.name}")
        of_beam, of_nearest, kind = centre.field, f"org{side.name}", "header"
    nearest = side.of_org(org) if close is None else close
    by_beam, by_nearest = (
        (kind, name if kind == "header" else f"detector.{name}") for name in (of_beam, of_nearest)
    )
    if beam is not None:
        tell(f"beam.{side.name}", *by_beam)
        tell(f"nearest.{side.name}", *(by_beam if nearest is None else by_nearest))
        place = centre.position(beam, side.size, side.pixel)
        return place, place - side.offset if nearest is None else nearest
    by_nearest = ("convention", "the middle") if nearest is None else by_nearest
    for point in ("beam", "nearest"):
        tell(f"{point}.{side.name}", *by_nearest)
    if nearest is None and not centre.from_close:
        return side.default(centre), side.size / 2.0
    if nearest is None:
        nearest = side.size / 2.0
    return nearest + side.offset, nearest


def pivot_of(spec: ExperimentSpec) -> Pivot:
    """Return the point that the detector turns about."""
    detector, convention = spec.detector, convention_of(spec)
    if convention != "custom":
        own, field = CONVENTIONS[convention].pivot, "detector.pivot"
        given = None if spec.physics == "nanobragg" else detector.pivot
        return first(field, (given, "given", ""), (own, "convention", "pivot"))
    near = ("xclose_mm", "yclose_mm", "orgx_px", "orgy_px", "close_distance_mm", "twotheta_deg")
    about_sample = any(getattr(detector, field) is not None for field in near)
    rule: Pivot = "sample" if about_sample else "beam"
    return first("detector.pivot", (detector.pivot, "given", ""), (rule, "rule", "what is given"))


def _panel_size(
    spec: DetectorSpec, headers: HeaderValues, physics: Physics
) -> tuple[tuple[int, int], float, tuple[float, float]]:
    """Return pixels (slow, fast), pixel size and lengths, m.

    A number of pixels beats a length; a length gives ceil(length/pixel − ½) pixels; neither
    gives 102.4 mm. A header's number of pixels gives way to an explicit length, except under
    `physics: nanobragg`.
    """
    pixel = first(
        "detector.pixel_size_mm",
        (if_given(mm_to_m, spec.pixel_size_mm), "given", ""),
        (headers.pixel_size, "header", "pixel_size"),
        (mm_to_m(DEFAULT_PIXEL_MM), "default", ""),
    )
    header = headers.shape or (None, None)
    slow, slow_length = _one_side(spec, "slow", header[0], pixel, physics)
    fast, fast_length = _one_side(spec, "fast", header[1], pixel, physics)
    if slow * fast > _MAXIMUM_PIXELS:
        raise InputError(
            f"{fast} x {slow} pixels, more than 2^31",
            field="detector.pixels_fast",
            remedy="give fewer or larger pixels",
        )
    return (slow, fast), pixel, (slow_length, fast_length)


def _one_side(
    spec: DetectorSpec, name: str, header: int | None, pixel: float, physics: Physics
) -> tuple[int, float]:
    """Return the pixels of a side and its length, m."""
    count, size_mm = getattr(spec, f"pixels_{name}"), getattr(spec, f"size_{name}_mm")
    field = f"detector.pixels_{name}"
    if count is None and header is not None and (size_mm is None or physics == "nanobragg"):
        count = header
        tell(field, "header", "shape")
    if count is not None:
        tell(field, "given")
        return count, pixel * count
    tell(field, *(("default",) if size_mm is None else ("rule", f"size_{name}_mm / pixel size")))
    length = mm_to_m(DEFAULT_SIZE_MM if size_mm is None else size_mm)
    exact = length / pixel - 0.5
    if not exact <= _MAXIMUM_PIXELS:
        raise InputError(
            f"{exact:.3g} pixels on one side",
            field="detector.pixel_size_mm",
            remedy="give fewer or larger pixels",
        )
    if exact <= 0.0:
        raise InputError(
            f"the {name} side of the detector holds no pixel of {pixel * 1e3:g} mm",
            field=f"detector.size_{name}_mm",
            remedy="give a larger detector or smaller pixels",
        )
    return math.ceil(exact), length


def _close_distance(
    spec: DetectorSpec, headers: HeaderValues, physics: Physics, ratio: float
) -> float:
    """Distance from the sample to the plane along its normal, before 2θ, m."""
    close, field = if_given(mm_to_m, spec.close_distance_mm), "detector.distance_mm"
    distance = if_given(mm_to_m, spec.distance_mm)
    if close is not None:
        tell(field, "given", "detector.close_distance_mm")
    elif headers.close_distance is not None and (distance is None or physics == "nanobragg"):
        close = headers.close_distance
        tell(field, "header", "close_distance")
    if close is None:
        along = first(
            field,
            (distance, "given", ""),
            (headers.distance, "header", "distance"),
            (mm_to_m(_DEFAULT_DISTANCE_MM), "default", ""),
        )
        if along <= 0.0:
            raise InputError(
                f"a distance of {along * 1e3:g} mm",
                field=field,
                remedy="distances are positive; turn the detector with detector.rotation_deg",
            )
        close = abs(ratio * along)
    if abs(close) < 1e-15:
        raise InputError(
            "the detector plane holds the sample, or is parallel to the beam",
            field="detector.close_distance_mm"
            if spec.close_distance_mm is not None
            else "detector.rotation_deg",
        )
    return close
