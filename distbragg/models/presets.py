"""Presets of common detectors: their sizes into the specification, their gaps into the panels."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from distbragg.errors import InputError
from distbragg.models.active import panel_masks
from distbragg.models.arrays import BoolArray, Float64Array, frozen_float64
from distbragg.models.detector import Panel
from distbragg.models.sensor import known_material
from distbragg.read.preset import Grid, Preset, Segment, read_preset
from distbragg.spec.detector import DetectorSpec, SensorSpec


def with_preset(spec: DetectorSpec) -> tuple[DetectorSpec, Preset | None]:
    """Return the specification with the size, pixels and sensor of its preset filled in.

    Raises
    ------
    InputError
        No preset of that name, or fields that make no sense for segments.
    """
    if spec.preset is None:
        return spec, None
    preset = read_preset(spec.preset)
    if preset.segments and (spec.roi is not None or spec.curved is not False):
        raise InputError(
            f"{preset.name} has segments of their own places",
            field="detector.roi" if spec.roi is not None else "detector.curved",
            remedy="leave it out; mask pixels with detector.mask_file",
        )
    slow, fast = preset.extent
    own = spec.sensor
    material = own.material
    if material is None and own.attenuation_length_um is None:
        material = known_material(preset.material)
    sensor = SensorSpec(
        thickness_um=preset.thickness_um if own.thickness_um is None else own.thickness_um,
        material=material,
        attenuation_length_um=own.attenuation_length_um,
        layers=own.layers,
    )
    sizes = {"pixels_slow": slow, "pixels_fast": fast, "pixel_size_mm": preset.pixel_mm}
    if preset.segments:
        # A mask shows the segments; the panel around them has none.
        sizes["mask_file"] = None  # type: ignore[assignment]
    return spec.model_copy(update={**sizes, "sensor": sensor}), preset


def preset_panels(whole: Panel, preset: Preset, spec: DetectorSpec) -> tuple[Panel, ...]:
    """Cut the panel that holds a whole detector into its parts, or mask its gaps.

    Parameters
    ----------
    whole : Panel
        Resolved as if it were one panel without gaps.
    preset : Preset
    spec : DetectorSpec
        As written, with the preset's name.

    Raises
    ------
    InputError
        A mask of another shape.
    """
    if preset.grid is None:
        masks = panel_masks(spec.mask_file, preset.pixels, len(preset.segments))
        return tuple(
            _segment(whole, preset, segment, mask)
            for segment, mask in zip(preset.segments, masks, strict=True)
        )
    if spec.gaps == "panels":
        return tuple(_module(whole, preset.grid, corner) for corner in preset.grid.corners())
    active = module_pixels(preset.grid)
    if active.all():
        return (whole,)
    active = active if whole.active.strides == (0, 0) else active & whole.active
    active.setflags(write=False)
    return (replace(whole, name=preset.name, active=active),)


@lru_cache(maxsize=4)
def module_pixels(grid: Grid) -> BoolArray:
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
