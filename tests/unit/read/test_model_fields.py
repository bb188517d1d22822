"""Fields of models that are blank, no number, or stand for something else than they say."""

from __future__ import annotations

import pytest

from distbragg.errors import InputError
from distbragg.read.structure_factors import read_structure_factors
from tests.unit.read.test_model_notes import ATOMS, CRYST1, PDB, atom, differ, f000, read, told


def each_atom(change) -> str:
    """Return the PDB with every atom's line changed."""
    return CRYST1 + "".join(change(line) + "\n" for line in ATOMS.splitlines()) + "END\n"


@pytest.mark.spec("CRY-43")
def test_a_blank_occupancy_is_one(tmp_path):
    blank = read(tmp_path, each_atom(lambda line: line[:54] + " " * 6 + line[60:]))
    assert differ(blank, read(tmp_path, PDB)) == 0.0
    assert "[warning] 4 atoms without occupancy: 1 is taken" in told(blank)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[:54].lower() + " " * 6 + line[60:],
        lambda line: "ATOM 100000" + line[11:54] + " " * 6 + line[60:],
    ],
)
def test_records_are_told_as_the_parser_tells_them(tmp_path, change):
    table = read(tmp_path, each_atom(change))
    assert differ(table, read(tmp_path, PDB)) == 0.0
    assert "[warning] 4 atoms without occupancy: 1 is taken" in told(table)


@pytest.mark.spec("CRY-43")
def test_a_blank_b_factor_is_told_and_taken_as_20(tmp_path):
    blank = read(tmp_path, each_atom(lambda line: line[:60] + " " * 6 + line[66:]))
    assert differ(blank, read(tmp_path, PDB)) == 0.0
    assert "[warning] 4 atoms without B factor: 20 Å² is taken" in told(blank)


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda line: line[:30] + "*" * 8 + line[38:], "'********' in columns 31-38"),
        (lambda line: line[:46] + " " * 8 + line[54:], "'' in columns 47-54"),
        (lambda line: line[:60] + "******" + line[66:], "'******' in columns 61-66"),
        (lambda line: line[:54] + "  l.00" + line[60:], "'l.00' in columns 55-60"),
        (lambda line: line[:6] + "1" + line[6:], "in columns 39-46"),  # a serial of six digits
    ],
)
def test_fields_that_are_no_number_are_refused_with_the_line(tmp_path, change, problem):
    with pytest.raises(
        InputError, match=r"a\.pdb:2: .*is not a number; keep to the columns"
    ) as error:
        read(tmp_path, each_atom(change))
    assert problem in str(error.value)


@pytest.mark.spec("CRY-43")
def test_atoms_after_the_end_are_told(tmp_path):
    table = read(tmp_path, PDB + atom(9, (3.0, 3.0, 3.0)) + "END\n")
    assert differ(table, read(tmp_path, PDB)) == 0.0
    assert "[warning] 1 atom after the first END record: not read" in told(table)


PREDICTED = "[warning] a predicted model: its B factors are probably a confidence (pLDDT)"


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("head", "note"),
    [
        ("TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR X\n", PREDICTED),
        (
            "EXPDTA    ELECTRON MICROSCOPY\n",
            "[warning] a model by electron microscopy: is its cell",
        ),
        ("EXPDTA    SOLUTION NMR\n", "[warning] a model by solution nmr: is its cell"),
        ("EXPDTA    X-RAY DIFFRACTION\nTITLE     SOLVED WITH ALPHAFOLD\n", ""),
        ("EXPDTA    ELECTRON CRYSTALLOGRAPHY\n", ""),
        ("REMARK 200 STARTING MODEL: ALPHAFOLD\n", ""),
    ],
)
def test_models_of_no_crystal_and_predictions_are_told(tmp_path, head, note):
    table = read(tmp_path, head + PDB)
    assert differ(table, read(tmp_path, PDB)) == 0.0
    assert note in told(table)
    assert bool(note) == bool(told(table))


MMCIF = """data_t
_cell.length_a 30
_cell.length_b 32
_cell.length_c 28
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 21 21 21'
{0}
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
ATOM {1} C CA . ALA A 1 14 12 8 1 50
"""


@pytest.mark.spec("CRY-43")
@pytest.mark.parametrize(
    ("item", "note"),
    [
        ("_ma_qa_metric.name pLDDT", PREDICTED),
        ("_exptl.method 'ELECTRON MICROSCOPY'", "[warning] a model by electron microscopy"),
        ("_exptl.method 'X-RAY DIFFRACTION'", ""),
    ],
)
def test_mmcif_of_no_crystal_and_predictions_are_told(tmp_path, item, note):
    table = read(tmp_path, MMCIF.format(item, "1"), "a.cif")
    assert note in told(table)
    assert bool(note) == bool(told(table))


@pytest.mark.spec("CRY-43")
def test_b_of_an_atom_whose_id_is_no_number_is_read(tmp_path):
    named = read(tmp_path, MMCIF.format("", "a1"), "a.cif")
    assert differ(named, read(tmp_path, MMCIF.format("", "1"), "b.cif")) == 0.0
    assert told(named) == ""
    assert f000(named) == pytest.approx(24.0, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        (
            "a.bcif",
            b"\x83\xa7encoder\xa9mmcif-gen\xa7version\xa50.3.0\xaadataBlocks\x91",
            "BinaryCIF",
        ),
        ("a.json", b'{"data_1ABC": {"atom_site": {}}}', "mmJSON"),
        ("a.xyz", b"2\nwater\nO 0 0 0\nH 0.0 0.0 1.0\n", "a molecule without a crystal"),
        ("a.mol2", b"@<TRIPOS>MOLECULE\nx\n 1 0\n", "a molecule without a crystal"),
        (
            "a.sdf",
            b"x\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n",
            "a molecule without a crystal",
        ),
    ],
)
def test_other_files_of_molecules_are_refused_by_name(tmp_path, name, content, what):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"this is {what}.*; (convert it|give a CIF)"):
        read_structure_factors(str(path))
