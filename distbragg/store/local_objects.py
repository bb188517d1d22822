"""A run in a folder of a file system, of which no link is followed; see `store.local_files`."""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final

from distbragg.errors import DamageError
from distbragg.store.files import sha256_bytes, sync_path
from distbragg.store.local_files import (
    ABSENT,
    OPEN_FOLDER,
    PARTIAL,
    LocalAppender,
    LocalWriter,
    PlainFiles,
    folder_parts,
    key_parts,
    unsettled,
    version_tag,
)
from distbragg.store.objects import MAX_OBJECT_BYTES, Entry, Objects, Spans
from distbragg.store.processes import process_start, this_machine

if TYPE_CHECKING:
    from zarr.abc.store import Store

_LITTER: Final = re.compile(r"(.+)\.[0-9a-f]{32}")
_UNMADE: Final = re.compile(r"([0-9a-f]{12})-(\d{1,10})-([\d.]{1,30})-[0-9a-f]{12}")
"""What follows `RUN.tmp-`: machine, process and its start, which tell whether it still makes it."""


class LocalObjects(PlainFiles, Objects):
    """The objects of a run in a folder, which may itself be reached through links."""

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self.url = str(self.root)

    def identity(self) -> str:
        """Return device and number of the folder."""
        found = self.root.stat()
        return f"{found.st_dev:x}-{found.st_ino:x}"

    @contextlib.contextmanager
    def made_whole(self) -> Iterator[LocalObjects]:
        """Yield a folder beside this one, which takes this one's name when the block ends well."""
        if os.path.lexists(self.root) and (not self.root.is_dir() or any(self.root.iterdir())):
            raise FileExistsError(f"{self.root}: exists")
        self._sweep_unmade()
        started = process_start(os.getpid()) or "0"
        maker = f"{_machine_name()}-{os.getpid()}-{started}-{uuid.uuid4().hex[:12]}"
        fresh = LocalObjects(self.root.with_name(f"{self.root.name}.tmp-{maker}"))
        try:
            fresh.root.mkdir(parents=True)
            yield fresh
            fresh.settle()
            sync_path(fresh.root)
            # Renaming a folder replaces an empty one and nothing else.
            fresh.root.rename(self.root)
            sync_path(self.root.parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(f"{self.root}: exists") from None
            raise
        finally:
            shutil.rmtree(fresh.root, ignore_errors=True)

    def get(self, key: str, limit: int = MAX_OBJECT_BYTES) -> bytes:
        with self.open(key) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size > limit:
                raise DamageError(f"{self.root / key}: is larger than {limit} bytes")
            return handle.read(size)

    @contextlib.contextmanager
    def spans(self, key: str) -> Iterator[Spans]:
        with self.open(key) as handle:
            file = handle.fileno()
            size = os.fstat(file).st_size

            def read(parts: Sequence[tuple[int, int]]) -> list[bytes]:
                return [
                    os.pread(file, length, first if first >= 0 else max(0, size + first))
                    for first, length in parts
                ]

            yield read

    def put(self, key: str, data: bytes, *, version: str | None = None) -> str:
        with self.writer(key) as writer:
            return writer.publish(data, version)

    def writer(self, key: str) -> LocalWriter:
        return LocalWriter(unsettled(self.root), key)

    def appender(self, key: str) -> LocalAppender:
        return LocalAppender(unsettled(self.root), key)

    def settle(self) -> None:
        unsettled(self.root).settle()

    def flush(self, prefix: str) -> None:
        self.settle()
        for entry in self.entries(prefix, deep=False):
            with contextlib.suppress(FileNotFoundError), self.open(entry.key) as handle:
                os.fsync(handle.fileno())

    def names(self, prefix: str = "", *, deep: bool = True) -> Iterator[tuple[str, Entry | None]]:
        with contextlib.suppress(*ABSENT), self.folder(folder_parts(prefix)) as folder:
            yield from _names(folder, prefix, deep)

    def _readable(self, keys: Sequence[str]) -> Iterator[BufferedReader]:
        return map(self.open, keys)

    def children(self) -> set[str]:
        return set(os.listdir(self.root))

    def grid_sizes(self, prefix: str, grid: Sequence[int]) -> dict[int, int]:
        """Find the objects of a grid; a million take seconds.

        To look for the one object below a unit's folder takes a call of the system for each
        level, to list folders of one entry takes three. So only axes of several units are listed.
        """
        listed = max((n for n, count in enumerate(grid, 1) if count > 1), default=0)
        tail = ["0"] * (len(grid) - listed)
        sizes: dict[int, int] = {}
        with contextlib.suppress(*ABSENT), self.folder(folder_parts(prefix)) as folder:
            _grid_sizes(folder, tuple(grid[:listed]), tail, 0, sizes)
        return sizes

    def head(self, key: str) -> Entry | None:
        *folders, name = key_parts(key)
        try:
            with self.folder(folders) as folder:
                return _entry(key, self.regular(folder, name, key))
        except ABSENT:
            return None

    def digest(self, key: str) -> tuple[str, int]:
        with self.open(key) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest(), handle.tell()

    def delete(self, key: str) -> None:
        *folders, name = key_parts(key)
        with contextlib.suppress(*ABSENT), self.folder(folders) as folder:
            self.regular(folder, name, key)
            os.unlink(name, dir_fd=folder)

    def move(self, source: str, target: str) -> None:
        *source_folders, source_name = key_parts(source)
        *target_folders, target_name = key_parts(target)
        with (
            self.folder(source_folders) as old,
            self.folder(target_folders, unsettled(self.root).folders) as new,
        ):
            self.regular(old, source_name, source)
            if self.head(target) is not None:
                raise FileExistsError(f"{self.root / target}: exists")
            os.rename(source_name, target_name, src_dir_fd=old, dst_dir_fd=new)
            os.fsync(new)
        self.settle()

    def sweep_partial(self, keys: frozenset[str] | None = None) -> int:
        """Remove what killed writers left: only files, only of names that a writer gives."""
        if keys is None:
            self._sweep_unmade()
        swept = 0
        with contextlib.suppress(*ABSENT), self.folder(PARTIAL) as folder:
            for name in os.listdir(folder):
                match = _LITTER.fullmatch(name)
                if match is None or (keys is not None and match[1].replace("~", "/") not in keys):
                    continue
                if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=folder)
                    swept += 1
        return swept

    def _sweep_unmade(self) -> None:
        """Remove folders of this name whose makers ran on this machine and are certainly gone."""
        with contextlib.suppress(OSError), os.scandir(self.root.parent) as entries:
            for entry in entries:
                name, _, maker = entry.name.rpartition(".tmp-")
                found = _UNMADE.fullmatch(maker)
                if name != self.root.name or found is None or found[1] != _machine_name():
                    continue
                gone = process_start(int(found[2])) not in (None, found[3])
                if gone and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)

    def local(self, key: str, sha256: str = "") -> Path:
        self.open(key).close()
        return self.root / key

    def free_bytes(self) -> int | None:
        return shutil.disk_usage(self.root).free

    def zarr_store(self) -> Store:
        import zarr.storage

        return zarr.storage.LocalStore(self.root, read_only=True)


