"""Unit cell to lattice vectors, and back.

`physics: nanobragg` follows the C program's construction, whose third reciprocal vector has
z = c* V/(abc sin γ*) where V*/(a*b*c*) belongs: a triclinic cell comes out with angles up to a
few hundredths of a degree off, and the reciprocal vectors are not exactly dual. `physics:
exact` uses the correct height and the true dual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from distbragg.errors import InputError
from distbragg.models.vectors import Vector, cross, dot, norm, scale
from distbragg.units import deg_to_rad

Physics = Literal["exact", "nanobragg"]
Triad = tuple[Vector, Vector, Vector]

_CELLS_KEPT = 4
"""Cells a process keeps: the frames of a sweep mostly share one."""


@dataclass(frozen=True, slots=True)
class CellParameters:
    """Cell lengths (Å), angles (rad) and volume (Å³)."""

    lengths: Vector
    angles: Vector
    volume: float


@lru_cache(maxsize=_CELLS_KEPT)
def cell_parameters(cell: tuple[float, float, float, float, float, float]) -> CellParameters:
    """Check a cell in Å and degrees.

    The volume is 2abc·sqrt(sin s · sin(s−α) · sin(s−β) · sin(s−γ)), s = (α+β+γ)/2.

    Raises
    ------
    InputError
        Lengths that are not positive, or angles that close no cell.
    """
    lengths = (cell[0], cell[1], cell[2])
    if not all(0.0 < length < math.inf for length in lengths):
        raise InputError(
            f"cell lengths {lengths[0]:g} {lengths[1]:g} {lengths[2]:g}",
            field="crystal.cell",
            remedy="lengths are positive, in ångström",
        )
    alpha, beta, gamma = (deg_to_rad(degrees) for degrees in cell[3:])
    half = (alpha + beta + gamma) / 2.0
    parts = (math.sin(half), math.sin(half - alpha), math.sin(half - beta), math.sin(half - gamma))
    between = all(0.0 < angle < math.pi for angle in (alpha, beta, gamma))
    if not between or half >= math.pi or min(parts) <= 0.0:
        raise InputError(
            f"cell angles {cell[3]:g} {cell[4]:g} {cell[5]:g} close no cell",
            field="crystal.cell",
            remedy="each angle must be less than the sum of the others, all three less than 360",
        )
    skew = parts[0] * parts[1] * parts[2] * parts[3]
    volume = 2.0 * cell[0] * cell[1] * cell[2] * math.sqrt(skew)
    if not 0.0 < volume < math.inf:
        raise InputError("the cell volume is zero or not finite", field="crystal.cell")
    return CellParameters(lengths, (alpha, beta, gamma), volume)


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
    """Real-space vectors (Å) from oriented reciprocal ones (1/Å), and the reciprocal again.

    Where a cell is given its lengths are forced on the real-space vectors.

    Raises
    ------
    InputError
        Reciprocal vectors that are not finite, degenerate or left-handed.
    """
    a_star, b_star, c_star = reciprocal
    crosses = (cross(b_star, c_star), cross(c_star, a_star), cross(a_star, b_star))
    density = dot(a_star, crosses[0])
    _check_handed(reciprocal, density, field)
    if cell is not None:
        crosses = (
            _rescaled(crosses[0], cell.lengths[0] / cell.volume),
            _rescaled(crosses[1], cell.lengths[1] / cell.volume),
            _rescaled(crosses[2], cell.lengths[2] / cell.volume),
        )
        density = 1.0 / cell.volume
    volume = 1.0 / density
    real = (scale(crosses[0], volume), scale(crosses[1], volume), scale(crosses[2], volume))
    return real, _dual(real, density, physics)


def dual(vectors: Triad) -> Triad:
    """Return the vectors dual to three that span space: reciprocal of real ones, and back."""
    return _dual(vectors, 1.0, "exact")


def _dual(real: Triad, density: float, physics: Physics) -> Triad:
    b_cross_c = cross(real[1], real[2])
    if physics == "exact":
        density = 1.0 / dot(real[0], b_cross_c)
    return (
        scale(b_cross_c, density),
        scale(cross(real[2], real[0]), density),
        scale(cross(real[0], real[1]), density),
    )


def _rescaled(vector: Vector, length: float) -> Vector:
    return scale(vector, length / norm(vector))


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
    return (norm(a), norm(b), norm(c), _angle(b, c), _angle(a, c), _angle(a, b))


def _angle(first: Vector, second: Vector) -> float:
    return math.atan2(norm(cross(first, second)), dot(first, second))
