"""What travels between an executor and its tasks: settings, work, outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from distbragg.plan.frame import TileKey

if TYPE_CHECKING:
    from distbragg.engine.context import RunContext
    from distbragg.rendering.frame import PartialImage

DEFAULT_ATTEMPTS = 3  # attempts at a unit before it is set aside
LOOPBACK = "127.0.0.1"

WORKER_PATIENCE_S = 300.0
"""Longest time without any worker before a run gives up, s; jobs of a queue may wait longer."""

RUN_HASH_DIGITS = 12  # hex digits of the run's identity in a task's key

PICTURE = "picture"
"""Key of the thumbnail that travels beside a receipt, at most one every few seconds."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """How a task runs; nothing here changes what it computes."""

    threads: int = 1  # of the kernel within one task
    allow_mixed: bool = False  # a process of another numeric class may render too
    watch: bool = False  # Dask's meters are told of each unit
    picture: bool = False  # a thumbnail of the last frame is returned beside the receipt
    time_limit_s: float = 0.0  # of one task, wall time; 0: no limit


@dataclass(frozen=True, slots=True)
class UnitOutcome:
    """How a unit ended after so many attempts: with a receipt, or a reason in one line."""

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
class UnitFunctions:
    """The module-level functions an executor runs: those of `engine.unit`, or others.

    Without the three in the middle there is no graph form. `name` stands for the run in keys.
    """

    render_unit: Callable[[RunContext, int, int, TaskSettings], dict[str, Any]]
    expand_unit: Callable[[RunContext, int], tuple[TileTask, ...]] | None = None
    render_partial: Callable[[RunContext, TileKey, TaskSettings], PartialImage] | None = None
    write_unit: (
        Callable[[RunContext, int, int, Sequence[PartialImage], TaskSettings], dict[str, Any]]
        | None
    ) = None
    name: str = ""

    def name_of(self, run: RunContext) -> str:
        """Name the work on a run in keys, so that two runs on one scheduler share no result."""
        return self.name or run.run_id[:RUN_HASH_DIGITS]


def default_work() -> UnitFunctions:
    """Return the functions that render."""
    from distbragg.engine.unit import RENDERING  # torch and zarr are loaded only where work is done

    return RENDERING
