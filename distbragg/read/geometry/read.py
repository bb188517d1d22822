"""One entry for all geometry formats: tells them apart and remembers what was read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

from distbragg.errors import InputError
from distbragg.read.geometry.crystfel import read_crystfel
from distbragg.read.geometry.expt import read_expt
from distbragg.read.geometry.image_header import read_minicbf, read_smv
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.geometry.xds import read_xds_inp, read_xparm

GeometryFormat = Literal["expt", "nxmx", "smv", "cbf", "xds", "xparm", "crystfel"]
FORMATS: Final[tuple[GeometryFormat, ...]] = get_args(GeometryFormat)

_FIRST_BYTES: Final = 1 << 16
_HDF5: Final = b"\x89HDF\r\n\x1a\n"


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
    if kind == "nxmx":
        # h5py is slow to load, and only NeXus files need it.
        from distbragg.read.geometry.nexus import read_nxmx

        return read_nxmx(path)
    return _READERS[kind](path)


_READERS: Final[dict[str, Callable[[str], FileGeometry]]] = {
    "expt": read_expt,
    "smv": read_smv,
    "cbf": read_minicbf,
    "xds": read_xds_inp,
    "xparm": read_xparm,
    "crystfel": read_crystfel,
}


def detect_format(path: str) -> GeometryFormat:
    """Tell the format of a geometry file by its first 64 kB.

    Raises
    ------
    InputError
        None of the known formats.
    """
    try:
        with Path(path).open("rb") as handle:
            start = handle.read(_FIRST_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    for kind, pattern in _SIGNS:
        if pattern.search(start):
            return kind
    raise InputError(
        "none of the known geometry formats",
        source=path,
        field="detector.geometry_file",
        remedy=f"known are {', '.join(FORMATS)}; detector.geometry_format forces one",
    )


_SIGNS: Final[tuple[tuple[GeometryFormat, re.Pattern[bytes]], ...]] = (
    ("nxmx", re.compile(re.escape(_HDF5))),
    ("cbf", re.compile(rb"\A###CBF")),
    ("smv", re.compile(rb"\A\{\s*HEADER_BYTES\s*=")),
    ("xparm", re.compile(rb"\A\s*G?XPARM\.XDS")),
    ("expt", re.compile(rb'\A\s*\{\s*"')),
    ("xds", re.compile(rb"(?m)^[^!\n]*\b(?:ORGX|DETECTOR_DISTANCE|NX|QX)=")),
    ("crystfel", re.compile(rb"(?m)^\s*[^;\s]+/(?:corner_x|min_fs|fs)\s*=")),
)
"""What the files of a format hold, in the order in which they are asked for."""
