"""Photon noise: the generator's known answers, the distribution, and independence of place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from distbragg.kernel.noise import log_factorial, poisson
from distbragg.kernel.philox import philox


def words(*values: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([value], dtype=torch.int64) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # Known answers published with the generator (Random123, kat_vectors).
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    found = philox(words(*counter), key)  # type: ignore[arg-type]
    assert tuple(int(word.item()) for word in found) == expected


def draw(mean: float, count: int = 60_000, *, seed: int = 7, frame: int = 0) -> np.ndarray:
    return poisson(np.full(count, mean), np.arange(count), seed=seed, frame=frame)


@pytest.mark.spec("NOI-1")
@pytest.mark.parametrize("mean", [0.01, 0.7, 4.0, 9.99, 10.0, 12.5, 40.0, 300.0])
def test_counts_follow_the_poisson_distribution(mean: float) -> None:
    counts = draw(mean)
    assert (counts == np.floor(counts)).all()
    low, high = (int(value) for value in stats.poisson.ppf([2e-3, 1.0 - 2e-3], mean))
    edges = np.arange(low, high + 1)
    probabilities = stats.poisson.pmf(edges, mean)
    probabilities[0] = stats.poisson.cdf(low, mean)
    probabilities[-1] = stats.poisson.sf(high - 1, mean)
    observed = np.bincount((np.clip(counts, low, high) - low).astype(int), minlength=edges.size)
    if edges.size == 1:
        return
    _, p_value = stats.chisquare(observed, probabilities / probabilities.sum() * counts.size)
    assert p_value > 1e-3


@pytest.mark.spec("NOI-1")
@pytest.mark.parametrize("mean", [0.3, 6.0, 11.0, 1e3, 9.9e5, 1.1e6, 1e9])
def test_mean_and_variance_equal_the_expected_photons(mean: float) -> None:
    counts = draw(mean, 40_000)
    standard_error = math.sqrt(mean / counts.size)
    assert abs(counts.mean() - mean) < 4.0 * standard_error
    # Fourth central moment of a Poisson variable: mean + 3 mean².
    variance_error = math.sqrt((mean + 2.0 * mean * mean) / counts.size)
    assert abs(counts.var() - mean) < 4.0 * variance_error


@pytest.mark.parametrize("mean", [5e3, 8e5, 2e6])
def test_large_means_look_normal(mean: float) -> None:
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, 20_000)
    scaled = (draw(mean, 20_000) + jitter - mean) / math.sqrt(mean)
    assert stats.kstest(scaled, "norm").pvalue > 1e-3


@pytest.mark.spec("NOI-2")
def test_a_count_depends_on_seed_frame_and_pixel_alone() -> None:
    means = 10.0 ** np.random.default_rng(1).uniform(-2, 7, 5_003)
    pixels = np.arange(5_003) * 977 + 2**33
    whole = poisson(means, pixels, seed=2**62 + 5, frame=12)
    order = np.random.default_rng(2).permutation(5_003)
    parts = np.empty_like(whole)
    for part in np.array_split(order, 41):
        parts[part] = poisson(means[part], pixels[part], seed=2**62 + 5, frame=12)
    assert (parts == whole).all()


@pytest.mark.spec("NOI-2")
def test_seeds_frames_and_pixels_give_independent_counts() -> None:
    base = draw(50.0, 20_000)
    others = [
        draw(50.0, 20_000, seed=8),
        draw(50.0, 20_000, seed=7 + 2**32),
        draw(50.0, 20_000, frame=1),
        draw(50.0, 20_000, frame=2**32),
        poisson(np.full(20_000, 50.0), np.arange(20_000) + 1, seed=7, frame=0)[::-1],
    ]
    for other in others:
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(base[1:], base[:-1])[0, 1]) < 0.03


def test_nothing_comes_of_no_photons() -> None:
    assert poisson(np.zeros(4), np.arange(4), seed=0, frame=0).tolist() == [0.0] * 4


def test_log_factorial_against_lgamma() -> None:
    counts = np.concatenate([np.arange(60.0), [1e3, 123456.0, 1e6, 2e6]])
    exact = np.array([math.lgamma(count + 1.0) for count in counts])
    found = log_factorial(torch.from_numpy(counts)).numpy()
    assert np.abs(found - exact).max() < 1e-8
    assert np.allclose(found, exact, rtol=1e-14, atol=1e-15)
