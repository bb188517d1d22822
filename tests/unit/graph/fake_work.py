"""Tiny units that behave, raise, or kill their process: what executors are tested with.

`run` is a folder; each attempt leaves a file there, so that tests can see what ran.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.graph.partial import PartialImage, merge
from distbragg.graph.work import TaskSettings, TileTask, Work
from distbragg.plan.keys import TileKey

CHUNKS = 5
ARITY = 2
RAISES, DIES_ONCE, KILLS, BAD_SPEC, FULL_DISK = 101, 102, 103, 104, 105


def run_hash(run: str) -> str:
    return hashlib.sha256(Path(run).name.encode()).hexdigest()[:12]


def render_unit(run: str, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    misbehave(run, unit, attempt)
    return {"unit": unit, "attempt": attempt, "threads": settings.threads, "pid": os.getpid()}


def expand_unit(run: str, unit: int) -> tuple[TileTask, ...]:
    keys = (tuple(TileKey(unit, 0, tile, chunk) for chunk in range(CHUNKS)) for tile in range(2))
    return tuple(TileTask(group, ARITY) for group in keys)


def render_partial(run: str, key: TileKey, settings: TaskSettings) -> PartialImage:
    rng = np.random.default_rng([key.frame, key.tile, key.source_chunk])
    return PartialImage(rng.standard_normal(7), 1.0, 7, "plan", (key,))


def merge_partials(parts: Sequence[PartialImage]) -> PartialImage:
    return merge(parts)


def write_unit(
    run: str, unit: int, attempt: int, roots: Sequence[PartialImage], settings: TaskSettings
) -> dict[str, Any]:
    misbehave(run, unit, attempt)
    digest = b"".join(root.numerator.tobytes() for root in roots)
    return {"unit": unit, "attempt": attempt, "digest": digest.hex()}


def misbehave(run: str, unit: int, attempt: int) -> None:
    (Path(run) / f"u{unit}-a{attempt}").touch()
    if unit == RAISES:
        raise ValueError("this unit\nalways raises")
    if unit == BAD_SPEC:
        raise InputError("no such field", field="crystal.sell")
    if unit == FULL_DISK:
        raise EnvironmentFailure("no space left")
    if unit == KILLS or (unit == DIES_ONCE and attempt == 0):
        os.kill(os.getpid(), signal.SIGKILL)


FAKE = Work(
    run_hash=run_hash,
    render_unit=render_unit,
    expand_unit=expand_unit,
    render_partial=render_partial,
    merge_partials=merge_partials,
    write_unit=write_unit,
)


def attempts_made(run: str | Path, unit: int) -> int:
    return len(list(Path(run).glob(f"u{unit}-a*")))
