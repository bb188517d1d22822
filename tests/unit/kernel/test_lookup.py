"""Structure-factor look-up: nearest, tricubic, and outside the box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import lagrange

from distbragg.kernel.lookup import amplitude_table, cell_amplitude
from distbragg.models.arrays import frozen_float64
from distbragg.models.crystal import Reflections

CPU = torch.device("cpu")


def reflections(*, interpolate: bool, shape: tuple[int, int, int] = (7, 6, 8)) -> Reflections:
    values = np.random.default_rng(1).uniform(1.0, 9.0, shape)
    return Reflections(frozen_float64(values), (-3, -2, -4), 5.5, interpolate)


def look_up(table: Reflections, points: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    columns = torch.from_numpy(points)
    h, k, l = columns[:, 0], columns[:, 1], columns[:, 2]  # noqa: E741
    nearest = tuple(torch.ceil(part - 0.5) for part in (h, k, l))
    found = cell_amplitude(amplitude_table(table, dtype, CPU), (h, k, l), nearest)  # type: ignore[arg-type]
    if isinstance(found, float):
        return np.full(len(points), found)
    return found.to(torch.float64).numpy()


@pytest.mark.spec("CRY-14")
def test_nearest_point_and_default_outside() -> None:
    table = reflections(interpolate=False)
    points = np.array([[-3.0, -2.0, -4.0], [3.0, 3.0, 3.0], [0.4, -0.4, 1.5], [4.0, 0, 0],
                       [0, -2.6, 0], [-3.5, 0, 0], [3.5, 0, 0], [0, 0, 1e9]])  # fmt: skip
    found = look_up(table, points, torch.float64)
    cell = table.amplitude
    # ceil(h − 1/2): a half rounds down, so −3.5 is −4 (outside) and 3.5 is 3 (inside).
    assert found.tolist() == [
        cell[0, 0, 0], cell[6, 5, 7], cell[3, 2, 5], 5.5, 5.5, 5.5, cell[6, 2, 4], 5.5,
    ]  # fmt: skip


def test_no_table_is_the_default_everywhere() -> None:
    empty = Reflections(frozen_float64(np.zeros((0, 0, 0))), (0, 0, 0), 2.25, True)
    assert look_up(empty, np.zeros((3, 3)), torch.float32).tolist() == [2.25] * 3


def nested_polynomials(values: np.ndarray, at: np.ndarray) -> float:
    """Interpolate along l, then k, then h, each through four points, with scipy's polynomials."""
    floors = np.floor(at).astype(int)
    h, k, l = floors - np.array([-3, -2, -4]) - 1  # noqa: E741
    block = values[h : h + 4, k : k + 4, l : l + 4]
    nodes = [floors[axis] + np.arange(-1.0, 3.0) - at[axis] for axis in range(3)]
    along_l = np.array([[lagrange(nodes[2], line)(0.0) for line in plane] for plane in block])
    along_k = np.array([lagrange(nodes[1], line)(0.0) for line in along_l])
    return float(lagrange(nodes[0], along_k)(0.0))


@pytest.mark.spec("CRY-15")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-12)])
def test_tricubic_is_nested_polynomials_through_four_points(
    dtype: torch.dtype, tolerance: float
) -> None:
    table = reflections(interpolate=True)
    points = np.random.default_rng(2).uniform([-1, 0, -2], [0.99, 0.99, 0.99], (50, 3))
    exact = [nested_polynomials(table.amplitude, point) for point in points]
    assert np.allclose(look_up(table, points, dtype), exact, rtol=tolerance, atol=10 * tolerance)


def test_tricubic_at_a_grid_point_is_the_stored_value() -> None:
    table = reflections(interpolate=True)
    found = look_up(table, np.array([[0.0, 1.0, -1.0]]), torch.float64)
    assert found.tolist() == [table.amplitude[3, 3, 3]]


@pytest.mark.spec("CRY-15")
def test_evaluation_without_support_is_nearest_and_others_stay_tricubic() -> None:
    table, plain = reflections(interpolate=True), reflections(interpolate=False)
    # Out of range when h − h_min + 3 > h_range or h − 2 < h_min: along h, −1 ≤ h ≤ 1 is inside.
    inside = np.array([[-1.0, 0.5, 0.5], [1.0, 0.5, 0.5], [0.3, 0.5, 0.5]])
    outside = np.array([[-1.01, 0.5, 0.5], [1.01, 0.5, 0.5], [0.3, 0.5, 2.0], [9.0, 0.5, 0.5]])
    mixed = look_up(table, np.concatenate([inside, outside]), torch.float64)
    assert mixed[3:].tolist() == look_up(plain, outside, torch.float64).tolist()
    exact = [nested_polynomials(table.amplitude, point) for point in inside]
    assert np.allclose(mixed[:3], exact, rtol=1e-12)


def test_table_is_kept_by_identity_and_not_by_shape() -> None:
    first, second = reflections(interpolate=False), reflections(interpolate=False)
    assert amplitude_table(first, torch.float32, CPU).values is (
        amplitude_table(first, torch.float32, CPU).values
    )
    other = Reflections(frozen_float64(second.amplitude * 2.0), second.origin, 5.5, False)
    values = amplitude_table(other, torch.float64, CPU).values[:-1].numpy()
    assert (values == other.amplitude.ravel()).all()
