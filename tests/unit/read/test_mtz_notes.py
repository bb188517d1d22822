"""What an MTZ file says beside its columns: scale, cells, symmetry, missing values, intensities."""

from __future__ import annotations

import re
from pathlib import Path

import gemmi
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import detect_format, file_cell, read_structure_factors
from distbragg.spec.load import parse_spec

CELL = (20.0, 30.0, 40.0, 90.0, 90.0, 90.0)
REFMAC = "F:F SIGF:Q FC:F PHIC:P FC_ALL_LS:F PHIC_ALL_LS:P"


def write(path: Path, columns: str, *rows: list[float], group: str = "P 1 2 1") -> str:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(group)
    mtz.set_cell_for_all(gemmi.UnitCell(*CELL))
    mtz.add_dataset("d")
    for column in columns.split():
        mtz.add_column(*column.rsplit(":", 1))
    mtz.set_data(np.array(rows, dtype=np.float32))
    mtz.write_to_file(str(path))
    return str(path)


def patched(path: str, old: bytes, new: bytes) -> str:
    """Exchange bytes of the header, whose records are 80 characters long."""
    content = Path(path).read_bytes()
    assert content.count(old) >= 1
    assert len(old) == len(new)
    Path(path).write_bytes(content.replace(old, new))
    return path


def told(table: MillerTable) -> str:
    return " ".join(f"[{note.kind}] {note.text}" for note in table.notes)


def as_dict(table: MillerTable) -> dict[tuple[int, ...], float]:
    return {tuple(i): a for i, a in zip(table.indices.tolist(), table.amplitude, strict=True)}


@pytest.mark.spec("CRY-42")
def test_column_that_is_read_is_told_with_the_calculated_ones(tmp_path):
    path = write(tmp_path / "a.mtz", REFMAC, [1, 2, 3, 7, 1, 100, 0, 110, 0])
    table = read_structure_factors(path)
    assert set(table.amplitude) == {7.0}
    assert "[note] column F (type F) is |F|" in told(table)
    assert "[warning] F is a measured |F|" in told(table)
    assert "electrons: FC FC_ALL_LS (structure_factors.column: FC_ALL_LS)" in told(table)
    table = read_structure_factors(path, column="FC_ALL_LS")
    assert set(table.amplitude) == {110.0}
    assert told(table) == "[note] column FC_ALL_LS (type F) is |F|"


@pytest.mark.spec("CRY-42")
def test_notes_of_the_file_reach_the_experiment(tmp_path):
    path = write(tmp_path / "a.mtz", REFMAC, [1, 2, 3, 7, 1, 100, 0, 110, 0])
    spec = parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {"block_cells": [3, 3, 3]},
            "structure_factors": {"file": path},
            "detector": {"distance_mm": 60, "pixels_fast": 4, "pixels_slow": 4},
        }
    )
    notes = [str(note) for note in build_experiment(spec).notes]
    assert any(f"{path}: column F (type F) is |F|" in note for note in notes)


@pytest.mark.spec("CRY-42")
@pytest.mark.parametrize(
    ("label", "warning"),
    [
        ("FP", "measured"), ("F-obs-filtered", "measured"), ("FOBS", "measured"),
        ("FWT", "coefficients of a map"), ("2FOFCWT", "coefficients of a map"),
        ("FC", ""), ("FC_ALL", ""), ("F-model", ""), ("FMODEL", ""), ("FCALC", ""), ("FCtot", ""),
        ("F-mask", "part of the crystal"), ("FPART", "part of the crystal"),
    ],
)  # fmt: skip
def test_what_the_label_says_of_the_scale(tmp_path, label, warning):
    path = write(tmp_path / "a.mtz", f"{label}:F PH:P", [1, 2, 3, 7, 1])
    text = told(read_structure_factors(path))
    assert warning in text
    assert ("[warning]" in text) == bool(warning)


@pytest.mark.spec("CRY-42")
def test_missing_number_of_the_header_is_no_value(tmp_path):
    path = write(tmp_path / "a.mtz", "FC:F", [1, 2, 3, 7], [1, 2, 4, -999])
    patched(path, b"VALM NAN    ", b"VALM -999.0 ")
    table = read_structure_factors(path)
    assert {index[2] for index in as_dict(table)} == {3, -3}
    assert "1 of 2 reflections have no value" in told(table)


@pytest.mark.spec("CRY-42")
@pytest.mark.parametrize("column", [None, "I", "I(+)", "I(-)"])
def test_intensities_are_refused_unless_their_root_is_asked_for(tmp_path, column):
    columns = "I:J SIGI:Q I(+):K SIGI(+):M I(-):K SIGI(-):M"
    rows = [[1, 2, 3, 16, 1, 25, 1, 36, 1], [1, 2, 4, -4, 1, -4, 1, -9, 1]]
    path = write(tmp_path / "a.mtz", columns, *rows)
    with pytest.raises(InputError, match=r"intensities, not amplitudes.*French and Wilson"):
        read_structure_factors(path, column=column)
    table = read_structure_factors(path, column=column, intensities="root")
    found = as_dict(table)
    assert (found[1, 2, 3], found[-1, -2, -3]) == ((4, 4) if column == "I" else (5, 6))
    assert found[1, 2, 4] == found[-1, -2, -4] == 0.0
    assert "1 of 2 are negative and taken as 0" in told(table)


