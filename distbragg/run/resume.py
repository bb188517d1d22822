"""Doing what is left of a run, be it new: starting and continuing are the same thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from distbragg._version import __version__
from distbragg.engine import events
from distbragg.engine.context import RunContext
from distbragg.engine.work import DEFAULT_ATTEMPTS, TaskSettings, UnitFunctions, UnitOutcome
from distbragg.errors import EnvironmentFailure, ExitStatus, InputError, RefusedError
from distbragg.models.build import build_reflections, reflections_key
from distbragg.plan.sweep import Form, SweepPlan, choose_form
from distbragg.run.create import create
from distbragg.run.drawn import drawing, source_of
from distbragg.run.machine import usable_cores
from distbragg.run.place import ClientLike, ClusterLike, choose_cluster, open_executor
from distbragg.run.prepare import SpecLike, plan_units
from distbragg.run.progress import Progress, shown_progress
from distbragg.run.result import RunResult, overload_value
from distbragg.run.survey import planned_costs, survey_run
from distbragg.store.generations import apply_extension
from distbragg.store.grids import ensure_grid
from distbragg.store.layout import OVERLOADS, RECEIPTS_DIR, STATE_DIR
from distbragg.store.lease import Lease
from distbragg.store.ledger import DISPUTED, part_units, record_failure, unit_states
from distbragg.store.metadata import check_metadata
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.seal import read_seal
from distbragg.store.spots import labels_key

Part = tuple[int, int]

SHORTEST_TIMEOUT_S = 3600.0
SLOWEST_MACHINE = 200.0
"""How much longer than planned a unit may take: a busy, old core without the native kernel."""


class ResumeOptions(TypedDict, total=False):
    """Keyword arguments of `resume`."""

    cluster: ClusterLike | None
    client: ClientLike | None
    workers: int | None
    threads: int | None
    on_event: events.EventCallback | None
    part: Part | None
    form: Form | None
    window: int | None
    attempts: int
    allow_mixed: bool
    watch: bool
    unit_timeout: float | None
    work: UnitFunctions | None
    progress: Progress


def sweep(
    spec: SpecLike,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    force: bool = False,
    **options: Unpack[ResumeOptions],
) -> RunResult:
    """Create the run at `out` and render it; continue it where it was begun before.

    Parameters
    ----------
    spec, out, overrides, root, force
        As for `create`.
    **options
        Those of `resume`.

    Returns
    -------
    RunResult
        That of `resume`.

    Raises
    ------
    InputError, PlanError, RefusedError, DamageError, EnvironmentFailure
        See `create` and `resume`.
    """
    return resume(create(spec, out, overrides, root=root, force=force), **options)


def resume(
    run: RunLike,
    *,
    cluster: ClusterLike | None = None,
    client: ClientLike | None = None,
    workers: int | None = None,
    threads: int | None = None,
    on_event: events.EventCallback | None = None,
    part: Part | None = None,
    form: Form | None = None,
    window: int | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
    allow_mixed: bool = False,
    watch: bool = True,
    unit_timeout: float | None = None,
    work: UnitFunctions | None = None,
    units: Collection[int] | None = None,
    progress: Progress = "auto",
    redo: Callable[[], None] | None = None,
) -> RunResult:
    """Render what is left of a run.

    Parameters
    ----------
    run : RunDirectory or path
    cluster : str, ClusterSpec, distributed.Client or cluster object, optional
        `serial` (this process), `local`, `local:N`, a scheduler's address, a scheduler file
        or a cluster file. Default: Dask's active client where there is one, else local workers
        where that pays, else this process. Local workers import the main script: keep its work
        under `if __name__ == "__main__":`.
    client : distributed.Client or cluster object, optional
        In place of `cluster`: any client, or a cluster such as `LocalCluster`, `SLURMCluster`,
        `GatewayCluster`. A client is used as it is and stays open.
    workers : int, optional
        Worker processes to start.
    threads : int, optional
        Kernel threads of a serial run; default: all cores. Workers of a cluster use one.
    on_event : callable, optional
        Receives the events of `engine.events`.
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
    work : UnitFunctions, optional
        What is done for each unit, in place of rendering: the seam of fault tests.
    units : collection of int, optional
        Look at these units alone.
    progress : bool or "auto"
        Show progress: a bar in a notebook, a display on a terminal, lines elsewhere. `auto`: in a
        notebook and on a terminal alone.
    redo : callable, optional
        Render `units` though they may be done; called when workers are there and rendering is
        about to begin.

    Returns
    -------
    RunResult
        Status `FAILED_FRAMES` where units were set aside; the rest is done.

    Raises
    ------
    InputError
        `run` is not a run, or its specification cannot be used.
    RefusedError
        It is in use, belongs to another version or numeric class, or was drawn from a run of
        float32 that is gone.
    DamageError
        The ledger contradicts itself, or metadata of the stack or the seal are damaged.
    EnvironmentFailure
        No space, or the cluster was lost; the run is resumable.
    KeyboardInterrupt
        Interrupted, or terminated by the batch system; the run is resumable.
    """
    directory = open_run(run)
    started = time.monotonic()
    check_version(directory)
    if part is not None and not 1 <= part[0] <= part[1]:
        problem = f"part {part[0]}/{part[1]} does not exist"
        raise InputError(problem, source="--part", remedy="give i/N, 1 ≤ i ≤ N")
    with (
        shown_progress(progress, directory.objects.free_bytes) as display,
        Lease(directory.objects, part=part) as lease,
        _refusals_told(),
    ):
        on_event = events.each_of(on_event, display)
        if part is None:
            directory = finish_extension(directory)
        check_metadata(directory)
        read_seal(directory)
        states = unit_states(directory)
        wanted = part_units(directory, part) if units is None else sorted(units)
        # Which bytes of a disputed unit are right is what `repair` asks.
        left = states.done | states.disputed if units is None else states.done
        todo = [unit for unit in wanted if redo or unit not in left]
        # Other parts of the run may be at work.
        names = (labels_key, *(one.object_name for one in directory.arrays))
        keys = (name(unit) for unit in wanted for name in names)
        ours = None if part is None else frozenset(keys)
        directory.objects.sweep_partial(ours)
        execution = _Execution(directory, wanted, started)
        if not todo:
            if on_event is not None:
                on_event(execution.begins(todo, 0.0))
            return execution.result()
        if work is None and (source := source_of(directory)) is not None:
            work = drawing(source)
        plan = rebuild_plan(directory)
        chosen = form or choose_form(plan, directory.sweep.experiment.compute)
        layout = directory.layout
        cost = plan.mean_frame_seconds * sum(map(layout.frame_count, todo))
        limit = default_timeout(plan) if unit_timeout is None else unit_timeout
        settings = TaskSettings(threads or usable_cores(), allow_mixed, watch, time_limit_s=limit)
        where = choose_cluster(cluster, client, workers, len(todo), cost)
        with open_executor(
            where,
            settings,
            workers=workers,
            on_event=on_event,
            work=work,
            run=directory,
            plan=plan,
        ) as executor:
            if redo is not None:
                redo()
            told = executor.on_event is not None
            costs = planned_costs(directory) if told else np.zeros(layout.units)
            cost = float(costs[todo].sum())
            executor.tell(execution.begins(todo, cost, executor.workers, executor.dashboard))
            outcomes = executor.run_units(
                RunContext.of(directory), todo, window=window, form=chosen, attempts=attempts
            )
            with closing(outcomes):
                for outcome in outcomes:
                    lease.check()
                    frames = execution.take(outcome)
                    executor.tell(events.UnitFinished(outcome, frames, float(costs[outcome.unit])))
        directory.objects.flush(f"{STATE_DIR}/{RECEIPTS_DIR}/")
        directory.objects.sweep_partial(ours)  # of workers that were lost on the way
    return execution.result(executor.left_out)


@contextmanager
def _refusals_told() -> Iterator[None]:
    """Blame the place, not the path: this process has just written to the run that it holds."""
    try:
        yield
    except PermissionError as error:
        line = f"{error.filename}: {error.strerror}; make it writable and continue"
        raise EnvironmentFailure(line) from error


class _Execution:
    """What becomes of the units that an execution is asked for."""

    def __init__(self, run: RunDirectory, wanted: Sequence[int], started: float) -> None:
        self._run, self._wanted, self._started = run, wanted, started
        self._failures: dict[int, str] = {}
        self._rendered = self._overloads = 0

    def begins(
        self, todo: Sequence[int], cost: float, workers: int = 1, dashboard: str = ""
    ) -> events.RunStarted:
        """Return the event that tells what is to be done."""
        frames = sum(map(self._run.layout.frame_count, todo))
        title = str(self._run.manifest.sweep["experiment"].get("title", ""))
        return events.RunStarted(len(todo), frames, cost, workers, dashboard, self._run.url, title)

    def take(self, outcome: UnitOutcome) -> int:
        """Count an outcome, and record a failure; return how many frames it is of."""
        frames = self._run.layout.frame_count(outcome.unit)
        if outcome.status == "done":
            self._rendered += frames
            self._overloads += sum(outcome.receipt.get(OVERLOADS, ()))
        else:
            self._failures[outcome.unit] = outcome.reason
            record_failure(self._run, outcome.unit, outcome.attempts, outcome.reason)
        return frames

    def result(self, left_out: Iterable[events.WorkerLeftOut] = ()) -> RunResult:
        """Count what the stack holds now; this reads the ledger, not this process's memory."""
        states, frame_count = unit_states(self._run), self._run.layout.frame_count
        disputed = dict.fromkeys(states.disputed.intersection(self._wanted), DISPUTED)
        failures = {**disputed, **self._failures}
        complete = states.done.issuperset(self._wanted)
        return RunResult(
            path=self._run.url,
            frames=sum(map(frame_count, self._wanted)),
            done=sum(frame_count(unit) for unit in self._wanted if unit in states.done),
            failed=sum(map(frame_count, failures)),
            rendered=self._rendered,
            overloads=self._overloads,
            overload_value=overload_value(self._run) if self._overloads else None,
            seconds=time.monotonic() - self._started,
            status=ExitStatus.DONE if complete else ExitStatus.FAILED_FRAMES,
            failures=failures,
            left_out=tuple(left_out),
        )


