"""What was compiled: the objects of the native kernel, and the record that lies beside them.

The build (`tools/build_native.py`) writes it, the loader reads it. The build runs where nothing
but Python's own library is installed, so this module imports nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
"""The C++ sources; a checkout and a source distribution have them, a wheel does not."""

OBJECTS = Path(__file__).parent / "objects"
"""Where the build puts the compiled objects and their record."""

RECORD_NAME = "record.json"


@dataclass(frozen=True)
class CompiledObject:
    """One shared object.

    Attributes
    ----------
    level : str
        Instruction-set level it was compiled for, such as "x86-64-v3".
    file : str
        Its name in the folder of objects.
    features : tuple of str
        What a CPU must offer to run it, as /proc/cpuinfo names them.
    """

    level: str
    file: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class BuildRecord:
    """What a build made.

    Attributes
    ----------
    build : str
        16 hex digits over sources, flags and compiler: at one level, equal ids compute equal bits.
    sources : str
        `sources_digest` of what was compiled.
    compiler : str
        First line of what the compiler says of its version.
    missing : str
        Why nothing was compiled; empty where something was.
    objects : tuple of CompiledObject
        The highest level first.
    """

    build: str
    sources: str
    compiler: str
    missing: str
    objects: tuple[CompiledObject, ...]

    def write(self, folder: Path) -> None:
        """Write it into the folder of objects, all at once."""
        handle, name = tempfile.mkstemp(dir=folder, suffix=".partial")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
            file.write("\n")
        Path(name).chmod(0o644)
        Path(name).replace(folder / RECORD_NAME)


def read_record(folder: Path = OBJECTS) -> BuildRecord | None:
    """Read the record of a folder of objects; None where there is none, or not one of ours."""
    try:
        found = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        objects = tuple(
            CompiledObject(each["level"], each["file"], tuple(each["features"]))
            for each in found["objects"]
        )
        return BuildRecord(
            found["build"], found["sources"], found["compiler"], found["missing"], objects
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sources_digest(folder: Path = SOURCES) -> str:
    """SHA-256 over names and content of the C++ sources, hex; empty where there are none."""
    files = sorted(path for path in folder.glob("*") if path.suffix in (".cpp", ".hpp"))
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def cpu_features() -> frozenset[str]:
    """Return what this CPU offers and the system lets programs use, as /proc/cpuinfo names it.

    Empty where the system does not tell: the lowest level is then taken.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
