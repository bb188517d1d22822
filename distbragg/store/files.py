"""Small file operations that a run relies on: durable writes and digests."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distbragg.store.local_files import refusals


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> tuple[str, int]:
    """Hex SHA-256 and number of bytes of a file, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest(), handle.tell()


@contextmanager
def durable_path(path: Path) -> Iterator[Path]:
    """Give a path beside `path` for a file or a folder, which takes that place at the block's end.

    All of it is on the disk then, with its name: a power cut leaves the old file or the new one. A
    folder takes the place of an empty one alone. No space left is an `EnvironmentFailure`.
    """
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    try:
        with refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            for item in (*temporary.rglob("*"), temporary):
                sync_path(item)
            temporary.replace(path)
            sync_path(path.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def write_durable(path: Path, data: bytes) -> None:
    """Write a file, durable and whole or not at all; see `durable_path`."""
    with durable_path(path) as temporary, temporary.open("xb") as handle:
        handle.write(data)


def sync_path(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
