"""The four spot shapes against their printed formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.kernel.lattice import interference, lattice_amplitude, lattice_shape, sinc3
from tests.unit.kernel.experiments import make_experiment

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def offsets(count: int = 997) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(np.random.default_rng(4).uniform(-0.5, 0.5, (3, count)))
    return values[0], values[1], values[2]


@pytest.mark.spec("CRY-8")
@BOTH
@pytest.mark.parametrize("cells", [2.0, 5.0, 7.0, 300.0, 1000.0])
def test_interference_is_the_ratio_of_sines(cells: float, dtype: torch.dtype) -> None:
    deltas = offsets()[0]
    exact = np.array(
        [math.sin(math.pi * cells * d) / math.sin(math.pi * d) for d in deltas.tolist()]
    )
    found = interference(deltas, cells, dtype).to(torch.float64).numpy()
    tolerance = (1e-6 if dtype is torch.float32 else 1e-11) * cells
    assert np.abs(np.abs(found) - np.abs(exact)).max() < tolerance


@BOTH
@pytest.mark.parametrize("delta", [0.0, 5e-324, 1e-200, 1e-40, 1e-31, 1e-18, -1e-16, 1e-12])
def test_interference_on_a_lattice_point_is_the_number_of_cells(
    delta: float, dtype: torch.dtype
) -> None:
    found = interference(torch.tensor([delta], dtype=torch.float64), 1000.0, dtype)
    assert found.item() == pytest.approx(1000.0, rel=3e-7)


@BOTH
def test_even_crystal_at_a_half_index_scatters_nothing(dtype: torch.dtype) -> None:
    found = interference(torch.tensor([0.5], dtype=torch.float64), 6.0, dtype)
    assert abs(found.item()) < 1e-12


@BOTH
def test_axis_of_one_cell_has_no_interference(dtype: torch.dtype) -> None:
    shape = lattice_shape(make_experiment(cells=(1, 1, 1)).crystal)
    assert torch.equal(lattice_amplitude(shape, offsets(), dtype), torch.ones(997, dtype=dtype))


@pytest.mark.spec("CRY-9")
@BOTH
def test_sinc3_joins_its_series_smoothly_and_is_one_at_the_origin(dtype: torch.dtype) -> None:
    arguments = np.concatenate([[0.0, 1e-160], np.linspace(1e-3, 3.0, 4001), [40.5, 2000.25]])
    found = sinc3(torch.from_numpy((arguments / math.pi) ** 2), dtype).to(torch.float64).numpy()
    x = np.maximum(arguments, 1e-3).astype(np.longdouble)
    exact = (3.0 * (np.sin(x) / x - np.cos(x)) / (x * x)).astype(np.float64)
    exact[:2] = 1.0
    tolerance = 4e-7 if dtype is torch.float32 else 1e-12
    assert np.abs(np.abs(found) - np.abs(exact)).max() < tolerance


@pytest.mark.spec("CRY-10")
@pytest.mark.spec("CRY-11")
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
@BOTH
def test_program_shapes_follow_the_unrotated_cell(shape: str, dtype: torch.dtype) -> None:
    crystal = make_experiment(shape=shape, cells=(5, 5, 3), fudge=0.8, physics="nanobragg").crystal
    found = lattice_amplitude(lattice_shape(crystal), offsets(), dtype).to(torch.float64)
    vectors = np.stack([part.numpy() for part in offsets()], axis=1) @ crystal.reciprocal
    radius = (vectors**2).sum(axis=1) * 75**2 * 0.8
    exact = 75 * (np.exp(-radius / 0.63) if shape == "gauss" else (radius < 0.3969))
    assert np.allclose(found.numpy(), exact, rtol=1e-5 if dtype is torch.float32 else 1e-12)
    assert 0 < np.count_nonzero(exact > 30.0) < exact.size


@pytest.mark.spec("CRY-10")
@pytest.mark.spec("CRY-11")
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_shapes_are_as_wide_as_the_crystal_is_narrow(shape: str) -> None:
    crystal = make_experiment(shape=shape, cells=(5, 2.5, 3), fudge=0.8).crystal
    h, k, l = (part.numpy() for part in offsets())  # noqa: E741
    radius = 0.8 * ((5 * h) ** 2 + (2.5 * k) ** 2 + (3 * l) ** 2)
    found = lattice_amplitude(lattice_shape(crystal), offsets(), torch.float64).numpy()
    inside = radius < (3.0 / (4.0 * math.pi)) ** (2.0 / 3.0)
    exact = 37.5 * (np.exp(-radius * math.pi / 2.0) if shape == "gauss" else inside)
    assert np.allclose(found, exact, rtol=1e-12)
    assert 0 < np.count_nonzero(exact > 15.0) < exact.size


@pytest.mark.spec("SCL-10")
def test_tophat_edge_is_decided_in_float64() -> None:
    crystal = make_experiment(shape="tophat", cells=(2, 2, 2)).crystal
    edge = math.cbrt(3.0 / (4.0 * math.pi)) / 2.0
    deltas = torch.tensor([edge * (1.0 - 1e-12), edge * (1.0 + 1e-12)], dtype=torch.float64)
    zero = torch.zeros_like(deltas)
    found = lattice_amplitude(lattice_shape(crystal), (deltas, zero, zero), torch.float32)
    assert found.tolist() == [8.0, 0.0]
