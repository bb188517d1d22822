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
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distbragg.cli.main import explain
from distbragg.graph.progress import UnitFinished, UnitRetried
from distbragg.run.resume import resume
from tests.chaos.work import CHAOS

ROOT = Path(__file__).resolve().parents[2]
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

    def __call__(self, event: object) -> None:
        if isinstance(event, UnitRetried):
            self.retries += 1
        if not isinstance(event, UnitFinished):
            return
        self.done += 1
        if not self.rounds or self.done < self.every:
            return
        if not self.ready:
            # Nothing more is submitted while this waits; a few units later all are at work again.
            self.client.wait_for_workers(self.workers, timeout=RETURN_S)
            self.ready, self.done = True, self.every - AGAIN_AT_WORK
            return
        self.ready, self.done = False, 0
        self.rounds -= 1
        self._strike()

    def _strike(self) -> None:
        pids = self.client.run(os.getpid)
        victims = self.rng.sample(sorted(pids), (self.workers + 1) // 2)
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
            place, monkey = given.cluster, None
            if place.startswith("local"):
                from distbragg.graph.cluster import open_cluster

                client = stack.enter_context(open_cluster(place, memory_limit=given.memory))
                place = client.scheduler.address
                workers = int(given.cluster.partition(":")[2])
                monkey = Monkey(client, given.kill or "", given.rounds, given.every, workers)
            result = resume(
                given.run,
                cluster=place,
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
) -> subprocess.Popen[str]:
    """Start a driver in a process of its own."""
    command = [sys.executable, "-m", "tests.chaos.drive", str(run), *options]
    return _start(command, environment)


def start_command(arguments: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the `distbragg` command itself in a process of its own."""
    return _start([sys.executable, "-m", "distbragg.cli.main", *arguments], environment)


def report_of(process: subprocess.Popen[str], timeout_s: float) -> dict[str, Any]:
    """Wait for a driver and return what it printed last."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise AssertionError(f"the driver ended with {process.returncode}: {err[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    sys.exit(main())
