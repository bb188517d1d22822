"""Merged reflection lists of CrystFEL: a header, a point group, h k l I phase sigma(I) nmeas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.groups import Group, overruled, point_group, symbol_of
from distbragg.read.intensities import IntensityRule, refused_intensities, roots
from distbragg.read.labels import is_amplitude, is_intensity
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable
from distbragg.read.symmetry import listed_amplitudes
from distbragg.read.text import Line, data_lines_of, parse_number, read_text, shown

_WAY_OUT: Final = (
    "get_hkl --output-format=mtz (or CrystFEL's create-mtz) and ctruncate, and give the MTZ"
)


@dataclass(frozen=True, slots=True)
class _Header:
    symmetry: str
    columns: tuple[str, ...]
    rows: int
    """Line number of the column names."""


def read_crystfel_list(
    path: str, *, intensities: IntensityRule = "refuse", group: Group | None = None
) -> MillerTable:
    """Read a merged list and expand it by its point group.

    Parameters
    ----------
    path : str
    intensities : {"refuse", "root"}
    group : Group, optional
        In place of the point group of the file.

    Raises
    ------
    InputError
        Names file and line: intensities where none are asked for, an unknown point group, a
        damaged line, no `End of reflections`.
    """
    text = read_text(path)
    header = _header(text, path)
    group, doubts = overruled(group, point_group(header.symmetry), (), path)
    if group is None:
        raise InputError(
            f"unknown point group '{shown(header.symmetry)}'",
            source=path,
            remedy="give structure_factors.space_group",
        )
    label = header.columns[3]
    if is_intensity(label) and intensities == "refuse":
        raise refused_intensities(
            f"column '{label}' of this merged list of CrystFEL", path, _WAY_OUT
        )
    if not is_intensity(label) and not is_amplitude(label):
        raise InputError(f"column '{shown(label)}' is neither I nor F", source=path)
    indices, values = _rows(text, header, path)
    notes: Notes = (
        Note("note", path, f"column {label} of CrystFEL, expanded by {_name(header, group)}"),
        Note("warning", path, "measured: the scale is arbitrary unless it was put on one"),
    )
    notes += doubts
    if is_intensity(label):
        values, more = roots(values, label, path)
        notes += more
    return listed_amplitudes(
        indices, values, cell=None, group=group, dmin=None, source=path, notes=notes
    )


def _name(header: _Header, group: Group) -> str:
    own = point_group(header.symmetry)
    return (
        f"point group {header.symmetry}" if own is not None and own == group else symbol_of(group)
    )


def _header(text: str, path: str) -> _Header:
    symmetry = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("Symmetry:"):
            symmetry = line.split(":", 1)[1].strip()
        columns = tuple(line.split())
        if [name.lower() for name in columns[:3]] == ["h", "k", "l"] and len(columns) > 3:
            if not symmetry:
                break
            return _Header(symmetry, columns, number)
        if re.match(r"\s*-?\d", line):
            break
    raise InputError(
        "a list of CrystFEL without 'Symmetry:' or the names of its columns",
        source=path,
        remedy="fetch the file again, or write 'h k l F' lines",
    )


def _rows(text: str, header: _Header, path: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    body = "\n" * header.rows + "\n".join(text.splitlines()[header.rows :])
    indices: list[tuple[int, ...]] = []
    values: list[float] = []
    for line in data_lines_of(body, path):
        if line.fields[:3] == ("End", "of", "reflections"):
            return np.array(indices, dtype=np.int64).reshape(-1, 3), np.array(values)
        if len(line.fields) != len(header.columns):
            raise InputError(
                f"{len(line.fields)} columns where the header names {len(header.columns)}",
                source=line.place,
            )
        indices.append(tuple(_index(line, place) for place in range(3)))
        values.append(parse_number(line.fields[3], line, header.columns[3]))
    raise InputError(
        "no 'End of reflections': the file is truncated", source=path, remedy="fetch it again"
    )


def _index(line: Line, place: int) -> int:
    value = parse_number(line.fields[place], line, "hkl"[place])
    if value != round(value) or abs(value) > MAXIMUM_INDEX:
        raise InputError(f"index {'hkl'[place]} = {value:g} is out of range", source=line.place)
    return int(value)
