"""A state machine that renders, dies, damages, verifies and repairs one run in any order.

The model is a set: the units whose object is sound and receipted. Whatever happens, no receipt
may lie about a sound unit, verification finds exactly what was damaged, and what is rendered
again comes out with the bits of the undisturbed run.
"""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from distbragg.errors import RefusedError
from distbragg.run.create import create
from distbragg.run.repair import repair
from distbragg.run.resume import resume
from distbragg.run.verify import verify
from distbragg.store import records, write
from distbragg.store.layout import RECEIPTS_DIR
from distbragg.store.lease import Lease
from distbragg.store.ledger import completed_units
from distbragg.store.local_files import LocalWriter
from distbragg.store.run_directory import open_run
from tests.chaos.sweeps import new_run, spec_of, undisturbed
from tests.chaos.table import Row

UNITS = 6
SIZES = {"edge": 19, "domains": 1}
units = st.integers(0, UNITS - 1)


class Killed(BaseException):
    """Stands for the end of the process."""


class Breakage(RuleBasedStateMachine):
    """One run, broken and mended."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="distbragg-breakage-"))
        self.wanted = undisturbed(UNITS, **SIZES)
        self.sound: set[int] = set()
        self.damaged: set[int] = set()

    @initialize()
    def begin(self) -> None:
        self.run = new_run(self.folder / "RUN", UNITS, **SIZES)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(chosen=st.sets(units, min_size=1))
    def render(self, chosen: set[int]) -> None:
        """Render some units; those that have a receipt and an object of its size are kept."""
        to_do = self._to_do(chosen)
        result = resume(self.run, cluster="serial", threads=1, units=chosen)
        assert not result.failures
        self._take(to_do)

    @rule()
    def resume(self) -> None:
        """Render all that is left."""
        to_do = self._to_do(set(range(UNITS)))
        result = resume(self.run, cluster="serial", threads=1)
        assert result.done == UNITS
        assert result.rendered == len(to_do)
        self._take(to_do)

    @rule(at=units, point=st.sampled_from(["object", "renamed", "receipt", "stored"]))
    def die(self, at: int, point: str) -> None:
        """Die while a unit is stored, with what that leaves on the disk."""
        before = self._to_do(set(range(UNITS)))
        with pytest.MonkeyPatch.context() as patch:
            _break_at(patch, point, self.run.object_path(at))
            try:
                resume(self.run, cluster="serial", threads=1)
            except Killed:
                reached = {unit for unit in before if unit < at}
                _forget_process()
            else:
                reached = before
        self._take(reached)
        if at in before:
            # Dying within the object leaves whatever was there before.
            if point == "stored":
                self._take({at})
            elif point in ("renamed", "receipt"):
                # The object is there and sound; only its receipt may be missing.
                self._orphaned(at)

    @precondition(lambda self: self.sound)
    @rule(data=st.data(), kind=st.sampled_from(["cut", "flip", "remove", "empty", "other", "swap"]))
    def damage(self, data: st.DataObject, kind: str) -> None:
        """Damage a sound object, or exchange two."""
        unit = data.draw(st.sampled_from(sorted(self.sound)))
        path = self.run.object_path(unit)
        content = path.read_bytes()
        if kind == "swap":
            other = data.draw(st.sampled_from(sorted(self.sound)))
            if other == unit:
                return
            path.write_bytes(self.run.object_path(other).read_bytes())
            self.run.object_path(other).write_bytes(content)
            self._hurt(other)
        elif kind == "remove":
            path.unlink()
        else:
            place = data.draw(st.integers(0, len(content) - 1))
            flipped = bytes([content[place] ^ 1])
            path.write_bytes(
                {
                    "cut": content[:place],
                    "flip": content[:place] + flipped + content[place + 1 :],
                    "empty": b"",
                    "other": b"\0" * len(content),
                }[kind]
            )
        self._hurt(unit)

    @precondition(lambda self: self.sound)
    @rule(data=st.data())
    def render_twice(self, data: st.DataObject) -> None:
        """Render a unit that is there already, as a worker that was given up does late."""
        from distbragg.engine.context import RunContext
        from distbragg.engine.unit import render_unit
        from distbragg.engine.work import TaskSettings

        unit = data.draw(st.sampled_from(sorted(self.sound)))
        render_unit(RunContext.of(self.run), unit, 1, TaskSettings())

    @rule()
    def run_twice(self) -> None:
        """A second driver is refused, and changes nothing."""
        with Lease(self.run.objects), pytest.raises(RefusedError):
            resume(self.run, cluster="serial")

    @rule()
    def take_another_specification(self) -> None:
        """Another sweep is refused at this place, with the difference."""
        with pytest.raises(RefusedError, match="holds another run"):
            create(spec_of(UNITS, edge=19, domains=2), self.run.path)

    @rule(level=st.sampled_from(["full", "deep"]))
    def verify(self, level: Any) -> None:
        """Everything that is damaged is found, and nothing else."""
        found = {item.unit for item in verify(self.run, level=level).findings}
        assert found == self.damaged

    @rule()
    def repair(self) -> None:
        """What is damaged is rendered again, and nothing else."""
        damaged, before = set(self.damaged), self._receipts()
        result = repair(self.run, cluster="serial", threads=1)
        assert set(result.repaired) == damaged
        again = self._receipts()
        assert {unit for unit in again if again.count(unit) > before.count(unit)} == damaged
        self._take(damaged)

    @invariant()
    def no_receipt_lies(self) -> None:
        """What counts as done has the bits of the undisturbed run, unless damage hides in it."""
        if not hasattr(self, "run"):
            return
        done = completed_units(open_run(self.run.path))
        assert self.sound <= done.keys()
        assert all(receipt.digest == self.wanted[unit] for unit, receipt in done.items())

    def _to_do(self, chosen: set[int]) -> set[int]:
        """Units a resume renders: those without a receipt, or without an object of its size."""
        return chosen - self._hidden() - self.sound

    def _hidden(self) -> set[int]:
        """Damaged units that resume, which compares sizes alone, takes for done."""
        return {unit for unit in self.damaged if unit in self._receipts() and self._same_size(unit)}

    def _same_size(self, unit: int) -> bool:
        sizes = {
            record["size"]
            for _, record in records.read_records(self.run.objects, RECEIPTS_DIR)
            if record["unit"] == unit
        }
        path = self.run.object_path(unit)
        return path.exists() and path.stat().st_size in sizes

    def _receipts(self) -> list[int]:
        found = records.read_records(self.run.objects, RECEIPTS_DIR)
        return [int(record["unit"]) for _, record in found]

    def _take(self, done: set[int]) -> None:
        self.sound |= done
        self.damaged -= done

    def _hurt(self, unit: int) -> None:
        self.sound.discard(unit)
        self.damaged.add(unit)

    def _orphaned(self, unit: int) -> None:
        """An object was stored and no receipt of it: sound if an earlier receipt says the same."""
        if unit in self._receipts():
            self._take({unit})
        else:
            self._hurt(unit)


def _break_at(patch: pytest.MonkeyPatch, point: str, path: Path) -> None:
    """Make storing the object at `path` end in `Killed`, at a point of it."""
    publish, append = LocalWriter._publish, write.append_receipt

    def at_object(writer: LocalWriter) -> None:
        if writer.path != path:
            publish(writer)
            return
        if point == "object":
            # Nobody clears up after a process that was killed.
            writer.partial.with_name(f"{writer.partial.stem}.{'f' * 32}").write_bytes(
                writer.partial.read_bytes()[:9]
            )
            raise Killed
        publish(writer)
        if point == "renamed":
            raise Killed
        patch.setattr(write, "append_receipt", at_receipt)

    def at_receipt(run: Any, record: dict[str, Any]) -> None:
        if point == "receipt":
            patch.setattr(records, "encode_record", _half(records.encode_record))
            append(run, record)
            raise Killed
        append(run, record)
        raise Killed

    patch.setattr(LocalWriter, "_publish", at_object)


def _forget_process() -> None:
    """Leave the files of records that a process kept open: the next one has its own."""
    records._writers.clear()


def _half(encode: Callable[[dict[str, Any]], bytes]) -> Callable[[dict[str, Any]], bytes]:
    def torn(record: dict[str, Any]) -> bytes:
        line = encode(record)
        return line[: len(line) // 2]

    return torn


def break_in_any_order(scratch: Path, examples: int = 500, steps: int = 20) -> Row:
    """Run the machine; hypothesis raises with the shortest history that breaks it."""
    row = Row(
        "any order of render, die, resume, damage, verify, repair",
        f"{examples} histories of up to {steps} steps",
    )
    tally = {"histories": 0}

    class Counted(Breakage):
        def teardown(self) -> None:
            tally["histories"] += 1
            super().teardown()

    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None
    )
    broken, history = 0, scratch / "history.txt"
    try:
        run_state_machine_as_test(Counted, settings=chosen)
    except Exception:
        broken = 1
        history.write_text(traceback.format_exc())
    row.equal("histories that break a promise", broken, 0)
    row.at_least("histories", tally["histories"], examples)
    return row
