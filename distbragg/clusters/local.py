"""Workers of this machine, and the scheduler of every cluster that is started here."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from typing import Any, Final

import dask
from dask.system import CPU_COUNT
from distributed import Adaptive, Nanny, Scheduler, SpecCluster
from distributed.core import Status
from tornado import web
from tornado.routing import PathMatches, Rule

from distbragg.clusters.tls import temporary_security
from distbragg.clusters.tuning import calm_settings
from distbragg.engine.work import LOOPBACK
from distbragg.rendering.frame import RESOURCE, UNITS_AT_ONCE
from distbragg.spec.cluster import LocalClusterSpec

LOOK_INTERVAL: Final = "5s"  # time between two looks at the number of workers
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"

DASHBOARD_ADDRESS: Final = f"{LOOPBACK}:0"
"""Loopback, any free port: the default of Dask is every interface, without a password."""


class OwnScheduler(Scheduler):
    """A scheduler in this process, whose dashboard answers under a path nobody can guess.

    Dask's dashboard asks for no password, and everybody on this machine reaches the loopback
    interface. One death of a worker ends an attempt: the executor counts attempts and tries again
    itself.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 those of Dask's scheduler
        path = f"/{secrets.token_urlsafe(16)}"
        ours = {"allowed_failures": 0, "dashboard_address": DASHBOARD_ADDRESS, "http_prefix": path}
        super().__init__(**options | ours)
        self.http_prefix = path
        # First of all rules: Dask leads from the root to the path, and lists its routes.
        outside = Rule(PathMatches(rf"(?!{path}(?:/|$)).*"), _Hidden)
        self.http_application.default_router.rules.insert(0, outside)


class _Hidden(web.RequestHandler):
    def prepare(self) -> None:
        raise web.HTTPError(404)


class LocalWorkers(SpecCluster):
    """Processes under nannies and a scheduler in this process, on the loopback interface.

    CPU workers have one task thread. GPU workers see one GPU each, in turns where there are more
    processes than GPUs; each has as many task threads, and as much of the resource GPU, as it
    takes units at a time: one in the kernel, the others being encoded and written. `devices` are
    what CUDA_VISIBLE_DEVICES says to the processes, one after another; none for CPU workers.
    """

    def __init__(self, spec: LocalClusterSpec, devices: Sequence[str] = ()) -> None:
        _start_resource_tracker()
        count = spec.workers or len(devices) or CPU_COUNT
        calm = calm_settings()
        both: dict[str, Any] = {"host": LOOPBACK, "protocol": "tls://" if spec.tls else "tcp://"}
        if spec.tls:
            both["security"] = temporary_security()
        worker = both | {
            "nthreads": UNITS_AT_ONCE if devices else 1,
            "memory_limit": spec.memory_limit or "auto",
            "dashboard": False,
            # No metrics either: these workers live and end with this process.
            "config": {**calm, "distributed.worker.http.routes": []},
            "silence_logs": logging.WARNING,
        }
        visible: list[dict[str, Any]] = [{"env": {_VISIBLE: device}} for device in devices] or [{}]
        if devices:
            worker["resources"] = {RESOURCE: UNITS_AT_ONCE}
        with dask.config.set(calm):
            super().__init__(
                scheduler={"cls": OwnScheduler, "options": both},
                workers={
                    name: {"cls": Nanny, "options": worker | visible[name % len(visible)]}
                    for name in range(count)
                },
                security=both.get("security"),
                silence_logs=logging.WARNING,
            )
        self.adapt(Adaptive=Supervisor, minimum=count, maximum=count, interval=LOOK_INTERVAL)

    def _update_worker_status(self, op: str, msg: object) -> None:
        """Leave workers that are gone to their nannies and to the supervisor.

        Dask closes a nanny whose worker has been away for 15 s, though it may be starting the
        next one: on a busy machine that takes longer. A worker that goes before Dask's list has it
        would end the listening.
        """
        with suppress(KeyError):
            super(SpecCluster, self)._update_worker_status(op, msg)


def _start_resource_tracker() -> None:
    """Start the helper of multiprocessing, which unblocks signals that the command line blocks."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Supervisor(Adaptive):
    """Dask's adaptive scaling held at one number, so that a run of many days keeps its workers.

    Dask gives a worker up for good when its process dies while it starts; here it is dropped, and
    another takes its place, with its GPU.
    """

    async def recommendations(self, target: int) -> dict[str, Any]:
        """Drop workers that will never run, then start what is missing."""
        cluster: Any = self.cluster
        workers = cluster.workers
        for name, worker in list(workers.items()):
            if worker.status in {Status.failed, Status.closed}:
                del workers[name]
        found: dict[str, Any] = await super().recommendations(target)
        return found


def device_names(device: str, count: int) -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES is to say to each process; this one sees `count` GPUs.

    "cuda": every one, for one worker process each. "cuda:N": that one, which keeps its number, so
    that the processes see what this one does.
    """
    visible = os.environ.get(_VISIBLE, "")
    listed = [name.strip() for name in visible.split(",") if name.strip()]
    names = listed or [str(index) for index in range(count)]
    return names if device == "cuda" else [",".join(names)]
