"""What the user sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from distbragg.graph.progress import (
    Event,
    ProgressTracker,
    RunStarted,
    TileFinished,
    UnitFinished,
    UnitRetried,
    WorkersChanged,
)
from distbragg.graph.work import UnitOutcome

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_INTERVAL_S: Final = 10.0
"""Seconds between lines where there is no terminal."""


class ProgressView:
    """Shows the events of a run on standard error; use as a context and as `on_event`.

    Parameters
    ----------
    frames_of : callable
        Frames of a unit, to count those that were set aside.
    interactive : bool, optional
        A bar that redraws itself, or plain lines; default: whether standard error is a
        terminal.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        frames_of: Callable[[int], int],
        *,
        interactive: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._frames_of = frames_of
        self._interactive = sys.stderr.isatty() if interactive is None else interactive
        self._clock = clock
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = -math.inf
        self._part = 0.0
        self.tracker = ProgressTracker(0, 0.0, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self.tracker.frames:
            self._line(force=True)

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, UnitFinished):
            self._finish(event)
        elif isinstance(event, TileFinished):
            self._part = event.done / max(event.total, 1)
            self._update()
        elif isinstance(event, UnitRetried):
            self.tracker.retry()
            self._say(f"unit {event.unit} is tried again: {event.reason}")
        elif isinstance(event, WorkersChanged):
            self.tracker.workers = event.workers
            self._update()

    def summary(self) -> str:
        """One line on how far the run is: frames, rate, time left, workers, failures."""
        tracker = self.tracker
        parts = [f"{tracker.frames_done}/{tracker.frames} frames"]
        if tracker.frames_done:
            parts.append(f"{tracker.frames_per_s:.3g} frames/s")
        left = tracker.frames - tracker.frames_done - tracker.frames_failed
        if left:
            parts.append(f"{duration(tracker.eta_s)} left")
        else:
            parts.append(f"{duration(tracker.elapsed_s)}")
        parts.append(_counted(tracker.workers, "worker"))
        if tracker.frames_failed:
            parts.append(f"{tracker.frames_failed} failed")
        if tracker.retries:
            parts.append(_counted(tracker.retries, "retry", "retries"))
        return ", ".join(parts)

    def _start(self, event: RunStarted) -> None:
        self.tracker = ProgressTracker(
            event.frames, event.cost, workers=event.workers, clock=self._clock
        )
        if event.dashboard:
            self._say(f"dashboard: {event.dashboard}")
        if not event.frames:
            return
        if self._interactive:
            self._make_bar(event.frames)
        else:
            self._line(force=True)

    def _finish(self, event: UnitFinished) -> None:
        outcome, tracker = event.outcome, self.tracker
        frames = self._frames_of(outcome.unit)
        share = tracker.cost * frames / tracker.frames if tracker.frames else 0.0
        failed = outcome.status == "failed"
        tracker.finish(frames, share, kernel_s=0.0, task_s=0.0, failed=failed)
        self._part = 0.0
        if failed:
            self._say(f"unit {outcome.unit} is set aside: {outcome.reason}")
        self._update()

    def _make_bar(self, frames: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("distbragg"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[summary]}"),
            console=Console(stderr=True),
            transient=False,
        )
        self._task = self._bar.add_task("frames", total=frames, summary=self.summary())
        self._bar.start()

    def _update(self) -> None:
        if self._bar is not None and self._task is not None:
            done = self.tracker.frames_done + self.tracker.frames_failed + self._part
            self._bar.update(self._task, completed=done, summary=self.summary())
        elif self.tracker.frames:
            self._line()

    def _line(self, *, force: bool = False) -> None:
        """Write the summary, unless the last line is younger than the interval."""
        now = self._clock()
        if force or now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            self._say(self.summary())

    def _say(self, text: str) -> None:
        line = f"distbragg: {' '.join(text.split())}"
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=True)


@contextmanager
def tile_progress(*, show: bool | None = None) -> Iterator[Callable[[int, int], None] | None]:
    """Progress of a single frame by its tiles, as `on_tile` of `run.render`.

    Parameters
    ----------
    show : bool, optional
        Default: only where standard error is a terminal.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield None
        return
    with ProgressView(lambda unit: 1) as view:
        view(RunStarted(units=1, frames=1, cost=1.0, workers=1))

        def on_tile(done: int, total: int) -> None:
            view(TileFinished(unit=0, frame=0, done=done, total=total))
            if done == total:
                view(UnitFinished(UnitOutcome(0, "done", 1, {})))

        yield on_tile


def duration(seconds: float) -> str:
    """Seconds as people say them: `4.2 s`, `3 min 20 s`, `2 h 5 min`; unknown as `?`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _counted(number: int, word: str, plural: str = "") -> str:
    return f"{number} {word if number == 1 else plural or word + 's'}"
