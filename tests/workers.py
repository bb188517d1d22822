"""Start the worker processes of tests in no time, and wait for them.

Python started anew takes a second of CPU time to load what a worker needs. Dask offers to fork
workers off a process that has loaded it; users' workers are started anew, and so are those of
commands that tests run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Set
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import TYPE_CHECKING

import dask

if TYPE_CHECKING:
    from distributed import Client

METHOD = "distributed.worker.multiprocessing-method"
LOADED = ["distributed.nanny", "distbragg.clusters.tuning", "distbragg.engine.unit", "numpy.random"]
"""What the process that forks has loaded; none of it starts a thread."""


class ForkedProcess(ForkServerProcess):
    """A forked process with the environment of the one that asks for it."""

    def start(self) -> None:
        self._environment = dict(os.environ)
        ForkServerContext().set_forkserver_preload(LOADED)
        super().start()

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        super().run()


def fork_workers() -> None:
    """Fork the workers that this process starts."""
    ForkServerContext.Process = ForkedProcess
    dask.config.set({METHOD: "forkserver"})


def wait_for_workers(client: Client, count: int, *, other_than: Set[str] = frozenset()) -> None:
    """Wait until so many workers answer and are not just those that are named."""
    deadline = time.monotonic() + 120
    while True:
        answers = client.run(str, "here", on_error="return")
        there = {address for address, answer in answers.items() if answer == "here"}
        if len(there) == count and there != other_than:
            return
        assert time.monotonic() < deadline, f"workers that answer: {sorted(there)}"
        time.sleep(0.05)
