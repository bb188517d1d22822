"""Cell vectors of every spindle step and mosaic domain as functions of the parameters."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from distbragg.errors import InputError
from distbragg.fit.parameters import Parameters
from distbragg.models.crystal import Crystal
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, X, Y, Z, cell_of, turn_about
from distbragg.physics.arrays import Triple
from distbragg.physics.orientation import turned_cells
from distbragg.physics.strain import edge_changes
from distbragg.units import RADIANS_PER_DEGREE


def standard_vectors(cell: Tensor) -> Tensor:
    """Real-space vectors of a cell in the standard setting (a* along x, b* in the xy plane).

    There c runs along z and b lies in the yz plane:
    b = b (0, sin α, cos α) and a = a (V/abc/sin α, (cos γ − cos α cos β)/sin α, cos β), with
    (V/abc)² = 1 − cos²α − cos²β − cos²γ + 2 cos α cos β cos γ; the dual of the reciprocal
    vectors of `models.vectors.standard_reciprocal` under `physics: exact`.

    `cell`: (6,) in Å and degrees. Returns rows a, b, c in Å.
    """
    a, b, c, *angles = cell.unbind()
    cosines = [torch.cos(angle * RADIANS_PER_DEGREE) for angle in angles]
    cos_alpha, cos_beta, cos_gamma = cosines
    sin_alpha = torch.sin(angles[0] * RADIANS_PER_DEGREE)
    share = 1.0 - cos_alpha**2 - cos_beta**2 - cos_gamma**2 + 2.0 * cos_alpha * cos_beta * cos_gamma
    if not float(share.detach()) > 0.0:
        raise InputError("the angles do not form a cell", field="parameters.cell")
    zero = torch.zeros_like(a)
    across = (cos_gamma - cos_alpha * cos_beta) / sin_alpha
    rows = [torch.sqrt(share) / sin_alpha * a, across * a, cos_beta * a]
    rows += [zero, sin_alpha * b, cos_alpha * b]
    rows += [zero, zero, c]
    return torch.stack(rows).reshape(3, 3)


def misset_rotation(misset_deg: Tensor) -> Tensor:
    """Rotation by three angles about the laboratory x, then y, then z axis: R_z R_y R_x, (3, 3)."""
    angles = misset_deg * RADIANS_PER_DEGREE
    sines, cosines = torch.sin(angles), torch.cos(angles)
    columns = []
    for basis in (X, Y, Z):
        vector: Triple = basis
        for axis, sine, cosine in zip((X, Y, Z), sines, cosines, strict=True):
            vector = turn_about(vector, axis, sine, cosine)
        columns.append(torch.stack(vector))
    return torch.stack(columns, dim=1)


def scaled_rotations(rotations: Float64Array, ratio: Tensor) -> Tensor:
    """Rotations about the same axes by `ratio` times the angle (Rodrigues' formula).

    R = 1 + sin(θ) K + (1 − cos θ) K², with K the constant cross-product matrix of the axis: no
    axis is computed from a small angle, so ratio 0 is not singular. The rotations, (domains,
    3, 3), are by less than 180°: their angle is known only up to whole turns.
    """
    vectors = Rotation.from_matrix(rotations).as_rotvec().reshape(-1, 3)
    angle = np.sqrt((vectors * vectors).sum(axis=1))
    axis = vectors / np.where(angle > 0.0, angle, 1.0)[:, np.newaxis]
    cross = np.zeros((axis.shape[0], 3, 3))
    cross[:, 2, 1], cross[:, 0, 2], cross[:, 1, 0] = axis.T
    cross[:, 1, 2], cross[:, 2, 0], cross[:, 0, 1] = -axis.T
    turn = torch.from_numpy(cross).to(ratio.device)
    theta = torch.from_numpy(angle).to(ratio.device)[:, None, None] * ratio
    identity = torch.eye(3, dtype=torch.float64, device=ratio.device)
    # 1 − cos θ as 2 sin²(θ/2), which keeps its digits for small angles.
    return identity + torch.sin(theta) * turn + 2.0 * torch.sin(theta / 2.0) ** 2 * (turn @ turn)


def cell_vectors(experiment: Experiment, parameters: Parameters, device: torch.device) -> Tensor:
    """Real-space vectors at φ = 0 without mosaicity, rows a, b, c in the laboratory, (3, 3) Å."""
    real = torch.tensor(experiment.crystal.real_space, device=device)
    if parameters.cell is not None:
        own = torch.tensor(
            cell_of(experiment.crystal.real_space), dtype=torch.float64, device=device
        )
        # The rotation out of the standard setting: real = standard · turnᵀ, row by row.
        turn = torch.linalg.solve(standard_vectors(own), real)
        real = standard_vectors(parameters.cell) @ turn
    if parameters.misset_deg is not None:
        real = real @ misset_rotation(parameters.misset_deg).T
    return real


def cell_changes(crystal: Crystal, real: Tensor, cell_spread: Tensor | None) -> Tensor | None:
    """Return `physics.strain.edge_changes` of rows a, b, c, (k, 3, 3) Å; None without a spread."""
    if crystal.cell_roots is None:
        return None
    if cell_spread is None:
        roots = torch.tensor(crystal.cell_roots, device=real.device)
    else:
        units = torch.tensor([1.0] * 3 + [RADIANS_PER_DEGREE] * 3, dtype=torch.float64)
        roots = cell_spread * units.to(real.device)
    changes: Tensor = edge_changes(real, roots)
    return changes


def domain_vectors(
    crystal: Crystal, real: Tensor, mosaic_spread_deg: Tensor | None, changes: Tensor | None = None
) -> Tensor:
    """Return the cell vectors of every spindle step and domain; see `physics.orientation`.

    `real`: rows a₀, b₀, c₀, Å; `changes`: of `cell_changes`. Returns (phi steps × domains, 9) in Å:
    components of a, then b, then c; φ outermost.
    """
    if mosaic_spread_deg is None:
        domains = torch.tensor(crystal.mosaic_rotations, device=real.device)
    else:
        ratio = mosaic_spread_deg * (RADIANS_PER_DEGREE / crystal.mosaic_spread)
        domains = scaled_rotations(crystal.mosaic_rotations, ratio)
    vectors: Tensor = turned_cells(crystal, real, domains, changes).reshape(-1, 9)
    return vectors


def misorientation_deg(first: Float64Array, second: Float64Array) -> float:
    """Angle between two orientations, degrees: rows a, b, c of (nearly) the same cell, (3, 3).

    The rotation is that of the polar decomposition of the matrix that takes one to the other, so
    that a strain between the cells is not counted as rotation.
    """
    left, _, right = np.linalg.svd(np.linalg.solve(first, second))
    return math.degrees(Rotation.from_matrix(left @ right).magnitude())
