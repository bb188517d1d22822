"""Frozen arrays, three-vectors in plain Python floats, and the vectors of a unit cell.

Scalars, in one fixed order of operations: the cell vectors decide automatic choices
(sizes and oversampling are rounded up), so they must not depend on a linear-algebra library.
Products of matrices are in `distbragg.matrices`.

`physics: nanobragg` follows the C program's construction of the cell, whose third reciprocal
vector has z = c* V/(abc sin γ*) where V*/(a*b*c*) belongs: a triclinic cell comes out with angles
up to a few hundredths of a degree off, and the reciprocal vectors are not exactly dual.
`physics: exact` uses the correct height and the true dual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.errors import InputError
from distbragg.spec.crystal import check_cell
from distbragg.units import deg_to_rad

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Vector = tuple[float, float, float]
Triad = tuple[Vector, Vector, Vector]
Physics = Literal["exact", "nanobragg"]

Number: TypeAlias = Any  # a float, a numpy array or a torch tensor
X: Final[Vector] = (1.0, 0.0, 0.0)
Y: Final[Vector] = (0.0, 1.0, 0.0)
Z: Final[Vector] = (0.0, 0.0, 1.0)

_CELLS_KEPT = 4  # cells a process keeps: the frames of a sweep mostly share one


def frozen_float64(values: object) -> Float64Array:
    """Return `values` as a C-contiguous, read-only float64 array."""
    array = np.array(values, dtype=np.float64, order="C", copy=True)
    array.setflags(write=False)
    return array


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


def direction_of(vector: Vector, field: str) -> Vector:
    """Return the unit vector of a direction that `field` gives; refuse the zero vector."""
    length = norm(vector)
    if not 0.0 < length < math.inf:
        raise InputError("a direction cannot have length zero", field=field)
    return unit(vector)


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


def angle(first: Vector, second: Vector) -> float:
    """Angle between two vectors, rad."""
    return math.atan2(norm(cross(first, second)), dot(first, second))


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
    columns = [rotate_about(basis, axis, angle) for basis in (X, Y, Z)]
    return np.array(columns, dtype=np.float64).T.copy()


def rotated(matrix: Float64Array, vectors: Triad) -> Triad:
    """Apply a matrix (3, 3) to each of three vectors, in scalars."""
    x, y, z = matrix.tolist()
    first, second, third = ((dot(x, one), dot(y, one), dot(z, one)) for one in vectors)
    return first, second, third


@dataclass(frozen=True, slots=True)
class CellParameters:
    """Cell lengths (Å), angles (rad) and volume (Å³)."""

    lengths: Vector
    angles: Vector
    volume: float


@lru_cache(maxsize=_CELLS_KEPT)
def cell_parameters(cell: tuple[float, float, float, float, float, float]) -> CellParameters:
    """Check a cell in Å and degrees (`spec.crystal.check_cell`).

    The volume is 2abc·sqrt(sin s · sin(s−α) · sin(s−β) · sin(s−γ)), s = (α+β+γ)/2.
    """
    try:
        check_cell(cell)
    except ValueError as error:
        raise InputError(str(error), field="crystal.cell") from None
    alpha, beta, gamma = (deg_to_rad(degrees) for degrees in cell[3:])
    half = (alpha + beta + gamma) / 2.0
    parts = (math.sin(half), math.sin(half - alpha), math.sin(half - beta), math.sin(half - gamma))
    skew = parts[0] * parts[1] * parts[2] * parts[3]
    volume = 2.0 * cell[0] * cell[1] * cell[2] * math.sqrt(max(skew, 0.0))
    if not 0.0 < volume < math.inf:
        said = f"the cell has no usable volume ({volume:g} cubic angstrom)"
        raise InputError(said, field="crystal.cell")
    return CellParameters((cell[0], cell[1], cell[2]), (alpha, beta, gamma), volume)


@lru_cache(maxsize=_CELLS_KEPT)
def standard_reciprocal(cell: CellParameters, physics: Physics) -> Triad:
    """Reciprocal vectors, 1/Å, in the standard setting: a* along x, b* in the xy plane."""
    a, b, c = cell.lengths
    alpha, beta, gamma = cell.angles
    density = 1.0 / cell.volume
    a_star = b * c * math.sin(alpha) * density
    b_star = c * a * math.sin(beta) * density
    c_star = a * b * math.sin(gamma) * density
    sin_gamma_star = min(c * density / a_star / b_star, 1.0)
    cosines = [math.cos(angle) for angle in cell.angles]
    sines = [math.sin(angle) for angle in cell.angles]
    cos_alpha_star = (cosines[1] * cosines[2] - cosines[0]) / (sines[1] * sines[2])
    cos_beta_star = (cosines[2] * cosines[0] - cosines[1]) / (sines[2] * sines[0])
    cos_gamma_star = (cosines[0] * cosines[1] - cosines[2]) / (sines[0] * sines[1])
    if physics == "nanobragg":
        height = c_star * cell.volume / (a * b * c * sin_gamma_star)
    else:
        height = density / (a_star * b_star * sin_gamma_star)
    return (
        (a_star, 0.0, 0.0),
        (b_star * cos_gamma_star, b_star * sin_gamma_star, 0.0),
        (
            c_star * cos_beta_star,
            c_star * (cos_alpha_star - cos_beta_star * cos_gamma_star) / sin_gamma_star,
            height,
        ),
    )


def lattice(
    reciprocal: Triad, cell: CellParameters | None, physics: Physics, field: str
) -> tuple[Triad, Triad]:
    """Return real-space vectors (Å), of a given cell's lengths, and reciprocal ones (1/Å) again."""
    a_star, b_star, c_star = reciprocal
    crosses = (cross(b_star, c_star), cross(c_star, a_star), cross(a_star, b_star))
    density = dot(a_star, crosses[0])
    _check_handed(reciprocal, density, field)
    if cell is not None:
        one, two, three = (
            scale(vector, length / cell.volume / norm(vector))
            for vector, length in zip(crosses, cell.lengths, strict=True)
        )
        crosses, density = (one, two, three), 1.0 / cell.volume
    volume = 1.0 / density
    real = (scale(crosses[0], volume), scale(crosses[1], volume), scale(crosses[2], volume))
    return real, dual(real, None if physics == "exact" else density)


