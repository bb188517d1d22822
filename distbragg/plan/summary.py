"""What a run would do, in numbers: the dry run of `distbragg plan`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from distbragg.models.experiment import Experiment
from distbragg.notes import Notes
from distbragg.plan.cost import (
    CLUSTER_START_S,
    EXPECTED_EAGER_STEPS_PER_S,
    EXPECTED_FRAME_S,
    EXPECTED_INTEGRAL_S,
    EXPECTED_LABEL_S,
    EXPECTED_NOISE_S,
    EXPECTED_PIXEL_S,
    EXPECTED_RESPONSE_S,
    EXPECTED_SPREAD_S,
    EXPECTED_STEPS_PER_S,
    NUMPY_INTEGRALS,
    PROCESS_START_S,
)
from distbragg.plan.frame import FramePlan
from distbragg.plan.memory import MemoryEstimate, predict_peak_bytes
from distbragg.plan.merge import merge_tasks
from distbragg.plan.spots import expected_spot_seconds
from distbragg.plan.sweep import Form, SweepPlan, choose_form
from distbragg.quantities import counted, duration, scaled
from distbragg.spec.experiment import ExperimentSpec
from distbragg.templates import facts_html


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The plan of a sweep in numbers."""

    dims: tuple[tuple[str, int], ...]  # name and size
    frames: int
    panels: int
    units: int
    frames_per_unit: int
    shape: tuple[int, int]  # of a panel, pixels (slow, fast)
    tiles: int  # per panel
    source_chunks: int  # per frame
    sources: int
    form: Form
    tasks: int  # of the whole run, as are the steps
    oversample: int  # sub-pixels along each axis, as chosen
    blocks: float  # of the crystal that the beam illuminates
    fluence_photons_per_m2: float
    steps: int  # of pixel × sub-pixel × layer × source × phi × domain
    memory: MemoryEstimate  # predicted peak of a worker
    bytes_on_disk: int  # raw, before compression
    nominal_seconds: float  # planned cost of the run on one core (GPU unless `device` is "cpu")
    workers: int
    wall_seconds: float  # expected with so many workers of one core or GPU, starting included
    part_seconds: float  # expected of each of as many parts of a job array
    device: str
    plan_hash: str
    variants: tuple[str, ...] = ()  # of frames, that are stored
    whole_frames: bool = True  # are stored
    notes: Notes = ()  # what is to be said of the frames
    frames_checked: int = 1  # looked at for it

    @property
    def memory_per_worker(self) -> int:
        """Predicted peak of a worker, bytes."""
        return self.memory.total

    def rows(self) -> list[tuple[str, str]]:
        """Return (what, how much) in words."""
        axes = " x ".join(f"{name} {size}" for name, size in self.dims) or "none"
        slow, fast = self.shape
        panels = f"{self.panels} panels of " if self.panels > 1 else ""
        per_frame = self.steps // max(self.frames, 1)
        core = "core" if self.device == "cpu" else "GPU"
        wall = f"about {duration(self.wall_seconds)} on one {core}"
        if self.workers > 1:
            wall = (
                f"about {duration(self.wall_seconds)} with {self.workers} workers of one {core}, "
                f"{duration(self.part_seconds)} as {self.workers} parts of a job array"
            )
        return [
            ("axes", axes),
            ("frames", f"{self.frames:,} of {panels}{slow} x {fast} pixels (slow x fast)"),
            ("units", f"{self.units:,} of up to {self.frames_per_unit:,} frames, one shard each"),
            ("tiles", f"{self.tiles:,} per panel"),
            ("sources", f"{self.sources:,} in {counted(self.source_chunks, 'chunk')}"),
            ("tasks", f"{self.tasks:,} ({self.form} form)"),
            ("oversampling", f"{self.oversample} x {self.oversample} per pixel"),
            ("fluence", f"{self.fluence_photons_per_m2:.4g} photons/m²"),
            ("blocks in the beam", f"{self.blocks:.6g}"),
            ("steps", f"{self.steps:.3g} ({per_frame:.3g} per frame)"),
            ("memory per worker", f"{scaled(self.memory_per_worker)}B at the peak"),
            *(("variant", one) for one in self.variants),
            *(() if self.whole_frames else (("whole frames", "not stored"),)),
            ("disk", f"{scaled(self.bytes_on_disk)}B before compression"),
            ("expected time", wall),
            (
                "planned work",
                f"{duration(self.nominal_seconds)} of one {core} at fixed rates; it sets the "
                "size of units",
            ),
            ("plan", self.plan_hash[:12]),
            ("checked for mistakes", f"{self.frames_checked:,} of {self.frames:,} frames"),
        ]

    def _repr_html_(self) -> str:
        return facts_html("Plan", self.rows())

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {**asdict(self), "memory_per_worker": self.memory_per_worker}


