"""Atoms of models: strict symmetry, dummies, displacement in every form, choices told."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import detect_format, read_structure_factors
from tests.tolerances import DENSITY_TRANSFORM_OF_MAXIMUM

CRYST1 = "CRYST1   30.000   32.000   28.000  90.00  90.00  90.00 P 21 21 21    4\n"
MTRIX = """\
MTRIX1   1  1.000000  0.000000  0.000000        0.00000    1
MTRIX2   1  0.000000  1.000000  0.000000        0.00000    1
MTRIX3   1  0.000000  0.000000  1.000000        0.00000    1
MTRIX1   2 -1.000000  0.000000  0.000000       20.00000    {0}
MTRIX2   2  0.000000 -1.000000  0.000000       22.00000    {0}
MTRIX3   2  0.000000  0.000000  1.000000        6.00000    {0}
"""
PLACES = ((14.0, 12.0, 8.0), (12.2, 15.4, 9.0), (8.3, 15.6, 10.0), (6.0, 12.6, 11.0))
COPIES = tuple((20.0 - x, 22.0 - y, z + 6.0) for x, y, z in PLACES)
F000_SHARE = 2e-3
"""gemmi's density of an atom is cut off and sampled; its sum is that close to Z."""


def atom(
    serial: int,
    place: tuple[float, float, float],
    *,
    name: str = " CA ",
    residue: str = "ALA",
    occupancy: float = 1.0,
    b: float = 20.0,
    element: str = " C",
    record: str = "ATOM  ",
) -> str:
    x, y, z = place
    return (
        f"{record}{serial:5d} {name:4s} {residue} A{serial:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{occupancy:6.2f}{b:6.2f}          {element}\n"
    )


ATOMS = "".join(atom(i + 1, place) for i, place in enumerate(PLACES))
PDB = CRYST1 + ATOMS + "END\n"


def put(folder: Path, content: str | bytes, name: str) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(folder: Path, content: str | bytes, name: str = "a.pdb", **options: Any) -> MillerTable:
    settings: dict[str, Any] = {"dmin": 3.0, "bulk_solvent": False, **options}
    return read_structure_factors(put(folder, content, name), **settings)


def told(table: MillerTable) -> str:
    return " ".join(f"[{note.kind}] {note.text}" for note in table.notes)


def f000(table: MillerTable) -> float:
    return float(table.amplitude[(table.indices == 0).all(axis=1)][0])


def differ(table: MillerTable, other: MillerTable) -> float:
    """Largest difference of two tables of the same indices, as a share of the maximum."""
    np.testing.assert_array_equal(table.indices, other.indices)
    return float(np.abs(table.amplitude - other.amplitude).max() / table.amplitude.max())


# mmCIF of the same atoms

CELL = "".join(
    f"_cell.{name} {value}\n"
    for name, value in (
        ("length_a", 30), ("length_b", 32), ("length_c", 28),
        ("angle_alpha", 90), ("angle_beta", 90), ("angle_gamma", 90),
    )
)  # fmt: skip
SYMMETRY = "_symmetry.space_group_name_H-M 'P 21 21 21'\n"
SITE = (
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
    "label_seq_id auth_asym_id Cartn_x Cartn_y Cartn_z"
)


def mmcif(
    columns: str = "B_iso_or_equiv",
    values: str = "20",
    *,
    symmetry: str = SYMMETRY,
    extra: str = "",
    more: str = "",
) -> str:
    tags = "".join(f"_atom_site.{tag}\n" for tag in f"{SITE} {columns}".split())
    rows = "".join(
        f"ATOM {i + 1} C CA . ALA A {i + 1} A {x} {y} {z} {values}\n"
        for i, (x, y, z) in enumerate(PLACES)
    )
    return f"data_x\n{CELL}{symmetry}{extra}loop_\n{tags}{rows}{more}"


def ncs(code: str) -> str:
    names = [f"matrix[{i}][{j}]" for i in (1, 2, 3) for j in (1, 2, 3)]
    names += [f"vector[{i}]" for i in (1, 2, 3)]
    tags = "".join(f"_struct_ncs_oper.{name}\n" for name in ["id", "code", *names])
    return f"loop_\n{tags}1 given 1 0 0 0 1 0 0 0 1 0 0 0\n2 {code} -1 0 0 0 -1 0 0 0 1 20 22 6\n"


