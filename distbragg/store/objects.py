"""The objects of a run: one interface for a folder and for a bucket of an object store.

A key is a path below the run, such as `images/c/0/0/0`. An object is put whole or not at all, and
is durable when it has been put. Names and keys of one run never change their meaning.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from distbragg.errors import EnvironmentFailure

if TYPE_CHECKING:
    from zarr.abc.store import Store

SCHEMES: Final = ("s3", "gs", "az", "abfs")
MAX_OBJECT_BYTES: Final = 1 << 36
"""Most bytes of one object read at once, where the caller gives no other limit."""

_HANDED_OVER: Final = 1 << 20
"""Bytes handed to the thread together: fewer are dealt with sooner than it wakes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its key below the run, size in bytes, version tag and time of change."""

    key: str
    size: int
    tag: str
    changed: datetime.datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """What a writer stored."""

    digest: str  # SHA-256 of all pieces, hex
    size: int  # bytes
    waiting: float  # time that `finish` waited for thread, disk or network, s


class ObjectWriter(ABC):
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
        """Append pieces; raises what went wrong with those before."""
        self._gathered.extend(pieces)
        self._gathered_bytes += sum(map(len, pieces))
        if self._gathered_bytes < _HANDED_OVER:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "object-writer")
        while self._at_work and self._at_work[0].done():
            self._at_work.pop(0).result()
        self._at_work.append(self._pool.submit(self._take, self._gathered))
        self._gathered, self._gathered_bytes = [], 0

    def finish(self) -> Stored:
        """Store the object, whole or not at all, in place of one that is there."""
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


class Appender(Protocol):
    """An object that grows by lines; one process owns it."""

    @property
    def full(self) -> bool:
        """Whether the next line should go to another object."""

    def append(self, line: bytes) -> None:
        """Add a line, whole or, where the process is killed meanwhile, torn at the end."""


Spans = Callable[[Sequence[tuple[int, int]]], list[bytes]]


class Objects(ABC):
    """What a run needs of the place where it lies; `url` is its path or address.

    Small; equal where they name the same place, by which they travel between processes. A missing
    object is a `FileNotFoundError`, a lack of room or a store that refuses an `EnvironmentFailure`.
    `DamageError` is what leads out of the run, is neither file nor folder, or is too large.

    What is not said otherwise here holds of a store of objects; a folder owes the disk more.
    """

    url: str

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Objects) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash(self.url)

    def identity(self) -> str:
        """Tell this place from a copy of it."""
        return self.url

    @property
    def plain_http(self) -> bool:
        """Whether they are reached by http without encryption, which clients take on request."""
        return False

    @abstractmethod
    def made_whole(self) -> AbstractContextManager[Objects]:
        """Yield where to put the objects of a new run.

        In a folder all appear together, durable, when the block ends well. In a bucket they appear
        one by one, and what was put last decides. Where there is something already,
        `FileExistsError` is raised and nothing of it touched.
        """

    @abstractmethod
    def get(self, key: str, limit: int = MAX_OBJECT_BYTES) -> bytes:
        """Return an object of at most `limit` bytes."""

    @abstractmethod
    def spans(self, key: str) -> AbstractContextManager[Spans]:
        """Yield what reads parts of an object, of (first byte, length) each.

        A first byte below 0 counts from the end. Parts that reach beyond the object are short.
        """

    @abstractmethod
    def put(self, key: str, data: bytes, *, version: str | None = None) -> str:
        """Put an object, durable and whole or not at all; return its version tag.

        A `version` puts it only in place of that one, an empty one only where there is no such
        object; else `FileExistsError` is raised.
        """

    @abstractmethod
    def writer(self, key: str) -> ObjectWriter:
        """Return what stores an object whose pieces are still being made."""

    def write(self, key: str, *pieces: bytes) -> Stored:
        """Store an object as a writer does: in a folder its name is durable with others, later."""
        with self.writer(key) as writer:
            writer.add(pieces)
            return writer.finish()

    @abstractmethod
    def appender(self, key: str) -> Appender:
        """Begin an object that grows by lines."""

    def settle(self) -> None:  # noqa: B027 what a store has taken is durable
        """Make durable what this process has written and appended up to now."""

    def flush(self, prefix: str) -> None:
        """Make durable what is in a folder, whoever wrote it, and all of this process's own."""
        del prefix

    @abstractmethod
    def names(self, prefix: str = "", *, deep: bool = True) -> Iterator[tuple[str, Entry | None]]:
        """Yield what is not a folder in one (ending in `/`; empty: the run); None: no object."""

    def entries(self, prefix: str = "", *, deep: bool = True) -> Iterator[Entry]:
        """Yield all objects in a folder and, if `deep`, below; see `names`."""
        return (entry for _, entry in self.names(prefix, deep=deep) if entry is not None)

    def lines(self, prefix: str, limit: int) -> Iterator[tuple[str, bytes]]:
        """Yield key and line of all `.jsonl` objects in a folder; long lines come in pieces."""
        found = (entry.key for entry in self.entries(prefix, deep=False))
        keys = sorted(key for key in found if key.endswith(".jsonl"))
        for key, handle in zip(keys, self._readable(keys), strict=True):
            with handle:
                while line := handle.readline(limit):
                    yield key, line

    @abstractmethod
    def _readable(self, keys: Sequence[str]) -> Iterable[BufferedIOBase]:
        """Open objects one after another."""

    @abstractmethod
    def children(self) -> set[str]:
        """Names of all that lies directly in the run: objects, folders, and what else there is."""

    def grid_sizes(self, prefix: str, grid: Sequence[int]) -> dict[int, int]:
        """Sizes in bytes of a grid's objects, `prefix` then an index, by flat index, C order."""
        sizes = {}
        for entry in self.entries(prefix):
            flat = flat_index(entry.key.removeprefix(prefix), grid)
            if flat is not None:
                sizes[flat] = entry.size
        return sizes

    @abstractmethod
    def head(self, key: str) -> Entry | None:
        """Look at one object; None where it is missing."""

    @abstractmethod
    def digest(self, key: str) -> tuple[str, int]:
        """SHA-256 (hex) and size of an object, read in pieces."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; one that is missing is no error."""

    def move(self, source: str, target: str) -> None:
        """Give an object another key, which is not taken and is durable before the old one goes."""
        self.put(target, self.get(source), version="")
        self.delete(source)

    def sweep_partial(self, keys: frozenset[str] | None = None) -> int:
        """Remove what killed writers left, of these keys alone if given; return how many."""
        del keys
        return 0

    @abstractmethod
    def local(self, key: str, sha256: str = "") -> Path:
        """Return a file of this host that holds an object.

        One of a bucket is fetched into the user's cache; one whose SHA-256 is given is asked for
        only once, and compared with it then (`DamageError`).
        """

    def check_plain(self, key: str) -> None:  # noqa: B027 a bucket holds objects alone
        """Refuse a key that is a link, a pipe or a device, or lies below one; absent is fine."""

    def free_bytes(self) -> int | None:
        """Room that is left, bytes; None where nobody can say."""
        return None

    @abstractmethod
    def zarr_store(self) -> Store:
        """Return a read-only store for zarr, which follows links: see `check_plain`."""


def is_url(path: str | Path) -> bool:
    """Whether a path names an object store."""
    return str(path).split("://", 1)[0] in SCHEMES and "://" in str(path)


def objects_at(place: str | Path, options: Mapping[str, Any] | None = None) -> Objects:
    """Return the objects at a path or an address; nothing is opened yet.

    `options` are what obstore takes as configuration of a store; default: the environment.
    """
    if is_url(place):
        try:
            from distbragg.store.bucket_objects import BucketObjects
        except ImportError:
            raise EnvironmentFailure(
                "object stores need obstore: pip install 'distbragg[object-store]'"
            ) from None
        return BucketObjects(str(place), options)
    from distbragg.store.local_objects import LocalObjects

    return LocalObjects(place)


def flat_index(name: str, grid: Sequence[int]) -> int | None:
    """Return the flat index, C order, that a key's end such as `3/0/0` has in a grid."""
    parts = name.split("/")
    if len(parts) != len(grid):
        return None
    flat = 0
    for part, count in zip(parts, grid, strict=True):
        if not part.isdecimal() or str(int(part)) != part or int(part) >= count:
            return None
        flat = flat * count + int(part)
    return flat
