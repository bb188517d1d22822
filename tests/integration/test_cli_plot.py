"""`distbragg plot`: every kind, files whole or not at all, and errors before anything is done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.run.plot import PlotOptions, RunPictures, plot_run
from distbragg.spec.canonical import to_plain

from .test_accessor import DISTANCE, PHI, sweep

SCALE = {"name": "scale", "path": "beam.fluence_photons_per_m2", "dim": "phi",
         "values": [1e24, 2e24, 4e24]}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over phi, with a fluence beside it, and distance; its last unit is missing."""
    path = tmp_path_factory.mktemp("plotted") / "RUN"
    made = db.create(sweep(PHI, SCALE, DISTANCE), path)
    db.resume(made, cluster="serial", part=(1, 9))
    for part in range(2, 9):
        db.resume(made, cluster="serial", part=(part, 9))
    return path


@pytest.mark.spec("FIG-8")
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("sheet", "png"), ("sheet", "pdf"), ("frame", "png"), ("radial", "pdf"), ("axes", "png"),
     ("map", "pdf")],
)  # fmt: skip
def test_every_kind_is_written(run: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    head = {"png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    out = tmp_path / f"x.{suffix}"
    assert main(["plot", str(run), "--kind", kind, "-o", str(out)]) == 0
    first = out.read_bytes()
    assert first.startswith(head)
    assert main(["plot", str(run), "--kind", kind, "-o", str(out)]) == 0
    assert out.read_bytes() == first


@pytest.mark.spec("FIG-8")
def test_one_experiment_is_rendered_and_drawn(tmp_path: Path) -> None:
    spec = tmp_path / "x.json"
    spec.write_text(json.dumps(to_plain(sweep().experiment)))
    for more in ([], ["--kind", "radial"], ["--set", "beam.wavelength_angstrom=0.8"]):
        assert main(["plot", str(spec), "-o", str(tmp_path / "x.png"), *more]) == 0
    assert (tmp_path / "x.png").stat().st_size > 5000


@pytest.mark.spec("FIG-8")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "x.jpg"], "no picture has the suffix '.jpg'; use one of .png, .pdf, .svg"),
        (["-o", "nowhere/x.png"], "its folder does not exist"),
        (["-o", "x.png", "--rings", "3,b"], "not a list of resolutions in Å"),
        (["-o", "x.png", "--frames", "99"], "not within the run's frames 0 to 8"),
        (["-o", "x.png", "--frames", "8"], "none of these frames is rendered"),
        (["-o", "x.png", "--kind", "map", "--x", "orientation"], "one of phi, scale, distance"),
        (["-o", "x.png", "--colors", "no"], "'no' is not a colour map"),
        (["-o", "x.png", "--set", "beam.energy_ev=1"], "--set: is for a spec"),
    ],
)
def test_what_does_not_fit_is_one_line(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.spec("FIG-8")
def test_a_run_without_frames_and_a_kind_for_runs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "RUN", str(tmp_path / "x.png")
    db.create(sweep(PHI), path)
    assert main(["plot", str(path), "-o", out]) == 2
    assert (
        f"has no frame yet; render them with `distbragg resume {path}`" in capsys.readouterr().err
    )
    spec = tmp_path / "x.json"
    spec.write_text(json.dumps(to_plain(sweep().experiment)))
    assert main(["plot", str(spec), "--kind", "map", "-o", out]) == 2
    assert "one experiment has no picture of the kind 'map'" in capsys.readouterr().err
    single = tmp_path / "ONE"
    db.resume(db.create(sweep(), single), cluster="serial")
    assert main(["plot", str(single), "--kind", "map", "-o", out]) == 2
    assert main(["plot", str(single), "-o", out]) == 0


@pytest.mark.spec("FIG-6")
def test_maps_are_of_the_frames_that_are_there(run: Path) -> None:
    pictures, stack = RunPictures(run), db.open_stack(run)
    images = stack.images.values.reshape(9, -1)
    assert pictures.rendered.tolist() == [True] * 8 + [False]
    found = pictures.reduced("sum")
    assert found[:8] == pytest.approx(images[:8].sum(axis=1), rel=1e-6)
    assert np.isnan(found[8])
    assert pictures.reduced("max")[:8] == pytest.approx(images[:8].max(axis=1))
    table = db.open_labels(run)
    for least in (0.0, 1.0):
        counts = [
            int(((table["frame"] == n) & (table["photons"] >= least)).sum()) for n in range(8)
        ]
        assert pictures.reduced("spots", least)[:8].tolist() == counts

    axes = plot_run(run, "map", PlotOptions(x="phi", y="distance")).axes[0]
    field = axes.collections[0].get_array()
    assert field.shape == (3, 3)
    assert field[2].tolist() == [pytest.approx(found[2]), pytest.approx(found[5]), None]
    alone = plot_run(run, "map", PlotOptions(x="scale")).axes[0].lines[0]
    assert alone.get_ydata() == pytest.approx(np.nanmean(found.reshape(3, 3), axis=1))
    beside = plot_run(run, "map", PlotOptions(x="phi", y="scale", of="max")).axes[0]
    assert beside.collections[0].get_offsets()[:, 1].tolist() == [1e24, 2e24, 4e24]


@pytest.mark.spec("FIG-4")
def test_a_sheet_shows_the_grid_of_two_axes_or_the_frames_asked_for(run: Path) -> None:
    stack = db.open_stack(run)
    grid = [axes for axes in plot_run(run, "sheet", PlotOptions()).axes if axes.images]
    assert len(grid) == 9
    assert [axes.get_xlabel() for axes in grid[6:]] == ["50", "60", "80"]
    np.testing.assert_array_equal(grid[5].images[0].get_array(), stack.images[1, 2])
    assert grid[8].images[0].get_array().mask.all()
    asked = plot_run(run, "sheet", PlotOptions(frames="1,4")).axes[:2]
    assert [axes.get_title() for axes in asked] == [
        "1: phi 0\nscale 1e+24\ndistance 60",
        "4: phi 0.1\nscale 2e+24\ndistance 60",
    ]
    np.testing.assert_array_equal(asked[1].images[0].get_array(), stack.images[1, 1])
    assert len([a for a in plot_run(run, "sheet", PlotOptions(count=5)).axes if a.images]) == 5


@pytest.mark.spec("FIG-5")
def test_a_frame_shows_the_spots_beside_it(run: Path) -> None:
    table = db.open_labels(run)
    mine = (table["frame"] == 5) & table["active"].astype(bool)
    least = float(np.median(table["photons"][mine]))
    own = mine & (table["photons"] >= least)
    options = PlotOptions(frames="5", least_photons=least, rings=())
    axes = plot_run(run, "frame", options).axes[0]
    drawn = axes.collections[0].get_offsets()
    assert sorted(drawn[:, 0]) == pytest.approx(sorted(table["fast"][own] - 0.5))
    bare = plot_run(run, "frame", PlotOptions(frames="5", spots=False, rings=())).axes[0]
    assert not bare.collections


@pytest.mark.spec("FIG-5")
@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("structure_factors.interpolate", "|F| is interpolated between reflections"),
        ("detector.curved", "no spots are predicted on a panel that is bent the C program's way"),
    ],
)
def test_no_spot_is_marked_where_none_is_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, why: str
) -> None:
    spec = tmp_path / "x.json"
    spec.write_text(json.dumps(to_plain(sweep().experiment)))
    (tmp_path / "x.hkl").write_text("0 0 1 90\n0 1 1 80\n1 0 1 70\n")
    sets = ["output.labels=false", f"structure_factors.file={tmp_path / 'x.hkl'}", f"{field}=true"]
    sets += ["physics=nanobragg"] * (field == "detector.curved")
    changed = [str(spec), *(word for one in sets for word in ("--set", one))]
    assert main(["plot", *changed, "-o", str(tmp_path / "x.png")]) == 0
    assert f"no spots are drawn: {field}: {why}" in capsys.readouterr().err
    assert main(["explain", *changed]) == 0
    assert f"{field}: {why}" in capsys.readouterr().out


@pytest.mark.spec("FIG-9")
def test_a_card_has_its_sheet_beside_it_and_names_the_slowest_frames(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "CARD.md"
    assert main(["card", str(run), "-o", str(out)]) == 0
    text = out.read_text()
    assert "![Some of the frames](CARD.png)" in text
    assert (tmp_path / "CARD.png").read_bytes().startswith(b"\x89PNG")
    assert "| frame | phi | scale | distance | time in the kernel |" in text
