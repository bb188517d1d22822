"""What the formulas need of numpy or of torch, whichever made their arguments.

Importing this package loads no torch: a tensor cannot come from a torch that is not loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from distbragg.models import vectors

Array: TypeAlias = Any
"""A float64 numpy array or torch tensor, or a float where a shape says ()."""

Module: TypeAlias = Any
"""numpy or torch."""

Triple: TypeAlias = tuple[Array, Array, Array]


class Symbol:
    """What stands for an array where formulas are written down, by functions of its `module`."""

    __slots__ = ()

    module: Module


def module_of(array: Array) -> Module:
    """Return the module whose functions take the array: torch for a tensor, else numpy."""
    if isinstance(array, Symbol):
        return array.module
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def constant(array: Array) -> Array:
    """Return the same numbers cut from the graph of a gradient."""
    return array if module_of(array) is np else array.detach()


def whole_numbers(array: Array) -> Array:
    """Convert whole float64 numbers to int64; what is not a number becomes any."""
    module = module_of(array)
    if module is np:
        with np.errstate(invalid="ignore"):
            return np.asarray(array).astype(np.int64)
    return array.to(module.int64)


def like(array: Array, values: Array) -> Array:
    """Return numpy values as an array of another's kind, on its device."""
    module = module_of(array)
    if module is np:
        return values
    return module.tensor(values, device=array.device)


def floats(array: Array) -> Array:
    """Convert whole numbers or truth values to float64."""
    module = module_of(array)
    if module is np:
        return np.asarray(array, dtype=np.float64)[()]
    return array.to(module.float64)


def root(square: Array) -> Array:
    """√x of x ≥ 0, with derivative 0 (the middle of its subgradients in ±|v|) at x = 0."""
    module = module_of(square)
    if module is np or not square.requires_grad:
        return module.sqrt(square)
    zero = square.detach() == 0.0
    return module.where(zero, 0.0, module.sqrt(module.where(zero, 1.0, square)))


dot: Callable[[Triple, Triple], Array] = vectors.dot
cross: Callable[[Triple, Triple], Triple] = vectors.cross
"""Scalar and vector product of vectors given by their components."""


def unit(vector: Triple) -> Triple:
    """Return the unit vectors; a zero vector stays zero."""
    length = root(dot(vector, vector))
    length = module_of(length).where(length > 0.0, length, 1.0)
    return vector[0] / length, vector[1] / length, vector[2] / length
