"""Numbers that are probably mistakes, sources that disagree, and what nobody gave."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.notes import Note
from distbragg.spec.load import parse_spec
from tests.geometry_files import expt

from .test_header_ingestion import write as write_header

SOUND: dict[str, Any] = {
    "beam": {
        "wavelength_angstrom": 1.0,
        "fluence_photons_per_m2": 1e22,
        "polarization": {"kahn_factor": 0.9},
    },
    "crystal": {"cell": [50, 60, 70, 90, 90, 90], "block_cells": [5, 5, 5]},
    "structure_factors": {"default_f_electrons": 100.0},
    "detector": {
        "distance_mm": 100.0,
        "pixel_size_mm": 0.1,
        "pixels_fast": 64,
        "pixels_slow": 48,
    },
    "sampling": {"oversample": 1},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in changes.items():
        held = both.get(key)
        both[key] = (
            merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
        )
    return both


def notes_of(changes: dict[str, Any], base: dict[str, Any] = SOUND) -> tuple[Note, ...]:
    return build_experiment(parse_spec(merged(base, changes))).notes


def test_a_sound_experiment_needs_nothing_said() -> None:
    assert notes_of({}) == ()


def test_what_materials_take_for_given_is_said(tmp_path: Path) -> None:
    (tmp_path / "own.stol").write_text("0 2\n0.5 1\n")
    own = {"file": str(tmp_path / "own.stol"), "thickness_um": 3, "density_g_per_cm3": 2}
    (note,) = notes_of({"background": {"materials": [own]}})
    assert "beam.size_mm = 0.1" in note.text
    assert "background.materials.0.molar_mass_g_per_mol = 18 (water)" in note.text
    assert "density" not in note.text
    water = {"name": "water", "thickness_um": 3}
    assert notes_of({"background": {"materials": [water]}, "beam": {"size_mm": 0.05}}) == ()


DOUBTS: list[tuple[dict[str, Any], str, str]] = [
    ({"beam": {"wavelength_angstrom": None, "energy_ev": 12.4}}, "beam.energy_ev", "12.4 eV"),
    ({"beam": {"wavelength_angstrom": 12400}}, "beam.wavelength_angstrom", "12400 Å"),
    ({"beam": {"wavelength_angstrom": 0.1}}, "beam.wavelength_angstrom", "0.1 Å"),
    ({"beam": {"wavelength_angstrom": None, "energy_ev": 12.4e6}}, "beam.energy_ev", "unusual"),
    (
        {"beam": {"wavelength_angstrom": None, "spectrum": {"energies_ev": [12.3, 12.4]}}},
        "beam.spectrum",
        "12.4 eV",
    ),
    (
        {"beam": {"spectrum": {"wavelengths_angstrom": [1.3, 1.4]}}},
        "beam.wavelength_angstrom",
        "1.3 to 1.4 Å",
    ),
    ({"detector": {"distance_mm": 0.15}}, "detector.distance_mm", "0.15 mm"),
    ({"detector": {"distance_mm": 0.05}}, "detector.distance_mm", "less than a pixel"),
    ({"detector": {"distance_mm": 1e5}}, "detector.distance_mm", "100000 mm"),
    ({"detector": {"xbeam_mm": 32, "ybeam_mm": 24}}, "detector.xbeam_mm", "off the detector"),
    (
        {"detector": {"beam_stop": {"radius_mm": 200}}},
        "detector.beam_stop.radius_mm",
        "a beam stop of 200 mm shades the whole detector, which ends 4.14 mm from its centre",
    ),
    (
        {"detector": {"beam_stop": {"polygon_mm": [[-9, -9], [9, -9], [9, 9], [-9, 9]]}}},
        "detector.beam_stop.polygon_mm",
        "the outline of the beam stop shades the whole detector",
    ),
    ({"detector": {"orgx_px": 2000}}, "detector.orgx_px", "2000"),
    ({"detector": {"pixel_size_mm": 75}}, "detector.pixel_size_mm", "75 mm"),
    ({"detector": {"pixel_size_mm": 0.000075}}, "detector.pixel_size_mm", "7.5e-05 mm"),
    (
        {"detector": {"sensor": {"thickness_um": 0.32, "material": "Si", "layers": 1}}},
        "detector.sensor.thickness_um",
        "0.32 µm",
    ),
    (
        {"crystal": {"mosaic": {"spread_deg": 300, "domains": 2}}},
        "crystal.mosaic.spread_deg",
        "300 degrees",
    ),
    ({"crystal": {"mosaic": {"domains": 20}}}, "crystal.mosaic.domains", "20 domains"),
    (
        {
            "crystal": {"shape": "gauss", "block_cells": [1.5, 700, 20]},
            "sampling": {"method": "closed_form"},
        },
        "crystal.block_cells",
        "1.5 cells along an axis",
    ),
    (
        {
            "crystal": {"shape": "gauss", "block_cells": [5, 700, 20]},
            "sampling": {"method": "closed_form"},
        },
        "crystal.block_cells",
        "plates so thin that at 20 Å",
    ),
    (
        {
            "crystal": {"shape": "gauss", "block_cells": 30},
            "beam": {"divergence_mrad": [0.5, 10.0]},
            "sampling": {"method": "closed_form"},
        },
        "beam.divergence_mrad",
        "10 mrad are 0.2 of the angle at which reflections of 20 Å are seen",
    ),
    ({"crystal": {"block_size_mm": [50, 50, 50]}}, "crystal.block_size_mm", "50 mm"),
    ({"crystal": {"cell": [1.5, 60, 70, 90, 90, 90]}}, "crystal.cell", "1.5 Å"),
    ({"crystal": {"cell": [50, 60, 70, 1.57, 1.57, 1.57]}}, "crystal.cell", "1.57 degrees"),
    ({"beam": {"fluence_photons_per_m2": 1e3}}, "beam.fluence_photons_per_m2", "1000 photons/m²"),
    ({"beam": {"fluence_photons_per_m2": 0}}, "beam.fluence_photons_per_m2", "0 photons/m²"),
    (
        {"beam": {"fluence_photons_per_m2": None}, "noise": {"photon": True}},
        "beam.fluence_photons_per_m2",
        "no real beam",
    ),
    (
        {
            "beam": {
                "fluence_photons_per_m2": None,
                "flux_photons_per_s": 1e12,
                "exposure_s": 1,
                "size_mm": 50,
            }
        },
        "beam.size_mm",
        "50 mm",
    ),
    (
        {"beam": {"divergence": {"horizontal": {"range_mrad": 300, "steps": 2}}}},
        "beam.divergence.horizontal.range_mrad",
        "300 mrad",
    ),
    ({"goniometer": {"oscillation_deg": 0, "steps": 5}}, "goniometer.steps", "5 steps"),
    ({"goniometer": {"oscillation_deg": 180, "steps": 5}}, "goniometer.oscillation_deg", "180"),
    ({"background": {"water_um": 1e6}}, "background.water_um", "1e+06 µm"),
    ({"sampling": {"dmin_angstrom": 200}}, "sampling.dmin_angstrom", "200 Å"),
    (
        {"structure_factors": {"default_f_electrons": 0}},
        "structure_factors.default_f_electrons",
        "all 0",
    ),
]


@pytest.mark.spec("CLI-20")
@pytest.mark.parametrize(
    "outline",
    [
        [[-2, -2], [2, -2], [2, 2], [-2, 2]],
        [[-9, -9], [9, -9], [9, 2], [-9, 2]],
        [[-9, -9], [-1, -9], [0, 5], [1, -9], [9, -9], [9, 9], [-9, 9]],  # a notch to the middle
        [[9, -9], [9, 9], [30, 0]],
    ],
)
def test_an_outline_that_leaves_pixels_is_not_warned_of(outline: list[list[float]]) -> None:
    assert notes_of({"detector": {"beam_stop": {"polygon_mm": outline}}}) == ()


@pytest.mark.spec("CLI-20")
def test_masks_that_leave_no_pixel_are_warned_of(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.zeros((48, 64), dtype=np.int32))
    for more in ({}, {"roi": [1, 9, 1, 9]}):
        mask = {"mask_file": str(tmp_path / "mask.npy"), **more}
        (note,) = notes_of({"detector": mask})
        assert (note.kind, note.place) == ("warning", "detector.mask_file")
        assert "no pixel is left" in note.text


@pytest.mark.spec("CLI-20")
@pytest.mark.parametrize(("changes", "place", "words"), DOUBTS)
def test_a_number_that_is_probably_a_mistake_is_warned_of(
    changes: dict[str, Any], place: str, words: str
) -> None:
    found = {(note.kind, note.place): note.text for note in notes_of(changes)}
    assert ("warning", place) in found, found
    assert words in found["warning", place]


@pytest.mark.spec("CLI-20")
@pytest.mark.parametrize(("changes", "place", "words"), DOUBTS[:1])
def test_notes_are_no_part_of_the_identity(changes: dict[str, Any], place: str, words: str) -> None:
    experiment = build_experiment(parse_spec(merged(SOUND, changes)))
    assert experiment.notes
    assert physics_hash(experiment) == physics_hash(replace(experiment, notes=()))


@pytest.mark.spec("CLI-20")
def test_what_nobody_gave_is_said_in_one_line() -> None:
    bare = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {"cell": [50, 60, 70, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 1},
        "goniometer": {"oscillation_deg": 1},
    }
    (note,) = build_experiment(parse_spec(bare)).notes
    assert (note.kind, note.place) == ("note", "not given, default used")
    for said in ("distance_mm = 100,", "pixel_size_mm = 0.1,", "pixels_fast = 1024,",
                 "fluence_photons_per_m2 = 1.25932e+29,", "kahn_factor = 0", "block_cells = 1 1 1",
                 "goniometer.steps = 2"):  # fmt: skip
        assert said in note.text


@pytest.mark.spec("CLI-20")
def test_a_beam_through_the_gap_or_the_hole_of_panels_is_on_the_detector() -> None:
    panel = {"fast": [0, 0, 1], "slow": [0, -1, 0], "pixels_fast": 9, "pixels_slow": 9}
    places = [[50, y, z] for y in (10, -1) for z in (-10, 1)]
    panels = [{**panel, "origin_mm": place} for place in places]
    sized = {"distance_mm": None, "pixels_fast": None, "pixels_slow": None, "pixel_size_mm": 1.0}
    assert notes_of({"detector": {**sized, "panels": panels}}) == ()
    aside = [{**panel, "origin_mm": [50, y + 100, z]} for _, y, z in places]
    (note,) = notes_of({"detector": {**sized, "panels": aside}})
    assert "off the detector" in note.text


@pytest.mark.spec("CLI-20")
def test_a_beam_stop_that_leaves_a_corner_needs_nothing_said() -> None:
    # A corner is 3.3 and 2.5 mm from the beam along fast and slow, 4.14 mm in all.
    assert notes_of({"detector": {"beam_stop": {"radius_mm": 4.1}}}) == ()
    aside = {"radius_mm": 4.2, "centre_mm": [0.5, 0.0]}
    assert notes_of({"detector": {"beam_stop": aside}}) == ()
    (note,) = notes_of({"detector": {"beam_stop": {"radius_mm": 4.2}}})
    assert note.place == "detector.beam_stop.radius_mm"


@pytest.mark.spec("CLI-21")
def test_header_and_specification_that_disagree_are_warned_of(tmp_path: Path) -> None:
    header = write_header(tmp_path / "a.img")
    files = {"header_files": [{"path": header, "role": "image"}]}
    found = {note.place: note.text for note in notes_of(files) if note.kind == "warning"}
    assert found["beam.wavelength_angstrom"] == f"1 Å is used, where {header} says 1.1 Å"
    assert found["detector.distance_mm"] == f"100 mm is used, where {header} says 123 mm"
    assert found["detector.pixel_size_mm"] == f"0.1 mm is used, where {header} says 0.25 mm"
    assert "40 pixels" in found["detector.pixels_fast"]
    mask = write_header(tmp_path / "mask.img", WAVELENGTH=1.3, DISTANCE=123.01)
    both = [{"path": mask, "role": "mask"}, *files["header_files"]]
    plain = {k: v for k, v in SOUND.items() if k != "beam"}
    said = [note for note in notes_of({"header_files": both}, plain) if note.kind == "warning"]
    (waves,) = [note.text for note in said if note.place == "beam.wavelength_angstrom"]
    assert waves == f"1.1 Å is used ({header}), where {mask} says 1.3 Å"


@pytest.mark.spec("CLI-21")
def test_geometry_file_and_specification_that_disagree_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "two.expt"
    path.write_text(json.dumps(expt()))
    told = build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 2.5},
                "crystal": {"cell": [50, 60, 70, 90, 90, 90]},
                "structure_factors": {"default_f_electrons": 1},
                "detector": {"geometry_file": str(path), "distance_mm": 300},
            }
        )
    ).notes
    places = {note.place for note in told if note.kind == "warning" and str(path) in note.text}
    assert {"beam.wavelength_angstrom", "detector.distance_mm"} <= places


@pytest.mark.spec("CLI-21")
def test_cells_that_disagree_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "model.pdb"
    path.write_text(
        "CRYST1   12.000   13.000   14.000  90.00 100.00  90.00 P 1\n"
        "ATOM      1  C   MSE A   1       4.000   3.000   2.000  1.00 10.00           C\nEND\n"
    )
    factors = {"file": str(path), "dmin_angstrom": 3.0, "default_f_electrons": None}
    told = notes_of({"structure_factors": factors})
    assert (
        Note("warning", "crystal.cell",
             f"50 60 70 90 90 90 is used, where {path} says 12 13 14 90 100 90")
        in told
    )  # fmt: skip
    same = {"structure_factors": factors, "crystal": {"cell": [12.01, 13, 14, 90, 100.1, 90]}}
    assert not [note for note in notes_of(same) if note.place == "crystal.cell"]


UNUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"detector": {"sensor": {"thickness_um": 100, "attenuation_length_um": 0, "layers": 1}}},
        "detector.sensor",
        "turns absorption off",
    ),
    ({"crystal": {"mosaic": {"domains": 20}}}, "crystal.mosaic.domains", "one aligned domain"),
    (
        {"detector": {"axes": {"fast": [0, 0, 1], "slow": [0, -1, 0.1]}}},
        "detector.axes",
        "not at right angles",
    ),
    (
        {"compute": {"kernel": "eager"}},
        "compute.kernel",
        "eager is now called model; write kernel: model",
    ),
    (
        {"beam": {"spectrum": {"energies_ev": [12300, 12400, 12500], "weights": [1, -1, 1]},
                  "wavelength_angstrom": None}},
        "beam.spectrum.weights",
        "1 of 3 weights of the list are negative",
    ),
]  # fmt: skip


@pytest.mark.spec("CLI-22")
@pytest.mark.parametrize(("changes", "place", "words"), UNUSED)
def test_what_has_no_effect_or_another_one_is_kept_with_the_frame(
    changes: dict[str, Any], place: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    (note,) = notes_of(changes)
    assert (note.kind, note.place) == ("warning", place)
    assert words in note.text
    assert not caplog.records


OF_THE_PROGRAM: list[tuple[dict[str, Any], str, str]] = [
    ({"sampling": {"per_sample_capture": True, "oversample": 2}}, "sampling.per_sample_capture",
     "depends on the order of the samples"),
    ({"sampling": {"per_sample_solid_angle": True, "oversample": 2}},
     "sampling.per_sample_solid_angle", "multiplies the running sum"),
    ({"structure_factors": {"interpolate": True}}, "structure_factors.interpolate",
     "turns interpolation off for the rest of its run"),
    ({"detector": {"pivot": "sample"}}, "detector.pivot", "sets the pivot to 'beam'"),
    ({"detector": {"orgx_px": 30}}, "detector.orgx_px, orgy_px", "pivots about the beam"),
    ({"detector": {"convention": "custom", "axes": {"normal": [2, 0, 0]}}}, "detector.axes.normal",
     "fast × slow is used instead"),
]  # fmt: skip


@pytest.mark.spec("SCL-4")
@pytest.mark.spec("CRY-15")
@pytest.mark.parametrize(("changes", "place", "words"), OF_THE_PROGRAM)
def test_what_the_c_program_does_otherwise_is_told(
    changes: dict[str, Any], place: str, words: str, tmp_path: Path
) -> None:
    table = tmp_path / "P1.hkl"
    table.write_text("".join(f"{h} {k} 1 9\n" for h in range(9) for k in range(9)))
    factors = {"file": str(table), **changes.get("structure_factors", {})}
    told = notes_of({"physics": "nanobragg", **changes, "structure_factors": factors})
    assert words in " ".join(note.text for note in told if note.place == place)
    assert place not in {note.place for note in notes_of({"physics": "nanobragg"})}


def test_per_sample_factors_of_a_single_sample_are_those_of_the_program() -> None:
    one = {"physics": "nanobragg", "sampling": {"per_sample_capture": True, "oversample": 1}}
    assert not [note for note in notes_of(one) if note.place.startswith("sampling.")]


@pytest.mark.spec("CLI-20")
def test_sources_of_another_frame_than_the_detector_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "sources.txt"
    for place, told in (("0 0 -10 1 1e-10", True), ("-10 0 0 1 1e-10", False)):
        path.write_text(f"{place}\n")
        found = [note for note in notes_of({"beam": {"source_file": str(path)}})
                 if note.place == "beam.source_file"]  # fmt: skip
        assert bool(found) is told
        assert not told or "90 degrees to the detector's normal" in found[0].text