def default_timeout(plan: SweepPlan) -> float:
    """Longest time of one attempt at a unit, s: far beyond what the slowest kernel needs."""
    planned = plan.frame.nominal_seconds * (1 + plan.map_passes) * plan.frames_per_unit
    return max(SHORTEST_TIMEOUT_S, SLOWEST_MACHINE * planned)


def check_version(run: RunDirectory) -> None:
    """Refuse to continue a run that another version of distbragg began."""
    if run.manifest.version != __version__:
        raise RefusedError(
            f"{run.url}: was created by distbragg {run.manifest.version}, this is {__version__}; "
            "continue with that version, or create a new run"
        )


def finish_extension(run: RunDirectory) -> RunDirectory:
    """Carry out the rest of an extension that was cut short; the run is held by the caller."""
    return open_run(run.url) if apply_extension(run) else run


def rebuild_plan(run: RunDirectory) -> SweepPlan:
    """Plan the run again, refuse another plan than the manifest's, and ensure the |F| grid."""
    spec = run.sweep.frame_spec(0)
    ensure_grid(run.objects, reflections_key(spec), lambda: build_reflections(spec))
    # Units keep the shape they have: shards cannot be cut anew under frames that are there.
    shape = run.layout.unit_shape
    plan = replace(plan_units(run.sweep, survey_run(run)), unit_shape=shape)
    plan_hash = plan.frame.plan_hash
    if plan_hash != run.manifest.plan_hash:
        raise RefusedError(
            f"{run.url}: this program plans the run differently (plan {plan_hash[:12]}, "
            f"the run has {run.manifest.plan_hash[:12]}); create a new run"
        )
    return plan
