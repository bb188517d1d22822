"""The row in which two commands meet on one run, and one of them may be killed.

`python -m tests.chaos.pairs FOLDER --trials N` forks every command from a process that has
loaded the package, and prints what it counted as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.chaos.forked import (
    APPENDED,
    MORE,
    SERIAL,
    SWEEP,
    UNITS,
    Command,
    damage_one,
    frames,
    in_own_process,
    load,
    objects,
    start,
)
from tests.chaos.table import Row

KILLED_SHARE = 0.35
HEAD_START_S = 0.6
"""Longest time between the starts of the two commands, s."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("status", "r.zarr"),
    "verify": ("verify", "r.zarr"),
    "verify-quick": ("verify", "r.zarr", "--quick"),
    "audit": ("verify", "r.zarr", "--audit", "2"),
    "resume": ("resume", "r.zarr", *SERIAL),
    "part": ("run", "r.zarr", "--part", "1/2"),
    "repair": ("repair", "r.zarr", *SERIAL),
    "seal": ("seal", "r.zarr"),
    "extend": ("extend", "r.zarr", "more.yaml", *SERIAL),
    "sweep": ("sweep", "sweep.yaml", "-o", "r.zarr", *SERIAL),
    "npy": ("export", "r.zarr", "--format", "npy", "-o", "npy", *SERIAL),
    "tiff": ("export", "r.zarr", "--format", "tiff", "-o", "tiff", *SERIAL),
    "report": ("report", "r.zarr", "-o", "report.html"),
    "card": ("card", "r.zarr"),
    "info": ("info", "r.zarr"),
}
STATES = ("new", "half", "done", "sealed", "damaged", "extended")
PROMISED = {0, 2, 3, 4, 5, 6}
"""Exit statuses of a command that was not killed."""

COUNTED = (
    "tracebacks",
    "torn frames read",
    "unpromised exit statuses",
    "runs that could not be finished",
    "objects lost or changed",
)


def commands_meet(scratch: Path, trials: int = 60) -> Row:
    """Start `trials` random pairs of commands on runs in all states."""
    row = Row("two commands meet on one run", f"{trials} pairs of {len(COMMANDS)} commands")
    found = in_own_process("tests.chaos.pairs", str(scratch), "--trials", str(trials))
    row.equal("pairs", found["pairs"], trials)
    row.at_least("commands killed", found["killed"], trials // 10)
    for name in COUNTED:
        row.equal(f"{name} {found['seen'].get(name, '')}".strip(), found[name], 0)
    return row


def main() -> None:
    """Run the trials and print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load()
    given.folder.mkdir(exist_ok=True)
    trials = Trials(given.folder, random.Random(given.seed))
    for _ in range(given.trials):
        trials.one()
    sys.stdout.write(json.dumps(trials.counts | {"seen": trials.seen}) + "\n")


class Trials:
    """Runs pairs of commands and counts what goes wrong."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.counts = Counter(dict.fromkeys(("pairs", "killed", *COUNTED), 0))
        self.seen: dict[str, str] = {}
        self.states = folder / "states"
        self._make_states()
        self.wanted = objects(self.states / "extended" / "r.zarr")
        self.images = frames(self.states / "extended" / "r.zarr")

    def one(self) -> None:
        """Let two commands meet, and see what is left."""
        state = self.rng.choice(STATES)
        names = self.rng.sample(sorted(COMMANDS), 2)
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.states / state, work)
        label = f"{state}: {' | '.join(names)}"
        commands = [start(work, COMMANDS[names[0]], "0")]
        self._pause(HEAD_START_S)
        commands.append(start(work, COMMANDS[names[1]], "1"))
        if self.rng.random() < KILLED_SHARE:
            self._pause(HEAD_START_S)
            victim = self.rng.choice(commands)
            os.kill(victim.pid, signal.SIGKILL)
            victim.killed = True
            self.counts["killed"] += 1
        self._read(work / "r.zarr", label)
        for command in commands:
            self._judge(command, label)
        self._finish(work, label)
        self.counts["pairs"] += 1

    def _judge(self, command: Command, label: str) -> None:
        status = command.wait()
        self._count("tracebacks", "Traceback" in command.text, label, command.text)
        unpromised = not command.killed and status not in PROMISED
        self._count("unpromised exit statuses", unpromised, label, f"{status} {command.text}")

    def _finish(self, work: Path, label: str) -> None:
        """Finish the run as its user would; what was rendered before must be as it was."""
        for arguments in (("resume", "r.zarr", *SERIAL), ("repair", "r.zarr", *SERIAL)):
            last = start(work, arguments, arguments[0])
            status = last.wait()
            self._count("tracebacks", "Traceback" in last.text, label, last.text)
        last = start(work, ("verify", "r.zarr"), "verify")
        sound = last.wait() == 0
        found = objects(work / "r.zarr")
        whole = len([name for name in found if name.startswith("images")]) in (UNITS, UNITS + MORE)
        stuck = status or not sound or not whole
        self._count("runs that could not be finished", bool(stuck), label, last.text)
        other = [name for name, digest in found.items() if self.wanted.get(name) != digest]
        self._count("objects lost or changed", bool(other), label, str(other[:3]))

    def _read(self, run: Path, label: str) -> None:
        """Read every frame as xarray does while the commands are at work."""
        if self.rng.random() < 0.2:
            try:
                found = frames(run)
            except Exception as error:
                # The planted damage is met as a checksum's error; nothing else may be.
                told = "checksum" in str(error).lower() or "crc" in str(error).lower()
                self._count("torn frames read", not told, label, repr(error))
                return
            for index, image in enumerate(found):
                same = np.array_equal(image, self.images[index]) or np.isnan(image).all()
                self._count("torn frames read", not same, label, f"frame {index}")

    def _count(self, name: str, happened: bool, label: str, text: str) -> None:
        if happened:
            self.counts[name] += 1
            self.seen.setdefault(name, f"({label}: {' '.join(text.split())[-300:]})")

    def _pause(self, longest: float) -> None:
        time.sleep(self.rng.uniform(0.0, longest))

    def _make_states(self) -> None:
        self.states.mkdir()
        begin = ("create", "sweep.yaml", "-o", "r.zarr")
        resume = ("resume", "r.zarr", *SERIAL)
        made: dict[str, Sequence[tuple[str, ...]]] = {
            "new": (begin,),
            "half": (begin, ("run", "r.zarr", "--part", "1/2")),
            "done": (begin, resume),
            "sealed": (begin, resume, ("seal", "r.zarr")),
            "damaged": (begin, resume),
            "extended": (begin, resume, ("extend", "r.zarr", "more.yaml", *SERIAL)),
        }
        for name, steps in made.items():
            folder = self.states / name
            folder.mkdir()
            (folder / "sweep.yaml").write_text(SWEEP)
            (folder / "more.yaml").write_text(APPENDED)
            for arguments in steps:
                command = start(folder, arguments, "made")
                if command.wait():
                    raise AssertionError(f"{name}: {arguments}: {command.text[-500:]}")
        damage_one(self.states / "damaged" / "r.zarr")


if __name__ == "__main__":
    main()
