"""Lattices in CrystFEL's words."""

from __future__ import annotations

import gemmi
import pytest

from distbragg.read.lattice_names import LatticeName, lattice_name


@pytest.mark.spec("EXP-13")
@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("P 1", ("triclinic", "P", "*")),
        ("C 1 2 1", ("monoclinic", "C", "b")),
        ("P 1 1 21", ("monoclinic", "P", "c")),
        ("C 2 2 21", ("orthorhombic", "C", "*")),
        ("P 43 21 2", ("tetragonal", "P", "c")),
        ("P 31 2 1", ("hexagonal", "P", "c")),
        ("R 3 :H", ("hexagonal", "H", "c")),
        ("R 3 :R", ("rhombohedral", "R", "*")),
        ("F m -3 m", ("cubic", "F", "*")),
    ],
)
def test_lattices_are_named_by_their_space_group(
    group: str, expected: tuple[str, str, str]
) -> None:
    assert lattice_name(gemmi.SpaceGroup(group)) == LatticeName(*expected)


def test_no_group_and_operators_of_none_are_triclinic() -> None:
    assert lattice_name(None) == LatticeName("triclinic", "P", "*")
    operators = gemmi.symops_from_hall("-P 1")
    assert lattice_name(operators) == LatticeName()
