"""Run the fault table: `python -m tests.chaos [--nightly] [--only NAME …]`; `make chaos`.

Rows run one after the other, each in a folder of its own. The table is a bundle under `reports`;
the exit status is 1 where a row fails.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.chaos import (
    deaths,
    disk,
    endurance,
    inputs,
    locks,
    machine,
    mending,
    pairs,
    poison,
    power,
    workers,
)
from tests.chaos.table import Row, summary, timed
from tools.evidence.bundle import Bundle

Measure = Callable[[Path], Row]

ROWS: dict[str, Measure] = {
    "workers-kill": partial(deaths.workers_die, mode="kill"),
    "workers-segfault": partial(deaths.workers_die, mode="segfault"),
    "workers-graceful": partial(deaths.workers_die, mode="graceful"),
    "run-killed": deaths.run_dies,
    "scheduler-killed": deaths.scheduler_dies,
    "bad-worker": workers.one_worker_is_bad,
    "no-good-worker": workers.no_worker_can_serve,
    "points": deaths.dies_at_points,
    "disk-full": disk.disk_full,
    "failing-writes": disk.writes_fail,
    "power": partial(power.power_fails, points=20, file_systems=("ext4", "xfs")),
    "pairs": partial(pairs.commands_meet, trials=60),
    "repair-killed": mending.repair_dies,
    "disputed": mending.disputed,
    "links": mending.links,
    "locks": locks.locks_mislead,
    "poison": poison.units_misbehave,
    "damage": poison.objects_are_damaged,
    "any-order": partial(machine.break_in_any_order, examples=40),
    "inputs": partial(inputs.damaged_inputs, inputs=4_000),
    "leak": endurance.memory_leaks,
    "million": partial(endurance.million_frames, units=100_000),
}
"""The table of `make chaos`, by the names that `--only` takes."""

NIGHTLY: dict[str, Measure] = ROWS | {
    "power": partial(power.power_fails, points=200, file_systems=("ext4", "xfs")),
    "pairs": partial(pairs.commands_meet, trials=500),
    "any-order": machine.break_in_any_order,
    "inputs": inputs.damaged_inputs,
    "million": endurance.million_frames,
}
"""The same with its long rows in full."""


def main() -> int:
    """Run the rows asked for and write the bundle."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--nightly", action="store_true", help="the long rows in full")
    parser.add_argument("--only", nargs="+", choices=sorted(ROWS), metavar="ROW")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    parser.add_argument("--keep", action="store_true", help="leave the broken runs to be looked at")
    given = parser.parse_args()
    table = NIGHTLY if given.nightly else ROWS
    scratch = Path(tempfile.mkdtemp(prefix="distbragg-chaos-"))
    bundle = Bundle.create(given.out, "reliability")
    rows: list[Row] = []
    for name in given.only or table:
        sys.stderr.write(f"{name}: ")
        sys.stderr.flush()
        rows.append(_run(name, table[name], scratch / name))
        sys.stderr.write(f"{rows[-1].verdict}, {rows[-1].seconds:.0f} s\n")
        # Written after every row, so that a table cut short shows what it had.
        bundle.write_json("rows.json", [row.to_plain() for row in rows])
        bundle.write_text("summary.md", summary(rows))
    if given.keep:
        sys.stderr.write(f"{scratch}\n")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.stdout.write(f"{bundle.path}\n")
    return int(any(row.verdict == "FAILS" for row in rows))


def _run(name: str, measure: Measure, folder: Path) -> Row:
    """Run one row; what it raises is a row that fails."""
    try:
        return timed(measure, folder)
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        row = Row(name)
        row.equal(f"errors of the row itself ({type(error).__name__})", 1, 0)
        return row


if __name__ == "__main__":
    sys.exit(main())
