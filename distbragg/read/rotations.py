"""The reader of lists of rotation matrices: `.npy` arrays, and text of nine numbers a line."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError, unreadable
from distbragg.matrices import determinant3, matmul3, orthogonal_part, transposed
from distbragg.read.table import read_table
from distbragg.read.text import first_bytes, read_bytes

MAXIMUM_ROTATIONS: Final = 1_000_000

_MAGIC: Final = b"\x93NUMPY"
_MAXIMUM_BYTES: Final = 1 << 28
_ROUNDED: Final = 1e-3
"""Largest departure of RᵀR from the identity that rounded tables are forgiven."""

_NAMES: Final = {place: f"element {place // 3 + 1},{place % 3 + 1}" for place in range(9)}


def read_rotations(path: str) -> NDArray[np.float64]:
    """Read rotation matrices, (n, 3, 3); each is made the rotation nearest to what was written.

    An `.npy` array is (n, 3, 3), or (3, 3) of one; a line of text is one matrix, rows first.
    """
    if first_bytes(path, len(_MAGIC)) == _MAGIC:
        matrices = _of_npy(path)
    else:
        content = read_bytes(path, _MAXIMUM_BYTES)
        table = read_table(
            content,
            path,
            _NAMES,
            widths=(9,),
            most=MAXIMUM_ROTATIONS,
            of="rotation matrices",
            expected="r11 r12 r13 r21 r22 r23 r31 r32 r33",
        )
        matrices = table.values.reshape(-1, 3, 3)
    far = np.abs(matmul3(transposed(matrices), matrices) - np.eye(3)).max(axis=(1, 2))
    wrong = ~(far <= _ROUNDED) | ~(determinant3(matrices) > 0.0)
    if wrong.any():
        number = int(np.argmax(wrong))
        raise InputError(
            f"matrix {number + 1} is not a rotation: RᵀR differs from the identity by "
            f"{far[number]:.2g}, its determinant is {float(determinant3(matrices[number])):.3g}",
            source=path,
            remedy="give rotations alone, rows first, without the cell",
        )
    return orthogonal_part(matrices)


def _of_npy(path: str) -> NDArray[np.float64]:
    """Read an array mapped first, so that a header promising a huge one allocates nothing."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, TypeError) as error:
        raise unreadable(error, path, form="a .npy array") from error
    fits = array.shape[-2:] == (3, 3) and array.ndim in (2, 3) and array.dtype.kind in "iuf"
    if not fits or not 0 < array.size <= 9 * MAXIMUM_ROTATIONS:
        raise InputError(
            f"an array of shape {array.shape} and type {array.dtype}",
            source=path,
            remedy=f"rotation matrices are (n, 3, 3) numbers, at most {MAXIMUM_ROTATIONS}",
        )
    matrices = np.array(array, dtype=np.float64).reshape(-1, 3, 3)
    if not np.isfinite(matrices).all():
        raise InputError("the array holds NaN or infinite values", source=path)
    return matrices
