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
    rotations = crystal.mosaic_rotations
    domains = int(rotations.shape[0])
    table = np.empty((crystal.phi.shape[0], domains, 9), dtype=np.float64)
    for step, phi in enumerate(crystal.phi.tolist()):
        for row in range(3):
            vector = rotate_spindle(_vector(crystal.real_space[row]), axis, phi)
            for component in range(3):
                table[step, :, 3 * row + component] = (
                    rotations[:, component, 0] * vector[0]
                    + rotations[:, component, 1] * vector[1]
                    + rotations[:, component, 2] * vector[2]
                )
    return table.reshape(-1, 9)


def rotate_spindle(vector: Vector, axis: Vector, phi: float) -> Vector:
    """Rotate a vector by φ about the spindle; φ = 0 means no rotation, to the bit."""
    if phi == 0.0:
        return vector
    return rotate_about(vector, axis, phi)


def _vector(row: Float64Array) -> Vector:
    return float(row[0]), float(row[1]), float(row[2])
