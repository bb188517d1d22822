"""Sealing a finished run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distbragg.errors import DamageError, RefusedError
from distbragg.store.home import run_lock
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.seal import Seal, is_sealed, read_seal, write_seal
from distbragg.store.verify import VerifyReport, verify_run

SHOWN = 5


@dataclass(frozen=True, slots=True)
class SealResult:
    """A run's seal, and whether it was there before (and still holds)."""

    path: Path | str
    seal: Seal
    already: bool

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {
            "path": str(self.path),
            "already_sealed": self.already,
            "merkle_root": self.seal.merkle_root,
            "units": len(self.seal.digests),
            "sealed": self.seal.sealed,
            "version": self.seal.version,
        }


def seal(
    run: RunDirectory | str | Path, *, on_unit: Callable[[int], None] | None = None
) -> SealResult:
    """Declare a run finished: every frame is there and every byte is what its receipt says.

    A run that is sealed already is verified against its seal, which is kept.

    Parameters
    ----------
    run : RunDirectory or path
    on_unit : callable, optional
        Called with each unit checked.

    Raises
    ------
    InputError
        `run` is not a run.
    RefusedError
        It is in use, or frames are missing.
    DamageError
        Something is damaged.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    with run_lock(directory):
        already = is_sealed(directory)
        report = verify_run(directory, "full", on_unit)
        if not report.sound:
            raise DamageError(
                f"{directory.shown}: {describe(report)}; "
                f"`distbragg repair {directory.shown}` mends what rendering can"
            )
        missing = [unit for unit in range(report.units) if unit not in report.digests]
        if missing:
            frames = sum(map(directory.layout.frame_count, missing))
            raise RefusedError(
                f"{directory.shown}: {frames} of {directory.layout.frames} frames are missing; "
                f"`distbragg resume {directory.shown}` renders them, then seal"
            )
        present = read_seal(directory)
        if present is None:
            present = write_seal(directory, [report.digests[u] for u in range(report.units)])
    return SealResult(directory.shown, present, already)


def describe(report: VerifyReport) -> str:
    """One line on what a verification found."""
    told = [f"unit {item.unit}: {item.problem}" for item in report.findings]
    told += [f"{item.name}: {item.problem}" for item in report.files]
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return "damage found: " + "; ".join(told[:SHOWN]) + more
