"""The executor on dask.distributed: a bounded window of futures, own retries, no graph.

A million units never make a million-task graph: only the window is known to the client
and the scheduler, and every future is released as soon as its receipt has arrived.
"""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import nullcontext
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, Future, KilledWorker, as_completed, span
from distributed.comm.core import CommClosedError

from distbragg.errors import EnvironmentFailure
from distbragg.graph.cluster import WORKER_PATIENCE_S
from distbragg.graph.device import RESOURCE
from distbragg.graph.flight import Attempt, Flight, Silence
from distbragg.graph.progress import (
    Event,
    EventCallback,
    PictureTaken,
    UnitFinished,
    UnitRetried,
    WorkersChanged,
)
from distbragg.graph.sites.local import LOOPBACK
from distbragg.graph.submit import Submitter
from distbragg.graph.window import Window
from distbragg.graph.work import (
    DEFAULT_ATTEMPTS,
    FATAL,
    HOPELESS,
    PICTURE,
    TaskSettings,
    UnitOutcome,
    Work,
    default_work,
    describe_error,
)
from distbragg.plan.sweep import Form

RESTART_PAUSE_S = 2.0
"""Wait after a worker's death before its unit is tried again, s: a worker that dies while its
nanny is still starting it is not started once more."""

FETCH_S = 10.0
"""Longest wait for the receipts of units that have ended, s: a worker may have died with them."""

_POLL_S = 0.1
_WATCH_S = 2.0
_UNDECIDED = ("pending", "finished", "lost")


