"""Rows in which processes die: workers, the run itself, the scheduler, and at chosen points."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from distbragg.run.resume import resume
from distbragg.store.layout import RECEIPTS_DIR
from distbragg.store.records import read_records
from distbragg.store.run_directory import RunDirectory
from tests.chaos.drive import AGAIN_AT_WORK, report_of, start, start_command
from tests.chaos.sweeps import digests, new_run, undisturbed
from tests.chaos.table import Row
from tests.chaos.work import POINTS, Faults, starts

WORKERS = 4
WITH_A_WORKER = 2
"""Units that Dask's scheduler hands to a worker of one thread: one at work, one waiting."""
PATIENCE_S = 300.0


def workers_die(
    scratch: Path, mode: str, units: int = 200, rounds: int = 5, workers: int = WORKERS
) -> Row:
    """End half of the workers, `rounds` times."""
    names = {"kill": "SIGKILL", "segfault": "SIGSEGV", "graceful": "closed gracefully"}
    row = Row(
        f"workers die at random: {names[mode]}",
        f"half of {workers} workers × {rounds} in {units} units",
    )
    run = new_run(scratch / "RUN", units)
    environment = Faults(str(scratch / "log"), pause_s=0.2).save(scratch / "plan.json")
    every = max(1, (units - rounds * AGAIN_AT_WORK) // (rounds + 1))
    options = ["--cluster", f"local:{workers}", "--kill", mode]
    options += ["--rounds", str(rounds), "--every", str(every)]
    report = report_of(start(run.path, *options, environment=environment), 2 * PATIENCE_S)
    row.equal("exit status", report["status"], 0)
    row.at_least("workers ended", report.get("ended", 0), rounds * (workers // 2))
    begun = starts(scratch / "log")
    in_flight = WITH_A_WORKER * workers * rounds
    row.at_most("units rendered again", len(begun) - len(set(begun)), in_flight)
    row.same_bits(digests(run.path), undisturbed(units))
    return row


def run_dies(scratch: Path, points: int = 20, units: int = 120, workers: int = 2) -> Row:
    """Kill the driver, at random moments, until it has been killed `points` times."""
    row = Row("the run itself is killed (SIGKILL)", f"{points} random points, {workers} workers")
    run = new_run(scratch / "RUN", units)
    environment = Faults(str(scratch / "log"), pause_s=0.1).save(scratch / "plan.json")
    rng, killed, log = random.Random(2), 0, scratch / "log"
    while killed < points:
        process = start(run.path, "--cluster", f"local:{workers}", environment=environment)
        seen = len(starts(log))
        deadline = time.monotonic() + PATIENCE_S
        while len(starts(log)) == seen and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        # Far enough for some units, soon enough that the last kill still finds work to do.
        time.sleep(rng.uniform(0.0, 0.08 * units / points))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += 1
    row.equal("times killed", killed, points)
    report = report_of(
        start(run.path, "--cluster", f"local:{workers}", environment=environment), PATIENCE_S
    )
    row.equal("exit status of the last execution", report["status"], 0)
    begun = starts(log)
    again = len(begun) - len(set(begun))
    row.at_most("units rendered again per kill", again / max(1, killed), WITH_A_WORKER * workers)
    row.same_bits(digests(run.path), undisturbed(units))
    return row


def scheduler_dies(scratch: Path, units: int = 60) -> Row:
    """Kill a scheduler of its own process while the command renders on its workers."""
    row = Row("the scheduler is killed (SIGKILL)", f"after a quarter of {units} units, 2 workers")
    run = new_run(scratch / "RUN", units)
    environment = Faults(str(scratch / "log"), pause_s=0.2).save(scratch / "plan.json")
    place = scratch / "scheduler.json"
    scheduler = _dask("scheduler", "--no-dashboard", "--port", "0", "--scheduler-file", str(place))
    helpers = [scheduler]
    try:
        wait_for(place.exists)
        address = json.loads(place.read_text())["address"]
        options = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "20"]
        helpers += [_dask("worker", address, *options, cwd=scratch) for _ in range(2)]
        process = start_command(["resume", str(run.path), "--cluster", str(place)], environment)
        wait_for(lambda: len(_receipted(run)) >= units // 4 or process.poll() is not None)
        scheduler.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        _, err = process.communicate(timeout=PATIENCE_S)
        row.at_most("seconds until the run exits", time.monotonic() - killed, 60)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    row.equal("exit status", process.returncode, 6)
    row.equal("lines that name the resume command", err.count(f"distbragg resume {run.path}"), 1)
    row.equal("tracebacks", err.count("Traceback"), 0)
    row.at_least("units left to do", units - len(digests(run.path)), 1)
    row.equal("exit status of resume", int(resume(run, cluster="serial", threads=1).status), 0)
    row.same_bits(digests(run.path), undisturbed(units))
    return row


def dies_at_points(
    scratch: Path, points: tuple[str, ...] = POINTS, places: tuple[str, ...] = ("serial", "local:2")
) -> Row:
    """Die at every point between the first byte of an object and the end of its receipt."""
    units, at = 12, 5
    row = Row(
        "killed at a chosen point of storing a unit",
        f"{', '.join(points)}; the run itself and a worker",
    )
    wanted, deaths, lies, again, wrong, litter = undisturbed(units), 0, 0, 0, 0, 0
    for place in places:
        for point in points:
            folder = scratch / f"{place.replace(':', '-')}-{point}"
            folder.mkdir()
            run = new_run(folder / "RUN", units)
            log = folder / "log"
            environment = Faults(str(log), point=point, at=at).save(folder / "plan.json")
            process = start(run.path, "--cluster", place, environment=environment)
            process.communicate(timeout=PATIENCE_S)
            deaths += (log / "died").exists() and (process.returncode == -9) == (place == "serial")
            lies += receipts_without_object(run)
            if place == "serial":
                report_of(start(run.path, environment=environment), PATIENCE_S)
            begun = starts(log)
            again = max(again, len(begun) - len(set(begun)))
            found = digests(run.path)
            wrong += sum(found.get(unit) != digest for unit, digest in wanted.items())
            litter += run.objects.sweep_partial()
    row.equal("deaths at their point", deaths, len(points) * len(places))
    row.equal("receipts without their object", lies, 0)
    row.at_most("units rendered again by one death", again, 2 * WITH_A_WORKER)
    row.equal("half-written files left at the end", litter, 0)
    row.equal("units that differ from the undisturbed run", wrong, 0)
    return row


def receipts_without_object(run: RunDirectory) -> int:
    """Count receipts whose object is not there with the size and bytes they state."""
    from distbragg.store.files import sha256_file

    lies = 0
    for record in _receipted(run):
        path = run.object_path(record["unit"])
        lies += not path.is_file() or sha256_file(path) != (record["digest"], record["size"])
    return lies


def _receipted(run: RunDirectory) -> list[dict[str, object]]:
    return [record for _, record in read_records(run.objects, RECEIPTS_DIR)]


def _dask(role: str, *options: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    module = f"distributed.cli.dask_{role}"
    command = [sys.executable, "-m", module, *options, "--host", "127.0.0.1"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=cwd)


def wait_for(condition: object, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.05)
