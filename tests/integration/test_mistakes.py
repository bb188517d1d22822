"""Thirty mistakes that users make, each answered by one line that leads on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.cli.main import main

BASE: dict[str, Any] = {
    "beam": {"wavelength_angstrom": 1.0},
    "crystal": {"cell": [40, 50, 60, 90, 90, 90], "block_cells": [5, 5, 5]},
    "structure_factors": {"default_f_electrons": 10},
    "detector": {
        "distance_mm": 100, "pixel_size_mm": 0.1, "pixels_fast": 16, "pixels_slow": 16,
        "convention": "dials",
    },
}  # fmt: skip

REFUSED = {
    "a shape by another name": ("crystal.shape=gaussian", "did you mean gauss?"),
    "a shape in capitals": ("crystal.shape=Gauss", "did you mean gauss?"),
    "the physics as the program writes it": ("physics=nanoBragg", "did you mean nanobragg?"),
    "a device by another name": ("compute.device=gpu", "cpu, cuda, or cuda:N"),
    "a number with its unit": (
        "crystal.mosaic.spread_deg=0.3deg",
        "must be a number, got '0.3deg'; write the number alone; its unit is degree",
    ),
    "a decimal comma": ("detector.distance_mm='100,5'", "a decimal fraction has a point"),
    "sexagesimal": ("detector.distance_mm=1:30", "got '1:30'; write it in decimal"),
    "a cell of five numbers": ("crystal.cell=[40,50,60,90,90]", "5 numbers, where a cell has six"),
    "spread beside the crystal": (
        "crystal.mosaic_spread_deg=0.3", "did you mean crystal.mosaic.spread_deg?"
    ),
    "symmetry of the crystal": (
        "crystal.space_group=19", "did you mean structure_factors.space_group?"
    ),
    "a beam centre": (
        "detector.beam_center_px=8", "the beam centre is detector.xbeam_mm and detector.ybeam_mm"
    ),
    "no unit": ("beam.wavelength=1", "did you mean beam.wavelength_angstrom?"),
    "no unit of an angle": ("goniometer.phi=1", "did you mean goniometer.phi_deg?"),
    "another unit": (
        "detector.distance_m=0.1", "did you mean detector.distance_mm? (its unit is mm)"
    ),
    "energy in keV": ("beam.energy_kev=12.4", "did you mean beam.energy_ev? (its unit is eV)"),
    "simtbx's name": ("crystal.Ncells_abc=[5,5,5]", "did you mean crystal.block_cells?"),
    "a polarisation fraction": (
        "beam.polarization.fraction=0.99", "kahn_factor is 2 f - 1 of a polarisation fraction f"
    ),
    "a preset beside sizes": ("detector.preset=pilatus3_6m", "given together with preset; keep"),
    "directions without a range": (
        "beam.divergence.horizontal.steps=5",
        "given without a range; give beam.divergence.horizontal.range_mrad beside it",
    ),
    "a count below 1": ("crystal.mosaic.domains=-3", "greater than or equal to 1, got -3"),
    "a switch for a number": ("detector.distance_mm=true", "true/false is not allowed here"),
}  # fmt: skip

WARNED = {
    "a distance in metres": (
        ["detector.distance_mm=0.05", "sampling.oversample=1"],
        "detector.distance_mm: the distance of",
    ),
    "an energy in keV": (
        ["beam.wavelength_angstrom=null", "beam.energy_ev=12.4"],
        "nothing can diffract; energies are in eV (keV meant?)",
    ),
    "a beam centre in pixels": (
        "detector.xbeam_mm=64", "xbeam_mm = 64: the direct beam is off the detector"
    ),
    "a spread of many degrees": ("crystal.mosaic.spread_deg=300", "more is a powder"),
    "counts on no scale": ("noise.photon=true", "is nanoBragg's own scale and no real beam"),
    "a mask the other way round": (
        "detector.mask_file=mask.npy", "masks of NeXus and pyFAI mean the opposite"
    ),
    "rotation without steps": ("goniometer.oscillation_deg=1", "goniometer.steps = 2"),
    "a spread without domains": ("crystal.mosaic.spread_deg=0.2", "crystal.mosaic.domains = 10"),
    "a range without directions": (
        "beam.divergence.horizontal.range_mrad=1", "beam.divergence.horizontal.steps = 2"
    ),
}  # fmt: skip

FILES = {
    "no structure factors": (
        {"structure_factors": {}},
        "no structure factors are given; name a list or a model",
    ),
    "a tab": ("beam:\n\twavelength_angstrom: 1.0\n", "m.yaml:2: cannot be read as YAML: a tab be"),
    "a sweep": ({"experiment": BASE, "axes": []}, "is a sweep, where one experiment is needed"),
    "text in a list": (
        {"structure_factors": {"file": "bad.hkl"}},
        "bad.hkl:1: F 'abc' is not a number",
    ),
    "a preset misspelt": (
        {"detector": {"preset": "pilatus6m"}},
        "did you mean pilatus3_6m?",
    ),
}


def answer(folder: Path, capsys: Any, *arguments: str) -> tuple[int, list[str]]:
    """Exit status, and lines of standard error, of rendering `m.yaml`."""
    capsys.readouterr()
    status = main(["render", f"{folder}/m.yaml", "-o", f"{folder}/o.npy", *arguments])
    return status, capsys.readouterr().err.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(json.dumps(BASE))
    mask = np.zeros((16, 16), np.uint8)
    mask[3, 4] = 1
    np.save(tmp_path / "mask.npy", mask)
    (tmp_path / "bad.hkl").write_text("0 0 1 abc\n")
    return tmp_path


@pytest.mark.spec("FLD-4")
def test_thirty_mistakes_are_looked_at():
    assert len(REFUSED) + len(WARNED) + len(FILES) >= 30


@pytest.mark.spec("FLD-4")
@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_refused_in_one_line_with_what_to_do(folder, capsys, mistake):
    given, words = REFUSED[mistake]
    status, lines = answer(folder, capsys, "--set", given)
    assert status == 2
    assert len(lines) == 1
    assert words in lines[0]
    assert "--set" in lines[0] or given.partition("=")[0] in lines[0] or "preset" in lines[0]
    assert not (folder / "o.npy").exists()


@pytest.mark.spec("FLD-4")
@pytest.mark.parametrize("mistake", WARNED)
def test_a_mistake_that_can_be_meant_is_told_in_one_line(folder, capsys, mistake):
    given, words = WARNED[mistake]
    sets = [f"--set={each}" for each in ([given] if isinstance(given, str) else given)]
    status, lines = answer(folder, capsys, *sets)
    assert status == 0
    assert len([line for line in lines if words in line]) == 1
    if " = " not in words or "xbeam" in words:
        assert next(line for line in lines if words in line).startswith("warning: ")
        assert words not in "\n".join(answer(folder, capsys)[1])


@pytest.mark.spec("FLD-4")
@pytest.mark.parametrize("mistake", FILES)
def test_a_mistake_of_a_file_is_refused_in_one_line_with_what_to_do(folder, capsys, mistake):
    content, words = FILES[mistake]
    whole = {**BASE, **content} if isinstance(content, dict) and "axes" not in content else content
    (folder / "m.yaml").write_text(whole if isinstance(whole, str) else json.dumps(whole))
    status, lines = answer(folder, capsys)
    assert status == 2
    assert len(lines) == 1
    assert words in lines[0]
