"""Input files of a run, copied into it under their content hash.

In the manifest a file field holds `input:<sha256>/<name>` instead of a path, so the
manifest says what was read, not where it happened to lie. A Zarr folder is copied as one file, a
ZIP whose bytes depend on names and contents alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distbragg.errors import InputError, unreadable
from distbragg.store.files import sha256_file
from distbragg.store.layout import INPUTS
from distbragg.store.objects import Objects

_BLOCK = 1 << 20
FOLDER_SUFFIX: Final = ".zarr"
PACKED_SUFFIX: Final = ".zip"
MAXIMUM_BYTES: Final = 1 << 32

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16
_REFERENCE = re.compile(r"input:([0-9a-f]{64})/(?!\.{1,2}$)([^/\0]+)")


@dataclass(frozen=True, slots=True)
class InputFile:
    """An input file where it lies now; a Zarr folder is copied as a ZIP file."""

    source: Path
    sha256: str
    name: str

    @property
    def reference(self) -> str:
        """What stands for the file in a manifest."""
        return f"input:{self.sha256}/{self.name}"


def identify_input(path: str | Path, *, field: str = "") -> InputFile:
    """Hash an input file; `InputError` where it cannot be read."""
    source = Path(path)
    try:
        if _is_packable(source):
            packed = hashlib.sha256()
            _pack(source, packed.update)
            suffix = "" if source.name.lower().endswith(FOLDER_SUFFIX) else FOLDER_SUFFIX
            name = source.name + suffix + PACKED_SUFFIX
            return InputFile(source.absolute(), packed.hexdigest(), name)
        # A device or a pipe has no end.
        if source.exists() and not source.is_file():
            raise InputError("is not a file", source=str(source), field=field)
        sha256, _ = sha256_file(source)
    except OSError as error:
        raise unreadable(error, str(source), field=field) from error
    return InputFile(source=source.absolute(), sha256=sha256, name=source.name)


def copy_inputs(inputs: Mapping[str, InputFile], objects: Objects) -> None:
    """Copy every input that a run lacks; `InputError` where one changed meanwhile."""
    for item in inputs.values():
        key = f"{INPUTS}{item.sha256}/{item.name}"
        if objects.head(key) is not None:
            continue
        with objects.writer(key) as writer:
            if _is_packable(item.source):
                _pack(item.source, lambda data: writer.add([data]))
            else:
                with item.source.open("rb") as source:
                    while block := source.read(_BLOCK):
                        writer.add([block])
            if writer.finish().digest != item.sha256:
                objects.delete(key)
                raise InputError("changed while the run was created", source=str(item.source))


def resolve_inputs(plain: object, paths: Mapping[str, str]) -> object:
    """Turn every `input:` reference of a plain tree into the path of its copy."""
    return _replaced(plain, paths.__getitem__)


def input_names(plain: object) -> frozenset[str]:
    """Collect `<sha256>/<name>` of every `input:` reference of a plain tree."""
    found: set[str] = set()
    _replaced(plain, found.add)
    return frozenset(found)


def _replaced(plain: object, of_name: Callable[[str], object]) -> object:
    """Return a plain tree with what a function makes of the name in each `input:` reference."""
    if isinstance(plain, Mapping):
        return {key: _replaced(value, of_name) for key, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [_replaced(value, of_name) for value in plain]
    if isinstance(plain, str) and (match := _REFERENCE.fullmatch(plain)):
        return of_name(f"{match[1]}/{match[2]}")
    return plain


class _Sink:
    """Passes on what is written; cannot seek."""

    def __init__(self, target: Callable[[bytes], object]) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        self._target(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _is_packable(path: Path) -> bool:
    """Whether it is a Zarr folder: by its name, or as a run of another name, by what it holds."""
    named = path.name.lower().endswith(FOLDER_SUFFIX)
    return path.is_dir() and (named or (path / "zarr.json").is_file())


def _pack(folder: Path, target: Callable[[bytes], object]) -> None:
    """Pass the bytes of an uncompressed ZIP file of a folder on."""
    with zipfile.ZipFile(_Sink(target), "w") as archive:  # type: ignore[call-overload]
        for name in _files(folder):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = _MODE
            entry.create_system = 3
            with (folder / name).open("rb") as source, archive.open(entry, "w") as written:
                shutil.copyfileobj(source, written)


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
