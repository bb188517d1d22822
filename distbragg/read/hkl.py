"""Text structure factors: one reflection `h k l F` a line."""

from __future__ import annotations

import io
import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable, check_box
from distbragg.read.text import Line, data_lines, parse_number, read_bytes

MAXIMUM_REFLECTIONS: Final = 50_000_000
_COLUMNS: Final = (4, 5, 6)
_NAMES = ("h", "k", "l", "F")


def read_hkl(path: str) -> MillerTable:
    """Read a text list of reflections of the P1 cell.

    Four columns h, k, l, F separated by white space or commas; a fifth and sixth (standard
    deviation, phase) are accepted and not used. `#` starts a comment; blank lines, CRLF and a last
    line without an end are accepted. Where an index is listed twice the last line counts.

    Returns
    -------
    MillerTable
        indices (n, 3) and amplitudes (n,), electrons.

    Raises
    ------
    InputError
        Names file and line: wrong number of columns, not a number, NaN, infinite,
        a fractional index, or indices that span too large a box.
    """
    table = _read_fast(path)
    if table is None:
        table = _read_slow(path)
    check_box(table.indices, path)
    return table


def _read_fast(path: str) -> MillerTable | None:
    """Read a regular file through numpy's own parser; None sends the caller to the slow one."""
    content = read_bytes(path)
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
    return _from_values(values)


def _from_values(values: NDArray[np.float64]) -> MillerTable | None:
    rows, columns = values.shape
    if columns not in _COLUMNS or rows == 0 or rows > MAXIMUM_REFLECTIONS:
        return None
    if not np.isfinite(values).all():
        return None
    indices = values[:, :3]
    if (np.abs(indices) > MAXIMUM_INDEX).any() or (indices != np.rint(indices)).any():
        return None
    return MillerTable(indices.astype(np.int64), values[:, 3].copy())


def _read_slow(path: str) -> MillerTable:
    indices: list[tuple[int, int, int]] = []
    amplitudes: list[float] = []
    for line in data_lines(path):
        h, k, ell, amplitude = _parse_line(line)
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


def _parse_line(line: Line) -> tuple[int, int, int, float]:
    if len(line.fields) not in _COLUMNS:
        raise InputError(
            f"{len(line.fields)} columns", source=line.place, remedy="expected 'h k l F'"
        )
    numbers = [
        parse_number(text, line, name) for text, name in zip(line.fields, _NAMES, strict=False)
    ]
    for value, name in zip(numbers[:3], _NAMES, strict=False):
        if value != round(value):
            raise InputError(
                f"index {name} = {value:g} is not a whole number",
                source=line.place,
                remedy="list reflections at whole Miller indices",
            )
        if abs(value) > MAXIMUM_INDEX:
            raise InputError(f"index {name} = {value:g} is out of range", source=line.place)
    return int(numbers[0]), int(numbers[1]), int(numbers[2]), numbers[3]
