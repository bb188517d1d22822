"""Resolve detectors of several panels, and which pixels of a panel are active."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.beam_spot import beam_spot
from distbragg.models.conventions import ConventionRule
from distbragg.models.detector import Detector, Panel, SensorLayers
from distbragg.models.origins import Kind, first, tell
from distbragg.models.sensor import build_sensor, known_material, merged_sensor
from distbragg.models.setting import Setting, is_wavelength_of
from distbragg.models.vectors import (
    BoolArray,
    Float64Array,
    Vector,
    combine,
    cross,
    direction_of,
    dot,
    frozen_float64,
    rotate_about,
    rotate_xyz,
    scale,
    unit,
)
from distbragg.read.geometry.model import FileGeometry, PanelGeometry
from distbragg.read.preset import Grid, Preset, Segment, read_preset
from distbragg.read.smv import read_mask
from distbragg.spec.detector import DetectorSpec, SensorSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import deg_to_rad, mm_to_m

PARALLEL: Final = 1e-12
"""Sine, or cosine, of an angle below which two directions count as parallel, or at right angles."""

Region = tuple[int, int, int, int]
"""First and last fast pixel, first and last slow pixel, all inclusive."""


@dataclass(frozen=True, slots=True)
class Swing:
    """Rotations of a detector (rad): about laboratory x, y, z, then by 2θ about its axis."""

    angles: Vector
    axis: Vector
    twotheta: float

    def turn(self, vector: Vector) -> Vector:
        """Swing a vector."""
        return rotate_about(rotate_xyz(vector, self.angles), self.axis, self.twotheta)


def swing_of(spec: DetectorSpec, rule: ConventionRule, twotheta: float) -> Swing:
    """Return the rotations of a specification, by 2θ (rad)."""
    x, y, z = spec.rotation_deg
    axis = direction_of(spec.axes.twotheta or rule.twotheta, "detector.axes.twotheta")
    return Swing((deg_to_rad(x), deg_to_rad(y), deg_to_rad(z)), axis, twotheta)


def build_panels(
    experiment: ExperimentSpec,
    setting: Setting,
    geometry: FileGeometry,
    beam: Vector,
    wavelength: float,
) -> Detector:
    """Resolve all panels, padded to the shape of the largest; the spec moves, turns, masks them."""
    spec = experiment.detector
    of_file: tuple[Kind, str] = ("header", "panels")
    if spec.panels is not None:
        of_file = "given", "detector.panels"
    given = {"distance_mm": "detector.distance_mm", "xbeam_mm": "beam.x", "ybeam_mm": "beam.y"}
    for name, field in given.items():
        first(field, (getattr(spec, name), "given", f"detector.{name}"), (name, *of_file))
    for field in ("pixels_slow", "pixels_fast", "pixel_size_mm"):
        tell(f"detector.{field}", *of_file)
    swing = swing_of(spec, setting.rule, deg_to_rad(spec.twotheta_deg or 0.0))
    placed = _turned(spec, swing, beam, _moved(spec, beam, geometry.panels))
    shape = (max(p.shape[0] for p in placed), max(p.shape[1] for p in placed))
    same = is_wavelength_of(geometry, wavelength)
    listed = spec.panels or (None,) * len(placed)
    masks = panel_masks(spec.mask_file, shape, len(placed))
    panels = []
    for panel, own, mask in zip(placed, listed, masks, strict=True):
        sensor = merged_sensor(
            spec.sensor, panel, None if own is None else own.sensor, same_wavelength=same
        )
        layers = build_sensor(sensor, experiment.physics, wavelength)
        mask_file = None if own is None else own.mask_file
        active = _panel_active(shape, panel, roi=spec.roi, mask_file=mask_file, mask=mask)
        panels.append(_panel(spec, panel, beam, layers, active))
    if len({panel.name for panel in panels}) < len(panels):
        panels = [
            replace(panel, name=f"{panel.name}_{index}") for index, panel in enumerate(panels)
        ]
    return Detector(panels=tuple(panels))


def _moved(
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


def _turned(
    spec: DetectorSpec, swing: Swing, beam: Vector, panels: tuple[PanelGeometry, ...]
) -> tuple[PanelGeometry, ...]:
    """Turn all panels together about the sample, or with `pivot: beam` about the beam's spot."""
    if swing.angles == (0.0, 0.0, 0.0) and swing.twotheta == 0.0:
        return panels
    pivot: Vector = (0.0, 0.0, 0.0)
    if spec.pivot == "beam":
        pivot = scale(beam, beam_spot(panels, beam).distance)
    turned = []
    for panel in panels:
        arm = swing.turn(combine((1.0, panel.origin), (-1.0, pivot)))
        fast, slow = swing.turn(panel.fast), swing.turn(panel.slow)
        origin = combine((1.0, pivot), (1.0, arm))
        turned.append(replace(panel, origin=origin, fast=fast, slow=slow))
    return tuple(turned)


