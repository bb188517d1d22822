"""What the user sees while a run goes on: in a notebook, on a terminal, or as plain lines."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from distbragg.engine import events
from distbragg.engine.progress import DiskWatch, RunProgress
from distbragg.engine.work import UnitOutcome
from distbragg.quantities import counted, duration, quoted, scaled
from distbragg.rendering.frame import TileCallback
from distbragg.run.result import cause_of
from distbragg.templates import fill

if TYPE_CHECKING:
    from rich.console import RenderableType

Progress = bool | Literal["auto"]
"""Whether to show progress; `auto`: in a notebook, and where standard error is a terminal."""

PLAIN_INTERVAL_S: Final = 10.0  # seconds between lines where there is no terminal

REFRESH_S: Final = 1.0
"""Seconds between redraws of a display; each costs a few ms of the process that drives the run."""

SAID_KEPT: Final = 5  # lines on failures that stay below the bar in a notebook, the latest


class ProgressDisplay:
    """Shows the events of a run; use as a context and as `on_event`."""

    def __init__(
        self,
        screen: Lines,
        *,
        disk_free: Callable[[], int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._disk = DiskWatch(disk_free, clock)
        self._clock = clock
        self._part = 0.0
        self._causes: set[tuple[str, str]] = set()
        self.run = RunProgress(events.RunStarted(units=0, frames=0, cost=0.0, workers=0), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.run.frames:
            self._screen.update(last=True)

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        if isinstance(event, events.JobsSubmitted):
            count = counted(len(event.numbers), "job")
            self._say(f"{count} submitted to {event.kind}: {', '.join(event.numbers)}")
        elif isinstance(event, events.RunStarted):
            if event.dashboard:
                self._say(f"dashboard: {event.dashboard}")
            if event.frames:
                self.run = RunProgress(event, self._clock)
                self._screen.start(self)
        elif self.run.frames:
            self._follow(event)

    def _follow(self, event: events.Event) -> None:
        self.run(event)
        if isinstance(event, events.TileFinished):
            self._part = event.done / max(event.total, 1)
        elif isinstance(event, events.UnitRetried):
            self._say_once(event.unit, "tried again", event.reason)
        elif isinstance(event, events.WorkerLeftOut):
            self._say(str(event))
        elif isinstance(event, events.UnitFinished):
            self._part = 0.0
            if event.outcome.status == "failed":
                self._say_once(event.outcome.unit, "set aside", event.outcome.reason)
        self._screen.update(last=False)

    def _say_once(self, unit: int, fate: str, reason: str) -> None:
        """Tell of the first unit that fails for a cause: the display counts the others."""
        if (cause := (fate, cause_of(reason))) not in self._causes:
            self._causes.add(cause)
            self._say(f"unit {unit} is {fate}: {reason}")

    def _say(self, text: str) -> None:
        self._screen.say(quoted(" ".join(text.split())))

    @property
    def share(self) -> float:
        """Share of the frames that is done or set aside, 0 to 1."""
        ended = self.run.frames_done + self.run.frames_failed
        return min(1.0, (ended + self._part) / max(self.run.frames, 1))

    def facts(self) -> list[str]:
        """Frames, rates, time left, workers, failures, room on disk, time outside the kernel."""
        run = self.run
        facts = [f"{run.frames_done:,}/{run.frames:,} frames"]
        if run.frames_done:
            facts.append(f"{run.frames_per_s:.3g} frames/s")
        if run.steps_done:
            facts.append(f"{scaled(run.steps_per_s)}steps/s")
        left = f"{duration(run.eta_s)} left" if run.frames_left else duration(run.elapsed_s)
        facts += [left, counted(run.workers, "worker")]
        if run.frames_failed:
            facts.append(f"{run.frames_failed} failed")
        if run.retries:
            facts.append(counted(run.retries.total(), "retry", "retries"))
        if self._disk.free is not None:
            facts.append(f"{scaled(self._disk.free)}B free on disk")
        if run.outside_kernel is not None and run.times.total.kernel:
            facts.append(f"{100 * run.outside_kernel:.0f} % outside the kernel")
        return facts


class Lines:
    """Where a display is drawn: here, as plain lines on standard error."""

    interval_s = PLAIN_INTERVAL_S

    def __init__(self) -> None:
        self.display: ProgressDisplay | None = None
        self._drawn = -math.inf

    def start(self, display: ProgressDisplay) -> None:
        """Begin to show a run."""
        self.display = display
        self.update(last=True)

    def update(self, *, last: bool) -> None:
        """Draw it anew, unless it was drawn within the interval."""
        if self.display is None:
            return
        now = self.display.run.clock()
        if last or now - self._drawn >= self.interval_s:
            self._drawn = now
            self.draw(self.display)

    def draw(self, display: ProgressDisplay) -> None:
        """Write a line on how far the run is."""
        self.say(", ".join(display.facts()))

    def say(self, line: str) -> None:
        """Write one line on something that has happened."""
        sys.stderr.write(f"distbragg: {line}\n")
        sys.stderr.flush()


class Terminal(Lines):
    """A display on standard error that redraws itself in its own time."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Any = None

    def start(self, display: ProgressDisplay) -> None:
        """Begin to redraw."""
        from rich.console import Console
        from rich.live import Live

        self.display = display
        self._live = Live(
            get_renderable=self._draw,
            console=Console(stderr=True),
            refresh_per_second=1.0 / REFRESH_S,
        )
        self._live.start()

    def update(self, *, last: bool) -> None:
        """End the display."""
        if last and self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """Write it above the display."""
        if self._live is None:
            super().say(line)
        else:
            text = f"distbragg: {line}"
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self.display is None:
            return Text()
        frames, *rest = self.display.facts()
        top = Table.grid(padding=(0, 1), expand=True)
        top.add_column(no_wrap=True)
        top.add_column(ratio=1)
        top.add_column(no_wrap=True)
        top.add_row("distbragg", ProgressBar(total=1.0, completed=self.display.share), frames)
        return Group(top, Text(" · ".join(rest), style="dim"))


