"""Clauses of `specs/mosaicity.md` that a kernel can see."""

from __future__ import annotations

import math

import numpy as np
import pytest


@pytest.mark.spec("MOS-1")
@pytest.mark.parametrize(
    ("shape", "height", "squared"),
    [
        # N δ = (5·0.1 + 1·0.05, 1·0.1 + 4·0.05 − 0.04, 0.5·0.1 − 2·0.05 + 3·0.02) for
        # N = [[5, 1, 0.5], [1, 4, −2], [0.5, −2, 3]] and δ = (0.1, 0.05, 0.02):
        # (0.56, 0.26, 0.01), r² = 0.3136 + 0.0676 + 0.0001 = 0.3813.
        # det N = 5 (12 − 4) − 1 (3 + 1) + 0.5 (−2 − 2) = 34.
        ("gauss", 34.0, math.exp(-math.pi * 0.3813)),
        # 0.3813 < (3/(4π))^(2/3) = 0.3848
        ("tophat", 34.0, 1.0),
    ],
)
def test_a_matrix_of_cells_by_hand(kernel, shape: str, height: float, squared: float) -> None:
    found = kernel.squared_transform(
        shape=shape, index=(1.1, 2.05, 3.02), cells=(5.0, 4.0, 3.0), beside=(1.0, -2.0, 0.5)
    )
    assert found == pytest.approx(height**2 * squared, rel=20 * kernel.relative)


@pytest.mark.spec("MOS-1")
def test_a_matrix_of_cells_holds_its_determinant_in_photons(fast_kernel) -> None:
    """The mean of F_latt² over a reciprocal cell is det N (CRY-50)."""
    places = (np.arange(10) + 0.5) / 10 - 0.5
    total = 0.0
    for h in places:
        for k in places:
            for l in places:  # noqa: E741
                total += fast_kernel.squared_transform(
                    shape="gauss",
                    index=(1.0 + h, 1.0 + k, 1.0 + l),
                    cells=(5.0, 4.0, 3.0),
                    beside=(1.0, -1.0, 0.5),
                )
    # det N = 5 (12 − 1) − 1 (3 + 0.5) + 0.5 (−1 − 2) = 50.
    assert total / 1000 == pytest.approx(50.0, rel=2e-3)
