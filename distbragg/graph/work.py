"""What travels between an executor and its tasks: settings, work, outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from distbragg.errors import DamageError, EnvironmentFailure, InputError, RefusedError
from distbragg.plan.keys import TileKey

if TYPE_CHECKING:
    from distbragg.graph.partial import PartialImage

DEFAULT_ATTEMPTS = 3
"""Attempts at a unit before it is set aside."""

FATAL = (RefusedError, EnvironmentFailure, DamageError)
"""Errors that no other unit would escape: they end the run, which stays resumable."""

HOPELESS = (InputError,)
"""Errors that the same unit meets at every attempt: it is set aside at once."""


RUN_HASH_DIGITS = 12
"""Hex digits of the run's identity in a task's key."""

PICTURE = "picture"
"""Key of the thumbnail that travels beside a receipt, at most one every few seconds."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """How a task runs; nothing here changes what it computes.

    Attributes
    ----------
    threads : int
        Threads of the kernel within one task.
    allow_mixed : bool
        Let a process of another numeric class render too.
    watch : bool
        Hand each unit's numbers to Dask's meters.
    picture : bool
        Return a thumbnail of the unit's last frame beside its receipt.
    time_limit_s : float
        Longest wall time of one task, s; 0: no limit. See `graph.limits`.
    """

    threads: int = 1
    allow_mixed: bool = False
    watch: bool = False
    picture: bool = False
    time_limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class UnitOutcome:
    """How a unit ended.

    Attributes
    ----------
    unit : int
    status : {"done", "failed"}
    attempts : int
        Attempts made.
    receipt : dict
        The receipt where done, else empty.
    reason : str
        Why it failed, one line; empty where done.
    """

    unit: int
    status: Literal["done", "failed"]
    attempts: int
    receipt: dict[str, Any]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TileTask:
    """A tile of a frame as the graph form sees it: what to sum, and by which tree."""

    keys: tuple[TileKey, ...]
    arity: int


@dataclass(frozen=True, slots=True)
class Work:
    """The module-level functions an executor runs: rendering, or a stand-in in a test.

    Attributes
    ----------
    run_hash : callable(run) -> str
        Names the run in keys.
    render_unit : callable(run, unit, attempt, settings) -> dict
        The unit form: renders and stores a unit, returns its receipt.
    expand_unit : callable(run, unit) -> tuple of TileTask
        The graph form's tasks of a unit.
    render_partial : callable(run, key, settings) -> PartialImage
    merge_partials : callable(parts) -> PartialImage
    write_unit : callable(run, unit, attempt, roots, settings) -> dict
        Finalizes and stores a unit from the merged sums of its tiles.
    """

    run_hash: Callable[[str], str]
    render_unit: Callable[[str, int, int, TaskSettings], dict[str, Any]]
    expand_unit: Callable[[str, int], tuple[TileTask, ...]]
    render_partial: Callable[[str, TileKey, TaskSettings], PartialImage]
    merge_partials: Callable[[Sequence[PartialImage]], PartialImage]
    write_unit: Callable[[str, int, int, Sequence[PartialImage], TaskSettings], dict[str, Any]]


def default_work() -> Work:
    """Return the functions that render."""
    from distbragg.graph.tasks import RENDERING  # torch and zarr are loaded only where work is done

    return RENDERING


def describe_error(error: BaseException) -> str:
    """One line on an error."""
    return " ".join(f"{type(error).__name__}: {error}".split())
