"""Photon noise of the native library: the counts of the tensors, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import pdtri

from distbragg.kernel import native
from distbragg.kernel.native.counts import draw_counts
from distbragg.kernel.noise import poisson_counts
from distbragg.kernel.philox import random_words
from distbragg.models.vectors import Float64Array, IntArray

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason() or "no compiler")


def assert_equal_to_tensors(mean: Float64Array, pixels: IntArray, *, seed: int, frame: int) -> None:
    found = draw_counts(mean, pixels, seed=seed, frame=frame)
    expected = poisson_counts(
        torch.from_numpy(mean), torch.from_numpy(pixels), seed=seed, frame=frame
    )
    assert found.tobytes() == expected.numpy().tobytes()


EDGES = [0.0, -0.0, -1.0, np.nan, 1e-300, 10.0, np.nextafter(10.0, 0.0), 1e6, 1e12]


@pytest.mark.spec("NOI-2")
@pytest.mark.parametrize("powers", [(-3.0, 1.0), (1.0, 1.3), (1.0, 6.0), (5.9, 9.0), (0.0, 6.5)])
@pytest.mark.parametrize(("seed", "frame"), [(0, 0), (2**63 + 12_345, 2**33 + 5)])
def test_counts_are_those_of_the_tensors_bit_for_bit(
    powers: tuple[float, float], seed: int, frame: int
) -> None:
    random = np.random.default_rng(5)
    mean = np.concatenate([10.0 ** random.uniform(*powers, 20_011), EDGES])
    pixels = random.integers(0, 2**40, mean.size)
    assert_equal_to_tensors(mean, pixels, seed=seed, frame=frame)


@pytest.mark.spec("NOI-2")
def test_deviates_close_to_a_cumulative_probability_count_as_in_the_tensors() -> None:
    """Nearer than single precision tells, in which small counts are looked for first."""
    random = np.random.default_rng(7)
    pixels = random.integers(0, 2**40, 40_000)
    words = random_words(pixels, seed=3, frame=1, draw=0)
    deviate = ((words[0] << 21 | words[1] >> 11) + 0.5) * 2.0**-53
    away = random.choice([-1.0, 1.0], pixels.size) * 10.0 ** random.uniform(-9, -5, pixels.size)
    means = pdtri(random.integers(0, 28, pixels.size), deviate) * (1.0 + away)
    chosen = means < 10.0
    # Each among pixels whose counts nothing makes unsure, as these are looked at together.
    mean, place = np.zeros((2, chosen.sum(), 32))
    mean[:, 0], place[:, 0] = means[chosen], pixels[chosen]
    assert_equal_to_tensors(mean.ravel(), place.ravel().astype(np.int64), seed=3, frame=1)


def test_a_pixel_is_wanted_for_every_mean() -> None:
    with pytest.raises(ValueError, match=r"\(4,\) pixels for \(5,\) means"):
        draw_counts(np.ones(5), np.arange(4), seed=0, frame=0)
