"""What is known about a run, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distbragg.run.holders import lock_holders
from distbragg.store.ledger import completed_units, failures
from distbragg.store.run_directory import RunDirectory, open_run


def info(run: RunDirectory | str | Path) -> dict[str, Any]:
    """Describe a run: identity, shape, how far it is, failures, who works on it.

    Raises
    ------
    InputError
        `run` is not a run.
    DamageError
        Its manifest or ledger is damaged.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    manifest, layout = directory.manifest, directory.layout
    done = completed_units(directory)
    frames_done = sum(map(layout.frame_count, done))
    failed = {unit: item.reason for unit, item in failures(directory).items() if unit not in done}
    return {
        "path": directory.place,
        "title": manifest.sweep["experiment"].get("title", ""),
        "run_id": directory.run_id,
        "generation": len(directory.lineage),
        "dims": dict(layout.dims),
        "panels": layout.panels,
        "shape": list(layout.shape),
        "dtype": layout.dtype,
        "frames": layout.frames,
        "frames_done": frames_done,
        "frames_missing": layout.frames - frames_done,
        "units": layout.units,
        "units_done": len(done),
        "failed_units": {str(unit): reason for unit, reason in sorted(failed.items())},
        "stored_bytes": sum(receipt.size for receipt in done.values()),
        "in_use_by": _in_use_by(directory),
        "physics_hash": manifest.physics_hash,
        "plan_hash": manifest.plan_hash,
        "numeric_class": manifest.numeric_class,
        "summary": {k: v for k, v in manifest.summary.items() if k != "notes"},
        "notes": [note.to_plain() for note in manifest.notes],
        "provenance": manifest.provenance,
    }


def _in_use_by(run: RunDirectory) -> list[str]:
    return [holder.place for holder in lock_holders(run) if holder.alive]