# Strict symmetry


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CRYST1 + MTRIX.format(" ") + ATOMS + "END\n", "a.pdb"),
        (mmcif(extra=ncs("generate")), "a.cif"),
    ],
)
def test_copies_by_strict_symmetry_are_added(tmp_path, content, name):
    table = read(tmp_path, content, name)
    copies = "".join(atom(i + 10, place) for i, place in enumerate(COPIES))
    written_out = read(tmp_path, CRYST1 + ATOMS + copies + "END\n")
    assert f000(table) == pytest.approx(8 * 4 * 6, rel=F000_SHARE)
    assert differ(table, written_out) < DENSITY_TRANSFORM_OF_MAXIMUM
    assert "added: 1 copy by strict symmetry" in told(table)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CRYST1 + MTRIX.format("1") + ATOMS + "END\n", "a.pdb"),
        (mmcif(extra=ncs("given")), "a.cif"),
        (CRYST1 + "REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000       20.00000\n"
         "REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000       22.00000\n"
         "REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        6.00000\n" + ATOMS,
         "a.pdb"),
    ],
)  # fmt: skip
def test_given_copies_and_biological_assemblies_are_not_added(tmp_path, content, name):
    table = read(tmp_path, content, name)
    assert f000(table) == pytest.approx(4 * 4 * 6, rel=F000_SHARE)
    assert "strict symmetry" not in told(table)


@pytest.mark.spec("CRY-43")
def test_copies_that_are_listed_though_not_said_to_be_are_not_added_twice(tmp_path):
    copies = "".join(atom(i + 10, place) for i, place in enumerate(COPIES))
    table = read(tmp_path, CRYST1 + MTRIX.format(" ") + ATOMS + copies + "END\n")
    assert f000(table) == pytest.approx(8 * 4 * 6, rel=F000_SHARE)
    assert "[warning] already in the cell, not added again: 1 copy" in told(table)


@pytest.mark.spec("CRY-43")
def test_copies_that_the_space_group_makes_are_not_added(tmp_path):
    # x + 1/2, 1/2 - y, -z of P 21 21 21, moved by a lattice vector.
    rows = ((1, 0, 0, 45.0), (0, -1, 0, 16.0), (0, 0, -1, 28.0))
    matrix = "".join(
        f"MTRIX{i}   2{a:10.6f}{b:10.6f}{c:10.6f}     {shift:10.5f}\n"
        for i, (a, b, c, shift) in enumerate(rows, start=1)
    )
    table = read(tmp_path, CRYST1 + matrix + ATOMS + "END\n")
    assert f000(table) == pytest.approx(4 * 4 * 6, rel=F000_SHARE)
    assert "already in the cell" in told(table)


@pytest.mark.spec("CRY-43")
def test_fmodel_adds_copies_and_says_so(tmp_path, capsys):
    path = put(tmp_path, CRYST1 + MTRIX.format(" ") + ATOMS + "END\n", "a.pdb")
    output = str(tmp_path / "a.mtz")
    assert main(["fmodel", path, "-o", output, "--dmin", "3", "--no-bulk-solvent"]) == 0
    printed = capsys.readouterr()
    assert "added: 1 copy by strict symmetry" in printed.err
    assert float(printed.out.split("F(000) = ")[1].split()[0]) == pytest.approx(192, abs=0.4)


# What is not an atom


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("line", "note"),
    [
        (atom(9, (3, 3, 3), name=" UNK", residue="UNX", element=" X"), "1 atom of unknown"),
        (atom(9, (3, 3, 3), name="UNK ", residue="UNX", element="  "), "1 atom of unknown"),
        (atom(9, (3, 3, 3), name=" QA ", element=" Q"), "1 atom of unknown"),
        (atom(9, (3, 3, 3), name=" O  ", residue="DUM", element=" O"), "1 dummy atom"),
        (atom(9, (3, 3, 3), name=" DUM", residue="DUM", element="  "), "1 dummy atom"),
    ],
)
def test_dummies_and_unknown_atoms_of_a_pdb_are_left_out(tmp_path, line, note):
    table = read(tmp_path, CRYST1 + ATOMS + line + "END\n")
    assert differ(table, read(tmp_path, PDB)) == 0.0
    assert f"left out: {note}" in told(table)


