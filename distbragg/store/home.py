"""Where the objects and records of a run are: on a file system, or on an object store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distbragg.store.files import sha256_file
from distbragg.store.layout import IMAGES, STATE_DIR
from distbragg.store.lock import RunLock
from distbragg.store.records import append_record, encode_record, read_lines
from distbragg.store.remote_lock import RemoteLock
from distbragg.store.run_directory import RunDirectory
from distbragg.store.scan import object_size, scan_objects
from distbragg.store.spool import FileSpool, RemoteSpool, Spool
from distbragg.store.zarr_rules import ArrayRules

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store


def present_objects(run: RunDirectory) -> dict[int, int]:
    """Size in bytes of every unit's object that is there, by unit."""
    if run.remote is None:
        return scan_objects(run.path, run.layout)
    names = {run.layout.object_name(unit): unit for unit in range(run.layout.units)}
    listed = run.remote.entries(f"{IMAGES}/c/")
    return {names[entry.key]: entry.size for entry in listed if entry.key in names}


def foreign_objects(run: RunDirectory) -> tuple[str, ...]:
    """Keys below the array of a run on an object store that are no unit's."""
    if run.remote is None:
        return ()
    names = {run.layout.object_name(unit) for unit in range(run.layout.units)}
    listed = run.remote.entries(f"{IMAGES}/c/")
    return tuple(sorted(entry.key for entry in listed if entry.key not in names))


def move_foreign(run: RunDirectory, name: str, target: Path) -> None:
    """Move a foreign file of the run to `target`, a path below its state."""
    if run.remote is None:
        target.parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).rename(target)
        return
    # An object store moves nothing: the copy is there before the original goes.
    run.remote.put(target.relative_to(run.path).as_posix(), run.remote.get(name))
    run.remote.delete(name)


def stored_size(run: RunDirectory, unit: int) -> int:
    """Size of a unit's object, -1 where it is not there."""
    if run.remote is None:
        return object_size(run.object_path(unit))
    entry = run.remote.head(run.layout.object_name(unit))
    return -1 if entry is None else entry.size


def stored_digest(run: RunDirectory, unit: int) -> str:
    """SHA-256 of a unit's object, hex.

    Raises
    ------
    OSError
        It is not there, or cannot be read.
    """
    if run.remote is None:
        return sha256_file(run.object_path(unit))[0]
    return run.remote.digest(run.layout.object_name(unit))[0]


def stored_bytes(run: RunDirectory, unit: int) -> bytes:
    """Return a unit's object.

    Raises
    ------
    OSError
        It is not there, or cannot be read.
    """
    if run.remote is None:
        return run.object_path(unit).read_bytes()
    return run.remote.get(run.layout.object_name(unit))


def object_spool(run: RunDirectory, unit: int) -> Spool:
    """Return what stores a unit's object, whole or not at all."""
    if run.remote is None:
        return FileSpool(run.object_path(unit), run.partial_path(unit))
    return RemoteSpool(run.remote, run.layout.object_name(unit))


def remove_object(run: RunDirectory, unit: int) -> None:
    """Remove a unit's object; one that is not there is no error."""
    if run.remote is None:
        run.object_path(unit).unlink(missing_ok=True)
    else:
        run.remote.delete(run.layout.object_name(unit))


def keep_record(run: RunDirectory, folder: str, record: dict[str, Any]) -> None:
    """Add a record to those of `folder` below the run's state."""
    if run.remote is None:
        append_record(run.state / folder, record)
    else:
        run.remote.append(folder, encode_record(record))


def kept_records(run: RunDirectory, folder: str) -> Iterator[dict[str, Any]]:
    """All whole records of `folder` below the run's state."""
    for record, _ in kept_lines(run, folder):
        yield record


def kept_lines(run: RunDirectory, folder: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """All whole records of `folder` below the run's state, each with its JSON."""
    if run.remote is not None:
        run.remote.sync(f"{STATE_DIR}/{folder}/")
    return read_lines(run.state / folder)


def run_lock(
    run: RunDirectory, part: tuple[int, int] | None = None
) -> AbstractContextManager[object]:
    """Return the lock of a run, to be held in a `with` block.

    Raises
    ------
    RefusedError
        On entering: another process holds the run.
    """
    if run.remote is None:
        return RunLock(run.state, part=part)
    return RemoteLock(run.remote, part=part)


def publish_state(run: RunDirectory, names: Sequence[str]) -> None:
    """Put files of the state that were written to the mirror on the object store, in order."""
    if run.remote is not None:
        for name in names:
            run.remote.put(f"{STATE_DIR}/{name}", (run.state / name).read_bytes())


def open_images(run: RunDirectory, rules: Mapping[str, ArrayRules]) -> zarr.Array[Any]:
    """Open the image array read-only; `rules` are those of `open.check_array`."""
    import zarr

    return zarr.open_array(bounded_store(run, rules), path=IMAGES, mode="r", zarr_format=3)


def bounded_store(run: RunDirectory, rules: Mapping[str, ArrayRules]) -> Store:
    """Return a store that reads the arrays of `rules`, within what these allow."""
    from zarr.storage import LocalStore, ObjectStore

    from distbragg.store.bounded import BoundedStore

    if run.remote is None:
        return BoundedStore(LocalStore(run.path, read_only=True), rules)
    return BoundedStore(ObjectStore(run.remote.store, read_only=True), rules)
