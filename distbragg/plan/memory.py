"""Memory a worker will need, in plain integers, before anything is allocated.

Refusing early is the point: an image too large for the machine must be refused by
arithmetic, not by the kernel's out-of-memory killer an hour later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from distbragg.errors import PlanError
from distbragg.models.setting import DEFAULT_PIXEL_MM, DEFAULT_SIZE_MM, geometry_of
from distbragg.plan.frame import FramePlan, frames_at_once
from distbragg.plan.merge import merge_depth
from distbragg.plan.sweep import MAX_FRAMES, Form, SweepPlan
from distbragg.read.preset import read_preset
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.experiment import ExperimentSpec

BASELINE_BYTES: Final = 96_000_000
"""Resident bytes of a worker before its first unit: interpreter, dask, zarr, native kernel
(measured: 95 to 100 MB)."""

TORCH_BYTES: Final = 215_000_000
"""What loading torch adds, where the kernel or a correction per pixel needs it
(measured: 205 to 220 MB with torch 2.13)."""

TILE_PIXEL_BYTES: Final = 1
"""Bytes per tile pixel beside the sums in the native kernel, where not all pixels are active:
which are."""

TORCH_PIXEL_BYTES: Final = 32
"""Bytes per tile pixel beside the sums where torch renders or corrects (measured: 24 to 64)."""

CALIBRATION_PIXEL_BYTES: Final = 8  # of a map of the detector; two are kept
OVERLAY_PIXEL_BYTES: Final = 16  # of an image or a shadow; those of the last frame are kept
SPREAD_PIXEL_BYTES: Final = 16
"""Bytes per pixel of a panel whose photons spread: of what two kernels, one after another, make."""

BLOCK_BYTES: Final = 5_000_000
"""Temporaries while pixels are finished, block by block, whatever the frame's size."""

ENCODED_SHARE: Final = 0.85
"""Encoded bytes per raw byte of expected photons (measured: 0.82 of frames with empty corners)."""

ENCODED_COUNTS_SHARE: Final = 0.5  # encoded bytes per raw byte of counts (measured: 0.2 to 0.45)
GRID_COPIES: Final = 2  # |F| as resolved and in the kernel's own layout
DISK_MARGIN: Final = 0.9  # share of the free disk space that a run may plan to fill
_REMEDIES: Final = {
    "unit_images": ("detector.pixels_fast", "lower detector.pixels_fast or detector.pixels_slow"),
    "shard_assembly": ("compute.frames_per_unit", "lower it"),
    "frame_sums": ("detector.pixels_fast", "lower detector.pixels_fast or detector.pixels_slow"),
    "tile_sums": ("compute.tile", "give a smaller tile"),
    "grid": (
        "structure_factors.dmin_angstrom",
        "raise it, or give a reflection list of lower resolution",
    ),
    "baseline": ("compute.memory_limit_gb", "raise it"),
}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Predicted resident bytes of one worker at the peak of a unit, by cause."""

    baseline: int  # interpreter and libraries
    grid: int  # |F| on its box of indices
    unit_images: int  # the frames at work: one, or several small ones
    shard_assembly: int  # the unit's encoded frames
    frame_sums: int  # a frame's mask, and in the graph form the float64 sums of its tiles
    tile_sums: int  # a tile's partial sums in the merge tree, and temporaries
    form: Form = "unit"

    @property
    def total(self) -> int:
        """Sum of all parts; in the graph form a frame is written when all its tiles are there."""
        kept = self.baseline + self.grid + self.frame_sums
        writing = self.unit_images + self.shard_assembly
        if self.form == "graph":
            return kept + max(writing, self.tile_sums)
        return kept + writing + self.tile_sums

    @property
    def largest(self) -> str:
        """Name of the largest part."""
        return max(_REMEDIES, key=lambda name: int(getattr(self, name)))


def predict_peak_bytes(plan: SweepPlan, *, grid_points: int, form: Form = "unit") -> MemoryEstimate:
    """Predict the peak resident bytes of a worker that renders units of `plan`.

    Nothing here is proportional to sources × domains × pixels: the kernel keeps one sum a pixel.
    `grid_points` are those of the |F| box.
    """
    frame = plan.frame
    unit_frames = min(plan.frames_per_unit, plan.frames)
    raw = unit_frames * plan.frame_bytes
    counts = frame.photon_noise and not frame.responds
    share = ENCODED_COUNTS_SHARE if counts else ENCODED_SHARE
    per_pixel = 0 if frame.keeps_no_sums and form == "unit" else 8 * _sums_held(frame)
    steps = frame.shape[0] * frame.shape[1] * frame.sources * sum(frame.samples)
    masked = frame.steps != steps
    per_pixel += TORCH_PIXEL_BYTES if frame.needs_torch else TILE_PIXEL_BYTES * masked
    per_frame = int(masked) + (8 if form == "graph" else 0)
    per_frame += CALIBRATION_PIXEL_BYTES * frame.calibrates + OVERLAY_PIXEL_BYTES * frame.overlays
    image = frame.pixels * plan.bytes_held_per_pixel
    spreading = SPREAD_PIXEL_BYTES * frame.shape[0] * frame.shape[1] if frame.spread_terms else 0
    at_work = 1 if form == "graph" else min(unit_frames, frames_at_once(image))
    return MemoryEstimate(
        baseline=BASELINE_BYTES + (TORCH_BYTES if frame.needs_torch else 0),
        grid=grid_points * 8 * GRID_COPIES,
        unit_images=image * at_work + spreading + frame.pixels * plan.made_held_bytes,
        shard_assembly=int(share * raw),
        frame_sums=frame.pixels * per_frame,
        tile_sums=frame.largest_tile * per_pixel + BLOCK_BYTES,
        form=form,
    )


def _sums_held(frame: FramePlan) -> int:
    """Partial sums of one tile that its merge tree holds at a time, with one of a lattice."""
    chunks, arity = len(frame.chunks), frame.merge_arity
    added = int(frame.adds_sums)
    if chunks == 1:
        return 1 + added
    return added + min(chunks + 1, 2 + merge_depth(chunks, arity) * (arity - 1))


def memory_limit_bytes(compute: ComputeSpec, machine_bytes: int, workers: int = 1) -> int:
    """Bytes one worker may use: the spec's limit, or its share of the machine's memory."""
    share = machine_bytes // max(1, workers)
    if compute.memory_limit_gb == "auto":
        return share
    return min(int(float(compute.memory_limit_gb) * 1e9), share)


def check_fits(
    plan: SweepPlan,
    estimate: MemoryEstimate,
    *,
    memory_bytes: int,
    disk_free_bytes: int | None = None,
) -> None:
    """Refuse a plan that a worker's memory or, where it is known, the disk cannot hold."""
    if plan.frames > MAX_FRAMES:
        raise PlanError(
            f"the sweep has {plan.frames} frames, at most {MAX_FRAMES} are possible",
            field="axes",
            remedy="give fewer values, or several sweeps",
        )
    if estimate.total > memory_bytes:
        part = _part_to_change(plan, estimate, memory_bytes)
        field, remedy = _REMEDIES[part]
        raise PlanError(
            f"a worker would need {megabytes(estimate.total)} of memory and may use "
            f"{megabytes(memory_bytes)}; of it {part.replace('_', ' ')}: "
            f"{megabytes(int(getattr(estimate, part)))}",
            field=field,
            remedy=remedy,
        )
    needed = plan.frames * plan.frame_bytes
    if disk_free_bytes is not None and needed > disk_free_bytes * DISK_MARGIN:
        raise PlanError(
            f"{plan.frames} frames hold {megabytes(needed)} before compression and the disk has "
            f"{megabytes(disk_free_bytes)} free",
            field="output.dtype" if plan.bytes_per_pixel > 4 else "axes",
            remedy="render fewer frames, choose a smaller output.dtype, give a larger disk, or, "
            "if they compress well enough, --force",
        )


