"""Where the workers are: `--cluster` turned into a Dask client.

Every form gives one-thread workers under a nanny, dashboards on the loopback interface
alone, and encryption wherever a connection leaves the machine: Dask's scheduler runs what
it is sent, and its dashboard asks no password.
"""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from distbragg.errors import DistbraggError, EnvironmentFailure, InputError
from distbragg.graph.keeping import kept_at, quiet_loss
from distbragg.graph.sites.joined import check, connection
from distbragg.graph.sites.keeper import JobKeeper
from distbragg.graph.sites.local import DASHBOARD_ADDRESS, local_cluster, usable_cores
from distbragg.graph.sites.monitors import calm_monitors
from distbragg.graph.sites.queue import queue_cluster
from distbragg.spec.cluster import (
    MODELS,
    AddressClusterSpec,
    ClusterSpec,
    LocalClusterSpec,
    QueueClusterSpec,
    SchedulerFileClusterSpec,
    read_cluster_file,
)

# distributed is loaded where a cluster is opened: a run in this process needs none of it.
if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = [
    "DASHBOARD_ADDRESS",
    "ClusterSpec",
    "OpenCluster",
    "open_cluster",
    "open_site",
    "parse_cluster",
    "usable_cores",
]

logger = logging.getLogger("distbragg")

CONNECT_TIMEOUT_S = 30
"""Longest wait for a scheduler to answer, s."""

WORKER_PATIENCE_S: Final = 300.0
"""Longest time without any worker before a run gives up, s; jobs of a queue may wait longer."""

_SECONDS_PER_HOUR: Final = 3600.0
_MAXIMUM_LOCAL_WORKERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class OpenCluster:
    """A cluster in use.

    Attributes
    ----------
    client : distributed.Client
    patience_s : float
        How long to wait while there is no worker, s.
    trouble : callable
        Says why no worker will come, in one line; an empty text while there is hope.
    jobs : tuple of str
        Numbers of the jobs that were submitted.
    """

    client: Client
    patience_s: float = WORKER_PATIENCE_S
    trouble: Callable[[], str] = str
    jobs: tuple[str, ...] = ()


def parse_cluster(text: str, site: str = "") -> ClusterSpec:
    """Read a `--cluster` value.

    Parameters
    ----------
    text : str
        `local`, `local:N`, a scheduler's address, a scheduler file (`.json`), a cluster
        file (`.yaml`, `.yml`; see `spec.cluster`), or with `site` its kind alone.
    site : str
        A cluster file that says the rest.

    Raises
    ------
    InputError
        It is none of these, or the file cannot be used.
    """
    spec = read_cluster_file(site, _kind(text)) if site else _parse(text)
    if isinstance(spec, AddressClusterSpec | SchedulerFileClusterSpec):
        check(spec)
    return spec


def _parse(text: str) -> ClusterSpec:
    head, _, tail = text.partition(":")
    if head == "local":
        return LocalClusterSpec(workers=_local_workers(text, tail))
    if "://" in text:
        return AddressClusterSpec(address=text)
    if text.endswith((".yaml", ".yml")):
        return read_cluster_file(text)
    if text.endswith(".json"):
        return SchedulerFileClusterSpec(scheduler_file=text)
    if head and tail.isdigit():
        return AddressClusterSpec(address=f"tcp://{text}")
    known = text in MODELS
    raise InputError(
        f"{text!r} needs a cluster file" if known else f"{text!r} names no cluster",
        source="--cluster",
        remedy="add --site FILE.yaml (see cluster/)"
        if known
        else "give local, local:N, tcp://host:port, a scheduler file .json or a cluster file .yaml",
    )


@contextmanager
def open_cluster(
    cluster: str | ClusterSpec, *, workers: int | None = None, memory_limit: str | None = None
) -> Iterator[Client]:
    """Start or join a cluster, and leave it as it was found; see `open_site`."""
    with open_site(cluster, workers=workers, memory_limit=memory_limit) as opened:
        yield opened.client


