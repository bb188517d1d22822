"""Progress as JSON, one object a line on standard output, for programs that watch a run.

Every object has `event` and `time` (s since the epoch); docs/how-to/watch.md lists the others.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from distbragg.cli.progress_view import NOTHING, DiskWatch
from distbragg.errors import DistbraggError, ExitStatus
from distbragg.graph.progress import (
    Event,
    JobsSubmitted,
    ProgressTracker,
    RunStarted,
    UnitFinished,
    UnitRetried,
    WorkersChanged,
)
from distbragg.graph.work import UnitOutcome

if TYPE_CHECKING:
    from distbragg.notes import Notes
    from distbragg.run.result import RunResult

PROGRESS_INTERVAL_S: Final = 10.0
"""Seconds between two `progress` events."""

_RECEIPT: Final = (
    "frames",
    "steps",
    "size",
    "render_seconds",
    "kernel_seconds",
    "write_seconds",
    "encode_seconds",
    "verify_seconds",
    "host",
    "pid",
)


class ProgressEvents:
    """Writes the events of a run as JSON lines; use as a context and as `on_event`.

    Parameters
    ----------
    disk_free : callable, optional
        Free bytes where the run is stored.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        *,
        disk_free: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._disk = DiskWatch(disk_free, clock)
        self._clock = clock
        self._told = -math.inf
        self.tracker = ProgressTracker(NOTHING, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.tracker.frames:
            self._progress(force=True)
        if isinstance(error, DistbraggError):
            _write("stopped", reason=" ".join(str(error).split()), exit_status=error.exit_status)
        elif isinstance(error, KeyboardInterrupt):
            _write("stopped", reason="interrupted", exit_status=ExitStatus.INTERRUPTED)
        elif error is not None:
            _write("stopped", reason=type(error).__name__, exit_status=1)

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self.tracker = ProgressTracker(event, self._clock)
            _write("started", **_started(event))
            return
        if isinstance(event, JobsSubmitted):
            _write("jobs", kind=event.kind, numbers=list(event.numbers))
            return
        self.tracker(event)
        if isinstance(event, UnitFinished):
            _write("unit", **_unit(event.outcome, self.tracker.started))
        elif isinstance(event, UnitRetried):
            _write("retry", unit=event.unit, attempt=event.attempt, reason=event.reason)
        elif isinstance(event, WorkersChanged):
            _write("workers", workers=event.workers)
        self._progress()

    def _progress(self, *, force: bool = False) -> None:
        now = self._clock()
        if force or now - self._told >= PROGRESS_INTERVAL_S:
            self._told = now
            _write("progress", **self.tracker.to_plain(), disk_free_bytes=self._disk.free)


def write_notes(notes: Notes) -> None:
    """Write what was said of the frames when the run was made."""
    _write("notes", notes=[note.to_plain() for note in notes])


def write_finished(result: RunResult) -> None:
    """Write the last event of a run that came to its end."""
    _write(
        "finished",
        run=str(result.path),
        frames=result.frames,
        frames_done=result.done,
        frames_failed=result.failed,
        frames_rendered=result.rendered,
        seconds=round(result.seconds, 3),
        exit_status=int(result.status),
    )


def _started(event: RunStarted) -> dict[str, Any]:
    return {
        "run": event.path,
        "title": event.title,
        "units": event.units,
        "frames": event.frames,
        "planned_seconds": round(event.cost, 3),
        "workers": event.workers,
        "dashboard": event.dashboard,
    }


def _unit(outcome: UnitOutcome, started: RunStarted) -> dict[str, Any]:
    told = {"unit": outcome.unit, "status": outcome.status, "attempts": outcome.attempts}
    if outcome.status == "failed":
        frames = started.frames_of(outcome.unit) if started.frames_of else 1
        return {**told, "frames": frames, "reason": outcome.reason}
    return {**told, **{name: outcome.receipt[name] for name in _RECEIPT if name in outcome.receipt}}


def _write(event: str, **facts: object) -> None:
    click.echo(json.dumps({"event": event, "time": round(time.time(), 3), **facts}))
