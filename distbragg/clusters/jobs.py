"""Workers as jobs of a batch system, by dask-jobqueue; the scheduler runs in this process."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import dask
from distributed import SpecCluster
from distributed.core import Status

from distbragg.clusters.address import check_files, is_loopback
from distbragg.clusters.local import DASHBOARD_ADDRESS, OwnScheduler
from distbragg.clusters.tls import FILES, make_certificates, security_of
from distbragg.clusters.tuning import calm_settings, variable
from distbragg.engine.work import LOOPBACK
from distbragg.errors import EnvironmentFailure, InputError
from distbragg.spec.cluster import QueueClusterSpec, QueueKind, TlsFiles

LIST_COMMANDS: Final[dict[QueueKind, tuple[str, ...]]] = {
    "slurm": ("squeue", "--noheader", "--me", "--format=%A"),
    "pbs": ("qstat",),
    "lsf": ("bjobs", "-noheader", "-o", "jobid"),
    "sge": ("qstat",),
}
"""How to list this user's jobs that wait or run; a line begins with the number of one."""

_OPTIONAL: Final = ("queue", "interface", "python", "local_directory")

DEATH_TIMEOUT_S: Final = 120
"""How long a worker looks for its scheduler before its job ends, s: no job outlives the run."""

PERIOD_S: Final = 15.0
"""Time between looks at the queue, s: batch systems dislike being asked often."""

SETTLED_S: Final = 10.0
"""Age below which a job is not looked for, s: the list may lag behind the submission."""

UNSEEN_LIMIT: Final = 3
"""Jobs in a row, for each job wanted, that may end before a worker of theirs is seen."""

_GRACE_S: Final = (15.0, 300.0)
_GRACE_SHARE: Final = 0.1
_JOB_NUMBER: Final = re.compile(r"^\s*(\d+)", re.MULTILINE)
_LIST_TIMEOUT_S: Final = 60

_log = logging.getLogger("distbragg")


@contextmanager
def queue_cluster(spec: QueueClusterSpec) -> Iterator[SpecCluster]:
    """Start a scheduler here and yield a cluster that has submitted nothing yet."""
    factory = _factory(spec)
    scheduler: dict[str, Any] = {"port": spec.scheduler_port}
    if spec.scheduler_host:
        scheduler["host"] = spec.scheduler_host
    with _certificates(spec) as tls:
        with _refusing_options(), dask.config.set(calm_settings()):
            cluster = factory(
                **arguments(spec, tls),
                scheduler_cls=OwnScheduler,
                scheduler_options=scheduler,
                silence_logs=logging.WARNING,
            )
        with cluster:
            yield cluster


def job_script(spec: QueueClusterSpec) -> str:
    """Return the script of one job as submitted; `SCHEDULER`, `WORKER`, `RUN` stand for names."""
    tls = spec.tls if isinstance(spec.tls, TlsFiles) else None
    if spec.tls == "none":
        _check_loopback(spec)
    elif spec.tls == "auto":
        folder = shared_directory(spec) / "certificates-RUN"
        ca, cert, key = (str(folder / name) for name in FILES.values())
        tls = TlsFiles(ca_file=ca, cert_file=cert, key_file=key)
    given = arguments(spec, tls)
    job_class = _factory(spec).job_cls  # type: ignore[attr-defined]
    with _refusing_options():
        script: str = job_class(
            f"{given['protocol']}SCHEDULER", name="WORKER", **given
        ).job_script()
    return script


