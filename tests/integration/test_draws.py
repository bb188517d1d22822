"""Runs whose frames are drawn: misses, null, alternatives, growing, storing, training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.run.plot_axes import plot_sweep
from distbragg.run.verify import verify
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.open import open_stack
from distbragg.store.run_directory import open_run
from distbragg.store.split import Split, split_frames

from .conftest import tiny_plain

AXES: list[dict[str, Any]] = [
    {
        "name": "hit",
        "path": "crystal.present",
        "draw": {"chance": {"probability": 0.5, "then": True, "otherwise": False}},
    },
    {
        "name": "spread",
        "path": "crystal.mosaic.spread_deg",
        "draw": {"when": {"axis": "hit", "equals": True, "then": 0.2, "otherwise": None}},
    },
    {
        "name": "kind",
        "alternatives": {"long": {"crystal.block_cells": [3, 3, 9]}, "plain": {}},
        "draw": {"choice": {"values": ["long", "plain"]}},
    },
    {"name": "z", "draw": {"normal": {"mean": 0, "sd": 1}}},
    {"name": "phi", "path": "goniometer.phi_deg", "derived": "z * 2"},
    {"name": "jitter", "draw": {"cell_jitter": {"lengths_percent": 1}}},
    {"name": "turn", "draw": {"orientation": "uniform"}},
]


def written(folder: Path, count: int) -> Path:
    axes = [{"dim": "shot", **axis} for axis in AXES]
    plain = {"experiment": tiny_plain(), "count": count, "seed": 5, "axes": axes}
    path = folder / f"draws{count}.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def render(folder: Path, count: int) -> Path:
    run = folder / f"run{count}.zarr"
    assert main(["sweep", str(written(folder, count)), "-o", str(run), "--cluster", "serial"]) == 0
    return run


@pytest.mark.spec("SWP-11")
def test_a_stack_of_draws_is_labelled_and_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = render(tmp_path, 8)
    assert verify(run).sound
    stack = open_stack(run)
    hit, spread = stack.hit.values, stack.spread.values
    assert 0 < hit.sum() < 8
    np.testing.assert_array_equal(np.isnan(spread), ~hit)
    assert set(stack.kind.values.tolist()) <= {"long", "plain"}
    photons = stack.images.sum(("slow", "fast")).values
    np.testing.assert_array_equal(photons > 0, hit)
    assert stack.spread.attrs["spec_path"] == "crystal.mosaic.spread_deg"
    assert stack.z.attrs["long_name"] == "drawn for other axes"
    capsys.readouterr()
    assert main(["plan", str(tmp_path / "draws8.yaml"), "--table", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["spread"] for row in rows] == [0.2 if each else None for each in hit]
    assert [row["kind"] for row in rows] == stack.kind.values.tolist()
    assert main(["explain", str(tmp_path / "draws8.yaml")]) == 0
    told = capsys.readouterr().out
    assert "with a chance of 50 % true, otherwise false" in told
    assert "where hit is true 0.2, otherwise null" in told


@pytest.mark.spec("SWP-13")
def test_a_run_of_draws_grows_by_a_number_of_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, whole = render(tmp_path, 5), render(tmp_path, 12)
    before = split_frames(open_run(run), Split(test=0.5))
    images = open_stack(run).images.values
    command = ["extend", str(run), "--frames", "9", "--cluster", "serial"]
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    more = tmp_path / "more.yaml"
    more.write_text("count: 12\n")
    assert main(["extend", str(run), str(more), "--cluster", "serial"]) == 0
    assert verify(run).sound
    grown = open_stack(run).images.values
    np.testing.assert_array_equal(grown[:5], images)
    np.testing.assert_array_equal(grown, open_stack(whole).images.values)
    for name in ("hit", "spread", "kind", "phi", "jitter", "turn"):
        np.testing.assert_array_equal(open_stack(run)[name], open_stack(whole)[name])
    assert (split_frames(open_run(run), Split(test=0.5))[:5] == before).all()
    stored = open_run(run).manifest.sweep_plain
    assert stored["count"] == 12
    assert parse_sweep(stored).frames == 12


@pytest.mark.spec("FIG-6")
def test_a_plan_draws_what_will_be_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, picture = written(tmp_path, 200), tmp_path / "drawn.svg"
    assert main(["plan", str(spec), "--plot", str(picture)]) == 0
    assert picture.stat().st_size > 5000
    figure = plot_sweep(spec)
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes]
    assert titles[0] == "with a chance of 50 % true, otherwise false"
    assert "normal, mean 0, sd 1" in titles
    bars = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(bars) == 400  # all frames, and the same in front
    capsys.readouterr()
    assert main(["plan", str(spec), "--plot", str(tmp_path / "drawn.doc")]) == 2
    assert "no picture has the suffix" in capsys.readouterr().err


@pytest.mark.spec("SWP-13")
def test_what_cannot_grow_by_a_number_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = render(tmp_path, 5)
    more = tmp_path / "more.yaml"
    more.write_text("count: many\n")
    for command, words in (
        (["--frames", "4"], "--frames: 4 frames, where the run has 5; give more"),
        ([], "needs a file of new values or --frames"),
        ([str(more), "--frames", "9"], "one of the two"),
        ([str(more)], "count: must be a whole number"),
    ):
        capsys.readouterr()
        assert main(["extend", str(run), *command]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert words in said[-1]
    assert open_run(run).layout.frames == 5


@pytest.mark.spec("SWP-11")
def test_drawn_runs_are_split_up_and_merged_with_their_labels(tmp_path: Path) -> None:
    run = render(tmp_path, 8)
    for name, frames in (("a", "0:3"), ("b", "3:8")):
        assert main(["subset", str(run), "--frames", frames, "-o", str(tmp_path / name)]) == 0
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "c")]) == 0
    whole, again = open_stack(run), open_stack(tmp_path / "c")
    for name in ("hit", "spread", "kind", "z", "phi", "jitter", "turn"):
        np.testing.assert_array_equal(again[name], whole[name])
    np.testing.assert_array_equal(again.images, whole.images)
    old, new = open_run(run).sweep, open_run(tmp_path / "c").sweep
    assert [new.frame_spec(i) for i in range(8)] == [old.frame_spec(i) for i in range(8)]


@pytest.mark.spec("SWP-11")
@pytest.mark.parametrize("blank", [{"crystal.present": False}, {"crystal": None}])
def test_a_blank_alternative_needs_neither_cell_nor_structure_factors(
    tmp_path: Path, blank: dict[str, Any]
) -> None:
    experiment = {
        "beam": {"wavelength_angstrom": 1.0},
        "detector": {"distance_mm": 60, "pixel_size_mm": 2, "pixels_fast": 13, "pixels_slow": 11},
        "background": {"water_um": 0.1},
        "output": {"labels": True},
    }
    crystal = {
        "crystal.cell": [31, 37, 41, 90, 90, 90],
        "crystal.block_cells": [5, 6, 7],
        "structure_factors.default_f_electrons": 1e4,
    }
    axis = {"name": "what", "alternatives": {"blank": blank, "hit": crystal}, "dim": "shot"}
    sweep = SweepSpec.model_validate({"experiment": experiment, "axes": [axis]})
    db.sweep(sweep, tmp_path / "RUN", cluster="serial")
    stack = db.open_stack(tmp_path / "RUN")
    assert stack.has_crystal.values.tolist() == [False, True]
    for frame in range(2):
        alone = db.render(sweep.frame_spec(frame)).images.values
        np.testing.assert_array_equal(stack.images.values[frame], np.reshape(alone, (11, 13)))
    assert stack.images.values[1].max() > 1.5 * stack.images.values[0].max()
    bare = {**experiment, "crystal": {"cell": crystal["crystal.cell"]}}
    with pytest.raises(InputError, match="no structure factors are given"):
        db.create(SweepSpec.model_validate({"experiment": bare}), tmp_path / "none")
