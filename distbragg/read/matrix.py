"""MOSFLM orientation matrices."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.text import data_lines, parse_number

_MAXIMUM_BYTES: Final = 1 << 20
_NUMBERS: Final = 9


def read_matrix(path: str) -> NDArray[np.float64]:
    """Read the nine leading numbers of a MOSFLM matrix file.

    The rows are laboratory x, y, z and the columns a*, b*, c*, in units of 1/wavelength
    (dimensionless); what follows the ninth number (missets, the U matrix, the cell) is not
    used.

    Returns
    -------
    (3, 3) float64
        As written in the file.

    Raises
    ------
    InputError
        Fewer than nine numbers, or something that is no finite number among them.
    """
    values: list[float] = []
    for line in data_lines(path, limit=_MAXIMUM_BYTES):
        for position, text in enumerate(line.fields):
            if len(values) == _NUMBERS:
                break
            values.append(parse_number(text, line, f"column {position + 1}"))
        if len(values) == _NUMBERS:
            return np.array(values, dtype=np.float64).reshape(3, 3)
    raise InputError(
        f"{len(values)} numbers where an orientation matrix has nine",
        source=path,
        remedy="expected three rows of a*, b*, c*",
    )
