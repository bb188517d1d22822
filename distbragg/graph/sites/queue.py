"""Workers as jobs of a batch system, by dask-jobqueue; the scheduler runs in this process."""

# distributed and dask_jobqueue have no type hints.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.graph.sites.certificates import FILES, passing_certificates
from distbragg.graph.sites.local import (
    ALLOWED_FAILURES,
    DASHBOARD_ADDRESS,
    LOOPBACK,
    WORKER_PRELOADS,
)
from distbragg.graph.sites.monitors import calm_environment
from distbragg.graph.sites.security import check_files, is_loopback, security_of
from distbragg.spec.cluster import QueueClusterSpec, TlsFiles

if TYPE_CHECKING:
    from distributed import SpecCluster

CLASSES: Final = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
}

DEATH_TIMEOUT_S: Final = 120
"""How long a worker looks for its scheduler before its job ends, s: no job outlives the run."""

_GRACE_S: Final = (15.0, 300.0)
_GRACE_SHARE: Final = 0.1


@contextmanager
def queue_cluster(spec: QueueClusterSpec) -> Iterator[SpecCluster]:
    """Start a scheduler here and yield a cluster that has submitted nothing yet.

    Raises
    ------
    InputError
        The site file cannot be used.
    EnvironmentFailure
        dask-jobqueue is not there, or certificates cannot be written.
    """
    factory = _factory(spec)
    if spec.tls == "none":
        _check_loopback(spec)
        certificates: AbstractContextManager[TlsFiles | None] = nullcontext()
    elif isinstance(spec.tls, TlsFiles):
        certificates = nullcontext(spec.tls)
    else:
        certificates = passing_certificates(shared_directory(spec))
    with certificates as tls:
        if tls is not None:
            check_files(tls)
        with _refusing_options():
            cluster = factory(**arguments(spec, tls))
        with cluster:
            yield cluster


def job_script(spec: QueueClusterSpec) -> str:
    """Return the script of one job as it would be submitted; nothing is started.

    `SCHEDULER`, `WORKER` and, for certificates made for one run, `RUN` stand for names that
    are known only then.
    """
    tls = spec.tls if isinstance(spec.tls, TlsFiles) else None
    if spec.tls == "none":
        _check_loopback(spec)
    elif spec.tls == "auto":
        folder = shared_directory(spec) / "certificates-RUN"
        ca, cert, key = (str(folder / name) for name in FILES.values())
        tls = TlsFiles(ca_file=ca, cert_file=cert, key_file=key)
    given = arguments(spec, tls)
    for name in ("scheduler_options", "silence_logs"):
        del given[name]
    job_class = _factory(spec).job_cls  # type: ignore[attr-defined]
    with _refusing_options():
        script: str = job_class(
            f"{given['protocol']}SCHEDULER", name="WORKER", **given
        ).job_script()
    return script


@contextmanager
def _refusing_options() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        line = " ".join(str(error).split("\n")[0].split())
        raise InputError(line, source="cluster file", field="options") from error


def _factory(spec: QueueClusterSpec) -> Callable[..., SpecCluster]:
    try:
        import dask_jobqueue
    except ImportError:
        raise EnvironmentFailure(
            f"a {spec.kind} cluster needs dask-jobqueue: pip install 'distbragg[cluster]'"
        ) from None
    factory: Callable[..., SpecCluster] = getattr(dask_jobqueue, CLASSES[spec.kind])
    return factory


