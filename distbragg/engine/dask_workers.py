"""The workers of a Dask cluster: which there are, which can render for a run, which to restart."""

from __future__ import annotations

import logging
import platform
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import dask
import distributed
import numpy
from distributed import Client

from distbragg._version import __version__
from distbragg.engine.attempt import Attempt, Worker, describe_error
from distbragg.engine.context import RunContext
from distbragg.engine.dask_tasks import FETCH_S, Flight
from distbragg.engine.events import WorkersChanged
from distbragg.engine.work import LOOPBACK
from distbragg.errors import EnvironmentFailure, RefusedError
from distbragg.rendering.frame import RESOURCE

WATCH_S: Final = 2.0  # time between two looks at the workers, s
RESTART_S: Final = 60.0  # time that a nanny has to restart a worker, s
_HOST = "host"

_log = logging.getLogger("distbragg")


class WorkerWatch:
    """Tells a flight's policy of the workers; gives up when there has been none for too long."""

    def __init__(self, flight: Flight, patience_s: float, trouble: Callable[[], str]) -> None:
        self._client, self._policy, self._flight = flight.client, flight.policy, flight
        self._patience = patience_s
        self._trouble = trouble
        self._present: frozenset[str] = frozenset()
        self._known: dict[str, Worker] = {}
        self._looked = self._timed = float("-inf")
        self._alone_since = time.monotonic()
        self.restarted: set[str] = set()
        """Addresses of workers that are being restarted for one of their units."""

    def look(self, *, at_once: bool = False) -> None:
        """Follow the workers."""
        run, now = self._flight.run, time.monotonic()
        if self._client.status not in {"running", "connecting"}:
            raise cluster_lost(run, f"the client is {self._client.status}")
        if at_once or now - self._looked >= WATCH_S:
            self._looked = now
            threads = self._client.nthreads()
            if threads.keys() != self._present:
                self._meet(threads)
            if threads:
                self._alone_since = now
            elif trouble := self._trouble():
                raise cluster_lost(run, trouble)
            elif now - self._alone_since > self._patience:
                raise cluster_lost(run, f"no worker for {self._patience:.0f} s")
        if self._present and not self._policy.usable:
            last = list(self._policy.left_out.values())[-1]
            raise EnvironmentFailure(f"no worker remains: {last}")

    def find(self, address: str) -> None:
        """Look at once where this worker is not known."""
        if address not in self._known:
            self.look(at_once=True)

    def _meet(self, threads: Mapping[str, int]) -> None:
        """Take note of the workers there are; look at those that are new."""
        infos = worker_infos(self._client)
        fresh = [address for address in threads if address not in self._known]
        answers = self._ask(fresh)
        for address in fresh:
            answer = answers.get(address)
            host = str(answer[_HOST]) if isinstance(answer, dict) else ""
            name = infos.get(address, {}).get("nanny") or address
            self._known[address] = Worker(threads[address], name, host)
        if len(threads) != len(self._present):
            self._policy.events.append(WorkersChanged(len(threads)))
        self._present = frozenset(threads)
        stranded = self._policy.meet({address: self._known[address] for address in threads})
        self._flight.submit_again(stranded, "its workers are gone")
        self._judge(answers)

    def _ask(self, addresses: list[str]) -> dict[str, Any]:
        """Ask new workers what they run: versions by package, or the error in place of them."""
        if not addresses:
            return {}
        try:
            found: dict[str, Any] = self._client.run(
                describe_worker, workers=addresses, on_error="return", callback_timeout=FETCH_S
            )
        except TimeoutError:
            return {}  # whoever cannot render will say so at the first unit
        return found

    def _judge(self, answers: Mapping[str, Any]) -> None:
        """Leave out workers that cannot render for this version; tell of other differences."""
        policy, ours, differing = self._policy, describe_worker(), Counter[str]()
        for address, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # it is gone already
            if isinstance(answer, Exception):
                policy.leave_out(address, f"cannot load distbragg: {describe_error(answer)}")
            elif answer["distbragg"] != __version__:
                there = f"has distbragg {answer['distbragg']}, this run {__version__}"
                policy.leave_out(address, there)
            else:
                names = [name for name in ours if name != _HOST and ours[name] != answer[name]]
                differing.update(f"{name} {answer[name]} ({ours[name]} here)" for name in names)
        if differing:
            _log.warning("workers run other versions than this process: %s", ", ".join(differing))
        if policy.left_out and not policy.usable:
            raise RefusedError(
                f"no worker can render this run: {list(policy.left_out.values())[-1]}"
            )

    def overdue(self, limit_s: float) -> list[tuple[str, Attempt]]:
        """Find units that a worker is at for longer than the limit; looks now and then."""
        now = time.monotonic()
        if not limit_s or now - self._timed < min(limit_s / 8, WATCH_S):
            return []
        self._timed = now
        return self._policy.overdue(now, self._client.processing())

    def restart(self, address: str) -> bool:
        """Have a worker restarted by its nanny, beside all else; whether it has one."""
        known = self._known.get(address)
        if known is None or known.name == address:
            return False
        if address not in self.restarted:
            self.restarted.add(address)
            threading.Thread(target=self._restart, args=(address,), daemon=True).start()
        return True

    def _restart(self, address: str) -> None:
        try:
            self._client.restart_workers([address], timeout=RESTART_S, raise_for_error=False)
        except Exception as error:  # the client may be closed meanwhile
            _log.debug("restarting %s: %s", address, error)
        # The driver has heard by then of all that was lost. A worker with a port of its own comes
        # back under its address, where later deaths are somebody's, and it may have to restart.
        time.sleep(WATCH_S)
        self.restarted.discard(address)


