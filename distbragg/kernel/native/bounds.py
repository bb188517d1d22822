"""What a crystal's bounds are made of: numbers for `src/bounds.hpp`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.matrices import inverse3, matmul3, singular_values3, transposed
from distbragg.models.vectors import Float64Array

_SINGLE: Final = 2.0**-24


@dataclass(frozen=True, slots=True)
class StepBounds:
    """Numbers of one crystal that the bounds are made of.

    Attributes
    ----------
    reciprocals : (domains, 9) float64, 1/Å
        a*, b*, c* of every domain, the inverse of its cell vectors.
    edge_length : (3,) float64, Å
        |a|, |b|, |c|, of the longest domain.
    axis_stiffness : (3,) float64
        Radius (see `SpotShapeNumbers`) is at least this times |δ| along an axis.
    least_stiffness : float, Å
        Radius is at least this times the distance of q from the lattice point.
    index_error : float
        Of an index in float32.
    offset_error : float, 1/Å
        Of a distance from a lattice point in float32.
    """

    reciprocals: Float64Array
    edge_length: Float64Array
    axis_stiffness: Float64Array
    least_stiffness: float
    index_error: float
    offset_error: float


def step_bounds(vectors: Float64Array, metric: Float64Array, wavelength: float) -> StepBounds:
    """Derive the numbers of the bounds.

    Parameters
    ----------
    vectors : (domains, 9) float64, Å
        Components of a, then b, then c.
    metric : (6,) float64
        See `SpotShapeNumbers`.
    wavelength : float
        Shortest wavelength of the sources, Å: |q| ≤ 2/λ.
    """
    cells = vectors.reshape(-1, 3, 3)
    inverse = inverse3(cells)
    edges = np.sqrt((cells**2).sum(axis=2)).max(axis=0)
    index_error = 16 * _SINGLE * float(edges.max()) * 2.0 / wavelength
    # Columns of the inverse are a*, b*, c*; an offset is made of at most half of each.
    lengths = np.sqrt((inverse**2).sum(axis=1)).max(axis=0)
    offset_error = float(lengths.sum()) * (index_error + 16 * _SINGLE)
    stiffness, least = np.zeros(3), 0.0
    if np.any(metric):
        stiffness = 1.0 / unit_extent(metric)
        least = float(singular_values3(matmul3(_form(metric), cells)).min())
    reciprocals = np.ascontiguousarray(inverse.transpose(0, 2, 1)).reshape(-1, 9)
    return StepBounds(reciprocals, edges, stiffness, least, index_error, offset_error)


def unit_extent(metric: Float64Array) -> Float64Array:
    """Half-widths of the ellipsoid r ≤ 1 along h, k and l, (3,).

    Parameters
    ----------
    metric : (6,) float64
        See `SpotShapeNumbers`; not that of SQUARE, which has no r.
    """
    form = _form(metric)
    return np.sqrt(np.diag(inverse3(matmul3(transposed(form), form))))


def _form(metric: Float64Array) -> Float64Array:
    form = np.zeros((3, 3))
    form[np.triu_indices(3)] = metric
    return form
