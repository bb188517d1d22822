"""Anomalous scattering at the beam's wavelength, and lists that repeat themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_reflections, reflections_key
from distbragg.models.crystal import Reflections
from distbragg.read.structure_factors import read_structure_factors
from distbragg.spec.load import parse_spec
from tests.tolerances import DENSITY_TRANSFORM_OF_MAXIMUM

PDB = """\
CRYST1   12.000   13.000   14.000  90.00 100.00  90.00 P 1
ATOM      1 SE   MSE A   1       1.000   2.000   3.000  1.00 10.00          SE
ATOM      2  C   MSE A   1       4.000   3.000   2.000  1.00 10.00           C
ATOM      3  O   MSE A   1       2.500   6.000   7.000  1.00 10.00           O
END
"""


def built(path: Path, wavelength: float | None = 0.979, **factors: Any) -> Reflections:
    return build_reflections(spec_of(path, wavelength, **factors))


def spec_of(path: Path, wavelength: float | None = 0.979, **factors: Any):
    beam = {} if wavelength is None else {"wavelength_angstrom": wavelength}
    fields = {"file": str(path), "dmin_angstrom": 2.0, "bulk_solvent": False, **factors}
    return parse_spec({"beam": beam, "structure_factors": fields})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pdb"
    path.write_text(PDB)
    return path


@pytest.mark.spec("CRY-22")
def test_anomalous_model_breaks_friedels_law_at_the_wavelength(model: Path) -> None:
    plain, anomalous = built(model), built(model, anomalous=True)
    mates = plain.amplitude[::-1, ::-1, ::-1]
    np.testing.assert_allclose(plain.amplitude, mates, rtol=DENSITY_TRANSFORM_OF_MAXIMUM)
    difference = np.abs(anomalous.amplitude - anomalous.amplitude[::-1, ::-1, ::-1])
    assert difference.max() > 1.0
    table = read_structure_factors(str(model), dmin=2.0, bulk_solvent=False, wavelength=0.979)
    places = tuple((table.indices - np.array(anomalous.origin)).T)
    np.testing.assert_array_equal(anomalous.amplitude[places], table.amplitude)


@pytest.mark.spec("CRY-22")
def test_table_is_known_by_the_wavelength_only_where_it_depends_on_it(model: Path) -> None:
    assert reflections_key(spec_of(model)) == reflections_key(spec_of(model, 1.0))
    keys = {reflections_key(spec_of(model, x, anomalous=True)) for x in (0.979, 1.0)}
    assert len(keys | {reflections_key(spec_of(model))}) == 3


@pytest.mark.spec("CRY-22")
def test_anomalous_scattering_needs_a_model_and_a_wavelength(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="need a wavelength"):
        built(model, None, anomalous=True)
    listed = tmp_path / "f.hkl"
    listed.write_text("1 0 0 5\n")
    with pytest.raises(InputError, match="atoms of a model"):
        built(listed, anomalous=True)


def mtz_of(path: Path, value: float) -> None:
    mtz = gemmi.Mtz(with_base=True)
    mtz.set_cell_for_all(gemmi.UnitCell(30, 40, 50, 90, 90, 90))
    mtz.spacegroup = gemmi.SpaceGroup("P 21 21 21")
    mtz.add_dataset("x")
    mtz.add_column("FC", "F")
    mtz.set_data(np.array([[1, 2, 3, 5.0], [2, 2, 2, value]], np.float32))
    mtz.write_to_file(str(path))


CIF = """data_x
_cell.length_a 30
_cell.length_b 40
_cell.length_c 50
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 1 2 1'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.F_calc_au
1 2 3 5
"""

HUGE = "1.7e308"
"""A finite number; the mean of two is none."""


@pytest.mark.spec("CRY-16")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("a.hkl", "a.mtz", "a.cif") for value in ("nan", "inf")),
        ("a.hkl", HUGE),
        ("a.cif", HUGE),
    ],
)
def test_no_amplitude_that_is_no_number_reaches_a_kernel(
    tmp_path: Path, name: str, value: str
) -> None:
    path, group = tmp_path / name, {"space_group": "P 1 2 1"} if name == "a.hkl" else {}
    if name == "a.mtz":
        mtz_of(path, float(value))
    else:
        rows = f"2 2 2 {value}\n-2 2 -2 {value}\n"
        path.write_text((CIF if name == "a.cif" else "1 2 3 5\n") + rows)
    if name != "a.hkl" and value == "nan":  # stands for a reflection that was not measured
        table = built(path)
        assert table.amplitude.max() == 5.0
        assert np.isfinite(table.amplitude).all()
        assert any("have no value" in note.text for note in table.notes)
        return
    with pytest.raises(InputError) as found:
        built(path, **group)
    assert str(path) in str(found.value)
    if value == HUGE:
        line = (
            f"{path}: structure_factors.file: |F| of reflection -2 -2 -2 is not a finite number; "
        )
        assert str(found.value).startswith(line)


@pytest.mark.spec("CRY-23")
def test_list_with_two_amplitudes_of_one_reflection_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.hkl"
    path.write_text("1 0 0 5\n0 2 0 7\n1 0 0 6\n")
    with pytest.raises(InputError, match="reflection 1 0 0 is listed with two amplitudes"):
        build_reflections(spec_of(path))
    nanobragg = spec_of(path).model_copy(update={"physics": "nanobragg"})
    table = build_reflections(nanobragg)
    assert table.amplitude[tuple(np.array([1, 0, 0]) - table.origin)] == 6.0


@pytest.mark.spec("CRY-23")
def test_repeated_equal_line_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "f.hkl"
    path.write_text("1 0 0 5\n0 2 0 7\n1 0 0 5\n")
    assert np.count_nonzero(build_reflections(spec_of(path)).amplitude) == 2
