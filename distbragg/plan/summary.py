"""What a run would do, in numbers: the dry run of `distbragg plan`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from distbragg.models.experiment import Experiment
from distbragg.notes import Notes
from distbragg.plan.memory import MemoryEstimate, predict_peak_bytes
from distbragg.plan.merge import merge_tasks
from distbragg.plan.sweep import Form, SweepPlan, choose_form
from distbragg.spec.compute import ComputeSpec


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The plan of a sweep in numbers.

    Attributes
    ----------
    dims : tuple of (name, size)
    frames, panels, units, frames_per_unit : int
    shape : (int, int)
        Pixels (slow, fast) of a panel.
    tiles, source_chunks : int
        Per panel; per frame.
    sources : int
    form : {"unit", "graph"}
    tasks : int
        Tasks of the whole run.
    oversample : int
        Sub-pixels along each axis, as chosen.
    steps : int
        Steps of the whole run (pixel × sub-pixel × layer × source × phi × domain).
    memory : MemoryEstimate
        Predicted peak of a worker, bytes.
    bytes_on_disk : int
        Raw, before compression.
    nominal_seconds : float
        Planned cost of the whole run on one core, or one GPU where `device` is not "cpu".
    device : str
        As `compute.device` says.
    plan_hash : str
    notes : tuple of Note
        What is to be said of the frames.
    frames_checked : int
        How many frames were looked at for it.
    """

    dims: tuple[tuple[str, int], ...]
    frames: int
    panels: int
    units: int
    frames_per_unit: int
    shape: tuple[int, int]
    tiles: int
    source_chunks: int
    sources: int
    form: Form
    tasks: int
    oversample: int
    steps: int
    memory: MemoryEstimate
    bytes_on_disk: int
    nominal_seconds: float
    device: str
    plan_hash: str
    notes: Notes = ()
    frames_checked: int = 1

    @property
    def memory_per_worker(self) -> int:
        """Predicted peak of a worker, bytes."""
        return self.memory.total

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {**asdict(self), "memory_per_worker": self.memory_per_worker}


def summarize(plan: SweepPlan, experiment: Experiment, compute: ComputeSpec) -> PlanSummary:
    """Summarize the plan of a sweep whose heaviest frame is `experiment`.

    Steps and seconds are those of the average frame times the number of frames.
    """
    form = choose_form(plan, compute)
    frame = plan.frame
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
        steps=plan.mean_frame_steps * plan.frames,
        memory=predict_peak_bytes(
            plan, grid_points=experiment.reflections.amplitude.size, form=form
        ),
        bytes_on_disk=plan.frames * plan.frame_bytes,
        nominal_seconds=plan.frames * plan.mean_frame_seconds,
        device=compute.device,
        plan_hash=frame.plan_hash,
    )


def count_tasks(plan: SweepPlan, form: Form) -> int:
    """Tasks that the run submits in the given form."""
    if form == "unit":
        return plan.units
    frame = plan.frame
    per_tile = len(frame.chunks) + merge_tasks(len(frame.chunks), frame.merge_arity)
    return plan.frames * frame.panels * len(frame.tiles) * per_tile + plan.units
