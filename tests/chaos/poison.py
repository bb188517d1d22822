"""Rows in which a unit cannot be rendered, and in which stored objects are damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from distbragg.run.repair import repair
from distbragg.run.resume import resume
from distbragg.run.verify import verify
from distbragg.store.layout import RECEIPTS_DIR
from distbragg.store.records import read_records
from distbragg.store.run_directory import RunDirectory, open_run
from tests.chaos.deaths import PATIENCE_S
from tests.chaos.drive import report_of, start
from tests.chaos.sweeps import digests, new_run, spec_of, undisturbed
from tests.chaos.table import Row
from tests.chaos.work import MISBEHAVIOUR, Faults, notes

ATTEMPTS = 3
TIME_LIMIT_S = 4.0
MEMORY = "700MB"


def units_misbehave(
    scratch: Path,
    kinds: tuple[str, ...] = tuple(MISBEHAVIOUR),
    units: int = 40,
    place: str = "local:2",
    limit_s: float = TIME_LIMIT_S,
) -> Row:
    """Give one unit of each kind of misbehaviour to a run, then mend them and resume."""
    row = Row("a unit cannot be rendered", f"{', '.join(kinds)}: one each of {units} units")
    run = new_run(scratch / "RUN", units)
    poison = {str(2 + 5 * position): kind for position, kind in enumerate(kinds)}
    log = scratch / "log"
    environment = Faults(str(log), poison=poison).save(scratch / "plan.json")
    options = ["--cluster", place, "--timeout", str(limit_s)]
    if place != "serial":
        options += ["--memory", MEMORY]
    report = report_of(start(run.path, *options, environment=environment), PATIENCE_S)
    row.equal("exit status", report["status"], 3)
    row.equal("units set aside", len(report["failures"]), len(poison))
    row.equal(
        "of these misbehaving ones", len(report["failures"].keys() & poison.keys()), len(poison)
    )
    begun = [(words[1], words[2]) for words in notes(log, "start")]
    tries = [len({number for unit, number in begun if unit == each}) for each in poison]
    row.at_most("tries that began at one, most", max(tries), ATTEMPTS)
    row.at_least("tries that began at one, fewest", min(tries), ATTEMPTS)
    # What a worker was at is not always known when it dies: such a start is not a try.
    again = [sum(unit == each for unit, _ in begun) for each in poison]
    row.at_most("starts of one, most", max(again), 2 * ATTEMPTS)
    wanted = {u: d for u, d in undisturbed(units).items() if str(u) not in poison}
    row.same_bits(digests(run.path), wanted)
    mended = Faults(str(log)).save(scratch / "mended.json")
    report = report_of(start(run.path, environment=mended), PATIENCE_S)
    row.equal("exit status once they are mended", report["status"], 0)
    row.equal(
        "units that differ then",
        sum(digests(run.path).get(u) != d for u, d in undisturbed(units).items()),
        0,
    )
    return row


def objects_are_damaged(scratch: Path, units: int = 60, rounds: int = 5) -> Row:
    """Damage a tenth of the objects in every way, find all of it, and render that alone."""
    row = Row(
        "objects truncated, flipped, deleted, swapped, emptied, foreign",
        f"{rounds} rounds of {len(DAMAGES)} kinds in {units} units",
    )
    run = new_run(scratch / "RUN", units)
    resume(run, cluster="serial", threads=1)
    other = resume_other(scratch / "OTHER", units)
    rng = Random(3)
    hurt_all = found_all = falsely = rendered_wrongly = wrong = 0
    for _ in range(rounds):
        hurt: set[int] = set()
        for damage in DAMAGES:
            free = [unit for unit in range(units) if unit not in hurt]
            hurt |= damage(run, other, rng, free)
        report = verify(run, level="full")
        found = {item.unit for item in report.findings}
        hurt_all += len(hurt)
        found_all += len(found & hurt)
        falsely += len(found - hurt)
        before = _receipted(run)
        repair(run, cluster="serial", threads=1)
        again = _receipted(run)
        extra = {unit for unit in again if again.count(unit) > before.count(unit)}
        rendered_wrongly += len(extra ^ hurt)
        wrong += sum(digests(run.path).get(u) != d for u, d in undisturbed(units).items())
    row.at_least("objects damaged", hurt_all, rounds * len(DAMAGES))
    row.equal("of these not found by verify --full", hurt_all - found_all, 0)
    row.equal("sound objects found damaged", falsely, 0)
    row.equal("units rendered by repair that were sound, or not rendered", rendered_wrongly, 0)
    row.equal("units that differ after repair", wrong, 0)
    row.equal("findings of verify --deep after all", len(verify(run, level="deep").findings), 0)
    return row


def resume_other(path: Path, units: int) -> RunDirectory:
    """A finished run of another crystal with the same layout: a source of foreign objects."""
    from distbragg.run.create import create

    run = create(spec_of(units, domains=3), path)
    resume(run, cluster="serial", threads=1)
    return open_run(path)


Damage = Callable[[RunDirectory, RunDirectory, Random, list[int]], set[int]]


def truncate(run: RunDirectory, _: RunDirectory, rng: Random, free: list[int]) -> set[int]:
    """Cut an object somewhere."""
    unit = rng.choice(free)
    path = run.object_path(unit)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, len(data))])
    return {unit}


def flip(run: RunDirectory, _: RunDirectory, rng: Random, free: list[int]) -> set[int]:
    """Turn one bit over."""
    unit = rng.choice(free)
    path = run.object_path(unit)
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return {unit}


def delete(run: RunDirectory, _: RunDirectory, rng: Random, free: list[int]) -> set[int]:
    """Remove an object."""
    unit = rng.choice(free)
    run.object_path(unit).unlink()
    return {unit}


def empty(run: RunDirectory, _: RunDirectory, rng: Random, free: list[int]) -> set[int]:
    """Leave nothing of an object but its name."""
    unit = rng.choice(free)
    run.object_path(unit).write_bytes(b"")
    return {unit}


def swap(run: RunDirectory, _: RunDirectory, rng: Random, free: list[int]) -> set[int]:
    """Exchange two objects."""
    one, two = rng.sample(free, 2)
    first, second = run.object_path(one), run.object_path(two)
    data = first.read_bytes()
    shutil.copyfile(second, first)
    second.write_bytes(data)
    return {one, two}


def foreign(run: RunDirectory, other: RunDirectory, rng: Random, free: list[int]) -> set[int]:
    """Put the object of another run in the place of one."""
    unit = rng.choice(free)
    shutil.copyfile(other.object_path(unit), run.object_path(unit))
    return {unit}


DAMAGES: tuple[Damage, ...] = (truncate, flip, delete, swap, empty, foreign)


def _receipted(run: RunDirectory) -> list[int]:
    return [int(record["unit"]) for _, record in read_records(run.objects, RECEIPTS_DIR)]
