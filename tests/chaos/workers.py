"""Rows in which one worker of several is bad: it fails, cannot serve, or never ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from distbragg.cli.main import main
from tests.chaos.bad_worker import KINDS, VARIABLE
from tests.chaos.deaths import PATIENCE_S, wait_for
from tests.chaos.drive import ROOT, start_command
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
    """Render on workers of which one is bad, of each kind in turn."""
    row = Row(
        "one worker is bad",
        f"1 of {workers} workers: {', '.join(kinds)}; {units} units each",
    )
    statuses = told = failed = wrong = 0
    with _cluster(scratch, [GOOD] * (workers - 1)) as place:
        for kind in kinds:
            run = new_run(scratch / kind / "RUN", units)
            options = ["--cluster", str(place), "--unit-timeout", str(limit_s), "--json"]
            with _workers(place, [kind]), redirect_stdout(io.StringIO()) as out:
                statuses += main(["resume", str(run.path), *options])
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
        with _cluster(scratch / kind, [kind] * workers) as place:
            arguments = ["resume", str(run.path), "--cluster", str(place), "--no-watch"]
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
def _cluster(folder: Path, kinds: Sequence[str]) -> Iterator[Path]:
    """Yield the file of a scheduler with a worker of each kind, processes of their own."""
    place = folder / "scheduler.json"
    scheduler = _dask("scheduler", place, GOOD, "--port", "0")
    try:
        wait_for(place.exists)
        with _workers(place, kinds):
            yield place
    finally:
        _end([scheduler])


@contextmanager
def _workers(place: Path, kinds: Sequence[str]) -> Iterator[None]:
    """Add a worker of each kind to those of a scheduler while the block runs."""
    there, helpers = _count(place), []
    try:
        for kind in kinds:
            bad = ["--preload", str(PRELOAD)] if kind else []
            helpers.append(_dask("worker", place, kind, "--nthreads", "1", *bad))
        wait_for(lambda: _count(place) == there + len(kinds))
        yield
    finally:
        _end(helpers)
    wait_for(lambda: _count(place) == there)


def _end(helpers: Sequence[subprocess.Popen[bytes]]) -> None:
    for helper in helpers:
        helper.terminate()
    for helper in helpers:
        helper.wait()


def _dask(role: str, place: Path, kind: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *options]
    command += ["--host", "127.0.0.1", "--scheduler-file", str(place), "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: kind}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=place.parent, env=environment)


def _count(place: Path) -> int:
    from distributed import Client

    with Client(scheduler_file=str(place), set_as_default=False) as client:
        return len(client.nthreads())
