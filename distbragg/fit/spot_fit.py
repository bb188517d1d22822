"""The logarithm of a spot as a polynomial of degree 6 in its disc, by least squares."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.models.vectors import Float64Array

_DEGREE: Final = 6


def _nodes() -> Float64Array:
    """Return points of the unit disc on rings, (nodes, 2)."""
    rings = [(0.0, 1), (0.3, 7), (0.58, 11), (0.82, 15), (1.0, 19)]
    parts = []
    for number, (radius, count) in enumerate(rings):
        angle = 2.0 * np.pi * (np.arange(count) + 0.37 * number) / count
        parts.append(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(parts)


NODES: Final = _nodes()
_POWERS: Final = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
_BASIS: Final = np.stack([NODES[:, 0] ** i * NODES[:, 1] ** j for i, j in _POWERS], axis=1)
_FIT: Final = np.linalg.pinv(_BASIS)


def fitted(log: Tensor) -> Tensor:
    """Return the coefficients of values at the nodes, (spots, coefficients)."""
    return log @ torch.from_numpy(_FIT).to(log.device).T


def misfit(series: Tensor, log: Tensor) -> Tensor:
    """Return how far polynomials are from values at the nodes, of a spot's maximum, (spots,)."""
    off = (series @ torch.from_numpy(_BASIS).to(log.device).T - log).abs()
    return (off * torch.exp(log - log.amax(dim=1, keepdim=True))).amax(dim=1)


def evaluate(series: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return polynomials (points, coefficients) at points of the disc, (points,)."""
    column = iter(reversed(series.unbind(1)))
    total = torch.zeros_like(a)
    for i in reversed(range(_DEGREE + 1)):
        row = torch.zeros_like(a)
        for _ in range(_DEGREE + 1 - i):
            row = row * b + next(column)
        total = total * a + row
    return total
