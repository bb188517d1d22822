"""Anomalous scattering at the beam's wavelength, and lists that repeat themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