def arguments(spec: QueueClusterSpec, tls: TlsFiles | None) -> dict[str, Any]:
    """Return the keyword arguments of dask-jobqueue's class.

    Every worker has one thread, so the cores that jobqueue counts are the processes; what the
    batch system is asked for stands beside them.
    """
    processes = spec.processes_per_job
    scheduler: dict[str, Any] = {
        "dashboard_address": DASHBOARD_ADDRESS,
        "allowed_failures": ALLOWED_FAILURES,
        "port": spec.scheduler_port,
    }
    if spec.scheduler_host:
        scheduler["host"] = spec.scheduler_host
    given: dict[str, Any] = {
        "cores": processes,
        "processes": processes,
        "memory": spec.memory,
        "job_name": spec.job_name,
        "walltime": walltime(spec),
        "queue": spec.queue or None,
        "interface": spec.interface or None,
        "python": spec.python or None,
        "local_directory": spec.local_directory or None,
        "log_directory": _expanded(spec.log_directory) or None,
        "job_script_prologue": [*exports(), *spec.prologue],
        "job_extra_directives": list(spec.directives),
        "job_directives_skip": list(spec.directives_skip),
        "worker_extra_args": worker_arguments(spec),
        "death_timeout": DEATH_TIMEOUT_S,
        "scheduler_options": scheduler,
        "silence_logs": logging.CRITICAL,
        "protocol": "tls://" if tls else "tcp://",
        "security": security_of(tls) if tls else None,
        **_account(spec),
        **_cores(spec),
    }
    return given | dict(spec.options)


def worker_arguments(spec: QueueClusterSpec) -> list[str]:
    """Return what `dask worker` is told beyond dask-jobqueue's own arguments."""
    given = ["--dashboard-address", DASHBOARD_ADDRESS]
    for module in WORKER_PRELOADS:
        given += ["--preload", module]
    if spec.tls == "none":
        given += ["--host", LOOPBACK]
    if spec.lifetime == "auto":
        lifetime, stagger = lifetimes(spec.walltime_s)
        given += ["--lifetime", f"{lifetime:g}s", "--lifetime-stagger", f"{stagger:g}s"]
    return [*given, *spec.worker_arguments]


def exports() -> list[str]:
    """Return the lines of a job script that set what workers find in their environment."""
    return [f"export {name}={value}" for name, value in calm_environment().items()]


def lifetimes(walltime_s: float) -> tuple[float, float]:
    """Return a worker's lifetime and its spread, s, so that it ends before its job is killed.

    The longest life leaves a tenth of the walltime, 15 s to 300 s, for starting and for the
    unit in hand. The spread keeps the workers from leaving all at once.
    """
    grace = min(max(_GRACE_SHARE * walltime_s, _GRACE_S[0]), _GRACE_S[1])
    stagger = grace / 2
    return walltime_s - grace - stagger, stagger


def walltime(spec: QueueClusterSpec) -> str:
    """Write the walltime as the batch system reads it: hours may exceed 24; LSF has no seconds."""
    minutes, seconds = divmod(spec.walltime_s, 60)
    if spec.kind == "lsf":
        minutes += seconds > 0
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def shared_directory(spec: QueueClusterSpec) -> Path:
    """Return the folder for certificates: one that every node sees, by default at home."""
    return Path(_expanded(spec.shared_directory) or Path.home() / ".distbragg").absolute()


def _account(spec: QueueClusterSpec) -> dict[str, Any]:
    name = "account" if spec.kind in {"slurm", "pbs"} else "project"
    return {name: spec.account or None}


def _cores(spec: QueueClusterSpec) -> dict[str, Any]:
    """Ask for all cores of the job where it has fewer workers than cores."""
    if spec.cores == spec.processes_per_job:
        return {}
    if spec.kind == "slurm":
        return {"job_cpu": spec.cores}
    if spec.kind == "lsf":
        return {"ncpus": spec.cores}
    if spec.kind == "pbs":
        memory = spec.memory.replace("iB", "B").replace(" ", "")
        return {"resource_spec": f"select=1:ncpus={spec.cores}:mem={memory}"}
    return {}


def _check_loopback(spec: QueueClusterSpec) -> None:
    if not (spec.scheduler_host and is_loopback(spec.scheduler_host)):
        raise InputError(
            "the scheduler would listen beyond this machine without encryption",
            source="cluster file",
            field="tls",
            remedy=f"leave tls out, or set scheduler_host: {LOOPBACK} where all jobs run here",
        )


def _expanded(path: str) -> str:
    return os.path.expanduser(os.path.expandvars(path))
