"""Files below a folder, reached through no link, and written whole or not at all.

Every step goes through a descriptor of the step before: what a run from elsewhere holds can't
make this program read, write or remove anything outside of it. What is written is on the disk in
groups.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import stat
import threading
import uuid
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from distbragg.errors import DamageError, EnvironmentFailure
from distbragg.store.layout import LOCK_FILE, PARTIAL_DIR, STATE_DIR
from distbragg.store.objects import ObjectWriter

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}

ABSENT: Final = (FileNotFoundError, NotADirectoryError)
"""What is raised where there is no such file or folder."""

OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SETTLE_S: Final = 2.0
"""Longest time that a finished unit waits before its name and its receipt are on the disk, s."""

GUARD_FILE: Final = f"{LOCK_FILE}.guard"
PARTIAL: Final = (STATE_DIR, PARTIAL_DIR)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PlainFiles:
    """The files below a folder, which may itself be reached through links."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()

    @contextlib.contextmanager
    def folder(self, parts: Sequence[str], made: set[str] | None = None) -> Iterator[int]:
        """Open a folder step by step, through no link; yield its descriptor.

        Where `made` is given, missing folders are made; it takes the keys of those that name them.
        """
        folder, at = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self.root
        try:
            for depth in range(1, len(parts) + 1):
                below = self._enter(folder, parts[:depth], made)
                os.close(folder)
                folder, at = below, at / parts[depth - 1]
            yield folder
        except OSError as error:
            # The system was given the last name alone, and says no more.
            if isinstance(error.filename, str):
                error.filename = str(at / error.filename)
            raise
        finally:
            os.close(folder)

    def _enter(self, folder: int, parts: Sequence[str], made: set[str] | None) -> int:
        name = parts[-1]
        try:
            return os.open(name, OPEN_FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if made is None:
                raise
        except OSError:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise _odd(self.root / "/".join(parts)) from None
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            made.add("/".join(parts[:-1]))
        return os.open(name, OPEN_FOLDER, dir_fd=folder)

    def regular(self, folder: int, name: str, key: str) -> os.stat_result:
        """Look at a file of an open folder; refuse what is not a file."""
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.root / key))
        if not stat.S_ISREG(found.st_mode):
            raise _odd(self.root / key)
        return found

    def open(self, key: str) -> BufferedReader:
        """Open an object for reading."""
        *folders, name = key_parts(key)
        with self.folder(folders) as folder:
            self.regular(folder, name, key)
            return os.fdopen(os.open(name, _READ, dir_fd=folder), "rb")

    def check_plain(self, key: str) -> None:
        """Refuse a key that is a link, a pipe or a device, or lies below one; absent is fine."""
        with contextlib.suppress(*ABSENT):
            *folders, name = key_parts(key)
            with self.folder(folders) as folder:
                if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    self.regular(folder, name, key)


class LocalWriter(ObjectWriter):
    """Writes a file under a name of its own, flushes it to disk, and renames it to its key."""

    def __init__(self, owed: Unsettled, key: str) -> None:
        super().__init__()
        self._owed, self._files, self._key = owed, owed.files, key
        *self._folders, self._target = key_parts(key)
        self._name = f"{key.replace('/', '~')}.{uuid.uuid4().hex}"
        self._handle: BinaryIO | None = None
        self._sent = 0

    @property
    def path(self) -> Path:
        """Where the object will be."""
        return self._files.root / self._key

    @property
    def partial(self) -> Path:
        """Where it is until then."""
        return self._files.root.joinpath(*PARTIAL, self._name)

    def publish(self, data: bytes, version: str | None) -> str:
        """Store an object at once, durable with its name; see `Objects.put`."""
        self._take([data])
        tag = self._place(version)
        self._owed.settle()
        return tag

    def _write(self, pieces: Sequence[bytes]) -> None:
        with refusals(self.path):
            handle = self._opened()
            handle.writelines(pieces)
            handle.flush()
            self._send(handle)

    def _opened(self) -> BinaryIO:
        if self._handle is None:
            with self._files.folder(PARTIAL, self._owed.folders) as folder:
                self._handle = os.fdopen(os.open(self._name, _NEW, 0o666, dir_fd=folder), "wb")
        return self._handle

    def _send(self, handle: BinaryIO) -> None:
        """Let the disk begin with what the system has of the file, without waiting for it."""
        # Linux begins to write what it is told will not be needed, and forgets only what is on
        # the disk already: little is left for the flush at the end. Elsewhere all is left.
        if hasattr(os, "posix_fadvise"):
            new = self._size - self._sent
            with contextlib.suppress(OSError):
                os.posix_fadvise(handle.fileno(), self._sent, new, os.POSIX_FADV_DONTNEED)
        self._sent = self._size

    def _publish(self) -> None:
        self._place(None)

    def _place(self, version: str | None) -> str:
        """Flush the file and give it its key; the folder that names it is settled later."""
        name, files = self._target, self._files
        with refusals(self.path):
            handle = self._opened()
            os.fsync(handle.fileno())
            with (
                files.folder(self._folders, self._owed.folders) as target,
                files.folder(PARTIAL) as source,
                contextlib.nullcontext() if version is None else _guard(files),
            ):
                known = ""
                with contextlib.suppress(FileNotFoundError):
                    known = version_tag(files.regular(target, name, self._key))
                if version is not None and known != version:
                    raise FileExistsError(f"{self._key}: holds another version")
                if version == "" and _linked(self._name, source, name, target):
                    os.unlink(self._name, dir_fd=source)
                else:
                    os.replace(self._name, name, src_dir_fd=source, dst_dir_fd=target)
            tag = version_tag(os.fstat(handle.fileno()))
            handle.close()
            self._handle = None
        self._owed.add("/".join(self._folders))
        return tag

    def _drop(self) -> None:
        if self._handle is not None:
            self._handle.close()
            with contextlib.suppress(*ABSENT), self._files.folder(PARTIAL) as folder:
                os.unlink(self._name, dir_fd=folder)


