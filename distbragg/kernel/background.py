"""Amorphous scattering: the molecules' amplitude at each sample's resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distbragg.models.experiment import Background


@dataclass(frozen=True, slots=True)
class BackgroundTable:
    """F against sin(θ)/λ as tensors, with the number of molecules times steps it stands for.

    Attributes
    ----------
    factor : float
        n_phi · n_mosaic · molecules.
    stol : (n,) float64, 1/Å
    amplitude : (n,) float64, electrons
    """

    factor: float
    stol: Tensor
    amplitude: Tensor


def background_table(
    background: Background, steps: int, device: torch.device
) -> BackgroundTable | None:
    """Return the table, or None where there is no background."""
    if background.molecules == 0.0 or background.stol.shape[0] == 0:
        return None
    return BackgroundTable(
        steps * background.molecules,
        torch.tensor(background.stol.tolist(), dtype=torch.float64, device=device),
        torch.tensor(background.amplitude.tolist(), dtype=torch.float64, device=device),
    )


def background_intensity(table: BackgroundTable, stol: Tensor) -> Tensor:
    """Return n_phi n_mosaic · molecules · F(stol)², (pixels,) float64.

    F is linear between the table's points and constant beyond its ends.
    """
    count = int(table.stol.shape[0])
    if count == 1:
        amplitude = table.amplitude.expand(stol.shape)
        return amplitude * amplitude * table.factor
    right = torch.searchsorted(table.stol, stol, right=True).clamp(1, count - 1)
    left = right - 1
    low, high = torch.take(table.stol, left), torch.take(table.stol, right)
    first, last = torch.take(table.amplitude, left), torch.take(table.amplitude, right)
    share = ((stol - low) / (high - low)).clamp(0.0, 1.0)
    amplitude = first + (last - first) * share
    return amplitude * amplitude * table.factor
