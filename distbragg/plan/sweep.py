"""The plan of a sweep: frames into work units, one unit being one shard of the stack."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from distbragg.plan import maps, variants
from distbragg.plan.cost import GRAPH_FORM_SECONDS, UNIT_BYTES, UNIT_SECONDS
from distbragg.plan.frame import FramePlan, balanced, held_bytes
from distbragg.plan.variants import Variant, variants_of
from distbragg.spec.compute import ComputeSpec, OutputSpec

MAX_OBJECTS: Final = 100_000  # stored objects above which file systems and listings suffer

MAX_FRAMES: Final = 100_000_000
"""Frames above which lists of frames and units no longer fit a client."""

WISHED_UNITS: Final = 32
"""Units that a sweep of enough frames has at least, so that several workers share a small one."""

Form = Literal["unit", "graph"]

_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class UnitGrid:
    """The frames of a sweep, grouped into units: blocks of consecutive frames."""

    dims: tuple[tuple[str, int], ...]  # (name, size), outermost first; empty for a single frame
    unit_shape: tuple[int, ...]  # 1 along leading dims, a block along one, whole along trailing

    @property
    def frames(self) -> int:
        """Number of frames."""
        return math.prod(size for _, size in self.dims)

    @property
    def unit_grid(self) -> tuple[int, ...]:
        """Units along each dimension."""
        return tuple(
            math.ceil(size / block)
            for (_, size), block in zip(self.dims, self.unit_shape, strict=True)
        )

    @property
    def units(self) -> int:
        """Number of units."""
        return math.prod(self.unit_grid)


@dataclass(frozen=True, slots=True)
class SweepPlan(UnitGrid):
    """How the frames of a sweep are grouped into units, and what they cost."""

    frame: FramePlan  # of the heaviest frame
    bytes_per_pixel: int  # as stored of whole frames, maps included
    bytes_held_per_pixel: int = 4  # until then; see `held_bytes`
    map_passes: int = 0  # times that a crystal is rendered again for maps
    made_held_bytes: int = 0  # per pixel, while a frame's maps and variants are made
    variants: tuple[Variant, ...] = ()
    mean_share: float = 1.0  # estimate: average steps of a frame over those of the heaviest

    @property
    def frames_per_unit(self) -> int:
        """Frames of a full unit (B)."""
        return math.prod(self.unit_shape)

    @property
    def frame_bytes(self) -> int:
        """Raw stored bytes of one frame."""
        beside = self.frame.panels * sum(one.panel_bytes for one in self.variants)
        return self.frame.pixels * self.bytes_per_pixel + beside

    @property
    def mean_frame_steps(self) -> int:
        """Steps of a frame on average."""
        return round(self.frame.steps * self.mean_share)

    @property
    def mean_frame_seconds(self) -> float:
        """Planned cost of a frame on average, on one core, s."""
        return self.frame.seconds_of(self.mean_frame_steps) * (1 + self.map_passes)


def plan_sweep(
    dims: Sequence[tuple[str, int]],
    frame_plan: FramePlan,
    compute: ComputeSpec,
    output: OutputSpec,
    *,
    mean_share: float = 1.0,
) -> SweepPlan:
    """Group the frames of a sweep into units: a pure function of its arguments.

    Unless `compute.frames_per_unit` says otherwise, a unit holds as many frames as stay
    within `UNIT_SECONDS` of planned cost and `UNIT_BYTES` of raw pixels and leave the sweep
    `WISHED_UNITS` units, at least one. `frame_plan` is that of the heaviest frame.
    """
    sizes = tuple(int(size) for _, size in dims)
    whole_frames = np.dtype(output.dtype).itemsize if output.keeps_frames else 0
    beside = variants_of(output, frame_plan.shape)
    plan = SweepPlan(
        dims=tuple((str(name), int(size)) for name, size in dims),
        frame=frame_plan,
        unit_shape=(1,) * len(sizes),
        bytes_per_pixel=whole_frames + maps.map_pixel_bytes(output),
        bytes_held_per_pixel=held_bytes(output.dtype),
        map_passes=maps.map_passes(output, spots_drawn=frame_plan.draws_spots),
        made_held_bytes=max(
            maps.HELD_PIXEL_BYTES if output.maps else 0,
            variants.HELD_PIXEL_BYTES if beside else 0,
        ),
        variants=beside,
        mean_share=mean_share,
    )
    if compute.frames_per_unit == "auto":
        by_cost = int(UNIT_SECONDS / (frame_plan.nominal_seconds * (1 + plan.map_passes)))
        wished = min(by_cost, UNIT_BYTES // plan.frame_bytes, plan.frames // WISHED_UNITS)
    else:
        wished = int(compute.frames_per_unit)
    plan = replace(plan, unit_shape=block_shape(sizes, wished))
    if plan.units > MAX_OBJECTS:
        _log.warning(
            "the stack will hold %d objects of %d bytes at most; raise compute.frames_per_unit "
            "(now %d) to store fewer and larger ones",
            plan.units,
            plan.frames_per_unit * plan.frame_bytes,
            plan.frames_per_unit,
        )
    return plan


def choose_form(plan: SweepPlan, compute: ComputeSpec) -> Form:
    """Whether units run as one task each or as graphs of tiles × source chunks; no bit changes."""
    if compute.form != "auto":
        return compute.form
    several = len(plan.frame.tiles) * len(plan.frame.chunks) * plan.frame.panels > 1
    heavy = plan.frame.nominal_seconds > GRAPH_FORM_SECONDS
    return "graph" if several and heavy and plan.frames_per_unit == 1 else "unit"


def block_shape(sizes: tuple[int, ...], frames: int) -> tuple[int, ...]:
    """Cut one of the dimensions into near-equal parts: a block of at most `frames` frames."""
    shape: list[int] = []
    left = max(1, frames)
    for size in reversed(sizes):
        block = balanced(size, left)
        shape.append(block)
        left = left // size if block == size else 1
    return tuple(reversed(shape))
