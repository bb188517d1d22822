"""Widths of parameters that the closed form is no mean of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.models.method import ROUNDING, WIDEST_BANDWIDTH_PERCENT, WIDEST_SPREAD_DEG


def check_widths(given: dict[str, Tensor]) -> None:
    """Refuse what the closed form refuses of an experiment, and a covariance that is none."""
    spread, bandwidth = given.get("mosaic_spread_deg"), given.get("bandwidth_percent")
    if spread is not None:
        _check("mosaic_spread_deg", abs(float(spread.detach())), WIDEST_SPREAD_DEG, "degrees")
    if bandwidth is not None:
        _check("bandwidth_percent", float(bandwidth.detach()), WIDEST_BANDWIDTH_PERCENT, "%")
    covariance = given.get("mosaic_covariance_deg2")
    if covariance is not None:
        matrix = covariance.detach().to(torch.float64)
        least, _, most = torch.linalg.eigvalsh(0.5 * (matrix + matrix.T)).tolist()
        if least < -ROUNDING * abs(most):
            raise InputError(
                "not positive semi-definite",
                field="parameters.mosaic_covariance_deg2",
                remedy="refine a root of it, R with R Rᵀ in its place",
            )
        _check("mosaic_covariance_deg2", math.sqrt(most), WIDEST_SPREAD_DEG, "degrees")


def _check(name: str, width: float, widest: float, unit: str) -> None:
    if width > widest * (1.0 + ROUNDING):
        raise InputError(
            f"a standard deviation of {width:.6g} {unit} is more than {widest:g}, "
            "to which the closed form holds",
            field=f"parameters.{name}",
        )
