"""A small sweep over the number of lattices: hits of one and of three, and misses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.models.build import build_experiment
from distbragg.store.open import open_stack
from distbragg.store.run_directory import open_run
from distbragg.store.spots import open_labels

from .conftest import tiny_sweep

COUNTS = [1, 3, 0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sweep = tiny_sweep(
        [
            {"name": "lattices", "path": "crystal.drawn_lattices.count", "values": COUNTS},
            {"name": "distance", "path": "detector.distance_mm", "values": [90.0, 100.0]},
        ],
        crystal={"drawn_lattices": {"seed": 5}},
        detector={"pixel_size_mm": 1.0},
        background={"water_um": 1.0},
        output={"labels": True, "label_minimum_photons": 0.0},
    )
    path = tmp_path_factory.mktemp("lattices") / "run.zarr"
    db.resume(db.create(sweep, path), cluster="serial")
    return path


@pytest.mark.spec("LAT-6", "LAT-7")
def test_a_sweep_over_the_number_of_lattices_holds_hits_and_misses(run: Path) -> None:
    with open_stack(run) as stack:
        images = np.asarray(stack["images"].values)
        assert stack["lattices"].values.tolist() == COUNTS
    assert np.isfinite(images).all()
    assert images[1].sum() > images[0].sum() > images[2].sum() > 0.0
    assert (images <= images[1]).all()
    labels = open_labels(run)
    for frame, count in enumerate(np.repeat(COUNTS, 2)):
        found = set(labels["lattice"][labels["frame"] == frame].tolist())
        assert found == set(range(count))
    spec = open_run(run).sweep.frame_spec(3)
    alone = np.squeeze(db.render(spec)["images"].values)
    # Alone it is frame 0, whose draws are others.
    assert not np.array_equal(alone, images[1, 1])
    assert len(build_experiment(spec, frame=3).lattices) == 3


@pytest.mark.spec("EXP-9")
def test_an_experiment_list_has_a_crystal_for_each_lattice(run: Path, tmp_path: Path) -> None:
    found = []
    for place, frame in enumerate((0, 2, 4)):
        out = tmp_path / str(place)
        words = ["export", str(run), "--format", "expt", "-o", str(out), "--frames", str(frame)]
        assert main(words) == 0
        (path,) = out.glob("*.expt")
        document = json.loads(path.read_text())
        crystals = [one.get("crystal") for one in document["experiment"]]
        found.append((crystals, len(document["crystal"])))
    assert found == [([0], 1), ([0, 1, 2], 3), ([None], 0)]
