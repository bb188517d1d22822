"""Cell vectors of every spindle step and mosaic domain."""

from __future__ import annotations

import numpy as np

from distbragg.models.arrays import Float64Array
from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Vector, rotate_about


def domain_vectors(crystal: Crystal) -> Float64Array:
    """Return a, b, c = U_mosaic · R_spindle(φ) · (a₀, b₀, c₀) of every step and domain.

    Written as plain sums: a library matrix product could round differently on another machine.

    Returns
    -------
    (phi steps × domains, 9) float64, Å
        Components of a, then b, then c; φ outermost.
    """
    axis = _vector(crystal.spindle_axis)
    cell = [_vector(row) for row in crystal.real_space]
    # (phi steps, 1, vectors, 1), then (domains, 1, components)
    turned = np.array(
        [[rotate_spindle(row, axis, phi) for row in cell] for phi in crystal.phi.tolist()]
    )[:, np.newaxis, :, np.newaxis]
    rotations = crystal.mosaic_rotations[:, np.newaxis]
    table: Float64Array = rotations[..., 0] * turned[..., 0]
    table += rotations[..., 1] * turned[..., 1]
    table += rotations[..., 2] * turned[..., 2]
    return table.reshape(-1, 9)


def rotate_spindle(vector: Vector, axis: Vector, phi: float) -> Vector:
    """Rotate a vector by φ about the spindle; φ = 0 means no rotation, to the bit."""
    if phi == 0.0:
        return vector
    return rotate_about(vector, axis, phi)


def _vector(row: Float64Array) -> Vector:
    return float(row[0]), float(row[1]), float(row[2])
