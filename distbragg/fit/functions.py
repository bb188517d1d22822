"""Functions with removable singular points, whose gradients are right there as well.

`torch.where` passes gradients to both of its branches, and zero times an infinite one is not
a number: so the branch that is not taken is given a harmless argument first.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

_SINC_SERIES: Final = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(8))
_SINC_LIMIT: Final = 0.5
"""|x| below which the series is used: its first term left out is 1e-19 there, and the closed
form's derivative cancels to eps/x beyond."""

_SINC3_SERIES: Final = tuple(
    (-1.0) ** k * 6.0 * (k + 1) / math.factorial(2 * k + 3) for k in range(12)
)
_SINC3_LIMIT: Final = 1.5


def power_series(variable: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Evaluate Σ cᵢ xⁱ, any shape, without changing a tensor in place."""
    total = torch.full_like(variable, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * variable + coefficient
    return total


def sinc_pi(value: Tensor) -> Tensor:
    """sin(πx)/(πx), any shape; 1 at 0.

    `torch.sinc` has the same value, but the derivative it is given loses all digits for |x|
    below 1e-8.
    """
    argument = value * math.pi
    small = argument.detach().abs() < _SINC_LIMIT
    inside = torch.where(small, argument, 0.0)
    near = power_series(inside * inside, _SINC_SERIES)
    outside = torch.where(small, 1.0, argument)
    return torch.where(small, near, torch.sin(outside) / outside)


def interference(offset: Tensor, cells: Tensor) -> Tensor:
    """sin(πNδ)/sin(πδ) up to sign, for δ in [−½, ½] and any real N > 0; N at δ = 0.

    Whole turns of Nδ are taken off before π is multiplied, as the kernel does; the sign they
    carry is dropped, since only squares are used.

    Parameters
    ----------
    offset : (...,) float64
        δ, the distance of an index from the nearest whole number.
    cells : () float64
        N.
    """
    turns = offset * cells
    whole = torch.round(turns.detach())
    near = cells * sinc_pi(turns) / sinc_pi(offset)
    far_away = whole != 0.0
    divisor = torch.where(far_away, offset, 0.5)
    far = torch.sin((turns - whole) * math.pi) / torch.sin(divisor * math.pi)
    return torch.where(far_away, far, near)


def sinc3(square: Tensor) -> Tensor:
    """3 (sin x/x − cos x)/x² from (x/π)², any shape; 1 at 0.

    A function of the square alone near 0, so that no square root is differentiated there.
    """
    squared = square * (math.pi * math.pi)
    small = squared.detach() < _SINC3_LIMIT * _SINC3_LIMIT
    near = power_series(torch.where(small, squared, 0.0), _SINC3_SERIES)
    outside = torch.where(small, 1.0, square)
    turns = torch.sqrt(outside)
    rest = (turns - 2.0 * torch.round(turns.detach() * 0.5)) * math.pi
    argument = turns * math.pi
    far = 3.0 * (torch.sin(rest) / argument - torch.cos(rest)) / (outside * (math.pi * math.pi))
    return torch.where(small, near, far)


def safe_root(square: Tensor) -> Tensor:
    """√x of x ≥ 0, with derivative 0 (the middle of its subgradients in ±|v|) at x = 0."""
    zero = square.detach() == 0.0
    return torch.where(zero, 0.0, torch.sqrt(torch.where(zero, 1.0, square)))
