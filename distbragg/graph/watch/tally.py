"""What the scheduler knows of a run: counts folded from posted news, of bounded size."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypedDict

from distbragg.graph.worker_time import WorkerTimes

UNIT_SECONDS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Upper bounds of the histogram of a unit's seconds."""

PARTS: Final = ("kernel", "storage", "other")
"""What workers' time within units is spent on."""

BINS: Final = 240
"""Most points of the throughput's history; twice as long bins replace them beyond that."""

RUNS_KEPT: Final = 8
"""Runs a scheduler remembers: those with the latest news."""

FAILURES_KEPT: Final = 20
"""Failures a run's page lists, the latest."""


class News(TypedDict, total=False):
    """What the driver of a run posts: plain data of what happened since the last post.

    Attributes
    ----------
    run : str
        12 hex digits of the run's identity.
    path, title : str
    state : {"running", "ended", "stopped"}
    client : str
        The driver's name on the scheduler.
    begin : bool
        This execution's first news.
    receipts : list of dict
        Of units done since, only the fields that are counted.
    failures, retries : list of (unit, kind, reason)
    progress : dict
        `ProgressTracker.to_plain`.
    disk_free : int or None
    picture : dict or None
        See `graph.thumbnail`.
    """

    run: str
    path: str
    title: str
    state: str
    client: str
    begin: bool
    receipts: list[dict[str, Any]]
    failures: list[tuple[int, str, str]]
    retries: list[tuple[int, str, str]]
    progress: dict[str, Any]
    disk_free: int | None
    picture: dict[str, Any] | None


@dataclass
class History:
    """Frames and steps over time, in at most `BINS` bins of equal length.

    Attributes
    ----------
    begin : float
        Start of the first bin, s since the epoch.
    width : float
        Length of a bin, s; doubled as often as needed.
    frames, steps : list of float
    """

    begin: float
    width: float = 2.0
    frames: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def add(self, start: float, end: float, frames: float, steps: float) -> None:
        """Spread an amount evenly over the time it was worked on."""
        start, end = max(start - self.begin, 0.0), max(end - self.begin, 0.0)
        while end >= self.width * BINS:
            self._coarsen()
        first, last = int(start / self.width), int(end / self.width)
        for values in (self.frames, self.steps):
            values.extend([0.0] * (last + 1 - len(values)))
        length = max(end - start, 1e-9)
        for place in range(first, last + 1):
            low, high = place * self.width, (place + 1) * self.width
            share = (min(end, high) - max(start, low)) / length if first < last else 1.0
            self.frames[place] += share * frames
            self.steps[place] += share * steps

    def rates(self, until: float) -> tuple[list[float], list[float], list[float]]:
        """Return the middle of each whole bin, s since the begin, its frames/s and steps/s."""
        whole = min(len(self.frames), max(1, int((until - self.begin) / self.width)))
        places = [(place + 0.5) * self.width for place in range(whole)]
        frames = [value / self.width for value in self.frames[:whole]]
        return places, frames, [value / self.width for value in self.steps[:whole]]

    def _coarsen(self) -> None:
        self.width *= 2.0
        self.frames = _pairs(self.frames)
        self.steps = _pairs(self.steps)


class FailedAttempt(NamedTuple):
    """An attempt at a unit that failed, and what was done then: tried again, or set aside."""

    time: float
    unit: int
    fate: str
    reason: str


