"""Rendering that is disturbed: units that misbehave, and processes that die at chosen points.

`CHAOS` is a `Work` for `resume`: it renders as every run does, after doing what a plan of faults
asks for. The plan is a JSON file named by an environment variable, which worker processes
inherit. The product itself holds no fault hooks: the points are reached by replacing functions
of this process just before it dies.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import psutil

from distbragg.engine.context import RunContext
from distbragg.engine.unit import RENDERING
from distbragg.engine.work import TaskSettings

if TYPE_CHECKING:
    from distbragg.store.local_files import LocalAppender, LocalWriter

VARIABLE = "DISTBRAGG_CHAOS_PLAN"
"""Points of death, in the order in which a unit passes them."""
POINTS = (
    "before-write",
    "inside-object",
    "before-rename",
    "after-rename",
    "before-receipt",
    "inside-receipt",
    "after-receipt",
)


@dataclass(frozen=True)
class Faults:
    """What is to go wrong.

    Attributes
    ----------
    log : str
        Folder in which every process notes what it starts and ends.
    poison : dict of str to str
        Misbehaviour by unit: `raise`, `segfault`, `loop`, `memory`.
    point, at : str, int
        Die at this point of `POINTS` on the first attempt at this unit.
    pause_s : float
        Added to each unit.
    """

    log: str
    poison: dict[str, str] = field(default_factory=dict)
    point: str = ""
    at: int = -1
    pause_s: float = 0.0

    def save(self, path: Path) -> dict[str, str]:
        """Write the plan; return the environment of processes that shall follow it."""
        Path(self.log).mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return {**os.environ, VARIABLE: str(path)}


@functools.cache
def faults() -> Faults:
    """Return the plan this process follows."""
    return Faults(**json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")))


def render_unit(run: RunContext, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    """Render a unit as a run does, with what the plan asks for."""
    plan = faults()
    note(plan, f"start {unit} {attempt}")
    if kind := plan.poison.get(str(unit)):
        MISBEHAVIOUR[kind]()
    if plan.point and unit == plan.at and attempt == 0 and not _died_before(plan):
        arm(plan.point)
    time.sleep(plan.pause_s)
    receipt = RENDERING.render_unit(run, unit, attempt, settings)
    if plan.point == "after-receipt" and unit == plan.at and not _died_before(plan):
        die()
    note(plan, f"end {unit} {psutil.Process().memory_info().rss}")
    return receipt


CHAOS = replace(RENDERING, render_unit=render_unit)


def note(plan: Faults, text: str) -> None:
    """Append a line to this process's own log, whole or not at all."""
    path = Path(plan.log) / f"{os.getpid()}.txt"
    with path.open("a", encoding="utf-8") as handle:
        handle.write(f"{text} {time.time():.6f}\n")


def notes(log: Path, kind: str) -> list[list[str]]:
    """Return the noted lines of a kind, as words, by time."""
    lines = [line.split() for path in log.glob("*.txt") for line in path.read_text().splitlines()]
    return sorted((words for words in lines if words[0] == kind), key=lambda words: words[-1])


def starts(log: Path) -> list[int]:
    """Return the unit of every attempt that was started, by time."""
    return [int(words[1]) for words in notes(log, "start")]


def die(*_: object, **__: object) -> NoReturn:
    """End this process as a power cut would, without any cleaning up."""
    plan = faults()
    (Path(plan.log) / "died").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    raise AssertionError("still alive")


def arm(point: str) -> None:
    """Make this process die when it reaches `point`; it will not survive to be put right."""
    from distbragg.store import local_files, write
    from distbragg.store.local_files import LocalWriter

    if point == "before-write":
        _put(LocalWriter, "finish", die)
    elif point == "inside-object":
        _put(LocalWriter, "_publish", _torn_object)
    elif point == "before-rename":
        os.replace = die
    elif point == "after-rename":
        os.replace = _then_die(os.replace)
    elif point == "before-receipt":
        _put(write, "append_receipt", die)
    elif point == "inside-receipt":
        _put(local_files.LocalAppender, "append", _torn_append)


def _put(owner: ModuleType | type, name: str, value: object) -> None:
    if not hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} has no {name} any more: move the point of death")
    setattr(owner, name, value)


def _torn_object(writer: LocalWriter) -> NoReturn:
    os.truncate(writer.partial, writer.partial.stat().st_size // 2)
    die()


def _then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        function(*arguments, **options)
        die()

    return wrapped


def _torn_append(appender: LocalAppender, line: bytes) -> NoReturn:
    os.write(appender.descriptor, line[: len(line) // 2])
    die()


def _died_before(plan: Faults) -> bool:
    return (Path(plan.log) / "died").exists()


def _raise() -> NoReturn:
    raise ValueError("this unit\nalways raises")


def _segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def _loop() -> NoReturn:
    while True:
        pass


def _memory() -> NoReturn:
    held = []
    while True:  # until the nanny, which looks ten times a second, ends this process
        held.append(bytearray(os.urandom(1 << 20)) * 16)
        time.sleep(0.05)


MISBEHAVIOUR: dict[str, Callable[[], None]] = {
    "raise": _raise,
    "segfault": _segfault,
    "loop": _loop,
    "memory": _memory,
}
