"""Cell vectors of every spindle step and mosaic domain, and the indices of a scattering vector."""

from __future__ import annotations

import numpy as np

from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Float64Array, components, rotate_about
from distbragg.physics.arrays import Array, Triple, constant, module_of


def domain_vectors(crystal: Crystal) -> Float64Array:
    """Return a, b, c = U_mosaic · R_spindle(φ) · (a₀, b₀, c₀) of every step and domain, Å.

    The shape is (phi steps × domains, 9), components of a, then b, then c; φ outermost.
    """
    rows = turned_rows(crystal, crystal.real_space, crystal.mosaic_rotations)
    return np.asarray(rows.reshape(-1, 9))


def domain_rotations(crystal: Crystal) -> Float64Array:
    """Return U_mosaic · R_spindle(φ) of every step and domain, (phi steps, domains, 3, 3)."""
    rows = turned_rows(crystal, np.eye(3), crystal.mosaic_rotations)
    return np.asarray(rows.swapaxes(-1, -2))


def turned_rows(crystal: Crystal, rows: Array, rotations: Array) -> Array:
    """Turn vectors by every step of the crystal's spindle, then by every domain.

    `rows` are (vectors, 3), `rotations` (domains, 3, 3); returned is (phi steps, domains, vectors,
    3). Written as plain sums: a library matrix product could round differently on another machine.
    φ = 0 means no rotation, to the bit.
    """
    module = np if isinstance(rows, np.ndarray) else module_of(rows)
    axis = components(crystal.spindle_axis)
    vectors = [(row[0], row[1], row[2]) for row in (rows.tolist() if module is np else rows)]
    flat = [
        part
        for phi in crystal.phi.tolist()
        for vector in vectors
        for part in (vector if phi == 0.0 else rotate_about(vector, axis, phi))
    ]
    stacked = np.array(flat) if module is np else module.stack(flat)
    # (phi steps, 1, vectors, 1, components) against (domains, 1, components, components)
    turned = stacked.reshape(len(crystal.phi), 1, len(vectors), 1, 3)
    turns = rotations[:, None]
    table = turns[..., 0] * turned[..., 0]
    table = table + turns[..., 1] * turned[..., 1]
    return table + turns[..., 2] * turned[..., 2]


def miller_indices(vectors: Array, scattering: Triple) -> Triple:
    """Return h, k, l = a·q, b·q, c·q, three (orientations, pixels), of q in 1/Å.

    `vectors` are (orientations, 9), Å.
    """
    x, y, z = scattering
    rows = [vectors[:, part : part + 1] for part in range(9)]
    h, k, l = (  # noqa: E741 - Miller indices
        rows[first] * x + rows[first + 1] * y + rows[first + 2] * z for first in (0, 3, 6)
    )
    return h, k, l


def nearest_indices(indices: Triple) -> Triple:
    """Return the nearest lattice point of indices, ceil(h − ½): a half belongs to the lower."""
    h, k, l = (module_of(part).ceil(constant(part) - 0.5) for part in indices)  # noqa: E741
    return h, k, l
