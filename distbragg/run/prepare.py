"""From what the user gives to what can be run: sweep, base experiment, plan; and the dry run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.tables import load_any
from distbragg.notes import Note
from distbragg.plan.memory import (
    check_fits,
    memory_limit_bytes,
    precheck_spec,
    predict_peak_bytes,
)
from distbragg.plan.summary import PlanSummary, summarize
from distbragg.plan.sweep import SweepPlan, choose_form, plan_sweep
from distbragg.quantities import counted, scaled
from distbragg.run.machine import free_disk_bytes, memory_bytes
from distbragg.run.notes import SweepNotes, check_size, sweep_notes, tell
from distbragg.run.survey import Survey, survey_sweep
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sweep import SweepSpec
from distbragg.store.frame_labels import HIT, ITEM_KEYS, shown_labels

SpecLike = SweepSpec | ExperimentSpec | str | os.PathLike[str]
"""A specification, or the path of its file."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sweep with frame 0, its heaviest frame, the plan for that, and what is to be said."""

    sweep: SweepSpec
    experiment: Experiment
    heaviest: Experiment
    survey: Survey
    plan: SweepPlan
    said: SweepNotes


def as_sweep(
    spec: SpecLike, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> SweepSpec:
    """Return a sweep; with `root`, a specification file may name files of that folder alone."""
    if isinstance(spec, SweepSpec | ExperimentSpec):
        if overrides:
            raise InputError("overrides need a specification file", source="overrides")
        return spec if isinstance(spec, SweepSpec) else SweepSpec(experiment=spec)
    return load_any(Path(spec), overrides, root=root)


def as_experiment(spec: SpecLike, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Return one experiment, as `as_sweep`; refuse a sweep of several frames."""
    sweep = as_sweep(spec, overrides)
    if sweep.frames > 1:
        raise InputError(
            f"is a sweep of {sweep.frames} frames, where one experiment is needed",
            source=str(spec) if isinstance(spec, str | os.PathLike) else "",
            remedy="use `distbragg sweep`, or distbragg.sweep in Python",
        )
    return sweep.frame_spec(0)


def plan(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    workers: int = 1,
    root: str | Path | None = None,
) -> PlanSummary:
    """Plan a sweep or one experiment, without rendering or writing anything.

    Parameters
    ----------
    spec, overrides, root
        As for `create`.
    out : path, optional
        Where the run would lie; checks the room on that disk.
    workers : int
        Workers that share this machine's memory, or parts of a job array; the wall time is told
        for both.

    Returns
    -------
    PlanSummary
        Frames, units, steps, memory and disk in bytes, time in s; shown as a table.

    Raises
    ------
    InputError
        The specification cannot be used.
    PlanError
        Memory or disk cannot hold it; names the number to change.
    """
    prepared = prepare(spec, overrides, root=root)
    check_machine(prepared, out=None if out is None else Path(out))
    given = prepared.sweep.experiment
    summary = summarize(
        prepared.plan,
        prepared.heaviest,
        given,
        workers=workers,
        integrals=_label_integrals(prepared.heaviest, given.output),
        spots=_integrals(prepared.heaviest, 0.0),
    )
    notes = prepared.said.notes
    if workers > summary.units:
        idle = (
            f"{workers} are more than the {counted(summary.units, 'unit')}: the others would have "
            "nothing to do; lower compute.frames_per_unit, or take fewer workers or parts"
        )
        notes = (*notes, Note("warning", "--workers", idle))
    if (together := workers * summary.memory.total) > (here := memory_bytes()):
        short = (
            f"{counted(workers, 'worker')} need {scaled(together)}B of memory, this machine has "
            f"{scaled(here)}B: start fewer here, or spread them over several machines"
        )
        notes = (*notes, Note("warning", "--workers", short))
    tell(notes)
    return replace(summary, notes=notes, frames_checked=prepared.said.frames)


def prepare(
    spec: SpecLike, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> Prepared:
    """Resolve the base frame and plan the sweep; sizes beyond this machine are refused first."""
    sweep = as_sweep(spec, overrides, root=root)
    experiment = _first_frame(sweep)
    _check_names(sweep)
    if sweep.experiment.output.labels:
        from distbragg.predict.landing import check_surface  # few runs keep tables

        check_surface(experiment.detector)
        if find_spec("pyarrow") is None:
            raise EnvironmentFailure("output.labels needs pyarrow: pip install 'distbragg[tables]'")
    return prepared_of(sweep, experiment)


def _check_names(sweep: SweepSpec) -> None:
    """Refuse axes called as an array beside the images, or its dimension, or a label of frames."""
    for position, axis in enumerate(sweep.axes):
        # One called `hit` says what is drawn: what is seen is `hit_seen` then.
        if axis.name in (*ITEM_KEYS, *shown_labels({HIT})):
            raise InputError(
                f"{axis.name!r} is what items of a data set or labels of frames have themselves",
                field=f"axes.{position}.name",
                remedy="give the axis another name",
            )
    named = {name for axis in sweep.coordinates() for name in (axis.name, axis.dim)}
    output = sweep.experiment.output
    beside: list[tuple[str, str]] = [("map", name) for name in output.maps or ()]
    beside += [("variant", one.name) for one in output.variants or ()]
    for kind, name in beside:
        # Dimensions are those of the numbers of hkl, and of the pixels of a variant.
        if named & {name, *(f"{name}_{end}" for end in ("component", "slow", "fast"))}:
            raise InputError(
                f"an axis has the name of the {kind} {name!r} or of its numbers",
                field="axes",
                remedy="give the axis another name",
            )


def _label_integrals(experiment: Experiment, output: OutputSpec) -> int | None:
    """Count the integrals of a frame's labels, where it keeps some in closed form."""
    if not output.labels:
        return None
    return _integrals(experiment, output.label_minimum_photons)


def _integrals(experiment: Experiment, minimum_photons: float) -> int | None:
    """Count spots by lines and parts of a rotation in closed form."""
    from distbragg.kernel.native.moments import compiled_twin  # what renders alone needs none
    from distbragg.predict.spots import integrals_of_spots

    return integrals_of_spots(experiment, minimum_photons, compiled_twin())


def _first_frame(sweep: SweepSpec) -> Experiment:
    spec = sweep.frame_spec(0)
    precheck_spec(spec, memory_bytes())
    return build_experiment(spec)


def prepared_of(sweep: SweepSpec, base: Experiment) -> Prepared:
    """Plan a sweep, whose frame 0 is `base`, for its heaviest frame, and collect the notes."""
    survey, heaviest = survey_sweep(sweep, base)
    planned = plan_units(sweep, survey)
    check_size(base, heaviest, survey.heaviest)
    said = sweep_notes(sweep, base, survey.heaviest)
    return Prepared(sweep, base, heaviest, survey, planned, said)


def plan_units(sweep: SweepSpec, survey: Survey) -> SweepPlan:
    """Plan a sweep for its heaviest frame."""
    spec = sweep.experiment
    return plan_sweep(
        sweep.dims, survey.plan, spec.compute, spec.output, mean_share=survey.mean_share
    )


def check_machine(prepared: Prepared, *, out: Path | None = None, force: bool = False) -> None:
    """Refuse a plan that this memory or, without `force`, the disk `out` lies on cannot hold."""
    check_plan(
        prepared.plan,
        prepared.sweep.experiment.compute,
        prepared.experiment.reflections.amplitude.size,
        disk_free_bytes=None if out is None or force else free_disk_bytes(out),
    )


def check_plan(
    plan: SweepPlan, compute: ComputeSpec, grid_points: int, *, disk_free_bytes: int | None = None
) -> int:
    """Refuse a plan that memory or a disk cannot hold; return the bytes that one process needs."""
    estimate = predict_peak_bytes(plan, grid_points=grid_points, form=choose_form(plan, compute))
    limit = memory_limit_bytes(compute, memory_bytes())
    check_fits(plan, estimate, memory_bytes=limit, disk_free_bytes=disk_free_bytes)
    return estimate.total
