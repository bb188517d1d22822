"""`distbragg init`: what it writes renders at once, and shows what it is made to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import distbragg as db
from distbragg.cli.main import main
from distbragg.run.prepare import as_sweep
from distbragg.run.start import KINDS, boxed_molecule, made_up_molecule
from distbragg.spec.descriptions import describe

SMALL = {
    "rotation": ["--set", "axes.0.arange.stop=0.2"],
    "pink-serial": ["--set", "axes.0.random_orientations.count=1"],
}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rendered(name: str, sets: list[str]) -> np.ndarray:
    verb = "sweep" if sets else "render"
    assert main([verb, f"{name}.yaml", "-o", "out.zarr", *sets]) == 0
    images = db.open_stack("out.zarr")["images"].to_numpy().astype(np.float64)
    return images.reshape(-1, *images.shape[-2:])[0]


@pytest.mark.spec("CLI-33")
@pytest.mark.parametrize("kind", ["still", "rotation", "pink-serial"])
def test_spots_stand_out_of_the_background(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", kind]) == 0
    assert "distbragg explain" in capsys.readouterr().out
    assert main(["explain", f"{kind}.yaml"]) == 0
    assert "warning" not in capsys.readouterr().err
    image = rendered(kind, SMALL.get(kind, []))
    level = ndimage.median_filter(image, (3, 15))
    above = (image - level) > 6.0 * np.sqrt(np.maximum(level, 1.0))
    _, count = ndimage.label(above, np.ones((3, 3)))
    assert count > 100
    told = db.explain(f"{kind}.yaml")
    seen = image[image > 0.0]
    assert np.median(seen) == pytest.approx(told.value("level"), rel=0.35)
    assert told.value("spots of a photon or more") > count
    assert told.value("mean spot") > 100.0
    assert told.value("spots of a photon or more") < 12.0 * count


@pytest.mark.spec("CLI-33")
def test_a_solution_scatters_rings_that_fall_with_the_angle() -> None:
    assert main(["init", "saxs"]) == 0
    image = rendered("saxs", [])
    told = db.explain("saxs.yaml")
    assert told.value("photons of a spot") == "not predicted"
    assert told.value("molecules of water in the beam") > 1e17
    slow, fast = np.indices(image.shape) + 0.5
    radius = np.hypot(
        slow - told.value("beam centre, slow"), fast - told.value("beam centre, fast")
    ).astype(int)
    counts = np.bincount(radius.ravel())
    means = np.bincount(radius.ravel(), image.ravel()) / counts
    background = told.value("level")
    assert means[15] > 3.0 * background, "forward scattering of the molecule"
    assert means[15] > means[30] > means[60]
    ring = image[radius == 30]
    assert ring.std() < 0.15 * ring.mean(), "all orientations are there"


@pytest.mark.spec("CLI-33")
@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_told_in_the_words_of_their_models(kind: str) -> None:
    assert main(["init", kind, "-o", "mine.yaml"]) == 0
    text = " ".join(Path("mine.yaml").read_text().replace("#", " ").split())
    for field in ("beam.wavelength_angstrom", "crystal.block_cells", "structure_factors.file"):
        assert describe(field).meaning in text
    assert as_sweep("mine.yaml").frames == {"rotation": 100, "pink-serial": 20}.get(kind, 1)


@pytest.mark.spec("CLI-33")
def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("still.pdb").write_text("mine")
    assert main(["init", "still"]) == 2
    assert "still.pdb: exists already" in capsys.readouterr().err
    assert not Path("still.yaml").exists()
    assert main(["init", "still", "-o", "other.yaml"]) == 0
    assert main(["init", "still", "-o", "other.yaml"]) == 2
    assert Path("still.pdb").read_text() == "mine"
    assert main(["init", "still", "-o", "nowhere/still.yaml"]) == 2


@pytest.mark.spec("CLI-33")
def test_a_model_of_ones_own_is_named_and_gives_the_cell() -> None:
    Path("model.pdb").write_text(made_up_molecule().replace("79.100", "70.000"))
    assert main(["init", "still", "--pdb", "model.pdb"]) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["model.pdb", "still.yaml"]
    told = db.explain("still.yaml")
    assert told.value("cell")[0] == pytest.approx(70.0)
    assert main(["init", "rotation", "--pdb", "none.pdb"]) == 2
    assert not Path("rotation.yaml").exists()


@pytest.mark.spec("CLI-33")
def test_a_molecule_stands_alone_in_a_large_cell(capsys: pytest.CaptureFixture[str]) -> None:
    boxed = boxed_molecule(made_up_molecule(), source="").splitlines()
    edge = float(boxed[0].split()[1])
    places = np.array([[float(line[at : at + 8]) for at in (30, 38, 46)] for line in boxed[1:-1]])
    assert boxed[0].endswith("P 1")
    assert len(places) == 1001
    assert edge >= 3.0 * np.ptp(places, axis=0).max()
    Path("model.cif").write_text("data_x\n")
    assert main(["init", "saxs", "--pdb", "model.cif"]) == 2
    assert "give a PDB file to saxs" in capsys.readouterr().err
