"""Photon noise of the native library: the counts of the tensors, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distbragg.kernel import native
from distbragg.kernel.native.counts import draw_counts
from distbragg.kernel.noise import poisson_counts

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason() or "no compiler")

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
    found = draw_counts(mean, pixels, seed=seed, frame=frame)
    expected = poisson_counts(
        torch.from_numpy(mean), torch.from_numpy(pixels), seed=seed, frame=frame
    )
    assert found.tobytes() == expected.numpy().tobytes()


def test_a_pixel_is_wanted_for_every_mean() -> None:
    with pytest.raises(ValueError, match=r"\(4,\) pixels for \(5,\) means"):
        draw_counts(np.ones(5), np.arange(4), seed=0, frame=0)