def cluster_lost(run: RunContext, what: str) -> EnvironmentFailure:
    """Say how to go on where the cluster is lost."""
    return EnvironmentFailure(
        f"the cluster was lost ({what}); finished units are kept: continue with "
        f"`distbragg resume {run}`"
    )


def describe_worker() -> dict[str, str]:
    """Return the host of this process, and the versions that it runs."""
    versions = {each.__name__: each.__version__ for each in (dask, distributed, numpy)}
    python = platform.python_version()
    return {_HOST: socket.gethostname(), "distbragg": __version__, "python": python, **versions}


def dashboard_link(client: Client) -> str:
    """Return the address of the cluster's dashboard; empty where it has none.

    A scheduler of this process may be reached from other machines; its dashboard is not, and may
    answer under a path of its own. A site's template for the link may name a variable that is not
    set here: then there is no link.
    """
    try:
        link = str(client.dashboard_link or "")
    except KeyError:
        return ""
    host = urlsplit(link).hostname
    if client.cluster is None or not host:
        return link
    prefix = getattr(getattr(client.cluster, "scheduler", None), "http_prefix", None)
    if isinstance(prefix, str):
        link = f"{link.rpartition('/')[0]}{prefix.rstrip('/')}/status"
    return link.replace(host, LOOPBACK, 1)


def worker_infos(client: Client) -> dict[str, Any]:
    """Ask the scheduler what it knows of each worker, by address.

    `Client.scheduler_info` answers with what the client holds by then, and every two seconds
    the client replaces that by an answer without workers.
    """
    if client.scheduler is None:
        return {}
    workers: dict[str, Any] = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    return workers


def gpu_resources(client: Client) -> dict[str, float] | None:
    """Return what rendering tasks are to ask for: a GPU where any worker declares one.

    A scheduler that somebody else started may have GPU workers that declare nothing; tasks then
    ask for nothing, and go anywhere.
    """
    workers = worker_infos(client).values()
    declared = any(worker.get("resources", {}).get(RESOURCE, 0) >= 1 for worker in workers)
    return {RESOURCE: 1} if declared else None


def worker_count(client: Client) -> int:
    """Count the workers there are now; `scheduler_info` may list none."""
    return len(client.nthreads())
