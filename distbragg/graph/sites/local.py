"""Worker processes on this machine."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from distbragg.spec.cluster import LocalClusterSpec

# distributed is loaded where a cluster is opened: a run in this process needs none of it.
if TYPE_CHECKING:
    from distributed import LocalCluster

LOOPBACK: Final = "127.0.0.1"

DASHBOARD_ADDRESS: Final = f"{LOOPBACK}:0"
"""Loopback, any free port: the default of Dask is every interface, without a password."""

WORKER_PRELOADS: Final = ("distbragg.graph.warm_up",)
"""Loading the kernel and zarr belongs to starting a worker, not to its first unit."""

ALLOWED_FAILURES: Final = 0
"""One death ends an attempt: the executor counts attempts and tries again itself."""


def local_cluster(spec: LocalClusterSpec) -> LocalCluster:
    """Start one-thread workers, each under a nanny, and a scheduler in this process."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=spec.workers or usable_cores(),
        threads_per_worker=1,
        processes=True,
        host=LOOPBACK,
        dashboard_address=DASHBOARD_ADDRESS,
        memory_limit=spec.memory_limit or "auto",
        silence_logs=logging.CRITICAL,
        preload=list(WORKER_PRELOADS),
        scheduler_kwargs={"allowed_failures": ALLOWED_FAILURES},
    )


def usable_cores() -> int:
    """Count the cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
