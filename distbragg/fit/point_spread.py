"""Point spread of a differentiable image."""

from __future__ import annotations

import torch
from torch import Tensor

from distbragg.models.detector import Panel
from distbragg.models.point_spread import PointSpread
from distbragg.physics.point_spread import spread_kernels, spread_photons
from distbragg.units import um_to_m


def spread_tensor(
    photons: Tensor, panel: Panel, spread: PointSpread, fwhm_um: Tensor | None
) -> Tensor:
    """Return a panel's photons where they are recorded; masked pixels give and keep none.

    Parameters
    ----------
    photons : (slow, fast) tensor
        Of the whole panel, as padded as `Panel.shape`.
    panel : Panel
    spread : PointSpread
        The panel's own.
    fwhm_um : scalar tensor, optional
        Stands in for the full width at half maximum, µm, of what has one.
    """
    device = photons.device
    if spread.kind == "file":
        kernels = tuple(torch.tensor(one, device=device) for one in spread_kernels(spread))
    else:
        width = torch.tensor(spread.width, dtype=torch.float64, device=device)
        if fwhm_um is not None:
            width = fwhm_um * (um_to_m(1.0) / panel.pixel_size)
        kernels = spread_kernels(spread, width)
    slow, fast = panel.pixels
    own = spread_photons(photons[:slow, :fast], kernels, edges_lost=spread.edges_lost)
    padding = (0, photons.shape[1] - fast, 0, photons.shape[0] - slow)
    padded = torch.nn.functional.pad(own, padding)
    return torch.where(torch.from_numpy(panel.active.copy()).to(device), padded, 0.0)
