"""The spot shapes against their printed formulas, and their derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from distbragg.kernel.scene import spot_of
from distbragg.physics.arrays import root
from distbragg.physics.transform import (
    Spot,
    interference,
    lattice_amplitude,
    radius_squared,
    sinc3,
)
from tests.unit.kernel.experiments import make_experiment
from tests.unit.physics.kit import BOTH, Make, gradient

CELLS = (5.0, 4.0, 6.0)
SHAPES = ("square", "round", "gauss", "gauss_star", "tophat")


def spot(shape: str, cells: tuple[float, float, float] = CELLS, fudge: float = 1.0) -> Spot:
    """A spot whose form is diag(N²)."""
    rows = [[fudge * n * n if i == j else 0.0 for j in range(3)] for i, n in enumerate(cells)]
    form: Any = tuple(tuple(row) for row in rows)
    return Spot(shape, cells, form)  # type: ignore[arg-type]


def offsets(make: Make, count: int = 997) -> tuple[Any, Any, Any]:
    values = np.random.default_rng(4).uniform(-0.5, 0.5, (3, count))
    return make(values[0]), make(values[1]), make(values[2])


@pytest.mark.spec("CRY-8")
@BOTH
@pytest.mark.parametrize("cells", [2.0, 5.0, 7.0, 300.0, 1000.0])
def test_interference_is_the_ratio_of_sines(cells: float, make: Make) -> None:
    deltas = offsets(make)[0]
    exact = [math.sin(math.pi * cells * d) / math.sin(math.pi * d) for d in deltas.tolist()]
    found = np.asarray(interference(deltas, cells))
    assert np.abs(np.abs(found) - np.abs(exact)).max() < 1e-11 * cells


@pytest.mark.spec("CRY-8")
@BOTH
@pytest.mark.parametrize(
    ("cells", "delta", "expected"),
    # sin 3π/4 / sin π/4; 2 cos π/3; sin 2π/3 / sin π/6; sin 5π/2 / sin π/2.
    [(3.0, 0.25, 1.0), (2.0, 1 / 3, 1.0), (4.0, 1 / 6, math.sqrt(3.0)), (5.0, 0.5, 1.0)],
)
def test_interference_at_angles_known_by_heart(
    cells: float, delta: float, expected: float, make: Make
) -> None:
    found = interference(make([delta, -delta]), cells)
    assert abs(found).tolist() == pytest.approx([expected, expected], rel=1e-15)


@BOTH
@pytest.mark.parametrize("delta", [0.0, 5e-324, 1e-200, 1e-40, 1e-31, 1e-18, -1e-16, 1e-12])
def test_interference_on_a_lattice_point_is_the_number_of_cells(delta: float, make: Make) -> None:
    assert interference(make([delta]), 1000.0).tolist() == pytest.approx([1000.0], rel=1e-15)


@BOTH
def test_even_crystal_at_a_half_index_scatters_nothing(make: Make) -> None:
    assert interference(make([0.5, -0.5]), 6.0).tolist() == [0.0, 0.0]


@BOTH
def test_axis_of_one_cell_has_no_interference(make: Make) -> None:
    found = lattice_amplitude(spot("square", (1.0, 1.0, 1.0)), offsets(make))
    assert found.tolist() == [1.0] * 997
    one = make(1.0)
    assert interference(offsets(make)[0], one).tolist() == [1.0] * 997


@pytest.mark.spec("CRY-9")
@BOTH
def test_sinc3_joins_its_series_smoothly_and_is_one_at_the_origin(make: Make) -> None:
    arguments = np.concatenate([[0.0, 1e-160], np.linspace(1e-3, 3.0, 4001), [40.5, 2000.25]])
    found = np.asarray(sinc3(make((arguments / math.pi) ** 2)))
    x = np.maximum(arguments, 1e-3).astype(np.longdouble)
    exact = (3.0 * (np.sin(x) / x - np.cos(x)) / (x * x)).astype(np.float64)
    exact[:2] = 1.0
    assert np.abs(np.abs(found) - np.abs(exact)).max() < 1e-12


@pytest.mark.spec("CRY-9")
@BOTH
def test_sinc3_at_whole_and_half_turns(make: Make) -> None:
    # x = π/2: 3 (2/π − 0)/(π/2)²; x = π: 3 (0 + 1)/π²; x = 2π: 3 (0 − 1)/(2π)².
    expected = [24.0 / math.pi**3, 3.0 / math.pi**2, 0.75 / math.pi**2]
    assert abs(sinc3(make([0.25, 1.0, 4.0]))).tolist() == pytest.approx(expected, rel=1e-14)


@pytest.mark.spec("CRY-9")
@pytest.mark.spec("CRY-10")
@pytest.mark.spec("CRY-11")
@BOTH
@pytest.mark.parametrize("shape", ["round", "gauss", "gauss_star", "tophat"])
def test_amplitude_is_a_function_of_the_radius(shape: str, make: Make) -> None:
    # δ = (0.06, 0.1, 0.05): r² = 0.3² + 0.4² + 0.3² = 0.34.
    crystal = spot(shape)
    delta = (make([0.06]), make([0.1]), make([0.05]))
    assert radius_squared(crystal, delta).tolist() == pytest.approx([0.34], rel=1e-14)
    x = math.pi * math.sqrt(0.34)
    expected = {
        "round": 0.723601254558268 * 3.0 * (math.sin(x) / x - math.cos(x)) / x**2,
        "gauss": math.exp(-0.17 * math.pi),
        "gauss_star": math.exp(-0.17 * math.pi),
        "tophat": 1.0,
    }[shape]
    found = lattice_amplitude(crystal, delta)
    assert abs(found).tolist() == pytest.approx([120.0 * abs(expected)], rel=1e-13)


@pytest.mark.spec("CRY-10")
@BOTH
def test_gaussian_falls_to_half_where_its_exponent_is_ln_2(make: Make) -> None:
    radius = math.sqrt(2.0 * math.log(2.0) / math.pi)
    zero = make([0.0])
    found = lattice_amplitude(spot("gauss"), (zero, make([radius / 4.0]), zero))
    assert found.tolist() == pytest.approx([60.0], rel=1e-14)


@pytest.mark.spec("CRY-10")
@pytest.mark.spec("CRY-11")
@BOTH
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_program_shapes_follow_the_unrotated_cell(shape: str, make: Make) -> None:
    crystal = make_experiment(shape=shape, cells=(5, 5, 3), fudge=0.8, physics="nanobragg").crystal
    delta = offsets(make)
    found = np.asarray(lattice_amplitude(spot_of(crystal), delta))
    vectors = np.stack([np.asarray(part) for part in delta], axis=1) @ crystal.reciprocal
    radius = (vectors**2).sum(axis=1) * 75**2 * 0.8
    exact = 75 * (np.exp(-radius / 0.63) if shape == "gauss" else (radius < 0.3969))
    assert np.allclose(found, exact, rtol=1e-12)
    assert 0 < np.count_nonzero(exact > 30.0) < exact.size


@pytest.mark.spec("CRY-10")
@pytest.mark.spec("CRY-11")
@BOTH
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_shapes_are_as_wide_as_the_crystal_is_narrow(shape: str, make: Make) -> None:
    crystal = make_experiment(shape=shape, cells=(5, 2.5, 3), fudge=0.8).crystal
    delta = offsets(make)
    h, k, l = (np.asarray(part) for part in delta)  # noqa: E741 - Miller indices
    radius = 0.8 * ((5 * h) ** 2 + (2.5 * k) ** 2 + (3 * l) ** 2)
    found = np.asarray(lattice_amplitude(spot_of(crystal), delta))
    inside = radius < (3.0 / (4.0 * math.pi)) ** (2.0 / 3.0)
    exact = 37.5 * (np.exp(-radius * math.pi / 2.0) if shape == "gauss" else inside)
    assert np.allclose(found, exact, rtol=1e-12)
    assert 0 < np.count_nonzero(exact > 15.0) < exact.size


@pytest.mark.spec("CRY-11")
@pytest.mark.spec("SCL-10")
@BOTH
def test_tophat_edge_is_decided_in_float64(make: Make) -> None:
    # A ball of volume 1 has the radius 0.62035; δ along c is its sixth.
    edge = 0.6203504908994 / 6.0
    deltas, zero = make([edge * (1.0 - 1e-12), edge * (1.0 + 1e-12)]), make([0.0, 0.0])
    assert lattice_amplitude(spot("tophat"), (zero, zero, deltas)).tolist() == [120.0, 0.0]


@BOTH
def test_off_diagonal_entries_of_the_form_count_twice(make: Make) -> None:
    form = ((2.0, 0.5, -1.0), (0.5, 3.0, 0.25), (-1.0, 0.25, 4.0))
    crystal = Spot("gauss", CELLS, form)
    delta = offsets(make, 5)
    vectors = np.stack([np.asarray(part) for part in delta], axis=1)
    expected = np.einsum("ni,ij,nj->n", vectors, np.array(form), vectors)
    np.testing.assert_allclose(np.asarray(radius_squared(crystal, delta)), expected, rtol=1e-13)


def test_the_square_integrates_to_the_number_of_cells_over_a_reciprocal_cell() -> None:
    edges = (np.arange(60) + 0.5) / 60 - 0.5
    h, k, l = np.meshgrid(edges, edges, edges, indexing="ij")  # noqa: E741 - Miller indices
    total = (lattice_amplitude(spot("square", (12.0, 9.0, 15.0)), (h, k, l)) ** 2).mean()
    assert total == pytest.approx(12.0 * 9.0 * 15.0, rel=1e-12)


@pytest.mark.parametrize("shape", ["round", "gauss", "gauss_star", "tophat"])
def test_every_shape_integrates_to_the_number_of_cells(shape: str) -> None:
    # ∫ 4π r² f(r)² dr, with r in the units of the form: 1 for one cell.
    radius = (np.arange(400_000) + 0.5) / 1000.0
    zero = np.zeros_like(radius)
    amplitude = lattice_amplitude(spot(shape, (1.0, 1.0, 1.0)), (radius, zero, zero))
    total = (4.0 * math.pi * radius**2 * amplitude**2).sum() / 1000.0
    # Of an ellipsoid's fringes 0.304/r lie beyond r.
    tail = 0.304 / 400.0 if shape == "round" else 0.0
    assert total + tail == pytest.approx(1.0, abs=2e-3 if shape == "tophat" else 1e-5)


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("cells", [0.4, 1.0, 5.0, 7.3, 1000.0])
@pytest.mark.parametrize("offset", [0.0, 5e-324, 1e-300, 1e-20, 1e-12, 1e-9, -1e-7, 1e-6])
def test_interference_near_a_reflection_has_the_derivatives_of_its_series(offset, cells):
    # N (1 − π²(N² − 1)δ²/6)
    value = interference(scalar(offset), scalar(cells)).item()
    assert value == pytest.approx(cells, rel=1e-5)
    by_delta, by_count = gradient(interference, offset, cells)
    slope = -cells * (math.pi**2) * (cells**2 - 1.0) * offset / 3.0
    assert by_delta == pytest.approx(slope, rel=1e-4, abs=1e-10 * cells)
    assert by_count == pytest.approx(1.0, abs=1e-4)


def test_interference_across_its_branches():
    points = tensor(0.0, 1e-3, 0.0099, 0.0101, 0.03, 0.2, -0.47, 0.499)
    assert gradcheck(interference, (points, scalar(49.7)), eps=1e-7, rtol=1e-5)
    assert gradcheck(interference, (points, scalar(3.0)), rtol=1e-6)


def test_interference_keeps_the_digits_of_its_derivative():
    small = [1e-15, 1e-10, 1e-6]
    for x in small:
        by_delta, _ = gradient(interference, x, 2.0)
        # sin 2πδ/sin πδ = 2 cos πδ
        assert by_delta == pytest.approx(-2.0 * math.pi * math.sin(math.pi * x), rel=1e-7)


def test_sinc3_and_root_at_zero():
    assert gradcheck(sinc3, tensor(1e-3, 0.1, 0.22, 0.24, 3.0, 90.0), rtol=1e-6)
    # 3 (sin x/x − cos x)/x² = 1 − x²/10 + …
    assert gradient(sinc3, 0.0) == pytest.approx([-(math.pi**2) / 10.0], rel=1e-15)
    roots = tensor(0.0, 4.0)
    assert torch.autograd.grad(root(roots).sum(), roots)[0].tolist() == [0.0, 0.25]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_finite_at_every_singular_point(shape):
    special = [0.0, -0.0, 0.5, -0.5, 0.25, 0.125, 1e-200]
    points = torch.tensor(
        [[a, b, c] for a in special for b in special for c in special], dtype=torch.float64
    ).requires_grad_()
    h, k, l = points.unbind(1)  # noqa: E741 - Miller indices
    amplitude = lattice_amplitude(spot(shape, (4.0, 1.0, 8.0)), (h, k, l))
    assert bool(torch.isfinite(amplitude).all())
    if shape != "tophat":
        (slopes,) = torch.autograd.grad((amplitude * amplitude).sum(), points)
        assert bool(torch.isfinite(slopes).all())