def arguments(spec: QueueClusterSpec, tls: TlsFiles | None) -> dict[str, Any]:
    """Return what dask-jobqueue's classes of a cluster and of a job take; a process is a core."""
    given: dict[str, Any] = {
        "cores": spec.processes_per_job,
        "processes": spec.processes_per_job,
        "memory": spec.memory,
        "job_name": spec.job_name,
        "walltime": walltime(spec),
        ("account" if spec.kind in {"slurm", "pbs"} else "project"): spec.account or None,
        **{name: getattr(spec, name) or None for name in _OPTIONAL},
        "log_directory": _expanded(spec.log_directory) or None,
        "job_script_prologue": [
            *(f"export {variable(name)}={value}" for name, value in calm_settings().items()),
            *spec.prologue,
        ],
        "job_extra_directives": list(spec.directives),
        "job_directives_skip": list(spec.directives_skip),
        "worker_extra_args": worker_arguments(spec),
        "death_timeout": DEATH_TIMEOUT_S,
        "protocol": "tls://" if tls else "tcp://",
        "security": security_of(tls) if tls else None,
        **_cores(spec),
    }
    return given | dict(spec.options)


def worker_arguments(spec: QueueClusterSpec) -> list[str]:
    """Return what `dask worker` is told beyond dask-jobqueue's own arguments."""
    # Others of a shared node would read a worker's pages; its metrics stay on the loopback.
    given = ["--no-dashboard", "--dashboard-address", DASHBOARD_ADDRESS]
    if spec.tls == "none":
        given += ["--host", LOOPBACK]
    if spec.lifetime == "auto":
        lifetime, stagger = lifetimes(spec.walltime_s)
        given += ["--lifetime", f"{lifetime:g}s", "--lifetime-stagger", f"{stagger:g}s"]
    return [*given, *spec.worker_arguments]


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


def _cores(spec: QueueClusterSpec) -> dict[str, Any]:
    """Ask for all cores of the job where it has fewer workers than cores."""
    if spec.cores == spec.processes_per_job:
        return {}
    memory = spec.memory.replace("iB", "B").replace(" ", "")
    asked: dict[str, dict[str, Any]] = {
        "slurm": {"job_cpu": spec.cores},
        "lsf": {"ncpus": spec.cores},
        "pbs": {"resource_spec": f"select=1:ncpus={spec.cores}:mem={memory}"},
    }
    return asked.get(spec.kind, {})


