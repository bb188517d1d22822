"""A unit on its way, and the worker it may go to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker: how many tasks it takes at a time, and a name that outlives its restarts."""

    threads: int
    name: str
    host: str = ""


@dataclass(eq=False)
class Attempt:
    """A unit on its way."""

    unit: int
    number: int = 0  # tries that ended, each in an error, a death, or at the time limit
    again: int = 0  # times it was submitted once more without a try having ended
    deaths: int = 0  # times that the worker it was on died, a try or not
    tasks: int = 1
    keys: tuple[str, ...] = ()  # of its tasks; the unit's result is that of the last
    where: frozenset[str] | None = None  # addresses of the workers it may go to; None: any
    not_before: float = 0.0
    blamed: list[str] = field(default_factory=list)  # names of the workers it failed on
    spared: list[str] = field(default_factory=list)  # of those that died, perhaps of another unit
    hopeless: int = 0
    fatal: int = 0


def describe_error(error: BaseException) -> str:
    """One line on an error."""
    return " ".join(f"{type(error).__name__}: {error}".split())
