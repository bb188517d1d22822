"""How far a run is, how fast it goes and how long it still takes, from its events."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from distbragg.engine import events

PROCESSES_KEPT: Final = 512
"""Processes that are known by name; those that ended longest ago are only summed up."""

BINS: Final = 240
"""Most points of the throughput's history; twice as long bins replace them beyond that."""

PARTS: Final = ("kernel", "storage", "other", "waiting")  # what a process's time is spent on

RECENT_S: Final = 120.0
"""Span of the recent rate, s; longer where it would hold fewer than `RECENT_UNITS` units."""

RECENT_UNITS: Final = 8

RECENT_STEP_S: Final = 0.5
"""Moments closer than this are one, so that fast units do not fill the memory."""

UNIT_SECONDS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Upper bounds of the histogram of a unit's seconds; one count more lies beyond."""

DISK_INTERVAL_S: Final = 5.0  # seconds between two looks at the room left on disk
FAILURES_KEPT: Final = 20  # failed attempts that are listed, the latest
KERNEL: Final = "render-kernel"
SECONDS: Final = (KERNEL, "render-other", "encode", "write", "verify")
"""Labels of times, as the dashboard shows them: a unit's time but for what Dask adds."""

COUNTS: Final = ("frames", "pixel-steps")
BYTES: Final = ("bytes-raw", "bytes-stored")


def unit_numbers(receipt: Mapping[str, Any], raw_bytes: int = 0) -> dict[str, float]:
    """Split a stored unit's time and sizes by the labels above; `raw_bytes` are its pixels."""
    kernel = float(receipt["kernel_seconds"])
    encode, verify = float(receipt["encode_seconds"]), float(receipt["verify_seconds"])
    beside: Mapping[str, Any] = receipt.get("maps") or {}
    return {
        KERNEL: kernel,
        "render-other": max(0.0, float(receipt["render_seconds"]) - kernel),
        "encode": encode,
        "write": max(0.0, float(receipt["write_seconds"]) - encode - verify),
        "verify": verify,
        "frames": int(receipt["frames"]),
        "pixel-steps": int(receipt["steps"]),
        "bytes-raw": raw_bytes,
        "bytes-stored": sum(int(one["size"]) for one in (receipt, *beside.values())),
    }


class UnitSpan(NamedTuple):
    """One unit's time of work, from its receipt: when (s since the epoch), where, what (s)."""

    unit: int
    start: float
    end: float
    process: str
    frames: int
    steps: int
    size: int
    kernel: float
    storage: float

    @classmethod
    def of(cls, unit: int, receipt: Mapping[str, Any]) -> Self:
        """Read a receipt; numbers that it does not state count nothing."""
        storage = max(0.0, float(receipt.get("write_seconds", 0.0)))
        end = float(receipt.get("time", 0.0))
        return cls(
            unit=unit,
            start=end - max(0.0, float(receipt.get("render_seconds", 0.0))) - storage,
            end=end,
            process=f"{receipt.get('host', '?')} {receipt.get('pid', '?')}",
            frames=int(receipt.get("frames", 0)),
            steps=int(receipt.get("steps", 0)),
            size=int(receipt.get("size", 0)),
            kernel=float(receipt.get("kernel_seconds", 0.0)),
            storage=storage,
        )

    @property
    def busy(self) -> float:
        """Seconds that rendering and storing took."""
        return self.end - self.start


@dataclass
class ProcessTime:
    """What one process spent its time on, s; from its first unit to the end of its last."""

    units: int = 0
    frames: int = 0
    kernel: float = 0.0
    storage: float = 0.0
    busy: float = 0.0
    first: float = float("inf")
    last: float = float("-inf")

    def add(self, span: UnitSpan) -> None:
        """Count one unit."""
        self.units += 1
        self.frames += span.frames
        self.kernel += span.kernel
        self.storage += span.storage
        self.busy += span.busy
        self.first = min(self.first, span.start)
        self.last = max(self.last, span.end)

    @property
    def wall(self) -> float:
        """Seconds from the start of its first unit to the end of its last."""
        return max(0.0, self.last - self.first)

    @property
    def spent(self) -> dict[str, float]:
        """Seconds within units by what they were spent on."""
        other = max(0.0, self.busy - self.kernel - self.storage)
        return {"kernel": self.kernel, "storage": self.storage, "other": other}

    def shares(self, wall: float | None = None) -> dict[str, float]:
        """Split its time, of which `wall` seconds passed, by what it was spent on, in per cent."""
        busy = sum(self.spent.values())
        whole = max(self.wall if wall is None else wall, busy, 1e-9)
        seconds = {**self.spent, "waiting": whole - busy}
        return {part: 100.0 * seconds[part] / whole for part in PARTS}


class ProcessTimes(dict[str, ProcessTime]):
    """The time of a run's processes by name, and its `total`; bounded however many come."""

    def __init__(self) -> None:
        super().__init__()
        self.total = ProcessTime()
        self._wall_gone = 0.0

    def add(self, span: UnitSpan) -> None:
        """Count a unit for the process that wrote it."""
        if span.process not in self:
            if len(self) >= PROCESSES_KEPT:
                oldest = min(self, key=lambda name: self[name].last)
                self._wall_gone += self.pop(oldest).wall
            self[span.process] = ProcessTime()
        self[span.process].add(span)
        self.total.add(span)

    @property
    def wall(self) -> float:
        """Sum over processes of the seconds from their first unit to the end of their last."""
        return self._wall_gone + sum(process.wall for process in self.values())


