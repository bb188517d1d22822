"""The row in which the power fails: the block device is copied at chosen system calls.

Every command that writes is run on a small file system of its own. Before a chosen call the
device is copied, as a power cut would leave it; each copy is mounted, its journal replayed, and
the run on it continued by its user's command. `python -m tests.chaos.power FOLDER …` does it,
and prints what it counted as one JSON line.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.disk import preloaded
from tests.chaos.forked import (
    APPENDED,
    MORE,
    SERIAL,
    SWEEP,
    UNITS,
    damage_one,
    frames,
    in_own_process,
    load,
    objects,
    start,
)
from tests.chaos.table import Row

LIBRARY = Path(__file__).with_name("power_cut.c")
FILE_SYSTEMS = {"ext4": (40 << 20, ["-q", "-F"]), "xfs": (320 << 20, ["-q", "-f"])}
"""Size in bytes and options of mkfs, by file system."""


@dataclass(frozen=True)
class Step:
    """A command, and the number of frames that are finished before it."""

    name: str
    arguments: tuple[str, ...]
    finished: int


STEPS = (
    Step("create", ("create", "sweep.yaml", "-o", "disk/r.zarr"), 0),
    Step("sweep", ("resume", "disk/r.zarr", *SERIAL), 0),
    Step("seal", ("seal", "disk/r.zarr"), UNITS),
    Step("extend", ("extend", "disk/r.zarr", "more.yaml", *SERIAL), UNITS),
    Step("repair", ("repair", "disk/r.zarr", *SERIAL), UNITS + MORE - 1),
    Step(
        "export",
        ("export", "disk/r.zarr", "--format", "npy", "-o", "disk/out", *SERIAL),
        UNITS + MORE,
    ),
)


@dataclass
class Tally:
    """What was found after all cuts."""

    cuts: int = 0
    unmountable: int = 0
    tracebacks: int = 0
    lost: int = 0
    wrong: int = 0
    told: int = 0
    stuck: list[str] = field(default_factory=list)


def power_fails(scratch: Path, points: int = 20, file_systems: Sequence[str] = ("ext4",)) -> Row:
    """Cut the power at `points` system calls of each file system, spread over all commands."""
    row = Row("the power fails", f"{points} points each on {', '.join(file_systems)}")
    row.skipped = _missing(file_systems)
    if row.skipped:
        return row
    given = (str(scratch), "--points", str(points), "--on", *file_systems)
    library = {"LD_PRELOAD": str(preloaded(LIBRARY, scratch))}
    tally = Tally(**in_own_process("tests.chaos.power", *given, environment=library))
    row.at_least("cuts", tally.cuts, points * len(file_systems))
    row.equal("devices that could not be mounted", tally.unmountable, 0)
    row.equal("tracebacks", tally.tracebacks, 0)
    row.equal("frames lost that a command had finished", tally.lost, 0)
    row.equal("objects that differ from the undisturbed run", tally.wrong, 0)
    row.at_most("cuts after which resume asked for repair first", tally.told, tally.cuts)
    row.equal(f"runs that could not be finished {' '.join(tally.stuck[:3])}", len(tally.stuck), 0)
    return row


def main() -> None:
    """Cut, recover and print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, required=True)
    parser.add_argument("--on", nargs="+", choices=FILE_SYSTEMS, required=True)
    given = parser.parse_args()
    load()
    given.folder.mkdir(exist_ok=True)
    tally = Tally()
    for name in given.on:
        (given.folder / name).mkdir()
        _cut_everywhere(given.folder / name, given.points, tally)
    sys.stdout.write(json.dumps(asdict(tally)) + "\n")


