"""Rows of long and large runs: memory over many units, and a million frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests import loaded
from tests.chaos.deaths import PATIENCE_S
from tests.chaos.drive import report_of, start
from tests.chaos.sweeps import digests, new_run, undisturbed
from tests.chaos.table import Row
from tests.chaos.work import Faults, notes
from tests.loaded import ROOT

SETTLED = 0.25
"""Share of the units after which a worker's caches are full."""


def memory_leaks(scratch: Path, units: int = 2000) -> Row:
    """Follow the resident memory of one worker over many units."""
    row = Row("memory of a worker that never restarts", f"{units} units on one worker")
    run = new_run(scratch / "RUN", units, edge=21)
    environment = Faults(str(scratch / "log")).save(scratch / "plan.json")
    process = start(run.path, "--cluster", "local:1", environment=environment)
    row.equal("exit status", report_of(process, 3 * PATIENCE_S)["status"], 0)
    sizes = np.array([float(words[2]) for words in notes(scratch / "log", "end")])
    row.equal("units on that worker", len(sizes), units)
    tail = sizes[int(SETTLED * len(sizes)) :]
    slope = np.polyfit(np.arange(len(tail)), tail, 1)[0]
    row.at_most("growth of resident memory, kB per unit", slope / 1e3, 50)
    row.same_bits(digests(run.path), undisturbed(units, edge=21))
    return row


def million_frames(
    scratch: Path,
    frames: int = 1_000_000,
    units: int = 1_000_000,
    stages: tuple[str, ...] = ("create", "fill", "scan", "stream"),
) -> Row:
    """Create, fill with no-op units, scan and time a run of a million frames."""
    row = Row("scale: work that does nothing", f"{frames} frames in {units} units")
    found = {}
    for stage in stages:
        given = [scratch / "RUN", str(frames), str(units)]
        ended = loaded.run(["-m", "tests.chaos.million", stage, *given], folder=ROOT, timeout=1800)
        if ended.returncode != 0:
            raise AssertionError(f"{stage}: {ended.stderr[-2000:]}")
        found[stage] = json.loads(ended.stdout.splitlines()[-1])
    row.at_most("created, s", found["create"]["seconds"], 120)
    row.equal("units left after all have receipts", found["scan"]["left"], 0)
    row.at_most("resume scan, s", found["scan"]["seconds"], 60)
    peak = max(found[stage]["peak_bytes"] for stage in stages if stage != "fill")
    row.at_most("client memory, GB", peak / 1e9, 1.5)
    if "stream" not in found:
        return row
    row.at_most("client processor time, ms per unit", found["stream"]["ms_per_unit"], 1.0)
    row.at_least("units streamed", found["stream"]["units"], min(units, 20_000))
    return row
