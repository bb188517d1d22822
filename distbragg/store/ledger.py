"""What is done and what is left: receipts, failures and repairs against what is stored.

None of them is ever edited. A repair appends a line for each unit that was found damaged; where the
receipt itself was wrong, that line names it, and it no longer counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from distbragg.errors import DamageError
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import FAILURES_DIR, RECEIPTS_DIR, REPAIRS_DIR
from distbragg.store.maps import content_digest
from distbragg.store.records import (
    Count,
    Digest,
    Number,
    Text,
    append_record,
    read_record,
    read_records,
)
from distbragg.store.run_directory import RunDirectory
from distbragg.store.spots import has_labels, scan_labels

WORST_KEPT: Final = 10
"""Frames of a unit that its receipt names: the slowest ones, and the brightest ones."""

DISPUTED: Final = (
    "was rendered twice with different bytes; `distbragg repair` finds out which are right, and "
    "which machine gave the others"
)


@dataclass(frozen=True, slots=True)
class TableReceipt:
    """What a receipt states of the unit's table of spots, or of an object beside its first."""

    digest: Digest
    size: Count


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a unit's object was written whole, as it is stored."""

    run: Text
    unit: Count
    digest: Digest  # of the object of the run's first array, as is the size
    size: Count
    numeric_class: Annotated[Text, Field(alias="class")]  # of the process that rendered it
    code: Text = ""  # digest of the code of that process
    frames: Count = 0
    sum: Number = 0.0  # over all pixels, photons, as is the greatest
    max: Number = 0.0
    host: Text = "?"
    pid: Count = 0
    time: Number = 0.0  # s since the epoch
    attempt: Count = 0
    steps: Count = 0  # pixel-steps
    render_seconds: Number = 0.0
    kernel_seconds: Number = 0.0
    write_seconds: Number = 0.0
    encode_seconds: Number = 0.0
    verify_seconds: Number = 0.0
    skipped_photons: tuple[Number, ...] = ()  # left out of any pixel of each frame at most
    overloads: tuple[Count, ...] = ()  # of each frame, pixels beyond the stored type
    slowest: tuple[tuple[Count, Number], ...] = ()  # frames, and s in the kernel
    brightest: tuple[tuple[Count, Number], ...] = ()  # frames, and photons in a pixel
    spots: Count = 0
    label_seconds: Number = 0.0
    labels: TableReceipt | None = None
    maps: Mapping[str, TableReceipt] | None = None  # of arrays beside the first, variants too

    @property
    def process(self) -> str:
        """Host and process that wrote it."""
        return f"{self.host} pid {self.pid}"

    @property
    def stored_bytes(self) -> int:
        """Bytes of all objects of the unit's pixels."""
        return self.size + sum(one.size for one in (self.maps or {}).values())

    @property
    def content(self) -> str:
        """Digest of all that the unit stores of its pixels."""
        stated = self.maps or {}
        return content_digest(self.digest, {name: one.digest for name, one in stated.items()})

    @property
    def id(self) -> str:
        """Name of the receipt: place, time and all."""
        return sha256_bytes(canonical_json(self.to_plain()).encode())[:32]

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data, as it is stored."""
        plain = _RECEIPT.dump_python(self, mode="json", by_alias=True)
        return {key: value for key, value in plain.items() if value not in ([], None)}

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Receipt:
        """Rebuild a receipt; a `ValueError` names a field that is missing, or of another type."""
        receipt = read_record(_RECEIPT, plain)
        for name in ("skipped_photons", "overloads"):
            if len(getattr(receipt, name)) not in (0, receipt.frames):
                raise ValueError(f"{name} is not a list of {receipt.frames} numbers, one a frame")
        return receipt


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that a worker could not render, and why; `time` is in s since the epoch."""

    unit: Count
    attempt: Count
    reason: Text
    time: Number


@dataclass(frozen=True, slots=True)
class Repair:
    """A unit that was found damaged: what was found, and ids of receipts that no longer count."""

    unit: Count
    void: tuple[Text, ...]
    time: Number
    kind: Text = ""
    problem: Text = ""


_RECEIPT: Final = TypeAdapter(Receipt)
_FAILURE: Final = TypeAdapter(Failure)
_REPAIR: Final = TypeAdapter(Repair)


@dataclass(frozen=True, slots=True)
class UnitStates:
    """How far the units of a run are."""

    done: frozenset[int]  # stored as a receipt states
    disputed: frozenset[int]  # two receipts of one numeric class state different bytes


def append_receipt(run: RunDirectory, record: Mapping[str, Any]) -> None:
    """Append a receipt to this process's own file."""
    append_record(run.objects, RECEIPTS_DIR, record)


def record_failure(run: RunDirectory, unit: int, attempt: int, reason: str) -> None:
    """Append a failure of `unit` to this process's own file."""
    told = {"attempt": attempt, "reason": _one_line(reason)}
    _append(run, FAILURES_DIR, unit, told)


def record_repair(
    run: RunDirectory, unit: int, kind: str, problem: str, void: Iterable[str] = ()
) -> None:
    """Record that the object of `unit` was found damaged, and which receipts count no more."""
    told = {"kind": kind, "problem": _one_line(problem), "void": list(void)}
    _append(run, REPAIRS_DIR, unit, told)


