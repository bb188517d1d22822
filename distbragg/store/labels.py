"""Tables of spots beside the images: one file a unit, vouched for by the unit's receipt.

What is in a file is none of this module's business: it keeps bytes, their size and their digest.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from distbragg.store.files import sha256_file
from distbragg.store.layout import LABELS
from distbragg.store.run_directory import RunDirectory
from distbragg.store.spool import FileSpool

SUFFIX: Final = ".parquet"
_DIGITS: Final = 7


def has_labels(run: RunDirectory) -> bool:
    """Whether units of this run have tables of spots."""
    return run.sweep.experiment.output.labels


def labels_path(run: Path, unit: int) -> Path:
    """Path of a unit's table."""
    return run / LABELS / f"{unit:0{_DIGITS}d}{SUFFIX}"


def store_labels(run: RunDirectory, unit: int, data: bytes) -> dict[str, Any]:
    """Store a unit's table; return what its receipt says of it: digest and size.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    path = labels_path(run.path, unit)
    with FileSpool(path, run.partial_path(unit)) as spool:
        spool.add([data])
        done = spool.finish()
    if run.remote is not None:
        run.remote.put(path.relative_to(run.path).as_posix(), data)
    return {"digest": done.digest, "size": done.size}


def bring_labels(run: RunDirectory) -> None:
    """Make the tables in the mirror of a run on an object store those that are there now."""
    if run.remote is not None and has_labels(run):
        run.remote.sync(f"{LABELS}/")


def scan_labels(run: RunDirectory) -> dict[int, int]:
    """Size in bytes of every unit's table that exists, by unit."""
    bring_labels(run)
    try:
        entries = os.scandir(run.path / LABELS)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {}
    with entries:
        for entry in entries:
            unit = labelled_unit(run, entry.name)
            if unit is not None and entry.is_file(follow_symlinks=False):
                found[unit] = entry.stat(follow_symlinks=False).st_size
    return found


def labelled_unit(run: RunDirectory, name: str) -> int | None:
    """Return the unit whose table has this file name; None where it is no such name."""
    stem = name.removesuffix(SUFFIX)
    if stem == name or not stem.isdecimal() or len(stem) < _DIGITS:
        return None
    unit = int(stem)
    return unit if unit < run.layout.units and labels_path(run.path, unit).name == name else None


def labels_fit(record: dict[str, Any], size: int | None) -> bool:
    """Whether a table of this size (None: missing) is the one a receipt speaks of."""
    stated = record.get("labels")
    return isinstance(stated, dict) and stated.get("size") == size


def labels_problem(
    run: RunDirectory, unit: int, records: list[dict[str, Any]], *, digest: bool
) -> str:
    """Say what is wrong with a unit's table; empty where nothing is.

    Parameters
    ----------
    run : RunDirectory
    unit : int
    records : list of dict
        The unit's receipts.
    digest : bool
        Compare the bytes too, not only the size.
    """
    path = labels_path(run.path, unit)
    try:
        size = path.stat().st_size
    except OSError:
        return "its table of spots is gone"
    fitting = [record["labels"] for record in records if labels_fit(record, size)]
    if not fitting:
        return f"its table of spots has {size} bytes, which no receipt states"
    if not digest:
        return ""
    try:
        found, _ = sha256_file(path)
    except OSError as error:
        return f"its table of spots cannot be read ({error.strerror})"
    if all(item.get("digest") != found for item in fitting):
        return f"its table of spots has digest {found[:12]}, which no receipt states"
    return ""


def foreign_labels(run: RunDirectory) -> tuple[str, ...]:
    """Names of files beside the tables that belong to no unit of this run."""
    folder = run.path / LABELS
    if not has_labels(run) or not folder.is_dir():
        return ()
    return tuple(
        sorted(
            name
            for name in os.listdir(folder)
            if name != "zarr.json" and labelled_unit(run, name) is None
        )
    )
