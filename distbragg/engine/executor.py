"""What an executor is, and the one that needs no cluster."""

from __future__ import annotations

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

from distbragg.engine.attempt import Worker
from distbragg.engine.context import RunContext
from distbragg.engine.events import Event, EventCallback, WorkerLeftOut
from distbragg.engine.policy import Policy
from distbragg.engine.work import (
    DEFAULT_ATTEMPTS,
    TaskSettings,
    TileTask,
    UnitFunctions,
    UnitOutcome,
    default_work,
)
from distbragg.plan.merge import merge_tree
from distbragg.plan.sweep import Form
from distbragg.rendering.frame import PartialImage, merge

HERE = "this process"  # stands for a worker's address in a serial run
T = TypeVar("T")


@dataclass(kw_only=True)
class Executor(ABC):
    """Runs units, somewhere; `on_event` is told of workers and retries.

    There were so many `workers` at the start; `left_out` are those that got nothing more to do.
    `dashboard` is the address of a page on the run, empty where there is none.
    """

    settings: TaskSettings = field(default_factory=TaskSettings)
    work: UnitFunctions = field(default_factory=default_work)
    on_event: EventCallback | None = None
    workers: int = 1
    dashboard: str = ""
    left_out: Sequence[WorkerLeftOut] = ()

    def tell(self, event: Event) -> None:
        """Hand an event to whoever listens."""
        if self.on_event is not None:
            self.on_event(event)

    def run_units(
        self,
        run: RunContext,
        units: Iterable[int],
        *,
        window: int | None = None,
        form: Form = "unit",
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Generator[UnitOutcome]:
        """Run `units` of `run`, consumed as room arises, and yield each one's outcome as it ends.

        At most `window` units are in flight, and a unit is set aside after so many `attempts`. A
        unit is one task, or in the graph form a graph of tiles × source chunks, with the same bits.
        Where the run cannot go on, the error says why; what is stored stays, and the run is
        resumable, whatever ends the iteration.
        """
        policy = Policy(
            units,
            attempts=attempts,
            window=window,
            limit_s=self.settings.time_limit_s,
            pinned=self._pinned,
        )
        with closing(self._rounds(run, policy, form)) as rounds:
            for outcomes in rounds:
                # Told outside of what may fail with a cluster: a listener's error is its own.
                self.left_out = tuple(policy.left_out.values())
                for event in policy.take_events():
                    self.tell(event)
                yield from (outcome for outcome in outcomes if outcome is not None)

    @property
    def _pinned(self) -> bool:
        """Whether tasks ask for resources of workers."""
        return False

    @abstractmethod
    def _rounds(
        self, run: RunContext, policy: Policy, form: Form
    ) -> Generator[list[UnitOutcome | None]]:
        """Do what the policy says; yield now and then what has ended: None is tried again."""


class SerialExecutor(Executor):
    """Runs the same tasks in this process, one after the other."""

    def _rounds(
        self, run: RunContext, policy: Policy, form: Form
    ) -> Generator[list[UnitOutcome | None]]:
        policy.meet({HERE: Worker(1, HERE)})
        while (item := policy.next(time.monotonic())) is not None:
            outcome: UnitOutcome | None
            try:
                receipt = self._attempt(run, item.unit, item.number, form)
            except Exception as error:
                outcome = policy.failed(item, error, HERE, time.monotonic())
            else:
                outcome = policy.succeeded(item, HERE, receipt)
            yield [outcome]

    def _attempt(self, run: RunContext, unit: int, attempt: int, form: Form) -> dict[str, Any]:
        work, settings = self.work, self.settings
        if form == "unit" or work.expand_unit is None or work.write_unit is None:
            return self._call(work.render_unit, run, unit, attempt, settings)
        roots = [self._tile(run, task) for task in work.expand_unit(run, unit)]
        return self._call(work.write_unit, run, unit, attempt, roots, settings)

    def _tile(self, run: RunContext, task: TileTask) -> PartialImage:
        render = self.work.render_partial
        assert render is not None
        return merge_tree(
            task.keys,
            task.arity,
            lambda key: self._call(render, run, key, self.settings),
            lambda parts: self._call(merge, parts),
        )

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        with time_limit(self.settings.time_limit_s):
            return function(*arguments)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the block by a `TimeoutError` after so many seconds of wall time; 0 sets no limit.

    The bound is a timer of the operating system, and acts in the main thread alone: in another
    one nothing can be raised safely. Whatever timer and handler somebody else had set act again
    afterwards.
    """
    main = threading.current_thread() is threading.main_thread()
    if seconds <= 0 or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than the limit of {seconds:g} s")

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, expire)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if delay:
            left = max(1e-3, delay - (time.monotonic() - started))
            signal.setitimer(signal.ITIMER_REAL, left, interval)
