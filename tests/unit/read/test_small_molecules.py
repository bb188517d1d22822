"""Sites of small-molecule CIF: dummies, isotopes, displacement as U, B or β, symmetry, blocks."""

from __future__ import annotations

import math
from pathlib import Path

import gemmi
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.groups import named_group
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import read_structure_factors

CELL = (5.1, 6.2, 7.3, 90.0, 101.5, 90.0)
P21C = (
    "loop_\n_space_group_symop_operation_xyz\n'x, y, z'\n'-x, y+1/2, -z+1/2'\n'-x, -y, -z'\n"
    "'x, -y-1/2, z-1/2'\n"
)
U_SIX = (0.02, 0.03, 0.05, 0.005, -0.002, 0.001)
TENSOR = ("11", "22", "33", "12", "13", "23")
B_OF_U = 8.0 * math.pi**2


def cif(columns: str, *rows: str, symmetry: str = P21C, more: str = "", name: str = "t") -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = "".join(f"_cell_{n} {v}\n" for n, v in zip(names, CELL, strict=True))
    tags = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", *columns.split()]
    loop = "loop_\n" + "".join(f"_atom_site_{tag}\n" for tag in tags)
    return f"data_{name}\n{head}{symmetry}{loop}" + "\n".join(rows) + "\n" + more


def read(folder: Path, content: str) -> MillerTable:
    path = folder / "a.cif"
    path.write_text(content)
    return read_structure_factors(str(path), dmin=1.2)


def told(table: MillerTable) -> str:
    return " ".join(f"[{note.kind}] {note.text}" for note in table.notes)


def f000(table: MillerTable) -> float:
    return float(table.amplitude[(table.indices == 0).all(axis=1)][0])


CARBON = "C1 C 0.1 0.2 0.3"
PLAIN = cif("U_iso_or_equiv", f"{CARBON} 0.03")


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("columns", "row", "note"),
    [
        ("U_iso_or_equiv calc_flag", "Cg1 C 0.5 0.5 0.5 0 dum", "[note] left out: 1 dummy atom"),
        ("U_iso_or_equiv calc_flag", "Cg1 ? 0.5 0.5 0.5 0 dum", "[note] left out: 1 dummy atom"),
        ("U_iso_or_equiv calc_flag", "Q1 Q 0.5 0.4 0.5 0.05 d", "left out: 1 atom of unknown"),
        ("U_iso_or_equiv calc_flag", "X1 X 0.5 0.4 0.5 0.05 d", "left out: 1 atom of unknown"),
    ],
)
def test_dummy_sites_are_left_out(tmp_path, columns, row, note):
    table = read(tmp_path, cif(columns, f"{CARBON} 0.03 d", row))
    np.testing.assert_array_equal(table.amplitude, read(tmp_path, PLAIN).amplitude)
    assert note in told(table)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("symbol", "number"),
    [("D", 1), ("T", 1), ("2H", 1), ("13C", 6), ("Cval", 6), ("Siva", 14), ("Fe3+", 26),
     ("O2-", 8), ("O-2", 8), ("CL", 17), ("Cl1-", 17)],
)  # fmt: skip
def test_isotopes_valences_and_ions_are_their_element(tmp_path, symbol, number):
    table = read(tmp_path, cif("U_iso_or_equiv", f"A1 {symbol} 0.1 0.2 0.3 0.03"))
    assert f000(table) == pytest.approx(4 * number, rel=1e-3)
    ion = symbol in ("Fe3+", "O2-", "Cl1-")
    assert ("form factor of the neutral atom" in told(table)) == ion


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize("symbol", ["?", "Ow", "Qq", "C/N", "'Fe,Ni'"])
def test_sites_of_no_element_are_refused_by_their_label(tmp_path, symbol):
    with pytest.raises(InputError, match=r"atom 2 \(A2\) has no known element"):
        read(tmp_path, cif("U_iso_or_equiv", f"{CARBON} 0.03", f"A2 {symbol} 0.5 0.2 0.3 0.03"))


def anisotropic(name: str, values: list[float]) -> str:
    tags = "".join(f"_atom_site_aniso_{name}_{ij}\n" for ij in TENSOR)
    return f"loop_\n_atom_site_aniso_label\n{tags}C1 " + " ".join(f"{v:.9f}" for v in values) + "\n"


@pytest.mark.spec("CRY-43")
def test_isotropic_displacement_as_u_or_b(tmp_path):
    as_b = read(tmp_path, cif("B_iso_or_equiv", f"{CARBON} {0.03 * B_OF_U:.9f}"))
    np.testing.assert_allclose(as_b.amplitude, read(tmp_path, PLAIN).amplitude, rtol=1e-7)
    swapped = read(tmp_path, cif("U_iso_or_equiv", f"{CARBON} 2.4"))
    assert "[warning] half of the displacement parameters U are above 2.4" in told(swapped)
    none = read(tmp_path, cif("occupancy", f"{CARBON} 1"))
    assert "[warning] 1 atom without displacement parameter, or of 0" in told(none)
    assert told(read(tmp_path, PLAIN)) == ""


