"""Structure-factor amplitudes of MTZ files."""

from __future__ import annotations

import re
import struct
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.groups import (
    Group,
    chosen_group,
    listed_operations,
    named_group,
    numbered_group,
    overruled,
)
from distbragg.read.intensities import IntensityRule, filled_by_mean, roots
from distbragg.read.labels import scale_notes
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable
from distbragg.read.mtz_columns import (
    AMPLITUDES,
    INTENSITIES,
    choose_column,
    first_choice,
    is_unmerged,
    mean_of,
    pair_of,
)
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import read_bytes, shown

_RECORD: Final = 80
_WORD: Final = 4
_BIG_ENDIAN: Final = 0x11


_UNMERGED: Final = "merge and truncate them first, e.g. aimless and ctruncate"


def read_mtz(
    path: str,
    *,
    column: str | None,
    dmin: float | None,
    intensities: IntensityRule = "refuse",
    group: Group | None = None,
) -> MillerTable:
    """Read amplitudes and expand them to P1, with Friedel mates or anomalous pairs.

    A pair of columns such as F(+) and F(−) (type G) gives each mate its own amplitude, a
    mate that was not measured the other's; a column of mean amplitudes (type F) gives both
    mates the same. Single observations of an unmerged file are averaged where they are amplitudes.

    Parameters
    ----------
    path : str
        May be compressed (`.gz`).
    column : str, optional
        Label of a column of amplitudes (type F or G; either column of a pair names the
        pair). Where not given: a pair if the file has one, else F by its usual names.
    dmin : float, optional
        Å; reflections of smaller spacing are left out.
    intensities : {"refuse", "root"}
        Whether a column of intensities (type J, or a pair of type K) may be named, or be taken
        where there is no other.
    group : Group, optional
        In place of the symmetry of the file.

    Returns
    -------
    MillerTable

    Raises
    ------
    InputError
        Not a readable MTZ file, unmerged intensities, no such column, or a column of something
        else than amplitudes.
    """
    mtz = _open(path)
    _check_unmerged(mtz, path)
    label = choose_column(mtz, column, intensities, path)
    with np.errstate(invalid="ignore"):
        data = np.array(mtz, copy=True, dtype=np.float64)
    labels = [item.label for item in mtz.columns]
    indices = _indices(data, path)
    plus, minus = pair_of(label, labels) or (label, label)
    values, mates, notes = _amplitudes(mtz, data, (plus, minus), path)
    group, doubts = overruled(group, *_group(mtz, path), path)
    notes += doubts
    return listed_amplitudes(
        indices,
        values,
        cell=_cell_of(mtz, plus),
        group=group,
        dmin=dmin,
        source=path,
        mates=mates,
        notes=(*_choice_notes(mtz, plus, minus, path), *notes),
    )


def _amplitudes(
    mtz: gemmi.Mtz, data: NDArray[np.float64], pair: tuple[str, str], path: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, Notes]:
    """|F| of the first column, of its mates where the pair is one, and what was done."""
    labels = [item.label for item in mtz.columns]
    found: list[NDArray[np.float64]] = []
    notes: Notes = ()
    for label in dict.fromkeys(pair):
        values = _values_of(mtz, data, label)
        kind = mtz.columns[labels.index(label)].type
        if kind in INTENSITIES:
            values, more = roots(values, f"{label} (type {kind})", path)
            notes += more
        found.append(values)
    if len(found) == 1:
        return found[0], None, notes
    mean = mean_of(pair[0], {item.label: item.type for item in mtz.columns})
    if mean is not None:
        values = _values_of(mtz, data, mean)
        found[0], more = filled_by_mean(found[0], found[1], values, mean, path)
        notes += more
    return found[0], found[1], notes


def _values_of(mtz: gemmi.Mtz, data: NDArray[np.float64], label: str) -> NDArray[np.float64]:
    """Values of a column; NaN where the file says that there is none."""
    values = data[:, [item.label for item in mtz.columns].index(label)]
    if np.isfinite(mtz.valm):
        values = np.where(values == mtz.valm, np.nan, values)
    return values


def _choice_notes(mtz: gemmi.Mtz, plus: str, minus: str, path: str) -> Notes:
    """Say which column is |F|, and where it is probably not in electrons."""
    column = mtz.column_with_label(plus)
    which = plus if plus == minus else f"{plus} and {minus}"
    text = f"column {which} (type {column.type}) is |F|"
    if len(mtz.datasets) > 2:
        text += f", of dataset {shown(column.dataset.dataset_name)}"
    notes = [Note("note", path, text)]
    if column.type == "F" and any(item.type == "D" for item in mtz.columns):
        text = "anomalous differences (type D) are not applied: both mates are the mean"
        notes.append(Note("note", path, text))
    if is_unmerged(mtz):
        notes.append(Note("warning", path, "unmerged: observations of one reflection are averaged"))
    if _cell_of(mtz, plus).parameters != mtz.cell.parameters:
        notes.append(Note("note", path, "the cell is that of the column's dataset, not the file's"))
    others = [item.label for item in mtz.columns if item.type in AMPLITUDES]
    return (*notes, *scale_notes(plus, others, path))


