"""The plan of a sweep: frames into work units, one unit being one shard of the stack."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from distbragg.errors import PlanError
from distbragg.plan.cost import GRAPH_FORM_SECONDS, UNIT_BYTES, UNIT_SECONDS, frame_seconds
from distbragg.plan.frame import FramePlan
from distbragg.plan.tiling import balanced
from distbragg.spec.compute import ComputeSpec, OutputSpec

MAX_OBJECTS: Final = 100_000
"""Stored objects above which file systems and listings suffer."""

MAX_FRAMES: Final = 100_000_000
"""Frames above which lists of frames and units no longer fit a client."""

DTYPE_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"float32": 4, "float64": 8, "uint16": 2, "uint32": 4}
)
"""Bytes of one stored pixel."""

WISHED_UNITS: Final = 32
"""Units that a sweep of enough frames has at least, so that several workers share a small one."""

GROUP_BYTES: Final = 4 << 20
"""Frames of up to this many bytes in all are rendered together, and stay in the processor's
caches until they are stored."""

MOST_FRAMES_AT_ONCE: Final = 16
"""Each brings an experiment of its own: many tiny ones would hold many of those."""

Form = Literal["unit", "graph"]

_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """How the frames of a sweep are grouped into units.

    Attributes
    ----------
    dims : tuple of (name, size)
        Sweep dimensions, outermost first; empty for a single frame.
    frame : FramePlan
        Plan of the heaviest frame.
    unit_shape : tuple of int
        Frames of a unit along each dimension: 1 along leading ones, a block along one,
        whole along trailing ones, so that a unit is a run of consecutive frames.
    bytes_per_pixel : int
        Of the stored dtype.
    bytes_held_per_pixel : int
        Of a frame until it is stored; see `held_bytes`.
    mean_share : float
        Steps of a frame on average, as a share of the heaviest frame's; an estimate.
    """

    dims: tuple[tuple[str, int], ...]
    frame: FramePlan
    unit_shape: tuple[int, ...]
    bytes_per_pixel: int
    bytes_held_per_pixel: int = 4
    mean_share: float = 1.0

    @property
    def frames(self) -> int:
        """Number of frames."""
        return math.prod(size for _, size in self.dims)

    @property
    def unit_grid(self) -> tuple[int, ...]:
        """Units along each dimension."""
        return tuple(
            -(-size // block) for (_, size), block in zip(self.dims, self.unit_shape, strict=True)
        )

    @property
    def units(self) -> int:
        """Number of units."""
        return math.prod(self.unit_grid)

    @property
    def frames_per_unit(self) -> int:
        """Frames of a full unit (B)."""
        return math.prod(self.unit_shape)

    @property
    def frame_bytes(self) -> int:
        """Raw stored bytes of one frame."""
        return self.frame.pixels * self.bytes_per_pixel

    @property
    def mean_frame_steps(self) -> int:
        """Steps of a frame on average."""
        return round(self.frame.steps * self.mean_share)

    @property
    def mean_frame_seconds(self) -> float:
        """Planned cost of a frame on average, on one core, s."""
        return frame_seconds(
            self.mean_frame_steps, self.frame.pixels, self.frame.precision, on_gpu=self.frame.on_gpu
        )

    def unit_region(self, unit: int) -> tuple[slice, ...]:
        """Slices over the sweep dimensions that `unit` covers, clipped at the edge."""
        if not 0 <= unit < self.units:
            raise IndexError(f"unit {unit} outside 0..{self.units - 1}")
        index: list[int] = []
        for count in reversed(self.unit_grid):
            unit, position = divmod(unit, count)
            index.append(position)
        return tuple(
            slice(position * block, min((position + 1) * block, size))
            for position, block, (_, size) in zip(
                reversed(index), self.unit_shape, self.dims, strict=True
            )
        )

    def unit_frames(self, unit: int) -> tuple[int, ...]:
        """Flat C-order indices of the frames of `unit`, in increasing order."""
        frames = [0]
        for part, (_, size) in zip(self.unit_region(unit), self.dims, strict=True):
            frames = [head * size + i for head in frames for i in range(part.start, part.stop)]
        return tuple(frames)


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
    `WISHED_UNITS` units, at least one.

    Parameters
    ----------
    dims : sequence of (name, size)
    frame_plan : FramePlan
        Plan of the heaviest frame.
    compute : ComputeSpec
    output : OutputSpec
    mean_share : float
        Average steps of a frame over those of the heaviest.

    Raises
    ------
    PlanError
        A dimension without frames.
    """
    sizes = tuple((str(name), int(size)) for name, size in dims)
    for name, size in sizes:
        if size < 1:
            raise PlanError("sweep axis has no values", field=f"axes.{name}")
    pixel_bytes = DTYPE_BYTES[output.dtype]
    if compute.frames_per_unit == "auto":
        frames = math.prod(size for _, size in sizes)
        wished = _automatic_frames(frames, frame_plan, pixel_bytes)
    else:
        wished = int(compute.frames_per_unit)
    plan = SweepPlan(
        dims=sizes,
        frame=frame_plan,
        unit_shape=_unit_shape(tuple(size for _, size in sizes), wished),
        bytes_per_pixel=pixel_bytes,
        bytes_held_per_pixel=held_bytes(output.dtype),
        mean_share=mean_share,
    )
    if plan.units > MAX_OBJECTS:
        _log.warning(
            "the stack will hold %d objects of %d bytes at most; raise compute.frames_per_unit "
            "(now %d) to store fewer and larger ones",
            plan.units,
            plan.frames_per_unit * plan.frame_bytes,
            plan.frames_per_unit,
        )
    return plan


def held_bytes(dtype: str) -> int:
    """Bytes of a pixel until its frame is stored as `dtype`.

    Frames are rendered as float32, but those of uint32 counts as float64: float32 would round
    counts beyond 2²⁴.
    """
    return 8 if dtype in {"float64", "uint32"} else 4


def frames_at_once(frame_bytes: int) -> int:
    """Return how many frames of that size before storing a worker renders together."""
    return max(1, min(MOST_FRAMES_AT_ONCE, GROUP_BYTES // frame_bytes))


def choose_form(plan: SweepPlan, compute: ComputeSpec) -> Form:
    """Whether units run as one task each or as graphs of tiles × source chunks.

    The form changes no bit, only how the work is spread.
    """
    if compute.form != "auto":
        return compute.form
    several = len(plan.frame.tiles) * len(plan.frame.chunks) * plan.frame.panels > 1
    heavy = plan.frame.nominal_seconds > GRAPH_FORM_SECONDS
    return "graph" if several and heavy and plan.frames_per_unit == 1 else "unit"


def _automatic_frames(frames: int, frame: FramePlan, pixel_bytes: int) -> int:
    by_cost = int(UNIT_SECONDS / frame.nominal_seconds)
    by_bytes = UNIT_BYTES // (frame.pixels * pixel_bytes)
    return max(1, min(by_cost, by_bytes, frames // WISHED_UNITS))


def _unit_shape(sizes: tuple[int, ...], frames: int) -> tuple[int, ...]:
    """Block of at most `frames` frames; the cut dimension is cut into near-equal parts."""
    shape: list[int] = []
    left = max(1, frames)
    for size in reversed(sizes):
        block = balanced(size, left)
        shape.append(block)
        left = left // size if block == size else 1
    return tuple(reversed(shape))
