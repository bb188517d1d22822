"""Three-vectors in plain Python floats.

Scalars, in one fixed order of operations: the cell vectors decide automatic choices
(sizes and oversampling are rounded up), so they must not depend on a linear-algebra library.
Products of matrices are in `distbragg.matrices`.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from distbragg.models.arrays import Float64Array

Vector = tuple[float, float, float]

Number: TypeAlias = Any
"""A float, a numpy array or a torch tensor."""


def components(vector: ArrayLike) -> Vector:
    """Return the components of a vector (3,) as floats."""
    x, y, z = np.asarray(vector, dtype=np.float64).tolist()
    return x, y, z


def dot(first: Vector, second: Vector) -> float:
    """Scalar product."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def cross(first: Vector, second: Vector) -> Vector:
    """Vector product."""
    return (
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    )


def norm(vector: Vector) -> float:
    """Euclidean length."""
    return math.sqrt(dot(vector, vector))


def scale(vector: Vector, factor: float) -> Vector:
    """Vector times a number."""
    return factor * vector[0], factor * vector[1], factor * vector[2]


def unit(vector: Vector) -> Vector:
    """Return the unit vector; the zero vector stays zero."""
    length = norm(vector)
    if length == 0.0:
        return 0.0, 0.0, 0.0
    return vector[0] / length, vector[1] / length, vector[2] / length


def combine(*terms: tuple[float, Vector]) -> Vector:
    """Sum of factor times vector, in the order given."""
    total = (0.0, 0.0, 0.0)
    for factor, vector in terms:
        total = (
            total[0] + factor * vector[0],
            total[1] + factor * vector[1],
            total[2] + factor * vector[2],
        )
    return total


def rotate_xyz(vector: Vector, angles: Vector) -> Vector:
    """Rotate about the laboratory x, then y, then z axis (right-handed, radians)."""
    x, y, z = vector
    about_x, about_y, about_z = angles
    if about_x != 0.0:
        cosine, sine = math.cos(about_x), math.sin(about_x)
        y, z = y * cosine - z * sine, y * sine + z * cosine
    if about_y != 0.0:
        cosine, sine = math.cos(about_y), math.sin(about_y)
        x, z = x * cosine + z * sine, z * cosine - x * sine
    if about_z != 0.0:
        cosine, sine = math.cos(about_z), math.sin(about_z)
        x, y = x * cosine - y * sine, x * sine + y * cosine
    return x, y, z


def rotate_about(vector: Vector, axis: Vector, angle: float) -> Vector:
    """Rotate about a unit axis through the origin (radians)."""
    x, y, z = turn_about(vector, axis, math.sin(angle), math.cos(angle))
    return x, y, z


def turn_about(
    vector: tuple[Number, Number, Number], axis: Vector, sine: Number, cosine: Number
) -> tuple[Number, Number, Number]:
    """Rotate about a unit axis by an angle of which sine and cosine are given (Rodrigues)."""
    u, v, w = axis
    x, y, z = vector
    along = (u * x + v * y + w * z) * (1.0 - cosine)
    return (
        u * along + x * cosine + (v * z - w * y) * sine,
        v * along + y * cosine + (w * x - u * z) * sine,
        w * along + z * cosine + (u * y - v * x) * sine,
    )


def rotation_about(axis: Vector, angle: float) -> Float64Array:
    """Return the (3, 3) matrix of `rotate_about`."""
    columns = [
        rotate_about(basis, axis, angle)
        for basis in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    ]
    return np.array(columns, dtype=np.float64).T.copy()


def apply_matrix(matrix: Float64Array, vector: Vector) -> Vector:
    """Matrix (3, 3) times vector, in scalars."""
    first, second, third = (
        row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2] for row in matrix.tolist()
    )
    return first, second, third
