"""A driver process: continues a run with disturbed rendering, as `distbragg resume` would.

`python -m tests.chaos.drive RUN --cluster local:4 …`; prints one JSON line at the end. With
`--kill`, workers are ended while the run goes on, half of them at a time, at given numbers of
finished units.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distbragg.cli.main import explain
from distbragg.engine.events import UnitFinished, UnitRetried
from distbragg.run.resume import resume
from tests import loaded
from tests.chaos.work import CHAOS
from tests.loaded import ROOT, Started

AGAIN_AT_WORK = 4
"""Units that end between the return of all workers and the next strike."""

RETURN_S = 200.0
MODES = ("kill", "segfault", "graceful")


@dataclass
class Monkey:
    """Ends half of the workers each time so many units more are done and all workers are back."""

    client: Any
    mode: str
    rounds: int
    every: int
    workers: int
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    done: int = 0
    ready: bool = False
    ended: int = 0
    retries: int = 0
    victims: set[str] = field(default_factory=set)

    def __call__(self, event: object) -> None:
        if isinstance(event, UnitRetried):
            self.retries += 1
        if not isinstance(event, UnitFinished):
            return
        self.done += 1
        if not self.rounds or self.done < self.every:
            return
        if not self.ready:
            # The others work on meanwhile, and what they finish is told at once afterwards: the
            # scheduler may not even have heard yet of the last strike.
            deadline = time.monotonic() + RETURN_S
            while self.victims & self.client.nthreads().keys() and time.monotonic() < deadline:
                time.sleep(0.1)
            self.client.wait_for_workers(self.workers, timeout=RETURN_S)
            self.ready, self.done = True, self.every - AGAIN_AT_WORK
            return
        self.ready, self.done = False, 0
        self.rounds -= 1
        self._strike()

    def _strike(self) -> None:
        pids = self.client.run(os.getpid)
        victims = self.rng.sample(sorted(pids), (self.workers + 1) // 2)
        self.victims = set(victims)
        self.ended += len(victims)
        if self.mode == "graceful":
            self.client.run(_close, workers=victims, wait=False)
            return
        number = signal.SIGKILL if self.mode == "kill" else signal.SIGSEGV
        for address in victims:
            os.kill(pids[address], number)


async def _close(dask_worker: Any) -> None:
    await dask_worker.close_gracefully(restart=True)


def main() -> int:
    """Continue the run and print how it ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--cluster", default="serial")
    parser.add_argument("--memory", default=None)
    parser.add_argument("--timeout", type=float, default=None)
    parser.add_argument("--kill", choices=MODES)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    report: dict[str, Any] = {}
    try:
        with ExitStack() as stack:
            place: str | None = given.cluster
            client = monkey = None
            if given.cluster.startswith("local"):
                from distbragg.clusters.address import parse_cluster
                from distbragg.clusters.open import open_client

                spec = parse_cluster(given.cluster)
                if given.memory:
                    spec = spec.model_copy(update={"memory_limit": given.memory})
                client = stack.enter_context(open_client(spec)).client
                place = None
                workers = int(given.cluster.partition(":")[2])
                monkey = Monkey(client, given.kill or "", given.rounds, given.every, workers)
            result = resume(
                given.run,
                cluster=place,
                client=client,
                threads=1,
                work=CHAOS,
                on_event=monkey,
                unit_timeout=given.timeout,
            )
        report = {"status": int(result.status), "failures": result.failures}
        if monkey is not None:
            report.update(ended=monkey.ended, retries=monkey.retries)
    except Exception as error:
        line, code = explain(error)
        report = {"status": int(code), "error": line}
    sys.stdout.write(json.dumps(report) + "\n")
    return int(report["status"])


def start(
    run: Path, *options: str, environment: dict[str, str], on: Callable[..., Any] | None = None
) -> subprocess.Popen[str] | Started:
    """Start a driver in a process of its own."""
    return start_module("tests.chaos.drive", (str(run), *options), environment)


def start_command(
    arguments: Sequence[str], environment: dict[str, str], folder: Path = ROOT
) -> subprocess.Popen[str] | Started:
    """Start the `distbragg` command itself in a process of its own."""
    return start_module("distbragg.cli.main", arguments, environment, folder)


def report_of(process: subprocess.Popen[str] | Started, timeout_s: float | None) -> dict[str, Any]:
    """Wait for a process and return what it printed last."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise AssertionError(f"the process ended with {process.returncode}: {err[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def start_module(
    module: str, arguments: Sequence[str], environment: dict[str, str], folder: Path = ROOT
) -> subprocess.Popen[str] | Started:
    """Start a module in a process of its own; afresh where a library is to be loaded first."""
    path = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    if "LD_PRELOAD" not in environment:
        return loaded.start(["-m", module, *arguments], environment, folder)
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    sys.exit(main())
