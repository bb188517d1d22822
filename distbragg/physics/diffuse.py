"""Diffuse scattering of unit cells whose displacements are correlated: one halo a reflection.

Cells are displaced by σ along each principal axis, and the displacements of two cells r apart are
correlated by exp(−|r/γ|), component by component. A block of N cells of volume V then scatters

    N/V · mean over the Laue group of  Σ_h |F(h)|² e exp(−e) Γ

with e = 4π² |σ Q|², Q the place of h along the principal axes, and Γ = 8π γ_a γ_b γ_c /
(1 + 4π² |γ Δ|²)², the transform of that correlation, whose integral over reciprocal space is 1; Δ
is the distance from h, and h runs over a stencil about the nearest reflection. So the halo of a
reflection holds e exp(−e) times the photons of its Bragg spot, whatever γ is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from distbragg.models.crystal import Crystal
from distbragg.models.diffuse import Diffuse
from distbragg.models.vectors import components
from distbragg.physics.amplitude import AmplitudeTable, nearest_amplitude
from distbragg.physics.arrays import Array, Triple, cross, dot, unit
from distbragg.physics.elementary import exp

Rows = tuple[Triple, Triple, Triple]


@dataclass(frozen=True, slots=True)
class DiffuseTerms:
    """What the diffuse part depends on; numbers may be tensors that carry gradients."""

    correlation: tuple[Rows, ...]
    """2π γ W of every rotation of the Laue group, without unit; W takes h, k, l to 1/Å along the
    principal axes."""
    displacement: tuple[Rows, ...]  # 2π σ W
    height: Array  # 8π γ_a γ_b γ_c N/V over the number of rotations
    stencil: tuple[tuple[int, int, int], ...]  # h less the nearest reflection

    @property
    def per_step(self) -> int:
        """Halos that one step sees."""
        return len(self.correlation) * len(self.stencil)


def diffuse_terms(
    diffuse: Diffuse,
    reciprocal: Rows,
    count: Array,
    gamma: Triple | None = None,
    sigma: Triple | None = None,
) -> DiffuseTerms:
    """Return the terms of a crystal.

    Parameters
    ----------
    diffuse : Diffuse
    reciprocal : rows a*, b*, c*, 1/Å
        In any orientation.
    count : number
        Unit cells of a block, N.
    gamma, sigma : triples, optional
        Å, in place of those of `diffuse`.
    """
    gamma = components(diffuse.gamma) if gamma is None else gamma
    sigma = components(diffuse.sigma) if sigma is None else sigma
    star = _along_axes(diffuse, reciprocal)
    operations = diffuse.operations.tolist()
    turned = [[_times(row, operation) for row in star] for operation in operations]
    volume = 1.0 / abs(dot(reciprocal[0], cross(reciprocal[1], reciprocal[2])))
    block = count / (volume * len(operations))
    reach = range(-diffuse.stencil, diffuse.stencil + 1)
    return DiffuseTerms(
        correlation=tuple(_scaled(rows, gamma) for rows in turned),
        displacement=tuple(_scaled(rows, sigma) for rows in turned),
        height=gamma[0] * gamma[1] * gamma[2] * (8.0 * math.pi * block),
        stencil=tuple(product(reach, reach, reach)),
    )


def diffuse_of(crystal: Crystal) -> DiffuseTerms | None:
    """Return the terms of a crystal as floats; None where it has no diffuse scattering."""
    if crystal.diffuse is None:
        return None
    a_star, b_star, c_star = (components(row) for row in crystal.reciprocal)
    return diffuse_terms(crystal.diffuse, (a_star, b_star, c_star), crystal.unit_cells)


def _along_axes(diffuse: Diffuse, reciprocal: Rows) -> list[Triple]:
    """Return, for each principal axis, the components along it of a*, b* and c*."""
    along_a = cross(reciprocal[1], reciprocal[2])
    x, z = unit(along_a), unit(reciprocal[2])
    frame = x, cross(z, x), z
    components = [[dot(axis, star) for star in reciprocal] for axis in frame]
    return [_times(row, components) for row in diffuse.axes.tolist()]


def _times(row: Sequence[Array], matrix: list[list[Array]]) -> Triple:
    """Row vector times matrix."""
    one, two, three = (
        sum(part * line[column] for part, line in zip(row, matrix, strict=True))
        for column in range(3)
    )
    return one, two, three


def _scaled(rows: list[Triple], lengths: Triple) -> Rows:
    one, two, three = (
        (length * row[0] * math.tau, length * row[1] * math.tau, length * row[2] * math.tau)
        for row, length in zip(rows, lengths, strict=True)
    )
    return one, two, three


def _square(rows: Rows, vector: Triple) -> Array:
    """Squared length of a matrix times a vector."""
    one, two, three = (dot(row, vector) for row in rows)
    return one * one + two * two + three * three


def strength(displacement: Rows, place: Triple) -> Array:
    """Return e exp(−e) of whole h, k, l: what a halo holds of its spot."""
    exponent = _square(displacement, place)
    return exponent * exp(-exponent)


def diffuse_intensity(
    terms: DiffuseTerms, table: AmplitudeTable, offsets: Triple, nearest: Triple
) -> Array:
    """Return what a block of cells scatters diffusely, electrons², at offsets from h₀, k₀, l₀.

    Amplitudes are those of the lattice points, where |F| is interpolated too. An odd part of the
    correlation has no place here: each rotation stands for its product with the inversion.
    """
    total: Array = 0.0
    for step in terms.stencil:
        place, away = moved(nearest, step, 1.0), moved(offsets, step, -1.0)
        amplitude = nearest_amplitude(table, place)
        halos: Array = 0.0
        for correlation, displacement in zip(terms.correlation, terms.displacement, strict=True):
            wide = _square(correlation, away) + 1.0
            halos = halos + strength(displacement, place) / (wide * wide)
        total = total + amplitude * amplitude * halos
    return total * terms.height


def moved(place: Triple, step: tuple[int, int, int], sign: float) -> Triple:
    """Return h, k, l with a step of the stencil added or, with `sign` −1, taken off."""
    return place[0] + sign * step[0], place[1] + sign * step[1], place[2] + sign * step[2]
