"""Capture of photons by the sensor's layers."""

from __future__ import annotations

import torch
from torch import Tensor

from distbragg.kernel.polynomials import exp
from distbragg.models.detector import SensorLayers


def capture_fraction(sensor: SensorLayers, layer: int, cosine: Tensor) -> Tensor:
    """Return the share of photons that a layer stops, exp(−front·μ/ρ) − exp(−back·μ/ρ).

    Parameters
    ----------
    sensor : SensorLayers
    layer : int
    cosine : (pixels,) float64
        ρ, the cosine between ray and panel normal.

    Returns
    -------
    (pixels,) float64
        1 where the sensor does not absorb.
    """
    if not sensor.absorbs:
        return torch.ones_like(cosine)
    front = -float(sensor.front[layer]) * sensor.attenuation
    back = -float(sensor.back[layer]) * sensor.attenuation
    return exp(front / cosine) - exp(back / cosine)
