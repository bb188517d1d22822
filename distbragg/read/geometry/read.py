"""One entry for all geometry formats: tells them apart and remembers what was read."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Final

from distbragg.errors import InputError
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.recognise import FOREIGN, HEAD_BYTES, plain_head, refuse_foreign
from distbragg.read.text import first_bytes, remembered

_READERS: Final = {
    "nxmx": (".nexus", "read_nxmx", rb"\A\x89HDF\n\x1a\n"),
    "cbf": (".image_header", "read_minicbf", rb"\A###CBF"),
    "smv": (".image_header", "read_smv", rb"\A\{\s*HEADER_BYTES\s*="),
    "xparm": (".xds", "read_xparm", rb"\A\s*G?XPARM\.XDS"),
    "expt": (".expt", "read_expt", rb'\A\s*\{\s*"'),
    "xds": (".xds", "read_xds_inp", rb"(?m)^[^!;#\n]*\b(?:ORGX|DETECTOR_DISTANCE|NX|QX)="),
    "crystfel": (".crystfel", "read_crystfel", rb"(?m)^[ \t]*[^;\s]+/(?:corner_x|min_fs|fs)\s*="),
}
"""Module and function that read each format, and what its files hold, asked for in this order."""

FORMATS: Final = tuple(_READERS)


@remembered(16)
def read_geometry(path: str, format: str = "auto", experiment: int | None = None) -> FileGeometry:
    """Read a geometry file.

    `format`: one of `FORMATS`, or "auto": by content. `experiment`: which one of a DIALS
    experiment list, from 0; the first where not given, and a note.
    """
    kind = detect_format(path) if format == "auto" else format
    chosen: dict[str, Any] = {} if experiment is None else {"experiment": experiment}
    if chosen and kind != "expt":
        raise InputError(
            "the geometry file lists no experiments",
            source=path,
            field="detector.geometry_experiment",
            remedy="leave it out",
        )
    module, name, _ = _READERS[kind]
    # Only what a file asks for is loaded: most runs have none, and h5py is slow to load.
    geometry: FileGeometry = getattr(import_module(module, __package__), name)(path, **chosen)
    return geometry


def detect_format(path: str) -> str:
    """Tell the format of a geometry file by its first 64 kB."""
    start = plain_head(first_bytes(path, HEAD_BYTES))
    refuse_foreign(FOREIGN, start, path, "geometry")
    for kind, (_, _, sign) in _READERS.items():
        if re.search(sign, start):
            return kind
    raise InputError(
        "none of the known geometry formats",
        source=path,
        field="detector.geometry_file",
        remedy=f"known are {', '.join(FORMATS)}; detector.geometry_format forces one",
    )
