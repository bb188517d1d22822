"""Text structure factors: one reflection `h k l F` a line."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.groups import Group
from distbragg.read.intensities import IntensityRule, refused_intensities, roots
from distbragg.read.labels import is_amplitude, is_intensity, is_measured, scale_notes
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable, check_box
from distbragg.read.symmetry import listed_amplitudes
from distbragg.read.text import (
    LATIN_MARK,
    Line,
    as_text,
    data_lines_of,
    parse_number,
    read_bytes,
    shown,
)

MAXIMUM_REFLECTIONS: Final = 50_000_000
_COLUMNS: Final = (4, 5, 6)
_INDICES: Final = ("h", "k", "l")
_HEAD_BYTES: Final = 1 << 14
_SEPARATORS: Final = re.compile(r"[\s,;]+")
_SPEAKS_OF_INTENSITY: Final = re.compile(r"(?i)#.*(\bintensit(y|ies)\b|\bF(\^|\*\*)2|F²|\bFsq)")
_WAY_OUT: Final = "ctruncate or phenix.french_wilson"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which column is |F|, what the file calls it, and how many columns a line may have."""

    position: int = 3
    label: str = "F"
    widths: tuple[int, ...] = _COLUMNS
    names: tuple[str, ...] = ()


def read_hkl(
    path: str,
    *,
    column: str | None = None,
    intensities: IntensityRule = "refuse",
    group: Group | None = None,
) -> MillerTable:
    """Read a text list of reflections of the P1 cell.

    Four columns h, k, l, F separated by white space or commas; a fifth and sixth (standard
    deviation, phase) are accepted and not used. `#` starts a comment; blank lines, CRLF and a last
    line without an end are accepted. Where an index is listed twice the last line counts. A line of
    names `h k l …`, first or in a comment, is believed.

    Parameters
    ----------
    path : str
    column : str, optional
        Name of the column of |F|, of a list that names its columns.
    intensities : {"refuse", "root"}
        What to do where the names say that the column holds intensities.
    group : Group, optional
        Expands the list; without it the list is taken as it stands.

    Returns
    -------
    MillerTable
        indices (n, 3) and amplitudes (n,), electrons.

    Raises
    ------
    InputError
        Names file and line: wrong number of columns, not a number, NaN, infinite,
        a fractional index, or indices that span too large a box; no such column, intensities.
    """
    content = read_bytes(path)
    names, content = _names(content, column)
    layout = _layout(names, column, path)
    if is_intensity(layout.label) and intensities == "refuse":
        raise refused_intensities(f"column '{layout.label}'", path, _WAY_OUT)
    table = _read_fast(content, layout)
    if table is None:
        table = _read_slow(content, layout, path)
    check_box(table.indices, path)
    amplitude, notes = table.amplitude, _notes(content, layout, table.amplitude, path)
    if is_intensity(layout.label):
        amplitude, notes = roots(amplitude, layout.label, path)
    if group is None:
        return MillerTable(table.indices, amplitude, notes)
    return listed_amplitudes(
        table.indices, np.abs(amplitude), cell=None, group=group, dmin=None, source=path,
        notes=notes,
    )  # fmt: skip


def _names(content: bytes, column: str | None) -> tuple[tuple[str, ...], bytes]:
    """Find the line that names the columns; where it is no comment it is made one.

    A comment that begins `h k l` somewhere counts where it names |F|, an intensity, or the
    column asked for; other comments are prose.
    """
    for line in _head_lines(content):
        comment = line.lstrip().startswith("#")
        words = [word.strip("\"'") for word in _SEPARATORS.split(line.strip(" \t#!")) if word]
        lower = [word.lower() for word in words]
        starts = [at for at in range(len(words) - 3) if lower[at : at + 3] == list(_INDICES)]
        if comment and starts:
            names = tuple(words[starts[0] :])
            asked = column is not None and column.lower() in lower
            if asked or any(is_amplitude(name) or is_intensity(name) for name in names[3:]):
                return names, content
        elif starts[:1] == [0]:
            return tuple(words), content.replace(line.encode("latin-1"), b"#", 1)
        if line.strip() and not comment:
            break
    return (), content


def _head_lines(content: bytes) -> list[str]:
    head = content[:_HEAD_BYTES].decode("latin-1").removeprefix(LATIN_MARK)
    return re.split(r"\r\n|\n|\r", head)


def _layout(names: tuple[str, ...], column: str | None, path: str) -> _Layout:
    if not names:
        if column is not None:
            raise InputError(
                "the list does not name its columns",
                source=path,
                field="structure_factors.column",
                remedy="leave it out, or write a first line such as '# h k l F sigma'",
            )
        return _Layout()
    widths = tuple(sorted({*_COLUMNS, len(names)}))
    lower = [name.lower() for name in names]
    if column is not None:
        if column.lower() not in lower[3:]:
            raise InputError(
                f"no column '{shown(column)}'",
                source=path,
                field="structure_factors.column",
                remedy=f"it has {' '.join(names[3:])}",
            )
        position = 3 + lower[3:].index(column.lower())
        return _Layout(position, names[position], widths, names)
    places = range(3, len(names))
    found = [place for place in places if is_amplitude(names[place])]
    found += [place for place in places if is_intensity(names[place])]
    if not found and len(names) > _COLUMNS[0]:
        raise InputError(
            f"none of its columns is named |F|: {shown(' '.join(names[3:]))}",
            source=path,
            field="structure_factors.column",
            remedy="name the one that is",
        )
    position = found[0] if found else 3
    return _Layout(position, names[position], widths, names)


