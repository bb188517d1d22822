"""An object that is written while its pieces are still being made, and seen when it is whole."""

from __future__ import annotations

import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from distbragg.store.files import no_room
from distbragg.store.remote import Remote

_HANDED_OVER: Final = 1 << 20
"""Bytes handed to the thread together: fewer are dealt with sooner than it wakes."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored.

    Attributes
    ----------
    digest : str
        Hex SHA-256 of all pieces, one after another.
    size : int
        Bytes.
    waiting : float
        Time that `Spool.finish` waited for the thread, and for the disk or the network, s.
    """

    digest: str
    size: int
    waiting: float


class Spool(ABC):
    """Takes the pieces of an object in order; a thread hashes them beside the caller's work.

    A context manager: an object that was not finished is never seen, and leaves nothing behind
    but where the process is killed. Small objects need no thread.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._pool: ThreadPoolExecutor | None = None
        self._at_work: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End; what was not finished is gone."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._drop()

    def add(self, pieces: Sequence[bytes]) -> None:
        """Append pieces.

        Raises
        ------
        EnvironmentFailure
            There was no room for those before.
        """
        self._gathered.extend(pieces)
        self._gathered_bytes += sum(map(len, pieces))
        if self._gathered_bytes < _HANDED_OVER:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "spool")
        while self._at_work and self._at_work[0].done():
            self._at_work.pop(0).result()
        self._at_work.append(self._pool.submit(self._take, self._gathered))
        self._gathered, self._gathered_bytes = [], 0

    def finish(self) -> Stored:
        """Store the object, whole or not at all.

        Raises
        ------
        EnvironmentFailure
            There is no room.
        """
        started = time.perf_counter()
        for pieces in self._at_work:
            pieces.result()
        waited = time.perf_counter() - started
        self._take(self._gathered)
        started = time.perf_counter()
        self._publish()
        return Stored(self._hash.hexdigest(), self._size, waited + time.perf_counter() - started)

    def _take(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)
            self._size += len(piece)
        self._write(pieces)

    @abstractmethod
    def _write(self, pieces: Sequence[bytes]) -> None:
        """Put pieces where the object is made; any thread, one at a time."""

    @abstractmethod
    def _publish(self) -> None:
        """Make the object durable, then seen."""

    @abstractmethod
    def _drop(self) -> None:
        """Remove what is left of an object that was not published."""


class FileSpool(Spool):
    """A file, flushed to disk and renamed to its path when it is whole.

    Parameters
    ----------
    path : Path
    partial : Path
        Where it is until then, on the same file system; a killed writer leaves it there.
    """

    def __init__(self, path: Path, partial: Path) -> None:
        super().__init__()
        self.path, self.partial = path, partial
        self._handle: BinaryIO | None = None
        self._sent = 0

    def _write(self, pieces: Sequence[bytes]) -> None:
        with self._errors():
            handle = self._opened()
            handle.writelines(pieces)
            handle.flush()
            self._send(handle)

    def _opened(self) -> BinaryIO:
        if self._handle is None:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self.partial.open("xb")
        return self._handle

    def _send(self, handle: BinaryIO) -> None:
        """Let the disk begin with what the system has of the file, without waiting for it."""
        # Linux begins to write what it is told will not be needed, and forgets only what is on
        # the disk already: little is left for the flush at the end. Elsewhere all is left.
        if hasattr(os, "posix_fadvise"):
            new = self._size - self._sent
            with suppress(OSError):
                os.posix_fadvise(handle.fileno(), self._sent, new, os.POSIX_FADV_DONTNEED)
        self._sent = self._size

    def _publish(self) -> None:
        with self._errors():
            handle = self._opened()
            os.fsync(handle.fileno())
            handle.close()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.partial.replace(self.path)

    def _drop(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self.partial.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise no_room(error, self.path) from error


class RemoteSpool(Spool):
    """An object of an object store, which takes it in one piece.

    Parameters
    ----------
    remote : Remote
    key : str
    """

    def __init__(self, remote: Remote, key: str) -> None:
        super().__init__()
        self._remote, self._key = remote, key
        self._pieces: list[bytes] = []

    def _write(self, pieces: Sequence[bytes]) -> None:
        self._pieces.extend(pieces)

    def _publish(self) -> None:
        self._remote.put(self._key, b"".join(self._pieces))

    def _drop(self) -> None:
        self._pieces.clear()
