"""What was found damaged and set right: the record of repairs, and the receipts they void.

Receipts are never edited. A repair appends one line for each damaged unit to a file of its
own under `.distbragg/repairs`; where the receipt itself was wrong, the line names it, and the
ledger then takes no notice of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from distbragg.spec.canonical import canonical_json
from distbragg.store.files import sha256_bytes
from distbragg.store.home import keep_record, kept_records
from distbragg.store.layout import REPAIRS_DIR

if TYPE_CHECKING:
    from distbragg.store.run_directory import RunDirectory


def receipt_id(record: dict[str, Any]) -> str:
    """Name a receipt as it was written: place, time and all."""
    return sha256_bytes(canonical_json(record).encode())[:32]


def record_repair(
    run: RunDirectory, unit: int, kind: str, problem: str, void: Iterable[dict[str, Any]] = ()
) -> None:
    """Record that the object of `unit` was found damaged and is dropped.

    Parameters
    ----------
    run : RunDirectory
    unit : int
    kind, problem : str
        What was found.
    void : iterable of dict
        Receipts, as written, that no longer count.
    """
    record = {
        "run": run.run_id,
        "unit": unit,
        "kind": kind,
        "problem": " ".join(problem.split())[:2000],
        "void": [receipt_id(item) for item in void],
        "time": time.time(),
    }
    keep_record(run, REPAIRS_DIR, record)


def repairs(run: RunDirectory) -> tuple[dict[str, Any], ...]:
    """Return the records of all repairs of this run, oldest first."""
    records = kept_records(run, REPAIRS_DIR)
    found = [
        item for item in records if _is_repair(item) and run.owns(item.get("run"), item["unit"])
    ]
    return tuple(sorted(found, key=lambda item: float(item["time"])))


def _is_repair(record: dict[str, Any]) -> bool:
    """Whether a record that may come from anywhere has the form of a repair."""
    void = record.get("void")
    return (
        type(record.get("unit")) is int
        and isinstance(record.get("time"), int | float)
        and isinstance(void, list)
        and all(isinstance(name, str) for name in void)
    )


def voided_receipts(run: RunDirectory) -> frozenset[tuple[int, str]]:
    """Return (unit, receipt id) of every receipt that a repair has voided."""
    return frozenset((item["unit"], name) for item in repairs(run) for name in item["void"])
