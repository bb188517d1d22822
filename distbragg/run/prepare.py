"""From what the user gives to what can be run: sweep, base experiment, plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.tables import load_any
from distbragg.plan.memory import (
    check_fits,
    memory_limit_bytes,
    precheck_spec,
    predict_peak_bytes,
)
from distbragg.plan.sweep import SweepPlan, choose_form, plan_sweep
from distbragg.predict.landing import check_flat
from distbragg.run.machine import free_disk_bytes, memory_bytes
from distbragg.run.notes import SweepNotes, check_size, sweep_notes
from distbragg.run.survey import Survey, survey_sweep
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sweep import SweepSpec

SpecLike = SweepSpec | ExperimentSpec | str | os.PathLike[str]
"""A specification, or the path of its file."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sweep with its base experiment (frame 0), its heaviest frame, and the plan for that.

    Attributes
    ----------
    sweep : SweepSpec
    experiment, heaviest : Experiment
    plan : SweepPlan
    said : SweepNotes
        What is to be said of the frames.
    """

    sweep: SweepSpec
    experiment: Experiment
    heaviest: Experiment
    plan: SweepPlan
    said: SweepNotes


def as_sweep(
    spec: SpecLike, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> SweepSpec:
    """Return a sweep; one experiment is a sweep without axes.

    With `root`, a specification file may name files of that folder alone.

    Raises
    ------
    InputError
        A file that cannot be used, or overrides for what is no file.
    """
    if isinstance(spec, SweepSpec | ExperimentSpec):
        if overrides:
            raise InputError("overrides need a specification file", source="overrides")
        return spec if isinstance(spec, SweepSpec) else SweepSpec(experiment=spec)
    return load_any(Path(spec), overrides, root=root)


def as_experiment(
    spec: SpecLike, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> ExperimentSpec:
    """Return one experiment; `root` as in `as_sweep`.

    Raises
    ------
    InputError
        It is a sweep of several frames, or a file that cannot be used.
    """
    sweep = as_sweep(spec, overrides, root=root)
    if sweep.frames > 1:
        raise InputError(
            f"is a sweep of {sweep.frames} frames, where one experiment is needed",
            source=str(spec) if isinstance(spec, str | os.PathLike) else "",
            remedy="use `distbragg sweep`, or distbragg.sweep in Python",
        )
    return sweep.frame_spec(0)


def prepare(
    spec: SpecLike, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> Prepared:
    """Resolve the base frame and plan the sweep; nothing is rendered or written.

    `root` as in `as_sweep`.

    Raises
    ------
    InputError
        The specification or a file it names cannot be used.
    PlanError
        Its sizes alone are beyond this machine.
    """
    sweep = as_sweep(spec, overrides, root=root)
    base = sweep.frame_spec(0)
    precheck_spec(base, memory_bytes())
    experiment = build_experiment(base)
    if sweep.experiment.output.labels:
        check_labels(experiment)
    return prepared_of(sweep, experiment)


def said_of(sweep: SweepSpec) -> SweepNotes:
    """Collect the notes of a sweep without planning it.

    Raises
    ------
    InputError, PlanError
        As `prepare`.
    """
    spec = sweep.frame_spec(0)
    precheck_spec(spec, memory_bytes())
    return sweep_notes(sweep, build_experiment(spec))


def prepared_of(sweep: SweepSpec, base: Experiment) -> Prepared:
    """Plan a sweep for its heaviest frame, and collect the notes of its frames.

    Parameters
    ----------
    sweep : SweepSpec
    base : Experiment
        Frame 0.
    """
    survey, plan = plan_run(sweep, base)
    check_size(base, survey.experiment, survey.heaviest)
    said = sweep_notes(sweep, base, survey.heaviest)
    return Prepared(sweep, base, survey.experiment, plan, said)


def plan_run(sweep: SweepSpec, base: Experiment) -> tuple[Survey, SweepPlan]:
    """Find the heaviest frame of a sweep, and plan the sweep for it.

    Parameters
    ----------
    sweep : SweepSpec
    base : Experiment
        Frame 0.
    """
    survey = survey_sweep(sweep, base)
    spec = sweep.experiment
    plan = plan_sweep(
        sweep.dims, survey.plan, spec.compute, spec.output, mean_share=survey.mean_share
    )
    return survey, plan


def check_labels(experiment: Experiment) -> None:
    """Refuse tables of spots where none can be made.

    Raises
    ------
    InputError
        The detector is curved.
    EnvironmentFailure
        pyarrow is missing.
    """
    check_flat(experiment.detector)
    if find_spec("pyarrow") is None:
        raise EnvironmentFailure("output.labels needs pyarrow: pip install 'distbragg[tables]'")


def check_machine(
    prepared: Prepared, *, out: Path | None = None, workers: int = 1, force: bool = False
) -> None:
    """Refuse a plan that this machine's memory, or the disk `out` lies on, cannot hold.

    `force` leaves the disk out: images compress, and quotas may grow.

    Raises
    ------
    PlanError
        Names the number to change.
    """
    compute = prepared.sweep.experiment.compute
    points = prepared.experiment.reflections.amplitude.size
    check_fits(
        prepared.plan,
        predict_peak_bytes(
            prepared.plan, grid_points=points, form=choose_form(prepared.plan, compute)
        ),
        memory_bytes=memory_limit_bytes(compute, memory_bytes(), workers),
        disk_free_bytes=None if out is None or force else free_disk_bytes(out),
    )
