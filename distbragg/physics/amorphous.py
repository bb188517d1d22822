"""Amorphous scattering: the molecules' amplitude at each sample's resolution."""

from __future__ import annotations

from dataclasses import dataclass

from distbragg.models.experiment import Background
from distbragg.physics.arrays import Array, constant, module_of


@dataclass(frozen=True, slots=True)
class AmorphousTable:
    """F against sin(θ)/λ.

    Attributes
    ----------
    molecules : float
    stol : (n,) float64, 1/Å
    amplitude : (n,) float64, electrons
    """

    molecules: float
    stol: Array
    amplitude: Array


def is_scattering(background: Background) -> bool:
    """Whether there is a background at all."""
    return background.molecules != 0.0 and background.stol.shape[0] > 0


def amorphous_amplitude(table: AmorphousTable, stol: Array) -> Array:
    """Return F, linear between the table's points and constant beyond its ends.

    Parameters
    ----------
    table : AmorphousTable
    stol : (...,) float64, 1/Å

    Returns
    -------
    (...,) float64, electrons
    """
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


def amorphous_intensity(table: AmorphousTable, stol: Array) -> Array:
    """Return molecules · F(stol)², (...,) float64, electrons²."""
    amplitude = amorphous_amplitude(table, stol)
    return amplitude * amplitude * table.molecules