@dataclass
class History:
    """Frames and steps over the seconds since the start, in at most `BINS` bins of equal length."""

    width: float = 2.0
    frames: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def add(self, start: float, end: float, frames: float, steps: float) -> None:
        """Spread an amount evenly over the time it was worked on."""
        start, end = max(start, 0.0), max(end, 0.0)
        while end >= self.width * BINS:
            self.width *= 2.0
            self.frames, self.steps = _pairs(self.frames), _pairs(self.steps)
        first, last = int(start / self.width), int(end / self.width)
        length = max(end - start, 1e-9)
        for values, amount in ((self.frames, frames), (self.steps, steps)):
            values.extend([0.0] * (last + 1 - len(values)))
            for place in range(first, last + 1):
                low, high = place * self.width, (place + 1) * self.width
                share = (min(end, high) - max(start, low)) / length if first < last else 1.0
                values[place] += share * amount

    def rates(self, until: float) -> tuple[list[float], list[float]]:
        """Frames/s and steps/s of the bins that are whole at `until`, s since the start."""
        whole = min(len(self.frames), max(1, int(until / self.width)))
        return (
            [value / self.width for value in self.frames[:whole]],
            [value / self.width for value in self.steps[:whole]],
        )


def _pairs(values: list[float]) -> list[float]:
    return [sum(values[place : place + 2]) for place in range(0, len(values), 2)]


class RunProgress:
    """Counts, rates, time left and the share of time outside the kernel, from events."""

    def __init__(
        self, started: events.RunStarted, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.started, self.clock = started, clock
        self.frames, self.workers = started.frames, started.workers
        self.frames_done = self.frames_failed = 0
        self.units_done = self.units_failed = 0
        self.steps_done = self.bytes_done = 0
        self.cost_done = 0.0
        # By kind of error: units set aside, and failed attempts that were followed by another.
        self.failures: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        # The latest of both: `time` (s since the start), `unit`, `fate`, `reason`.
        self.failed_attempts: deque[dict[str, Any]] = deque(maxlen=FAILURES_KEPT)
        self.left_out: deque[str] = deque(maxlen=FAILURES_KEPT)
        self.times = ProcessTimes()
        self.history = History()
        self.unit_seconds = [0] * (len(UNIT_SECONDS) + 1)
        # When the latest unit was done, s since the epoch by this process's clock.
        self.last_unit: float | None = None
        self._began = self.clock()
        self._recent: deque[tuple[float, int, float, int]] = deque([(self._began, 0, 0.0, 0)])

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        if isinstance(event, events.UnitFinished):
            self._finish(event)
        elif isinstance(event, events.UnitRetried):
            self._fail(self.retries, event.unit, "tried again", event.reason)
        elif isinstance(event, events.WorkersChanged):
            self.workers = event.workers
        elif isinstance(event, events.WorkerLeftOut):
            self.left_out.append(str(event))

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
        """Seconds left at the pace of late, weighted by planned cost; infinite at first."""
        if not self.frames_left:
            return 0.0
        pace = self._recent_rate(2)
        return max(0.0, self.started.cost - self.cost_done) / pace if pace > 0 else float("inf")

    @property
    def outside_kernel(self) -> float | None:
        """Share of the workers' time outside the kernel, 0 to 1; None before the first unit.

        Where kernels ran in other processes than those that wrote (the graph form), a worker's
        time is that since the start.
        """
        kernel, wall = self.times.total.kernel, self.times.wall
        if kernel > wall:
            wall = self.elapsed_s * max(1, self.workers)
        return min(1.0, max(0.0, 1.0 - kernel / wall)) if wall > 0 else None

    @property
    def settled_s(self) -> float:
        """Seconds since the start up to which the history is whole: units count when they end."""
        if not self.frames_left:
            return self._recent[-1][0] - self._began
        return max(0.0, self.elapsed_s - self.times.total.busy / max(1, self.times.total.units))

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
            "retries": self.retries.total(),
            "outside_kernel": self.outside_kernel,
        }

    def _finish(self, event: events.UnitFinished) -> None:
        outcome, frames = event.outcome, event.frames
        self.cost_done += event.cost
        if outcome.status == "failed":
            self.units_failed += 1
            self.frames_failed += frames
            self._fail(self.failures, outcome.unit, "set aside", outcome.reason)
        else:
            span = UnitSpan.of(outcome.unit, outcome.receipt)
            self.units_done += 1
            self.frames_done += frames
            self.steps_done += span.steps
            self.bytes_done += span.size
            if span.busy > 0:
                self._count(span)
        self._remember()

    def _count(self, span: UnitSpan) -> None:
        self.times.add(span)
        self.last_unit = time.time()
        self.unit_seconds[bisect_left(UNIT_SECONDS, span.busy)] += 1
        # This process's own clock places the work: a worker's may differ.
        now = self.elapsed_s
        self.history.add(now - span.busy, now, span.frames, span.steps)

    def _fail(self, kinds: Counter[str], unit: int, fate: str, reason: str) -> None:
        kinds[events.failure_kind(reason)] += 1
        told = {"time": self.elapsed_s, "unit": unit, "fate": fate, "reason": reason}
        self.failed_attempts.append(told)

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


class DiskWatch:
    """Room left on disk, as `measure` returns it: bytes, or None; looked at every few seconds."""

    def __init__(
        self, measure: Callable[[], int | None] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measure = measure
        self._clock = clock
        self._looked = float("-inf")
        self._free: int | None = None

    @property
    def free(self) -> int | None:
        """Free bytes; None where unknown."""
        now = self._clock()
        if self._measure is not None and now - self._looked >= DISK_INTERVAL_S:
            self._looked = now
            try:
                self._free = self._measure()
            except OSError:
                self._free = None
        return self._free