def _missing(file_systems: Sequence[str]) -> str:
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        return "block devices need the right to mount"
    tools = ["cc", *(f"mkfs.{name}" for name in file_systems)]
    absent = [name for name in tools if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _cut_everywhere(folder: Path, points: int, tally: Tally) -> None:
    """Run all commands twice: to count their calls, and to cut at `points` of them."""
    counted = _run_all(folder / "count", {})
    wanted = objects(folder / "count" / "kept.zarr")
    total, first = sum(counted.values()), 0
    cuts = [1 + (2 * i + 1) * total // (2 * points) for i in range(points)]
    chosen: dict[str, list[int]] = {}
    for name, calls in counted.items():
        chosen[name] = sorted({cut - first for cut in cuts if first < cut <= first + calls})
        first += calls
    work = folder / "cut"
    _run_all(work, chosen)
    for step in STEPS:
        for image in sorted(work.glob(f"{step.name}.img.*")):
            tally.cuts += 1
            try:
                with _mounted(image, work / "disk"):
                    _recover(work, f"{step.name}{image.suffix}", step, wanted, tally)
            except subprocess.CalledProcessError:
                tally.unmountable += 1
            image.unlink()


def _run_all(folder: Path, chosen: dict[str, list[int]]) -> dict[str, int]:
    """Run every command, and return the calls each has made; the run is kept in `kept.zarr`.

    The library is there in all processes, and counts in those that are told where.
    """
    folder.mkdir()
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "more.yaml").write_text(APPENDED)
    image, calls = folder / "img", folder / "calls"
    size, options = FILE_SYSTEMS[folder.parent.name]
    with image.open("wb") as handle:
        handle.truncate(size)
    made = [f"mkfs.{folder.parent.name}", *options, str(image)]
    subprocess.run(made, check=True, capture_output=True)
    counted = {}
    with _mounted(image, folder / "disk"):
        for step in STEPS:
            if step.name == "repair":
                damage_one(folder / "disk" / "r.zarr")
                os.sync()
            environment = {
                "CHAOS_ROOT": str(folder / "disk"),
                "CHAOS_CALLS": str(calls),
                "CHAOS_IMAGE": str(image),
                "CHAOS_CUTS": ",".join(map(str, chosen.get(step.name, []))),
            }
            tell = functools.partial(os.environ.update, environment)
            command = start(folder, step.arguments, step.name, before=tell)
            if status := command.wait():
                raise AssertionError(f"{step.name}: exit {status}: {command.text[-500:]}")
            counted[step.name] = int(calls.read_text())
            calls.unlink()
            for found in folder.glob("img.*"):
                found.rename(folder / f"{step.name}.{found.name}")
        if not chosen:
            shutil.copytree(folder / "disk" / "r.zarr", folder / "kept.zarr")
    image.unlink()
    return counted


def _recover(folder: Path, at: str, step: Step, wanted: dict[str, str], tally: Tally) -> None:
    """Do what the user of a run would do after the power has failed."""
    run = folder / "disk" / "r.zarr"
    if not run.exists():
        # A run that was never created whole is not seen; one that was must be.
        if step.name != "create":
            tally.stuck.append(f"{at}: no run")
        return
    lines: list[str] = []

    def told(*arguments: str) -> int:
        command = start(folder, arguments, "recover")
        status = command.wait()
        tally.tracebacks += command.text.count("Traceback")
        lines.append(f"{arguments[0]} {status} {' '.join(command.text.split())[-200:]}")
        return status

    if told("status", "disk/r.zarr", "--json") == 0:
        done = json.loads((folder / "recover.out").read_text())["frames_done"]
        tally.lost += max(0, step.finished - done)
    left = told("resume", "disk/r.zarr", *SERIAL)
    tally.told += bool(left)
    if left or step.name == "repair":
        told("repair", "disk/r.zarr", *SERIAL)
        left = told("resume", "disk/r.zarr", *SERIAL)
    if step.name == "export":
        left = left or told(*step.arguments)
    try:
        frames(run)
    except Exception as error:
        left = 1
        lines.append(repr(error))
    if left or told("verify", "disk/r.zarr"):
        tally.stuck.append(f"{at}: {lines}")
    found = objects(run)
    tally.wrong += sum(wanted.get(name) != digest for name, digest in found.items())


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    options = "loop,nouuid" if image.parents[1].name == "xfs" else "loop"
    subprocess.run(["mount", "-o", options, str(image), str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    main()
