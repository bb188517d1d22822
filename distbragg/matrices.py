"""The algebra of 3 × 3 matrices in plain sums.

Orientation matrices and cell metrics enter hashes and images, and a linear-algebra library
rounds its products differently on different processors. Here every product and sum is one
IEEE operation in a fixed order, so that equal input gives equal bits wherever Python runs.

Arrays may carry leading axes, which broadcast: (..., 3, 3) and (..., 3).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

_NEWTON_STEPS: Final = 12
"""Far more than a matrix needs that is a rotation but for rounding: the error is squared."""


def matmul3(*factors: Float64Array) -> Float64Array:
    """Product of (..., 3, 3) matrices, the leftmost two first."""
    product = factors[0]
    for factor in factors[1:]:
        product = (
            product[..., :, 0, None] * factor[..., None, 0, :]
            + product[..., :, 1, None] * factor[..., None, 1, :]
            + product[..., :, 2, None] * factor[..., None, 2, :]
        )
    return np.asarray(product)


def apply3(matrix: Float64Array, vector: ArrayLike) -> Float64Array:
    """Product of (..., 3, 3) matrices and (..., 3) vectors."""
    parts = np.asarray(vector, dtype=np.float64)[..., None, :]
    return np.asarray(
        matrix[..., :, 0] * parts[..., 0]
        + matrix[..., :, 1] * parts[..., 1]
        + matrix[..., :, 2] * parts[..., 2]
    )


def dot3(first: ArrayLike, second: ArrayLike) -> Float64Array:
    """Scalar product of (..., 3) vectors."""
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return np.asarray(
        one[..., 0] * other[..., 0] + one[..., 1] * other[..., 1] + one[..., 2] * other[..., 2]
    )


def norm3(vector: ArrayLike) -> Float64Array:
    """Euclidean length of (..., 3) vectors."""
    return np.asarray(np.sqrt(dot3(vector, vector)))


def transposed(matrix: Float64Array) -> Float64Array:
    """Rows and columns exchanged, (..., 3, 3)."""
    return np.swapaxes(matrix, -1, -2)


def determinant3(matrix: Float64Array) -> Float64Array:
    """First row times the cofactors of its elements, of (..., 3, 3) matrices."""
    return dot3(matrix[..., 0, :], _cofactors(matrix)[..., 0, :])


def inverse3(matrix: Float64Array) -> Float64Array:
    """Inverse of (..., 3, 3) matrices: the transposed cofactors over the determinant.

    A singular matrix gives infinities or NaN, with numpy's warning.
    """
    cofactors = _cofactors(matrix)
    determinant = dot3(matrix[..., 0, :], cofactors[..., 0, :])
    return np.asarray(transposed(cofactors) / determinant[..., None, None])


def cholesky3(matrix: Float64Array) -> Float64Array:
    """Return the lower triangle L of a symmetric positive definite matrix, L Lᵀ = matrix.

    Parameters
    ----------
    matrix : (..., 3, 3) float64
        Only its lower triangle is read.

    Raises
    ------
    ValueError
        The matrix is not positive definite.
    """
    lower = np.zeros(matrix.shape, dtype=np.float64)
    for row in range(3):
        for column in range(row + 1):
            rest = matrix[..., row, column]
            for before in range(column):
                rest = rest - lower[..., row, before] * lower[..., column, before]
            if row != column:
                lower[..., row, column] = rest / lower[..., column, column]
            elif not (rest > 0.0).all():
                raise ValueError("the matrix is not positive definite")
            else:
                lower[..., row, row] = np.sqrt(rest)
    return lower


def orthogonal_part(matrix: Float64Array) -> Float64Array:
    """Return the orthogonal matrix nearest to an invertible one, (..., 3, 3).

    The polar factor Q of M = Q S by Newton's iteration M → (M + M⁻ᵀ)/2 (N. J. Higham, SIAM J.
    Sci. Stat. Comput. 7, 1160, 1986), which squares its error at each step once near; it stops
    where a step changes no bit or no longer comes closer.
    """
    nearest = np.asarray(matrix, dtype=np.float64)
    change = np.inf
    for _ in range(_NEWTON_STEPS):
        following = 0.5 * (nearest + transposed(inverse3(nearest)))
        step = float(np.abs(following - nearest).max())
        if not step < change:
            break
        nearest, change = following, step
    return nearest


def _cofactors(matrix: Float64Array) -> Float64Array:
    """Cofactors of (..., 3, 3) matrices: row i is the vector product of the next two rows."""
    rows = np.empty(matrix.shape, dtype=np.float64)
    for row in range(3):
        first, second = matrix[..., (row + 1) % 3, :], matrix[..., (row + 2) % 3, :]
        for axis in range(3):
            right, left = (axis + 1) % 3, (axis + 2) % 3
            rows[..., row, axis] = (
                first[..., right] * second[..., left] - first[..., left] * second[..., right]
            )
    return rows