def _factory(spec: QueueClusterSpec) -> Callable[..., SpecCluster]:
    try:
        with _own_interrupts():
            import dask_jobqueue
    except ImportError:
        raise EnvironmentFailure(
            f"a {spec.kind} cluster needs dask-jobqueue: pip install 'distbragg[cluster]'"
        ) from None
    factory: Callable[..., SpecCluster] = getattr(dask_jobqueue, f"{spec.kind.upper()}Cluster")
    return factory


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Keep what the process does on Ctrl-C: importing dask_jobqueue makes it a SystemExit."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        # Only the main thread can have changed it, or can change it back.
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _certificates(spec: QueueClusterSpec) -> Iterator[TlsFiles | None]:
    """Yield certificate files; those made for the run are removed with it."""
    if isinstance(spec.tls, TlsFiles):
        check_files(spec.tls)
        yield spec.tls
        return
    if spec.tls == "none":
        _check_loopback(spec)
        yield None
        return
    parent = shared_directory(spec)
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        holder = TemporaryDirectory(prefix="certificates-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise EnvironmentFailure(f"{parent}: cannot be written: {error.strerror}") from error
    with holder as directory:
        yield make_certificates(Path(directory))


def _check_loopback(spec: QueueClusterSpec) -> None:
    if not is_loopback(spec.scheduler_host):
        raise InputError(
            "the scheduler would listen beyond this machine without encryption",
            source="cluster file",
            field="tls",
            remedy=f"leave tls out, or set scheduler_host: {LOOPBACK} where all jobs run here",
        )


@contextmanager
def _refusing_options() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        line = " ".join(str(error).split("\n")[0].split())
        raise InputError(line, source="cluster file", field="options") from error


def _expanded(path: str) -> str:
    return os.path.expanduser(os.path.expandvars(path))


def listed_jobs(kind: QueueKind) -> set[str] | None:
    """Return the numbers of this user's jobs that wait or run; None where nobody can tell."""
    try:
        found = subprocess.run(
            LIST_COMMANDS[kind], capture_output=True, text=True, timeout=_LIST_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(_JOB_NUMBER.findall(found.stdout))


class JobKeeper:
    """Submits jobs, watches them from its own thread, and replaces those that ended.

    Dask's adaptive scaling takes a job that left at its walltime for one that is no longer
    wanted, so the number is kept here.
    """

    def __init__(self, cluster: SpecCluster, kind: QueueKind, jobs: int) -> None:
        self._cluster = cluster
        self._kind = kind
        self._jobs = jobs
        self._submitted: dict[str, float] = {}
        self._seen: set[str] = set()
        self._unseen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="job-keeper", daemon=True)
        self.trouble = ""  # why more jobs would not help; empty while there is hope

    def __enter__(self) -> JobKeeper:
        """Submit the jobs; errors of the batch system are the caller's."""
        self._replace(())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching; the cluster cancels its jobs itself."""
        self._stop.set()
        self._thread.join(timeout=_LIST_TIMEOUT_S)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The jobs' numbers in the batch system."""
        return tuple(str(job.job_id) for job in list(self._cluster.workers.values()))

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S) and not self.trouble:
            try:
                self._look()
            except Exception as error:  # the batch system may be back at the next look
                _log.warning("jobs could not be submitted again: %s", " ".join(str(error).split()))

    def _look(self) -> None:
        """Replace the jobs that ended."""
        self._note_workers()
        listed = listed_jobs(self._kind)
        if listed is None:
            return
        now = time.monotonic()
        ended = {
            name: str(job.job_id)
            for name, job in list(self._cluster.workers.items())
            if job.job_id not in listed and now - self._submitted.get(name, now) > SETTLED_S
        }
        if len(self._cluster.workers) - len(ended) >= self._jobs:
            return
        self._unseen = self._unseen + len(ended) if self._seen.isdisjoint(ended) else 0
        if self._unseen >= UNSEEN_LIMIT * self._jobs:
            self.trouble = (
                f"{self._unseen} jobs in a row ended before their worker joined; look at what "
                "they wrote (log_directory of the cluster file)"
            )
            return
        before = set(self.numbers)
        self._replace(ended)
        gone, new = sorted(ended.values()), sorted(set(self.numbers) - before)
        told = [", ".join(numbers) or "none" for numbers in (gone, new)]
        _log.warning("jobs ended: %s; submitted: %s", *told)

    def _replace(self, ended: Collection[str]) -> None:
        try:
            self._cluster.sync(_submit, self._cluster, self._jobs, ended)
        finally:
            now = time.monotonic()
            # A new job may have the name of one that ended, and is as young all the same.
            kept = {name: at for name, at in self._submitted.items() if name not in ended}
            self._submitted = {name: kept.get(name, now) for name in list(self._cluster.workers)}

    def _note_workers(self) -> None:
        """Remember whose workers have been here; `NAME-3` is one of several of job `NAME`."""
        workers = list(self._cluster.scheduler_info.get("workers", {}).values())
        names = {str(worker["name"]) for worker in workers}
        names |= {name.rpartition("-")[0] for name in names}
        fresh = (names & self._submitted.keys()) - self._seen
        if fresh:
            self._seen |= fresh
            self._unseen = 0


async def _submit(cluster: SpecCluster, jobs: int, ended: Collection[str]) -> None:
    """Drop jobs that ended by themselves and submit what is missing; runs on the cluster's loop."""
    for name in ended:
        cluster.worker_spec.pop(name, None)
        job = cluster.workers.pop(name, None)
        if job is not None:
            job.status = Status.closed
    while len(cluster.worker_spec) < jobs:
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        await cluster
    finally:
        # Without this, closing the cluster stumbles over a job that was never taken.
        for job in cluster.workers.values():
            if job.job_id is None:
                job.status = Status.failed