def _cell_of(mtz: gemmi.Mtz, label: str) -> gemmi.UnitCell:
    """Cell of the dataset that a column belongs to; the file's where that names none."""
    cell = mtz.get_cell(mtz.column_with_label(label).dataset_id)
    return cell if cell.is_crystal() else mtz.cell


def _group(mtz: gemmi.Mtz, path: str) -> tuple[Group | None, Notes]:
    """Symmetry of the operators (SYMM), else of the name or number (SYMINF)."""
    number = mtz.spacegroup_number
    candidates: list[tuple[str, Group | None]] = [
        ("the operators (SYMM)", listed_operations(_operators(path), path)),
        ("the name (SYMINF)", named_group(mtz.spacegroup_name, mtz.cell)),
        ("number", numbered_group(number, mtz.cell)),
    ]
    return chosen_group(candidates, path)


def _operators(path: str) -> list[str]:
    """Operators of the SYMM records, of which gemmi keeps the count alone."""
    content = read_bytes(path)
    header = content[_header_start(content) :]
    records = [header[place : place + _RECORD] for place in range(0, len(header), _RECORD)]
    return [
        record[len("SYMM") :].decode("latin-1").strip()
        for record in records
        if record.upper().startswith(b"SYMM")
    ]


def _check_unmerged(mtz: gemmi.Mtz, path: str) -> None:
    """Refuse single observations that are intensities, as nearly all are."""
    if is_unmerged(mtz) and not any(item.type == "F" for item in mtz.columns):
        raise InputError(
            "the reflections are not merged: single intensities, before scaling, are no |F|",
            source=path,
            remedy=_UNMERGED,
        )


def mtz_cell(path: str, column: str | None = None) -> CellSix:
    """Return the unit cell (Å, degrees) of an MTZ file, of the dataset of a column if named.

    Raises
    ------
    InputError
    """
    mtz = _open(path)
    labels = [item.label for item in mtz.columns]
    if column not in labels:
        # Without a column the reader's choice decides, with the same rule.
        column = first_choice(mtz)
    return cell_six(mtz.cell if column is None else _cell_of(mtz, column), path)


def _open(path: str) -> gemmi.Mtz:
    _check_sizes(read_bytes(path), path)
    try:
        mtz = gemmi.read_mtz_file(path)
    except (RuntimeError, ValueError, IndexError, OverflowError, MemoryError, OSError) as error:
        raise InputError(f"not a readable MTZ file ({shown(str(error))})", source=path) from error
    if mtz.nreflections == 0 or len(mtz.columns) <= 3:
        raise InputError("the MTZ file lists no reflections", source=path)
    cell_six(mtz.cell, path)
    return mtz


def _check_sizes(content: bytes, path: str) -> None:
    """Refuse a header that promises more data than the file holds, before anything allocates."""
    problem = InputError(
        "not a complete MTZ file", source=path, remedy="the file is truncated or damaged"
    )
    if len(content) < 5 * _WORD or content[:4] != b"MTZ ":
        raise problem
    start = _header_start(content)
    if not 5 * _WORD <= start <= len(content) - _RECORD:
        raise problem
    if b"MTZENDOFHEADERS" not in content[start:]:
        raise problem
    match = re.search(rb"NCOL +(\d{1,9}) +(\d{1,12})", content[start:])
    if match is None:
        raise problem
    columns, rows = int(match.group(1)), int(match.group(2))
    if 20 * _WORD + columns * rows * _WORD > start or columns * rows == 0:
        raise problem


def _header_start(content: bytes) -> int:
    """Place of the header's first record, as the first words of the file say."""
    order = ">" if content[2 * _WORD] == _BIG_ENDIAN else "<"
    (offset,) = struct.unpack(f"{order}i", content[_WORD : 2 * _WORD])
    if offset == -1:
        (offset,) = struct.unpack(f"{order}q", content[3 * _WORD : 5 * _WORD])
    return (int(offset) - 1) * _WORD


def _indices(data: NDArray[np.float64], path: str) -> NDArray[np.int64]:
    indices = data[:, :3]
    if not np.isfinite(indices).all() or (indices != np.rint(indices)).any():
        raise InputError("a Miller index is not a whole number", source=path)
    if np.abs(indices).max() > MAXIMUM_INDEX:
        raise InputError("a Miller index is out of range", source=path)
    return indices.astype(np.int64)
