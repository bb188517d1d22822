"""The events of a run: plain data that can be pickled and logged."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distbragg.engine.work import UnitOutcome


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins or continues: what is left to do, at a planned cost of so many nominal s."""

    units: int
    frames: int
    cost: float
    workers: int
    dashboard: str = ""
    path: str = ""
    title: str = ""


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
    """A unit of so many frames and so much planned cost, nominal s, is done or set aside."""

    outcome: UnitOutcome
    frames: int = 1
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkersChanged:
    """The number of workers changed."""

    workers: int


@dataclass(frozen=True, slots=True)
class WorkerLeftOut:
    """A worker, at this address of a host as far as known, gets nothing more to do."""

    worker: str
    host: str
    reason: str

    def __str__(self) -> str:
        host = f" ({self.host})" if self.host else ""
        return f"worker {self.worker}{host} is left out: {self.reason}"


@dataclass(frozen=True, slots=True)
class PictureTaken:
    """A worker made a thumbnail of a frame of this unit; see `export.scaling.thumbnail`."""

    unit: int
    picture: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobsSubmitted:
    """A batch system took the jobs of these numbers; their workers come when it likes."""

    kind: str
    numbers: tuple[str, ...]


Event = (
    RunStarted
    | TileFinished
    | UnitRetried
    | UnitFinished
    | WorkersChanged
    | WorkerLeftOut
    | PictureTaken
    | JobsSubmitted
)
EventCallback = Callable[[Event], None]


def each_of(*listeners: EventCallback | None) -> EventCallback | None:
    """Return one listener that tells every one given, in order; None where there is none."""
    present = [listener for listener in listeners if listener is not None]
    if len(present) == 1:
        return present[0]

    def tell(event: Event) -> None:
        for listener in present:
            listener(event)

    return tell if present else None


def failure_kind(reason: str) -> str:
    """Shorten a reason to its kind, the error's class: what failures are counted by."""
    found = re.match(r"[A-Za-z_][\w.]*(?=:)", reason)
    return found.group(0) if found else "other"
