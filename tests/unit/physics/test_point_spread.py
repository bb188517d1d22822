"""Kernels of point spread: shares of a photon by displacement, and photons that are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad

from distbragg.physics.point_spread import (
    FIBRE_LENGTH,
    even_photons,
    fibre_shares,
    gauss_shares,
    spread_photons,
)

WIDTH = 1.5


def one_photon(shape: tuple[int, int], *place: tuple[int, int]) -> np.ndarray:
    photons = np.zeros(shape)
    for slow, fast in place:
        photons[slow, fast] = 1.0
    return photons


@pytest.mark.spec("PSF-1")
def test_a_gauss_of_two_pixels_by_hand() -> None:
    # c = 2·√ln 2/2 = 0.832555; the middle pixel takes erf(c/2) = erf(0.416277) = 0.443941 of a
    # line, its neighbour (erf(3c/2) − erf(c/2))/2 = (0.922624 − 0.443941)/2 = 0.239341.
    shares = gauss_shares(np.float64(2.0), 8)
    assert shares.shape == (17,)
    assert shares[8] == pytest.approx(0.443941, abs=1e-6)
    assert shares[7] == shares[9] == pytest.approx(0.239341, abs=1e-6)
    assert shares.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.spec("PSF-2")
def test_a_fibre_of_half_a_pixel_by_hand() -> None:
    # g = 0.652383·0.5 = 0.326192; the four quarters of the middle pixel:
    # 4·atan(0.25/(g·√(g² + 0.5)))/2π = 4·atan(0.25/0.254010)/2π = 0.494935.
    shares = fibre_shares(np.float64(0.5), 5)
    assert pytest.approx(0.652383013252053, rel=1e-15) == FIBRE_LENGTH
    assert shares[5, 5] == pytest.approx(0.494935, abs=2e-6)


@pytest.mark.spec("PSF-2")
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (-2, 3)])
def test_shares_of_a_fibre_are_its_integral_over_the_pixel(row: int, column: int) -> None:
    g = FIBRE_LENGTH * WIDTH
    wanted, _ = dblquad(
        lambda x, y: g / (2.0 * math.pi) * (g * g + x * x + y * y) ** -1.5,
        row - 0.5,
        row + 0.5,
        column - 0.5,
        column + 0.5,
        epsabs=1e-13,
    )
    found = fibre_shares(np.float64(WIDTH), 5)[5 + row, 5 + column]
    assert found == pytest.approx(wanted, rel=1e-10)


@pytest.mark.spec("PSF-2")
def test_a_fibre_reaches_a_circle_and_keeps_what_the_circle_holds() -> None:
    shares = fibre_shares(np.float64(WIDTH), 40)
    inside = np.hypot(*np.mgrid[-40:41, -40:41]) <= 40
    assert ((shares > 0.0) == inside).all()
    g = FIBRE_LENGTH * WIDTH
    # The pixels of the circle are not the circle: they differ along its rim.
    assert shares.sum() == pytest.approx(1.0 - g / math.hypot(g, 40.0), abs=1e-4)


@pytest.mark.spec("PSF-3")
@pytest.mark.parametrize("edges_lost", [False, True])
def test_photons_far_from_the_edges_are_kept(edges_lost: bool) -> None:
    photons = 1e4 * one_photon((40, 53), (20, 25), (14, 30))
    for kernels in (fibre_kernels(6), gauss_kernels(6)):
        spread = spread_photons(photons, kernels, edges_lost=edges_lost)
        assert spread.sum() == pytest.approx(2e4, rel=1e-12)
        assert spread.min() >= 0.0


@pytest.mark.spec("PSF-3")
def test_what_goes_beyond_the_radius_is_even() -> None:
    kernels = fibre_kernels(4)
    spread = spread_photons(one_photon((30, 41), (15, 20)), kernels, edges_lost=True)
    even = (1.0 - kernels[0].sum()) / (30 * 41)
    assert even > 1e-5
    far = np.hypot(*(np.mgrid[:30, :41] - np.array([15, 20])[:, None, None])) > 4
    np.testing.assert_array_equal(spread[far], even)


@pytest.mark.spec("PSF-4")
@pytest.mark.parametrize("place", [(0, 0), (0, 22), (16, 0), (16, 22), (8, 22), (16, 11)])
def test_what_passes_an_edge_is_spread_evenly_or_lost(place: tuple[int, int]) -> None:
    photons = one_photon((17, 23), place)
    kernels = gauss_kernels(5)
    kept = spread_photons(photons, kernels, edges_lost=False)
    lost = spread_photons(photons, kernels, edges_lost=True)
    assert kept.sum() == pytest.approx(1.0, rel=1e-12)
    assert lost.sum() < 0.8
    np.testing.assert_allclose(kept - lost, (1.0 - lost.sum()) / (17 * 23), rtol=1e-9)
    # No wrap: the other side of the panel sees nothing but the even part.
    far = np.hypot(*(np.mgrid[:17, :23] - np.array(place)[:, None, None])) > 8
    np.testing.assert_allclose(lost[far], 0.0, atol=1e-9)


@pytest.mark.spec("PSF-1")
@pytest.mark.spec("PSF-2")
def test_a_width_of_nothing_changes_nothing() -> None:
    photons = np.random.default_rng(1).poisson(4.0, (17, 23)).astype(np.float64)
    gauss = gauss_shares(np.float64(1e-3), 2)
    same = spread_photons(photons, (gauss[None, :], gauss[:, None]), edges_lost=False)
    np.testing.assert_array_equal(same, photons)
    fibre = (fibre_shares(np.float64(1e-9), 2),)
    close = spread_photons(photons, fibre, edges_lost=False)
    np.testing.assert_allclose(close, photons, rtol=0, atol=1e-6)


@pytest.mark.spec("PSF-5")
def test_a_kernel_moves_photons_by_its_own_displacement() -> None:
    kernel = np.zeros((3, 5))
    kernel[2, 0] = 0.75  # one row down, two columns back
    spread = spread_photons(one_photon((9, 9), (4, 4)), (kernel,), edges_lost=True)
    assert spread[5, 2] == pytest.approx(0.75 + 0.25 / 81)


def test_rounding_makes_no_even_light() -> None:
    assert even_photons(6.3, 6.3 * (1.0 + 3e-16), 63, (np.ones((1, 1)),), edges_lost=False) == 0.0


@pytest.mark.parametrize("kind", ["gauss", "fibre"])
def test_tensors_give_the_photons_of_arrays_and_their_gradient(kind: str) -> None:
    photons = np.random.default_rng(2).uniform(0.0, 9.0, (9, 11))

    def of_width(width: torch.Tensor) -> torch.Tensor:
        kernels = gauss_kernels(4, width) if kind == "gauss" else fibre_kernels(4, width)
        return spread_photons(torch.from_numpy(photons), kernels, edges_lost=False)

    width = torch.tensor(WIDTH, dtype=torch.float64, requires_grad=True)
    kernels = gauss_kernels(4) if kind == "gauss" else fibre_kernels(4)
    expected = spread_photons(photons, kernels, edges_lost=False)
    np.testing.assert_allclose(of_width(width).detach().numpy(), expected, rtol=1e-13)
    assert torch.autograd.gradcheck(of_width, (width,))


def gauss_kernels(radius: int, width: object = np.float64(WIDTH)) -> tuple:
    line = gauss_shares(width, radius)
    return line[None, :], line[:, None]


def fibre_kernels(radius: int, width: object = np.float64(WIDTH)) -> tuple:
    return (fibre_shares(width, radius),)