@pytest.mark.spec("CRY-42")
def test_amplitudes_come_before_intensities(tmp_path):
    path = write(tmp_path / "a.mtz", "I:J FC:F", [1, 2, 3, 16, 7])
    assert set(read_structure_factors(path, intensities="root").amplitude) == {7.0}


@pytest.mark.spec("CRY-42")
@pytest.mark.parametrize("kind", list("DELMPQWAI"))
def test_columns_of_other_types_are_refused_by_what_they_hold(tmp_path, kind):
    path = write(tmp_path / "a.mtz", f"X:{kind} FC:F", [1, 2, 3, 16, 7])
    with pytest.raises(InputError, match=rf"'X' has type {kind} \(.*\), not F .*: FC"):
        read_structure_factors(path, column="X")


@pytest.mark.spec("CRY-42")
def test_anomalous_differences_are_told(tmp_path):
    path = write(tmp_path / "a.mtz", "FP:F SIGFP:Q DANO:D SIGDANO:Q", [1, 2, 3, 7, 1, 1, 1])
    assert "anomalous differences (type D) are not applied" in told(read_structure_factors(path))


@pytest.mark.spec("CRY-42")
def test_free_flags_do_not_leave_reflections_out(tmp_path):
    path = write(tmp_path / "a.mtz", "FREE:I FC:F", [1, 2, 3, 0, 7], [1, 2, 4, 1, 8])
    assert set(read_structure_factors(path).amplitude) == {7.0, 8.0}


@pytest.mark.spec("CRY-42")
def test_cell_of_the_column_s_dataset_is_used_and_told(tmp_path):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_cell_for_all(gemmi.UnitCell(*CELL))
    for name, label, a in (("native", "FP", 20.0), ("peak", "FC", 21.0)):
        mtz.add_dataset(name).cell = gemmi.UnitCell(a, *CELL[1:])
        mtz.add_column(label, "F")
    mtz.set_data(np.array([[1, 2, 3, 7, 8]], dtype=np.float32))
    path = str(tmp_path / "a.mtz")
    mtz.write_to_file(path)
    table = read_structure_factors(path, column="FC")
    assert "of dataset peak" in told(table)
    assert "the cell is that of the column's dataset" in told(table)
    assert file_cell(path, "auto", "FC")[0] == 21.0
    assert file_cell(path)[0] == 20.0


@pytest.mark.spec("CRY-42")
@pytest.mark.parametrize("group", ["P 1 1 21", "R 3:H", "R 3:R", "I 1 21 1", "P 2 21 21", "A 1"])
def test_operators_are_the_symmetry(tmp_path, group):
    path = write(tmp_path / "a.mtz", "FC:F", [1, 2, 3, 7], group=group)
    expected = {
        tuple(sign * i for i in op.apply_to_hkl([1, 2, 3]))
        for op in gemmi.SpaceGroup(group).operations().sym_ops
        for sign in (1, -1)
    }
    assert set(as_dict(read_structure_factors(path))) == expected


@pytest.mark.spec("CRY-42")
def test_operators_that_contradict_the_name_are_told(tmp_path):
    path = write(tmp_path / "a.mtz", "FC:F", [1, 2, 3, 7], group="P 1 2 1")
    patched(path, b"-X,Y,-Z", b" X,Y, Z")
    table = read_structure_factors(path)
    assert len(as_dict(table)) == 2
    assert "[warning] P 1 by the operators (SYMM), P 1 2 1 by the name (SYMINF)" in told(table)


@pytest.mark.spec("CRY-42")
def test_space_group_of_the_specification_wins(tmp_path):
    path = write(tmp_path / "a.mtz", "FC:F", [1, 2, 3, 7])
    table = read_structure_factors(path, space_group="P 2 2 2")
    assert len(as_dict(table)) == 8
    assert "[warning] expanded by P 2 2 2 of structure_factors.space_group" in told(table)
    assert "the file names P 1 2 1" in told(table)
    assert "expanded" not in told(read_structure_factors(path, space_group="P 21"))


@pytest.mark.spec("CRY-42")
def test_unmerged_amplitudes_are_told(tmp_path):
    path = write(tmp_path / "a.mtz", "M/ISYM:Y FC:F", [1, 2, 3, 1, 7], [1, 2, 3, 2, 9])
    table = read_structure_factors(path)
    assert set(table.amplitude) == {8.0}
    assert "[warning] unmerged: observations of one reflection are averaged" in told(table)


@pytest.mark.spec("CRY-42")
def test_isym_of_a_truncated_file_does_not_make_it_unmerged(tmp_path):
    path = write(tmp_path / "a.mtz", "F:F DANO:D ISYM:Y", [1, 2, 3, 7, 1, 0])
    assert "unmerged" not in told(read_structure_factors(path))
    path = write(tmp_path / "b.mtz", "IMEAN:J ISYM:Y", [1, 2, 3, 49, 0])
    assert set(read_structure_factors(path, intensities="root").amplitude) == {7.0}


@pytest.mark.spec("CRY-42")
def test_content_tells_an_mtz_of_another_name(tmp_path):
    path = write(tmp_path / "a.mtz", "FC:F", [1, 2, 3, 7])
    other = Path(path).rename(tmp_path / "reflections.hkl")
    assert detect_format(str(other)) == "mtz"
    assert re.search("column FC", told(read_structure_factors(str(other))))
