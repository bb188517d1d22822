"""Convolution by the native library, against the sums of numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native.spread import convolve
from distbragg.kernel.point_spread import spread_panel
from distbragg.models.point_spread import PointSpread
from distbragg.physics.point_spread import fibre_shares, spread_kernels, spread_photons

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason() or "no compiler")

NO_SHARES = np.empty((0, 0))


@pytest.mark.spec("PSF-6")
@pytest.mark.parametrize("shape", [(1, 1), (17, 23), (33, 64), (70, 201)])
@pytest.mark.parametrize("lost", [False, True])
def test_panels_are_those_of_the_formulas(shape: tuple[int, int], lost: bool) -> None:
    random = np.random.default_rng(3)
    photons = random.poisson(6.0, shape).astype(np.float64)
    odd = random.uniform(0.0, 1.0, (5, 9))
    for spread in (
        PointSpread("gauss", 2.0, 7, NO_SHARES, True, lost),
        PointSpread("fibre", 1.5, 10, NO_SHARES, True, lost),
        PointSpread("file", 0.0, 4, odd / odd.sum(), True, lost),
    ):
        wanted = spread_photons(photons, spread_kernels(spread), edges_lost=lost)
        found = spread_panel(photons, spread)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
        if not lost:
            assert found.sum() == pytest.approx(photons.sum(), rel=1e-12)


@pytest.mark.spec("PSF-6")
def test_threads_change_no_bit() -> None:
    photons = np.random.default_rng(4).uniform(0.0, 9.0, (150, 131))
    kernel = fibre_shares(np.float64(1.5), 10)
    one = convolve(photons, kernel, threads=1)
    assert convolve(photons, kernel, threads=5).tobytes() == one.tobytes()


@pytest.mark.spec("PSF-6")
def test_a_bright_pixel_gives_the_same_bits_everywhere() -> None:
    kernel = fibre_shares(np.float64(1.5), 6)
    shape = 71, 140
    for slow, fast in itertools.product((0, 1, 31, 32, 70), (0, 5, 63, 64, 139)):
        photons = np.zeros(shape)
        photons[slow, fast] = 12_345.678
        around = np.zeros((shape[0] + 12, shape[1] + 12))
        around[slow : slow + 13, fast : fast + 13] = 12_345.678 * kernel
        found = convolve(photons, kernel, threads=1)
        np.testing.assert_array_equal(found, around[6:-6, 6:-6])


def test_parts_of_frames_of_both_types_are_taken_as_they_lie() -> None:
    frame = np.random.default_rng(5).poisson(9.0, (60, 90)).astype(np.float32)
    kernel = fibre_shares(np.float64(1.0), 3)
    part = frame[7:44, 11:80]
    found = convolve(part, kernel, threads=1)
    wanted = convolve(np.ascontiguousarray(part, dtype=np.float64), kernel, threads=1)
    assert found.tobytes() == wanted.tobytes()
    with pytest.raises(ValueError, match="cannot spread"):
        convolve(frame.T, kernel, threads=1)
