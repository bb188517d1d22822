"""The comparison of plans with what recipes take: it judges by what a machine alone would need."""

from __future__ import annotations

import json

import pytest

from distbragg.errors import InputError
from tools.evidence import plan_times
from tools.evidence.plan_times import Measured, measure, summary, write_bundle

TINY = """
experiment:
  crystal: {cell: [50, 60, 70, 90, 90, 90], block_cells: [5, 5, 5]}
  beam: {wavelength_angstrom: 1.0, fluence_photons_per_m2: 1.0e+20}
  structure_factors: {default_f_electrons: 100}
  detector: {distance_mm: 100, pixel_size_mm: 0.1, pixels_fast: 9, pixels_slow: 7}
axes:
  - {name: phi, path: goniometer.phi_deg, values: [0, 1]}
"""

WRITER = """
def write_molecules(folder):
    (folder / "f.hkl").write_text("1 2 3 100")
"""


def measured(expected, wall, processor, load, workers=1):
    return Measured("demo", "serial", workers, expected, wall, processor, load)


def test_wall_time_counts_on_a_machine_alone_and_processor_time_on_a_shared_one(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert measured(10.0, 8.0, 6.0, load=1.5).alone == 8.0
    assert measured(10.0, 80.0, 16.0, load=9.0, workers=2).alone == 8.0
    within, beyond = measured(10.0, 6.0, 6.0, load=1.0), measured(10.0, 4.0, 4.0, load=1.0)
    assert "held." in summary([within])
    assert "missed by 1 of 2." in summary([within, beyond])
    assert "| 1.67 |" in summary([within])


@pytest.mark.slow
def test_a_recipe_is_rendered_and_written(tmp_path, monkeypatch):
    recipes = tmp_path / "workflows"
    recipes.mkdir()
    listed = TINY.replace("{default_f_electrons: 100}", "{file: f.hkl}")
    (recipes / "tiny.yaml").write_text(listed)
    (recipes / "tiny.py").write_text(WRITER)
    monkeypatch.setattr(plan_times, "RECIPES", recipes)
    monkeypatch.setattr(plan_times, "PLACES", (("serial", 1),))
    path = write_bundle(tmp_path / "reports")
    (told,) = json.loads((path / "times.json").read_text())
    assert told["recipe"] == "tiny"
    assert told["processor"] > 0
    assert not (recipes / "f.hkl").exists()
    (tmp_path / "bad.yaml").write_text(TINY.replace("cells", "cell5"))
    with pytest.raises(InputError):
        list(measure(tmp_path / "bad.yaml", str(tmp_path)))