def _append(run: RunDirectory, folder: str, unit: int, told: Mapping[str, Any]) -> None:
    record = {"run": run.run_id, "unit": unit, "time": time.time(), **told}
    append_record(run.objects, folder, record)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:2000]


def fold_receipts(run: RunDirectory) -> dict[int, tuple[Receipt, ...]]:
    """Distinct receipts of every unit: those of one class and the same bytes count as one."""
    folded: dict[int, dict[tuple[str, str], Receipt]] = {}
    for receipt in all_receipts(run):
        known = folded.setdefault(receipt.unit, {})
        known.setdefault((receipt.numeric_class, receipt.content), receipt)
    return {unit: tuple(receipts.values()) for unit, receipts in folded.items()}


def is_disputed(receipts: tuple[Receipt, ...]) -> bool:
    """Whether two of a unit's distinct receipts are of one numeric class."""
    return len({receipt.numeric_class for receipt in receipts}) < len(receipts)


def completed_units(
    run: RunDirectory, folded: Mapping[int, tuple[Receipt, ...]] | None = None
) -> dict[int, Receipt]:
    """Units with a receipt, none disputed, and an object and table of the size that it states."""
    fits = _fits(run)
    return {
        unit: receipt
        for unit, receipts in (fold_receipts(run) if folded is None else folded).items()
        if not is_disputed(receipts)
        for receipt in receipts
        if fits(receipt)
    }


def unit_states(run: RunDirectory) -> UnitStates:
    """Return the units that `completed_units` would have, in a fraction of its memory."""
    fits = _fits(run)
    digests: dict[tuple[int, str], bytes] = {}
    done, disputed = set(), set()
    for receipt in all_receipts(run):
        digest = bytes.fromhex(receipt.content)
        if digests.setdefault((receipt.unit, receipt.numeric_class), digest) != digest:
            disputed.add(receipt.unit)
        elif fits(receipt):
            done.add(receipt.unit)
    return UnitStates(frozenset(done - disputed), frozenset(disputed))


def done_units(run: RunDirectory) -> frozenset[int]:
    """Units that are done; see `unit_states`."""
    return unit_states(run).done


def part_units(run: RunDirectory, part: tuple[int, int] | None) -> range:
    """Units of a part (i, n), 1 ≤ i ≤ n, interleaved as the cost may drift; None: all."""
    first, step = (0, 1) if part is None else (part[0] - 1, part[1])
    return range(first, run.layout.units, step)


def failures(run: RunDirectory) -> dict[int, Failure]:
    """Return the latest failure of every unit that has one."""
    found: list[Failure] = []
    for key, plain in read_records(run.objects, FAILURES_DIR):
        if plain.get("run") == run.run_id:
            try:
                found.append(read_record(_FAILURE, plain))
            except ValueError as error:
                raise _unreadable(run, key, "failure", error) from None
    found.sort(key=lambda item: item.time)
    return {item.unit: item for item in found if 0 <= item.unit < run.layout.units}


def repairs(run: RunDirectory) -> tuple[Repair, ...]:
    """Return all repairs of this run, oldest first; records of another form are none."""
    found = []
    for _, plain in read_records(run.objects, REPAIRS_DIR):
        try:
            repair = read_record(_REPAIR, plain)
        except ValueError:
            continue
        if run.owns(plain.get("run"), repair.unit):
            found.append(repair)
    return tuple(sorted(found, key=lambda item: item.time))


def object_digests(run: RunDirectory) -> dict[int, str]:
    """Digest of the stored bytes of every completed unit, all arrays, from its receipt."""
    return {unit: receipt.content for unit, receipt in sorted(completed_units(run).items())}


def all_receipts(run: RunDirectory) -> Iterator[Receipt]:
    """Every receipt of this run that no repair has voided, repeated ones too."""
    units = run.layout.units
    voided = {(item.unit, name) for item in repairs(run) for name in item.void}
    doubted = {unit for unit, _ in voided}
    for key, plain in read_records(run.objects, RECEIPTS_DIR):
        unit = plain.get("unit")
        # A receipt of another run or beyond the grid proves nothing about this one.
        if type(unit) is int and not (0 <= unit < units and run.owns(plain.get("run"), unit)):
            continue
        try:
            receipt = Receipt.from_plain(plain)
        except ValueError as error:
            raise _unreadable(run, key, "receipt", error) from None
        if unit not in doubted or (receipt.unit, receipt.id) not in voided:
            yield receipt


def _unreadable(run: RunDirectory, key: str, kind: str, error: ValueError) -> DamageError:
    return DamageError(
        f"{run.url}/{key}: holds a {kind} that this program did not write ({error}); move the "
        "file away: `distbragg resume` renders what is without a receipt then"
    )


def _fits(run: RunDirectory) -> Callable[[Receipt], bool]:
    """Return what says whether that which a receipt states is stored, by its size."""
    sizes = run.stored_sizes()
    tables = scan_labels(run) if has_labels(run) else None
    beside = {one.array: run.stored_sizes(one) for one in run.beside}

    def fits(receipt: Receipt) -> bool:
        if sizes.get(receipt.unit) != receipt.size:
            return False
        for name, known in beside.items():
            stated = (receipt.maps or {}).get(name)
            if stated is None or known.get(receipt.unit) != stated.size:
                return False
        table = receipt.labels.size if receipt.labels else -1
        return tables is None or tables.get(receipt.unit) == table

    return fits
