"""A Dask client for a run: the one that is handed in, or one for what `--cluster` names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from distributed import Client, get_worker
from distributed.deploy.cluster import Cluster

from distbragg.clusters.address import checked_address, parse_cluster
from distbragg.clusters.jobs import JobKeeper, queue_cluster
from distbragg.clusters.local import LocalWorkers
from distbragg.clusters.tls import security_of
from distbragg.clusters.tuning import warm_up_workers
from distbragg.engine.work import WORKER_PATIENCE_S
from distbragg.errors import DistbraggError, EnvironmentFailure, InputError
from distbragg.spec.cluster import (
    ClusterSpec,
    JoinedClusterSpec,
    LocalClusterSpec,
    QueueClusterSpec,
)

ClusterLike = str | ClusterSpec | Client | Cluster

CONNECT_TIMEOUT_S: Final = 30  # longest wait for a scheduler to answer, s
SILENCE_S: Final = 3.0  # wait after which it is said that nobody answers yet, s
_SECONDS_PER_HOUR: Final = 3600.0

logger = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class OpenClient:
    """A client in use."""

    client: Client
    owned: bool = False  # the cluster was started for this run and ends with it
    patience_s: float = WORKER_PATIENCE_S  # wait while there is no worker
    trouble: Callable[[], str] = str  # says why no worker will come; empty while there is hope
    jobs: tuple[str, ...] = ()  # numbers of the jobs that were submitted


def active_client() -> Client | None:
    """Return the client that Dask itself would use here; None inside a task of a worker."""
    try:
        get_worker()
    except ValueError:
        pass
    else:
        return None  # its units could wait for the thread that this task holds
    try:
        client: Client = Client.current()
    except ValueError:
        return None
    if client.asynchronous or client.status != "running":
        return None
    # A warning, so that it is seen where no logging is set up: the work goes elsewhere.
    logger.warning("using the active Dask client: %s", getattr(client.scheduler, "address", ""))
    return client


@contextmanager
def open_client(
    where: ClusterLike,
    *,
    workers: int | None = None,
    devices: Sequence[str] = (),
) -> Iterator[OpenClient]:
    """Start or join a cluster, and leave it as it was found.

    A client is used as it is and stays open. A cluster object (`LocalCluster`, `SLURMCluster`,
    `GatewayCluster`, …) gets a client of its own with the certificates it holds. Texts are read by
    `parse_cluster`. `workers` overrides what a specification says; `devices` are GPUs for local
    workers, one each, see `local.device_names`.
    """
    spec = parse_cluster(where) if isinstance(where, str) else where
    if isinstance(spec, ClusterSpec) and workers is not None:
        spec = spec.model_copy(update={"workers": workers})
    with ExitStack() as stack:
        try:
            opened = _open(spec, stack, devices)
        except DistbraggError:
            raise
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            name = spec.kind if isinstance(spec, ClusterSpec) else type(spec).__name__
            raise EnvironmentFailure(
                f"the {name} cluster cannot be used: {_one_line(error)}"
            ) from error
        warm_up_workers(opened.client, own=opened.owned)
        yield opened


def _open(
    where: Client | Cluster | ClusterSpec, stack: ExitStack, devices: Sequence[str]
) -> OpenClient:
    if getattr(where, "asynchronous", False):
        raise InputError(
            f"the {type(where).__name__} is asynchronous",
            source="client",
            remedy="make it without asynchronous=True",
        )
    if isinstance(where, Client):
        if where.status != "running":
            raise EnvironmentFailure(f"the client is {where.status}; connect a new one")
        return OpenClient(where)
    if isinstance(where, LocalClusterSpec):
        cluster = stack.enter_context(LocalWorkers(where, devices))
        return OpenClient(_connect(stack, cluster), owned=True)
    if isinstance(where, QueueClusterSpec):
        cluster = stack.enter_context(queue_cluster(where))
        client = _connect(stack, cluster)
        keeper = stack.enter_context(JobKeeper(cluster, where.kind, where.jobs))
        patience_s = where.patience_h * _SECONDS_PER_HOUR
        return OpenClient(client, True, patience_s, lambda: keeper.trouble, keeper.numbers)
    if isinstance(where, JoinedClusterSpec):
        security = security_of(where.tls) if where.tls is not None else None
        client = _connect(stack, checked_address(where), security=security)
    elif isinstance(getattr(where, "scheduler_address", None), str):
        client = _connect(stack, where)
    else:
        raise InputError(
            f"{type(where).__name__} is not a cluster",
            source="client",
            remedy="give a distributed.Client, a cluster object such as LocalCluster, or a text "
            "as for --cluster",
        )
    return OpenClient(client)


def _connect(stack: ExitStack, where: object, **options: Any) -> Client:  # noqa: ANN401
    address = getattr(where, "scheduler_address", where)
    wait_s = CONNECT_TIMEOUT_S
    told = f"no scheduler answers at {address} yet; waiting for it, {wait_s:g} s at most"
    silence = threading.Timer(SILENCE_S, logger.warning, (told,))
    silence.daemon = True
    silence.start()
    try:
        client = Client(where, timeout=wait_s, set_as_default=False, **options)
    except OSError as error:
        raise EnvironmentFailure(
            f"no scheduler answered at {address} ({_one_line(error)}); start `dask scheduler` "
            "there, correct host and port (one with certificates has a tls:// address), or give "
            "--cluster local to start workers on this machine"
        ) from error
    finally:
        silence.cancel()
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


def _one_line(error: BaseException) -> str:
    """Return an error's text in one line; of a failed command, what it wrote as its error."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename}: no such command or file"
    text = str(error)
    _, found, written = text.partition("stderr:\n")
    return " ".join((written if found and written.strip() else text).split())