class DaskExecutor:
    """Runs units on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    settings : TaskSettings
    resources : mapping of str, optional
        Worker resources that rendering tasks ask for, such as ``{"GPU": 1}``.
    work : Work, optional
        Rendering where not given.
    on_event : callable, optional
        Receives the events of `graph.progress`.
    worker_patience_s : float
        Longest time without any worker before the run gives up, s.
    trouble : callable, optional
        Says why no worker will come; the run then gives up at once.
    """

    def __init__(
        self,
        client: Client,
        settings: TaskSettings | None = None,
        *,
        resources: Mapping[str, float] | None = None,
        work: Work | None = None,
        on_event: EventCallback | None = None,
        worker_patience_s: float = WORKER_PATIENCE_S,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._client = client
        self._settings = settings or TaskSettings()
        self._work = work or default_work()
        self._submitter = Submitter(client, self._work, self._settings, resources)
        self._any_worker_serves = not resources
        self._on_event = on_event
        self._patience = worker_patience_s
        self._trouble = trouble
        self._workers = -1
        self._threads = 0
        self._watched = float("-inf")
        self._silence = Silence()
        self._alone_since: float | None = None

    def run_units(
        self,
        run: str,
        units: Iterable[int],
        *,
        window: int | None = None,
        form: Form = "unit",
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Iterator[UnitOutcome]:
        """Run `units` and yield outcomes as they end; see `Executor.run_units`.

        Whatever ends the iteration (an error, an interrupt, the caller) cancels what is
        in flight; a unit is whole or not there, so the run stays resumable.
        """
        flight = Flight(
            run=run,
            run_hash=self._work.run_hash(run),
            form=form,
            attempts=max(1, attempts),
            fresh=iter(units),
        )
        # A run's tasks and their metrics stand under one name on the dashboard. The span is
        # entered in a context of the flight's own: a generator must not leave its caller's
        # changed between two outcomes.
        tagged = span("distbragg", flight.run_hash) if self._settings.watch else nullcontext()
        flight.context.run(tagged.__enter__)
        completed = as_completed(loop=self._client.loop)
        room = Window(window)
        try:
            while True:
                self._watch_workers(run)
                self._top_up(flight, completed, room)
                if not flight.in_flight:
                    if not flight.suspects:
                        return
                    time.sleep(_POLL_S)
                for outcome in self._collect(flight, completed, room):
                    self._tell(UnitFinished(outcome))
                    yield outcome
        except (CommClosedError, CancelledError, TimeoutError) as error:
            raise self._lost(run, describe_error(error)) from error
        finally:
            flight.context.run(tagged.__exit__, None, None, None)
            self._abandon(flight, completed)

    def _top_up(self, flight: Flight, completed: as_completed, room: Window) -> None:
        """Submit as many units as there is room for, those of one form in one message."""
        now = time.monotonic()
        batch: list[Attempt] = []
        units = len(flight.in_flight)
        tasks = sum(item.tasks for item in flight.in_flight.values())
        while room.has_room(units, tasks, self._threads):
            item = flight.next_attempt(now)
            if item is None:
                break
            item.submitted = now
            if flight.form == "unit" and not item.deaths:
                batch.append(item)
            else:  # the choice of what follows depends on what is cut up, or suspect
                self._launch(flight, completed, [item])
            units, tasks = units + 1, tasks + item.tasks
        if batch:
            self._launch(flight, completed, batch)

    def _launch(self, flight: Flight, completed: as_completed, items: list[Attempt]) -> None:
        futures = self._submitter.submit(flight, items)
        flight.in_flight.update(zip(futures, items, strict=True))
        self._in_loop(completed.update, futures)

    def _collect(
        self, flight: Flight, completed: as_completed, room: Window
    ) -> Iterator[UnitOutcome]:
        while flight.in_flight and not completed.has_ready():
            with completed.thread_condition:
                completed.thread_condition.wait(timeout=_POLL_S)
            self._watch_workers(flight.run)
            if self._lost_track():
                self._fly_again(flight)
                return
        room.rest()
        ended = [
            future for future in completed.next_batch(block=False) if future in flight.in_flight
        ]
        receipts = self._fetch(flight, ended)
        room.took(len(ended), len(flight.in_flight))
        settled: list[Future[Any]] = []
        try:
            for future in ended:
                result = receipts.get(future.key)
                if result is None and future.status in _UNDECIDED:
                    completed.add(future)  # its receipt was lost with a worker; it is made again
                    continue
                self._silence.broken()
                settled.append(future)
                deaths = flight.deaths
                outcome = self._settle(flight, flight.in_flight.pop(future), future, result)
                if flight.deaths > deaths:
                    room.died()
                if outcome is not None:
                    yield outcome
        finally:
            self._in_loop(_release, settled)
        if not settled and self._lost_track():
            self._fly_again(flight)

    def _fetch(self, flight: Flight, ended: list[Future[Any]]) -> dict[str, Any]:
        """Fetch what finished units return, in one message; less what is on no worker any more."""
        finished = {future.key: future for future in ended if future.status == "finished"}
        if not finished:
            return {}
        gather = partial(self._client.gather, finished, errors="skip", asynchronous=True)
        try:
            found: dict[str, Any] = self._client.sync(gather, callback_timeout=FETCH_S)
        except TimeoutError:
            self._watch_workers(flight.run)
            return {}
        return found

    def _in_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that sends the event loop a message for each future from there.

        From this thread every such message would wake the loop by a system call.
        """
        loop = self._client.loop
        if loop is not None:
            loop.add_callback(function, *arguments)

    def _lost_track(self) -> bool:
        # Without workers, or without one that has the resources, tasks wait rightly.
        served = self._workers > 0 and self._any_worker_serves
        return self._silence.lost_track(self._client, served=served)

    def _fly_again(self, flight: Flight) -> None:
        """Submit what is in flight once more, under other keys; it may run twice."""
        self._in_loop(_release, list(flight.in_flight))
        for item in flight.in_flight.values():
            item.again += 1
            flight.retries.append(item)
            self._tell(UnitRetried(item.unit, item.attempt, "the cluster lost track of it"))
        flight.in_flight.clear()

    def _settle(
        self, flight: Flight, item: Attempt, future: Future[Any], result: object
    ) -> UnitOutcome | None:
        """Turn a finished future into an outcome; None where the unit is tried again."""
        if result is not None:
            if not isinstance(result, dict):
                raise TypeError(f"a unit returns a plain dict, not {type(result)}")
            picture = result.pop(PICTURE, None)
            if picture is not None:
                self._tell(PictureTaken(item.unit, picture))
            return UnitOutcome(item.unit, "done", item.attempt + 1, result)
        error = future.exception() if future.status == "error" else None
        if not isinstance(error, Exception):
            raise self._lost(flight.run, f"unit {item.unit} was {future.status}")
        if isinstance(error, FATAL):
            raise error
        item.attempt += 1
        reason = describe_error(error)
        if isinstance(error, KilledWorker):
            item.deaths += 1
            flight.deaths += 1
            item.not_before = time.monotonic() + RESTART_PAUSE_S
            reason = f"KilledWorker: the worker died while it rendered unit {item.unit}"
            limit = self._settings.time_limit_s
            if limit and time.monotonic() - item.submitted >= limit:
                reason += f", or took longer than the limit of {limit:g} s"
        if item.attempt >= flight.attempts or isinstance(error, HOPELESS):
            return UnitOutcome(item.unit, "failed", item.attempt, {}, reason)
        (flight.suspects if item.deaths else flight.retries).append(item)
        self._tell(UnitRetried(item.unit, item.attempt, reason))
        return None

    def _tell(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def _watch_workers(self, run: str) -> None:
        """Follow the number of workers; give up when there has been none for too long."""
        if self._client.status not in {"running", "connecting"}:
            raise self._lost(run, f"the client is {self._client.status}")
        now = time.monotonic()
        if now - self._watched < _WATCH_S:
            return
        self._watched = now
        try:
            threads = self._client.nthreads()
        except (OSError, ValueError) as error:
            raise self._lost(run, describe_error(error)) from error
        self._threads = sum(threads.values())
        if len(threads) != self._workers:
            self._workers = len(threads)
            self._tell(WorkersChanged(self._workers))
        if threads:
            self._alone_since = None
        elif trouble := self._trouble():
            raise self._lost(run, trouble)
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since > self._patience:
            raise self._lost(run, f"no worker for {self._patience:.0f} s")

    def _lost(self, run: str, what: str) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"the cluster was lost ({what}); finished units are kept: continue with "
            f"`distbragg resume {run}`"
        )

    def _abandon(self, flight: Flight, completed: as_completed) -> None:
        """Let go of what is in flight.

        Released, not cancelled: the scheduler drops a released task just the same, and a
        cancellation still under way would hit the same keys of a run that is resumed at once.
        """
        completed.clear()
        self._in_loop(_release, list(flight.in_flight))
        flight.in_flight.clear()


def _release(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.release()


def dashboard_link(client: Client) -> str:
    """Return the address of the cluster's dashboard; empty where it has none.

    A scheduler of this process may be reached from other machines; its dashboard is not. A
    site's template for the link may name a variable that is not set here: then there is no link.
    """
    try:
        link = str(client.dashboard_link or "")
    except KeyError:
        return ""
    host = urlsplit(link).hostname
    return link.replace(host, LOOPBACK, 1) if client.cluster is not None and host else link


def gpu_resources(client: Client) -> dict[str, float] | None:
    """Return what rendering tasks are to ask for: a GPU where any worker declares one.

    A scheduler that somebody else started may have GPU workers that declare nothing; tasks then
    ask for nothing, and go anywhere.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    declared = any(worker.get("resources", {}).get(RESOURCE, 0) >= 1 for worker in workers)
    return {RESOURCE: 1} if declared else None


def worker_count(client: Client) -> int:
    """Count the workers there are now; `scheduler_info` lists five at most."""
    return len(client.nthreads())
