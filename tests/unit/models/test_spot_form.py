"""The quadratic form of spots, from specifications."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.crystal import Crystal
from distbragg.shapes import SHAPES, SpotShape
from distbragg.spec.load import parse_spec

TRICLINIC = [40.0, 50.0, 60.0, 80.0, 95.0, 105.0]
MONOCLINIC = [40.0, 50.0, 60.0, 90.0, 110.0, 90.0]


def crystal_of(physics: str = "exact", **crystal: Any) -> Crystal:
    given = {"cell": TRICLINIC, **crystal}
    factors = {"default_f_electrons": 1.0}
    spec = {
        "physics": physics,
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": given,
        "structure_factors": factors,
    }
    return build_experiment(parse_spec(spec)).crystal


def test_every_shape_has_its_row() -> None:
    assert list(SHAPES) == list(get_args(SpotShape))
    for row in SHAPES.values():
        for other in SHAPES.values():
            alike = ("transform", "height", "zero_radius", "decay")
            same = all(getattr(row, name) == getattr(other, name) for name in alike)
            assert same == (row.code == other.code)


@pytest.mark.parametrize("shape", ["round", "gauss", "tophat"])
def test_width_follows_the_cells_along_each_axis(shape: str) -> None:
    form = crystal_of(shape=shape, cells=[5, 2.5, 30], fudge=1.5).spot_form
    np.testing.assert_array_equal(form, np.diag([37.5, 9.375, 1350.0]))


@pytest.mark.parametrize("misset", [[0, 0, 0], [10, 20, 30]])
@pytest.mark.spec("CRY-10")
def test_gauss_star_is_a_ball_in_reciprocal_space(misset: list[float]) -> None:
    crystal = crystal_of(
        cell=MONOCLINIC, shape="gauss_star", cells=[5, 6, 7], fudge=2.0, misset_deg=misset
    )
    volume = 40.0 * 50.0 * 60.0 * math.sin(math.radians(110.0))
    for index in np.random.default_rng(1).uniform(-0.5, 0.5, (20, 3)):
        distance = float(np.linalg.norm(index @ crystal.reciprocal))
        square = 2.0 * distance**2 * (210.0 * volume) ** (2.0 / 3.0)
        assert index @ crystal.spot_form @ index == pytest.approx(square, rel=1e-12)
        # The Laue group 2/m of a monoclinic cell: h k l, -h k -l, h -k l and their opposites.
        for mate in (index * [-1, 1, -1], index * [1, -1, 1], -index):
            assert mate @ crystal.spot_form @ mate == pytest.approx(square, rel=1e-12)


def test_gauss_itself_breaks_no_rule_it_keeps_the_cells_axes() -> None:
    """Of a monoclinic crystal the widths are those of a, b, c and not of orthogonal axes."""
    form = crystal_of(cell=MONOCLINIC, shape="gauss", cells=[5, 6, 7]).spot_form
    np.testing.assert_array_equal(form, np.diag([25.0, 36.0, 49.0]))


@pytest.mark.parametrize(("shape", "width"), [("gauss", 0.63), ("tophat", 0.3969)])
def test_the_programs_width_falls_with_the_number_of_cells(shape: str, width: float) -> None:
    crystal = crystal_of(physics="nanobragg", shape=shape, cells=[3, 4, 5], fudge=0.5)
    ours = {"gauss": 2.0 / math.pi, "tophat": (3.0 / (4.0 * math.pi)) ** (2.0 / 3.0)}[shape]
    metric = crystal.reciprocal @ crystal.reciprocal.T
    np.testing.assert_allclose(crystal.spot_form, 0.5 * 60.0**2 / width * ours * metric, rtol=1e-13)


@pytest.mark.spec("CRY-10")
def test_the_program_has_no_gauss_star() -> None:
    with pytest.raises(InputError, match="no shape 'gauss_star'"):
        crystal_of(physics="nanobragg", shape="gauss_star")


@pytest.mark.spec("CRY-24")
@pytest.mark.parametrize("shape", get_args(SpotShape))
def test_broken_numbers_of_cells_are_refused_for_square_alone(shape: str) -> None:
    if shape == "square":
        with pytest.raises(InputError, match=r"4.5 cells along b: a square crystal"):
            crystal_of(shape=shape, cells=[5, 4.5, 6])
        return
    np.testing.assert_array_equal(crystal_of(shape=shape, cells=[5, 4.5, 6]).cells, [5.0, 4.5, 6.0])
