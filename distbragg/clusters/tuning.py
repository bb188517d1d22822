"""What workers load before their first unit, and settings of processes that are ours alone.

Dask's monitors sample stacks each 10 ms and beat event loops each 20 ms: on a machine whose cores
all render that takes about 4 % of a core per worker from the kernel. Units last seconds, so a
tenth of the samples says as much.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from distributed import Client, WorkerPlugin

_CALM: Final = {
    "distributed.worker.profile.interval": ("10ms", "100ms"),
    "distributed.worker.profile.cycle": ("1000ms", "10s"),
    "distributed.admin.tick.interval": ("20ms", "200ms"),
    "distributed.admin.system-monitor.interval": ("500ms", "2s"),
    "distributed.worker.memory.monitor-interval": ("100ms", "250ms"),
}
"""Settings of Dask: its default, and ours."""

_KEPT: Final = ((-3, 4 << 20), (-1, 8 << 20))
"""glibc's M_MMAP_THRESHOLD (buffers above it are never kept) and M_TRIM_THRESHOLD (free memory
above it is handed back), bytes."""

WARM_UP_S: Final = 30.0
"""Longest wait for workers to load what they need, s; they go on loading without us."""

logger = logging.getLogger("distbragg")


def calm_settings() -> dict[str, str]:
    """Return the settings to change: those that the user left as Dask has them."""
    import dask
    import distributed  # noqa: F401  its defaults join Dask's as it is loaded

    return {
        name: ours
        for name, (default, ours) in _CALM.items()
        if dask.config.get(name, default) == default
    }


def variable(name: str) -> str:
    """Return the environment variable in which Dask looks for a setting."""
    return "DASK_" + name.replace(".", "__").replace("-", "_").upper()


def warm_up_plugin(*, own: bool) -> WorkerPlugin:
    """Return a plugin that loads the kernel and the modules of a unit as a worker starts.

    The class is local so that it travels by value: a worker without distbragg starts all the
    same, and its tasks say what it lacks. Of `own` workers, started for this run, allocator and
    collector are tuned too.
    """
    from distributed import WorkerPlugin

    class WarmUp(WorkerPlugin):
        name = "distbragg-warm-up"
        idempotent = True

        async def setup(self, worker: object) -> None:
            import asyncio

            try:
                from distbragg.clusters.tuning import warm_up
            except ImportError:
                return
            # A worker without a nanny may live in the user's own process.
            tune = own and getattr(worker, "nanny", None) is not None
            await asyncio.to_thread(warm_up, tune=tune)

    return WarmUp()


def warm_up(*, tune: bool) -> None:
    """Load what a unit needs; with `tune`, set this process up for rendering alone."""
    import numpy.random  # noqa: F401  numpy loads it when it is first asked for

    import distbragg.engine.unit  # noqa: F401
    from distbragg.kernel.native import library

    library.available()
    if tune:
        keep_freed_memory()
        # A full collection looks at every object, and the modules stay as long as the process.
        gc.freeze()


def dask_setup(worker: object) -> None:
    """Warm up a worker that is started for rendering: `dask worker --preload` calls this."""
    del worker
    warm_up(tune=True)


def keep_freed_memory() -> bool:
    """Let malloc keep buffers of small frames; whether the C library knows how.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_, by which every larger buffer goes back
    to the system as soon as it is free, and is zeroed page by page when it is asked for again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False  # not glibc
    kept = [bool(mallopt(option, value)) for option, value in _KEPT]
    return all(kept)


def warm_up_workers(client: Client, *, own: bool) -> None:
    """Warm up the workers there are and those that join later; a slow one is not waited for."""

    def register() -> None:
        try:
            client.register_plugin(warm_up_plugin(own=own))
        except Exception as error:  # rendering goes on without, a little slower at first
            logger.debug("workers were not warmed up: %s", error)

    thread = threading.Thread(target=register, name="warm-up", daemon=True)
    thread.start()
    thread.join(WARM_UP_S)