def precheck_spec(spec: ExperimentSpec, memory_bytes: int) -> int:
    """Refuse absurd sizes from the numbers of the spec alone; return the least bytes it takes."""
    limit = memory_limit_bytes(spec.compute, memory_bytes)
    slow, fast = spec_pixels(spec)
    domains = max(1, spec.crystal.mosaic.domains or 1)
    phi = max(1, spec.goniometer.steps or 1)
    layers = max(1, spec.detector.sensor.layers or 1)
    divergence, dispersion = spec.beam.divergence, spec.beam.dispersion
    steps = (divergence.horizontal.steps, divergence.vertical.steps, dispersion.steps)
    sources = math.prod(max(1, count or 1) for count in steps)
    parts = (
        ("detector.pixels_fast", f"detector of {slow} x {fast} pixels", slow * fast * 13),
        ("crystal.mosaic.domains", f"{domains} mosaic domains", domains * 144),
        ("goniometer.steps", f"{phi} phi steps", phi * 8),
        ("detector.sensor.layers", f"{layers} sensor layers", layers * 24),
        ("beam", f"{sources} generated sources", sources * 80),
    )
    needed = sum(size for _, _, size in parts)
    if needed > limit:
        field, what, size = max(parts, key=lambda part: part[2])
        raise PlanError(
            f"{what} takes at least {megabytes(size)} of memory; {megabytes(limit)} may be used",
            field=field,
            remedy="lower it",
        )
    return needed


def spec_pixels(spec: ExperimentSpec) -> tuple[int, int]:
    """Pixels (slow, fast) that the spec asks for, panels one below the other."""
    detector = spec.detector
    if detector.preset is not None:
        return read_preset(detector.preset).extent
    geometry = geometry_of(detector)
    if geometry is not None:
        shapes = [panel.shape for panel in geometry.panels]
        return len(shapes) * max(slow for slow, _ in shapes), max(fast for _, fast in shapes)
    pixel = detector.pixel_size_mm
    return (
        _pixels(detector.pixels_slow, detector.size_slow_mm, pixel),
        _pixels(detector.pixels_fast, detector.size_fast_mm, pixel),
    )


def _pixels(count: int | None, size_mm: float | None, pixel_mm: float | None) -> int:
    """Pixels along an edge of so many, or so long."""
    if count is not None:
        return count
    edge = (size_mm or DEFAULT_SIZE_MM) / (pixel_mm or DEFAULT_PIXEL_MM)
    return max(1, math.ceil(edge - 0.5))


def megabytes(size: int) -> str:
    """`size` bytes as text, in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"


def _part_to_change(plan: SweepPlan, estimate: MemoryEstimate, memory_bytes: int) -> str:
    """Name the largest part that the user can make smaller with some effect."""
    name = estimate.largest
    if name == "tile_sums" and estimate.total - estimate.tile_sums > memory_bytes:
        name = replace(estimate, tile_sums=0).largest
    if name == "shard_assembly" and plan.frames_per_unit == 1:
        name = "frame_sums"
    return name
