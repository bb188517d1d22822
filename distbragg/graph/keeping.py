"""Keeping a local cluster whole for days, and its client quiet when it is lost.

Dask gives a worker up for good when its process dies while it starts, or takes longer than a
fixed time to come back; a run of many days would end on fewer and fewer workers.
"""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from distributed import SpecCluster

RETURN_S: Final = 60.0
"""Time a restarting worker has before another takes its place, s: on a busy machine Dask's
own 15 s are too short, and ended workers that were about to be ready."""

PERIOD_S: Final = 5.0
"""Time between two looks at the number of workers, s."""

_LOGGERS: Final = ("distributed", "distributed.client", "tornado", "tornado.application")


@contextmanager
def kept_at(cluster: SpecCluster, workers: int, period_s: float | None = None) -> Iterator[None]:
    """Start a new worker for each one that Dask has given up, while the block runs."""
    import dask

    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(PERIOD_S if period_s is None else period_s):
            # Does nothing while each of the workers has a process or is starting one.
            cluster.scale(workers)

    thread = threading.Thread(target=keep, name="worker-keeper", daemon=True)
    thread.start()
    try:
        with dask.config.set({"distributed.deploy.lost-worker-timeout": f"{RETURN_S:.0f} s"}):
            yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def quiet_loss() -> Iterator[None]:
    """Keep Dask from printing tracebacks when a scheduler is lost: the run says it in one line."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
