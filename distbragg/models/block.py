"""The block of unit cells that scatters as one: N, its determinant, and the form of its spots.

N = [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]] takes the distance δ of h, k, l from a lattice
point to r = |N δ|. It is given by three numbers where it is diagonal, else by six: Na, Nb, Nc, then
Nd, Ne, Nf. Numbers are floats or 0-dimensional tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

from distbragg.models.vectors import Number


def unit_cells(cells: Sequence[Number]) -> Number:
    """Return det N: how many unit cells there are, which is the height of a spot's amplitude."""
    a, b, c, *beside = cells
    if not beside:
        return a * b * c
    d, e, f = beside
    return a * (b * c - e * e) - d * (d * c - e * f) + f * (d * e - b * f)


def is_positive(cells: Sequence[float]) -> bool:
    """Whether N is positive definite, by the determinants of its leading corners."""
    a, b, _, *beside = cells
    corner = a * b - (beside[0] ** 2 if beside else 0.0)
    return bool(a > 0.0 and corner > 0.0 and unit_cells(cells) > 0.0)


def squared(cells: Sequence[Number], share: Number) -> list[list[Number]]:
    """Return N² times a factor, (3, 3); plain zeros beside the diagonal where N has them."""
    a, b, c, *beside = cells
    if not beside:
        zero = a * 0.0
        own = (a, b, c)
        return [[own[i] * own[i] * share if i == j else zero for j in range(3)] for i in range(3)]
    d, e, f = beside
    rows = ((a, d, f), (d, b, e), (f, e, c))
    return [[(x[0] * y[0] + x[1] * y[1] + x[2] * y[2]) * share for y in rows] for x in rows]
