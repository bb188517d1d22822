"""Structure factors of a model, written as MTZ and read by programs and by ourselves."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.read.structure_factors import read_structure_factors
from distbragg.run.fmodel import fmodel
from tests.tolerances import DENSITY_TRANSFORM_OF_MAXIMUM

PDB = """CRYST1   12.000   15.000   17.000  90.00 101.00  90.00 P 1 21 1      2
ATOM      1  N   GLY A   1       1.000   2.000   3.000  1.00 12.00           N
ATOM      2  CA  GLY A   1       2.200   2.500   3.700  1.00 11.00           C
ATOM      3 SE   MSE A   1       3.400   1.700   3.300  1.00 13.00          SE
ATOM      4 ZN   ZN  A   2       6.500   9.500   8.300  1.00  9.00          ZN
END
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pdb"
    path.write_text(PDB)
    return str(path)


def columns_of(path):
    mtz = gemmi.read_mtz_file(str(path))
    return mtz, {c.label: np.array(c, dtype=np.float64) for c in mtz.columns}


def test_amplitudes_and_phases_are_those_of_direct_summation(model, tmp_path):
    result = fmodel(model, tmp_path / "f.mtz", dmin=2.0, bulk_solvent=False)
    mtz, columns = columns_of(tmp_path / "f.mtz")
    assert [c.type for c in mtz.columns] == ["H", "H", "H", "F", "P"]
    assert (mtz.spacegroup.hm, mtz.nreflections) == ("P 1 21 1", result.reflections)
    structure = gemmi.read_pdb_string(PDB)
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    rows = np.stack([columns[k] for k in "HKL"], axis=1).astype(int).tolist()
    direct = np.array([calculator.calculate_sf_from_model(structure[0], row) for row in rows])
    found = columns["FC"] * np.exp(1j * np.radians(columns["PHIC"]))
    assert np.abs(found - direct).max() < DENSITY_TRANSFORM_OF_MAXIMUM * np.abs(direct).max()
    assert rows[0] == [0, 0, 0]
    assert result.f000 == pytest.approx(2 * (7 + 6 + 34 + 30), rel=2e-3)


@pytest.mark.parametrize("wavelength", [None, 0.9795])
@pytest.mark.parametrize("solvent", [True, False])
def test_a_spec_reads_from_the_file_what_the_model_gives(model, tmp_path, wavelength, solvent):
    fmodel(model, tmp_path / "f.mtz", dmin=2.0, wavelength=wavelength, bulk_solvent=solvent)
    stored = read_structure_factors(str(tmp_path / "f.mtz"))
    table = read_structure_factors(model, dmin=2.0, bulk_solvent=solvent, wavelength=wavelength)
    places = {tuple(i): a for i, a in zip(table.indices.tolist(), table.amplitude, strict=True)}
    expected = np.array([places[tuple(i)] for i in stored.indices.tolist()])
    largest = expected.max()
    assert np.abs(stored.amplitude - expected).max() < 1e-5 * largest
    absent = set(places) - set(map(tuple, stored.indices.tolist()))
    assert all(k % 2 and h == l == 0 for h, k, l in absent)  # noqa: E741


def test_dispersion_of_a_macromolecule_is_the_sum_with_complex_form_factors(model, tmp_path):
    wavelength = 0.9795
    fmodel(model, tmp_path / "f.mtz", dmin=2.0, wavelength=wavelength, bulk_solvent=False)
    mtz, columns = columns_of(tmp_path / "f.mtz")
    assert mtz.datasets[-1].wavelength == pytest.approx(wavelength)
    structure = gemmi.read_pdb_string(PDB)
    inverse = np.array(structure.cell.frac.mat.tolist())
    indices = np.stack([columns[k] for k in "HKL"], axis=1)
    for sign, label in ((1, "FC(+)"), (-1, "FC(-)")):
        total = np.zeros(len(indices), dtype=complex)
        for item in structure[0].all():
            atom = item.atom
            x, y, z = inverse @ np.array(atom.pos.tolist())
            table = atom.element.it92
            stol2 = ((indices @ inverse) ** 2).sum(axis=1) / 4
            factor = table.c + sum(
                a * np.exp(-b * stol2) for a, b in zip(table.a, table.b, strict=True)
            )
            real, imaginary = gemmi.cromer_liberman(
                atom.element.atomic_number, 12398.42 / wavelength
            )
            factor = (factor + real + 1j * imaginary) * np.exp(-atom.b_iso * stol2)
            for place in ((x, y, z), (-x, y + 0.5, -z)):
                total += factor * np.exp(2j * np.pi * sign * (indices @ np.array(place)))
        error = np.abs(columns[label] - np.abs(total)).max()
        assert error < DENSITY_TRANSFORM_OF_MAXIMUM * np.abs(total).max()
    assert np.abs(columns["FC(+)"] - columns["FC(-)"]).max() > 1.0


def test_the_command_writes_the_file_and_says_what_is_in_it(model, tmp_path, capsys):
    out = str(tmp_path / "f.mtz")
    assert main(["fmodel", model, "-o", out, "--dmin", "2.5", "--no-bulk-solvent"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: ")
    assert "P 1 21 1" in said
    first = Path(out).read_bytes()
    assert main(["fmodel", model, "-o", out, "--dmin", "2.5", "--no-bulk-solvent"]) == 0
    assert Path(out).read_bytes() == first


@pytest.mark.parametrize(
    ("output", "options", "problem"),
    [
        ("f.hkl", {}, "MTZ"),
        ("nowhere/f.mtz", {}, "does not exist"),
        ("f.mtz", {"wavelength": 60.0}, "no f′ and f″ at 60"),
        ("f.mtz", {"dmin": 1e-3}, "lower resolution"),
        ("f.mtz", {"dmin": float("nan")}, "resolution"),
    ],
)
def test_what_cannot_be_written_is_refused(model, tmp_path, output, options, problem):
    with pytest.raises(InputError, match=problem):
        fmodel(model, tmp_path / output, **{"dmin": 2.0, **options})
    assert not (tmp_path / "f.mtz").exists()


def test_reflections_and_lists_are_no_model(model, tmp_path):
    fmodel(model, tmp_path / "f.mtz", dmin=3.0)
    with pytest.raises(InputError, match="holds reflections"):
        fmodel(tmp_path / "f.mtz", tmp_path / "g.mtz", dmin=3.0)
    (tmp_path / "p1.hkl").write_text("1 2 3 4.0\n")
    with pytest.raises(InputError, match="no atomic model"):
        fmodel(tmp_path / "p1.hkl", tmp_path / "g.mtz", dmin=3.0)
