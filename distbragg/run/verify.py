"""Verifying a run: what is stored against receipts, seal and specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distbragg.run.holders import lock_holders
from distbragg.store.home import remove_object, run_lock
from distbragg.store.labels import has_labels, labels_path
from distbragg.store.ledger import all_receipts
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.standing import record_repair
from distbragg.store.verify import RECEIPT_KINDS, Level, VerifyReport, verify_run


def verify(
    run: RunDirectory | str | Path,
    *,
    level: Level = "full",
    repair: bool = False,
    audit: int = 0,
    seed: int = 0,
    threads: int | None = None,
    on_unit: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Check a run's stored objects against its receipts, and against its seal if it has one.

    Parameters
    ----------
    run : RunDirectory or path
    level : {"quick", "full", "deep"}
        Sizes; digests of all bytes; or also decode every pixel.
    repair : bool
        Remove damaged objects: `resume` then renders them again, to the same bits.
    audit : int
        Also render so many units again, drawn by `seed`, and compare their bytes.
    seed : int
    threads : int, optional
        Kernel threads of the audit.
    on_unit : callable, optional
        Called with each unit checked, and again with each unit rendered.

    Returns
    -------
    VerifyReport
        `sound` where all is well.

    Raises
    ------
    InputError
        `run` is not a run.
    DamageError
        Its manifest, metadata or ledger are damaged beyond what re-rendering mends.
    RefusedError
        `repair`, and the run is in use; `audit`, and this program or machine would give
        other bits.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    if repair:
        with run_lock(directory):
            report = verify_run(directory, level, on_unit)
            drop_damaged(directory, report)
            return report
    in_use = any(holder.alive for holder in lock_holders(directory))
    report = verify_run(directory, level, on_unit, in_use=in_use)
    if not audit:
        return report
    # Loaded here: checking alone needs no kernel.
    from distbragg.run.audit import audit_units

    known = {item.unit for item in report.findings}
    drawn, damaged = audit_units(
        directory, audit, seed=seed, threads=threads, skip=known, on_unit=on_unit
    )
    return replace(report, audited=drawn, damaged=(*report.damaged, *damaged))


def drop_damaged(run: RunDirectory, report: VerifyReport) -> None:
    """Record every damaged unit and remove its object, so that it is rendered again.

    A receipt that states the bytes of a damaged object is voided; any other stays, and the
    unit must come out as it says.
    """
    wrong = {item.unit for item in report.findings if item.kind in RECEIPT_KINDS}
    # Every single one, not one per class: a unit that was rendered twice has two.
    void = [receipt for receipt in all_receipts(run) if receipt.unit in wrong] if wrong else []
    for item in report.findings:
        records = [receipt.record for receipt in void if receipt.unit == item.unit]
        record_repair(run, item.unit, item.kind, item.problem, records)
        remove_object(run, item.unit)
        labels_path(run.path, item.unit).unlink(missing_ok=True)
        if run.remote is not None and has_labels(run):
            run.remote.delete(labels_path(Path(), item.unit).as_posix())
