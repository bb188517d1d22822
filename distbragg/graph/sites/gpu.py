"""Worker processes on this machine, each with a GPU of its own."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from distributed import LocalCluster

from distbragg.graph.device import RESOURCE, UNITS_AT_ONCE
from distbragg.graph.sites.local import (
    ALLOWED_FAILURES,
    DASHBOARD_ADDRESS,
    LOOPBACK,
    WORKER_PRELOADS,
)
from distbragg.spec.cluster import LocalClusterSpec

_VISIBLE = "CUDA_VISIBLE_DEVICES"

START_TIMEOUT_S = 120
"""Longest wait for all processes: each loads torch."""


class GpuCluster(LocalCluster):
    """Processes that see one GPU each, in turns where there are more processes than GPUs.

    Each has as many task threads, and as much of the resource GPU, as it takes units at a time:
    one in the kernel, the others being encoded and written.

    Parameters
    ----------
    spec : LocalClusterSpec
    devices : sequence of str
        What CUDA_VISIBLE_DEVICES says to the processes, one after another.
    """

    def __init__(self, spec: LocalClusterSpec, devices: Sequence[str]) -> None:
        self._devices = tuple(devices)
        # Workers made by the constructor are all alike; those that are added are asked for here.
        super().__init__(
            n_workers=0,
            threads_per_worker=UNITS_AT_ONCE,
            resources={RESOURCE: UNITS_AT_ONCE},
            processes=True,
            host=LOOPBACK,
            dashboard_address=DASHBOARD_ADDRESS,
            memory_limit=spec.memory_limit or "auto",
            silence_logs=logging.CRITICAL,
            preload=list(WORKER_PRELOADS),
            scheduler_kwargs={"allowed_failures": ALLOWED_FAILURES},
        )
        count = spec.workers or len(devices)
        try:
            self.scale(count)
            self.wait_for_workers(count, timeout=START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def new_worker_spec(self) -> dict[Any, Any]:
        """Describe the next worker: Dask's own description with a GPU added."""
        described: dict[Any, Any] = super().new_worker_spec()
        return {name: self._with_gpu(worker) for name, worker in described.items()}

    def _with_gpu(self, worker: dict[str, Any]) -> dict[str, Any]:
        options = worker["options"]
        environment = {**(options.get("env") or {}), _VISIBLE: self._idlest()}
        return {**worker, "options": {**options, "env": environment}}

    def _idlest(self) -> str:
        """Return the GPU of the fewest workers: who takes another's place takes its GPU."""
        taken = Counter(worker["options"]["env"][_VISIBLE] for worker in self.worker_spec.values())
        return min(self._devices, key=lambda name: taken[name])


def device_names(device: str, count: int) -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES is to say to each process.

    Parameters
    ----------
    device : str
        "cuda": every GPU this process sees, one for each worker process. "cuda:N": that one,
        which keeps its number, so that the processes see what this one does.
    count : int
        GPUs that this process sees.
    """
    visible = os.environ.get(_VISIBLE, "")
    listed = [name.strip() for name in visible.split(",") if name.strip()]
    names = listed or [str(index) for index in range(count)]
    return names if device == "cuda" else [",".join(names)]
