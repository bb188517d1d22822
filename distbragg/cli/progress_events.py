"""Progress as JSON, one object a line on standard output, for programs that watch a run.

Every object has `event` and `time` (s since the epoch); docs/how-to/watch.md lists the others.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from distbragg.engine import events
from distbragg.engine.progress import DiskWatch, RunProgress
from distbragg.engine.work import UnitOutcome
from distbragg.errors import DistbraggError, ExitStatus

if TYPE_CHECKING:
    from distbragg.notes import Notes
    from distbragg.run.result import RunResult

PROGRESS_INTERVAL_S: Final = 10.0  # seconds between two `progress` events
_RECEIPT: Final = (
    *("frames", "steps", "size"),
    *(f"{part}_seconds" for part in ("render", "kernel", "write", "encode", "verify")),
    *("host", "pid"),
)
"""What is told of a unit's receipt."""

_NAMES: Final[dict[type, str]] = {
    events.JobsSubmitted: "jobs",
    events.UnitRetried: "retry",
    events.WorkerLeftOut: "left_out",
    events.WorkersChanged: "workers",
}
"""Events that are written as they are."""


class ProgressEvents:
    """Writes a run's events as JSON lines, as `on_event`; `clock` gives s, `disk_free` bytes."""

    def __init__(
        self,
        *,
        disk_free: Callable[[], int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._disk = DiskWatch(disk_free, clock)
        self._clock = clock
        self._told = -math.inf
        self.tracker = RunProgress(events.RunStarted(units=0, frames=0, cost=0.0, workers=0), clock)

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

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        if isinstance(event, events.RunStarted):
            self.tracker = RunProgress(event, self._clock)
            plain = asdict(event)
            run, planned = plain.pop("path"), round(plain.pop("cost"), 3)
            _write("started", run=run, planned_seconds=planned, **plain)
            return
        self.tracker(event)
        if isinstance(event, events.UnitFinished):
            _write("unit", **_unit(event.outcome, event.frames))
        elif type(event) in _NAMES:
            _write(_NAMES[type(event)], **asdict(event))
        if self.tracker.frames:
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
        left_out=[asdict(worker) for worker in result.left_out],
        exit_status=int(result.status),
    )


def _unit(outcome: UnitOutcome, frames: int) -> dict[str, Any]:
    told = {"unit": outcome.unit, "status": outcome.status, "attempts": outcome.attempts}
    if outcome.status == "failed":
        return {**told, "frames": frames, "reason": outcome.reason}
    return {**told, **{name: outcome.receipt[name] for name in _RECEIPT if name in outcome.receipt}}


def _write(event: str, **facts: object) -> None:
    click.echo(json.dumps({"event": event, "time": round(time.time(), 3), **facts}))
