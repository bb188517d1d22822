"""Small file operations that a run relies on: atomic writes and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from pathlib import Path

from distbragg.errors import EnvironmentFailure

_BLOCK = 1 << 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path, *, durable: bool = False) -> tuple[str, int]:
    """Hex SHA-256 and number of bytes of a file, read in blocks.

    `durable` also flushes the file to disk, so that what is said about it later survives a
    power cut only together with its bytes.
    """
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
            size += len(block)
        if durable:
            os.fsync(handle.fileno())
    return digest.hexdigest(), size


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a small file, of which no more than `limit` bytes are read.

    Raises
    ------
    ValueError
        It is larger.
    OSError
    """
    with path.open("rb") as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path.name} is larger than {limit} bytes")
    return data


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, flush it to disk, and rename it into place.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise no_room(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def no_room(error: OSError, path: Path) -> Exception:
    """Turn "no space left" into the user's error, and any other error into one like it.

    Never into itself: what is returned is raised from `error`, and an error that is its own
    cause sends whoever follows the causes, as a Dask worker does, round for ever.
    """
    if error.errno in _NO_ROOM:
        return EnvironmentFailure(
            f"{path}: no space left on the file system; free space, then resume the run"
        )
    if error.errno is None:
        return type(error)(*error.args)
    return OSError(error.errno, error.strerror, error.filename)
