"""Where the workers are: `--cluster` turned into a Dask client.

Every form gives one-thread workers under a nanny, and a dashboard on the loopback
interface alone: Dask's scheduler runs what it is sent, and its dashboard asks no password.
"""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from distbragg.errors import DistbraggError, EnvironmentFailure, InputError
from distbragg.spec.yaml_text import read_yaml_mapping

# distributed is loaded where a cluster is opened: a run in this process needs none of it.
if TYPE_CHECKING:
    from distributed import Client, LocalCluster, SpecCluster
    from distributed.security import Security

DASHBOARD_ADDRESS = "127.0.0.1:0"
"""Loopback, any free port: the default of LocalCluster is every interface."""

CONNECT_TIMEOUT_S = 30
"""Longest wait for a scheduler to answer, s."""

Kind = Literal["local", "address", "scheduler-file", "slurm", "pbs", "lsf", "sge"]

_JOBQUEUE_CLASSES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
}
_FIELDS = frozenset(
    {"kind", "workers", "memory_limit", "address", "scheduler_file", "tls", "options"}
)
_TLS_FIELDS = frozenset({"ca_file", "cert_file", "key_file"})


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster to start or to join; the schema of a cluster YAML file.

    Attributes
    ----------
    kind : {"local", "address", "scheduler-file", "slurm", "pbs", "lsf", "sge"}
    workers : int
        Worker processes to start; 0: the cores this process may use (local), or none
        beyond what the scheduler has.
    memory_limit : str
        Per worker, such as "4GB"; empty: an equal share of the machine (local).
    address : str
        Of a running scheduler, `tcp://host:port` or `tls://host:port`.
    scheduler_file : str
        JSON file that a running scheduler wrote.
    tls : mapping
        `ca_file`, `cert_file`, `key_file`; given, encryption is required.
    options : mapping
        Keyword arguments of the dask-jobqueue class (`cores`, `memory`, `walltime`, …).
    """

    kind: Kind
    workers: int = 0
    memory_limit: str = ""
    address: str = ""
    scheduler_file: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_cluster(text: str) -> ClusterSpec:
    """Read a `--cluster` value.

    Parameters
    ----------
    text : str
        `local`, `local:N`, a scheduler's address, a scheduler file (`.json`), or a
        cluster file (`.yaml`, `.yml`; see `ClusterSpec`).

    Raises
    ------
    InputError
        It is none of these, or the file cannot be used.
    """
    head, _, tail = text.partition(":")
    if head == "local":
        return ClusterSpec("local", workers=_local_workers(text, tail))
    if "://" in text:
        return ClusterSpec("address", address=text)
    if text.endswith((".yaml", ".yml")):
        return _from_mapping(read_yaml_mapping(text), text)
    if text.endswith(".json"):
        return ClusterSpec("scheduler-file", scheduler_file=_scheduler_file(text, text))
    if head and tail.isdigit():
        return ClusterSpec("address", address=f"tcp://{text}")
    raise InputError(
        f"{text!r} names no cluster",
        source="--cluster",
        remedy="give local, local:N, tcp://host:port, a scheduler file .json or a cluster "
        "file .yaml",
    )


@contextmanager
def open_cluster(
    cluster: str | ClusterSpec, *, workers: int | None = None, memory_limit: str | None = None
) -> Iterator[Client]:
    """Start or join a cluster, and leave it as it was found.

    Parameters
    ----------
    cluster : str or ClusterSpec
        See `parse_cluster`.
    workers : int, optional
        Overrides the number of workers to start.
    memory_limit : str, optional
        Overrides the memory limit of a local worker.

    Yields
    ------
    distributed.Client

    Raises
    ------
    EnvironmentFailure
        The cluster cannot be started or does not answer.
    """
    spec = parse_cluster(cluster) if isinstance(cluster, str) else cluster
    if workers is not None:
        spec = replace(spec, workers=workers)
    if memory_limit is not None:
        spec = replace(spec, memory_limit=memory_limit)
    with ExitStack() as stack:
        try:
            client = _open(spec, stack)
        except DistbraggError:
            raise
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise EnvironmentFailure(
                f"the {spec.kind} cluster cannot be used: {' '.join(str(error).split())}"
            ) from error
        yield client


def usable_cores() -> int:
    """Count the cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _open(spec: ClusterSpec, stack: ExitStack) -> Client:
    from distributed import Client

    place: dict[str, Any]
    if spec.kind == "local":
        place = {"address": stack.enter_context(_local_cluster(spec))}
    elif spec.kind in _JOBQUEUE_CLASSES:
        cluster = stack.enter_context(_jobqueue_cluster(spec))
        cluster.scale(jobs=max(1, spec.workers))
        place = {"address": cluster}
    elif spec.kind == "address":
        place = {"address": spec.address, "security": _security(spec.tls)}
    else:
        place = {"scheduler_file": spec.scheduler_file, "security": _security(spec.tls)}
    client: Client = stack.enter_context(
        Client(**place, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    )
    return client


def _local_cluster(spec: ClusterSpec) -> LocalCluster:
    from distributed import LocalCluster

    workers = spec.workers or usable_cores()
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=DASHBOARD_ADDRESS,
        memory_limit=spec.memory_limit or "auto",
        silence_logs=logging.CRITICAL,
        # Loading the kernel and zarr belongs to starting a worker, not to its first unit.
        preload=["distbragg.graph.tasks"],
        # One death ends an attempt: the executor counts attempts and tries again itself.
        scheduler_kwargs={"allowed_failures": 0},
    )


