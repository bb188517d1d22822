"""The state of units on their way through a cluster: attempts, blame, keys, and silence."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future

from distbragg.graph.limits import limited
from distbragg.graph.work import TaskSettings
from distbragg.plan.sweep import Form

SILENCE_S = 30.0
"""Time without any outcome after which the scheduler is asked whether anything is going on, s."""


@dataclass
class Attempt:
    """A unit that is submitted, or waits to be.

    Attributes
    ----------
    unit : int
    attempt : int
        Attempts that ended, each in an error or a death.
    deaths : int
        Of these, deaths of the worker.
    tasks : int
        Tasks it is cut into.
    not_before, submitted : float
        When it may be submitted, and was, on the monotonic clock, s.
    again : int
        Times it was submitted once more without having ended.
    """

    unit: int
    attempt: int = 0
    deaths: int = 0
    tasks: int = 1
    not_before: float = 0.0
    submitted: float = 0.0
    again: int = 0


@dataclass(frozen=True, slots=True)
class UnitCall:
    """A unit as it is sent to a worker.

    Attributes
    ----------
    time_limit_s : float
        See `graph.limits`.
    render : callable
        `Work.render_unit`.
    run : str
    unit, attempt : int
    settings : TaskSettings
    """

    time_limit_s: float
    render: Callable[[str, int, int, TaskSettings], dict[str, Any]]
    run: str
    unit: int
    attempt: int
    settings: TaskSettings

    def __call__(self) -> dict[str, Any]:
        """Render the unit and return its receipt."""
        arguments = self.run, self.unit, self.attempt, self.settings
        return limited(self.time_limit_s, self.render, *arguments)

    def __dask_tokenize__(self) -> tuple[str, int, int]:
        """Name the call: Dask would otherwise spell out every field of every unit."""
        return self.run, self.unit, self.attempt


@dataclass
class Flight:
    """The state of one `run_units` call."""

    run: str
    run_hash: str
    form: Form
    attempts: int
    fresh: Iterator[int]
    retries: deque[Attempt] = field(default_factory=deque)
    suspects: deque[Attempt] = field(default_factory=deque)
    in_flight: dict[Future[Any], Attempt] = field(default_factory=dict)
    context: Context = field(default_factory=copy_context)
    deaths: int = 0

    @property
    def suspect_flies(self) -> bool:
        """Whether a unit in flight has cost a worker before."""
        # Asked for each unit: most runs see no death, and need not go through all in flight.
        return self.deaths > 0 and any(item.deaths for item in self.in_flight.values())

    def next_attempt(self, now: float) -> Attempt | None:
        """Choose what to submit next at the time `now`; None where nothing is left, or must wait.

        A unit whose worker died shares the blame with whatever else was on that worker.
        Such suspects fly one at a time, and alone for the last attempt, so that only a
        unit that kills workers by itself is set aside for it.
        """
        if self.suspect_flies and any(self._last(item) for item in self.in_flight.values()):
            return None
        rested = self.suspects and now >= self.suspects[0].not_before
        if rested and not self.suspect_flies:
            alone = self._last(self.suspects[0])
            return None if alone and self.in_flight else self.suspects.popleft()
        if self.retries:
            return self.retries.popleft()
        unit = next(self.fresh, None)
        return None if unit is None else Attempt(unit)

    def _last(self, item: Attempt) -> bool:
        return item.deaths > 0 and item.attempt + 1 >= self.attempts


class Silence:
    """Notices that outcomes will not come, though nobody said so.

    When a worker dies with a finished unit's receipt still on it, Dask now and then neither
    computes it again nor reports an error. Nothing then runs anywhere, and waiting is in vain.
    """

    def __init__(self, patience_s: float = SILENCE_S) -> None:
        self._patience = patience_s
        self._idle_looks = 0
        self.broken()

    def broken(self) -> None:
        """Take note of an outcome."""
        self._since = time.monotonic()
        self._idle_looks = 0

    def lost_track(self, client: Client, *, served: bool) -> bool:
        """Whether it has been silent for long and no worker has anything to do, twice in a row.

        `served` says whether there are workers for all tasks; without, tasks wait rightly.
        """
        if not served or time.monotonic() - self._since < self._patience:
            return False
        self._since = time.monotonic()
        idle = not any(client.processing().values())
        self._idle_looks = self._idle_looks + 1 if idle else 0
        if self._idle_looks < 2:
            return False
        self._idle_looks = 0
        return True


def key_of(prefix: str, flight: Flight, name: str, item: Attempt) -> str:
    """Return a task's key: the run, the task, and the attempt."""
    again = f"r{item.again}" if item.again else ""
    return f"{prefix}-{flight.run_hash}-{name}-a{item.attempt}{again}"