class LocalAppender:
    """Appends to a file of this process's own, a line in one `write`: at most the last is torn."""

    def __init__(self, owed: Unsettled, key: str) -> None:
        self._path, self._owed = owed.files.root / key, owed
        *folders, name = key_parts(key)
        with refusals(self._path), owed.files.folder(folders, owed.folders) as folder:
            self.descriptor = os.open(name, _NEW | os.O_APPEND, 0o644, dir_fd=folder)
        owed.add("/".join(folders))

    def __del__(self) -> None:
        try:  # noqa: SIM105 at the end of the interpreter contextlib is gone
            os.close(self.descriptor)
        except (AttributeError, OSError):
            pass

    @property
    def full(self) -> bool:
        """Whether the next line should go to another file: this one was removed."""
        return os.fstat(self.descriptor).st_nlink == 0

    def append(self, line: bytes) -> None:
        """Add a line."""
        with refusals(self._path):
            if os.write(self.descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, "the line was cut")
        self._owed.add(self)


class Unsettled:
    """What this process still owes the disk of one run: names in folders, and grown files.

    They are flushed in groups, at least every `SETTLE_S`. A receipt that is lost in a power cut
    costs a rendering; one that is kept without its object is found out by the next scan.
    """

    def __init__(self, files: PlainFiles) -> None:
        self.folders: set[str] = set()
        self.files = files
        self._appenders: set[LocalAppender] = set()
        self._timer: threading.Timer | None = None
        self._failure: Exception | None = None
        self._lock = threading.Lock()

    def add(self, item: str | LocalAppender) -> None:
        """Note a folder in which a name is new, by its key, or a file that has grown."""
        with self._lock:
            if isinstance(item, str):
                self.folders.add(item)
            else:
                self._appenders.add(item)
            failure, self._failure = self._failure, None
            if self._timer is None:
                self._timer = threading.Timer(SETTLE_S, self._settle_later)
                self._timer.daemon = True
                self._timer.start()
        if failure is not None:
            raise failure

    def settle(self) -> None:
        """Flush all that was noted: folders before the receipts that speak of them."""
        with self._lock:
            folders, appenders = list(self.folders), list(self._appenders)
            self.folders.clear()
            self._appenders.clear()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        with refusals(self.files.root):
            for key in folders:
                with contextlib.suppress(*ABSENT), self.files.folder(folder_parts(key)) as folder:
                    os.fsync(folder)
            for appender in appenders:
                os.fsync(appender.descriptor)

    def _settle_later(self) -> None:
        try:
            self.settle()
        except Exception as error:
            # Told to the next that writes.
            self._failure = error


_known: Final[dict[tuple[str, int], Unsettled]] = {}


def unsettled(root: Path) -> Unsettled:
    """Return what this process owes a run: one for all that write there; a fork owes nothing."""
    return _known.setdefault((str(root), os.getpid()), Unsettled(PlainFiles(root)))


@atexit.register
def settle_all() -> None:
    """Flush all that this process owes."""
    for (_, pid), owed in list(_known.items()):
        if pid == os.getpid():
            with contextlib.suppress(Exception):
                owed.settle()


def version_tag(found: os.stat_result) -> str:
    """Name the version of a file."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


@contextlib.contextmanager
def _guard(files: PlainFiles) -> Iterator[None]:
    """Let one process at a time compare and replace, where the system can."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    files.check_plain(f"{STATE_DIR}/{GUARD_FILE}")
    with files.folder((STATE_DIR,)) as folder:
        descriptor = os.open(GUARD_FILE, flags, 0o666, dir_fd=folder)
    try:
        # Some network file systems know no flock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _linked(name: str, source: int, new: str, target: int) -> bool:
    """Give a file a second name that is not taken; False where the file system has no such."""
    try:
        os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def key_parts(key: str) -> list[str]:
    """Split a key; refuse one that leads elsewhere with `DamageError`."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise DamageError(f"{key[:80]!r} is not a file of a run")
    return parts


def folder_parts(prefix: str) -> list[str]:
    """Split the key of a folder, which may end in `/`; none for the run itself."""
    return key_parts(prefix.rstrip("/")) if prefix else []


def _odd(path: Path) -> DamageError:
    return DamageError(
        f"{path}: is a link, a pipe or a device, which no run holds; nothing was read, written or "
        "removed there; remove it, or copy the files it leads to in its place"
    )


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Name a path in what the system refuses; see `no_room`. That it exists is passed on."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise no_room(error, path) from error


def no_room(error: OSError, path: Path) -> Exception:
    """Turn "no space left" into the user's error, and any other error into one like it.

    Never into itself: what is returned is raised from `error`, and an error that is its own
    cause makes whoever follows the causes, as a Dask worker does, loop for ever.
    """
    if error.errno in _NO_ROOM:
        return EnvironmentFailure(
            f"{path}: no space left on the file system; free space, then give the command again"
        )
    if error.errno is None:
        return type(error)(*error.args)
    return OSError(error.errno, error.strerror, str(path))
