"""Amorphous scattering: its table by hand, and between its points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distbragg.models.experiment import Material
from distbragg.models.vectors import frozen_float64
from distbragg.physics.amorphous import (
    AmorphousTable,
    SummedTable,
    amorphous_amplitude,
    amorphous_intensity,
    material_curves,
)
from tests.unit.physics.kit import BOTH, Make

STOL, AMPLITUDE = (0.1, 0.3, 0.7), (2.0, 8.0, 4.0)


@pytest.mark.spec("SCL-8")
@BOTH
def test_background_table_is_linear_and_held_beyond_its_ends(make: Make) -> None:
    table = AmorphousTable(3.0, make(STOL), make(AMPLITUDE))
    points = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.7, 9.0])
    found = amorphous_intensity(table, make(points))
    assert np.allclose(np.asarray(found), 3.0 * np.interp(points, STOL, AMPLITUDE) ** 2, rtol=1e-14)


@pytest.mark.spec("SCL-8")
@BOTH
def test_background_by_hand(make: Make) -> None:
    # Half way from 2 to 8 electrons, three molecules: 3 · 5² = 75; below the table 3 · 2² = 12.
    table = AmorphousTable(3.0, make(STOL), make(AMPLITUDE))
    assert amorphous_intensity(table, make([0.2, 0.05])).tolist() == pytest.approx([75.0, 12.0])


@pytest.mark.spec("SCL-7")
@BOTH
def test_a_table_of_one_entry_is_the_same_everywhere(make: Make) -> None:
    table = AmorphousTable(2.0, make([0.0]), make([2.5]))
    assert amorphous_intensity(table, make([0.0, 0.4])).tolist() == [12.5, 12.5]


def test_gradient_is_the_slope_of_the_table() -> None:
    table = AmorphousTable(
        1.0, torch.tensor(STOL, dtype=torch.float64), torch.tensor(AMPLITUDE, dtype=torch.float64)
    )
    stol = torch.tensor([0.0, 0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(amorphous_amplitude(table, stol).sum(), stol)
    assert slope.tolist() == pytest.approx([0.0, 30.0, -10.0, 0.0])


MATERIALS = (
    Material(3.0, frozen_float64(STOL), frozen_float64(AMPLITUDE)),
    Material(2.0, frozen_float64([0.0]), frozen_float64([2.5])),
    Material(0.5, frozen_float64([0.2, 0.25, 0.5]), frozen_float64([1.0, -9.0, 3.0])),
)


@pytest.mark.spec("SCL-14")
@BOTH
def test_the_sum_of_materials_is_exact_between_all_points(make: Make) -> None:
    points = np.linspace(0.0, 0.9, 1801)
    expected = sum(
        one.molecules * np.interp(points, one.stol, one.amplitude) ** 2 for one in MATERIALS
    )
    stol, curves = material_curves(MATERIALS)
    table = SummedTable(make(stol), make(curves.sum(axis=0)))
    found = np.asarray(amorphous_intensity(table, make(points)))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.spec("SCL-14")
def test_three_materials_by_hand() -> None:
    # At 0.2: 3 · 5² + 2 · 2.5² + ½ · 1² = 88; at 0.225 the first is 5.75, the third half way from
    # 1 to −9: 3 · 33.0625 + 12.5 + ½ · 16 = 119.6875.
    stol, curves = material_curves(MATERIALS)
    table = SummedTable(stol, curves.sum(axis=0))
    found = amorphous_intensity(table, np.array([0.2, 0.225]))
    assert found.tolist() == pytest.approx([88.0, 119.6875])
