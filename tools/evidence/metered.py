"""Rendering with the kernel's own processor time measured: the work of the overhead table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from distbragg.engine.context import RunContext
from distbragg.engine.unit import RENDERING
from distbragg.engine.work import TaskSettings
from distbragg.rendering import frame

_KERNELS: Final = ("sum_tile", "render_photons")
"""The kernel, by the names under which rendering frames calls it."""

KERNEL_CPU: Final = "kernel_cpu_seconds"
STARTED: Final = "started"
"""Keys beside the receipt's own in what `METERED` returns."""


@dataclass
class Spent:
    """Processor time inside the kernel, s."""

    seconds: float = 0.0


@contextmanager
def metered_kernel() -> Iterator[Spent]:
    """Measure the kernel's processor time while the block runs.

    With one kernel thread, as every worker has, that is the time of the thread that calls it. The
    main thread has long calls made in another, so that it can be interrupted, and waits; nothing
    else is at work in such a process. Time that other processes took the core away is left out.
    """
    spent = Spent()
    main = threading.current_thread() is threading.main_thread()
    clock = time.process_time if main else time.thread_time
    originals: dict[str, Callable[..., Any]] = {name: getattr(frame, name) for name in _KERNELS}

    def metered(original: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            started = clock()
            try:
                return original(*arguments, **options)
            finally:
                spent.seconds += clock() - started

        return measured

    for name, original in originals.items():
        setattr(frame, name, metered(original))
    try:
        yield spent
    finally:
        for name, original in originals.items():
            setattr(frame, name, original)


def render_unit(run: RunContext, unit: int, attempt: int, settings: TaskSettings) -> dict[str, Any]:
    """Render a unit as every run does; return its receipt with the kernel's processor time."""
    started = time.time()
    with metered_kernel() as spent:
        receipt = RENDERING.render_unit(run, unit, attempt, settings)
    return {**receipt, STARTED: started, KERNEL_CPU: spent.seconds}


METERED: Final = replace(RENDERING, render_unit=render_unit)
