"""Drawing spots from the polynomials of their logarithms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.fit.spot_boxes import Ellipses, Window
from distbragg.fit.spot_draw import Grid, draw
from distbragg.fit.spot_fit import POWERS


def test_pixels_beside_a_passing_spot_are_nothing_whatever_its_polynomials_say_of_them() -> None:
    """A pixel aside is 50 radii away, where the passage would end long before it begins."""
    at = {power: place for place, power in enumerate(POWERS)}
    series = torch.zeros((3, 1, len(POWERS)), dtype=torch.float64)
    series[1:, 0, at[0, 0]] = torch.tensor([1.0, 2.0])  # from 1 to 2 in the middle of the disc
    series[1:, 0, at[0, 1]] = torch.tensor([0.01, 1.0])
    series.requires_grad_()
    ellipses = Ellipses(
        middle=np.array([[2.0, 2.0]]),
        root=np.array([[0.02, 0.0, 0.02]]),
        oval=np.array([True]),
        first=np.array([[1.98, 1.98]]),
        last=np.array([[2.02, 2.02]]),
    )
    middles = {0: np.zeros(1)}
    image = torch.zeros(25, dtype=torch.float64)
    draw(
        image,
        series,
        torch.ones(1, dtype=torch.float64),
        ellipses,
        grid=Grid(np.zeros((1, 2), dtype=np.int64), middles, middles),
        window=Window((0, 0), (5, 5)),
    )
    (slope,) = torch.autograd.grad(image.sum(), series)
    expected = np.zeros(25)
    expected[12] = math.erf(2.0) - math.erf(1.0)
    assert image.detach().numpy() == pytest.approx(expected, rel=1e-12)
    assert bool(torch.isfinite(slope).all())
