"""Tables of a point spread: shares of one photon by displacement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.smv import NPY_MAGIC, mapped_npy
from distbragg.read.table import read_table
from distbragg.read.text import first_bytes, read_bytes


def read_kernel(path: str, most: int) -> NDArray[np.float64]:
    """Read shares by displacement, (odd, odd) slow and fast, of an `.npy` array or a text.

    No share is negative, and some are not 0. `most` is of rows and of columns.
    """
    array = read_rows(path, most, "share")
    rows, columns = array.shape
    if rows % 2 == 0 or columns % 2 == 0 or max(rows, columns) > most:
        raise InputError(
            f"{rows} rows of {columns} shares",
            source=path,
            remedy=f"both are odd, so that one pixel is the middle, and at most {most}",
        )
    shares = np.array(array, dtype=np.float64)
    if not np.isfinite(shares).all() or (shares < 0.0).any() or not shares.any():
        raise InputError("shares are finite, not negative, and not all 0", source=path)
    return shares


def read_rows(path: str, most: int, of: str) -> NDArray[np.float64]:
    """Read numbers in rows of one length, an `.npy` array or a text.

    `most` is of rows and of columns; `of`: what a number is, for messages.
    """
    if first_bytes(path, len(NPY_MAGIC)) == NPY_MAGIC:
        return np.asarray(mapped_npy(path, f"a table of {of}s"))
    content = read_bytes(path)
    lines = (line.split(b"#")[0] for line in content.splitlines())
    first = next((words for line in lines if (words := line.replace(b",", b" ").split())), [])
    columns = {index: f"{of} {index + 1}" for index in range(min(len(first), most + 1))}
    table = read_table(content, path, columns, widths=(len(columns),), most=most, of="rows")
    return table.values
