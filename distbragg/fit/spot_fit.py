"""Polynomials of degree 6 in the unit disc, by least squares."""

from __future__ import annotations

from math import comb
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distbragg.models.vectors import Float64Array

DEGREE: Final = 6


def _nodes() -> Float64Array:
    """Return points of the unit disc on rings, (nodes, 2)."""
    rings = [(0.0, 1), (0.4, 6), (0.76, 12), (1.0, 18)]
    parts = []
    for number, (radius, count) in enumerate(rings):
        angle = 2.0 * np.pi * (np.arange(count) + 0.37 * number) / count
        parts.append(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(parts)


NODES: Final = _nodes()
POWERS: Final = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
"""Of which powers the coefficients of a polynomial are, in their order."""

_BASIS: Final = np.stack([NODES[:, 0] ** i * NODES[:, 1] ** j for i, j in POWERS], axis=1)
_FIT: Final[Float64Array] = np.asarray(np.linalg.pinv(_BASIS), dtype=np.float64)


def _shifts() -> Float64Array:
    """Return the matrix of `in_rows`, (coefficients, coefficients, DEGREE + 1)."""
    places = {power: at for at, power in enumerate(POWERS)}
    found = np.zeros((len(POWERS), len(POWERS), DEGREE + 1))
    for at, (i, k) in enumerate(POWERS):
        for m in range(DEGREE + 1 - i - k):
            found[places[i, k + m], at, m] = comb(k + m, m)
    return found


_SHIFTS: Final = _shifts()


def constant(values: Float64Array, like: Tensor) -> Tensor:
    """Return numbers as a float64 tensor on the device of another."""
    return torch.from_numpy(np.array(values, dtype=np.float64)).to(like.device)


def fitted(values: Tensor) -> Tensor:
    """Return the coefficients of values at the nodes, (..., coefficients)."""
    return _product(values, _FIT)


def at_nodes(series: Tensor) -> Tensor:
    """Return polynomials at the nodes, (..., nodes)."""
    return _product(series, _BASIS)


def _product(vectors: Tensor, matrix: Float64Array) -> Tensor:
    """Return matrix · vector for each (..., n)."""
    if vectors.device.type != "cpu":
        return vectors @ constant(matrix, vectors).T
    found: Tensor = _Product.apply(vectors, matrix)  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    """Products of small matrices by numpy: torch takes threads that wait longer than they work."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, matrix: Float64Array) -> Tensor:  # noqa: ANN401 - of torch
        ctx.matrix = matrix
        return torch.from_numpy(np.einsum("...i,ji->...j", vectors.detach().numpy(), matrix))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return torch.from_numpy(np.einsum("...j,ji->...i", slope.numpy(), ctx.matrix)), None


def evaluate(series: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return polynomials (..., coefficients) at points of the disc."""
    column = iter(reversed(series.unbind(-1)))
    total = torch.zeros_like(a)
    for i in reversed(range(DEGREE + 1)):
        row = torch.zeros_like(a)
        for _ in range(DEGREE + 1 - i):
            row = row * b + next(column)
        total = total * a + row
    return total


def monomials(a: Tensor, b: Tensor) -> Tensor:
    """Return all powers at points, (..., coefficients)."""
    powers_a, powers_b = [torch.ones_like(a)], [torch.ones_like(b)]
    for _ in range(DEGREE):
        powers_a.append(powers_a[-1] * a)
        powers_b.append(powers_b[-1] * b)
    return torch.stack([powers_a[i] * powers_b[j] for i, j in POWERS], dim=-1)


def in_rows(series: Tensor, scale: Tensor) -> Tensor:
    """Return what takes `monomials(a, t)` to the coefficients in y of a row at b = t + scale·y.

    Parameters
    ----------
    series : (..., spots, coefficients) tensor
    scale : (spots,) tensor

    Returns
    -------
    (..., spots, coefficients, DEGREE + 1) tensor
    """
    shifts = constant(_SHIFTS, series)
    moved = (series @ shifts.flatten(1)).reshape(*series.shape, DEGREE + 1)
    orders = torch.arange(DEGREE + 1, device=series.device)
    found: Tensor = moved * (scale[:, None] ** orders)[:, None, :]
    return found
