"""Events of a run, and the rates and estimates derived from them. Plain objects, no display."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from distbragg.graph.work import UnitOutcome


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
    """

    units: int
    frames: int
    cost: float
    workers: int
    dashboard: str = ""


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


Event = RunStarted | TileFinished | UnitRetried | UnitFinished | WorkersChanged
EventCallback = Callable[[Event], None]


@dataclass
class ProgressTracker:
    """Frames per second, time left, and the kernel's share, from finished units.

    Parameters
    ----------
    frames : int
        Frames to do.
    cost : float
        Their planned cost, any unit: time left is weighted by it, since frames of a sweep
        may differ in cost.
    workers : int
        Processes at work: divides the kernel's seconds into wall time.
    clock : callable
        Monotonic seconds.
    """

    frames: int
    cost: float
    workers: int = 1
    clock: Callable[[], float] = time.monotonic
    frames_done: int = 0
    frames_failed: int = 0
    cost_done: float = 0.0
    kernel_seconds: float = 0.0
    task_seconds: float = 0.0
    retries: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def finish(
        self, frames: int, cost: float, *, kernel_s: float, task_s: float, failed: bool = False
    ) -> None:
        """Count a finished unit."""
        self.cost_done += cost
        self.kernel_seconds += kernel_s
        self.task_seconds += task_s
        if failed:
            self.frames_failed += frames
        else:
            self.frames_done += frames

    def retry(self) -> None:
        """Count a failed attempt."""
        self.retries += 1

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return max(0.0, self.clock() - self.started)

    @property
    def frames_per_s(self) -> float:
        """Frames finished per second; 0 before the first."""
        elapsed = self.elapsed_s
        return self.frames_done / elapsed if elapsed > 0 else 0.0

    @property
    def eta_s(self) -> float:
        """Seconds left, weighted by planned cost; infinite before the first unit."""
        if self.cost_done >= self.cost:
            return 0.0
        if self.cost_done <= 0:
            return float("inf")
        return self.elapsed_s * (self.cost - self.cost_done) / self.cost_done

    @property
    def kernel_share(self) -> float:
        """Share of the tasks' time that was spent in the kernel, 0 to 1."""
        if self.task_seconds <= 0:
            return 0.0
        return min(1.0, self.kernel_seconds / self.task_seconds)

    @property
    def utilization(self) -> float:
        """Share of the workers' wall time that was spent in tasks, 0 to 1."""
        capacity = self.elapsed_s * max(1, self.workers)
        return min(1.0, self.task_seconds / capacity) if capacity > 0 else 0.0
