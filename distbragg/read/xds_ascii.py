"""Reflection lists of XDS and XSCALE (XDS_ASCII): intensities with cell and space group."""

from __future__ import annotations

import re
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.groups import Group, numbered_group, overruled, symbol_of
from distbragg.read.intensities import IntensityRule, refused_intensities, roots
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import data_lines_of, parse_number, read_text

_WAY_OUT: Final = (
    "XDSCONV with OUTPUT_FILE=x.hkl CCP4_I+F and f2mtz, or pointless, aimless and ctruncate, "
    "and give the MTZ"
)
_ITEMS: Final = ("H", "K", "L", "IOBS")
_CELL_NUMBERS: Final = 6


def read_xds_ascii(
    path: str,
    *,
    intensities: IntensityRule = "refuse",
    dmin: float | None = None,
    group: Group | None = None,
) -> MillerTable:
    """Read a merged list (`MERGE=TRUE`) and expand it by its space group.

    A reflection with a negative σ, XDS's mark of a misfit, is left out.

    Raises
    ------
    InputError
        An unmerged list, intensities where none are asked for, a damaged header or line.
    """
    text = read_text(path)
    fields = _header(text)
    if fields.get("MERGE", "FALSE").upper() != "TRUE":
        raise InputError(
            "this is an unmerged list of XDS (MERGE=FALSE): single intensities are no |F|",
            source=path,
            remedy=_WAY_OUT,
        )
    if intensities == "refuse":
        raise refused_intensities("IOBS of this merged list of XDS", path, _WAY_OUT)
    cell = _cell(fields, path)
    number = fields.get("SPACE_GROUP_NUMBER", "")
    own = numbered_group(int(number), cell) if number.isdecimal() else None
    group, doubts = overruled(group, own, (), path)
    table, sigma = _rows(text, fields, path)
    rejected = sigma < 0.0
    amplitude, notes = roots(np.where(rejected, np.nan, table[:, 3]), "IOBS", path)
    notes += (*doubts, *_notes(int(rejected.sum()), group, path))
    indices = table[:, :3]
    if (np.abs(indices) > MAXIMUM_INDEX).any() or (indices != np.rint(indices)).any():
        raise InputError("a Miller index is not a whole number in range", source=path)
    return listed_amplitudes(
        indices.astype(np.int64),
        amplitude,
        cell=cell,
        group=group,
        dmin=dmin,
        source=path,
        notes=notes,
    )


def _notes(rejected: int, group: Group | None, path: str) -> Notes:
    notes = [Note("warning", path, "measured: the scale is arbitrary unless it was put on one")]
    if group is not None:
        notes.append(Note("note", path, f"expanded by {symbol_of(group)}"))
    if rejected:
        notes.append(Note("note", path, f"{rejected} misfits (negative σ) are left out"))
    return tuple(notes)


def xds_ascii_cell(path: str) -> CellSix:
    """Return the unit cell (Å, degrees) of a list of XDS.

    Raises
    ------
    InputError
    """
    return cell_six(_cell(_header(read_text(path)), path), path)


def _header(text: str) -> dict[str, str]:
    """Values by name of the lines that begin with `!`, up to the end of the header."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("!END_OF_HEADER") or not line.startswith("!"):
            break
        for name, value in re.findall(r"([A-Z][A-Z0-9_()'/<>.-]*)=\s*([^=]*?)(?=\s+[A-Z'_]+=|\s*$)",
                                      line[1:]):  # fmt: skip
            fields.setdefault(name, value.strip())
    return fields


def _cell(fields: dict[str, str], path: str) -> gemmi.UnitCell:
    try:
        numbers = [float(word) for word in fields["UNIT_CELL_CONSTANTS"].split()]
        if len(numbers) != _CELL_NUMBERS:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise InputError("a header of XDS without UNIT_CELL_CONSTANTS", source=path) from error
    return gemmi.UnitCell(*numbers)


def _rows(
    text: str, fields: dict[str, str], path: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        places = [int(fields[f"ITEM_{name}"]) - 1 for name in _ITEMS]
    except (KeyError, ValueError) as error:
        raise InputError("a header of XDS without ITEM_H to ITEM_IOBS", source=path) from error
    width = max(places) + 1
    sigma = fields.get("ITEM_SIGMA(IOBS)", "")
    if sigma.isdecimal():
        places.append(int(sigma) - 1)
        width = max(width, places[-1] + 1)
    if min(places) < 0:
        raise InputError("a header of XDS that counts its items from 0", source=path)
    rows = []
    for line in data_lines_of(text, path, comment="!"):
        if len(line.fields) < width:
            raise InputError(f"{len(line.fields)} columns", source=line.place)
        rows.append([parse_number(line.fields[place], line, "value") for place in places])
    if not rows:
        raise InputError("the file lists no reflections", source=path)
    if "!END_OF_DATA" not in text:
        raise InputError(
            "no !END_OF_DATA: the file is truncated", source=path, remedy="fetch it again"
        )
    table = np.array(rows, dtype=np.float64)
    return table, table[:, 4] if sigma.isdecimal() else np.zeros(len(rows))