@dataclass
class RunTally:
    """Counts of one run on this scheduler, over all executions that posted to it.

    Attributes
    ----------
    run, path, title, state, client : str
    frames, steps, bytes : int
        Rendered and stored.
    failures, retries : Counter
        Units set aside, and failed attempts that were followed by another, by kind of error.
    unit_seconds : list of int
        Units by the seconds they took: one count for each bound of `UNIT_SECONDS`, one beyond.
    unit_seconds_sum : float
    seconds : dict of str to float
        Workers' seconds within units, by what they were spent on.
    times : WorkerTimes
        The same by process, of the present execution.
    recent : deque of FailedAttempt
        The latest.
    progress : dict
        Of the latest news: see `ProgressTracker.to_plain`.
    """

    run: str
    clock: Callable[[], float] = time.time
    path: str = ""
    title: str = ""
    state: str = "running"
    client: str = ""
    frames: int = 0
    steps: int = 0
    bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    unit_seconds: list[int] = field(default_factory=lambda: [0] * (len(UNIT_SECONDS) + 1))
    unit_seconds_sum: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    times: WorkerTimes = field(default_factory=WorkerTimes)
    recent: deque[FailedAttempt] = field(default_factory=lambda: deque(maxlen=FAILURES_KEPT))
    progress: dict[str, Any] = field(default_factory=dict)
    disk_free: int | None = None
    picture: dict[str, Any] | None = None
    last_unit: float = 0.0

    def __post_init__(self) -> None:
        self.posted = self.clock()
        self.history = History(self.posted)

    def take(self, news: News) -> None:
        """Fold in what was posted."""
        self.posted = self.clock()
        if news.get("begin"):
            # The pause since the last execution is no time of work.
            self.history = History(self.posted)
            self.times = WorkerTimes()
        self.path, self.title = news.get("path", self.path), news.get("title", self.title)
        self.state = news.get("state", self.state)
        self.client = news.get("client", self.client)
        self.progress = news.get("progress", self.progress)
        self.disk_free = news.get("disk_free", self.disk_free)
        self.picture = news.get("picture") or self.picture
        for receipt in news.get("receipts", ()):
            self._count(receipt)
        told = (
            (self.failures, "set aside", news.get("failures")),
            (self.retries, "tried again", news.get("retries")),
        )
        for kinds, fate, events in told:
            for unit, kind, reason in events or ():
                kinds[kind] += 1
                self.recent.append(FailedAttempt(self.posted, unit, fate, reason))

    def eta_s(self) -> float | None:
        """Seconds left by now; None where unknown."""
        eta = self.progress.get("eta_s")
        if eta is None or self.state != "running":
            return 0.0 if self.state == "ended" else None
        return max(0.0, float(eta) - (self.clock() - self.posted))

    def settled(self) -> float:
        """Moment up to which the history is whole, s since the epoch.

        What units in flight are worth is known when they end; it then counts over the time
        they took.
        """
        if self.state != "running":
            return max(self.last_unit, self.history.begin)
        units = sum(self.unit_seconds)
        return self.clock() - (self.unit_seconds_sum / units if units else 0.0)

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data, without the picture."""
        return {
            "run": self.run,
            "path": self.path,
            "title": self.title,
            "state": self.state,
            "frames": self.frames,
            "pixel_steps": self.steps,
            "bytes": self.bytes,
            "failures": dict(self.failures),
            "retries": dict(self.retries),
            "eta_s": self.eta_s(),
            "seconds": dict(self.seconds),
            "disk_free_bytes": self.disk_free,
            "progress": self.progress,
        }

    def _count(self, receipt: Mapping[str, Any]) -> None:
        # A scheduler's own clock places the work: those of drivers and workers may differ.
        busy = float(receipt["render_seconds"]) + float(receipt["write_seconds"])
        frames, steps = int(receipt["frames"]), int(receipt["steps"])
        end = self.posted - max(0.0, float(receipt.get("age", 0.0)))
        self.frames += frames
        self.steps += steps
        self.bytes += int(receipt["size"])
        self.unit_seconds[bisect_left(UNIT_SECONDS, busy)] += 1
        self.unit_seconds_sum += busy
        self.last_unit = max(self.last_unit, end)
        self.times.add(receipt)
        kernel, storage = float(receipt["kernel_seconds"]), float(receipt["write_seconds"])
        spent = (kernel, storage, max(0.0, busy - kernel - storage))
        for part, seconds in zip(PARTS, spent, strict=True):
            self.seconds[part] += seconds
        self.history.add(end - busy, end, frames, steps)


class Tallies:
    """The runs a scheduler knows, those with the latest news last."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._runs: OrderedDict[str, RunTally] = OrderedDict()

    def take(self, news: News) -> RunTally:
        """Fold in what a driver posted."""
        run = news["run"]
        tally = self._runs.get(run) or RunTally(run, self._clock)
        self._runs[run] = tally
        self._runs.move_to_end(run)
        while len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        tally.take(news)
        return tally

    def all(self) -> tuple[RunTally, ...]:
        """Return the runs, the one with the latest news last."""
        return tuple(self._runs.values())

    def lose(self, client: str) -> None:
        """Mark the runs of a driver that went away without a word as stopped."""
        for tally in self._runs.values():
            if tally.client == client and tally.state == "running":
                tally.state = "stopped"

    def latest(self) -> RunTally | None:
        """Return the run with the latest news."""
        return next(reversed(self._runs.values()), None)


def _pairs(values: list[float]) -> list[float]:
    return [sum(values[place : place + 2]) for place in range(0, len(values), 2)]
