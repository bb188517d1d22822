"""Occupancies on and beside special positions, of small molecules and of macromolecules."""

from __future__ import annotations

import math

import gemmi
import pytest

from distbragg.read.structure_factors import read_structure_factors

CELL = (6.0, 7.0, 8.0, 80.0, 85.0, 95.0)
U_ISO = 0.05


def small(site: str, group: str = "P -1", order: str = "", cell: tuple[float, ...] = CELL) -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = "".join(f"_cell_{n} {v}\n" for n, v in zip(names, cell, strict=True))
    tags = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "U_iso_or_equiv", "occupancy"]
    tags += ["site_symmetry_order"] if order else []
    loop = "loop_\n" + "".join(f"_atom_site_{tag}\n" for tag in tags)
    return f"data_t\n{head}_space_group_name_H-M_alt '{group}'\n{loop}{site} {order}\n"


def amplitudes(path, content, **options):
    path.write_text(content)
    table = read_structure_factors(str(path), **options)
    found = {
        tuple(index): value
        for index, value in zip(table.indices.tolist(), table.amplitude.tolist(), strict=True)
    }
    return found, " ".join(f"[{note.kind}] {note.text}" for note in table.notes)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize("order", ["", "1", "."])
def test_an_atom_disordered_about_a_special_position_counts_with_every_image(tmp_path, order):
    # Two half atoms 0.4 Å from each other: F = 2 · ½ · f · T · cos 2π(h x + k y + l z).
    content = small("C1 C 0.02 0.01 0.01 0.05 0.5", order=order)
    found, notes = amplitudes(tmp_path / "a.cif", content, dmin=1.5)
    cell = gemmi.UnitCell(*CELL)
    coefficients = gemmi.Element("C").it92
    for index in ((0, 0, 0), (1, 0, 0), (1, 1, 1), (2, -1, 1)):
        stol2 = cell.calculate_1_d2(index) / 4
        factor = coefficients.calculate_sf(stol2) * math.exp(-8 * math.pi**2 * U_ISO * stol2)
        phase = 2 * math.pi * (0.02 * index[0] + 0.01 * index[1] + 0.01 * index[2])
        assert found[index] == pytest.approx(abs(factor * math.cos(phase)), rel=1e-6)
    assert "[note] 1 site beside a special position, disordered: every image counts" in notes


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("site", "group", "cell", "electrons"),
    [
        ("Fe1 Fe 0 0 0 0.05 1", "P -1", CELL, 26),
        ("Fe1 Fe 0 0 0 0.05 0.5", "P -1", CELL, 13),
        ("Fe1 Fe 0.002 0 0 0.05 1", "P -1", CELL, 26),
        ("Fe1 Fe 0.02 0.01 0.01 0.05 1", "P -1", CELL, 26),  # 0.4 Å: no two whole atoms
        ("Zn1 Zn 0.333 0.667 0 0.05 1", "P 63 m c", (3.25, 3.25, 5.2, 90, 90, 120), 60),
        ("Zn1 Zn 0.33 0.67 0 0.05 1", "P 63 m c", (9.25, 9.25, 5.2, 90, 90, 120), 60),
    ],
)
def test_an_atom_on_a_special_position_counts_once(tmp_path, site, group, cell, electrons):
    found, notes = amplitudes(tmp_path / "a.cif", small(site, group, cell=cell), dmin=1.5)
    assert found[0, 0, 0] == pytest.approx(electrons, rel=2e-3)
    assert "beside" not in notes


def pdb(occupancy: float, place: tuple[float, float, float]) -> str:
    x, y, z = place
    return (
        "CRYST1   20.000   21.000   22.000  90.00  90.00  90.00 P 2 2 2       4\n"
        f"HETATM    1 ZN    ZN A   1    {x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f} 20.00"
        "          ZN\nEND\n"
    )


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("occupancy", "place", "electrons", "told"),
    [
        (0.25, (0.0, 0.0, 0.0), 30, False),
        (1.0, (0.0, 0.0, 0.0), 30, True),
        (1.0, (0.0, 0.0, 5.0), 60, True),
        (0.5, (0.0, 0.0, 5.0), 60, False),
        (0.5, (0.15, 0.0, 5.0), 60, False),  # disordered about the axis: both images
        (1.0, (0.15, 0.0, 5.0), 60, True),
        (1.0, (3.0, 4.0, 5.0), 120, False),
    ],
)
def test_a_place_of_a_macromolecule_holds_one_atom(tmp_path, occupancy, place, electrons, told):
    content = pdb(occupancy, place)
    found, notes = amplitudes(tmp_path / "a.pdb", content, dmin=4.0, bulk_solvent=False)
    assert found[0, 0, 0] == pytest.approx(electrons, rel=2e-3)
    assert ("[warning] 1 atom on special positions" in notes) == told
