"""Where units run: this process, or the workers of a cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from distbragg.errors import EnvironmentFailure
from distbragg.graph.executor import Executor, SerialExecutor
from distbragg.graph.progress import EventCallback, JobsSubmitted, each_of
from distbragg.graph.work import RUN_HASH_DIGITS, TaskSettings, Work
from distbragg.kernel.options import cuda_devices
from distbragg.plan.memory import (
    MemoryEstimate,
    check_fits,
    memory_limit_bytes,
    predict_peak_bytes,
)
from distbragg.plan.sweep import SweepPlan, choose_form
from distbragg.run.machine import free_disk_bytes, memory_bytes, usable_cores
from distbragg.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from distributed import Client

    from distbragg.spec.cluster import ClusterSpec

SERIAL = "serial"
CLUSTER_PAYS_S = 20.0
"""Planned cost below which starting worker processes takes longer than it saves."""

_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class Place:
    """Where units run: the executor, its number of workers, its dashboard's address.

    `on_event` takes what is to be told of the run: the caller's and, on a watched cluster, the
    dashboard's.
    """

    executor: Executor
    workers: int
    dashboard: str
    on_event: EventCallback | None


def choose_place(
    cluster: str | ClusterSpec | None, workers: int | None, units: int, cost: float
) -> ClusterSpec | None:
    """Find where to run: a cluster, or None for this process."""
    if cluster is None:
        pays = units > 1 and cost > CLUSTER_PAYS_S and usable_cores() > 1
        cluster = "local" if (pays if workers is None else workers > 1) else SERIAL
    if cluster == SERIAL:
        return None
    # Loaded here, for a cluster alone, as all of what belongs to one: see `open_place`.
    from distbragg.graph.cluster import parse_cluster

    return parse_cluster(cluster) if isinstance(cluster, str) else cluster


@contextmanager
def open_place(
    run: RunDirectory,
    plan: SweepPlan,
    where: ClusterSpec | None,
    settings: TaskSettings,
    *,
    workers: int | None,
    on_event: EventCallback | None,
    work: Work | None = None,
) -> Iterator[Place]:
    """Yield an executor at `where`, this process if None; the cluster is closed afterwards.

    `work` stands in for rendering, where given.

    Raises
    ------
    PlanError
        This machine's memory cannot hold one worker.
    EnvironmentFailure
        The cluster cannot be used.
    """
    if where is None:
        check_memory(run, plan)
        yield Place(SerialExecutor(settings, work=work, on_event=on_event), 1, "", on_event)
        return
    # Loaded here, for a cluster alone: a run in this process starts without Dask.
    from distbragg.graph.cluster import open_site
    from distbragg.graph.dask_executor import DaskExecutor, gpu_resources, worker_count
    from distbragg.graph.garbage import standing_aside

    settings = replace(settings, threads=1)
    device = run.sweep.experiment.compute.device
    # Where classes may be mixed, workers without a GPU are to help.
    gpu_only = device != "cpu" and not settings.allow_mixed
    devices: list[str] = []
    if where.kind == "local":
        devices = _local_gpus(device)
        asked = workers or where.workers
        most = asked or len(devices) or usable_cores()
        workers = fitting_workers(run, plan, most, warn=bool(asked))
    with (
        open_site(where, workers=workers, devices=devices) as opened,
        _watched(opened.client, run, settings, on_event) as (told, link),
        standing_aside(),
    ):
        if opened.jobs and told is not None:
            told(JobsSubmitted(where.kind, opened.jobs))
        executor = DaskExecutor(
            opened.client,
            settings,
            work=work,
            resources=gpu_resources(opened.client) if gpu_only else None,
            on_event=told,
            worker_patience_s=opened.patience_s,
            trouble=opened.trouble,
        )
        yield Place(executor, worker_count(opened.client), link, told)


@contextmanager
def _watched(
    client: Client, run: RunDirectory, settings: TaskSettings, on_event: EventCallback | None
) -> Iterator[tuple[EventCallback | None, str]]:
    """Yield who is told of events, the dashboard's page too where it is wanted, and its link."""
    if not settings.watch:
        from distbragg.graph.dask_executor import dashboard_link

        yield on_event, dashboard_link(client)
        return
    from distbragg.graph.watch.feed import open_feed

    free = partial(free_disk_bytes, run.path)
    with open_feed(client, run.run_id[:RUN_HASH_DIGITS], free) as (feed, link):
        yield each_of(on_event, feed), link


def _local_gpus(device: str) -> list[str]:
    """Name the GPUs for local workers of a run on `device`; none for a run on the CPU.

    Raises
    ------
    EnvironmentFailure
        The run wants a GPU, and there is none.
    """
    if device == "cpu":
        return []
    from distbragg.graph.sites.gpu import device_names

    count = cuda_devices()
    if not count:
        raise EnvironmentFailure(
            f"compute.device: {device} is not there; resume on a machine with a GPU, or let CPU "
            "workers of a cluster help with --allow-mixed"
        )
    return device_names(device, count)


def fitting_workers(run: RunDirectory, plan: SweepPlan, asked: int, *, warn: bool) -> int:
    """Return as many of the asked local workers as memory holds; `warn` where that is fewer.

    Raises
    ------
    PlanError
        Memory cannot hold even one.
    """
    compute, machine = run.sweep.experiment.compute, memory_bytes()
    needed = _estimate(run, plan).total
    check_memory(run, plan)
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


def check_memory(run: RunDirectory, plan: SweepPlan) -> None:
    """Refuse a plan that this machine's memory cannot hold; see `plan.memory.check_fits`."""
    limit = memory_limit_bytes(run.sweep.experiment.compute, memory_bytes())
    check_fits(plan, _estimate(run, plan), memory_bytes=limit)


def _estimate(run: RunDirectory, plan: SweepPlan) -> MemoryEstimate:
    form = choose_form(plan, run.sweep.experiment.compute)
    points = run.manifest.summary["grid_points"]
    return predict_peak_bytes(plan, grid_points=points, form=form)
