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

_JACOBI_SWEEPS: Final = 8
"""Of a 3 × 3 matrix three or four are enough: the error is squared by each once it is small."""

_RIGHT_ANGLE: Final = 2.0**-56

_VANISHING: Final = 2.0**-40
_FORGIVEN: Final = 1e-5
"""Of a covariance: what is left of a variance that is nothing but rounding, and by what share of
two standard deviations a product may be missed by numbers that were rounded to be read."""

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

    Only the lower triangle of the matrices (..., 3, 3) is read; ValueError where one is not
    positive definite.
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


def covariance_root(matrix: Float64Array) -> Float64Array:
    """Return the lower triangle L of one symmetric positive semi-definite matrix, L Lᵀ = matrix.

    `cholesky3`, but that a column whose variance is taken up by those before it is 0. ValueError
    where no L gives the matrix, which may have any number of rows.
    """
    size = len(matrix)
    lower = np.zeros((size, size), dtype=np.float64)
    for column in range(size):
        rest = matrix[:, column] - sum(lower[:, j] * lower[column, j] for j in range(column))
        if rest[column] > _VANISHING * matrix[column, column]:
            lower[column:, column] = rest[column:] / np.sqrt(rest[column])
    missed = np.abs((lower[:, None, :] * lower[None, :, :]).sum(-1) - matrix)
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    if not (missed <= _FORGIVEN * scale[:, None] * scale).all():
        raise ValueError("the matrix is not positive semi-definite")
    return lower


def singular_values3(matrix: Float64Array) -> Float64Array:
    """Return the singular values of (..., 3, 3) matrices, (..., 3), in no order.

    One-sided Jacobi rotations (G. H. Golub and C. F. Van Loan, *Matrix Computations*, 8.6.3)
    make the columns orthogonal; their lengths are the values, to full relative precision.
    """
    columns = [np.array(matrix[..., :, index], dtype=np.float64) for index in range(3)]
    for _ in range(_JACOBI_SWEEPS):
        for first, second in ((0, 1), (0, 2), (1, 2)):
            one, other = columns[first], columns[second]
            across = dot3(one, other)
            # Columns at right angles but for rounding stay as they are.
            apart = np.abs(across) > _RIGHT_ANGLE * norm3(one) * norm3(other)
            ratio = (dot3(other, other) - dot3(one, one)) / np.where(apart, 2.0 * across, 1.0)
            tangent = np.copysign(1.0, ratio) / (np.abs(ratio) + np.sqrt(1.0 + ratio * ratio))
            tangent = np.where(apart, tangent, 0.0)
            cosine = 1.0 / np.sqrt(1.0 + tangent * tangent)
            cosine, sine = cosine[..., None], (cosine * tangent)[..., None]
            columns[first] = cosine * one - sine * other
            columns[second] = sine * one + cosine * other
    return np.stack([norm3(column) for column in columns], axis=-1)


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
