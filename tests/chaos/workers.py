"""Rows in which one worker of several is bad: it fails, cannot serve, or never ends."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from distributed import LocalCluster, Nanny

from distbragg.cli.main import main
from distbragg.clusters.local import DASHBOARD_ADDRESS
from distbragg.engine.work import LOOPBACK
from tests.chaos.bad_worker import KINDS, VARIABLE
from tests.chaos.deaths import PATIENCE_S, wait_for
from tests.chaos.drive import start_command
from tests.chaos.sweeps import digests, new_run, undisturbed
from tests.chaos.table import Row

PRELOAD = Path(__file__).with_name("bad_worker.py")
GOOD = ""


def one_worker_is_bad(
    scratch: Path,
    kinds: tuple[str, ...] = tuple(KINDS),
    units: int = 200,
    workers: int = 4,
    limit_s: float = 5.0,
) -> Row:
    """Render on workers of which one is bad, of each kind; `limit_s` ends one that hangs."""
    row = Row(
        "one worker is bad",
        f"1 of {workers} workers: {', '.join(kinds)}; {units} units each",
    )
    statuses = told = failed = wrong = 0
    slowest = limit_s
    with _cluster([GOOD] * (workers - 1)) as cluster:
        for kind in sorted(kinds, key="hangs".__eq__):
            run = new_run(scratch / kind / "RUN", units)
            options = ["--cluster", cluster.scheduler_address, "--json"]
            if kind == "hangs":
                # No good worker of a busy machine needs as long for a unit as for a whole run.
                options += ["--unit-timeout", str(slowest)]
            with _workers(cluster, [kind]), redirect_stdout(io.StringIO()) as out:
                started = time.monotonic()
                statuses += main(["resume", str(run.path), *options])
                slowest = max(slowest, time.monotonic() - started)
            events = [json.loads(line) for line in out.getvalue().splitlines()]
            failed += sum(event.get("status") == "failed" for event in events)
            left_out = [event for event in events if event["event"] == "left_out"]
            told += len(left_out) == 1 or kind == "hangs"  # its nanny restarts that one
            found, wanted = digests(run.path), undisturbed(units)
            wrong += sum(found.get(unit) != digest for unit, digest in wanted.items())
    row.equal("exit statuses, summed", statuses, 0)
    row.equal("kinds told once, with host and reason", told, len(kinds))
    row.equal("units set aside", failed, 0)
    row.equal("units that differ from the undisturbed run", wrong, 0)
    return row


def no_worker_can_serve(
    scratch: Path, kinds: tuple[str, ...] = ("class", "version", "absent"), workers: int = 2
) -> Row:
    """Render on workers of which none can serve: one line, and the run stays as it was."""
    row = Row("no worker can serve", f"{workers} workers: {', '.join(kinds)}")
    refused = lines = rendered = 0
    for kind in kinds:
        run = new_run(scratch / kind / "RUN", 6)
        with _cluster([kind] * workers) as cluster:
            place = cluster.scheduler_address
            arguments = ["resume", str(run.path), "--cluster", place, "--no-watch"]
            process = start_command(arguments, dict(os.environ))
            _, err = process.communicate(timeout=PATIENCE_S)
        refused += process.returncode in (4, 6)
        lines += sum(line.startswith("distbragg: error:") for line in err.splitlines())
        rendered += len(digests(run.path))
    row.equal("refusals", refused, len(kinds))
    row.equal("lines that say why", lines, len(kinds))
    row.equal("units rendered", rendered, 0)
    return row


@contextmanager
def _cluster(kinds: Sequence[str]) -> Iterator[LocalCluster]:
    """Yield a scheduler of this process with a worker process of each kind."""
    with (
        LocalCluster(
            n_workers=0, host=LOOPBACK, dashboard_address=DASHBOARD_ADDRESS, protocol="tcp"
        ) as cluster,
        _workers(cluster, kinds),
    ):
        yield cluster


@contextmanager
def _workers(cluster: LocalCluster, kinds: Sequence[str]) -> Iterator[None]:
    """Add a worker of each kind to those of a scheduler while the block runs."""
    there = _count(cluster)

    async def begin() -> list[Nanny]:
        return list(await asyncio.gather(*(_nanny(cluster, kind) for kind in kinds)))

    async def end() -> None:
        await asyncio.gather(*(nanny.close() for nanny in nannies))

    nannies = cluster.sync(begin)
    try:
        wait_for(lambda: _count(cluster) == there + len(kinds))
        yield
    finally:
        cluster.sync(end)
    wait_for(lambda: _count(cluster) == there)


def _nanny(cluster: LocalCluster, kind: str) -> Nanny:
    return Nanny(
        cluster.scheduler_address,
        nthreads=1,
        host=LOOPBACK,
        preload=[str(PRELOAD)],
        env={VARIABLE: kind},
        silence_logs=logging.CRITICAL,
        dashboard=False,
    )


def _count(cluster: LocalCluster) -> int:
    return len(cluster.scheduler.workers)