@contextmanager
def open_site(
    cluster: str | ClusterSpec,
    *,
    workers: int | None = None,
    memory_limit: str | None = None,
    devices: Sequence[str] = (),
) -> Iterator[OpenCluster]:
    """Start or join a cluster, and leave it as it was found.

    Parameters
    ----------
    cluster : str or ClusterSpec
        See `parse_cluster`.
    workers : int, optional
        Overrides the number of workers to start.
    memory_limit : str, optional
        Overrides the memory limit of a local worker.
    devices : sequence of str, optional
        GPUs for local workers, one each; see `sites.gpu.device_names`.

    Yields
    ------
    OpenCluster

    Raises
    ------
    InputError
        The cluster file cannot be used, or asks for a plain connection off this machine.
    EnvironmentFailure
        The cluster cannot be started or does not answer.
    """
    spec = parse_cluster(cluster) if isinstance(cluster, str) else cluster
    if workers is not None:
        spec = spec.model_copy(update={"workers": workers})
    if memory_limit is not None and isinstance(spec, LocalClusterSpec):
        spec = spec.model_copy(update={"memory_limit": memory_limit})
    with ExitStack() as stack:
        try:
            opened = _open(spec, stack, devices)
        except DistbraggError:
            raise
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise EnvironmentFailure(
                f"the {spec.kind} cluster cannot be used: {_one_line(error)}"
            ) from error
        yield opened


def _open(spec: ClusterSpec, stack: ExitStack, devices: Sequence[str]) -> OpenCluster:
    if isinstance(spec, LocalClusterSpec):
        stack.enter_context(calm_monitors())
        local = stack.enter_context(_local(spec, devices))
        stack.enter_context(kept_at(local, len(local.worker_spec)))
        return OpenCluster(_client(stack, address=local))
    if isinstance(spec, QueueClusterSpec):
        stack.enter_context(calm_monitors())
        cluster = stack.enter_context(queue_cluster(spec))
        client = _client(stack, address=cluster)
        keeper = stack.enter_context(JobKeeper(cluster, spec.kind, spec.jobs))
        patience_s = spec.patience_h * _SECONDS_PER_HOUR
        return OpenCluster(client, patience_s, lambda: keeper.trouble, keeper.numbers)
    if isinstance(spec, AddressClusterSpec | SchedulerFileClusterSpec):
        return OpenCluster(_client(stack, **connection(spec)))
    raise TypeError(f"{type(spec).__name__} cannot be opened")


def _local(spec: LocalClusterSpec, devices: Sequence[str]) -> LocalCluster:
    if not devices:
        return local_cluster(spec)
    from distbragg.graph.sites.gpu import GpuCluster

    return GpuCluster(spec, devices)


def _client(stack: ExitStack, **place: Any) -> Client:  # noqa: ANN401
    from distributed import Client

    stack.enter_context(quiet_loss())
    client = Client(**place, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    stack.push(partial(_leave, client))
    entered: Client = client.__enter__()
    return entered


def _leave(client: Client, *error: Any) -> None:  # noqa: ANN401
    """Close a client; what goes wrong at it never hides why the run ended.

    distributed raises where its scheduler is lost and an attempt to reach it expires just then.
    """
    try:
        client.__exit__(*error)
    except RuntimeError as trouble:
        logger.debug("closing the client: %s", trouble)


def _kind(text: str) -> str:
    if not text or text in MODELS:
        return text
    raise InputError(
        f"{text!r} is no kind of cluster file",
        source="--cluster",
        remedy=f"with --site give one of {', '.join(MODELS)}, or leave --cluster out",
    )


def _local_workers(text: str, tail: str) -> int:
    if ":" not in text:
        return 0
    if not (tail.isdecimal() and 1 <= int(tail) <= _MAXIMUM_LOCAL_WORKERS):
        raise InputError(
            f"{tail!r} is no number of workers", source="--cluster", remedy="write local:4"
        )
    return int(tail)


def _one_line(error: BaseException) -> str:
    """Return an error's text in one line; of a failed command, what it wrote as its error."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename}: no such command or file"
    text = str(error)
    _, found, written = text.partition("stderr:\n")
    return " ".join((written if found and written.strip() else text).split())
