"""Miller indices without float64: as good as promised, and the lower one of two equally near."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from distbragg.kernel.triton.split import MOST_PRODUCT, power_above, split_vectors
from tests.unit.kernel_triton.kit import interpreted, programs

pytestmark = interpreted

BAR = 1e-10
"""Largest error of an index; the bar of the project."""


def _split_indices(vectors, q, wavelength):
    found = split_vectors(vectors, wavelength)
    count = q.shape[1]
    whole = torch.zeros(count, dtype=torch.int32)
    head, tail = torch.zeros(count), torch.zeros(count)
    grids = torch.tensor(found.grids, dtype=torch.float64)
    programs().split[(1,)](
        torch.from_numpy(found.pieces), torch.from_numpy(q), grids, whole, head, tail, count
    )
    return whole.numpy(), head.double().numpy() + tail.double().numpy()


@pytest.mark.spec("ENG-17")
@pytest.mark.parametrize(
    ("edge", "wavelength"), [(79.1, 1.0), (250.0, 1.02), (11.0, 0.1), (500, 2)]
)
def test_split_indices_keep_the_bar(edge, wavelength):
    rng = np.random.default_rng(int(edge))
    count = 256
    vectors = rng.normal(size=(1, 9))
    vectors *= edge / np.linalg.norm(vectors.reshape(3, 3), axis=1).max()
    q = rng.normal(size=(3, count))
    q *= 2.0 / wavelength * rng.random(count) / np.linalg.norm(q, axis=0)
    whole, delta = _split_indices(vectors, np.ascontiguousarray(q), wavelength)
    worst = 0.0
    for column in range(count):
        exact = sum(
            Fraction(float(vectors[0, axis])) * Fraction(float(q[axis, column]))
            for axis in range(3)
        )
        error = exact - int(whole[column]) - Fraction(float(delta[column]))
        worst = max(worst, abs(float(error)))
    assert worst <= BAR
    assert np.abs(delta).max() <= 0.5 + 1e-7


def test_crystals_beyond_the_bound_are_left_to_float64():
    vectors = np.full((1, 9), 400.0)
    assert split_vectors(vectors, 1.0) is None
    assert power_above(512.0) == 512.0
    assert power_above(512.5) == 1024.0
    assert MOST_PRODUCT * 1.5e-13 < BAR


def test_of_two_equally_near_indices_the_lower_one_is_taken():
    vectors = np.array([[4.0, 0, 0, 0, 4.0, 0, 0, 0, 4.0]])
    count = 8
    halves = np.array([0.5, 1.5, -0.5, -1.5, 2.5, -2.5, 0.25, -0.75])
    q = np.zeros((3, count))
    q[0] = halves / 4.0
    expected = np.ceil(halves - 0.5)
    whole, delta = _split_indices(vectors, q, 1.0)
    assert np.array_equal(whole, expected)
    np.testing.assert_array_equal(delta, halves - expected)
    table = torch.from_numpy(vectors[0].copy())
    for exact in (True, False):
        number = torch.zeros(count, dtype=torch.int32)
        distance = torch.zeros(count, dtype=torch.float64)
        programs().wide[(1,)](table, torch.from_numpy(q), number, distance, count, exact)
        assert np.array_equal(number.numpy(), expected)
        assert np.abs(distance.numpy() - (halves - expected)).max() <= (0.0 if exact else 2e-12)


def test_a_hair_beyond_a_half_is_told_from_the_half_itself():
    vectors = np.array([[1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]])
    hair = 3e-11
    q = np.zeros((3, 4))
    q[0] = [0.5 + hair, 0.5 - hair, -0.5 + hair, -0.5 - hair]
    whole, _ = _split_indices(vectors, q, 2.0)
    assert whole.tolist() == [1, 0, 0, -1]
