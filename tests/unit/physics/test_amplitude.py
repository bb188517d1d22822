"""Structure-factor look-up: nearest, tricubic, and outside the box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import lagrange
from torch.autograd import gradcheck

from distbragg.physics.amplitude import AmplitudeTable, cell_amplitude, cubic_weights
from distbragg.physics.orientation import nearest_indices
from tests.unit.physics.kit import BOTH, Make

ORIGIN = (-3, -2, -4)
SHAPE = (7, 6, 8)
VALUES = np.random.default_rng(1).uniform(1.0, 9.0, SHAPE)


def table_of(
    make: Make, *, interpolate: bool, values: np.ndarray = VALUES, default: float = 5.5
) -> AmplitudeTable:
    shape = (values.shape[0], values.shape[1], values.shape[2])
    return AmplitudeTable(make(np.append(values.ravel(), default)), shape, ORIGIN, interpolate)


def look_up(table: AmplitudeTable, points: np.ndarray, make: Make) -> np.ndarray:
    indices = (make(points[:, 0]), make(points[:, 1]), make(points[:, 2]))
    found = cell_amplitude(table, indices, nearest_indices(indices))
    return np.full(len(points), found) if isinstance(found, float) else np.asarray(found)


@pytest.mark.spec("CRY-14")
@BOTH
def test_nearest_point_and_default_outside(make: Make) -> None:
    points = np.array([[-3.0, -2.0, -4.0], [3.0, 3.0, 3.0], [0.4, -0.4, 1.5], [4.0, 0, 0],
                       [0, -2.6, 0], [-3.5, 0, 0], [3.5, 0, 0], [0, 0, 1e9]])  # fmt: skip
    found = look_up(table_of(make, interpolate=False), points, make)
    # ceil(h − 1/2): a half rounds down, so −3.5 is −4 (outside) and 3.5 is 3 (inside).
    assert found.tolist() == [
        VALUES[0, 0, 0], VALUES[6, 5, 7], VALUES[3, 2, 5], 5.5, 5.5, 5.5, VALUES[6, 2, 4], 5.5,
    ]  # fmt: skip


@pytest.mark.spec("CRY-14")
@BOTH
def test_no_table_is_the_default_everywhere(make: Make) -> None:
    empty = table_of(make, interpolate=True, values=np.zeros((0, 0, 0)), default=2.25)
    assert look_up(empty, np.zeros((3, 3)), make).tolist() == [2.25] * 3


def nested_polynomials(values: np.ndarray, at: np.ndarray) -> float:
    """Interpolate along l, then k, then h, each through four points, with scipy's polynomials."""
    floors = np.floor(at).astype(int)
    h, k, l = floors - np.array(ORIGIN) - 1  # noqa: E741
    block = values[h : h + 4, k : k + 4, l : l + 4]
    nodes = [floors[axis] + np.arange(-1.0, 3.0) - at[axis] for axis in range(3)]
    along_l = np.array([[lagrange(nodes[2], line)(0.0) for line in plane] for plane in block])
    along_k = np.array([lagrange(nodes[1], line)(0.0) for line in along_l])
    return float(lagrange(nodes[0], along_k)(0.0))


@pytest.mark.spec("CRY-15")
@BOTH
def test_tricubic_is_nested_polynomials_through_four_points(make: Make) -> None:
    points = np.random.default_rng(2).uniform([-1, 0, -2], [0.99, 0.99, 0.99], (50, 3))
    exact = [nested_polynomials(VALUES, point) for point in points]
    found = look_up(table_of(make, interpolate=True), points, make)
    assert np.allclose(found, exact, rtol=1e-12, atol=1e-11)


@pytest.mark.spec("CRY-15")
@BOTH
def test_tricubic_of_a_cubic_by_hand(make: Make) -> None:
    axes = (np.arange(n) + low for n, low in zip(SHAPE, ORIGIN, strict=True))
    h, k, l = np.meshgrid(*axes, indexing="ij")  # noqa: E741 - Miller indices
    table = table_of(make, interpolate=True, values=(h**3 - 2 * k**2 + 5 * l + 40).astype(float))
    # 0.5³ − 2·0.25² + 5·(−0.75) + 40
    found = look_up(table, np.array([[0.5, 0.25, -0.75]]), make)
    assert found.tolist() == pytest.approx([36.25], rel=1e-14)


def test_cubic_weights_half_way_by_hand() -> None:
    assert cubic_weights(0.5) == (-0.0625, 0.5625, 0.5625, -0.0625)


@BOTH
def test_tricubic_at_a_grid_point_is_the_stored_value(make: Make) -> None:
    found = look_up(table_of(make, interpolate=True), np.array([[0.0, 1.0, -1.0]]), make)
    assert found.tolist() == [VALUES[3, 3, 3]]


@pytest.mark.spec("CRY-15")
@BOTH
def test_evaluation_without_support_is_nearest_and_others_stay_tricubic(make: Make) -> None:
    # Out of range when h − h_min + 3 > h_range or h − 2 < h_min: along h, −1 ≤ h ≤ 1 is inside.
    inside = np.array([[-1.0, 0.5, 0.5], [1.0, 0.5, 0.5], [0.3, 0.5, 0.5]])
    outside = np.array([[-1.01, 0.5, 0.5], [1.01, 0.5, 0.5], [0.3, 0.5, 2.0], [9.0, 0.5, 0.5]])
    both = np.concatenate([inside, outside])
    mixed = look_up(table_of(make, interpolate=True), both, make)
    plain = look_up(table_of(make, interpolate=False), outside, make)
    assert mixed[3:].tolist() == plain.tolist()
    exact = [nested_polynomials(VALUES, point) for point in inside]
    assert np.allclose(mixed[:3], exact, rtol=1e-12)


def test_gradient_of_the_tricubic_polynomial_and_of_the_nearest_point() -> None:
    values = torch.from_numpy(np.append(VALUES.ravel(), 5.5))
    smooth = AmplitudeTable(values, SHAPE, ORIGIN, True)
    point = torch.tensor([[0.3, 0.4, -0.7], [0.1, 0.6, 0.25]], dtype=torch.float64)

    def value(at: torch.Tensor) -> torch.Tensor:
        indices = (at[:, 0], at[:, 1], at[:, 2])
        found = cell_amplitude(smooth, indices, nearest_indices(indices))
        assert isinstance(found, torch.Tensor)
        return found

    assert gradcheck(value, [point.clone().requires_grad_()], rtol=1e-6)
    flat = AmplitudeTable(values, SHAPE, ORIGIN, False)
    at = point.clone().requires_grad_()
    indices = (at[:, 0], at[:, 1], at[:, 2])
    assert not cell_amplitude(flat, indices, nearest_indices(indices)).requires_grad
