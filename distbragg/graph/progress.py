"""Events of a run, and the rates and estimates derived from them. Plain objects, no display."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from distbragg.graph.work import UnitOutcome
from distbragg.graph.worker_time import WorkerTimes

RECENT_S: Final = 120.0
"""Span of the recent rate, s; longer where it would hold fewer than `RECENT_UNITS` units."""

RECENT_UNITS: Final = 8

RECENT_STEP_S: Final = 0.5
"""Moments closer than this are one, so that fast units do not fill the memory."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins or continues.

    Attributes
    ----------
    units, frames : int
        Left to do.
    cost : float
        Planned cost left, nominal s.
    workers : int
    dashboard : str
        Address of the dashboard; empty where there is none.
    frames_of, cost_of : callable, optional
        Frames and planned cost of a unit; an equal share each where not given.
    path, title : str
        Of the run.
    """

    units: int
    frames: int
    cost: float
    workers: int
    dashboard: str = ""
    frames_of: Callable[[int], int] | None = None
    cost_of: Callable[[int], float] | None = None
    path: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class TileFinished:
    """A tile of a frame rendered in this process."""

    unit: int
    frame: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class UnitRetried:
    """A unit failed and is tried again as attempt number `attempt`."""

    unit: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class UnitFinished:
    """A unit is done, or set aside."""

    outcome: UnitOutcome


@dataclass(frozen=True, slots=True)
class WorkersChanged:
    """The number of workers changed."""

    workers: int


@dataclass(frozen=True, slots=True)
class PictureTaken:
    """A worker made a thumbnail of a frame of this unit; see `graph.thumbnail`."""

    unit: int
    picture: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobsSubmitted:
    """A batch system took the jobs of these numbers; their workers come when it likes."""

    kind: str
    numbers: tuple[str, ...]


Event = (
    RunStarted
    | TileFinished
    | UnitRetried
    | UnitFinished
    | WorkersChanged
    | PictureTaken
    | JobsSubmitted
)
EventCallback = Callable[[Event], None]


@dataclass
class ProgressTracker:
    """Counts, rates, time left and the share of time outside the kernel, from events.

    Parameters
    ----------
    started : RunStarted
        What there is to do. Time left is weighted by planned cost, since frames of a sweep may
        differ in cost.
    clock : callable
        Monotonic seconds.
    """

    started: RunStarted
    clock: Callable[[], float] = time.monotonic
    frames_done: int = 0
    frames_failed: int = 0
    units_done: int = 0
    units_failed: int = 0
    cost_done: float = 0.0
    steps_done: int = 0
    bytes_done: int = 0
    retries: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    times: WorkerTimes = field(default_factory=WorkerTimes)

    def __post_init__(self) -> None:
        self.workers = self.started.workers
        self._began = self.clock()
        self._recent: deque[tuple[float, int, float, int]] = deque()
        self._recent.append((self._began, 0, 0.0, 0))

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, UnitFinished):
            self._finish(event.outcome)
        elif isinstance(event, UnitRetried):
            self.retries += 1
        elif isinstance(event, WorkersChanged):
            self.workers = event.workers

    @property
    def frames(self) -> int:
        """Frames there were to do."""
        return self.started.frames

    @property
    def frames_left(self) -> int:
        """Frames neither done nor set aside."""
        return max(0, self.frames - self.frames_done - self.frames_failed)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return max(0.0, self.clock() - self._began)

    @property
    def frames_per_s(self) -> float:
        """Frames finished per second of late; 0 before the first."""
        return self._recent_rate(1)

    @property
    def steps_per_s(self) -> float:
        """Steps (pixel × sub-pixel × source × phi × domain) rendered per second of late."""
        return self._recent_rate(3)

    @property
    def eta_s(self) -> float:
        """Seconds left, weighted by planned cost, at the pace of late; infinite at first."""
        if not self.frames_left:
            return 0.0
        pace = self._recent_rate(2)
        return max(0.0, self.started.cost - self.cost_done) / pace if pace > 0 else float("inf")

    @property
    def outside_kernel(self) -> float | None:
        """Share of the workers' time outside the kernel, 0 to 1; None before the first unit.

        A worker's time runs from the start of its first unit to the end of its last. Where
        kernels ran in other processes than those that wrote (the graph form), it is all
        workers' time since the start.
        """
        kernel, wall = self.times.kernel, self.times.wall
        if kernel > wall:
            wall = self.elapsed_s * max(1, self.workers)
        return min(1.0, max(0.0, 1.0 - kernel / wall)) if wall > 0 else None

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data; what is unknown is None."""
        eta = self.eta_s
        return {
            "frames": self.frames,
            "frames_done": self.frames_done,
            "frames_failed": self.frames_failed,
            "units_done": self.units_done,
            "units_failed": self.units_failed,
            "elapsed_s": round(self.elapsed_s, 3),
            "frames_per_s": self.frames_per_s,
            "steps_per_s": self.steps_per_s,
            "eta_s": None if eta == float("inf") else round(eta, 3),
            "workers": self.workers,
            "retries": self.retries,
            "outside_kernel": self.outside_kernel,
        }

    def _finish(self, outcome: UnitOutcome) -> None:
        started, unit = self.started, outcome.unit
        share = started.cost / started.units if started.units else 0.0
        frames = started.frames_of(unit) if started.frames_of else 1
        self.cost_done += started.cost_of(unit) if started.cost_of else share
        if outcome.status == "failed":
            self.units_failed += 1
            self.frames_failed += frames
            self.failures[failure_kind(outcome.reason)] += 1
        else:
            receipt = outcome.receipt
            self.units_done += 1
            self.frames_done += frames
            self.steps_done += int(receipt.get("steps", 0))
            self.bytes_done += int(receipt.get("size", 0))
            if "pid" in receipt:
                self.times.add(receipt)
        self._remember()

    def _remember(self) -> None:
        recent, now = self._recent, self.clock()
        if len(recent) > 1 and now - recent[-2][0] < RECENT_STEP_S:
            recent.pop()
        recent.append((now, self.frames_done, self.cost_done, self.steps_done))
        while len(recent) > RECENT_UNITS and now - recent[1][0] > RECENT_S:
            recent.popleft()

    def _recent_rate(self, column: int) -> float:
        first, last = self._recent[0], self._recent[-1]
        seconds = self.clock() - first[0]
        return float(last[column] - first[column]) / seconds if seconds > 0 else 0.0


def each_of(*listeners: EventCallback | None) -> EventCallback | None:
    """Return one listener that tells every one given, in order; None where there is none."""
    present = [listener for listener in listeners if listener is not None]

    def tell(event: Event) -> None:
        for listener in present:
            listener(event)

    return tell if present else None


def failure_kind(reason: str) -> str:
    """Shorten a reason to its kind, the error's class: what failures are counted by."""
    found = re.match(r"[A-Za-z_][\w.]*(?=:)", reason)
    return found.group(0) if found else "other"
