"""Reflections in CIF: .fcf of SHELXL, SF-mmCIF; symmetry in every spelling, marks and blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distbragg.errors import InputError
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import detect_format, file_cell, read_structure_factors

P21C = "'x, y, z'\n'-x, y+1/2, -z+1/2'\n'-x, -y, -z'\n'x, -y-1/2, z-1/2'\n"
SYMOPS = "loop_\n_space_group_symop_operation_xyz\n" + P21C


def cif(columns: str, rows: str, symmetry: str = SYMOPS, dot: str = "_", name: str = "t") -> str:
    """Write a block with a cell of 5.1 6.2 7.3 Å, β = 101.5°."""
    head = f"data_{name}\n"
    for axis, length in zip("abc", (5.1, 6.2, 7.3), strict=True):
        head += f"_cell{dot}length_{axis} {length}\n"
    for angle, degrees in (("alpha", 90), ("beta", 101.5), ("gamma", 90)):
        head += f"_cell{dot}angle_{angle} {degrees}\n"
    tags = ["index_h", "index_k", "index_l", *columns.split()]
    loop = "loop_\n" + "".join(f"_refln{dot}{tag}\n" for tag in tags)
    return head + symmetry + loop + rows


def sf(
    columns: str, rows: str, symmetry: str = "_symmetry.space_group_name_H-M 'P 1 2 1'\n"
) -> str:
    return cif(columns, rows, symmetry, ".")


def put(folder: Path, content: str, name: str = "list.fcf") -> str:
    path = folder / name
    path.write_text(content)
    return str(path)


def read(folder: Path, content: str, name: str = "list.fcf", **options: Any) -> MillerTable:
    return read_structure_factors(put(folder, content, name), **options)


def as_dict(table: MillerTable) -> dict[tuple[int, ...], float]:
    return {tuple(i): a for i, a in zip(table.indices.tolist(), table.amplitude, strict=True)}


def told(table: MillerTable) -> str:
    return " ".join(f"[{note.kind}] {note.text}" for note in table.notes)


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize("name", ["shelx.fcf", "shelx.cif", "shelx.hkl"])
@pytest.mark.parametrize(
    ("columns", "row", "amplitude", "label"),
    [
        ("F_meas F_sigma A_calc B_calc", "9.9 0.1 3.0 4.0", 9.9, "F_meas"),  # LIST 3
        ("F_squared_calc F_squared_meas F_squared_sigma observed_status", "49 52.3 1.2 o", 7.0,
         "F_squared_calc"),  # LIST 4
        ("F_meas F_calc phase_calc", "9.9 7.2 180.0", 9.9, "F_meas"),  # LIST 5
        ("F_squared_meas F_squared_sigma F_calc phase_calc", "52.3 1.2 7.2 180.0", 7.2,
         "F_calc"),  # LIST 6
        ("F_squared_meas F_squared_sigma F_calc phase_calc d_spacing shelx_refinement_sigma",
         "52.3 1.2 7.2 180.0 4.71 1.2", 7.2, "F_calc"),  # LIST 8
    ],
)  # fmt: skip
def test_every_fcf_of_shelxl_gives_its_amplitudes(tmp_path, name, columns, row, amplitude, label):
    path = put(tmp_path, cif(columns, f"1 2 3 {row}\n"), name)
    assert detect_format(path) == "sf-mmcif"
    assert file_cell(path) == (5.1, 6.2, 7.3, 90, 101.5, 90)
    table = read_structure_factors(path)
    found = as_dict(table)
    assert set(found) == {(1, 2, 3), (-1, 2, -3), (-1, -2, -3), (1, -2, 3)}
    assert set(found.values()) == {amplitude}
    assert f"_refln_{label} is |F|" in told(table)


@pytest.mark.spec("CRY-41")
def test_a_and_b_of_list_3_are_named_by_a(tmp_path):
    content = cif("F_meas F_sigma A_calc B_calc", "1 2 3 9.9 0.1 3.0 4.0\n")
    assert as_dict(read(tmp_path, content, column="A_calc"))[1, 2, 3] == 5.0


@pytest.mark.spec("CRY-41")
def test_measured_intensities_alone_are_refused_or_their_root(tmp_path):
    content = cif("F_squared_meas F_squared_sigma", "1 2 3 49.0 1.2\n0 1 1 -1 1\n")
    with pytest.raises(InputError, match=r"'F_squared_meas' holds intensities.*French and Wilson"):
        read(tmp_path, content)
    table = read(tmp_path, content, intensities="root")
    assert as_dict(table)[1, 2, 3] == 7.0
    assert "1 of 2 are negative" in told(table)
    content = cif("F_squared_meas F_calc", "1 2 3 49.0 6.5\n")
    assert as_dict(read(tmp_path, content, column="F_squared_meas", intensities="root")) != {}


@pytest.mark.spec("CRY-41")
def test_pairs_of_intensities_are_refused_or_their_roots(tmp_path):
    content = sf("pdbx_I_plus pdbx_I_minus", "1 2 3 25 36\n1 2 4 ? 16\n")
    with pytest.raises(InputError, match="'pdbx_I_plus' holds intensities"):
        read(tmp_path, content, "r.cif")
    found = as_dict(read(tmp_path, content, "r.cif", intensities="root"))
    assert (found[1, 2, 3], found[-1, -2, -3]) == (5.0, 6.0)
    assert found[1, 2, 4] == found[-1, -2, -4] == 4.0


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize(
    ("label", "warned"),
    [
        ("F_meas_au", True),
        ("F_meas", False),
        ("F_calc", False),
        ("pdbx_F_calc_with_solvent", False),
    ],
)
def test_arbitrary_units_are_warned_of(tmp_path, label, warned):
    table = read(tmp_path, sf(f"{label} phase_calc", "1 2 3 10 0\n"), "r.cif")
    assert (f"{label} is a measured |F|" in told(table)) == warned
    table = read(tmp_path, sf("F_meas_au F_calc", "1 2 3 10 5\n"), "r.cif")
    assert "calculated, in electrons: F_calc (structure_factors.column: F_calc)" in told(table)


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize(
    "symmetry",
    [
        "_symmetry.space_group_name_H-M 'P 1 21/c 1'\n",
        "_symmetry.space_group_name_H-M 'P 21/c'\n",
        "_symmetry.space_group_name_H-M 'P21/c (standard)'\n",
        "_space_group.name_H-M_alt 'P 1 21/c 1'\n",
        "_space_group.name_Hall '-P 2ybc'\n",
        "_symmetry.space_group_name_Hall '-P 2ybc'\n",
        "_symmetry.Int_Tables_number 14\n",
        "_space_group.IT_number 14\n",
        "loop_\n_space_group_symop.operation_xyz\n" + P21C,
        "loop_\n_symmetry_equiv.pos_as_xyz\n" + P21C,
        "loop_\n_symmetry_equiv.id\n_symmetry_equiv.pos_as_xyz\n1 X,Y,Z\n2 -X,1/2+Y,1/2-Z\n"
        "3 -X,-Y,-Z\n",
        "loop_\n_symmetry_equiv_pos_as_xyz\n" + P21C,
        SYMOPS,
    ],
)
def test_symmetry_in_every_spelling(tmp_path, symmetry):
    found = as_dict(read(tmp_path, sf("F_calc", "1 2 3 10\n", symmetry), "r.cif"))
    assert set(found) == {(1, 2, 3), (-1, 2, -3), (-1, -2, -3), (1, -2, 3)}


@pytest.mark.spec("CRY-41")
def test_operators_of_no_tabulated_setting_are_used(tmp_path):
    symmetry = "loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n'-x+1/8,y+1/2,-z+1/8'\n"
    table = read(tmp_path, sf("F_calc", "1 2 3 10\n", symmetry), "r.cif")
    assert set(as_dict(table)) == {(1, 2, 3), (-1, 2, -3), (-1, -2, -3), (1, -2, 3)}


@pytest.mark.spec("CRY-41")
def test_the_identity_need_not_be_listed(tmp_path):
    """It is an operator of every group; gemmi crashed on a list without it."""
    symmetry = "loop_\n_space_group_symop_operation_xyz\n'-x,y+1/2,-z+1/2'\n"
    table = read(tmp_path, sf("F_calc", "1 2 3 10\n", symmetry), "r.cif")
    assert set(as_dict(table)) == {(1, 2, 3), (-1, 2, -3), (-1, -2, -3), (1, -2, 3)}


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize("name", ["R 3", "H 3", "R 3 :H", "R 3 :R"])
def test_rhombohedral_setting_is_that_of_the_cell(tmp_path, name):
    symmetry = f"_symmetry.space_group_name_H-M '{name}'\n"
    content = sf("F_calc", "1 1 0 10\n", symmetry)
    for old, new in (("5.1", "9"), ("6.2", "9"), ("7.3", "9"), ("101.5", "90")):
        content = content.replace(old, new)
    axes = "rhombohedral" if name.endswith("R") else "hexagonal"
    if axes == "hexagonal":
        content = content.replace("gamma 90", "gamma 120")
    found = set(as_dict(read(tmp_path, content, "r.cif")))
    half = {(1, 1, 0), (-2, 1, 0), (1, -2, 0)} if axes == "hexagonal" else {
        (1, 1, 0), (0, 1, 1), (1, 0, 1)
    }  # fmt: skip
    assert found == half | {tuple(-i for i in index) for index in half}


@pytest.mark.spec("CRY-41")
def test_spellings_that_contradict_each_other_are_told(tmp_path):
    symmetry = "_symmetry.space_group_name_H-M 'P 1'\n" + SYMOPS
    table = read(tmp_path, sf("F_calc", "1 2 3 10\n", symmetry), "r.cif")
    assert len(as_dict(table)) == 4
    assert "[warning] P 1 21/c 1 by the listed operators, P 1 by the symbol" in told(table)
    table = read(tmp_path, sf("F_calc", "1 2 3 10\n", "_space_group.IT_number 19\n"), "r.cif")
    assert "the cell does not have the symmetry of P 21 21 21" in told(table)


@pytest.mark.spec("CRY-41")
def test_a_list_without_symmetry_is_refused_until_it_is_given(tmp_path):
    content = sf("F_calc", "1 2 3 10\n", "")
    with pytest.raises(InputError, match=r"no known space group.*structure_factors\.space_group"):
        read(tmp_path, content, "r.cif")
    assert len(as_dict(read(tmp_path, content, "r.cif", space_group="P 1"))) == 2


@pytest.mark.spec("CRY-41")
def test_marks_of_unused_reflections_are_honoured(tmp_path):
    rows = "1 2 3 10 o\n1 2 4 11 x\n1 2 5 12 f\n1 2 6 13 <\n1 2 7 14 -\n1 2 8 15 h\n1 2 9 ? o\n"
    table = read(tmp_path, sf("F_meas_au status", rows), "r.cif")
    assert {index[2] for index in as_dict(table)} == {s * i for s in (1, -1) for i in (3, 5, 6, 8)}
    assert "1 reflections of status x (not used) are left out" in told(table)
    assert "1 reflections of status - (systematically absent) are left out" in told(table)
    assert "1 of 5 reflections have no value" in told(table)


@pytest.mark.spec("CRY-41")
def test_block_and_set_that_are_read_are_told(tmp_path):
    first = sf("intensity_meas", "1 2 3 100\n").replace("data_t", "data_rxxxsf")
    second = (
        "data_rxxxAsf\n"
        + sf("F_calc wavelength_id", "1 2 3 5 1\n1 2 3 6 2\n", "").split("\n", 7)[7]
    )
    table = read(tmp_path, first + second, "r.cif")
    assert set(as_dict(table).values()) == {5.0}
    assert "of block rxxxAsf (2 blocks list reflections)" in told(table)
    assert "[warning] wavelength_id 1 of 1 2 is read" in told(table)


@pytest.mark.spec("CRY-41")
def test_repeated_reflections_are_averaged_and_told(tmp_path):
    table = read(tmp_path, sf("F_calc", "1 2 3 5\n1 2 3 7\n"), "r.cif")
    assert as_dict(table)[1, 2, 3] == 6.0
    assert "[warning] 1 reflections are listed repeatedly and averaged" in told(table)


@pytest.mark.spec("CRY-41")
def test_listed_mates_of_a_chiral_crystal_keep_their_own_amplitudes(tmp_path):
    found = as_dict(read(tmp_path, sf("F_calc", "1 2 3 5\n-1 -2 -3 7\n2 0 1 4\n"), "r.cif"))
    assert found[1, 2, 3] == found[-1, 2, -3] == 5.0
    assert found[-1, -2, -3] == found[1, -2, 3] == 7.0
    assert found[2, 0, 1] == found[-2, 0, -1] == 4.0
    centric = cif("F_calc", "1 2 3 5\n-1 -2 -3 7\n")
    assert set(as_dict(read(tmp_path, centric)).values()) == {6.0}


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (sf("F_calc", "1 2 3 abc\n"), "F_calc 'abc' of reflection 1 is not a number"),
        (sf("F_calc", "1 2.5 3 4\n"), "not a whole number"),
        (sf("F_calc", "1 ? 3 4\n"), "not a whole number"),
        (sf("F_calc", "1 2 3 -4\n"), "negative"),
        (sf("F_calc", "1 2 3 4\n").replace("_refln.", "_diffrn_refln."), "unmerged"),
        (sf("phase_calc", "1 2 3 4\n"), "no column of amplitudes"),
        (sf("F_calc", "1 2 3 4\n", "loop_\n_space_group_symop.operation_xyz\n'x,y'\n"), "damaged"),
        (sf("A_calc", "1 2 3 4\n"), "A_calc needs B_calc"),
    ],
)
def test_unusable_lists_are_refused_with_the_place(tmp_path, content, problem):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content, "r.cif")
    assert problem in str(caught.value)


@pytest.mark.spec("CRY-41")
def test_a_column_that_is_no_amplitude_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="'phase_calc' is not an amplitude"):
        read(tmp_path, sf("F_calc phase_calc", "1 2 3 4 90\n"), "r.cif", column="phase_calc")


@pytest.mark.spec("CRY-41")
def test_atoms_win_where_core_tags_list_both(tmp_path):
    atoms = "loop_\n_atom_site_label\n_atom_site_fract_x\nC1 0.1\n"
    assert detect_format(put(tmp_path, cif("F_calc", "1 2 3 4\n") + atoms, "x.cif")) == "model"
    row = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    both = cif("F_calc", "1 2 3 4\n") + row + "C1 0.1 0.2 0.3\n"
    assert "lists reflections too" in told(read(tmp_path, both, "x.cif", dmin=2.0))
    assert set(as_dict(read(tmp_path, both, "x.cif", format="sf-mmcif")).values()) == {4.0}
    assert detect_format(put(tmp_path, sf("F_calc", "1 2 3 4\n"), "r1abcsf.ent")) == "sf-mmcif"


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize(
    ("columns", "row", "options", "found"),
    [
        ("F_meas_au F_meas_sigma_au F_calc_au", "? ? 7", {}, 7.0),
        ("F_meas_au intensity_meas", "? 49", {"intensities": "root"}, 7.0),
        ("pdbx_F_plus pdbx_F_minus F_meas_au", "? ? 7", {}, 7.0),
        ("pdbx_F_plus pdbx_F_minus F_meas_au", "? 6 7", {}, 6.0),
    ],
)
def test_columns_that_hold_no_value_are_passed_over(tmp_path, columns, row, options, found):
    assert as_dict(read(tmp_path, sf(columns, f"1 2 3 {row}\n"), **options))[1, 2, 3] == found


@pytest.mark.spec("CRY-41")
def test_intensities_beside_an_empty_amplitude_are_refused_as_such(tmp_path):
    with pytest.raises(InputError, match="'intensity_meas' holds intensities"):
        read(tmp_path, sf("F_meas_au intensity_meas", "1 2 3 ? 49\n"))


@pytest.mark.spec("CRY-41")
@pytest.mark.parametrize("column", ["F_meas_sigma_au", "pdbx_F_plus_sigma", "F_squared_sigma"])
def test_a_standard_deviation_is_no_amplitude(tmp_path, column):
    with pytest.raises(InputError, match="is not an amplitude"):
        read(tmp_path, sf(f"F_meas_au {column}", "1 2 3 9 1\n"), column=column)


@pytest.mark.spec("CRY-41")
def test_the_case_of_a_tag_has_no_meaning(tmp_path):
    content = sf("F_meas_au status", "1 2 3 9 o\n1 2 4 8 x\n").replace("_refln.", "_REFLN.")
    content = content.replace("F_meas_au", "f_MEAS_au").replace("index_", "INDEX_")
    assert set(as_dict(read(tmp_path, content)).values()) == {9.0}
    assert set(as_dict(read(tmp_path, content, column="F_Meas_AU")).values()) == {9.0}


@pytest.mark.spec("CRY-41")
def test_the_mean_stands_where_neither_mate_of_a_cif_was_measured(tmp_path):
    rows = "1 2 3 4 5 4.5\n1 2 5 ? ? 9\n1 2 7 nan . ?\n"
    table = read(tmp_path, sf("pdbx_F_plus pdbx_F_minus F_meas_au", rows))
    found = as_dict(table)
    assert (found[1, 2, 3], found[-1, -2, -3]) == (4.0, 5.0)
    assert found[1, 2, 5] == found[-1, -2, -5] == 9.0
    assert (1, 2, 7) not in found
    assert "1 reflections without either mate have the mean, F_meas_au" in told(table)
