"""One entry for all geometry formats: tells them apart and remembers what was read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, get_args

from distbragg.errors import InputError
from distbragg.read.geometry.model import FileGeometry

GeometryFormat = Literal["expt", "nxmx", "smv", "cbf", "xds", "xparm", "crystfel"]
FORMATS: Final[tuple[GeometryFormat, ...]] = get_args(GeometryFormat)

_FIRST_BYTES: Final = 1 << 16
_HDF5: Final = b"\x89HDF\r\n\x1a\n"


def read_geometry(path: str, format: str = "auto", experiment: int | None = None) -> FileGeometry:
    """Read a geometry file.

    Remembered while the file keeps its size and time: a sweep asks once per frame.

    Parameters
    ----------
    path : str
    format : str
        One of `FORMATS`, or "auto": by content.
    experiment : int, optional
        Which one of a DIALS experiment list, from 0; the first where not given, and a note.

    Raises
    ------
    InputError
        An unreadable file, one of no known format, or a geometry that cannot be rendered.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    return _read(path, format, experiment, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=16)
def _read(
    path: str, format: str, experiment: int | None, _identity: tuple[int, int, int]
) -> FileGeometry:
    kind = detect_format(path) if format == "auto" else format
    if experiment is not None:
        if kind != "expt":
            raise InputError(
                "the geometry file lists no experiments",
                source=path,
                field="detector.geometry_experiment",
                remedy="leave it out",
            )
        from distbragg.read.geometry.expt import read_expt

        return read_expt(path, experiment=experiment)
    module, name = _READERS[kind]
    # Only what a file asks for is loaded: most runs have none, and h5py is slow to load.
    reader: Callable[[str], FileGeometry] = getattr(import_module(module, __package__), name)
    return reader(path)


_READERS: Final = {
    "expt": (".expt", "read_expt"),
    "nxmx": (".nexus", "read_nxmx"),
    "smv": (".image_header", "read_smv"),
    "cbf": (".image_header", "read_minicbf"),
    "xds": (".xds", "read_xds_inp"),
    "xparm": (".xds", "read_xparm"),
    "crystfel": (".crystfel", "read_crystfel"),
}
"""Module and function that read each format."""


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
    # Files of old Macs end their lines with CR alone, those of Windows may begin with a mark.
    start = start.replace(b"\r", b"\n").removeprefix(b"\xef\xbb\xbf")
    for pattern, what, remedy in _OTHERS:
        if pattern.search(start):
            raise InputError(
                f"is {what}, no geometry file",
                source=path,
                field="detector.geometry_file",
                remedy=remedy,
            )
    for kind, pattern in _SIGNS:
        if pattern.search(start):
            return kind
    raise InputError(
        "none of the known geometry formats",
        source=path,
        field="detector.geometry_file",
        remedy=f"known are {', '.join(FORMATS)}; detector.geometry_format forces one",
    )


_OTHERS: Final[tuple[tuple[re.Pattern[bytes], str, str], ...]] = (
    (
        re.compile(rb"\*{5}\s+(?:XYCORR|INIT|COLSPOT|IDXREF|DEFPIX|INTEGRATE|CORRECT)\s+\*{5}"),
        "a report of XDS",
        "give GXPARM.XDS (refined by CORRECT), XPARM.XDS or XDS.INP",
    ),
    (
        re.compile(rb"\A!FORMAT=XDS_ASCII|\A!OUTPUT_FILE=INTEGRATE"),
        "a list of reflections of XDS",
        "give GXPARM.XDS, XPARM.XDS or XDS.INP",
    ),
    (
        re.compile(rb"\ACrystFEL stream format"),
        "a CrystFEL stream",
        "give the geometry between its lines 'Begin geometry file' and 'End geometry file'",
    ),
    (
        re.compile(rb"\A(?:II\*\0|MM\0\*)"),
        "a TIFF image (MarCCD, Rayonix, Pilatus)",
        "use `dials.import` and its imported.expt",
    ),
    (
        re.compile(rb"(?im)^poni1\s*:"),
        "a PONI file of pyFAI",
        "give detector.panels, or distance and beam centre",
    ),
    (
        re.compile(rb"\AFORMAT\s*:"),
        "a Bruker image",
        "use `dials.import` and its imported.expt",
    ),
    (
        re.compile(rb'\A\s*\[\s*\{\s*"__id__"\s*:\s*"DataBlock"'),
        "a datablock of an older DIALS",
        "import the images anew: `dials.import` writes imported.expt",
    ),
    (
        re.compile(rb"\A\s*\d+(?: +[-\d.]+){5} *\n *[\d.]+(?: +[-\d.]+){3} *\n"),
        "an XPARM.XDS of a version before 2010, which does not name itself",
        "run IDXREF of a newer XDS, or give XDS.INP",
    ),
    (re.compile(rb"\A(?:\xff\xfe|\xfe\xff)"), "text in UTF-16", "save it as UTF-8"),
    (
        re.compile(rb"\A<\?xml"),
        "a file of XML",
        "give detector.panels, or a geometry file of a known format",
    ),
    (
        re.compile(rb"dials::af::reflection_table"),
        "a table of reflections of DIALS",
        "give its .expt",
    ),
    (re.compile(rb"\A(?:\x1f\x8b|BZh|\xfd7zXZ)"), "a compressed file", "unpack it first"),
)
"""Files that are no geometry but are given for one, by what they hold."""

_SIGNS: Final[tuple[tuple[GeometryFormat, re.Pattern[bytes]], ...]] = (
    ("nxmx", re.compile(re.escape(_HDF5.replace(b"\r", b"\n")))),
    ("cbf", re.compile(rb"\A###CBF")),
    ("smv", re.compile(rb"\A\{\s*HEADER_BYTES\s*=")),
    ("xparm", re.compile(rb"\A\s*G?XPARM\.XDS")),
    ("expt", re.compile(rb'\A\s*\{\s*"')),
    ("xds", re.compile(rb"(?m)^[^!;#\n]*\b(?:ORGX|DETECTOR_DISTANCE|NX|QX)=")),
    ("crystfel", re.compile(rb"(?m)^\s*[^;\s]+/(?:corner_x|min_fs|fs)\s*=")),
)
"""What the files of a format hold, in the order in which they are asked for."""
