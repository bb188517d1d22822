"""A Zarr folder as one file: a ZIP whose bytes depend on names and contents alone.

Inputs of a run are single files under the hash of their content; a folder becomes one here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from distbragg.errors import InputError

FOLDER_SUFFIX: Final = ".zarr"
PACKED_SUFFIX: Final = ".zip"
MAXIMUM_BYTES: Final = 1 << 32

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16


class _Sink:
    """Hashes what is written, and passes it on where there is somewhere; cannot seek."""

    def __init__(self, target: BinaryIO | None) -> None:
        self.digest = hashlib.sha256()
        self._target = target

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        if self._target is not None:
            self._target.write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def is_packable(path: Path) -> bool:
    """Whether the path is a folder that becomes one file."""
    return path.name.lower().endswith(FOLDER_SUFFIX) and path.is_dir()


def pack(folder: Path, target: Path | None = None) -> str:
    """Write a folder as an uncompressed ZIP file, or only find its hash.

    Parameters
    ----------
    folder : Path
    target : Path, optional
        File to write.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    InputError
        The folder holds links, or more than 4 GiB.
    OSError
        A file cannot be read or written.
    """
    if target is None:
        return _pack(folder, None)
    with target.open("wb") as stream:
        return _pack(folder, stream)


def _pack(folder: Path, stream: BinaryIO | None) -> str:
    sink = _Sink(stream)
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        for name in _files(folder):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = _MODE
            entry.create_system = 3
            with (folder / name).open("rb") as source, archive.open(entry, "w") as written:
                shutil.copyfileobj(source, written)
    return sink.digest.hexdigest()


def _files(folder: Path) -> list[str]:
    found, total = [], 0
    for path in _walk(folder):
        if path.is_symlink():
            raise InputError(f"{path.relative_to(folder)} is a link", source=str(folder))
        total += path.stat().st_size
        if total > MAXIMUM_BYTES:
            raise InputError(
                f"holds more than {MAXIMUM_BYTES} bytes, which would be copied into the run",
                source=str(folder),
                remedy="write the arrays that are wanted into a store of their own",
            )
        found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for base, folders, names in os.walk(folder, onerror=refuse):
        # Links to folders are listed among the folders.
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        yield from (Path(base) / name for name in (*names, *links))
