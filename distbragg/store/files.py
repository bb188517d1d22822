"""Small file operations that a run relies on: atomic writes and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from distbragg.errors import EnvironmentFailure

PARTIAL: Final = ".partial"
"""Suffix of half-written objects, ours and those of zarr's local store."""

_BLOCK = 1 << 20
_HASHED_AT_ONCE = 1 << 20
"""Bytes that are hashed sooner than a thread has started."""

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


def sha256_pieces(pieces: Iterable[bytes]) -> tuple[str, int]:
    """Hex SHA-256 and number of bytes of `pieces`, one after another."""
    digest = hashlib.sha256()
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


class PiecesHash:
    """The hash of `pieces`, made by a thread beside what the caller waits for.

    Parameters
    ----------
    pieces : sequence of bytes
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._future: Future[tuple[str, int]] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def start(self) -> None:
        """Begin, unless it is soon done."""
        if self._future is None and sum(map(len, self._pieces)) >= _HASHED_AT_ONCE:
            self._pool = ThreadPoolExecutor(1, "hash")
            self._future = self._pool.submit(sha256_pieces, self._pieces)

    def result(self) -> tuple[str, int]:
        """Return what `sha256_pieces` does, made now where it was not begun."""
        return sha256_pieces(self._pieces) if self._future is None else self._future.result()


def replace_file(
    path: Path, pieces: Iterable[bytes], on_written: Callable[[], None] | None = None
) -> float:
    """Write `pieces` to a file of its own, flush it to disk, and rename it to `path`.

    A killed writer leaves a file ending in `PARTIAL`, which `scan.sweep_partial` removes.

    Parameters
    ----------
    path : Path
    pieces : iterable of bytes
    on_written : callable, optional
        Called when the system has the bytes and the disk has not: what is left is waiting.

    Returns
    -------
    float
        Seconds of the flush.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as handle:
            handle.writelines(pieces)
            handle.flush()
            if on_written is not None:
                on_written()
            started = time.perf_counter()
            os.fsync(handle.fileno())
            seconds = time.perf_counter() - started
        temporary.replace(path)
    except OSError as error:
        raise no_room(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
    return seconds


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
