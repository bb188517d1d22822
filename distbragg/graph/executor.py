"""What an executor is, and the one that needs no cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from distbragg.graph.limits import limited
from distbragg.graph.progress import EventCallback, UnitFinished, UnitRetried
from distbragg.graph.work import (
    DEFAULT_ATTEMPTS,
    FATAL,
    HOPELESS,
    TaskSettings,
    TileTask,
    UnitOutcome,
    Work,
    default_work,
    describe_error,
)
from distbragg.plan.merge import merge_levels
from distbragg.plan.sweep import Form

if TYPE_CHECKING:
    from distbragg.graph.partial import PartialImage

__all__ = ["Executor", "SerialExecutor", "TaskSettings", "UnitOutcome", "Work"]

T = TypeVar("T")


class Executor(Protocol):
    """Runs units, somewhere."""

    def run_units(
        self,
        run: str,
        units: Iterable[int],
        *,
        window: int | None = None,
        form: Form = "unit",
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Iterator[UnitOutcome]:
        """Run `units` of `run` and yield each one's outcome as it ends.

        Parameters
        ----------
        run : str
            Path of the run directory.
        units : iterable of int
            Consumed as room arises, never all at once.
        window : int, optional
            Most units in flight.
        form : {"unit", "graph"}
            One task per unit, or a graph of tiles × source chunks per unit. Same bits.
        attempts : int
            Attempts before a unit is set aside.

        Raises
        ------
        RefusedError, EnvironmentFailure, DamageError
            The run cannot go on; what is stored stays, and the run is resumable.
        """


class SerialExecutor:
    """Runs the same tasks in this process, one after the other.

    Parameters
    ----------
    settings : TaskSettings
    pickle_tasks : bool
        Send every task's function, arguments and result through pickle, as a cluster
        would: what cannot travel fails here too.
    work : Work, optional
        Rendering where not given.
    on_event : callable, optional
        Receives the events of `graph.progress`.
    """

    def __init__(
        self,
        settings: TaskSettings | None = None,
        *,
        pickle_tasks: bool = False,
        work: Work | None = None,
        on_event: EventCallback | None = None,
    ) -> None:
        self._settings = settings or TaskSettings()
        self._pickle = pickle_tasks
        self._work = work or default_work()
        self._on_event = on_event

    def run_units(
        self,
        run: str,
        units: Iterable[int],
        *,
        window: int | None = None,
        form: Form = "unit",
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Iterator[UnitOutcome]:
        """Run `units` in order; see `Executor.run_units`. `window` has no effect."""
        del window
        for unit in units:
            outcome = self._run_unit(run, unit, form, max(1, attempts))
            self._emit_finished(outcome)
            yield outcome

    def _run_unit(self, run: str, unit: int, form: Form, attempts: int) -> UnitOutcome:
        attempt = 0
        while True:
            try:
                receipt = self._attempt(run, unit, attempt, form)
            except FATAL:
                raise
            except Exception as error:
                attempt += 1
                reason = describe_error(error)
                if attempt >= attempts or isinstance(error, HOPELESS):
                    return UnitOutcome(unit, "failed", attempt, {}, reason)
                self._emit_retried(unit, attempt, reason)
            else:
                return UnitOutcome(unit, "done", attempt + 1, receipt)

    def _attempt(self, run: str, unit: int, attempt: int, form: Form) -> dict[str, Any]:
        work, settings = self._work, self._settings
        if form == "unit":
            return self._call(work.render_unit, run, unit, attempt, settings)
        roots = [self._tile(run, task) for task in work.expand_unit(run, unit)]
        return self._call(work.write_unit, run, unit, attempt, roots, settings)

    def _tile(self, run: str, task: TileTask) -> PartialImage:
        items = [
            self._call(self._work.render_partial, run, key, self._settings) for key in task.keys
        ]
        for groups in merge_levels(len(items), task.arity):
            items = [
                self._call(self._work.merge_partials, items[group.start : group.stop])
                for group in groups
            ]
        return items[0]

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        seconds = self._settings.time_limit_s
        if not self._pickle:
            return limited(seconds, function, *arguments)
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))
        result: T = pickle.loads(pickle.dumps(limited(seconds, function, *arguments)))
        return result

    def _emit_retried(self, unit: int, attempt: int, reason: str) -> None:
        if self._on_event is not None:
            self._on_event(UnitRetried(unit, attempt, reason))

    def _emit_finished(self, outcome: UnitOutcome) -> None:
        if self._on_event is not None:
            self._on_event(UnitFinished(outcome))
