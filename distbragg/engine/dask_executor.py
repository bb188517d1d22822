"""The executor on dask.distributed: a bounded number of futures; `engine.policy` decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from distributed import Client, KilledWorker

from distbragg.engine.attempt import Attempt, describe_error
from distbragg.engine.context import RunContext
from distbragg.engine.dask_tasks import WORKER, Flight, TaskFailed
from distbragg.engine.dask_workers import WorkerWatch, cluster_lost
from distbragg.engine.events import PictureTaken
from distbragg.engine.executor import Executor
from distbragg.engine.policy import Policy
from distbragg.engine.work import PICTURE, WORKER_PATIENCE_S, UnitOutcome
from distbragg.plan.sweep import Form

LOOK_S: Final = 0.05
"""Time between two looks at what has ended, s. A look costs the driver about as much for sixteen
units as for one, and there is more in flight than ends meanwhile."""


@dataclass(kw_only=True)
class DaskExecutor(Executor):
    """Runs units on the workers of a Dask cluster.

    Rendering tasks ask for the worker `resources`, such as ``{"GPU": 1}``. The run gives up where
    there is no worker for `worker_patience_s`, or as soon as `trouble` says why none will come.
    """

    client: Client = field(kw_only=False)
    resources: Mapping[str, float] | None = None
    worker_patience_s: float = WORKER_PATIENCE_S
    trouble: Callable[[], str] = str

    @property
    def _pinned(self) -> bool:
        return bool(self.resources)

    def _rounds(
        self, run: RunContext, policy: Policy, form: Form
    ) -> Generator[list[UnitOutcome | None]]:
        """Keep units in flight, and let go of them however this ends."""
        flight = Flight(self.client, run, policy, self.work, self.settings, form, self.resources)
        watch = WorkerWatch(flight, self.worker_patience_s, self.trouble)
        with flight:
            while True:
                with _reaching(run):
                    watch.look()
                    flight.top_up()
                if not flight.futures and not policy.waiting:
                    return
                time.sleep(LOOK_S)
                with _reaching(run):
                    outcomes = self._collect(flight, watch) + self._end_overdue(flight, watch)
                yield outcomes

    def _collect(self, flight: Flight, watch: WorkerWatch) -> list[UnitOutcome | None]:
        """Take what has ended; return the outcomes of units that are done or set aside."""
        policy, now = flight.policy, time.monotonic()
        ended = flight.take_ended()
        if ended:
            policy.heard(now)
        elif policy.usable and not self.resources:
            # Without workers, or without one that has the resources, tasks wait rightly.
            busy = lambda: any(self.client.processing().values())  # noqa: E731
            if policy.lost_track(now, busy):
                flight.submit_again(list(flight.futures), "the cluster lost track of it")
        lost = {item: each for item, each in ended.items() if isinstance(each, KilledWorker)}
        rest = [self._settle(flight, watch, *each) for each in ended.items() if each[0] not in lost]
        return rest + self._bury(flight, watch, lost)

    def _bury(
        self, flight: Flight, watch: WorkerWatch, lost: Mapping[Attempt, KilledWorker]
    ) -> list[UnitOutcome | None]:
        """Settle what was lost with workers that died, worker by worker."""
        outcomes, now = list[UnitOutcome | None](), time.monotonic()
        while lost:
            worker = next(iter(lost.values())).last_worker
            address, at = worker.address, {*map(str, getattr(worker, "executing", ()))}
            items = [item for item, each in lost.items() if each.last_worker.address == address]
            innocent = address in watch.restarted
            outcomes += flight.policy.died(items, address, now, executing=at, innocent=innocent)
            lost = {item: each for item, each in lost.items() if item not in items}
        return outcomes

    def _settle(
        self, flight: Flight, watch: WorkerWatch, item: Attempt, result: object
    ) -> UnitOutcome | None:
        """Turn what a unit returned or raised into an outcome; None where it is tried again."""
        policy, now = flight.policy, time.monotonic()
        if isinstance(result, CancelledError):
            raise cluster_lost(flight.run, str(result))
        if isinstance(result, TaskFailed):
            watch.find(result.address)
            return policy.failed(item, result.error, result.address, now)
        if isinstance(result, Exception):  # it did not even begin, who knows where
            watch.look(at_once=True)
            return policy.failed(item, result, "", now)
        if not isinstance(result, dict):
            raise TypeError(f"a unit returns a plain dict, not {type(result)}")
        picture = result.pop(PICTURE, None)
        if picture is not None:
            policy.events.append(PictureTaken(item.unit, picture))
        return policy.succeeded(item, result.pop(WORKER), result)

    def _end_overdue(self, flight: Flight, watch: WorkerWatch) -> list[UnitOutcome | None]:
        """Take units from workers that are at them for too long, and have those restarted."""
        outcomes = []
        for address, item in watch.overdue(self.settings.time_limit_s):
            if item in flight.futures:  # no other of its tasks was found before
                flight.release([item])
                stuck = not watch.restart(address)
                outcomes.append(flight.policy.overran(item, address, stuck=stuck))
        return outcomes


@contextmanager
def _reaching(run: RunContext) -> Iterator[None]:
    """Say that the cluster was lost where it cannot be reached."""
    try:
        yield
    except (OSError, CancelledError) as error:
        raise cluster_lost(run, describe_error(error)) from error
