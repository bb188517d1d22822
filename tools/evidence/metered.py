"""Rendering with the kernel's own processor time measured: the work of the overhead table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from distbragg.graph import frame
from distbragg.graph.tasks import RENDERING
from distbragg.graph.work import TaskSettings

_KERNELS: Final = ("sum_tile", "render_photons")
"""The kernel, by the names under which rendering frames calls it."""

KERNEL_CPU: Final = "kernel_cpu_seconds"
STARTED: Final = "started"
"""Keys beside the receipt's own in what `METERED` returns."""


@dataclass
class Spent:
    """Processor time of this thread inside the kernel, s."""

    seconds: float = 0.0


@contextmanager
def metered_kernel() -> Iterator[Spent]:
    """Measure the calling thread's processor time in the kernel while the block runs.

    With one kernel thread, as every worker has, that is all of the kernel's time, and none of
    the time that other processes took the core away.
    """
    spent = Spent()
    originals: dict[str, Callable[..., Any]] = {name: getattr(frame, name) for name in _KERNELS}

    def metered(original: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            started = time.thread_time()
            try:
                return original(*arguments, **options)
            finally:
                spent.seconds += time.thread_time() - started

        return measured

    for name, original in originals.items():
        setattr(frame, name, metered(original))
    try:
        yield spent
    finally:
        for name, original in originals.items():
            setattr(frame, name, original)


def render_unit(run: str, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    """Render a unit as every run does; return its receipt with the kernel's processor time."""
    started = time.time()
    with metered_kernel() as spent:
        receipt = RENDERING.render_unit(run, unit, attempt, settings)
    return {**receipt, STARTED: started, KERNEL_CPU: spent.seconds}


METERED: Final = replace(RENDERING, render_unit=render_unit)