def _panel(
    spec: DetectorSpec, panel: PanelGeometry, beam: Vector, sensor: SensorLayers, active: BoolArray
) -> Panel:
    origin: Vector = (mm_to_m(panel.origin[0]), mm_to_m(panel.origin[1]), mm_to_m(panel.origin[2]))
    normal = unit(cross(panel.fast, panel.slow))
    close = dot(origin, normal)
    if close == 0.0:
        raise InputError(
            f"the plane of panel '{panel.name}' holds the sample",
            field="detector.geometry_file" if spec.panels is None else "detector.panels",
        )
    if close < 0.0:
        normal, close = scale(normal, -1.0), -close
    ratio = dot(beam, normal)
    return Panel(
        name=panel.name,
        shape=(active.shape[0], active.shape[1]),
        pixels=panel.shape,
        pixel_size=mm_to_m(panel.pixel_size),
        origin=frozen_float64(origin),
        fast=frozen_float64(panel.fast),
        slow=frozen_float64(panel.slow),
        normal=frozen_float64(normal),
        close_distance=close,
        distance=close / ratio if abs(ratio) > PARALLEL else close,
        surface="flat",
        point_pixel=spec.point_pixel,
        sensor=sensor,
        active=active,
    )


def with_preset(spec: DetectorSpec) -> tuple[DetectorSpec, Preset | None]:
    """Return the specification with the size, pixels and sensor of its preset filled in."""
    if spec.preset is None:
        return spec, None
    preset = read_preset(spec.preset)
    if preset.segments and (spec.roi is not None or spec.curved is not False):
        raise InputError(
            f"{preset.name} has segments of their own places",
            field="detector.roi" if spec.roi is not None else "detector.curved",
            remedy="leave it out; mask pixels with detector.mask_file",
        )
    own = spec.sensor.model_dump(exclude_none=True)
    sensor = {"thickness_um": preset.thickness_um, **own}
    if "attenuation_length_um" not in own:
        sensor.setdefault("material", known_material(preset.material))
    slow, fast = preset.extent
    filled: dict[str, object] = {
        "pixels_slow": slow,
        "pixels_fast": fast,
        "pixel_size_mm": preset.pixel_mm,
        "sensor": SensorSpec(**sensor),
    }
    if preset.segments:
        # A mask shows the segments; the panel around them has none.
        filled["mask_file"] = None
    for field in ("pixels_slow", "pixels_fast", "pixel_size_mm"):
        tell(f"detector.{field}", "given", "detector.preset")
    for field in sensor.keys() - own.keys():
        tell(f"detector.sensor.{field}", "given", "detector.preset")
    return spec.model_copy(update=filled), preset


def preset_panels(whole: Panel, preset: Preset, spec: DetectorSpec) -> tuple[Panel, ...]:
    """Cut a panel, resolved as if it had no gaps, into its modules, or mask its gaps."""
    if preset.grid is None:
        masks = panel_masks(spec.mask_file, preset.pixels, len(preset.segments))
        return tuple(
            _segment(whole, preset, segment, mask)
            for segment, mask in zip(preset.segments, masks, strict=True)
        )
    if spec.gaps == "panels":
        return tuple(_module(whole, preset.grid, corner) for corner in preset.grid.corners())
    active = _module_pixels(preset.grid)
    if active.all():
        return (whole,)
    active = active if whole.active.strides == (0, 0) else active & whole.active
    active.setflags(write=False)
    return (replace(whole, name=preset.name, active=active),)


@lru_cache(maxsize=4)
def _module_pixels(grid: Grid) -> BoolArray:
    """Pixels that lie on a module: (slow, fast) bool, read-only."""
    active = np.zeros(grid.shape, dtype=np.bool_)
    fast, slow = grid.module
    for row, column in grid.corners():
        active[row : row + slow, column : column + fast] = True
    active.setflags(write=False)
    return active


def _module(whole: Panel, grid: Grid, corner: tuple[int, int]) -> Panel:
    row, column = corner
    fast, slow = grid.module
    size = whole.pixel_size
    origin = whole.origin + (column * size) * whole.fast + (row * size) * whole.slow
    active = whole.active[row : row + slow, column : column + fast]
    return replace(
        whole,
        name=f"m{row // (slow + grid.gap[1])}_{column // (fast + grid.gap[0])}",
        shape=(slow, fast),
        pixels=(slow, fast),
        origin=frozen_float64(origin),
        active=active,
    )


