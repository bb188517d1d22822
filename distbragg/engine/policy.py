"""What is tried next, where, how often, and who is to blame where a try fails.

Plain decisions, for every executor the same: no Dask, no clock, no waiting. Times are passed in,
seconds on any clock that never goes back.

A failed try is blamed on the unit where another worker fails at it too, and on the worker where
another one succeeds. A worker that is to blame twice without a success in between is left out. So
is, at once, a worker that cannot serve at all: one of another numeric class, without distbragg, or
without room to store anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from distbragg.engine.attempt import Attempt, Worker, describe_error
from distbragg.engine.events import Event, UnitRetried, WorkerLeftOut
from distbragg.engine.work import DEFAULT_ATTEMPTS, UnitOutcome
from distbragg.errors import (
    DamageError,
    DistbraggError,
    EnvironmentFailure,
    InputError,
    RefusedError,
)

UNFIT: Final = (RefusedError, ImportError)
"""Errors of a worker that cannot render for the run: another class, another installation."""

FATAL: Final = (EnvironmentFailure, DamageError)
"""Errors that end the run where no other worker does better, or several say so of one unit."""

HOPELESS: Final = (InputError,)
"""Errors that the same unit meets at every try: a second worker is asked, and no third."""

AHEAD: Final = 512
"""Tasks submitted at least: a cluster that grows with its tasks must see what it is to grow for."""

PER_THREAD: Final = 4
"""Tasks submitted per worker thread: at work, and waiting while the driver looks elsewhere."""

MIN_UNITS: Final = 2
"""Units in flight at least: one fills the gap while the other is merged and written."""

GUILTY: Final = 2
"""Times that a worker is to blame in a row before it is left out, or might be before it waits."""

RESTART_PAUSE_S: Final = 2.0
"""Wait after a worker's death before its unit is tried again, s: a worker that dies while its
nanny is still starting it is not started once more."""

SILENCE_S: Final = 30.0
"""Time without any outcome after which the scheduler is asked whether anything is going on, s."""


class Policy:
    """Decides for one call of `run_units`, which says what `attempts` and `window` are.

    Units are taken as room arises. `limit_s` is the longest time of a task, s; 0: none. `pinned`
    says that tasks ask for resources: the scheduler then hands all of them out at once. What is
    submitted is `flying`, in this order; `left_out` goes by the name of a worker.
    """

    def __init__(
        self,
        units: Iterable[int],
        *,
        attempts: int = DEFAULT_ATTEMPTS,
        window: int | None = None,
        limit_s: float = 0.0,
        pinned: bool = False,
    ) -> None:
        self._fresh = iter(units)
        self._attempts = max(1, attempts)
        self._fixed = window
        self._limit = limit_s
        self._pinned = pinned
        self._retries: deque[Attempt] = deque()
        self._suspects: deque[Attempt] = deque()
        self.flying: dict[Attempt, None] = {}
        self._suspect: Attempt | None = None
        self._tasks = 0
        self._workers: Mapping[str, Worker] = {}
        self._met: dict[str, Worker] = {}
        self._said: dict[str, str] = {}
        self._doubts: dict[str, dict[object, set[int]]] = {}
        self._guilt: dict[str, int] = {}
        self.left_out: dict[str, WorkerLeftOut] = {}
        self.events: list[Event] = []
        self._running: dict[str, tuple[str, float]] = {}
        self._heard = 0.0
        self._idle_looks = 0

    # -- workers -------------------------------------------------------------------------------

    def meet(self, workers: Mapping[str, Worker]) -> list[Attempt]:
        """Take note of the workers there are, by address; return what none of them may do."""
        self._workers = workers
        self._met.update(workers)
        return [item for item in self.flying if item.where and not item.where & workers.keys()]

    @property
    def usable(self) -> list[str]:
        """Addresses of the workers that are not left out."""
        return [at for at, worker in self._workers.items() if worker.name not in self.left_out]

    def leave_out(self, address: str, reason: str) -> None:
        """Give this worker nothing more to do."""
        worker = self._met.get(address, Worker(1, address))
        if worker.name not in self.left_out:
            told = WorkerLeftOut(address, worker.host, reason)
            self.left_out[worker.name] = told
            self.events.append(told)

    def take_events(self) -> list[Event]:
        """Return what there is to tell since the last call."""
        events, self.events = self.events, []
        return events

    # -- what is next --------------------------------------------------------------------------

    def next(self, now: float) -> Attempt | None:
        """Choose what to submit next; None where nothing is left, there is no room, or all wait.

        A unit whose worker died shares the blame with whatever else was on that worker. Such
        suspects fly one at a time, and alone for the last try, so that only a unit that kills
        workers by itself is set aside for it.
        """
        if not self._has_room() or (self._suspect and self._is_last(self._suspect)):
            return None
        if not self._suspect and self._suspects and now >= self._suspects[0].not_before:
            if self._is_last(self._suspects[0]) and self.flying:
                return None
            self._suspect = self._suspects.popleft()
            return self._launch(self._suspect)
        if self._retries and now >= self._retries[0].not_before:
            return self._launch(self._retries.popleft())
        unit = next(self._fresh, None)
        return None if unit is None else self._launch(Attempt(unit))

    @property
    def waiting(self) -> bool:
        """Whether a unit waits to be tried again."""
        return bool(self._retries or self._suspects)

    def resubmit(self, item: Attempt, reason: str) -> None:
        """Take back what is in flight, to be submitted once more; it may run twice."""
        self._land(item)
        item.again += 1
        self._queue(item, reason)

    def cut(self, item: Attempt, keys: Sequence[str]) -> None:
        """Take note of the tasks a unit in flight consists of."""
        self._tasks += len(keys) - item.tasks
        item.tasks, item.keys = len(keys), tuple(keys)

    def _has_room(self) -> bool:
        if self._fixed:
            return len(self.flying) < self._fixed
        # What is bound to some workers, the scheduler hands out at once: whatever waits on a
        # worker shares the blame for its death, so that little should.
        threads = sum(self._workers[address].threads for address in self.usable)
        bound = self._pinned or self._barred() or self._suspects
        most = PER_THREAD * threads
        return len(self.flying) < MIN_UNITS or self._tasks < (most if bound else max(most, AHEAD))

    def _launch(self, item: Attempt) -> Attempt:
        item.where = self._where(item)
        self.flying[item] = None
        self._tasks += item.tasks
        return item

    def _land(self, item: Attempt) -> None:
        del self.flying[item]
        self._tasks -= item.tasks
        item.tasks, item.keys = 1, ()
        if item is self._suspect:
            self._suspect = None

    def _barred(self) -> set[str]:
        """Names of workers that are left out, or wait until it is known whether they are good."""
        waiting = {name for name, doubts in self._doubts.items() if len(doubts) >= GUILTY}
        return waiting | self.left_out.keys()

    def _where(self, item: Attempt) -> frozenset[str] | None:
        """Choose the workers for a try: good ones that have not failed at it, if there are any."""
        left_out, tried = set(self.left_out), {*item.blamed, *item.spared}
        for barred in (self._barred() | tried, left_out | tried, self._barred(), left_out):
            good = frozenset(at for at, one in self._workers.items() if one.name not in barred)
            if good:
                return None if len(good) == len(self._workers) else good
        return None

    def _is_last(self, item: Attempt) -> bool:
        return bool(item.hopeless) or item.number + 1 >= self._attempts

    # -- how tries end -------------------------------------------------------------------------

    def succeeded(self, item: Attempt, address: str, receipt: dict[str, object]) -> UnitOutcome:
        """Take note of a unit that is done; whoever failed at it before is to blame for that."""
        self._land(item)
        name = self._name(address)
        self._guilt.pop(name, None)
        self._doubts.pop(name, None)
        for other in dict.fromkeys(item.blamed + item.spared):
            if other != name:
                self._convict(other, item)
        return UnitOutcome(item.unit, "done", item.number + 1, receipt)

    def failed(
        self, item: Attempt, error: Exception, address: str, now: float
    ) -> UnitOutcome | None:
        """Take note of a try that raised; return the outcome where the unit is set aside.

        Raises `error`, or what to make of it, where the run cannot go on.
        """
        self._land(item)
        item.number += 1
        reason = describe_error(error)
        if isinstance(error, UNFIT + FATAL) and address in self._met:
            self.leave_out(address, reason)
            item.fatal += isinstance(error, FATAL)
            if not self.usable or item.fatal >= self._attempts:
                raise error if isinstance(error, DistbraggError) else EnvironmentFailure(reason)
            item.blamed.append(self._name(address))
            self._queue(item, reason)
            return None
        if isinstance(error, ImportError):  # of nobody knows which worker
            item.not_before = now + RESTART_PAUSE_S
        item.hopeless += isinstance(error, HOPELESS)
        return self._blame(item, address, item.unit, reason)

    def died(
        self,
        items: Sequence[Attempt],
        address: str,
        now: float,
        *,
        executing: Collection[str] = (),
        innocent: bool = False,
    ) -> list[UnitOutcome | None]:
        """Take note of all that was lost with a worker, in the order in which it was submitted.

        `executing` are the keys of the tasks that it was last known to be at. `innocent`: it was
        ended for another unit's sake.
        """
        if innocent:
            for item in items:
                self.resubmit(item, "its worker was restarted for another unit's sake")
            return [None] * len(items)
        suspect, begun = self._suspect, self._begun(items, address, executing)
        poison = any(self._others(item, address) for item in begun)
        ended = [self._lost(item, address, now, item is suspect, item in begun) for item in items]
        if poison:  # what waited is not a witness against the worker either
            self._doubts.get(self._name(address), {}).pop(address, None)
        return ended

    def _begun(
        self, items: Sequence[Attempt], address: str, executing: Collection[str]
    ) -> list[Attempt]:
        """Choose what a worker had begun, at most one for each thread: the others waited there.

        What it is not known to have been at may have begun since: the suspect first, which may
        have been submitted later than what waited behind it.
        """

        def place(item: Attempt) -> tuple[bool, bool]:
            return set(item.keys).isdisjoint(executing), item is not self._suspect

        return sorted(items, key=place)[: self._met.get(address, Worker(1, address)).threads]

    def _lost(
        self, item: Attempt, address: str, now: float, suspect: bool, begun: bool
    ) -> UnitOutcome | None:
        """Count a try that had begun; no unit is set aside for a death that others may have caused.

        What only waited becomes a suspect all the same, and is spared as often as it has tries.
        """
        spared = self._is_last(item) and not suspect
        spared = spared or (not begun and len(item.spared) < self._attempts)
        self._land(item)
        item.deaths += 1
        item.not_before = now + RESTART_PAUSE_S
        item.again += spared
        item.number += not spared
        what = "perhaps of another unit than" if spared else "while it rendered unit"
        reason = f"KilledWorker: the worker died {what} {item.unit}"
        return self._blame(item, address, address, reason, spared=spared)

    def overran(self, item: Attempt, address: str, *, stuck: bool = False) -> UnitOutcome | None:
        """Take note of a unit taken from its worker at the time limit; `stuck`: lost with it."""
        self._land(item)
        item.number += 1
        reason = f"TimeoutError: took longer than the limit of {self._limit:g} s"
        if stuck:
            self.leave_out(
                address,
                f"unit {item.unit} takes longer than the limit of {self._limit:g} s, and there is "
                "no nanny that could restart the worker",
            )
            if not self.usable:
                return UnitOutcome(item.unit, "failed", item.number, {}, reason)
        return self._blame(item, address, item.unit, reason)

    def _blame(
        self, item: Attempt, address: str, occasion: object, reason: str, *, spared: bool = False
    ) -> UnitOutcome | None:
        """Doubt the worker that failed first; acquit all where a second fails at the unit."""
        name = self._name(address)
        self._said[name] = reason
        others = self._others(item, address)
        (item.spared if spared else item.blamed).append(name)
        if others:
            for other in {name, *others}:
                self._acquit(other, item)
        elif name:
            self._doubts.setdefault(name, {}).setdefault(occasion, set()).add(item.unit)
        tries = sum(each not in self.left_out for each in item.blamed)
        untried = {self._name(at) for at in self.usable} - {*item.blamed, *item.spared}
        over = item.hopeless > 1 or (item.hopeless and not untried)
        if not spared and (tries >= self._attempts or over):
            return UnitOutcome(item.unit, "failed", item.number, {}, reason)
        self._queue(item, reason)
        return None

    def _others(self, item: Attempt, address: str) -> set[str]:
        return {*item.blamed, *item.spared} - {self._name(address)} - self.left_out.keys()

    def _queue(self, item: Attempt, reason: str) -> None:
        (self._suspects if item.deaths else self._retries).append(item)
        self.events.append(UnitRetried(item.unit, item.number, reason))

    def _convict(self, name: str, item: Attempt) -> None:
        """Blame a worker for a failure once all units that it concerned are done elsewhere."""
        doubts = self._doubts.get(name, {})
        for occasion, units in list(doubts.items()):
            units.discard(item.unit)
            if not units:
                del doubts[occasion]
                self._guilt[name] = self._guilt.get(name, 0) + 1
        guilty = self._guilt.get(name, 0) >= GUILTY
        if guilty and any(self._workers[address].name != name for address in self.usable):
            address = next(at for at, each in self._met.items() if each.name == name)
            self.leave_out(address, f"fails at units that others finish ({self._said[name]})")

    def _acquit(self, name: str, item: Attempt) -> None:
        doubts = self._doubts.get(name, {})
        kept = {occasion: units for occasion, units in doubts.items() if item.unit not in units}
        self._doubts[name] = kept

    def _name(self, address: str) -> str:
        return self._met.get(address, Worker(1, address)).name

    # -- what takes too long -------------------------------------------------------------------

    def overdue(
        self, now: float, processing: Mapping[str, Sequence[str]]
    ) -> list[tuple[str, Attempt]]:
        """Find tasks at work for longer than the limit; return each one's worker and unit.

        `processing` holds the keys of the tasks that each worker has, at work or waiting. A worker
        begins tasks in the order in which they were submitted, as many as it has threads. One that
        also works for others is let alone: what it does first is not known.
        """
        owner = {key: item for item in self.flying for key in item.keys}
        rank = {key: place for place, key in enumerate(owner)}
        found: list[tuple[str, Attempt]] = []
        running: dict[str, tuple[str, float]] = {}
        for address, keys in processing.items():
            worker = self._workers.get(address)
            if worker is None or not owner.keys() >= set(keys):
                continue
            for key in sorted(keys, key=rank.__getitem__)[: worker.threads]:
                at, since = self._running.get(key, (address, now))
                running[key] = address, since if at == address else now
                if now - running[key][1] >= self._limit:
                    found.append((address, owner[key]))
        self._running = running
        return found

    def heard(self, now: float) -> None:
        """Take note that something ended."""
        self._heard, self._idle_looks = now, 0

    def lost_track(self, now: float, is_busy: Callable[[], bool]) -> bool:
        """Whether nothing has ended for long and no worker has anything to do, twice in a row.

        When a worker dies with a finished unit's receipt still on it, Dask now and then neither
        computes it again nor reports an error. Nothing then runs anywhere, and waiting is in vain.
        """
        if now - self._heard < SILENCE_S:
            return False
        looks = 0 if is_busy() else self._idle_looks + 1
        self.heard(now)
        self._idle_looks = looks % 2
        return looks == 2
