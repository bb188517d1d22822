"""Where units run: this process, or the workers of a cluster."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from distbragg.engine.events import EventCallback, JobsSubmitted, each_of
from distbragg.engine.executor import Executor, SerialExecutor
from distbragg.engine.work import RUN_HASH_DIGITS, TaskSettings, UnitFunctions, default_work
from distbragg.errors import EnvironmentFailure, InputError
from distbragg.kernel.options import cuda_devices
from distbragg.plan.memory import memory_limit_bytes
from distbragg.plan.sweep import SweepPlan
from distbragg.run.machine import memory_bytes, usable_cores
from distbragg.run.prepare import check_plan
from distbragg.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

    from distbragg.spec.cluster import ClusterSpec

ClientLike: TypeAlias = "Client | Cluster"
ClusterLike: TypeAlias = "str | ClusterSpec | ClientLike"

SERIAL = "serial"
CLUSTER_PAYS_S = 20.0
"""Planned cost below which starting worker processes takes longer than it saves."""

_log = logging.getLogger("distbragg")


def choose_cluster(
    cluster: ClusterLike | None,
    client: ClientLike | None,
    workers: int | None,
    units: int,
    cost: float,
) -> ClusterSpec | ClientLike | None:
    """Find where to run: a cluster, a client that somebody made, or None for this process."""
    if client is not None and cluster is not None:
        raise InputError("both cluster and client are given", remedy="give one of them")
    where = client if client is not None else cluster
    # Who has made a client has loaded distributed: a run in this process starts without it.
    if where is None and workers is None and "distributed" in sys.modules:
        from distbragg.clusters.open import active_client

        where = active_client()
    if where is None:
        pays = units > 1 and cost > CLUSTER_PAYS_S and usable_cores() > 1
        where = "local" if (pays if workers is None else workers > 1) else SERIAL
    if where == SERIAL:
        return None
    if not isinstance(where, str):
        return where
    from distbragg.clusters.address import parse_cluster

    return parse_cluster(where)


@contextmanager
def open_executor(
    where: ClusterSpec | ClientLike | None,
    settings: TaskSettings,
    *,
    workers: int | None,
    on_event: EventCallback | None,
    work: UnitFunctions | None = None,
    run: RunDirectory | None = None,
    plan: SweepPlan | None = None,
) -> Iterator[Executor]:
    """Yield an executor at `where`, this process if None; a cluster started here ends with it.

    A `run` to be rendered by its `plan` gets as many local workers as memory holds, and a page.
    """
    devices: list[str] = []
    gpu_only = False
    if run is not None and plan is not None:
        workers, devices = _fitting(run, plan, where, workers)
        # Where classes may be mixed, workers without a GPU are to help.
        gpu_only = run.sweep.experiment.compute.device != "cpu" and not settings.allow_mixed
    if where is None:
        yield SerialExecutor(settings=settings, work=work or default_work(), on_event=on_event)
        return
    # Loaded here, for a cluster alone: a run in this process starts without Dask.
    from distbragg.clusters.open import open_client
    from distbragg.engine.dask_executor import DaskExecutor
    from distbragg.engine.dask_workers import dashboard_link, gpu_resources, worker_count

    with open_client(where, workers=workers, devices=devices) as opened:
        client = opened.client
        watching: AbstractContextManager[tuple[EventCallback | None, str]] = nullcontext(
            (None, dashboard_link(client))
        )
        if run is not None and settings.watch:
            from distbragg.dashboard.publish import published

            watching = published(client, run.run_id[:RUN_HASH_DIGITS], run.objects.free_bytes)
        with watching as (page, link):
            told = each_of(on_event, page)
            if opened.jobs and told is not None:
                told(JobsSubmitted(cast("ClusterSpec", where).kind, opened.jobs))
            yield DaskExecutor(
                client,
                settings=replace(settings, threads=1),
                work=work or default_work(),
                resources=gpu_resources(client) if gpu_only else None,
                on_event=told,
                workers=worker_count(client),
                dashboard=link,
                worker_patience_s=opened.patience_s,
                trouble=opened.trouble,
            )


def _fitting(
    run: RunDirectory,
    plan: SweepPlan,
    where: ClusterSpec | ClientLike | None,
    workers: int | None,
) -> tuple[int | None, list[str]]:
    """Return how many workers memory holds of local ones, and their GPUs."""
    if where is None:
        check_memory(run, plan)
    if getattr(where, "kind", "") != "local":
        return workers, []
    devices = _local_gpus(run.sweep.experiment.compute.device)
    asked = workers or cast("ClusterSpec", where).workers
    most = asked or len(devices) or usable_cores()
    return fitting_workers(run, plan, most, warn=bool(asked)), devices


def _local_gpus(device: str) -> list[str]:
    """Name the GPUs for local workers of a run on `device`; none for a run on the CPU."""
    if device == "cpu":
        return []
    from distbragg.clusters.local import device_names

    count = cuda_devices()
    if not count:
        raise EnvironmentFailure(
            f"compute.device: {device} is not available; resume on a machine with a GPU, or let "
            "CPU workers of a cluster help with --allow-mixed"
        )
    return device_names(device, count)


def fitting_workers(run: RunDirectory, plan: SweepPlan, asked: int, *, warn: bool) -> int:
    """Return as many of the asked local workers as memory holds; `warn` where that is fewer."""
    compute, machine = run.sweep.experiment.compute, memory_bytes()
    needed = check_memory(run, plan)
    count = asked
    while count > 1 and needed > memory_limit_bytes(compute, machine, count):
        count -= 1
    if count < asked and warn:
        _log.warning(
            "starting %d workers, not %d: each needs %.1f GB of this machine's %.1f GB",
            count,
            asked,
            needed / 1e9,
            machine / 1e9,
        )
    return count


def check_memory(run: RunDirectory, plan: SweepPlan) -> int:
    """Refuse a plan that this machine's memory cannot hold; return what one process needs."""
    points = run.manifest.summary["grid_points"]
    return check_plan(plan, run.sweep.experiment.compute, points)