def _segment(whole: Panel, preset: Preset, segment: Segment, mask: BoolArray | None) -> Panel:
    """Place a segment: y is against the slow axis, x completes (x, y, beam)."""
    up = -np.asarray(whole.slow)
    left = np.cross(up, np.asarray(whole.normal))

    def plane(x: float, y: float) -> Float64Array:
        return np.asarray(x * left + y * up, dtype=np.float64)

    slow, fast = whole.pixels
    size = whole.pixel_size
    middle = whole.origin + (0.5 * fast * size) * whole.fast + (0.5 * slow * size) * whole.slow
    active = np.broadcast_to(np.array(True), preset.pixels) if mask is None else mask
    return replace(
        whole,
        name=segment.name,
        shape=preset.pixels,
        pixels=preset.pixels,
        origin=frozen_float64(middle + plane(*segment.corner) * size),
        fast=frozen_float64(plane(*segment.fast)),
        slow=frozen_float64(plane(*segment.slow)),
        active=active,
    )


def active_pixels(shape: tuple[int, int], roi: Region | None, mask_file: str | None) -> BoolArray:
    """Return the active pixels, (slow, fast) bool, read-only; what lies beyond is cut.

    It is a view of one value where every pixel is active, so that it costs no memory.
    """
    if roi is None and mask_file is None:
        return np.broadcast_to(np.array(True), shape)
    active = np.ones(shape, dtype=np.bool_)
    if mask_file is not None:
        active &= _mask(mask_file, shape, "give a mask of the detector's size")
    if roi is not None:
        active &= inside_region(shape, roi)
    active.setflags(write=False)
    return active


def panel_masks(
    mask_file: str | None, shape: tuple[int, int], panels: int
) -> tuple[BoolArray | None, ...]:
    """Cut a mask of all panels, one below the other, into theirs of `shape` pixels (slow, fast)."""
    if mask_file is None:
        return (None,) * panels
    whole = (panels * shape[0], shape[1])
    mask = _mask(mask_file, whole, "give a mask of all panels, one below the other")
    return tuple(mask.reshape(panels, *shape))


def _mask(mask_file: str, shape: tuple[int, int], remedy: str) -> BoolArray:
    mask = read_mask(mask_file)
    if mask.shape != shape:
        raise InputError(
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, "
            f"the detector {shape[1]} x {shape[0]}",
            source=mask_file,
            field="detector.mask_file",
            remedy=remedy,
        )
    return mask


def _panel_active(
    shape: tuple[int, int],
    panel: PanelGeometry,
    *,
    roi: Region | None,
    mask_file: str | None,
    mask: BoolArray | None,
) -> BoolArray:
    """Return the active pixels of one of several panels, padded to `shape`.

    `mask_file`: of this panel alone, of its own size. `mask`: (slow, fast) bool; this panel's part
    of the detector's mask.
    """
    own = active_pixels(panel.shape, roi, mask_file)
    if panel.shape == shape and mask is None and panel.mask is None and not panel.masked:
        return own
    active = np.zeros(shape, dtype=np.bool_)
    inside = active[: panel.shape[0], : panel.shape[1]]
    inside[...] = own
    if panel.mask is not None:
        inside &= panel.mask
    for area in panel.masked:
        rows = slice(max(area.slow_start, 0), max(area.slow_stop, 0))
        inside[rows, max(area.fast_start, 0) : max(area.fast_stop, 0)] = False
    if mask is not None:
        active &= mask
    active.setflags(write=False)
    return active


def inside_region(shape: tuple[int, int], roi: Region) -> BoolArray:
    """Return the pixels within a region, (slow, fast) bool; refuse one that holds none."""
    fast_first, fast_last, slow_first, slow_last = roi
    slow, fast = shape
    empty = fast_last < fast_first or slow_last < slow_first
    outside = fast_first >= fast or slow_first >= slow or fast_last < 0 or slow_last < 0
    if empty or outside:
        raise InputError(
            f"the region {fast_first} {fast_last} {slow_first} {slow_last} holds no pixel "
            f"of a detector of {fast} x {slow}",
            field="detector.roi",
            remedy="the order is first fast, last fast, first slow, last slow",
        )
    inside = np.zeros(shape, dtype=np.bool_)
    inside[max(slow_first, 0) : slow_last + 1, max(fast_first, 0) : fast_last + 1] = True
    return inside
