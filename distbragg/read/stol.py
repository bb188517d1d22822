"""Tables of an amorphous material's amplitude against sin(theta)/lambda."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.text import data_lines, parse_number

MAXIMUM_ROWS: Final = 1_000_000
_COLUMNS: Final = 2


def read_stol(path: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a table of two columns, sin(theta)/lambda (1/Å, increasing) and F (electrons).

    Returns
    -------
    stol, amplitude : (n,) float64
        The abscissa as written: `background.stol_scale` turns other abscissae into stol.

    Raises
    ------
    InputError
        Names file and line: not two columns, not a finite number, a negative or
        non-increasing abscissa; or an empty table.
    """
    stol: list[float] = []
    amplitude: list[float] = []
    for line in data_lines(path):
        if len(line.fields) != _COLUMNS:
            raise InputError(
                f"{len(line.fields)} columns",
                source=line.place,
                remedy="expected 'sin(theta)/lambda F'",
            )
        abscissa = parse_number(line.fields[0], line, "sin(theta)/lambda")
        value = parse_number(line.fields[1], line, "F")
        if abscissa < 0.0 or (stol and abscissa <= stol[-1]):
            raise InputError(
                f"sin(theta)/lambda = {abscissa:g} does not increase",
                source=line.place,
                remedy="sort the table by its first column",
            )
        stol.append(abscissa)
        amplitude.append(value)
        if len(stol) > MAXIMUM_ROWS:
            raise InputError(f"more than {MAXIMUM_ROWS} rows", source=path)
    if not stol:
        raise InputError("the table is empty", source=path)
    return np.array(stol, dtype=np.float64), np.array(amplitude, dtype=np.float64)
