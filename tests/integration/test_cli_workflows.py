"""Every recipe of workflows/ runs, shrunk by `--set`; the demonstration makes its picture."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
import xarray as xr

from distbragg.cli.main import main
from distbragg.models.tables import load_any

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "workflows"
SAMPLES = ROOT / "distbragg" / "data"
SMALL = ("detector.pixels_fast=37", "detector.pixels_slow=31")
FEW = "crystal.mosaic.domains=2"
RECIPES = {
    "demo": (FEW, "axes.0.random_orientations.count=2", "axes.1.values=[0.1, 2.0]"),
    "experiment": (FEW,),
    "rotation_series": (FEW, "axes.0.arange.stop=3"),
    "serial_stills": (FEW, "axes.0.random_orientations.count=3"),
    "training_set": ("count=8",),
}
FRAMES = {
    "demo": 4,
    "experiment": 1,
    "rotation_series": 3,
    "serial_stills": 3,
    "training_set": 8,
}

WITH_A_SCRIPT = {"spot_finder"}
"""Recipes whose script makes what they read; each has tests of its own."""


def with_sets(*items: str) -> list[str]:
    return [word for item in items for word in ("--set", item)]


def test_every_recipe_is_tried_here_and_has_its_page() -> None:
    recipes = {path.stem for path in WORKFLOWS.glob("*.yaml")} - WITH_A_SCRIPT
    assert recipes == set(RECIPES)
    index = (WORKFLOWS / "README.md").read_text()
    for name in recipes:
        assert f"({name}.md)" in index
        assert f"{name}.yaml" in (WORKFLOWS / f"{name}.md").read_text()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_shrunk_recipe_runs(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    sets = with_sets(*SMALL, *RECIPES[name])
    spec = str(WORKFLOWS / f"{name}.yaml")
    assert main(["sweep", spec, "-o", str(out), "--cluster", "serial", *sets]) == 0
    images = xr.open_zarr(out)["images"]
    frames = images.values.reshape(-1, 31, 37)
    assert frames.shape[0] == FRAMES[name]
    assert all(frame.max() > 0 for frame in frames)
    if images.sizes.get("orientation", 1) > 1:
        assert not np.array_equal(frames[0], frames[-1])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_whole_recipe_can_be_planned(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(WORKFLOWS / f"{name}.yaml")]) == 0


def test_the_recipe_of_the_demonstration_is_the_one_that_ships() -> None:
    written = (WORKFLOWS / "demo.yaml").read_text()
    shipped = (SAMPLES / "demo.yaml").read_text()
    assert written.replace("../distbragg/data/pyrope.cif", "pyrope.cif") == shipped


def test_the_demonstration_has_36_frames_and_unequal_weights() -> None:
    sweep = load_any(SAMPLES / "demo.yaml")
    spectrum = sweep.experiment.beam.spectrum
    assert sweep.frames == 36
    assert spectrum is not None
    assert len(set(spectrum.weights or ())) > 2


def test_the_sample_crystal_is_garnet() -> None:
    structure = gemmi.read_small_structure(str(SAMPLES / "pyrope.cif"))
    assert structure.spacegroup.xhm() == "I a -3 d"
    sites = structure.get_all_unit_cell_sites()
    counts = dict.fromkeys(("Mg", "Al", "Si", "O"), 0)
    for site in sites:
        counts[site.element.name] += 1
    assert counts == {"Mg": 24, "Al": 16, "Si": 24, "O": 96}
    oxygens = np.array([s.fract.tolist() for s in sites if s.element.name == "O"])
    # Published distances to the nearest oxygen, Å.
    for element, distance in (("Si", 1.635), ("Al", 1.886), ("Mg", 2.196)):
        site = next(s for s in structure.sites if s.element.name == element)
        apart = oxygens - site.fract.tolist()
        nearest = np.linalg.norm(apart - np.rint(apart), axis=1).min() * structure.cell.a
        assert nearest == pytest.approx(distance, abs=0.004)


@pytest.mark.cluster
def test_the_demonstration_writes_a_stack_and_a_contact_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo.zarr"
    sets = with_sets(*SMALL, *RECIPES["demo"])
    assert main(["demo", "-o", str(out), "--workers", "2", *sets]) == 0
    captured = capsys.readouterr()
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert "dashboard: http://127.0.0.1:" in captured.err
    assert "4/4 frames" in captured.err
    assert captured.out.rstrip().endswith(f"distbragg.open_stack('{out}')")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.png", "demo.zarr"]
    assert "in place of" not in captured.out
    assert main(["demo", "-o", str(out), "--workers", "2", *sets]) == 0
    picture = tmp_path / "demo.png"
    assert f"{picture}: contact sheet, in place of an older picture\n" in capsys.readouterr().out
