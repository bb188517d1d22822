"""MTZ, SF-mmCIF and models to |F| in P1, judged by gemmi's own direct summation."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import gemmi
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.structure_factors import detect_format, file_cell, read_structure_factors
from tests.tolerances import DENSITY_TRANSFORM_OF_MAXIMUM

REAL = Path(
    os.environ.get(
        "DISTBRAGG_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data" / "real"
    )
)

SMALL_CIF = """data_fluorite
_cell_length_a 5.463
_cell_length_b 5.463
_cell_length_c 5.463
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Ca1 Ca 0 0 0 1 0.005
F1 F 0.25 0.25 0.25 1 0.007
"""

PDB = """CRYST1   12.000   15.000   17.000  90.00 101.00  90.00 P 1 21 1      2
ATOM      1  N   GLY A   1       1.000   2.000   3.000  1.00 12.00           N
ATOM      2  CA  GLY A   1       2.200   2.500   3.700  1.00 11.00           C
ATOM      3  C   GLY A   1       3.400   1.700   3.300  0.50 13.00           C
ATOM      4  O   GLY A   1       3.500   0.500   3.600  1.00 14.00           O
ATOM      5 ZN   ZN  A   2       6.500   9.500   8.300  1.00  9.00          ZN
END
"""


def put(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def as_dict(table):
    return {tuple(i): a for i, a in zip(table.indices.tolist(), table.amplitude, strict=True)}


def make_mtz(path, labels="F", batch=False):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 21 21 21")
    mtz.set_cell_for_all(gemmi.UnitCell(20, 30, 40, 90, 90, 90))
    mtz.add_dataset("d")
    for label, kind in {"F": [("FP", "F"), ("FC", "F")], "J": [("I", "J")]}[labels]:
        mtz.add_column(label, kind)
    rows = [[1, 2, 3, 10.0, 1.0], [2, 0, 0, 20.0, 2.0], [0, 4, 1, np.nan, 3.0]]
    mtz.set_data(np.array([row[: len(mtz.columns)] for row in rows], dtype=np.float32))
    mtz.write_to_file(str(path))
    return str(path)


@pytest.mark.spec("CRY-16")
def test_merged_amplitudes_are_expanded_with_their_mates(tmp_path):
    path = make_mtz(tmp_path / "a.mtz")
    found = as_dict(read_structure_factors(path))
    assert len(found) == 8 + 2
    for h in (1, -1):
        for k in (2, -2):
            for ell in (3, -3):
                assert found[h, k, ell] == 10.0
    assert found[-2, 0, 0] == 20.0
    assert (0, 4, 1) not in found
    assert file_cell(path) == (20, 30, 40, 90, 90, 90)


def test_a_named_column_and_a_resolution(tmp_path):
    path = make_mtz(tmp_path / "a.mtz")
    found = as_dict(read_structure_factors(path, column="FC", dmin=9.0))
    assert found == {(2, 0, 0): 2.0, (-2, 0, 0): 2.0}
    with pytest.raises(InputError, match=r"FX.*FP FC"):
        read_structure_factors(path, column="FX")


def test_intensities_are_refused_with_the_reason(tmp_path):
    path = make_mtz(tmp_path / "i.mtz", "J")
    with pytest.raises(InputError, match="truncation"):
        read_structure_factors(path)
    with pytest.raises(InputError, match="truncation"):
        read_structure_factors(path, column="I")


@pytest.mark.parametrize("keep", [10, 90, 200, -100])
def test_truncated_mtz_files_are_refused(tmp_path, keep):
    whole = Path(make_mtz(tmp_path / "a.mtz")).read_bytes()
    with pytest.raises(InputError, match=r"b\.mtz"):
        read_structure_factors(put(tmp_path, whole[:keep], "b.mtz"))


def test_an_mtz_header_that_promises_too_much_is_refused(tmp_path):
    whole = Path(make_mtz(tmp_path / "a.mtz")).read_bytes()
    start = whole.index(b"NCOL")
    bloated = whole[:start] + b"NCOL    5  900000000" + whole[start + 20 :]
    with pytest.raises(InputError, match="truncated or damaged"):
        read_structure_factors(put(tmp_path, bloated, "b.mtz"))


def sf_cif(tags, rows):
    head = (
        "data_r\n_cell.length_a 20\n_cell.length_b 30\n_cell.length_c 40\n_cell.angle_alpha 90\n"
        "_cell.angle_beta 90\n_cell.angle_gamma 90\n_symmetry.space_group_name_H-M 'P 1 2 1'\n"
        "loop_\n_refln.index_h\n_refln.index_k\n_refln.index_l\n"
    )
    return head + "".join(f"_refln.{tag}\n" for tag in tags) + "\n".join(rows) + "\n"


@pytest.mark.spec("CRY-16")
def test_sf_mmcif_amplitudes(tmp_path):
    text = sf_cif(["F_meas_au", "F_calc"], ["1 2 3 10.5 9", "0 1 0 ? 5"])
    path = put(tmp_path, gzip.compress(text.encode()), "r.cif.gz")
    assert detect_format(path) == "sf-mmcif"
    found = as_dict(read_structure_factors(path))
    assert set(found) == {(1, 2, 3), (-1, 2, -3), (-1, -2, -3), (1, -2, 3)}
    assert set(found.values()) == {10.5}
    assert as_dict(read_structure_factors(path, column="F_calc"))[0, 1, 0] == 5.0
    assert file_cell(path) == (20, 30, 40, 90, 90, 90)


def test_sf_mmcif_intensities_are_refused(tmp_path):
    path = put(tmp_path, sf_cif(["intensity_meas"], ["1 2 3 10.5"]), "r.cif")
    with pytest.raises(InputError, match="truncation"):
        read_structure_factors(path)


@pytest.mark.spec("CRY-16")
def test_small_molecule_amplitudes_obey_extinctions_and_count_electrons(tmp_path):
    path = put(tmp_path, SMALL_CIF, "fluorite.cif")
    assert detect_format(path) == "model"
    found = as_dict(read_structure_factors(path, dmin=0.8))
    # Four formula units of CaF2: 4·(20 + 2·9) electrons at the origin.
    assert found[0, 0, 0] == pytest.approx(152, rel=1e-3)
    assert found[1, 0, 0] == pytest.approx(0.0, abs=1e-9)
    assert found[2, 1, 1] == pytest.approx(0.0, abs=1e-9)
    assert found[2, 2, 0] == pytest.approx(found[-2, 0, 2], rel=1e-12)
    assert found[2, 2, 0] > found[2, 0, 0] > 0
    assert file_cell(path)[0] == 5.463


@pytest.mark.spec("CRY-16")
@pytest.mark.parametrize("compressed", [False, True])
def test_macromolecular_amplitudes_agree_with_direct_summation(tmp_path, compressed):
    data = gzip.compress(PDB.encode()) if compressed else PDB
    path = put(tmp_path, data, "a.pdb.gz" if compressed else "a.pdb")
    table = read_structure_factors(path, dmin=1.6, bulk_solvent=False)
    structure = gemmi.read_pdb_string(PDB)
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    direct = np.array(
        [abs(calculator.calculate_sf_from_model(structure[0], h)) for h in table.indices.tolist()]
    )
    error = np.abs(table.amplitude - direct).max() / direct.max()
    assert error < DENSITY_TRANSFORM_OF_MAXIMUM
    assert as_dict(table)[0, 0, 0] == pytest.approx(2 * (7 + 6 + 3 + 8 + 30), rel=2e-3)


def test_bulk_solvent_changes_low_resolution_only(tmp_path):
    path = put(tmp_path, PDB, "a.pdb")
    plain = read_structure_factors(path, dmin=2.0, bulk_solvent=False)
    filled = read_structure_factors(path, dmin=2.0, solvent_k=0.4, solvent_b=200.0)
    change = np.abs(filled.amplitude - plain.amplitude)
    far = (plain.indices**2).sum(axis=1) > 30
    near = (plain.indices == 0).all(axis=1)
    assert change[near][0] > 100
    assert change[far].max() < 0.01 * change[near][0]


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (PDB.replace("CRYST1", "REMARK"), "a.pdb", "unit cell"),
        (PDB.split("ATOM")[0], "a.pdb", "no atoms"),
        (PDB.replace("P 1 21 1 ", "P 9 99 9 "), "a.pdb", "space group"),
        (PDB.replace("          ZN", "          QQ"), "a.pdb", "element"),
        ("not a model", "a.pdb", "a.pdb"),
        (PDB[: PDB.rindex("ATOM") + 40], "a.pdb", "truncated"),
        ("not a cif", "a.cif", "a.cif"),
        ("data_x\n_a 1\n", "a.cif", "no atoms"),
        (SMALL_CIF.replace("0.25 0.25 0.25", "? ? ?"), "a.cif", "coordinates"),
    ],
)
def test_bad_models_are_refused(tmp_path, content, name, problem):
    with pytest.raises(InputError, match=problem):
        read_structure_factors(put(tmp_path, content, name), dmin=2.0)


def test_a_resolution_that_cannot_be_computed_is_refused(tmp_path):
    for content, name in ((PDB, "a.pdb"), (SMALL_CIF, "a.cif")):
        with pytest.raises(InputError, match="lower resolution"):
            read_structure_factors(put(tmp_path, content, name), dmin=1e-3)


@pytest.mark.parametrize(
    ("name", "cell_a"),
    [("1orc.pdb", 34.77), ("5e5z.mtz", 9.643), ("5wkd.pdb", 50.347), ("1pfe.cif.gz", 39.374),
     ("2013551.cif", 4.1537), ("5wkd_phases.mtz.gz", 50.347)],
)  # fmt: skip
def test_real_entries(name, cell_a):
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"{path} is not here (set DISTBRAGG_REAL_DATA)")
    table = read_structure_factors(str(path), dmin=3.0 if cell_a > 5 else 0.9)
    found = as_dict(table)
    assert file_cell(str(path))[0] == pytest.approx(cell_a)
    assert table.count > 100
    largest = table.amplitude.max()
    for (h, k, ell), amplitude in found.items():
        mate = found[-h, -k, -ell]
        assert abs(mate - amplitude) <= DENSITY_TRANSFORM_OF_MAXIMUM * largest
