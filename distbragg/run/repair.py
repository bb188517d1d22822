"""Mending a run: what is damaged is rendered again, to the same bits, over what is there.

Nothing is removed first. A damaged object stays until its replacement is durable and takes its key,
so that a repair which is killed, or can't render, leaves as many sound objects as it found.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from distbragg.engine.context import RunContext
from distbragg.errors import DistbraggError, ExitStatus, RefusedError
from distbragg.run.metadata import Mender, check_inputs
from distbragg.run.resume import ResumeOptions, check_version, finish_extension, resume
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import FOREIGN_DIR, STATE_DIR
from distbragg.store.lease import Lease
from distbragg.store.ledger import all_receipts, fold_receipts, record_repair
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.seal import read_seal
from distbragg.store.spots import SpotTable, store_labels
from distbragg.store.verify import (
    RECEIPT_KINDS,
    Damage,
    FileDamage,
    Level,
    VerifyReport,
    damaged_files,
    verify_run,
)


@dataclass(frozen=True, slots=True)
class RepairResult:
    """How a repair ended."""

    path: Path | str
    found: VerifyReport  # what was damaged
    repaired: tuple[int, ...] = ()  # units that were rendered again
    failed: dict[int, str] = field(default_factory=dict)  # reason by unit that could not be
    moved: tuple[str, ...] = ()  # foreign files, where they lie now
    unmended: tuple[FileDamage, ...] = ()  # damage that is left
    rebuilt: Mapping[str, str] = field(default_factory=dict)  # what was wrong with metadata by key
    seconds: float = 0.0

    @property
    def status(self) -> ExitStatus:
        """`DAMAGE` where something is left that cannot be mended, else as a run."""
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
            "rebuilt": dict(self.rebuilt),
            "unmended": [f"{item.name}: {item.problem}" for item in self.unmended],
            "seconds": round(self.seconds, 3),
            "status": int(self.status),
        }


def repair(
    run: RunLike,
    *,
    level: Level = "full",
    **options: Unpack[ResumeOptions],
) -> RepairResult:
    """Verify a run, and render exactly what is damaged again.

    Units that were never rendered are left to `resume`. Where only a table of spots is damaged,
    the table alone is made again. An object without a receipt gets one by rendering it again.
    Receipts are not edited: each damaged unit gets a line in `.distbragg/repairs`, which names
    those that count no more, and must come out as its other receipts say. Metadata and coordinates
    of the stack are made again from the manifest.

    Parameters
    ----------
    run : RunDirectory or path
    level : {"quick", "full", "deep"}
        How thoroughly to look.
    **options
        As for `resume`.

    Returns
    -------
    RepairResult
        What was found, and what was rendered again.

    Raises
    ------
    InputError
        `run` is not a run.
    RefusedError
        It is in use, or belongs to another version or numeric class: nothing was changed.
    DamageError
        The manifest, the seal or an input file is damaged: no pixel was changed.
    EnvironmentFailure
        No space, or the cluster cannot be used; what is damaged is as it was.
    """
    directory = open_run(run)
    started = time.monotonic()
    check_version(directory)
    with Lease(directory.objects):
        directory = finish_extension(directory)
        mender = Mender(directory)
        rebuilt = mender.mend_unreadable()
        found = verify_run(directory, level)
        check_inputs(directory, found.files)
        changed = mender.mend_changed(found.files)
        failed = _mend_tables(directory, [x for x in found.findings if x.kind == "labels"])
        moved = _set_foreign_aside(directory, found.files)
        left = [item for item in found.files if item.kind != "foreign"]
        if changed:
            still = set(damaged_files(directory, level, read_seal(directory)))
            left = [item for item in left if item.kind == "link" or item in still]
    anew = [item for item in found.findings if item.kind != "labels"]
    if anew:
        failed |= _render(directory, anew, options)
    return RepairResult(
        path=directory.url,
        found=found,
        repaired=tuple(item.unit for item in found.findings if item.unit not in failed),
        failed=failed,
        moved=moved,
        unmended=tuple(left),
        rebuilt=rebuilt | changed,
        seconds=time.monotonic() - started,
    )


def _render(run: RunDirectory, found: Iterable[Damage], options: ResumeOptions) -> dict[int, str]:
    """Render damaged units over what is there; return the reasons of those that fail."""

    def begin() -> None:
        # Called when workers are there and memory is enough: nothing was changed until then.
        wrong = {item.unit for item in found if item.kind in RECEIPT_KINDS}
        # Every single one, not one per class: a unit that was rendered twice has two.
        void = [receipt for receipt in all_receipts(run) if receipt.unit in wrong] if wrong else []
        for item in found:
            ids = [receipt.id for receipt in void if receipt.unit == item.unit]
            record_repair(run, item.unit, item.kind, item.problem, ids)

    try:
        return resume(run, units=[item.unit for item in found], redo=begin, **options).failures
    except RefusedError as error:
        raise RefusedError(f"{error}; no object was removed or replaced") from error


def _mend_tables(run: RunDirectory, found: Iterable[Damage]) -> dict[int, str]:
    """Make tables of spots again where they come out as receipted; say which do not."""
    if not found:
        return {}
    from distbragg.kernel.native.moments import twin_beside  # few runs keep tables

    failed = {}
    context = RunContext.of(run)
    # By what predicted them first: numpy's spots differ from the twin's in their last bits.
    twin = twin_beside(run.manifest.numeric_class["kernel"])
    receipts = fold_receipts(run)
    for item in found:
        try:
            table = SpotTable(run, twin)
            for frame in run.layout.unit_frames(item.unit):
                table.add(frame, context.opened.frame(frame).experiment)
            data, _ = table.encode()
        except DistbraggError as error:
            failed[item.unit] = f"its table of spots cannot be made: {error}"
            continue
        stated = {receipt.labels.digest for receipt in receipts[item.unit] if receipt.labels}
        if sha256_bytes(data) in stated:
            record_repair(run, item.unit, item.kind, item.problem)
            store_labels(run, item.unit, data)
        else:
            failed[item.unit] = (
                "its table of spots comes out otherwise here, and its image is sound: repair it on "
                "a machine like the one that rendered it"
            )
    return failed


def _set_foreign_aside(run: RunDirectory, files: tuple[FileDamage, ...]) -> tuple[str, ...]:
    """Move foreign files out of the array, to `.distbragg/foreign`; return their new keys."""
    moved = []
    for item in files:
        if item.kind != "foreign":
            continue
        target = f"{STATE_DIR}/{FOREIGN_DIR}/{item.name.partition('/')[2]}"
        while run.objects.head(target) is not None:
            target += ".again"
        run.objects.move(item.name, target)
        moved.append(target)
    return tuple(moved)
