"""Verifying a run, and mending it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distbragg.store.lock import RunLock
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.verify import Level, VerifyReport, remove_damaged, verify_run


def verify(
    run: RunDirectory | str | Path,
    *,
    level: Level = "full",
    repair: bool = False,
    on_unit: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Check a run's stored objects against its receipts.

    Parameters
    ----------
    run : RunDirectory or path
    level : {"quick", "full", "deep"}
        Sizes; digests of all bytes; or also decode every pixel.
    repair : bool
        Remove damaged objects: `resume` then renders them again, to the same bits.
    on_unit : callable, optional
        Called with each unit checked.

    Returns
    -------
    VerifyReport
        `damaged` is empty where all is well.

    Raises
    ------
    InputError
        `run` is not a run.
    DamageError
        Its manifest, metadata or ledger are damaged beyond what re-rendering mends.
    RefusedError
        `repair`, and the run is in use.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    if not repair:
        return verify_run(directory, level, on_unit)
    with RunLock(directory.state):
        report = verify_run(directory, level, on_unit)
        remove_damaged(directory, report.damaged)
    return report
