"""Tiny units that behave, raise, or kill their process: what executors are tested with.

A folder stands for a run: each attempt leaves a file there, so that tests can see what ran.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distbragg.engine.context import RunContext
from distbragg.engine.executor import SerialExecutor
from distbragg.engine.work import TaskSettings, TileTask, UnitFunctions
from distbragg.errors import EnvironmentFailure, InputError
from distbragg.plan.frame import TileKey
from distbragg.rendering.frame import PartialImage

CHUNKS = 5
ARITY = 2
RAISES, DIES_ONCE, KILLS, BAD_SPEC, FULL_DISK, HANGS_ONCE = 101, 102, 103, 104, 105, 106


def context_of(folder: Path) -> RunContext:
    """Let a folder stand for a run."""
    return RunContext(str(folder), hashlib.sha256(folder.name.encode()).hexdigest())


def render_unit(run: RunContext, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    misbehave(run, unit, attempt)
    return {"unit": unit, "attempt": attempt, "threads": settings.threads, "pid": os.getpid()}


def expand_unit(run: RunContext, unit: int) -> tuple[TileTask, ...]:
    keys = (tuple(TileKey(unit, 0, tile, chunk) for chunk in range(CHUNKS)) for tile in range(2))
    return tuple(TileTask(group, ARITY) for group in keys)


def render_partial(run: RunContext, key: TileKey, settings: TaskSettings) -> PartialImage:
    rng = np.random.default_rng([key.frame, key.tile, key.source_chunk])
    return PartialImage(rng.standard_normal(7), 1.0, 7, "plan", (key,))


def write_unit(
    run: RunContext, unit: int, attempt: int, roots: Sequence[PartialImage], settings: TaskSettings
) -> dict[str, Any]:
    misbehave(run, unit, attempt)
    digest = b"".join(root.numerator.tobytes() for root in roots)
    return {"unit": unit, "attempt": attempt, "digest": digest.hex()}


def misbehave(run: RunContext, unit: int, attempt: int) -> None:
    (Path(run.url) / f"u{unit}-a{attempt}").touch()
    if unit == RAISES:
        raise ValueError("this unit\nalways raises")
    if unit == BAD_SPEC:
        raise InputError("no such field", field="crystal.sell")
    if unit == FULL_DISK:
        raise EnvironmentFailure("no space left")
    if unit == KILLS or (unit == DIES_ONCE and attempt == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    while unit == HANGS_ONCE and attempt == 0 and not (Path(run.url) / "go-on").exists():
        time.sleep(0.02)


FAKE = UnitFunctions(render_unit, expand_unit, render_partial, write_unit)


def attempts_made(run: RunContext, unit: int) -> int:
    return len(list(Path(run.url).glob(f"u{unit}-a*")))


class PicklingExecutor(SerialExecutor):
    """Sends what each task is and returns through pickle, as a cluster does."""

    def _call(self, function: Any, *arguments: object) -> Any:
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))
        return pickle.loads(pickle.dumps(super()._call(function, *arguments)))
