"""Doing what is left of a run: starting and continuing are the same thing."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from distbragg._version import __version__
from distbragg.errors import ExitStatus, InputError, RefusedError
from distbragg.graph.progress import EventCallback, RunStarted
from distbragg.graph.work import DEFAULT_ATTEMPTS, TaskSettings, UnitOutcome, Work
from distbragg.models.build import build_experiment, reflections_key
from distbragg.plan.sweep import Form, SweepPlan, choose_form
from distbragg.run.machine import usable_cores
from distbragg.run.place import Place, choose_place, open_place
from distbragg.run.prepare import plan_run
from distbragg.run.result import RunResult
from distbragg.run.signals import stop_on_terminate
from distbragg.run.status_cost import planned_costs
from distbragg.store.extension import apply_extension, pending_extension, sweep_extension
from distbragg.store.grids import load_grid, save_grid
from distbragg.store.home import run_lock
from distbragg.store.ledger import done_units, part_units, record_failure
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.scan import sweep_partial

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec

Part = tuple[int, int]

SHORTEST_TIMEOUT_S = 3600.0
SLOWEST_MACHINE = 200.0
"""How much longer than planned a unit may take: a busy, old core without the native kernel."""


class ResumeOptions(TypedDict, total=False):
    """Keyword arguments of `resume`."""

    cluster: str | ClusterSpec | None
    workers: int | None
    threads: int | None
    on_event: EventCallback | None
    part: Part | None
    form: Form | None
    window: int | None
    attempts: int
    allow_mixed: bool
    watch: bool
    unit_timeout: float | None
    work: Work | None


def resume(
    run: RunDirectory | str | Path,
    *,
    cluster: str | ClusterSpec | None = None,
    workers: int | None = None,
    threads: int | None = None,
    on_event: EventCallback | None = None,
    part: Part | None = None,
    form: Form | None = None,
    window: int | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
    allow_mixed: bool = False,
    watch: bool = True,
    unit_timeout: float | None = None,
    work: Work | None = None,
    units: Collection[int] | None = None,
) -> RunResult:
    """Render what is left of a run.

    Parameters
    ----------
    run : RunDirectory or path
    cluster : str or ClusterSpec, optional
        `serial` (this process), `local`, `local:N`, a scheduler's address, a scheduler file
        or a cluster file. Default: local workers where that pays, else this process. Local
        workers import the main script: keep its work under `if __name__ == "__main__":`.
    workers : int, optional
        Worker processes to start.
    threads : int, optional
        Kernel threads of a serial run; default: all cores. Workers of a cluster use one.
    on_event : callable, optional
        Receives the events of `graph.progress`.
    part : (i, n), optional
        Only the i-th of n static parts, 1 ≤ i ≤ n: job arrays without a scheduler.
    form : {"unit", "graph"}, optional
        Overrides `compute.form`. No bit changes.
    window : int, optional
        Most units in flight.
    attempts : int
        Attempts at a unit before it is set aside.
    allow_mixed : bool
        Let processes of another numeric class render too.
    watch : bool
        On a cluster, feed the dashboard's page, its metrics and Dask's meters.
    unit_timeout : float, optional
        Longest time of one attempt at a unit, s. Default: `default_timeout` of the plan.
    work : Work, optional
        What is done for each unit, in place of rendering: the seam of fault tests.
    units : collection of int, optional
        Look at these units alone.

    Returns
    -------
    RunResult
        Status `FAILED_FRAMES` where units were set aside; the rest is done.

    Raises
    ------
    InputError
        `run` is not a run, or its specification cannot be used.
    RefusedError
        It is in use, or belongs to another version or numeric class.
    DamageError
        The ledger contradicts itself.
    EnvironmentFailure
        No space, or the cluster was lost; the run is resumable.
    KeyboardInterrupt
        Interrupted, or terminated by the batch system; the run is resumable.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    started = time.monotonic()
    check_version(directory)
    _check_part(part)
    with stop_on_terminate(), run_lock(directory, part):
        if part is None and directory.remote is None:
            directory = finish_extension(directory)
        done = done_units(directory)
        wanted = part_units(directory, part) if units is None else sorted(units)
        todo = [unit for unit in wanted if unit not in done]
        # Other parts of the run may be at work.
        ours = None if part is None else wanted
        sweep_partial(directory, ours)
        if not todo:
            _announce(directory, todo, on_event, None)
            return _result(directory, wanted, {}, 0, started)
        plan = rebuild_plan(directory)
        chosen = form or choose_form(plan, directory.sweep.experiment.compute)
        cost = plan.mean_frame_seconds * sum(map(directory.layout.frame_count, todo))
        limit = default_timeout(plan) if unit_timeout is None else unit_timeout
        settings = TaskSettings(threads or usable_cores(), allow_mixed, watch, time_limit_s=limit)
        where = choose_place(cluster, workers, len(todo), cost)
        with open_place(
            directory, plan, where, settings, workers=workers, on_event=on_event, work=work
        ) as place:
            _announce(directory, todo, place.on_event, place)
            outcomes = place.executor.run_units(
                directory.place, todo, window=window, form=chosen, attempts=attempts
            )
            failures, rendered = _collect(directory, outcomes)
        sweep_partial(directory, ours)  # of workers that were lost on the way
    return _result(directory, wanted, failures, rendered, started)


