"""Input files of a run, copied into it under their content hash.

In the manifest a file field holds `input:<sha256>/<name>` instead of a path, so the
manifest says what was read, not where it happened to lie.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distbragg.errors import InputError
from distbragg.store.files import no_room, sha256_file
from distbragg.store.pack import PACKED_SUFFIX, is_packable, pack

_REFERENCE = re.compile(r"input:([0-9a-f]{64})/(?!\.{1,2}$)([^/\0]+)")


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file, or one Zarr folder, which is copied as a ZIP file.

    Attributes
    ----------
    source : Path
        Where it lies now.
    sha256 : str
    name : str
        Its file name, kept because the format may depend on it.
    """

    source: Path
    sha256: str
    name: str

    @property
    def reference(self) -> str:
        """What stands for the file in a manifest."""
        return f"input:{self.sha256}/{self.name}"


def identify_input(path: str | Path, *, field: str = "") -> InputFile:
    """Hash an input file.

    Raises
    ------
    InputError
        It cannot be read.
    """
    source = Path(path)
    try:
        if is_packable(source):
            name = source.name + PACKED_SUFFIX
            return InputFile(source=source.absolute(), sha256=pack(source), name=name)
        # A device or a pipe has no end.
        if source.exists() and not source.is_file():
            raise InputError("is not a file", source=str(source), field=field)
        sha256, _ = sha256_file(source)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or error})",
            source=str(source),
            field=field,
            remedy="check the path and the permissions",
        ) from error
    return InputFile(source=source.absolute(), sha256=sha256, name=source.name)


def copy_inputs(inputs: Mapping[str, InputFile], folder: Path) -> None:
    """Copy every input to `folder/<sha256>/<name>` and check the copy's hash.

    Raises
    ------
    InputError
        A file changed while it was copied.
    EnvironmentFailure
        There is no room.
    """
    for item in inputs.values():
        target = folder / item.sha256 / item.name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if is_packable(item.source):
                pack(item.source, target)
            else:
                shutil.copyfile(item.source, target)
        except OSError as error:
            raise no_room(error, target) from error
        if sha256_file(target)[0] != item.sha256:
            raise InputError("changed while the run was created", source=str(item.source))


def replace_paths(plain: object, references: Mapping[str, str]) -> object:
    """Replace every string of a plain tree that is a key of `references`."""
    if isinstance(plain, Mapping):
        return {key: replace_paths(value, references) for key, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [replace_paths(value, references) for value in plain]
    if isinstance(plain, str):
        return references.get(plain, plain)
    return plain


def resolve_inputs(plain: object, folder: Path) -> object:
    """Turn every `input:` reference of a plain tree into the path of the copy in `folder`."""
    if isinstance(plain, Mapping):
        return {key: resolve_inputs(value, folder) for key, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [resolve_inputs(value, folder) for value in plain]
    if isinstance(plain, str) and (match := _REFERENCE.fullmatch(plain)):
        return str(folder / match[1] / match[2])
    return plain


def input_names(plain: object) -> frozenset[str]:
    """Collect `<sha256>/<name>` of every `input:` reference of a plain tree."""
    if isinstance(plain, Mapping):
        return frozenset().union(*(input_names(value) for value in plain.values()))
    if isinstance(plain, (list, tuple)):
        return frozenset().union(*(input_names(value) for value in plain))
    if isinstance(plain, str) and (match := _REFERENCE.fullmatch(plain)):
        return frozenset({f"{match[1]}/{match[2]}"})
    return frozenset()
