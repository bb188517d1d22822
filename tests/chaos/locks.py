"""Two commands that want one run, while names, clocks, folders and process numbers mislead them.

`python -m tests.chaos.locks FOLDER` does the row in a process that forks its commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distbragg.errors import ExitStatus
from distbragg.store import processes
from distbragg.store.lease import Lease, lease_key
from tests.chaos.forked import SERIAL, SWEEP, UNITS, Command, in_own_process, load, objects, start
from tests.chaos.table import Row

SLOW = SWEEP.replace("  output:", "  sampling: {oversample: 100}\n  output:")
RESUME = ("resume", "r.zarr", *SERIAL, "--no-watch")
THREE_DAYS = 3 * 86_400
LEASE_S = 3.0
HEARTBEAT_S = 0.2
"""Leases are renewed several times while a run of this row lasts, which is a second."""
TRACE = "Traceback"


def locks_mislead(scratch: Path) -> Row:
    """Meet a run held by another machine of this name, by the dead, by a copy, by a moved one."""
    row = Row("locks: names, clocks, copies, moves, process numbers", "one run, seven ways")
    found = in_own_process("tests.chaos.locks", str(scratch))
    row.equal("drivers refused by one that lives", found["refused"], 2)
    row.equal("units rendered twice", found["twice"], 0)
    row.equal(f"dead locks that held {found['held']}", len(found["held"]), 0)
    row.at_most("longest wait for a dead lease, s", found["longest"], 3 * LEASE_S + 5)
    row.equal("copies of a run at work that could not be used", found["copies"], 0)
    row.equal("moved runs that could not be finished", found["moved"], 0)
    row.equal("objects that differ from the undisturbed run", found["wrong"], 0)
    row.equal("tracebacks", found["tracebacks"], 0)
    return row


@contextlib.contextmanager
def _another_machine(folder: Path) -> Iterator[None]:
    """Let commands started in the block run on a machine of this name, booted another time."""
    boot, ours = folder / "boot_id", processes._BOOT_ID
    boot.write_text("00000000-0000-4000-8000-000000000000\n")
    processes._BOOT_ID = boot  # type: ignore[misc]
    try:
        yield
    finally:
        processes._BOOT_ID = ours  # type: ignore[misc]


class _Row:
    def __init__(self, folder: Path) -> None:
        load()
        self.folder = folder
        self.found: dict[str, Any] = {"refused": 0, "twice": 0, "held": [], "longest": 0.0}
        self.found |= {"copies": 0, "moved": 0, "wrong": 0, "tracebacks": 0}
        (folder / "sweep.yaml").write_text(SLOW)
        self.end(start(folder, ("create", "sweep.yaml", "-o", "empty.zarr"), "create"))
        self.run = folder / "r.zarr"
        self.fresh()
        self.end(start(folder, RESUME, "undisturbed"))
        self.wanted = objects(self.run)

    def fresh(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.folder / "empty.zarr", self.run)

    def end(self, command: Command) -> int:
        status = command.wait()
        self.found["tracebacks"] += command.text.count(TRACE)
        return status

    def at_work(self) -> Command:
        """Start a driver of a fresh run and wait until it has stored units."""
        self.fresh()
        command = start(self.folder, RESUME, "first")
        end = time.monotonic() + 30
        while len(objects(self.run)) < 4:
            if time.monotonic() > end:
                raise TimeoutError(command.text)
            time.sleep(0.01)
        return command

    def check(self, run: Path) -> None:
        """Compare a finished run with the undisturbed one, and count its receipts."""
        found = objects(run)
        self.found["wrong"] += sum(found.get(key) != value for key, value in self.wanted.items())
        receipts = sorted((run / ".distbragg" / "receipts").glob("*.jsonl"))
        self.found["twice"] += sum(len(path.read_bytes().splitlines()) for path in receipts) - UNITS

    def living(self) -> None:
        """A driver that lives refuses a second, also one of another machine of its name."""
        for elsewhere in (False, True):
            first = self.at_work()
            where = _another_machine(self.folder) if elsewhere else contextlib.nullcontext()
            with where:
                second = start(self.folder, RESUME, "second")
            self.found["refused"] += self.end(second) == ExitStatus.REFUSED
            self.end(first)
            self.check(self.run)

    def dead(self) -> None:
        """A driver that was killed holds nothing, whatever the time of its lock says."""
        lock = self.run / lease_key(None)
        for changed in (-THREE_DAYS, THREE_DAYS):
            for how in ("here", "elsewhere", "number taken again"):
                first = self.at_work()
                os.kill(first.pid, signal.SIGKILL)
                first.wait()
                body = json.loads(lock.read_bytes()) | {"lease_s": LEASE_S}
                if how == "number taken again":
                    body["pid"] = os.getpid()
                lock.write_text(json.dumps(body))
                os.utime(lock, (time.time() + changed,) * 2)
                where = contextlib.nullcontext()
                with _another_machine(self.folder) if how == "elsewhere" else where:
                    began = time.monotonic()
                    second = start(self.folder, RESUME, "second")
                while lock.exists() and json.loads(lock.read_bytes())["token"] == body["token"]:
                    if time.monotonic() - began > 60:
                        self.found["held"].append(f"{how}, {changed:+} s")
                        break
                    time.sleep(0.05)
                self.found["longest"] = max(self.found["longest"], time.monotonic() - began)
                if self.end(second):
                    self.found["held"].append(f"{how}, {changed:+} s: {second.text[-200:]}")
                self.check(self.run)

    def copied(self) -> None:
        """A copy of a run at work is another run."""
        first = self.at_work()
        copy = self.folder / "copy"
        shutil.copytree(self.run, copy / "r.zarr")
        self.found["copies"] += bool(self.end(start(copy, RESUME, "copied")))
        self.end(first)
        self.check(self.run)
        self.check(copy / "r.zarr")

    def moved(self) -> None:
        """A run that is moved at work loses nothing, and is finished where it is now."""
        first = self.at_work()
        target = self.folder / "moved"
        target.mkdir()
        stored = objects(self.run)
        self.run.rename(target / "r.zarr")
        self.end(first)
        self.found["moved"] += bool(self.end(start(target, RESUME, "moved")))
        found = objects(target / "r.zarr")
        kept = sum(found.get(key) == value for key, value in stored.items())
        self.found["wrong"] += len(stored) - kept
        self.found["wrong"] += sum(found.get(key) != value for key, value in self.wanted.items())


def main() -> None:
    """Do the row and print what was counted."""
    Lease.__init__.__kwdefaults__["heartbeat_s"] = HEARTBEAT_S
    row = _Row(Path(sys.argv[1]))
    for way in (row.living, row.dead, row.copied, row.moved):
        way()
    sys.stdout.write(json.dumps(row.found) + "\n")


if __name__ == "__main__":
    main()