@pytest.mark.spec("CRY-43")
def test_anisotropic_displacement_as_u_b_or_beta(tmp_path):
    star = gemmi.UnitCell(*CELL).reciprocal()
    lengths = (star.a, star.b, star.c)
    beta = [
        2 * math.pi**2 * u * lengths[int(ij[0]) - 1] * lengths[int(ij[1]) - 1]
        for u, ij in zip(U_SIX, TENSOR, strict=True)
    ]
    forms = {"U": list(U_SIX), "B": [B_OF_U * u for u in U_SIX], "beta": beta}
    tables = [
        read(tmp_path, cif("U_iso_or_equiv", f"{CARBON} 0.03", more=anisotropic(name, values)))
        for name, values in forms.items()
    ]
    for table in tables[1:]:
        np.testing.assert_allclose(table.amplitude, tables[0].amplitude, rtol=1e-5, atol=1e-9)
    assert np.abs(tables[0].amplitude - read(tmp_path, PLAIN).amplitude).max() > 0.1
    # exp(-(β11 h² + … + 2 β12 h k + …)) of one atom at the origin of P1.
    p1 = "_symmetry_space_group_name_H-M P1\n"
    tensor = anisotropic("beta", beta)
    single = cif("U_iso_or_equiv", "C1 C 0 0 0 0.03", symmetry=p1, more=tensor)
    still = cif("U_iso_or_equiv", "C1 C 0 0 0 0", symmetry=p1)
    table, rest = read(tmp_path, single), read(tmp_path, still)
    h, k, l = table.indices.T  # noqa: E741
    exponent = beta[0] * h**2 + beta[1] * k**2 + beta[2] * l**2
    exponent += 2 * (beta[3] * h * k + beta[4] * h * l + beta[5] * k * l)
    np.testing.assert_allclose(table.amplitude / rest.amplitude, np.exp(-exponent), rtol=1e-5)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    "symmetry",
    [
        "_symmetry_space_group_name_H-M 'P 21/c'\n",
        "_symmetry_space_group_name_H-M 'P 1 21/c 1'\n",
        "_space_group_name_H-M_alt 'P 1 21/c 1'\n",
        "_space_group_name_Hall '-P 2ybc'\n",
        "_symmetry_space_group_name_Hall '-P 2ybc'\n",
        "_symmetry_Int_Tables_number 14\n",
        "_space_group_IT_number 14\n",
        "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,1/2+y,1/2-z\n-x,-y,-z\nx,1/2-y,1/2+z\n",
        "loop_\n_symmetry_equiv_pos_site_id\n_symmetry_equiv_pos_as_xyz\n1 x,y,z\n"
        "2 -x,.5+y,.5-z\n3 -x,-y,-z\n4 x,.5-y,.5+z\n",
    ],
)
def test_symmetry_in_every_spelling(tmp_path, symmetry):
    table = read(tmp_path, cif("U_iso_or_equiv", f"{CARBON} 0.03", symmetry=symmetry))
    np.testing.assert_allclose(table.amplitude, read(tmp_path, PLAIN).amplitude, atol=1e-9)


@pytest.mark.spec("CRY-43")
def test_quote_at_the_end_of_a_hall_symbol_is_part_of_it():
    assert named_group('-P 3 2"').hm == "P -3 m 1"
    assert named_group("-P 3 2").hm == "P -3 1 m"


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        ("P2(1)/c", "P 1 21/c 1"), ("P2(1)2(1)2(1)", "P 21 21 21"), ("P 2_1/n", "P 1 21/n 1"),
        ("Pna2(1)", "P n a 21"), ("P 6(5) 2 2", "P 65 2 2"), ("P 21 21 2 (a)", "P 21212(a)"),
        ("P 21/c (standard)", "P 1 21/c 1"), ("Fd-3m", "F d -3 m:1"), ("F d -3 m Z", "F d -3 m:2"),
        ("Fd-3mS", "F d -3 m:1"), ("I 41/a m d O2", "I 41/a m d:2"), ("R -3 m HR", "R -3 m:H"),
        ("R -3 c R", "R -3 c:R"), ("C m c e", "C m c a"), ("Pa3", "P a -3"), ("zzz", None),
    ],
)  # fmt: skip
def test_symbols_as_programs_write_them(symbol, found):
    group = named_group(symbol)
    assert (None if group is None else group.xhm()) == found


