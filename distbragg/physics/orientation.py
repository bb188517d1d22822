"""Cell vectors of every spindle step and mosaic domain, and the indices of a scattering vector."""

from __future__ import annotations

import numpy as np

from distbragg.matrices import inverse3, matmul3
from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Float64Array, components, rotate_about
from distbragg.physics.arrays import Array, Triple, constant, module_of
from distbragg.physics.strain import edge_changes


def domain_vectors(crystal: Crystal) -> Float64Array:
    """Return a, b, c = U_mosaic · R_spindle(φ) · (a₀, b₀, c₀) of every step and domain, Å.

    The shape is (phi steps × domains, 9), components of a, then b, then c; φ outermost. Where cells
    have a spread, a₀, b₀, c₀ are the domain's own (`strain`).
    """
    return np.asarray(domain_cells(crystal).reshape(-1, 9))


def domain_cells(crystal: Crystal) -> Float64Array:
    """Return a, b, c of every step and domain, (phi steps, domains, 3, 3), rows, Å."""
    changes = None
    if crystal.cell_roots is not None:
        changes = edge_changes(crystal.real_space, crystal.cell_roots)
    rows = turned_cells(crystal, crystal.real_space, crystal.mosaic_rotations, changes)
    return np.asarray(rows)


def turned_cells(crystal: Crystal, real: Array, rotations: Array, changes: Array | None) -> Array:
    """Return `domain_cells` of rows a₀, b₀, c₀ and `edge_changes`, of numpy or of torch."""
    if changes is None or crystal.cell_deviates is None:
        return turned_rows(crystal, real, rotations)
    # Edges are linear in the deviates, and so is a turn: both are turned, and added.
    module = module_of(real)
    every = module.concatenate([real[None], changes]).reshape(-1, 3)
    turned = turned_rows(crystal, every, rotations)
    turned = turned.reshape(*turned.shape[:2], len(changes) + 1, 3, 3)
    cells = turned[:, :, 0]
    for place, column in enumerate(crystal.cell_deviates.T):
        weight = column if module is np else module.from_numpy(np.array(column)).to(real.device)
        cells = cells + weight[None, :, None, None] * turned[:, :, place + 1]
    return cells


def domain_turns(crystal: Crystal) -> Float64Array:
    """Return what takes a lattice point of the crystal at rest to that of every step and domain.

    (phi steps, domains, 3, 3): U_mosaic · R_spindle(φ), with the strain of a cell of its own.
    """
    if crystal.cell_deviates is None:
        rows = turned_rows(crystal, np.eye(3), crystal.mosaic_rotations)
        return np.asarray(rows.swapaxes(-1, -2))
    return matmul3(inverse3(domain_cells(crystal)), np.asarray(crystal.real_space))


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
