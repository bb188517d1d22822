"""Numbers that nobody gave and that no convention can stand for are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.spec.load import parse_spec
from tests.geometry_files import expt

COMPLETE: dict[str, Any] = {
    "crystal": {"cell": [31, 37, 41, 85, 95, 100]},
    "structure_factors": {"default_f_electrons": 10.0},
    "detector": {"distance_mm": 100, "pixels_fast": 9, "pixels_slow": 7},
    "beam": {"wavelength_angstrom": 1.0},
}


def build(physics: str = "exact", **sections: Any) -> Experiment:
    return build_experiment(parse_spec({"physics": physics, **COMPLETE, **sections}))


@pytest.mark.spec("CRY-30")
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_structure_factors_nobody_gave_are_refused(physics: str) -> None:
    with pytest.raises(InputError, match=r"^structure_factors\.file: .*default_f_electrons"):
        build(physics, structure_factors={})


@pytest.mark.spec("CRY-30")
def test_an_amplitude_of_zero_may_be_asked_for() -> None:
    built = build(structure_factors={"default_f_electrons": 0}, background={"water_um": 10})
    assert built.reflections.default_amplitude == 0.0


@pytest.mark.spec("SRC-31")
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_a_wavelength_nobody_gave_is_refused(physics: str) -> None:
    with pytest.raises(InputError, match=r"^beam\.wavelength_angstrom: .*give .*energy_ev"):
        build(physics, beam={})


@pytest.mark.spec("SRC-31")
def test_a_file_that_leaves_the_wavelength_to_the_data_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.expt"
    document = expt()
    del document["beam"][0]["wavelength"]
    path.write_text(json.dumps(document))
    written = tmp_path / "spec.yaml"
    spec = {**COMPLETE, "detector": {"geometry_file": str(path)}, "beam": {}}
    written.write_text(json.dumps(spec))
    assert main(["plan", str(written)]) == 2
    message = capsys.readouterr().err
    assert "two.expt" in message
    assert "wavelength" in message


@pytest.mark.spec("SRC-31")
def test_a_source_file_gives_the_nominal_wavelength_where_every_line_states_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sources.txt"
    path.write_text("-10 0 0 1 1e-10\n-10 0 0 3 1.2e-10\n")
    built = build(beam={"source_file": str(path)})
    assert built.beam.wavelength == pytest.approx(1.15, rel=1e-12)
    path.write_text("-10 0 0 1 1e-10\n-10 0 0 3\n")
    with pytest.raises(InputError, match=r"sources\.txt:2: .*names none.*beam\.wavelength"):
        build(beam={"source_file": str(path)})
