"""Stages of the scale row, each in a process of its own: create, fill, scan, stream.

No unit is rendered: what is measured is everything but the kernel. `fill` stands for the
workers; it stores an empty object and appends a receipt for every unit.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from distbragg.engine.context import RunContext
from distbragg.engine.work import TaskSettings, UnitFunctions
from distbragg.run.create import create
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import append_receipt, unit_states
from distbragg.store.run_directory import open_run
from tests.chaos.sweeps import spec_of
from tests.chaos.table import peak_bytes

STREAMED = 20_000
_EMPTY = hashlib.sha256(b"").hexdigest()


def million_spec(frames: int, units: int) -> SweepSpec:
    """Random orientations, as many as frames."""
    plain = spec_of(1, edge=21).model_dump(mode="json", exclude_none=True)["experiment"]
    plain["compute"] = {"frames_per_unit": frames // units}
    plain["output"] = {"compression_level": 1}
    axis = {"name": "orientation", "random_orientations": {"count": frames, "seed": 1}}
    return SweepSpec.model_validate({"experiment": plain, "axes": [axis]})


def stage_create(run: Path, frames: int, units: int) -> dict[str, float]:
    """Create the run from its specification."""
    spec = million_spec(frames, units)
    started = time.monotonic()
    create(spec, run)
    return {"seconds": time.monotonic() - started}


def stage_fill(run: Path, frames: int, units: int) -> dict[str, float]:
    """Store an empty object and a receipt of it for every unit."""
    directory = open_run(run)
    fixed = {
        "run": directory.run_id,
        "digest": _EMPTY,
        "size": 0,
        "class": directory.manifest.class_id,
        "frames": frames // units,
        "sum": 0.0,
        "max": 0.0,
        "host": "host",
        "pid": 1,
        "attempt": 0,
        "render_seconds": 1.234567,
        "kernel_seconds": 1.234567,
        "write_seconds": 0.123456,
    }
    for unit in range(units):
        path = directory.object_path(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        append_receipt(directory, {**fixed, "unit": unit, "time": 1.7e9 + unit})
    return {"units": units}


def stage_scan(run: Path, frames: int, units: int) -> dict[str, float]:
    """Find out what is left to do, as every resume begins."""
    started = time.monotonic()
    left = units - len(unit_states(open_run(run)).done)
    return {"seconds": time.monotonic() - started, "left": left}


def stage_stream(run: Path, frames: int, units: int) -> dict[str, float]:
    """Stream no-op units through a scheduler of another process; count this process's time."""
    from distbragg.clusters.open import open_client
    from distbragg.engine.dask_executor import DaskExecutor

    place = run.parent / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--host", "127.0.0.1", "--no-dashboard", "--port", "0"]
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    helpers = [subprocess.Popen([*module, *options, "--scheduler-file", str(place)], **quiet)]
    try:
        while not place.exists():
            time.sleep(0.05)
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
        worker += ["--scheduler-file", str(place), "--no-dashboard", "--host", "127.0.0.1"]
        helpers += [subprocess.Popen(worker, cwd=run.parent, **quiet) for _ in range(2)]
        count = min(units, STREAMED)
        with open_client(str(place)) as opened:
            client = opened.client
            client.wait_for_workers(2)
            executor = DaskExecutor(client, work=NOTHING)
            started = time.process_time()
            done = sum(1 for _ in executor.run_units(RunContext(str(run), "0" * 64), range(count)))
            spent = time.process_time() - started
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    return {"units": done, "ms_per_unit": 1e3 * spent / done}


def render_nothing(
    run: RunContext, unit: int, attempt: int, settings: TaskSettings
) -> dict[str, Any]:
    """Return what looks like a receipt."""
    return {"unit": unit, "attempt": attempt, "digest": _EMPTY, "size": 0, "frames": 1}


NOTHING = UnitFunctions(render_nothing)

STAGES = {
    "create": stage_create,
    "fill": stage_fill,
    "scan": stage_scan,
    "stream": stage_stream,
}

if __name__ == "__main__":
    name, path, frame_count, unit_count = sys.argv[1:]
    report = STAGES[name](Path(path), int(frame_count), int(unit_count))
    report["peak_bytes"] = peak_bytes()
    sys.stdout.write(json.dumps(report) + "\n")