def _names(folder: int, prefix: str, deep: bool) -> Iterator[tuple[str, Entry | None]]:
    """Yield all that is not a folder in an open folder and, if `deep`, below; sorted."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        key = prefix + entry.name
        if entry.is_file(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):
                yield key, _entry(key, entry.stat(follow_symlinks=False))
        elif not entry.is_dir(follow_symlinks=False):
            yield key, None
        elif deep:
            try:
                below = os.open(entry.name, OPEN_FOLDER, dir_fd=folder)
            except ABSENT:
                continue
            try:
                yield from _names(below, f"{key}/", deep)
            finally:
                os.close(below)


def _grid_sizes(
    folder: int, grid: Sequence[int], tail: Sequence[str], first: int, sizes: dict[int, int]
) -> None:
    """Add the sizes of a grid's objects below an open folder; the tail's folders hold one each."""
    if not grid:
        _add_size(folder, ".", tail, first, sizes)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            # A link is not an object: what it leads to was not written by this run.
            if not name.isdecimal() or entry.is_symlink():
                continue
            index = int(name)
            if index >= grid[0] or str(index) != name or entry.is_dir() != bool(tail or grid[1:]):
                continue
            if len(grid) == 1:
                _add_size(folder, name, tail, first * grid[0] + index, sizes)
                continue
            with contextlib.suppress(OSError):
                below = os.open(name, OPEN_FOLDER, dir_fd=folder)
                try:
                    _grid_sizes(below, grid[1:], tail, first * grid[0] + index, sizes)
                finally:
                    os.close(below)


def _add_size(
    folder: int, path: str, tail: Sequence[str], flat: int, sizes: dict[int, int]
) -> None:
    """Add the size of the file below a folder (a file, if there is no tail) that is not a link."""
    try:
        for name in tail[:-1]:
            path += f"/{name}"
            if not stat.S_ISDIR(os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode):
                return
        path = "/".join((path, *tail[-1:]))
        found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except ABSENT:
        return
    if stat.S_ISREG(found.st_mode):
        sizes[flat] = found.st_size


def _machine_name() -> str:
    return sha256_bytes(this_machine().encode())[:12]


def _entry(key: str, found: os.stat_result) -> Entry:
    changed = datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC)
    return Entry(key, found.st_size, version_tag(found), changed)
