"""Rows in which the disk refuses: full, or failing on one write in twenty."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distbragg.run.verify import verify
from tests.chaos.deaths import PATIENCE_S, receipts_without_object
from tests.chaos.drive import report_of, start, start_command
from tests.chaos.sweeps import digests, new_run, undisturbed
from tests.chaos.table import Row
from tests.chaos.work import Faults

TMPFS_BYTES = 24 << 20
FAILING = Path(__file__).with_name("failing_writes.c")


def disk_full(scratch: Path, units: int = 120, place: str = "local:2") -> Row:
    """Render onto a small file system that runs full, make space, resume."""
    row = Row("the disk runs full", f"tmpfs of {TMPFS_BYTES >> 20} MiB, {units} units, {place}")
    sizes = {"edge": 160, "domains": 1}
    with small_disk(scratch / "disk") as disk:
        if disk is None:
            row.skipped = "a small tmpfs needs the right to mount"
            return row
        environment = Faults(str(scratch / "log")).save(scratch / "plan.json")
        run = new_run(disk / "RUN", units, **sizes)
        ballast = disk / "ballast"
        room = sum(_sizes(units, sizes)) // 3
        _fill(ballast, disk, leave=room)
        process = start_command(["resume", str(run.path), "--cluster", place], environment)
        _, err = process.communicate(timeout=PATIENCE_S)
        row.equal("exit status", process.returncode, 6)
        row.equal("tracebacks", err.count("Traceback"), 0)
        row.at_least("error lines that say no space", err.count("space"), 1)
        done = len(digests(run.path))
        row.at_least("units stored before", done, 1)
        row.at_least("units left to do", units - done, 1)
        row.equal("receipts without their object", receipts_without_object(run), 0)
        ballast.unlink()
        report = report_of(start(run.path, "--cluster", place, environment=environment), PATIENCE_S)
        row.equal("exit status of resume", report["status"], 0)
        row.same_bits(digests(run.path), undisturbed(units, **sizes))
        row.equal("findings of verify --full", len(verify(run).findings), 0)
    return row


def writes_fail(scratch: Path, units: int = 200, place: str = "local:2") -> Row:
    """Fail one system call in twenty that writes below the run, with EIO or EACCES."""
    row = Row("writes fail with EIO or EACCES", f"5 % of writes, {units} units, {place}")
    library = preloaded(FAILING, scratch)
    if library is None:
        row.skipped = "needs a C compiler"
        return row
    run = new_run(scratch / "RUN", units)
    quiet = Faults(str(scratch / "log")).save(scratch / "plan.json")
    counts = scratch / "counts"
    counts.mkdir()
    failing = {
        **quiet,
        "LD_PRELOAD": str(library),
        "CHAOS_ROOT": str(run.path),
        "CHAOS_COUNTS": str(counts),
        "CHAOS_PERCENT": "5",
    }
    other, executions, done = 0, 0, 0
    while done < units and executions < 10:
        failing["CHAOS_SEED"] = str(executions)
        process = start(run.path, "--cluster", place, environment=failing)
        status, before = report_of(process, PATIENCE_S)["status"], done
        done = len(digests(run.path))
        # A run that may not be written to from the start is bad input, 2.
        other += not (status in {0, 3, 6} or (status == 2 and done == before))
        executions += 1
    failed, calls = _counted(counts)
    row.at_least("system calls that failed", failed, 10)
    row.at_least("share of those tried, %", 100 * failed / max(1, calls), 3)
    row.equal("receipts without their object", receipts_without_object(run), 0)
    row.equal("executions that ended otherwise than 0, 3, 6, or 2 before they began", other, 0)
    row.at_most("executions under failing writes", executions, 5)
    report = report_of(start(run.path, environment=quiet), PATIENCE_S)
    row.equal("exit status of an undisturbed resume", report["status"], 0)
    row.same_bits(digests(run.path), undisturbed(units))
    row.equal("findings of verify --full", len(verify(run).findings), 0)
    return row


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small tmpfs; None where this process may not."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    if not mounted:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def preloaded(source: Path, folder: Path) -> Path | None:
    """Compile a library to be preloaded into `folder`; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / f"{source.stem}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True, capture_output=True)
    return library


def _fill(ballast: Path, disk: Path, leave: int) -> None:
    free = shutil.disk_usage(disk).free
    ballast.write_bytes(bytes(max(0, free - leave)))


def _sizes(units: int, sizes: dict[str, int]) -> list[int]:
    """Bytes of the objects of the undisturbed run."""
    import tempfile

    from distbragg.run.resume import resume
    from distbragg.store.ledger import completed_units

    with tempfile.TemporaryDirectory() as folder:
        run = new_run(Path(folder) / "RUN", units, **sizes)
        resume(run, cluster="serial", threads=1)
        return [receipt.size for receipt in completed_units(run).values()]


def _counted(folder: Path) -> tuple[int, int]:
    pairs = [path.read_text().split() for path in folder.glob("*") if path.stat().st_size]
    return sum(int(pair[0]) for pair in pairs), sum(int(pair[1]) for pair in pairs)
