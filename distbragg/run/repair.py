"""Mending a run: damaged units are dropped and rendered again, to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from distbragg.errors import DamageError, ExitStatus
from distbragg.run.resume import ResumeOptions, check_version, resume
from distbragg.run.verify import drop_damaged
from distbragg.store.home import run_lock
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.verify import Level, VerifyReport, verify_run
from distbragg.store.verify_files import FileDamage, set_foreign_aside


@dataclass(frozen=True, slots=True)
class RepairResult:
    """How a repair ended.

    Attributes
    ----------
    path : Path
    found : VerifyReport
        What was damaged.
    repaired : tuple of int
        Units that were rendered again.
    failed : dict of int to str
        Reason by unit that could not be rendered.
    moved : tuple of str
        Foreign files, where they lie now.
    unmended : tuple of FileDamage
        Damage that rendering cannot mend.
    seconds : float
    """

    path: Path | str
    found: VerifyReport
    repaired: tuple[int, ...] = ()
    failed: dict[int, str] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    unmended: tuple[FileDamage, ...] = ()
    seconds: float = 0.0

    @property
    def status(self) -> ExitStatus:
        """`DAMAGE` where something is left that rendering cannot mend, else as a run."""
        if self.unmended:
            return ExitStatus.DAMAGE
        return ExitStatus.FAILED_FRAMES if self.failed else ExitStatus.DONE

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {
            "path": str(self.path),
            "found": self.found.to_plain(),
            "repaired": list(self.repaired),
            "failed": {str(unit): reason for unit, reason in sorted(self.failed.items())},
            "moved": list(self.moved),
            "unmended": [f"{item.name}: {item.problem}" for item in self.unmended],
            "seconds": round(self.seconds, 3),
            "status": int(self.status),
        }


def repair(
    run: RunDirectory | str | Path,
    *,
    level: Level = "full",
    on_unit: Callable[[int], None] | None = None,
    **options: Unpack[ResumeOptions],
) -> RepairResult:
    """Verify a run, drop what is damaged, and render exactly that again.

    Units that were never rendered are left to `resume`. Receipts are not edited: each damaged
    unit gets a line in `.distbragg/repairs`, and must come out as its receipt says.

    Parameters
    ----------
    run : RunDirectory or path
    level : {"quick", "full", "deep"}
        How thoroughly to look.
    on_unit : callable, optional
        Called with each unit checked.
    **options
        As for `resume`.

    Raises
    ------
    InputError
        `run` is not a run.
    RefusedError
        It is in use, or belongs to another version or numeric class.
    DamageError
        Manifest, metadata, ledger or an input file are damaged: nothing is dropped.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    started = time.monotonic()
    check_version(directory)
    with run_lock(directory):
        found = verify_run(directory, level, on_unit)
        _check_inputs(directory, found)
        drop_damaged(directory, found)
        moved = set_foreign_aside(directory, found.files)
    units = tuple(item.unit for item in found.findings)
    failed: dict[int, str] = {}
    if units:
        failed = resume(directory, units=units, **options).failures
    return RepairResult(
        path=directory.shown,
        found=found,
        repaired=tuple(unit for unit in units if unit not in failed),
        failed=failed,
        moved=moved,
        unmended=tuple(item for item in found.files if item.kind != "foreign"),
        seconds=time.monotonic() - started,
    )


def _check_inputs(run: RunDirectory, found: VerifyReport) -> None:
    """Refuse to render from an input that is not what the run was created with."""
    for item in found.files:
        if item.kind == "input":
            raise DamageError(
                f"{run.path / item.name}: {item.problem}; put the original back, its SHA-256 is "
                "the name of its folder, then repair"
            )