def default_timeout(plan: SweepPlan) -> float:
    """Longest time of one attempt at a unit, s: far beyond what the slowest kernel needs.

    It decides when a unit that will never end is set aside, and nothing else.
    """
    planned = plan.frame.nominal_seconds * plan.frames_per_unit
    return max(SHORTEST_TIMEOUT_S, SLOWEST_MACHINE * planned)


def check_version(run: RunDirectory) -> None:
    """Refuse to continue a run that another version of distbragg began.

    Raises
    ------
    RefusedError
    """
    if run.manifest.version != __version__:
        raise RefusedError(
            f"{run.shown}: was created by distbragg {run.manifest.version}, this is {__version__}; "
            "continue with that version, or create a new run"
        )


def finish_extension(run: RunDirectory) -> RunDirectory:
    """Carry out the rest of an extension that was cut short; the run is held by the caller."""
    if pending_extension(run.path) is not None:
        apply_extension(run.path)
    sweep_extension(run.path)
    return open_run(run.path)


def rebuild_plan(run: RunDirectory) -> SweepPlan:
    """Plan the run again from its specification and check that the manifest says the same.

    Also makes sure that the |F| grid is there for the workers.

    Raises
    ------
    RefusedError
        The plan differs: the run belongs to another version of the program.
    """
    spec = run.frame_spec(0)
    key = reflections_key(spec)
    reflections = load_grid(run.grids, key)
    experiment = build_experiment(spec, reflections=reflections)
    if reflections is None:
        save_grid(run.grids, key, experiment.reflections)
    _, plan = plan_run(run.sweep, experiment)
    if run.lineage:
        # Units keep the shape they have: shards cannot be cut anew under frames that are there.
        plan = replace(plan, unit_shape=run.layout.unit_shape)
    plan_hash = plan.frame.plan_hash
    if plan_hash != run.manifest.plan_hash or plan.unit_shape != run.layout.unit_shape:
        raise RefusedError(
            f"{run.shown}: this program plans the run differently (plan {plan_hash[:12]}, "
            f"the run has {run.manifest.plan_hash[:12]}); create a new run"
        )
    return plan


def _collect(run: RunDirectory, outcomes: Iterator[UnitOutcome]) -> tuple[dict[int, str], int]:
    """Take all outcomes; return the reasons of failed units and the frames rendered."""
    failures: dict[int, str] = {}
    rendered = 0
    for outcome in outcomes:
        if outcome.status == "done":
            rendered += run.layout.frame_count(outcome.unit)
        else:
            failures[outcome.unit] = outcome.reason
            record_failure(run, outcome.unit, outcome.attempts, outcome.reason)
    return failures, rendered


def _announce(
    run: RunDirectory,
    todo: Sequence[int],
    on_event: EventCallback | None,
    place: Place | None,
) -> None:
    """Tell what there is to do; planned costs are worked out only where someone listens."""
    if on_event is None:
        return
    costs = planned_costs(run) if todo else np.zeros(0)
    on_event(
        RunStarted(
            units=len(todo),
            frames=sum(map(run.layout.frame_count, todo)),
            cost=float(costs[todo].sum()) if todo else 0.0,
            workers=place.workers if place else 1,
            dashboard=place.dashboard if place else "",
            frames_of=run.layout.frame_count,
            cost_of=lambda unit: float(costs[unit]),
            path=run.place,
            title=str(run.manifest.sweep["experiment"].get("title", "")),
        )
    )


def _result(
    run: RunDirectory,
    wanted: Sequence[int],
    failures: dict[int, str],
    rendered: int,
    started: float,
) -> RunResult:
    """Count what the stack holds now; this reads the ledger, not this process's memory."""
    done = done_units(run)
    frame_count = run.layout.frame_count
    complete = all(unit in done for unit in wanted)
    return RunResult(
        path=run.shown,
        frames=sum(map(frame_count, wanted)),
        done=sum(frame_count(unit) for unit in wanted if unit in done),
        failed=sum(map(frame_count, failures)),
        rendered=rendered,
        seconds=time.monotonic() - started,
        status=ExitStatus.DONE if complete else ExitStatus.FAILED_FRAMES,
        failures=failures,
    )


def _check_part(part: Part | None) -> None:
    if part is not None and not 1 <= part[0] <= part[1]:
        raise InputError(
            f"part {part[0]}/{part[1]} does not exist",
            source="--part",
            remedy="give i/N, 1 ≤ i ≤ N",
        )
