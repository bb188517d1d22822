"""What amorphous and powdered matter scatters, by the resolution of a sample.

F of each material is linear between the points of its table, so that n F² is a quadratic function
there. Of several materials the sum is one quadratic function on every interval between the points
of all their tables together: exact, and no dearer than one material.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distbragg.models.experiment import Material
from distbragg.models.vectors import Float64Array
from distbragg.physics.arrays import Array, constant, module_of


@dataclass(frozen=True, slots=True)
class AmorphousTable:
    """F of one material against sin(θ)/λ."""

    molecules: Array
    stol: Array  # (n,) 1/Å
    amplitude: Array  # (n,) electrons


@dataclass(frozen=True, slots=True)
class SummedTable:
    """Σ molecules · F² of several materials against sin(θ)/λ; see `material_curves`."""

    stol: Array  # (n,) 1/Å
    curve: Array  # (n, 3)


def amorphous_amplitude(table: AmorphousTable, stol: Array) -> Array:
    """Return F, electrons, at `stol`, 1/Å: linear between the points, constant beyond the ends."""
    module = module_of(table.stol)
    count = int(table.stol.shape[0])
    if count == 1:
        return table.amplitude + stol * 0.0
    right = module.searchsorted(table.stol, constant(stol), side="right")
    right = module.clip(right, 1, count - 1)
    left = right - 1
    low, high = module.take(table.stol, left), module.take(table.stol, right)
    first, last = module.take(table.amplitude, left), module.take(table.amplitude, right)
    share = module.clip((stol - low) / (high - low), 0.0, 1.0)
    return first + (last - first) * share


def amorphous_intensity(table: AmorphousTable | SummedTable, stol: Array) -> Array:
    """Return Σ molecules · F(stol)², (...,) float64, electrons²."""
    if isinstance(table, AmorphousTable):
        amplitude = amorphous_amplitude(table, stol)
        return amplitude * amplitude * table.molecules
    module = module_of(table.stol)
    left = module.searchsorted(table.stol, constant(stol), side="right") - 1
    left = module.clip(left, 0, int(table.stol.shape[0]) - 1)
    beyond = module.clip(stol - module.take(table.stol, left), 0.0, None)
    level, slope, bend = (module.take(table.curve[:, power], left) for power in range(3))
    return level + beyond * (slope + beyond * bend)


def material_curves(materials: Sequence[Material]) -> tuple[Float64Array, Float64Array]:
    """Return the points of all tables, (n,), and n F² of each material from point to point.

    (materials, n, 3): constant, slope and curvature by the distance from the point below. Beyond
    its own table a material's F is held; beyond the last point so is every F.
    """
    stol = np.unique(np.concatenate([one.stol for one in materials]))
    curves = np.zeros((len(materials), stol.size, 3))
    for one, curve in zip(materials, curves, strict=True):
        amplitude = np.interp(stol, one.stol, one.amplitude)
        slope = np.zeros_like(stol)
        slope[:-1] = np.diff(amplitude) / np.diff(stol)
        curve[:, 0] = one.molecules * amplitude * amplitude
        curve[:, 1] = 2.0 * one.molecules * amplitude * slope
        curve[:, 2] = one.molecules * slope * slope
    return stol, curves