def _notes(content: bytes, layout: _Layout, amplitude: NDArray[np.float64], path: str) -> Notes:
    """Say which column was taken where that is not plain, and of amplitudes below zero."""
    notes: list[Note] = []
    if layout.names:
        notes.append(Note("note", path, f"column {layout.label} is |F|"))
        if is_measured(layout.label):
            notes += scale_notes(layout.label, layout.names[3:], path)
    elif _width(content) > _COLUMNS[0]:
        text = (
            "the fourth of more than four columns without names is taken as |F| in electrons; for "
            "F² and σ give structure_factors.format: hklf4"
        )
        notes.append(Note("warning", path, text))
    spoken = [line for line in _head_lines(content) if _SPEAKS_OF_INTENSITY.search(line)]
    if spoken and not layout.names:
        text = f"a comment speaks of intensities ('{shown(spoken[0].strip())}'), yet F is read"
        notes.append(Note("warning", path, f"{text}; name the columns: # h k l I"))
    negative = int((amplitude < 0.0).sum())
    if negative:
        text = f"{negative} amplitudes are negative: only squares count; are they intensities?"
        notes.append(Note("warning", path, text))
    return tuple(notes)


def _width(content: bytes) -> int:
    """Columns of the first line of data."""
    line = next(data_lines_of(content[:_HEAD_BYTES].decode("latin-1"), ""), None)
    return 0 if line is None else len(line.fields)


def _read_fast(content: bytes, layout: _Layout) -> MillerTable | None:
    """Read a regular file through numpy's own parser; None sends the caller to the slow one."""
    if b"\0" in content or b"," in content or b";" in content:
        return None
    # numpy sets aside room for as many rows as it may read.
    lines = content.count(b"\n") + content.count(b"\r") + 1
    rows = min(lines, MAXIMUM_REFLECTIONS + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = np.loadtxt(io.BytesIO(content), comments="#", ndmin=2, max_rows=rows)
    except (ValueError, UnicodeDecodeError):
        return None
    return _from_values(values, layout)


def _from_values(values: NDArray[np.float64], layout: _Layout) -> MillerTable | None:
    rows, columns = values.shape
    if (
        columns not in layout.widths
        or columns <= layout.position
        or rows == 0
        or rows > MAXIMUM_REFLECTIONS
    ):
        return None
    if not np.isfinite(values[:, [0, 1, 2, layout.position]]).all():
        return None
    indices = values[:, :3]
    if (np.abs(indices) > MAXIMUM_INDEX).any() or (indices != np.rint(indices)).any():
        return None
    return MillerTable(indices.astype(np.int64), values[:, layout.position].copy())


def _read_slow(content: bytes, layout: _Layout, path: str) -> MillerTable:
    indices: list[tuple[int, int, int]] = []
    amplitudes: list[float] = []
    for line in data_lines_of(as_text(content, path), path):
        h, k, ell, amplitude = _parse_line(line, layout)
        indices.append((h, k, ell))
        amplitudes.append(amplitude)
        if len(amplitudes) > MAXIMUM_REFLECTIONS:
            raise InputError(f"more than {MAXIMUM_REFLECTIONS} reflections", source=path)
    if not indices:
        raise InputError(
            "the file lists no reflections", source=path, remedy="expected lines 'h k l F'"
        )
    return MillerTable(
        np.array(indices, dtype=np.int64).reshape(-1, 3), np.array(amplitudes, dtype=np.float64)
    )


def _parse_line(line: Line, layout: _Layout) -> tuple[int, int, int, float]:
    if len(line.fields) not in layout.widths or len(line.fields) <= layout.position:
        raise InputError(
            f"{len(line.fields)} columns",
            source=line.place,
            remedy=f"expected '{' '.join(layout.names) or 'h k l F'}'",
        )
    numbers = [
        parse_number(line.fields[position], line, name)
        for position, name in ((0, "h"), (1, "k"), (2, "l"), (layout.position, layout.label))
    ]
    for value, name in zip(numbers[:3], _INDICES, strict=True):
        if value != round(value):
            raise InputError(
                f"index {name} = {value:g} is not a whole number",
                source=line.place,
                remedy="list reflections at whole Miller indices",
            )
        if abs(value) > MAXIMUM_INDEX:
            raise InputError(f"index {name} = {value:g} is out of range", source=line.place)
    return int(numbers[0]), int(numbers[1]), int(numbers[2]), numbers[3]