@pytest.mark.spec("CRY-43")
def test_setting_that_a_symbol_or_number_leaves_open_is_told(tmp_path):
    for symmetry, text in (
        ("_symmetry_Int_Tables_number 14\n", "[note] the standard setting of its number: P 1 21/c"),
        ("_symmetry_space_group_name_H-M 'P n n n'\n", "[warning] P n n n:1, the first of two"),
        ("_symmetry_space_group_name_H-M 'P n n n :2'\n", ""),
        ("_symmetry_space_group_name_H-M 'P n n n'\n_space_group_name_Hall '-P 2ab 2bc'\n", ""),
    ):
        content = cif("U_iso_or_equiv", f"{CARBON} 0.03", symmetry=symmetry)
        content = content.replace("101.5", "90") if "n n n" in symmetry else content
        assert told(read(tmp_path, content)).startswith(text)
        assert bool(told(read(tmp_path, content))) == bool(text)


@pytest.mark.spec("CRY-43")
def test_operators_win_over_the_symbol_and_it_is_told(tmp_path):
    symmetry = P21C + "_symmetry_space_group_name_H-M 'P 1'\n"
    table = read(tmp_path, cif("U_iso_or_equiv", f"{CARBON} 0.03", symmetry=symmetry))
    assert f000(table) == pytest.approx(24, rel=1e-3)
    assert "P 1 21/c 1 by the listed operators, P 1 by the symbol" in told(table)


@pytest.mark.spec("CRY-43")
def test_symmetry_that_is_unknown_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown space group ''.*Hermann-Mauguin"):
        read(tmp_path, cif("U_iso_or_equiv", f"{CARBON} 0.03", symmetry=""))


@pytest.mark.spec("CRY-43")
def test_operators_of_no_tabulated_setting_are_used(tmp_path):
    # P 21/c with its origin at (1/8, 0, 1/16): |F| is that of the usual one.
    odd = (
        "loop_\n_space_group_symop_operation_xyz\n'x, y, z'\n'-x+1/4, y+1/2, -z+5/8'\n"
        "'-x+1/4, -y, -z+1/8'\n'x, -y+1/2, z+1/2'\n"
    )
    tensor = "loop_\n_atom_site_aniso_label\n"
    tensor += "".join(f"_atom_site_aniso_U_{ij}\n" for ij in TENSOR)
    tensor += "C1 " + " ".join(map(str, U_SIX)) + "\n"

    def sites(shift: tuple[float, float, float]) -> list[str]:
        # A general one, one on a centre of inversion, one disordered about it.
        places = {"C1 C": (0.1, 0.2, 0.3), "Fe1 Fe": (0, 0, 0), "O1 O": (0.02, 0.01, 0.01)}
        occupancies = (1, 1, 0.5)
        return [
            " ".join(
                [name, *(str(x + s) for x, s in zip(place, shift, strict=True)), "0.03", str(o)]
            )
            for (name, place), o in zip(places.items(), occupancies, strict=True)
        ]

    columns = "U_iso_or_equiv occupancy"
    usual = read(tmp_path, cif(columns, *sites((0, 0, 0)), more=tensor))
    moved = read(tmp_path, cif(columns, *sites((0.125, 0, 0.0625)), symmetry=odd, more=tensor))
    order = [np.lexsort(table.indices.T) for table in (usual, moved)]
    np.testing.assert_array_equal(usual.indices[order[0]], moved.indices[order[1]])
    np.testing.assert_allclose(
        moved.amplitude[order[1]], usual.amplitude[order[0]], atol=1e-8 * f000(usual)
    )
    assert "[note] 4 operators of no tabulated setting: every image is a site of P 1" in told(moved)


@pytest.mark.spec("CRY-43")
def test_special_positions_count_once(tmp_path):
    table = read(tmp_path, cif("U_iso_or_equiv occupancy", "Fe1 Fe 0 0 0 0.03 1"))
    assert f000(table) == pytest.approx(2 * 26, rel=1e-3)


@pytest.mark.spec("CRY-43")
def test_standard_uncertainties_in_brackets_are_read_over(tmp_path):
    table = read(tmp_path, cif("U_iso_or_equiv", "C1 C 0.1(2) 0.20(1) 0.300(4) 0.030(5)"))
    np.testing.assert_array_equal(table.amplitude, read(tmp_path, PLAIN).amplitude)


@pytest.mark.spec("CRY-43")
def test_block_of_several_is_told(tmp_path):
    two = PLAIN + cif("U_iso_or_equiv", "N1 N 0.1 0.2 0.3 0.03", name="second")
    table = read(tmp_path, "data_global\n_a 1\n" + two)
    assert f000(table) == pytest.approx(24, rel=1e-3)
    assert "block t, the first of 2 with atoms, is used" in told(table)


@pytest.mark.spec("CRY-43")
def test_modulated_structure_is_told(tmp_path):
    table = read(tmp_path, PLAIN + "_cell_modulation_dimension 1\n")
    assert "[warning] a modulated structure" in told(table)
