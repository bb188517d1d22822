"""Sharing a GPU among the tasks of one worker process."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from distbragg.kernel.options import KernelOptions

RESOURCE: Final = "GPU"
"""Dask's worker resource of a GPU process; a rendering task asks for 1 of it."""

UNITS_AT_ONCE: Final = 3
"""Units in a GPU process at a time, and how much of `RESOURCE` it has: while one has the device,
the others are encoded and written, which takes a core longer than rendering takes a fast GPU."""

_turn = threading.Lock()


def device_turn(options: KernelOptions) -> AbstractContextManager[object]:
    """Hold the process's GPU while a frame is rendered; on the CPU nothing is held."""
    return nullcontext() if options.device == "cpu" else _turn
