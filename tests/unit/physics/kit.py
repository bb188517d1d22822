"""Arrays of both kinds: every formula is asserted for numpy and for torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

Make = Callable[[Any], Any]


def numpy_array(values: Sequence[Any] | np.ndarray | float) -> np.ndarray:
    """A float64 array."""
    return np.array(values, dtype=np.float64)


def torch_tensor(values: Sequence[Any] | np.ndarray | float) -> torch.Tensor:
    """A float64 tensor."""
    return torch.tensor(np.array(values), dtype=torch.float64)


BOTH = pytest.mark.parametrize("make", [numpy_array, torch_tensor], ids=["numpy", "torch"])
"""Runs a test with each kind."""


def gradient(function: Callable[..., torch.Tensor], *values: float) -> list[float]:
    """Derivatives of the sum of a function by each of its 0-dimensional arguments."""
    tensors = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    found = torch.autograd.grad(function(*tensors).sum(), tensors)
    return [float(part) for part in found]
