"""Jobs kept at their number: what a batch system ended is submitted again."""

# distributed and dask_jobqueue have no type hints.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import re
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from distbragg.spec.cluster import QueueKind

if TYPE_CHECKING:
    from distributed import SpecCluster

LIST_COMMANDS: Final[dict[QueueKind, tuple[str, ...]]] = {
    "slurm": ("squeue", "--noheader", "--me", "--format=%A"),
    "pbs": ("qstat",),
    "lsf": ("bjobs", "-noheader", "-o", "jobid"),
    "sge": ("qstat",),
}
"""How to list this user's jobs that wait or run; a line begins with the number of one."""

PERIOD_S: Final = 15.0
"""Time between looks at the queue, s: batch systems dislike being asked often."""

SETTLED_S: Final = 10.0
"""Age below which a job is not looked for, s: the list may lag behind the submission."""

UNSEEN_LIMIT: Final = 3
"""Jobs in a row, for each job wanted, that may end before a worker of theirs is seen."""

_JOB_NUMBER = re.compile(r"^\s*(\d+)", re.MULTILINE)
_LIST_TIMEOUT_S: Final = 60

_log = logging.getLogger("distbragg")


def listed_jobs(kind: QueueKind) -> set[str] | None:
    """Return the numbers of this user's jobs that wait or run; None where nobody can tell."""
    try:
        found = subprocess.run(
            LIST_COMMANDS[kind], capture_output=True, text=True, timeout=_LIST_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(_JOB_NUMBER.findall(found.stdout))


async def submit(cluster: SpecCluster, jobs: int) -> None:
    """Submit what is missing to `jobs` jobs; runs on the cluster's loop."""
    from distributed.core import Status

    while len(cluster.worker_spec) < jobs:
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        await cluster._correct_state()
    finally:
        # Without this, closing the cluster stumbles over a job that was never taken.
        for job in cluster.workers.values():
            if job.job_id is None:
                job.status = Status.failed


async def forget(cluster: SpecCluster, names: Collection[str]) -> None:
    """Drop jobs that ended by themselves; runs on the cluster's loop."""
    from distributed.core import Status

    for name in names:
        job = cluster.workers.pop(name, None)
        cluster.worker_spec.pop(name, None)
        if job is not None:
            job.status = Status.closed


class JobKeeper:
    """Submits jobs, watches them from its own thread, and replaces those that ended.

    Dask's adaptive scaling takes a job that left at its walltime for one that is no longer
    wanted, so the number is kept here.

    Parameters
    ----------
    cluster : SpecCluster
        Of dask-jobqueue.
    kind : str
    jobs : int
        How many to keep.
    list_jobs : callable, optional
        Stands in for `listed_jobs`.
    period_s : float
        Between two looks, s.
    """

    def __init__(
        self,
        cluster: SpecCluster,
        kind: QueueKind,
        jobs: int,
        *,
        list_jobs: Callable[[QueueKind], set[str] | None] = listed_jobs,
        period_s: float = PERIOD_S,
        settled_s: float = SETTLED_S,
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._jobs = jobs
        self._list_jobs = list_jobs
        self._period = period_s
        self._settled = settled_s
        self._submitted: dict[str, float] = {}
        self._seen: set[str] = set()
        self._known: set[str] = set()
        self._unseen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="job-keeper", daemon=True)
        self.trouble = ""
        """Why more jobs would not help; empty while there is hope."""

    def __enter__(self) -> JobKeeper:
        """Submit the jobs; errors of the batch system are the caller's."""
        self._cluster.sync(submit, self._cluster, self._jobs)
        self._note_jobs()
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

    def look(self) -> int:
        """Replace the jobs that ended; return how many."""
        self._note_workers()
        listed = self._list_jobs(self._kind)
        if listed is None:
            return 0
        now = time.monotonic()
        ended = [
            name
            for name, job in list(self._cluster.workers.items())
            if job.job_id not in listed and now - self._submitted.get(name, now) > self._settled
        ]
        missing = self._jobs - len(self._cluster.workers) + len(ended)
        if missing <= 0:
            return 0
        unseen = [name for name in ended if name not in self._seen]
        self._unseen = self._unseen + len(unseen) if len(unseen) == len(ended) else 0
        if self._unseen >= UNSEEN_LIMIT * self._jobs:
            self.trouble = (
                f"{self._unseen} jobs in a row ended before their worker joined; look at what "
                "they wrote (log_directory of the cluster file)"
            )
            return 0
        before = self._known
        self._replace(ended)
        gone, new = before - self._known, self._known - before
        _log.warning("jobs ended: %s; submitted: %s", _listing(gone), _listing(new))
        return missing

    def _watch(self) -> None:
        while not self._stop.wait(self._period) and not self.trouble:
            try:
                self.look()
            except Exception as error:  # the batch system may be back at the next look
                _log.warning("jobs could not be submitted anew: %s", " ".join(str(error).split()))

    def _replace(self, names: Collection[str]) -> None:
        for name in names:
            self._submitted.pop(name, None)
        self._cluster.sync(forget, self._cluster, names)
        try:
            self._cluster.sync(submit, self._cluster, self._jobs)
        finally:
            self._note_jobs()

    def _note_jobs(self) -> None:
        now = time.monotonic()
        for name in list(self._cluster.workers):
            self._submitted.setdefault(name, now)
        self._known = set(self.numbers)

    def _note_workers(self) -> None:
        """Remember whose workers have been here; `NAME-3` is one of several of job `NAME`."""
        workers = list(self._cluster.scheduler_info.get("workers", {}).values())
        names = {str(worker["name"]) for worker in workers}
        names |= {name.rpartition("-")[0] for name in names}
        fresh = {job for job in self._submitted if job in names} - self._seen
        if fresh:
            self._seen |= fresh
            self._unseen = 0


def _listing(numbers: Collection[str]) -> str:
    return ", ".join(sorted(numbers)) or "none"