def dual(vectors: Triad, density: float | None = None) -> Triad:
    """Return the vectors dual to three; `density` stands in for one over the volume."""
    a, b, c = vectors
    across = cross(b, c)
    if density is None:
        density = 1.0 / dot(a, across)
    return scale(across, density), scale(cross(c, a), density), scale(cross(a, b), density)


def _check_handed(reciprocal: Triad, density: float, field: str) -> None:
    lengths = [norm(vector) for vector in reciprocal]
    product = lengths[0] * lengths[1] * lengths[2]
    if not 0.0 < product < math.inf or not math.isfinite(density):
        raise InputError("a reciprocal vector is zero or not finite", field=field)
    share = density / product
    if abs(share) < 1e-9:
        raise InputError("the reciprocal vectors lie in one plane", field=field)
    if share < 0.0:
        raise InputError(
            "the reciprocal vectors are left-handed",
            field=field,
            remedy="expected columns a*, b*, c* of a right-handed cell",
        )


def measured_cell(real: Triad) -> tuple[float, float, float, float, float, float]:
    """Lengths (Å) and angles (rad) of real-space vectors."""
    a, b, c = real
    return (norm(a), norm(b), norm(c), angle(b, c), angle(a, c), angle(a, b))


def cell_of(rows: ArrayLike) -> tuple[float, float, float, float, float, float]:
    """Cell of real-space vectors, rows a, b, c in Å: lengths in Å, angles in degrees."""
    first, second, third = (components(row) for row in np.asarray(rows))
    a, b, c, *angles = measured_cell((first, second, third))
    alpha, beta, gamma = (math.degrees(angle) for angle in angles)
    return a, b, c, alpha, beta, gamma
