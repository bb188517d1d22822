"""Dask's own monitors at a pace that a long kernel can afford.

Every worker samples its task's stack each 10 ms, beats its event loop each 20 ms, and reads the
tables of processes several times a second. All of that needs the interpreter, and on a machine
whose cores all render it takes its time from the kernel: about 4 % of a core for each worker, and
as much for the scheduler. Units last seconds here, so a tenth of the samples says as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_CALM: Final[Mapping[str, tuple[str, str]]] = {
    "distributed.worker.profile.interval": ("10ms", "100ms"),
    "distributed.worker.profile.cycle": ("1000ms", "10s"),
    "distributed.admin.tick.interval": ("20ms", "200ms"),
    "distributed.admin.system-monitor.interval": ("500ms", "2s"),
    "distributed.worker.memory.monitor-interval": ("100ms", "250ms"),
}
"""Settings of Dask: its default, and ours."""


def calm_settings() -> dict[str, str]:
    """Return the settings to change: those that the user left as Dask has them."""
    import dask
    import distributed  # noqa: F401  its defaults join Dask's as it is loaded

    return {
        name: ours
        for name, (default, ours) in _CALM.items()
        if dask.config.get(name, default) == default
    }


def calm_environment() -> dict[str, str]:
    """Return the same as environment variables, for processes that are started elsewhere."""
    return {variable(name): value for name, value in calm_settings().items()}


def variable(name: str) -> str:
    """Return the environment variable in which Dask looks for a setting."""
    return "DASK_" + name.replace(".", "__").replace("-", "_").upper()


@contextmanager
def calm_monitors() -> Iterator[None]:
    """Give schedulers and workers that are started in the block the calmer pace."""
    import dask

    with dask.config.set(calm_settings()):
        yield
