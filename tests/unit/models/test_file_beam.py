"""What the beam takes from a geometry file: spectra, shots, and what nobody stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.notes import Note
from distbragg.spec.load import parse_spec
from distbragg.spec.sweep import SweepSpec
from tests.geometry_files import CRYSTFEL, MINI_CBF, XDS_INP, expt, expt_panel
from tests.nexus_files import spectrum_master

CHANNELS = [0.95, 1.0, 1.05]
SHOTS = [[1.0, 2.0, 1.0], [3.0, 1.0, -0.001]]


def document(file: str, beam: dict[str, Any] | None = None, **detector: Any) -> dict[str, Any]:
    return {
        "beam": beam or {},
        "crystal": {"cell": [40, 40, 40, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 1.0},
        "sampling": {"oversample": 1},
        "detector": {"geometry_file": file, **detector},
    }


def build(file: str, beam: dict[str, Any] | None = None, **detector: Any) -> Experiment:
    return build_experiment(parse_spec(document(file, beam, **detector)))


def shares(experiment: Experiment) -> list[float]:
    sources = experiment.beam.sources
    return (sources.weight / sources.total_weight).tolist()


def text(experiment: Experiment) -> str:
    return "\n".join(str(note) for note in experiment.notes)


def of_file(experiment: Experiment, path: Path) -> list[Note]:
    return [note for note in experiment.notes if note.place == str(path)]


@pytest.fixture
def master(tmp_path: Path) -> str:
    return spectrum_master(tmp_path / "m.h5", CHANNELS, SHOTS)


@pytest.mark.spec("GEO-20")
def test_the_spectrum_of_a_master_becomes_the_sources(master: str) -> None:
    experiment = build(master)
    np.testing.assert_array_equal(experiment.beam.sources.wavelength, CHANNELS)
    assert shares(experiment) == [0.25, 0.5, 0.25]
    assert experiment.beam.wavelength == pytest.approx(1.0)
    assert "shot 0 of 2 is used" in text(experiment)


@pytest.mark.spec("GEO-20")
def test_a_shot_of_the_master_is_chosen_by_the_spectrum_or_by_an_axis(master: str) -> None:
    experiment = build(master, {"spectrum": {"shot": 1}})
    np.testing.assert_array_equal(experiment.beam.sources.wavelength, CHANNELS[:2])
    assert shares(experiment) == [0.75, 0.25]
    assert "shot 0" not in text(experiment)
    assert "1 of 3 weights of incident_wavelength in shot 1 are negative" in text(experiment)
    sweep = SweepSpec.model_validate(
        {
            "experiment": document(master, {"spectrum": {"shot": 0}}),
            "axes": [{"name": "shot", "path": "beam.spectrum.shot", "values": [0, 1]}],
        }
    )
    first, second = (build_experiment(sweep.frame_spec(i), frame=i) for i in (0, 1))
    assert shares(first) == [0.25, 0.5, 0.25]
    assert shares(second) == [0.75, 0.25]
    with pytest.raises(InputError, match="no shot 2"):
        build(master, {"spectrum": {"shot": 2}})


@pytest.mark.spec("GEO-20")
def test_a_master_serves_as_the_spectrum_of_another_detector(master: str) -> None:
    spec = document(master, {"spectrum": {"file": master, "shot": 1}})
    spec["detector"] = {"distance_mm": 100.0}
    assert shares(build_experiment(parse_spec(spec))) == [0.75, 0.25]


@pytest.mark.spec("GEO-20")
@pytest.mark.parametrize(
    "beam",
    [
        {"wavelength_angstrom": 1.2},
        {"energy_ev": 12398.42 / 1.2},
        {"spectrum": {"wavelengths_angstrom": [1.2]}},
    ],
)
def test_wavelengths_of_the_specification_win_over_the_spectrum(
    master: str, beam: dict[str, Any]
) -> None:
    experiment = build(master, beam)
    np.testing.assert_allclose(experiment.beam.sources.wavelength, [1.2], rtol=1e-15)
    assert "the spectrum of the file is ignored" in text(experiment)


def test_a_shot_needs_a_file_that_has_shots(tmp_path: Path) -> None:
    path = tmp_path / "x.geom"
    path.write_bytes(CRYSTFEL)
    with pytest.raises(InputError, match="has no shots"):
        build(str(path), {"spectrum": {"shot": 0}})
    spec = document(str(path), {"spectrum": {"shot": 0}})
    del spec["detector"]
    with pytest.raises(InputError, match="a shot of no file"):
        build_experiment(parse_spec(spec))


@pytest.mark.spec("GEO-18")
def test_a_centre_that_the_header_leaves_out_is_that_of_the_specification(
    tmp_path: Path,
) -> None:
    path = tmp_path / "i.cbf"
    lines = (b"# Beam_xy (7.50, 4.25) pixels\n", b"# Detector_distance 0.19018 m\n")
    path.write_bytes(MINI_CBF.replace(lines[0], b"").replace(lines[1], b""))
    (panel,) = build(str(path), distance_mm=130, xbeam_mm=1.0, ybeam_mm=0.5).detector.panels
    np.testing.assert_allclose(panel.origin, [-1e-3, 0.5e-3, -0.13], rtol=1e-12)
    for given, missing in (
        ({"xbeam_mm": 1.0, "ybeam_mm": 0.5}, "detector.distance_mm"),
        ({"distance_mm": 130, "ybeam_mm": 0.5}, "detector.xbeam_mm"),
        ({"distance_mm": 130, "xbeam_mm": 1.0}, "detector.ybeam_mm"),
    ):
        with pytest.raises(InputError, match=missing):
            build(str(path), **given)


@pytest.mark.spec("GEO-18")
def test_the_specification_wins_over_what_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "XDS.INP"
    path.write_bytes(XDS_INP)
    (panel,) = build(str(path), distance_mm=130, xbeam_mm=1.0, ybeam_mm=0.5).detector.panels
    np.testing.assert_allclose(panel.origin, [-1e-3, -0.5e-3, 0.13], rtol=1e-12)


def test_notes_of_a_geometry_reach_the_experiment(tmp_path: Path) -> None:
    path = tmp_path / "x.geom"
    path.write_bytes(b"max_adu = 7000\n" + CRYSTFEL)
    (note,) = of_file(build(str(path)), path)
    assert note.kind == "note"
    assert "max_adu" in note.text


@pytest.mark.spec("GEO-16")
def test_the_specification_chooses_an_experiment_of_a_list(tmp_path: Path) -> None:
    content = expt()
    content["beam"].append({**content["beam"][0], "wavelength": 0.9})
    content["experiment"].append({**content["experiment"][0], "beam": 1})
    path = tmp_path / "x.expt"
    path.write_text(json.dumps(content))
    assert build(str(path)).beam.wavelength == 1.1
    assert build(str(path), geometry_experiment=1).beam.wavelength == 0.9
    with pytest.raises(InputError, match="geometry_experiment"):
        parse_spec({"detector": {"geometry_experiment": 1}})


@pytest.mark.spec("GEO-13")
def test_the_attenuation_of_a_file_is_that_of_its_wavelength(tmp_path: Path) -> None:
    """Silicon at 22.5 keV: 3.17 cm²/g (NIST XCOM, interpolated) times 2.33 g/cm³ is 0.74 /mm."""
    panels = [
        expt_panel("a", [0, 0, -50], thickness=0.32, mu=4.0, material="Si"),
        expt_panel("b", [9, 0, -50], thickness=0.32, mu=4.0),
    ]
    path = tmp_path / "s.expt"
    path.write_text(json.dumps(expt(panels)))
    same = build(str(path))
    assert [p.sensor.attenuation for p in same.detector.panels] == [4000.0, 4000.0]
    assert of_file(same, path) == []
    other = build(str(path), {"wavelength_angstrom": 0.55})
    first, second = other.detector.panels
    assert first.sensor.attenuation == pytest.approx(740.0, rel=0.02)
    assert second.sensor.attenuation == 4000.0
    (note,) = of_file(other, path)
    assert note.kind == "warning"
    assert "attenuation is that of 1.1 Å" in note.text


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"thickness": 0.45, "material": "Ge"}, "0.45 mm of 'Ge', which is not known"),
        ({"thickness": 0.45}, "0.45 mm of no material that the file names"),
        ({"thickness": 0.45, "material": "GaAs:Cr"}, ""),
        ({"thickness": 0.45, "mu": 4.0}, ""),
        ({"thickness": 1e-5}, ""),
    ],
)
def test_a_sensor_that_absorbs_nothing_for_want_of_a_material_is_told(
    tmp_path: Path, changes: dict[str, Any], part: str
) -> None:
    path = tmp_path / "s.expt"
    path.write_text(json.dumps(expt([expt_panel("a", [0, 0, -50], **changes)])))
    notes = of_file(build(str(path)), path)
    assert [part in note.text for note in notes] == ([True] if part else [])
    assert of_file(build(str(path), sensor={"material": "Si"}), path) == []