@pytest.mark.spec("CRY-43")
def test_unknown_atoms_of_an_mmcif_are_left_out(tmp_path):
    more = "HETATM 9 X UNK . UNX A 9 A 3 3 3 20\n"
    table = read(tmp_path, mmcif(more=more), "a.cif")
    assert f000(table) == pytest.approx(96, rel=F000_SHARE)
    assert "[warning] left out: 1 atom of unknown element" in told(table)
    with pytest.raises(InputError, match=r"atom 9 has no known element \('QQ'\).*type_symbol"):
        read(tmp_path, mmcif(more=more.replace(" X ", " QQ ").replace("UNX", "UNL")), "a.cif")
    with pytest.raises(InputError, match="1 atom of no known element"):
        read(tmp_path, mmcif(more=more.replace(" X ", " ? ").replace("UNX", "UNL")), "a.cif")


@pytest.mark.spec("CRY-43")
def test_an_element_that_does_not_exist_is_refused_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"a\.pdb:3: unknown element 'QQ'.*columns 77-78"):
        read(tmp_path, CRYST1 + atom(1, PLACES[0]) + atom(2, PLACES[1], element="QQ"))
    with pytest.raises(InputError, match="1 atom of no known element; fill in"):
        read(tmp_path, CRYST1 + ATOMS + atom(9, (3, 3, 3), name="??1 ", element="  "))
    unknown = atom(8, (4, 4, 4), name=" UNK", residue="UNX", element=" X")
    with pytest.raises(InputError, match="1 atom of no known element; fill in"):
        read(tmp_path, CRYST1 + ATOMS + unknown + atom(9, (3, 3, 3), name="??1 ", element="  "))
    with pytest.raises(InputError, match="no atoms of known elements"):
        read(tmp_path, CRYST1 + atom(1, PLACES[0], residue="UNX", element=" X"))


@pytest.mark.spec("CRY-43")
def test_missing_element_columns_are_told(tmp_path):
    bare = "".join(line[:66] + "\n" for line in ATOMS.splitlines())
    calcium = atom(9, (3, 3, 3), name="CA  ", residue=" CA", element="  ")
    old = "".join(line[:66].ljust(72) + "1ABC  12\n" for line in ATOMS.splitlines())
    assert f000(read(tmp_path, CRYST1 + old)) == pytest.approx(96, rel=F000_SHARE)
    table = read(tmp_path, CRYST1 + bare + calcium)
    assert f000(table) == pytest.approx(96 + 4 * 20, rel=F000_SHARE)
    assert "5 atoms without element column" in told(table)


@pytest.mark.spec("CRY-43")
def test_deuterium_scatters_as_hydrogen(tmp_path):
    found = [
        f000(read(tmp_path, CRYST1 + ATOMS + atom(9, (3, 3, 3), name=f" {e}  ", element=f" {e}")))
        for e in "DH"
    ]
    assert found[0] == found[1] == pytest.approx(100, rel=F000_SHARE)


@pytest.mark.spec("CRY-43")
def test_ions_are_neutral_atoms_and_told(tmp_path):
    ion = atom(9, (3, 3, 3), name="FE  ", residue="FE2", element="FE2+")
    table = read(tmp_path, CRYST1 + ATOMS + ion)
    assert f000(table) == pytest.approx(96 + 4 * 26, rel=F000_SHARE)
    assert "1 ion: form factor of the neutral atom" in told(table)


# Displacement parameters, occupancies


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("B_iso_or_equiv occupancy", "20 1"),
        ("U_iso_or_equiv", f"{20 / (8 * math.pi**2):.9f}"),
        ("B_iso_or_equiv U_iso_or_equiv", f"? {20 / (8 * math.pi**2):.9f}"),
        ("B_iso_or_equiv occupancy", "20 ?"),
    ],
)
def test_isotropic_displacement_of_mmcif(tmp_path, columns, values):
    table = read(tmp_path, mmcif(columns, values), "a.cif")
    assert differ(table, read(tmp_path, PDB)) < DENSITY_TRANSFORM_OF_MAXIMUM
    assert told(table) == ""


@pytest.mark.spec("CRY-43")
def test_missing_displacement_is_told(tmp_path):
    table = read(tmp_path, mmcif("occupancy", "1"), "a.cif")
    assert "[warning] 4 atoms without displacement parameter: B = 20" in told(table)
    short = "".join(line[:60] + "\n" for line in ATOMS.splitlines())
    assert "[warning] 4 atoms without B factor: 20" in told(read(tmp_path, CRYST1 + short))
    zero = read(tmp_path, CRYST1 + atom(1, PLACES[0], b=0.0))
    assert "[warning] 1 atom without displacement parameter, or of 0" in told(zero)
    negative = read(tmp_path, CRYST1 + atom(1, PLACES[0], b=-2.0) + atom(2, PLACES[1]))
    assert "[warning] 1 atom of negative displacement" in told(negative)