def _jobqueue_cluster(spec: ClusterSpec) -> SpecCluster:
    try:
        import dask_jobqueue
    except ImportError:
        raise EnvironmentFailure(
            f"a {spec.kind} cluster needs dask-jobqueue: pip install 'distbragg[cluster]'"
        ) from None
    options = dict(spec.options)
    scheduler_options = {
        "dashboard_address": DASHBOARD_ADDRESS,
        **dict(options.pop("scheduler_options", {})),
    }
    options.setdefault("processes", options.get("cores", 1))
    cluster: SpecCluster = getattr(dask_jobqueue, _JOBQUEUE_CLASSES[spec.kind])(
        scheduler_options=scheduler_options, **options
    )
    return cluster


def _security(tls: Mapping[str, str]) -> Security | None:
    if not tls:
        return None
    from distributed.security import Security

    return Security(
        require_encryption=True,
        tls_ca_file=tls["ca_file"],
        tls_client_cert=tls["cert_file"],
        tls_client_key=tls["key_file"],
    )


def _local_workers(text: str, tail: str) -> int:
    if ":" not in text:
        return 0
    if not tail.isdigit() or int(tail) < 1:
        raise InputError(
            f"{tail!r} is no number of workers", source="--cluster", remedy="write local:4"
        )
    return int(tail)


def _scheduler_file(path: str, source: str) -> str:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content["address"], str):
            raise TypeError
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=source) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            "is no scheduler file: it has no address",
            source=source,
            remedy="give the file that dask scheduler --scheduler-file wrote",
        ) from None
    return path


def _from_mapping(content: Mapping[str, Any], source: str) -> ClusterSpec:
    for name in content:
        if name not in _FIELDS:
            raise InputError(
                "unknown field", source=source, field=name, remedy=f"known: {sorted(_FIELDS)}"
            )
    workers = content.get("workers", 0)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise InputError(f"{workers!r} is no number of workers", source=source, field="workers")
    spec = ClusterSpec(
        kind=_kind(content.get("kind"), source),
        workers=workers,
        memory_limit=_text(content, "memory_limit", source),
        address=_text(content, "address", source),
        scheduler_file=_text(content, "scheduler_file", source),
        tls=_mapping(content, "tls", source),
        options=_mapping(content, "options", source),
    )
    _check_places(spec, source)
    return spec


def _kind(value: object, source: str) -> Kind:
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds:
        if value == kind:
            return kind
    raise InputError(
        f"{value!r} is no kind of cluster",
        source=source,
        field="kind",
        remedy=f"one of {', '.join(kinds)}",
    )


def _check_places(spec: ClusterSpec, source: str) -> None:
    if spec.kind == "address" and not spec.address:
        raise InputError("is needed for this kind", source=source, field="address")
    if spec.kind == "scheduler-file":
        if not spec.scheduler_file:
            raise InputError("is needed for this kind", source=source, field="scheduler_file")
        _scheduler_file(spec.scheduler_file, spec.scheduler_file)
    if spec.tls and set(spec.tls) != _TLS_FIELDS:
        raise InputError("must give ca_file, cert_file and key_file", source=source, field="tls")


def _text(content: Mapping[str, Any], name: str, source: str) -> str:
    value = content.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{value!r} is no text", source=source, field=name)
    return value


def _mapping(content: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, dict):
        raise InputError(f"{value!r} is no mapping", source=source, field=name)
    return value
