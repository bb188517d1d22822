"""The spot finder of workflows/ renders, trains, tests and draws; its scores are right."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import gemmi
import numpy as np
import pytest
import torch

import distbragg as db
from distbragg.models.tables import load_any
from tests.recipes import WORKFLOWS, load_recipe


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe("spot_finder")


@pytest.fixture(scope="module")
def trained(recipe: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("spots")
    return folder, recipe.main([str(folder), "--shots", "24", "--steps", "40", "--batch", "3"])


def test_it_learns_to_find_spots(recipe, trained):
    folder, scores = trained
    assert set(scores) == {"network", "threshold"}
    asked = int((scores["network"].photons >= recipe.VISIBLE).sum())
    assert asked > 100
    assert scores["network"].recall > 0.3
    assert scores["network"].precision > 0.7
    assert (folder / "spot_finder.png").stat().st_size > 20_000


def test_its_shots_are_mixed_and_are_those_of_the_whole_set(recipe, trained):
    stack = db.open_stack(trained[0] / "shots.zarr")
    lattices = stack["lattices"].values
    assert set(np.unique(lattices)) == {0, 1, 2}
    assert set(np.unique(stack["protein"].values)) == set(recipe.MOLECULES)
    whole = load_any(trained[0] / "shots.yaml")
    assert whole.frames == 2000
    drawn = {axis.name: axis for axis in whole.axes}["lattices"].expanded.array[:24]
    assert np.array_equal(lattices, drawn)
    assert 0.20 < np.mean({a.name: a for a in whole.axes}["lattices"].expanded.array == 0) < 0.30


def test_test_shots_are_none_of_those_trained_on(recipe, trained):
    run = trained[0] / "shots.zarr"
    parts = [recipe.items(run, part, crop=None) for part in ("train", "test")]
    frames = [{part[i]["frame"] for i in range(len(part))} for part in parts]
    assert not frames[0] & frames[1]
    assert len(frames[0] | frames[1]) == 24


def test_targets_ask_for_strong_spots_and_leave_weak_ones_out(recipe):
    batch = {
        "image": torch.zeros(2, 20, 20),
        "maps": {"recorded": torch.ones(2, 20, 20, dtype=torch.bool)},
        "spots": {
            "position": torch.tensor([[5.5, 6.2], [14.0, 14.9], [3.0, 3.0]]),
            "photons": torch.tensor([100.0, 10.0, 30.0]),
            "count": torch.tensor([2, 1]),
        },
    }
    truth, counts = recipe.targets(batch)
    assert truth[0].sum() == 9
    assert truth[0, 4:7, 5:8].all()
    assert not counts[0, 12:17, 12:17].any()
    assert counts[0].sum() == 400 - 25
    assert truth[1, 2:5, 2:5].all()
    assert counts[1].all()


def test_matches_are_counted_both_ways(recipe):
    spots = np.array([[10.0, 10.0], [30.0, 30.0], [31.0, 30.0]], np.float32)
    peaks = np.array([[10.5, 11.5], [30.5, 30.5], [50.0, 50.0]])
    found, right = recipe.match(peaks, spots)
    assert found.tolist() == [True, True, True]
    assert right == 2
    one = recipe.Score(
        np.array([100.0, 40.0, 6.0], np.float32), np.array([True, False, True]), 3, 2
    )
    assert one.recall == 0.5
    assert one.precision == pytest.approx(2 / 3)
    assert recipe.match(peaks, spots[:0]) == (pytest.approx(np.zeros(0)), 0)


def test_the_page_names_script_and_picture():
    page = (WORKFLOWS / "spot_finder.md").read_text()
    assert "spot_finder.py" in page
    assert "(spot_finder.md)" in (WORKFLOWS / "README.md").read_text()


def test_no_atom_of_the_molecules_meets_an_image_of_itself(recipe, tmp_path):
    recipe.write_molecules(tmp_path)
    for name, (_, _, atoms) in recipe.MOLECULES.items():
        structure = gemmi.read_structure(str(tmp_path / f"{name}.pdb"))
        structure.setup_cell_images()
        places = [item.atom.pos for item in structure[0].all()]
        assert 0.99 * atoms < len(places) <= atoms
        assert not any(structure.cell.is_special_position(place, 0.4) for place in places)