@pytest.mark.spec("CRY-43")
def test_b_factors_that_are_probably_u_are_told(tmp_path):
    table = read(tmp_path, PDB.replace(" 20.00 ", "  0.25 "))
    assert "[warning] half of the B factors are below 0.25 Å²: are they U?" in told(table)


@pytest.mark.spec("CRY-43")
def test_columns_that_mmcif_requires_are_named(tmp_path):
    with pytest.raises(InputError, match="lack columns of mmCIF: label_alt_id;"):
        read(tmp_path, mmcif().replace("_atom_site.label_alt_id", "_atom_site.other"), "a.cif")


ANISOU = "ANISOU    1  CA  ALA A   1     1000   3000   5000    500   -200    100       C  \n"
U_SIX = (0.1, 0.3, 0.5, 0.05, -0.02, 0.01)


def tensor(prefix: str, scale: float) -> tuple[str, str]:
    """Tags and values of a tensor in U of `U_SIX` times a scale."""
    names = ("[1][1]", "[2][2]", "[3][3]", "[1][2]", "[1][3]", "[2][3]")
    return (
        " ".join(prefix + name for name in names),
        " ".join(f"{scale * u:.9f}" for u in U_SIX),
    )


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(("letter", "scale"), [("U", 1.0), ("B", 8 * math.pi**2)])
@pytest.mark.parametrize("inline", [True, False])
def test_anisotropic_displacement_of_mmcif(tmp_path, letter, scale, inline):
    expected = read(tmp_path, CRYST1 + ATOMS.replace("\n", "\n" + ANISOU, 1) + "END\n")
    if inline:
        columns, values = tensor(f"aniso_{letter}", scale)
        content = mmcif(f"B_iso_or_equiv {columns}", f"20 {values}")
        content = content.replace(values, " ".join("?" * 6)).replace(" ".join("?" * 6), values, 1)
    else:
        columns, values = tensor(f"_atom_site_anisotrop.{letter}", scale)
        tags = "_atom_site_anisotrop.id\n" + "\n".join(columns.split())
        content = mmcif(more=f"loop_\n{tags}\n1 {values}\n")
    table = read(tmp_path, content, "a.cif")
    assert differ(table, expected) < DENSITY_TRANSFORM_OF_MAXIMUM
    assert differ(table, read(tmp_path, PDB)) > 10 * DENSITY_TRANSFORM_OF_MAXIMUM


@pytest.mark.spec("CRY-43")
def test_residual_displacement_without_tls_is_told(tmp_path):
    remark = "REMARK   3   ATOM RECORD CONTAINS RESIDUAL B FACTORS ONLY\n"
    assert "[warning] the B factors are residual" in told(read(tmp_path, remark + PDB))
    sums = remark.replace("RESIDUAL B FACTORS ONLY", "SUM OF TLS AND RESIDUAL B FACTORS")
    assert told(read(tmp_path, sums + PDB)) == ""
    flag = "_refine.pdbx_TLS_residual_ADP_flag 'LIKELY RESIDUAL'\n"
    assert "are residual" in told(read(tmp_path, mmcif(extra=flag), "a.cif"))


@pytest.mark.spec("CRY-43")
def test_odd_occupancies_are_told(tmp_path):
    lines = [atom(i + 1, PLACES[i], occupancy=occ) for i, occ in enumerate((1.5, 0.0, -0.5, 0.5))]
    table = read(tmp_path, CRYST1 + "".join(lines))
    assert f000(table) == pytest.approx(1.5 * 24, rel=F000_SHARE)
    assert "[warning] 2 atoms of occupancy below 0 or above 1" in told(table)
    assert "[note] 1 atom of occupancy 0" in told(table)


@pytest.mark.spec("CRY-43")
def test_alternate_conformations_count_with_their_occupancies(tmp_path):
    one = atom(1, PLACES[0], occupancy=0.4)
    other = atom(2, (14.5, 12.0, 8.0), occupancy=0.6)
    both = one[:16] + "A" + one[17:] + other[:16] + "B" + other[17:22] + one[22:26] + other[26:]
    assert f000(read(tmp_path, CRYST1 + both)) == pytest.approx(24, rel=F000_SHARE)


# Choices among models, cells, settings


