"""What a spread of unit cells does to a crystal: strains of its lattice.

A domain's edges differ from the mean crystal's by Σ_k z_k ∂_k, with z of independent standard
normal deviates and ∂_k the change of (a, b, c) that one deviate makes, to first order in the cell's
numbers and in its standard setting (c along z, b in the y-z plane, as `models.vectors` has it).
Edges that are linear in z see a scattering vector q as the mean crystal sees (1 − Σ z_k T_k) q,
with T_k = −A⁻¹ ∂A_k: the lattice point lies Σ z_k T_k q away, and the mean over z adds
Σ_k (T_k q)(T_k q)ᵀ to its covariance.
"""

from __future__ import annotations

import numpy as np

from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Float64Array
from distbragg.physics.arrays import Array, Triple, cross, dot, module_of, root, unit
from distbragg.physics.symmetric import Symmetric

Strain = tuple[Triple, Triple, Triple]
"""The rows of one T_k."""


def edge_changes(real: Array, roots: Array) -> Array:
    """Return ∂_k, (k, 3, 3) in Å: what one deviate of each adds to the rows a, b, c of `real`.

    Parameters
    ----------
    real : (3, 3) float64, Å
        Rows a, b, c.
    roots : (k, 6) float64
        What one deviate adds to a, b, c in Å and α, β, γ in rad.
    """
    by_number = _by_numbers(real)
    return (roots[:, :, None, None] * by_number[None]).sum(1)


def strains_of(reciprocal: Array, changes: Array) -> Array:
    """Return T_k, (k, 3, 3), of rows a*, b*, c* (1/Å) and of `edge_changes`."""
    return -(reciprocal[None, :, :, None] * changes[:, :, None, :]).sum(1)


def crystal_strains(crystal: Crystal) -> Float64Array:
    """Return T_k of a crystal at phi = 0, (k, 3, 3); none without a spread of its cells."""
    if crystal.cell_roots is None:
        return np.zeros((0, 3, 3))
    changes = edge_changes(crystal.real_space, crystal.cell_roots)
    return np.asarray(strains_of(crystal.reciprocal, changes))


def strained(strains: Float64Array, places: Float64Array) -> Float64Array:
    """Return T_k g of lattice points (n, 3), (k, n, 3)."""
    return np.asarray((strains[:, None] * places[None, :, None, :]).sum(-1))


def strain_covariance(strains: Float64Array, places: Float64Array) -> Float64Array:
    """Return Σ_k (T_k g)(T_k g)ᵀ of lattice points (n, 3), (n, 3, 3)."""
    moved = strained(strains, places)
    return np.asarray((moved[..., :, None] * moved[..., None, :]).sum(0))


def rows_of(strains: Array) -> tuple[Strain, ...]:
    """Return every T_k by its numbers."""
    if module_of(strains) is np:
        strains = strains.tolist()
    return tuple(((*t[0],), (*t[1],), (*t[2],)) for t in strains)


def growing_of(
    strains: tuple[Strain, ...], axes: tuple[Triple, Triple, Triple], length: Array
) -> tuple[Symmetric, tuple[Symmetric, Symmetric, Symmetric]]:
    """Return Σ_k (T_k q)(T_k q)ᵀ at q = g, and how it grows with q along each of three axes.

    g is `length` along the first axis; both are in the frame of the axes.
    """
    total: list[list[Array]] = [[0.0] * 6 for _ in range(4)]
    for rows in strains:
        images = [(dot(rows[0], e), dot(rows[1], e), dot(rows[2], e)) for e in axes]
        inner = [tuple(dot(axis, image) for axis in axes) for image in images]
        a = tuple(part * length for part in inner[0])
        for place, (i, j) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
            total[0][place] = total[0][place] + a[i] * a[j]
            for way in range(3):
                t = inner[way]
                total[way + 1][place] = total[way + 1][place] + (a[i] * t[j] + t[i] * a[j])
    here, *ways = (Symmetric((*parts,)) for parts in total)
    return here, (ways[0], ways[1], ways[2])


def _by_numbers(real: Array) -> Array:
    """Return the derivatives of a, b, c by each of the cell's six numbers, (6, 3, 3)."""
    vectors = [(row[0], row[1], row[2]) for row in real]
    a, b, c = (root(dot(vector, vector)) for vector in vectors)
    first, second, third = vectors
    cos_alpha, cos_beta = dot(second, third) / (b * c), dot(first, third) / (a * c)
    cos_gamma = dot(first, second) / (a * b)
    sin_alpha, sin_beta, sin_gamma = (
        root(1.0 - cosine * cosine) for cosine in (cos_alpha, cos_beta, cos_gamma)
    )
    z = unit(third)
    along = dot(second, z)
    y = unit((second[0] - along * z[0], second[1] - along * z[1], second[2] - along * z[2]))
    x = cross(y, z)
    # a/|a| = (p, r, cos β), r = (cos γ − cos α cos β)/sin α, p² + r² + cos² β = 1
    r = (cos_gamma - cos_alpha * cos_beta) / sin_alpha
    p = root(1.0 - cos_beta * cos_beta - r * r)
    r_alpha = cos_beta - cos_alpha * r / sin_alpha
    r_beta = cos_alpha * sin_beta / sin_alpha
    r_gamma = -sin_gamma / sin_alpha
    zero = 0.0 * a
    none = (zero, zero, zero)
    changes = (
        (unit(first), none, none),
        (none, unit(second), none),
        (none, none, z),
        (
            _in_frame((-r * r_alpha / p, r_alpha, zero), a, (x, y, z)),
            _in_frame((zero, cos_alpha, -sin_alpha), b, (x, y, z)),
            none,
        ),
        (
            _in_frame(((cos_beta * sin_beta - r * r_beta) / p, r_beta, -sin_beta), a, (x, y, z)),
            none,
            none,
        ),
        (_in_frame((-r * r_gamma / p, r_gamma, zero), a, (x, y, z)), none, none),
    )
    module = module_of(a)
    flat = [part for change in changes for vector in change for part in vector]
    stacked = np.array(flat) if module is np else module.stack(flat)
    return stacked.reshape(6, 3, 3)


def _in_frame(parts: Triple, length: Array, axes: tuple[Triple, Triple, Triple]) -> Triple:
    """Return a vector of these components along three axes, `length` times as long."""
    x, y, z = (
        length * sum(part * axis[way] for part, axis in zip(parts, axes, strict=True))
        for way in range(3)
    )
    return x, y, z
