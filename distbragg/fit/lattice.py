"""The transform of the finite crystal as a differentiable function of its size and cell.

Twin of `distbragg.kernel.lattice`, whose numbers of cells and reciprocal vectors are constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from distbragg.fit.functions import interference, sinc3
from distbragg.models.spot_form import spot_form
from distbragg.shapes import SHAPES, SpotShape


@dataclass(frozen=True, slots=True)
class Lattice:
    """What the transform depends on.

    Attributes
    ----------
    shape : SpotShape
    physics : {"exact", "nanobragg"}
    fudge : float
    cells : (3,) float64
        Na, Nb, Nc, real numbers.
    reciprocal : (3, 3) float64, 1/Å
        Rows a*, b*, c* in any orientation: only their metric counts.
    """

    shape: SpotShape
    physics: Literal["exact", "nanobragg"]
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
    row = SHAPES[lattice.shape]
    if row.transform == "interference":
        return (
            interference(offsets[0], first)
            * interference(offsets[1], second)
            * interference(offsets[2], third)
        )
    height = first * second * third * row.height
    square = _radius_squared(lattice, offsets)
    if row.transform == "sinc3":
        return height * sinc3(square)
    if row.transform == "gaussian":
        return height * torch.exp(square * (-0.5 * row.decay))
    return height * (square.detach() < row.zero_radius**2).to(torch.float64)


def _radius_squared(lattice: Lattice, offsets: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """r² = δᵀ S δ."""
    cells = lattice.cells.unbind()
    reciprocal = [row.unbind() for row in lattice.reciprocal]
    form = spot_form(lattice.shape, lattice.physics, lattice.fudge, cells, reciprocal)
    total = torch.zeros_like(offsets[0])
    for offset, row in zip(offsets, form, strict=True):
        total = total + offset * (offsets[0] * row[0] + offsets[1] * row[1] + offsets[2] * row[2])
    return total
