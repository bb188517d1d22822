"""The transform of the finite crystal as a differentiable function of its size and cell.

Twin of `distbragg.kernel.lattice`, whose numbers of cells and reciprocal vectors are constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distbragg.constants import GAUSS_CRYSTAL_WIDTH, ROUND_CRYSTAL_SCALE, TOPHAT_CRYSTAL_CUT
from distbragg.fit.functions import interference, sinc3
from distbragg.models.crystal import SpotShape


@dataclass(frozen=True, slots=True)
class Lattice:
    """What the transform depends on.

    Attributes
    ----------
    shape : {"square", "round", "gauss", "tophat"}
    fudge : float
    cells : (3,) float64
        Na, Nb, Nc, real numbers.
    reciprocal : (3, 3) float64, 1/Å
        Rows a*, b*, c* in any orientation: only their metric counts.
    """

    shape: SpotShape
    fudge: float
    cells: Tensor
    reciprocal: Tensor


def lattice_amplitude(lattice: Lattice, offsets: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return |F_latt| up to sign.

    SQUARE is Π sin(πNδ)/sin(πδ) over the three axes. For a number of cells that is not whole
    it is this formula of δ, the distance from the nearest reflection: it is smooth in N and δ
    within |δ| < ½ and equals the kernel's at whole numbers, but where the nearest reflection
    changes, at |δ| = ½, its square has a kink, the side lobes meeting there. GAUSS and ROUND
    are smooth in N as they stand. TOPHAT is flat: nothing flows through its edge.

    Parameters
    ----------
    lattice : Lattice
    offsets : three (...,) float64
        h − h₀, k − k₀, l − l₀.

    Returns
    -------
    (...,) float64
    """
    first, second, third = lattice.cells.unbind()
    if lattice.shape == "square":
        return (
            interference(offsets[0], first)
            * interference(offsets[1], second)
            * interference(offsets[2], third)
        )
    volume = first * second * third
    if lattice.shape == "round":
        square = (offsets[0] * first) ** 2 + (offsets[1] * second) ** 2 + (offsets[2] * third) ** 2
        return volume * ROUND_CRYSTAL_SCALE * sinc3(square * lattice.fudge)
    radius = _reciprocal_radius_squared(lattice, offsets) * volume**2 * lattice.fudge
    if lattice.shape == "gauss":
        return volume * torch.exp(-radius / GAUSS_CRYSTAL_WIDTH)
    return volume * (radius.detach() < TOPHAT_CRYSTAL_CUT).to(torch.float64)


def _reciprocal_radius_squared(lattice: Lattice, offsets: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """|δh a* + δk b* + δl c*|², 1/Å²."""
    total = torch.zeros_like(offsets[0])
    for axis in range(3):
        a_star, b_star, c_star = lattice.reciprocal[:, axis].unbind()
        part = offsets[0] * a_star + offsets[1] * b_star + offsets[2] * c_star
        total = total + part * part
    return total
