"""What the user sees while a run goes on: a live display on a terminal, plain lines elsewhere."""

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
    JobsSubmitted,
    ProgressTracker,
    RunStarted,
    TileFinished,
    UnitFinished,
    UnitRetried,
)
from distbragg.graph.quantities import counted, duration, scaled
from distbragg.graph.work import UnitOutcome

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

PLAIN_INTERVAL_S: Final = 10.0
"""Seconds between lines where there is no terminal."""

REFRESH_PER_S: Final = 1.0
"""Redraws of the live display; each costs a few ms of the process that drives the run."""

DISK_INTERVAL_S: Final = 5.0
"""Seconds between two looks at the room left on disk."""

NOTHING: Final = RunStarted(units=0, frames=0, cost=0.0, workers=0)


class ProgressView:
    """Shows the events of a run on standard error; use as a context and as `on_event`.

    Parameters
    ----------
    interactive : bool, optional
        A display that redraws itself, or plain lines; default: whether standard error is a
        terminal.
    disk_free : callable, optional
        Free bytes where the run is stored.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        *,
        interactive: bool | None = None,
        disk_free: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interactive = sys.stderr.isatty() if interactive is None else interactive
        self._disk = DiskWatch(disk_free, clock)
        self._clock = clock
        self._live: Live | None = None
        self._last_line = -math.inf
        self._part = 0.0
        self.tracker = ProgressTracker(NOTHING, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self.tracker.frames:
            self._line(force=True)

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._start(event)
            return
        if isinstance(event, JobsSubmitted):
            count = counted(len(event.numbers), "job")
            self._say(f"{count} submitted to {event.kind}: {', '.join(event.numbers)}")
            return
        self.tracker(event)
        if isinstance(event, TileFinished):
            self._part = event.done / max(event.total, 1)
        elif isinstance(event, UnitRetried):
            self._say(f"unit {event.unit} is tried again: {event.reason}")
        elif isinstance(event, UnitFinished):
            self._part = 0.0
            if event.outcome.status == "failed":
                self._say(f"unit {event.outcome.unit} is set aside: {event.outcome.reason}")
        # A live display redraws itself in its own time.
        if self._live is None and self.tracker.frames:
            self._line()

    def summary(self) -> str:
        """One line on how far the run is."""
        tracker = self.tracker
        return ", ".join((f"{tracker.frames_done}/{tracker.frames} frames", *self._facts()))

    def _facts(self) -> list[str]:
        """Rates, time left, workers, failures, room on disk, time outside the kernel."""
        tracker = self.tracker
        facts = []
        if tracker.frames_done:
            facts.append(f"{tracker.frames_per_s:.3g} frames/s")
        if tracker.steps_done:
            facts.append(f"{scaled(tracker.steps_per_s)}steps/s")
        if tracker.frames_left:
            facts.append(f"{duration(tracker.eta_s)} left")
        else:
            facts.append(duration(tracker.elapsed_s))
        facts.append(counted(tracker.workers, "worker"))
        if tracker.frames_failed:
            facts.append(f"{tracker.frames_failed} failed")
        if tracker.retries:
            facts.append(counted(tracker.retries, "retry", "retries"))
        free = self._disk.free
        if free is not None:
            facts.append(f"{scaled(free)}B free on disk")
        outside = tracker.outside_kernel
        if outside is not None and tracker.times.kernel:
            facts.append(f"{100 * outside:.0f} % outside the kernel")
        return facts

    def _start(self, event: RunStarted) -> None:
        self.tracker = ProgressTracker(event, self._clock)
        if event.dashboard:
            self._say(f"dashboard: {event.dashboard}")
        if not event.frames:
            return
        if self._interactive:
            self._go_live()
        else:
            self._line(force=True)

    def _go_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._display,
            console=Console(stderr=True),
            refresh_per_second=REFRESH_PER_S,
        )
        self._live.start()

    def _display(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tracker = self.tracker
        ended = tracker.frames_done + tracker.frames_failed
        top = Table.grid(padding=(0, 1), expand=True)
        top.add_column(no_wrap=True)
        top.add_column(ratio=1)
        top.add_column(no_wrap=True)
        top.add_row(
            "distbragg",
            ProgressBar(total=max(tracker.frames, 1), completed=ended + self._part),
            f"{tracker.frames_done:,}/{tracker.frames:,} frames",
        )
        return Group(top, Text(" · ".join(self._facts()), style="dim"))

    def _line(self, *, force: bool = False) -> None:
        """Write the summary, unless the last line is younger than the interval."""
        now = self._clock()
        if force or now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            self._say(self.summary())

    def _say(self, text: str) -> None:
        line = f"distbragg: {' '.join(text.split())}"
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=True)


class DiskWatch:
    """Room left on disk, looked at once every few seconds.

    Parameters
    ----------
    measure : callable, optional
        Free bytes; without it there is nothing to tell.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self, measure: Callable[[], int] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measure = measure
        self._clock = clock
        self._looked = -math.inf
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
    with ProgressView() as view:
        view(RunStarted(units=1, frames=1, cost=1.0, workers=1))

        def on_tile(done: int, total: int) -> None:
            view(TileFinished(unit=0, frame=0, done=done, total=total))
            if done == total:
                view(UnitFinished(UnitOutcome(0, "done", 1, {})))

        yield on_tile
