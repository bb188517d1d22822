"""Rows about runs that are damaged, disputed or hostile: nothing that is sound may be lost.

`python -m tests.chaos.mending ROW FOLDER` does a row in a process that forks its commands.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from distbragg.store.records import encode_record
from tests.chaos.forked import (
    SERIAL,
    SWEEP,
    UNITS,
    damage_one,
    in_own_process,
    load,
    objects,
    start,
)
from tests.chaos.table import Row

READING = (
    ("status", "r.zarr"),
    ("info", "r.zarr"),
    ("verify", "r.zarr"),
    ("verify", "r.zarr", "--quick"),
    ("verify", "r.zarr", "--audit", "2"),
    ("report", "r.zarr", "-o", "report.html"),
    ("card", "r.zarr"),
    ("export", "r.zarr", "--format", "npy", "-o", "out", *SERIAL),
)
WRITING = (("resume", "r.zarr", *SERIAL), ("repair", "r.zarr", *SERIAL), ("seal", "r.zarr"))
DEAD_CLUSTER = ("repair", "r.zarr", "--cluster", "tcp://127.0.0.1:9")


def repair_dies(scratch: Path, kills: int = 20) -> Row:
    """Kill `repair` at random moments, or let it find no cluster, on four kinds of damage."""
    row = Row("repair is killed, or cannot render", f"{kills} kills, 4 kinds of damage")
    found = in_own_process("tests.chaos.mending", "repair", str(scratch), str(kills))
    row.equal("killed", found["killed"], kills)
    row.equal(f"sound objects lost {found['seen']}", found["lost"], 0)
    row.equal("runs that repair could not mend afterwards", found["unmended"], 0)
    row.equal("tracebacks", found["tracebacks"], 0)
    return row


def disputed(scratch: Path) -> Row:
    """Give one unit a second receipt that states other bytes."""
    row = Row("a unit was rendered twice with other bytes", f"one unit of {UNITS}, every command")
    found = in_own_process("tests.chaos.mending", "disputed", str(scratch), "0")
    row.equal(f"commands that could not go on {found['seen']}", found["refused"], 0)
    row.equal("commands that tell of the unit", found["told"], 2)
    row.equal("exit status of repair", found["repair"], 0)
    row.equal("exit status of verify afterwards", found["verify"], 0)
    row.equal("objects that differ from the undisturbed run", found["wrong"], 0)
    row.equal("tracebacks", found["tracebacks"], 0)
    return row


def links(scratch: Path, share: int = 1) -> Row:
    """Run every command on runs from elsewhere that hold links, FIFOs and devices.

    On each of them runs one command in `share`, and each command on one of them in so many.
    """
    row = Row("a run from elsewhere holds links and special files", "every command")
    found = in_own_process("tests.chaos.mending", "links", str(scratch), str(share))
    row.at_least("commands run", found["commands"], 1)
    row.equal(f"files outside of the run touched {found['seen']}", found["touched"], 0)
    row.equal(f"commands that hung {found['hung']}", len(found["hung"]), 0)
    row.equal("tracebacks", found["tracebacks"], 0)
    return row


def main() -> None:
    """Do a row and print what was counted."""
    load()
    name, folder, amount = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(exist_ok=True)
    base = folder / "base"
    base.mkdir()
    (base / "sweep.yaml").write_text(SWEEP)
    made = start(base, ("sweep", "sweep.yaml", "-o", "r.zarr", *SERIAL), "made")
    if made.wait():
        raise AssertionError(made.text)
    rows: dict[str, Callable[[Path, Path, int], dict[str, object]]] = {
        "repair": _repair,
        "disputed": _disputed,
        "links": _links,
    }
    sys.stdout.write(json.dumps(rows[name](folder, base, amount)) + "\n")


def _copied(base: Path, work: Path) -> Path:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work)
    return work / "r.zarr"


def _lose_table(run: Path) -> None:
    sorted((run / "labels").glob("*.parquet"))[2].unlink()


def _lose_receipts(run: Path) -> None:
    shutil.rmtree(run / ".distbragg" / "receipts")


def _lose_and_damage(run: Path) -> None:
    _lose_receipts(run)
    damage_one(run)


def _repair(folder: Path, base: Path, kills: int) -> dict[str, object]:
    """Count objects that were sound before a repair which failed, and are not after it."""
    rng, work = random.Random(1), folder / "work"
    wanted = objects(base / "r.zarr")
    kinds = (damage_one, _lose_table, _lose_receipts, _lose_and_damage)
    result = {"killed": 0, "lost": 0, "unmended": 0, "tracebacks": 0}
    seen = ""

    def sound(run: Path) -> int:
        found = objects(run)
        return sum(found.get(name) == digest for name, digest in wanted.items())

    def check(run: Path, before: int, errors: str, what: str) -> None:
        nonlocal seen
        result["tracebacks"] += errors.count("Traceback")
        lost = max(0, before - sound(run))
        result["lost"] += lost
        if lost:
            seen = seen or f"({what}: {lost})"

    for number in range(kills):
        kind = kinds[number % len(kinds)]
        run = _copied(base, work)
        kind(run)
        before, begun = sound(run), time.monotonic()
        command = start(work, WRITING[1], "repair")
        time.sleep(rng.uniform(0.0, 1.5))
        os.kill(command.pid, signal.SIGKILL)
        command.wait()
        result["killed"] += 1
        check(run, before, command.text, f"{kind.__name__} {time.monotonic() - begun:.2f} s")
        again = start(work, WRITING[1], "again")
        again.wait()
        last = start(work, ("verify", "r.zarr"), "verify")
        result["unmended"] += bool(last.wait()) or sound(run) < len(wanted)
        check(run, before, again.text, f"{kind.__name__}, repaired again")
    for kind in kinds:
        run = _copied(base, work)
        kind(run)
        before = sound(run)
        command = start(work, DEAD_CLUSTER, "dead", before=_wait_briefly)
        command.wait()
        check(run, before, command.text, f"{kind.__name__}, no cluster")
    return {**result, "seen": seen}


def _wait_briefly() -> None:
    """Give a scheduler a second to answer, in place of half a minute."""
    from distbragg.clusters import open as opening

    opening.CONNECT_TIMEOUT_S = 1  # type: ignore[misc]


def _disputed(folder: Path, base: Path, _: int) -> dict[str, object]:
    work = folder / "work"
    run = _copied(base, work)
    wanted = objects(run)
    receipts = run / ".distbragg" / "receipts"
    line = sorted(receipts.glob("*.jsonl"))[0].read_bytes().splitlines()[3]
    record = json.loads(line)["record"] | {"digest": "0" * 64, "host": "node17"}
    (receipts / "node17-1-abc.jsonl").write_bytes(encode_record(record))
    result = {"refused": 0, "told": 0, "tracebacks": 0, "wrong": 0}
    seen = ""
    for arguments in READING:
        command = start(work, arguments, "read")
        status = command.wait()
        result["tracebacks"] += command.text.count("Traceback")
        text = command.text + (work / "read.out").read_text()
        # Verification that finds it says so by its status; nothing else may end otherwise.
        fine = {0, 3, 5} if arguments[0] == "verify" else {0, 3}
        if status not in fine:
            result["refused"] += 1
            seen = seen or f"({arguments[0]} {status}: {text[-200:]})"
        if arguments in (("status", "r.zarr"), ("verify", "r.zarr")):
            result["told"] += "twice" in text
    repair = start(work, WRITING[1], "repair").wait()
    verify = start(work, ("verify", "r.zarr"), "verify").wait()
    result["wrong"] = sum(objects(run).get(name) != digest for name, digest in wanted.items())
    return {**result, "repair": repair, "verify": verify, "seen": seen}


def _links(folder: Path, base: Path, share: int) -> dict[str, object]:
    work, victim = folder / "work", folder / "victim"
    victim.mkdir()
    for name in ("partial", "images", "receipts", "grids", "labels"):
        (victim / name).mkdir()
    (victim / "partial" / "id_rsa").write_text("KEY")
    before = _tree(victim)
    result: dict[str, int] = {"commands": 0, "touched": 0, "tracebacks": 0}
    seen, hung = "", []
    for number, (name, plant) in enumerate(_plants(victim).items()):
        for arguments in (*READING, *WRITING)[number % share :: share]:
            run = _copied(base, work)
            shutil.rmtree(run / "images" / "c" / "3")
            plant(run)
            command = start(work, arguments, "command")
            try:
                command.wait()
            except TimeoutError:
                hung.append(f"{name}: {' '.join(arguments)}")
            result["commands"] += 1
            result["tracebacks"] += command.text.count("Traceback")
            if _tree(victim) != before:
                result["touched"] += 1
                seen = seen or f"({name}: {' '.join(arguments)})"
                shutil.rmtree(victim)
                return {**result, "seen": seen, "hung": hung}
    return {**result, "seen": seen, "hung": hung}


def _plants(victim: Path) -> dict[str, Callable[[Path], object]]:
    def linked(name: str, target: Path) -> Callable[[Path], object]:
        def plant(run: Path) -> None:
            place = run / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
            place.symlink_to(target)

        return plant

    def fifo(name: str) -> Callable[[Path], object]:
        def plant(run: Path) -> None:
            (run / name).unlink(missing_ok=True)
            os.mkfifo(run / name)

        return plant

    return {
        "partial": linked(".distbragg/partial", victim / "partial"),
        "object": linked("images/c/3", victim / "images"),
        "grids": linked(".distbragg/grids", victim / "grids"),
        "labels": linked("labels", victim / "labels"),
        "metadata": linked("images/zarr.json", Path("/dev/zero")),
        "coordinate": fifo("fast/zarr.json"),
        "array": fifo("images/zarr.json"),
    }


def _tree(folder: Path) -> list[tuple[str, bytes]]:
    """Names and contents of all files in a folder."""
    found = [path for path in folder.rglob("*") if not path.is_dir()]
    return sorted((path.relative_to(folder).as_posix(), path.read_bytes()) for path in found)


if __name__ == "__main__":
    main()
