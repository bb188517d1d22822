"""The diffuse part by itself: what a halo holds, and that numpy and torch agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.models.diffuse import Diffuse
from distbragg.models.vectors import frozen_float64
from distbragg.physics.amplitude import AmplitudeTable
from distbragg.physics.diffuse import diffuse_intensity, diffuse_terms

STAR = ((0.05, 0.001, 0.002), (-0.003, 0.03, 0.004), (0.0, 0.005, 0.04))


def diffuse_of(gamma, sigma, stencil=0):
    identity = frozen_float64(np.eye(3))
    operations = frozen_float64([np.eye(3)])
    return Diffuse(frozen_float64(gamma), frozen_float64(sigma), identity, operations, stencil)


def flat_table(amplitude):
    return AmplitudeTable(np.array([amplitude]), (0, 0, 0), (0, 0, 0), interpolate=False)


@pytest.mark.spec("DIF-1")
@pytest.mark.parametrize("gamma", [(3000.0, 3000.0, 3000.0), (2500.0, 4000.0, 5000.0)])
def test_a_halo_holds_its_share_of_the_spot(gamma) -> None:
    # A long correlation keeps a halo within its cell: ∫ I dh dk dl over it is N |F|² e exp(−e), of
    # which 4/(π · 2πγq), below 1 % at q = 0.015/Å, lie further than q from its middle.
    sigma, cells, amplitude = 0.3, (4.0, 5.0, 6.0), 7.0
    terms = diffuse_terms(diffuse_of(gamma, (sigma,) * 3), STAR, math.prod(cells))
    # Points ever closer about the middle: h = sinh(t)/sinh(T)/2 along each axis.
    t, weight = np.polynomial.legendre.leggauss(80)
    stretch = 8.0
    h = 0.5 * np.sinh(stretch * t) / math.sinh(stretch)
    weight = weight * 0.5 * stretch * np.cosh(stretch * t) / math.sinh(stretch)
    grid = tuple(part.ravel() for part in np.meshgrid(h, h, h, indexing="ij"))
    volume = np.einsum("i,j,k->ijk", weight, weight, weight).ravel()
    nearest = tuple(np.full(grid[0].shape, n) for n in (3.0, -2.0, 1.0))
    found = float((diffuse_intensity(terms, flat_table(amplitude), grid, nearest) * volume).sum())
    place = np.array([3.0, -2.0, 1.0]) @ np.array(STAR)
    e = (2 * math.pi * sigma) ** 2 * float(place @ place)
    whole = math.prod(cells) * amplitude**2 * e * math.exp(-e)
    assert 0.99 * whole < found < whole


def test_numpy_and_torch_agree() -> None:
    terms = diffuse_terms(diffuse_of((30.0, 20.0, 50.0), (0.3, 0.2, 0.4), 1), STAR, 120.0)
    offsets = tuple(np.linspace(-0.5, 0.5, 7) * scale for scale in (1.0, -0.7, 0.3))
    nearest = tuple(np.arange(7.0) - shift for shift in (1.0, 2.0, 3.0))
    one = diffuse_intensity(terms, flat_table(3.0), offsets, nearest)
    other = diffuse_intensity(
        terms,
        AmplitudeTable(torch.tensor([3.0]), (0, 0, 0), (0, 0, 0), interpolate=False),
        tuple(map(torch.from_numpy, offsets)),
        tuple(map(torch.from_numpy, nearest)),
    )
    assert np.array_equal(one, other.numpy())
