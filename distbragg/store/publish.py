"""Putting a run on an object store: what proves something goes after what it proves."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.store.extension import pending_extension
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import (
    GRIDS_DIR,
    LOCK_FILE,
    MANIFEST_FILE,
    SEAL_DIGESTS_FILE,
    SEAL_FILE,
    STATE_DIR,
)
from distbragg.store.ledger import completed_units
from distbragg.store.manifest import describe_difference, parse_manifest
from distbragg.store.remote import CHUNKS, Remote
from distbragg.store.run_directory import RunDirectory

_MANIFEST = f"{STATE_DIR}/{MANIFEST_FILE}"


def publish_new(run: RunDirectory, remote: Remote) -> None:
    """Put a run without pixels on an object store; the same run that is there is left alone.

    The manifest goes last, and only where there is none: until then there is no run, and of two
    that create it at once one wins.

    Raises
    ------
    InputError
        Something else is there.
    RefusedError
        Another run is there.
    EnvironmentFailure
        The store refuses.
    """
    if _same_run_there(run, remote):
        return
    if any(True for _ in remote.entries()):
        _refuse_foreign(remote)
    _put_state(run, remote)
    try:
        remote.put(_MANIFEST, run.manifest.to_bytes(), version="")
    except FileExistsError:
        _same_run_there(run, remote)


def publish_run(
    run: RunDirectory, remote: Remote, on_unit: Callable[[int], None] | None = None
) -> tuple[int, int]:
    """Copy a run, finished or not, to an object store; what is there already is passed over.

    Every object is compared with its receipt as it is read, and goes before the receipts.

    Parameters
    ----------
    run : RunDirectory
        On a file system.
    remote : Remote
    on_unit : callable, optional
        Called with each unit that was looked at.

    Returns
    -------
    (copied, units)
        Objects put now, and all that are there.

    Raises
    ------
    InputError, RefusedError
        Something else, or another run, is there.
    DamageError
        An object is not what its receipt states; nothing of it was put.
    """
    if pending_extension(run.path) is not None:
        raise RefusedError(
            f"{run.path}: frames are being appended; `distbragg resume {run.path}`, then publish"
        )
    publish_new(run, remote)
    there = {entry.key: entry.size for entry in remote.entries(CHUNKS)}
    done, copied = completed_units(run), 0
    for unit, receipt in sorted(done.items()):
        key = run.layout.object_name(unit)
        if there.get(key) != receipt.size or not _same_bytes(remote, key, receipt.digest):
            data = run.object_path(unit).read_bytes()
            if sha256_bytes(data) != receipt.digest:
                raise DamageError(
                    f"{run.object_path(unit)}: is not what its receipt states; "
                    f"`distbragg repair {run.path}`, then publish"
                )
            remote.put(key, data)
            copied += 1
        if on_unit is not None:
            on_unit(unit)
    _put_state(run, remote)
    # Where an earlier generation is there, this is what makes it the new one.
    remote.put(_MANIFEST, run.manifest.to_bytes())
    return copied, len(done)


def _put_state(run: RunDirectory, remote: Remote) -> None:
    """Put all files but pixels and manifest that are not there with the same content."""
    there = {entry.key: entry.tag.strip('"') for entry in remote.entries()}
    for name in _state_files(run):
        data = (run.path / name).read_bytes()
        # A tag that is the MD5 of the content is that of an object put in one piece.
        if there.get(name) != hashlib.md5(data, usedforsecurity=False).hexdigest():
            remote.put(name, data)


def _same_bytes(remote: Remote, key: str, digest: str) -> bool:
    return remote.digest(key)[0] == digest


def _same_run_there(run: RunDirectory, remote: Remote) -> bool:
    try:
        data = remote.get(_MANIFEST)
    except FileNotFoundError:
        return False
    present = parse_manifest(data, f"{remote.url}/{_MANIFEST}")
    former = {generation.manifest.run_id for generation in run.lineage}
    if present.run_id != run.run_id and present.run_id not in former:
        difference = describe_difference(run.manifest.identity, present.identity)
        raise RefusedError(
            f"{remote.url}: holds another run ({difference}); give another address, or the "
            "specification of that run"
        )
    return True


def _refuse_foreign(remote: Remote) -> None:
    """Refuse an address that holds something else than a run that was never finished."""
    for entry in remote.entries():
        inside = entry.key.startswith(f"{STATE_DIR}/") or entry.key.endswith("zarr.json")
        if not inside and "/c/" not in entry.key:
            raise InputError(
                "holds something that is no distbragg run",
                source=remote.url,
                remedy="give another address; nothing there was touched",
            )


def _state_files(run: RunDirectory) -> Iterator[str]:
    """Files of a run but pixels and manifest; the seal last, its leaves before it."""
    names = []
    for folder, folders, files in os.walk(run.path):
        below = Path(folder).relative_to(run.path)
        if below.as_posix() == STATE_DIR:
            folders[:] = [name for name in folders if name != GRIDS_DIR]
        for file in files:
            name = (below / file).as_posix()
            lock = name.startswith(f"{STATE_DIR}/{LOCK_FILE}")
            if not name.startswith(CHUNKS) and not lock and name != _MANIFEST:
                names.append(name)
    last = [f"{STATE_DIR}/{SEAL_DIGESTS_FILE}", f"{STATE_DIR}/{SEAL_FILE}"]
    yield from sorted(names, key=lambda name: (last.index(name) if name in last else -1, name))