@pytest.mark.spec("CRY-43")
def test_first_of_several_models_is_used_and_told(tmp_path):
    two = CRYST1 + "MODEL        1\n" + ATOMS + "ENDMDL\nMODEL        2\n" + ATOMS + "ENDMDL\nEND\n"
    table = read(tmp_path, two)
    assert f000(table) == pytest.approx(96, rel=F000_SHARE)
    assert "[warning] the first of 2 models is used" in told(table)


@pytest.mark.spec("CRY-43")
def test_resolution_that_is_not_given_is_told(tmp_path):
    assert "not given; |F| of the model reaches 2 Å" in told(read(tmp_path, PDB, dmin=None))
    assert told(read(tmp_path, PDB)) == ""


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize("cell", ["    1.000    1.000    1.000", "    0.000    0.000    0.000"])
def test_cell_of_no_crystal_is_refused(tmp_path, cell):
    with pytest.raises(InputError, match=r"no unit cell of a crystal \(a cell of 1 1 1"):
        read(tmp_path, PDB.replace(CRYST1[6:33], cell))


def scale_records(a: float, shift: float) -> str:
    return (
        f"SCALE1    {1 / a:10.6f}  0.000000  0.000000     {shift:10.5f}\n"
        f"SCALE2      0.000000{1 / 32:10.6f}  0.000000        0.00000\n"
        f"SCALE3      0.000000  0.000000{1 / 28:10.6f}        0.00000\n"
    )


@pytest.mark.spec("CRY-43")
def test_scale_records_are_judged(tmp_path):
    plain = read(tmp_path, PDB)
    agreeing = read(tmp_path, CRYST1 + scale_records(30, 0.0) + ATOMS)
    assert (differ(plain, agreeing), told(agreeing)) == (0.0, "")
    moved = read(tmp_path, CRYST1 + scale_records(30, 0.1) + ATOMS)
    assert "[note] SCALEn place the atoms in another frame" in told(moved)
    assert differ(plain, moved) > 0.01
    wrong = read(tmp_path, CRYST1 + scale_records(40, 0.0) + ATOMS)
    assert "[warning] SCALEn are of another cell" in told(wrong)
    assert differ(plain, wrong) == 0.0


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("symbol", "operators"),
    [("P 21", 2), ("P1", 1), ("P 1-", 2), ("I 1 21 1", 4), ("A 1 2 1", 4), ("P 1 1 21", 2),
     ("B 2", 4), ("P212121", 4)],
)  # fmt: skip
def test_old_and_other_settings_of_a_pdb(tmp_path, symbol, operators):
    record = CRYST1.replace("P 21 21 21 ", symbol.ljust(11))
    table = read(tmp_path, record + ATOMS, dmin=6.0)
    assert f000(table) == pytest.approx(24 * operators, rel=F000_SHARE)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    "symmetry",
    [
        "_space_group.name_H-M_alt 'P 21 21 21'\n",
        "_space_group.name_Hall 'P 2ac 2ab'\n",
        "_symmetry.Int_Tables_number 19\n",
        "loop_\n_space_group_symop.operation_xyz\nx,y,z\n1/2-x,-y,1/2+z\n-x,1/2+y,1/2-z\n"
        "1/2+x,1/2-y,-z\n",
    ],
)
def test_symmetry_of_an_mmcif_in_every_spelling(tmp_path, symmetry):
    table = read(tmp_path, mmcif(symmetry=symmetry), "a.cif")
    assert differ(table, read(tmp_path, PDB)) < DENSITY_TRANSFORM_OF_MAXIMUM


@pytest.mark.spec("CRY-43")
def test_cell_that_its_space_group_does_not_allow_is_told(tmp_path):
    record = CRYST1.replace("P 21 21 21 ", "P 43 21 2  ")
    assert "does not have the symmetry of P 43 21 2" in told(read(tmp_path, record + ATOMS))


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("name", "compress"),
    [("a.ent", False), ("a.pdb1", False), ("model", False), ("a.ent.gz", True), ("a.txt", False)],
)
def test_a_pdb_is_told_by_its_content(tmp_path, name, compress):
    content = PDB.encode()
    path = put(tmp_path, gzip.compress(content) if compress else content, name)
    assert detect_format(path) == "model"
    assert read_structure_factors(path, dmin=4.0).count > 0


@pytest.mark.spec("CRY-43")
def test_fields_of_a_list_are_refused_beside_a_model(tmp_path):
    for field in ("column", "space_group"):
        with pytest.raises(InputError, match=rf"{field}: the file is an atomic model"):
            read(tmp_path, PDB, **{field: "P 1"})