class Notebook(Lines):
    """A bar below the cell of a notebook, redrawn in place; no widget is needed."""

    interval_s = REFRESH_S

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None
        self._said: deque[str] = deque(maxlen=SAID_KEPT)

    def draw(self, display: ProgressDisplay) -> None:
        """Redraw the bar."""
        from IPython.display import HTML
        from IPython.display import display as show

        started, facts = display.run.started, display.facts()
        title = started.title or started.path
        values = {"title": title, "share": display.share, "facts": facts}
        html = HTML(fill("progress.html", said=list(self._said), **values))
        if self._handle is None:
            self._handle = show(html, display_id=True)
        else:
            self._handle.update(html)

    def say(self, line: str) -> None:
        """Keep it below the bar."""
        self._said.append(line)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@contextmanager
def shown_progress(
    progress: Progress, disk_free: Callable[[], int | None] | None = None
) -> Iterator[events.EventCallback | None]:
    """Yield an `on_event` that shows the progress of a run; None where none is wanted."""
    if not progress:
        yield None
        return
    screen = Notebook() if in_notebook() else Terminal() if sys.stderr.isatty() else Lines()
    if progress == "auto" and type(screen) is Lines:
        yield None
        return
    with ProgressDisplay(screen, disk_free=disk_free) as display:
        yield display


@contextmanager
def shown_tiles(progress: Progress, on_tile: TileCallback | None) -> Iterator[TileCallback | None]:
    """Yield an `on_tile` that tells the caller's, and shows the progress of a single frame."""
    with shown_progress(progress) as tell:
        if tell is None:
            yield on_tile
            return
        tell(events.RunStarted(units=1, frames=1, cost=1.0, workers=1))

        def told(done: int, total: int) -> None:
            tell(events.TileFinished(unit=0, frame=0, done=done, total=total))
            if done == total:
                tell(events.UnitFinished(UnitOutcome(0, "done", 1, {}), cost=1.0))
            if on_tile is not None:
                on_tile(done, total)

        yield told