def summarize(
    plan: SweepPlan,
    experiment: Experiment,
    spec: ExperimentSpec,
    *,
    workers: int = 1,
    integrals: int | None = None,
    spots: int | None = None,
) -> PlanSummary:
    """Summarize the plan of a sweep whose heaviest frame is `experiment`, by its average frame.

    `integrals` are those of its labels in closed form, `spots` what is drawn, by
    lines; None where they are sampled.
    """
    compute = spec.compute
    form = choose_form(plan, compute)
    frame = plan.frame
    points = experiment.reflections.amplitude.size
    eager = compute.kernel not in {"auto", "native"}
    seconds = expected_frame_seconds(frame, plan.mean_frame_steps, eager=eager)
    if frame.draws_spots and spots is not None:
        seconds += expected_spot_seconds(experiment, spots)
    seconds *= 1 + plan.map_passes
    if spec.output.labels:
        seconds += expected_label_seconds(experiment, integrals, eager=eager or frame.on_gpu)
    # The longest-working one decides: units are not cut.
    busy = seconds * min(plan.frames, math.ceil(plan.units / workers) * plan.frames_per_unit)
    return PlanSummary(
        dims=plan.dims,
        frames=plan.frames,
        panels=frame.panels,
        units=plan.units,
        frames_per_unit=plan.frames_per_unit,
        shape=frame.shape,
        tiles=len(frame.tiles),
        source_chunks=len(frame.chunks),
        sources=frame.sources,
        form=form,
        tasks=count_tasks(plan, form),
        oversample=experiment.sampling.oversample,
        blocks=experiment.crystal.scale,
        fluence_photons_per_m2=experiment.beam.fluence,
        steps=plan.mean_frame_steps * plan.frames,
        memory=predict_peak_bytes(plan, grid_points=points, form=form),
        bytes_on_disk=plan.frames * plan.frame_bytes,
        nominal_seconds=plan.frames * plan.mean_frame_seconds,
        workers=workers,
        wall_seconds=busy + (CLUSTER_START_S if workers > 1 else PROCESS_START_S),
        part_seconds=busy + PROCESS_START_S,
        device=compute.device,
        plan_hash=frame.plan_hash,
        variants=tuple(map(str, plan.variants)),
        whole_frames=spec.output.keeps_frames,
    )


def expected_label_seconds(experiment: Experiment, integrals: int | None, *, eager: bool) -> float:
    """Seconds that predicting the spots of a frame is expected to take on a core of today."""
    if integrals is None:
        return experiment.reflections.amplitude.size * EXPECTED_LABEL_S
    start, stop = experiment.crystal.oscillation
    each = EXPECTED_INTEGRAL_S[stop != start, experiment.beam.sources.bandwidth > 0.0]
    return integrals * each * (NUMPY_INTEGRALS if eager else 1.0)


def expected_frame_seconds(frame: FramePlan, steps: int, *, eager: bool = False) -> float:
    """Seconds that a frame of so many steps is expected to take on one core or GPU of today.

    Spots that are drawn whole cost about what the pixels do, whatever the number of lines.
    """
    rate = EXPECTED_EAGER_STEPS_PER_S if eager else EXPECTED_STEPS_PER_S[frame.precision]
    if frame.on_gpu:
        rate = frame.nominal_rate
    per_pixel = EXPECTED_PIXEL_S + (EXPECTED_NOISE_S if frame.photon_noise else 0.0)
    summing = frame.summing_seconds(steps, rate)
    per_pixel += EXPECTED_RESPONSE_S * frame.responds
    spreading = frame.spread_terms * EXPECTED_SPREAD_S
    return summing + frame.pixels * per_pixel + spreading + EXPECTED_FRAME_S


def count_tasks(plan: SweepPlan, form: Form) -> int:
    """Tasks that the run submits in the given form."""
    if form == "unit":
        return plan.units
    frame = plan.frame
    per_tile = len(frame.chunks) + merge_tasks(len(frame.chunks), frame.merge_arity)
    return plan.frames * frame.panels * len(frame.tiles) * per_tile + plan.units
