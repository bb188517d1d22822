"""3 × 3 algebra: the textbook results, whatever the leading axes."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.matrices import (
    apply3,
    cholesky3,
    covariance_root,
    determinant3,
    dot3,
    inverse3,
    matmul3,
    norm3,
    orthogonal_part,
    singular_values3,
    transposed,
)

MATRIX = np.array([[2.0, -1.0, 0.5], [0.25, 3.0, -2.0], [1.0, 0.75, 4.0]])
"""Determinant 2·(12 + 1.5) + 1·(1 + 2) + 0.5·(0.1875 − 3) = 28.59375."""

QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def batch(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 3, 3))


def test_a_determinant_worked_out_by_hand() -> None:
    assert float(determinant3(MATRIX)) == 28.59375


def test_products_agree_with_linear_algebra_over_leading_axes() -> None:
    first, second = batch(5)[:, None], batch(4)
    np.testing.assert_allclose(matmul3(first, second), first @ second, atol=1e-14)
    np.testing.assert_allclose(matmul3(first, second, MATRIX), first @ second @ MATRIX, atol=1e-13)
    vectors = batch(5)[:, 0]
    expected = np.einsum("nij,nj->ni", batch(5), vectors)
    np.testing.assert_allclose(apply3(batch(5), vectors), expected, atol=1e-14)
    np.testing.assert_allclose(norm3(vectors) ** 2, dot3(vectors, vectors), rtol=1e-15)


def test_a_quarter_turn_carries_x_to_y() -> None:
    assert apply3(QUARTER, (1.0, 0.0, 0.0)).tolist() == [0.0, 1.0, 0.0]


def test_an_inverse_gives_the_identity() -> None:
    np.testing.assert_allclose(matmul3(batch(6), inverse3(batch(6))), [np.eye(3)] * 6, atol=1e-12)


def test_a_triangle_squared_is_its_matrix() -> None:
    metric = matmul3(batch(6), transposed(batch(6)))
    lower = cholesky3(metric)
    assert not np.triu(lower, 1).any()
    np.testing.assert_allclose(matmul3(lower, transposed(lower)), metric, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(lower, np.linalg.cholesky(metric), rtol=1e-10, atol=1e-12)


def test_a_matrix_with_a_negative_direction_has_no_triangle() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        cholesky3(np.diag([1.0, -1.0, 1.0]))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_a_covariance_of_any_rank_is_the_square_of_its_root(rank) -> None:
    for seed in range(200):
        half = np.random.default_rng(seed).normal(size=(3, rank))
        covariance = half @ half.T
        root = covariance_root(covariance)
        assert not np.triu(root, 1).any()
        np.testing.assert_allclose(matmul3(root, transposed(root)), covariance, atol=1e-9)


def test_a_covariance_with_a_negative_direction_has_no_root() -> None:
    for seed in range(200):
        half = np.random.default_rng(seed).normal(size=(3, 3))
        turn, _ = np.linalg.qr(half)
        for negative in (-1.0, -1e-3):
            with pytest.raises(ValueError, match="not positive semi-definite"):
                covariance_root(turn @ np.diag([1.0, 0.5, negative]) @ turn.T)


def test_singular_values_are_the_librarys_even_far_apart() -> None:
    matrices = np.concatenate([batch(6), [np.eye(3)], [MATRIX @ np.diag([1e-9, 1.0, 1e9])]])
    expected = np.linalg.svd(matrices, compute_uv=False)[:, ::-1]
    found = np.sort(singular_values3(matrices), axis=-1)
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=1e-12)
    # Of widely spread values the library has the small ones to the largest's rounding only.
    assert found[-1].prod() == pytest.approx(float(determinant3(MATRIX)), rel=1e-12)


def test_the_orthogonal_part_is_that_of_the_singular_values() -> None:
    rough = QUARTER + 1e-3 * batch(1)[0]
    left, _, right = np.linalg.svd(rough)
    found = orthogonal_part(rough)
    np.testing.assert_allclose(found, left @ right, atol=2e-16 * 4)
    np.testing.assert_allclose(matmul3(found, transposed(found)), np.eye(3), atol=1e-15)


def test_a_rotation_stays_as_it_is() -> None:
    assert (orthogonal_part(QUARTER) == QUARTER).all()
