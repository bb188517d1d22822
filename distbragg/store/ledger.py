"""What is done and what is left: receipts and failures folded against the objects on disk."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from distbragg.errors import DamageError
from distbragg.store.home import keep_record, kept_lines, kept_records, present_objects
from distbragg.store.labels import has_labels, labels_fit, scan_labels
from distbragg.store.layout import FAILURES_DIR, RECEIPTS_DIR
from distbragg.store.run_directory import RunDirectory
from distbragg.store.standing import receipt_id, voided_receipts

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a unit's object was written whole.

    Attributes
    ----------
    unit : int
    digest : str
        SHA-256 of the stored object's bytes.
    size : int
        Bytes of the stored object.
    numeric_class : str
        Class id of the process that rendered it.
    text : bytes
        The receipt as written, JSON: of a million, dicts would fill gigabytes.
    """

    unit: int
    digest: str
    size: int
    numeric_class: str
    text: bytes

    @property
    def record(self) -> dict[str, Any]:
        """The receipt as written, with sums, timings and place; read anew at each call."""
        record: dict[str, Any] = json.loads(self.text)
        return record


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that a worker could not render, and why."""

    unit: int
    attempt: int
    reason: str
    record: dict[str, Any]


def append_receipt(run: RunDirectory, record: dict[str, Any]) -> None:
    """Append a receipt to this process's own file."""
    keep_record(run, RECEIPTS_DIR, record)


def record_failure(
    run: RunDirectory, unit: int, attempt: int, reason: str, **details: object
) -> dict[str, Any]:
    """Append a failure of `unit` to this process's own file and return the record."""
    record = {
        "run": run.run_id,
        "unit": unit,
        "attempt": attempt,
        "reason": " ".join(reason.split())[:2000],
        "time": time.time(),
        **details,
    }
    keep_record(run, FAILURES_DIR, record)
    return record


def fold_receipts(run: RunDirectory) -> dict[int, tuple[Receipt, ...]]:
    """Distinct receipts of every unit: one per numeric class.

    Raises
    ------
    DamageError
        Two receipts of one unit and one numeric class state different bytes: the same
        numbers were computed twice with different results.
    """
    folded: dict[int, dict[str, Receipt]] = {}
    for receipt in all_receipts(run):
        known = folded.setdefault(receipt.unit, {}).setdefault(receipt.numeric_class, receipt)
        if known.digest != receipt.digest:
            _refuse_twins(run, known, receipt)
    return {unit: tuple(by_class.values()) for unit, by_class in folded.items()}


def done_units(run: RunDirectory) -> frozenset[int]:
    """Units that `completed_units` would have, in a fraction of its memory.

    Raises
    ------
    DamageError
        See `fold_receipts`.
    """
    present, tables = _present(run)
    digests: dict[tuple[int, str], bytes] = {}
    done = set()
    for receipt in all_receipts(run):
        digest = bytes.fromhex(receipt.digest)
        key = receipt.unit, sys.intern(receipt.numeric_class)
        if digests.setdefault(key, digest) != digest:
            fold_receipts(run)  # which says where the two come from
        if _is_whole(receipt, present, tables):
            done.add(receipt.unit)
    return frozenset(done)


def completed_units(run: RunDirectory) -> dict[int, Receipt]:
    """Units with a receipt whose object (and table of spots) has the size the receipt states."""
    present, tables = _present(run)
    return {
        unit: receipt
        for unit, receipts in fold_receipts(run).items()
        for receipt in receipts
        if _is_whole(receipt, present, tables)
    }


def part_units(run: RunDirectory, part: tuple[int, int] | None) -> range:
    """Units of a part (i, n), 1 ≤ i ≤ n; all where `part` is None.

    Parts are interleaved, so that they stay even where the cost drifts along an axis.
    """
    first, step = (0, 1) if part is None else (part[0] - 1, part[1])
    return range(first, run.layout.units, step)


def remaining_units(run: RunDirectory, *, part: tuple[int, int] | None = None) -> tuple[int, ...]:
    """Units of the run, or of a part of it, still to be rendered, in order."""
    done = done_units(run)
    return tuple(unit for unit in part_units(run, part) if unit not in done)


def failures(run: RunDirectory) -> dict[int, Failure]:
    """Return the latest failure of every unit that has one."""
    latest: dict[int, Failure] = {}
    for record in kept_records(run, FAILURES_DIR):
        if record.get("run") != run.run_id or not _is_failure(record):
            continue
        failure = Failure(
            unit=record["unit"],
            attempt=record["attempt"],
            reason=str(record.get("reason", "")),
            record=record,
        )
        known = latest.get(failure.unit)
        if known is None or known.record["time"] <= record["time"]:
            latest[failure.unit] = failure
    return latest


def object_digests(run: RunDirectory) -> dict[int, str]:
    """Digest of the stored bytes of every completed unit, from its receipt."""
    return {unit: receipt.digest for unit, receipt in sorted(completed_units(run).items())}


def all_receipts(run: RunDirectory) -> Iterator[Receipt]:
    """Every receipt of this run that no repair has voided, repeated ones too."""
    units, voided = run.layout.units, voided_receipts(run)
    doubted = {unit for unit, _ in voided}
    for record, text in kept_lines(run, RECEIPTS_DIR):
        # A receipt of another run or beyond the grid proves nothing about this one.
        if not _is_receipt(record, units) or not run.owns(record.get("run"), record["unit"]):
            continue
        unit = record["unit"]
        if unit in doubted and (unit, receipt_id(record)) in voided:
            continue
        yield Receipt(
            unit=unit,
            digest=record["digest"],
            size=record["size"],
            numeric_class=str(record["class"]),
            text=text,
        )


def _is_receipt(record: dict[str, Any], units: int) -> bool:
    """Whether a record that may come from anywhere has the form of a receipt."""
    return (
        type(record.get("unit")) is int
        and 0 <= record["unit"] < units
        and type(record.get("size")) is int
        and isinstance(record.get("digest"), str)
        and _DIGEST.fullmatch(record["digest"]) is not None
        and isinstance(record.get("class"), str)
    )


def _is_failure(record: dict[str, Any]) -> bool:
    times = (record.get("unit"), record.get("attempt"))
    moment = record.get("time")
    return all(type(value) is int for value in times) and isinstance(moment, int | float)


def _present(run: RunDirectory) -> tuple[dict[int, int], dict[int, int] | None]:
    """Sizes of the objects that are there, and of the tables of spots where the run has them."""
    return present_objects(run), scan_labels(run) if has_labels(run) else None


def _is_whole(
    receipt: Receipt, present: Mapping[int, int], tables: Mapping[int, int] | None
) -> bool:
    """Whether what a receipt states is there, by its size."""
    unit = receipt.unit
    if present.get(unit) != receipt.size:
        return False
    return tables is None or labels_fit(receipt.record, tables.get(unit))


def _refuse_twins(run: RunDirectory, one: Receipt, other: Receipt) -> NoReturn:
    raise DamageError(
        f"{run.path}: unit {one.unit} was rendered twice with different bytes "
        f"({one.digest[:12]} on {_place(one)}, {other.digest[:12]} on {_place(other)}): results "
        "are not reproducible here; find the faulty machine, then create the run anew"
    )


def _place(receipt: Receipt) -> str:
    record = receipt.record
    return f"{record.get('host', '?')} pid {record.get('pid', '?')}"
