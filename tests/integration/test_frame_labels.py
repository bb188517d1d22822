"""Labels of frames beside axes: their names, conditions, tables, cards, and texts as classes."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.run.card_files import write_card
from distbragg.run.gather import subset
from distbragg.run.plot import RunPictures
from distbragg.run.plot_axes import axis_values, plot_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.frame_labels import FrameLabels
from distbragg.store.run_directory import open_run

from .conftest import tiny_sweep
from .test_items import EXPERIMENT

COUNT = 10
AXES: list[dict[str, Any]] = [
    {"name": "hit", "draw": {"chance": {"probability": 0.6, "then": True, "otherwise": False}}},
    {
        "name": "lattices",
        "path": "crystal.drawn_lattices.count",
        "draw": {
            "when": {
                "axis": "hit",
                "equals": True,
                "then": {"choice": {"values": [2, 1]}},
                "otherwise": 0,
            }
        },
    },
    {
        "name": "protein",
        "alternatives": {
            "lysozyme": {"structure_factors.default_f_electrons": 100.0},
            "insulin": {"structure_factors.default_f_electrons": 0.2},
            "other": {},
        },
        "draw": {"choice": {"values": ["insulin", "lysozyme"]}},
    },
    {"name": "orientation", "draw": {"orientation": "uniform"}},
    {
        "name": "flux",
        "path": "beam.fluence_photons_per_m2",
        "draw": {"log_normal": {"median": 1e28, "sd_ln": 0.1}},
    },
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = {"labels": True, "label_minimum_photons": 20.0}
    plain = {
        "experiment": {**EXPERIMENT, "output": output},
        "axes": [{"dim": "shot", **axis} for axis in AXES],
        "count": COUNT,
    }
    path = tmp_path_factory.mktemp("labels") / "shots.zarr"
    db.sweep(db.SweepSpec.model_validate(plain), path, cluster="serial", threads=1)
    return path


@pytest.mark.spec("DAT-9")
def test_what_is_seen_stands_beside_an_axis_called_hit(run: Path) -> None:
    stack = db.open_stack(run)
    aimed, seen = stack.hit.values, stack.hit_seen.values
    np.testing.assert_array_equal(stack.has_crystal.values, aimed)
    np.testing.assert_array_equal(seen, stack.spots_seen.values > 0)
    assert seen.sum() < aimed.sum()  # insulin scatters next to nothing here
    items = db.StackDataset(run, labels=["hit", "hit_seen", "lattices_seen"])
    found = [(bool(item["hit"]), bool(item["hit_seen"])) for item in items]
    assert found == list(zip(aimed.tolist(), seen.tolist(), strict=True))


@pytest.mark.spec("SWP-6")
@pytest.mark.parametrize("name", ["image", "frame", "maps", "spots", "epoch", "lattices_seen"])
def test_axes_called_as_what_items_have_are_refused(tmp_path: Path, name: str) -> None:
    axis = {"name": name, "path": "beam.fluence_photons_per_m2", "values": [1e28, 2e28]}
    sweep = db.SweepSpec.model_validate({"experiment": EXPERIMENT, "axes": [axis]})
    with pytest.raises(InputError, match=rf"axes\.0\.name: '{name}' is what items"):
        db.create(sweep, tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


@pytest.mark.spec("GAT-1")
@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("hit_seen", lambda stack: stack.hit_seen),
        ("hit and not hit_seen", lambda stack: stack.hit & ~stack.hit_seen),
        ("lattices_seen == 2", lambda stack: stack.lattices_seen == 2),
        ("resolution_seen < 10", lambda stack: stack.resolution_seen < 10),
        ("spots_seen > 3 and protein == 'lysozyme'", lambda stack: stack.spots_seen > 3),
    ],
)
def test_subsets_are_chosen_by_labels(run: Path, tmp_path: Path, where: str, holds: Any) -> None:
    stack = db.open_stack(run)
    wanted = np.flatnonzero(holds(stack).values)
    assert 0 < wanted.size < COUNT
    assert subset(run, tmp_path / "S.zarr", where=where).frames == wanted.size
    np.testing.assert_array_equal(
        db.open_stack(tmp_path / "S.zarr").images.values, stack.images.values[wanted]
    )


@pytest.mark.spec("GAT-1")
def test_labels_that_are_not_there_and_blank_choices_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "S.zarr"
    with pytest.raises(InputError, match="'seen' is neither an axis of single values nor a label"):
        subset(run, out, where="seen")
    with pytest.raises(InputError, match="'protein' is not a comparison"):
        subset(run, out, where="protein")
    for option in ("--where", "--frames"):
        for blank in ("", " "):
            assert main(["subset", str(run), "-o", str(out), option, blank]) == 2
            assert f"{option}: is blank; leave it out" in capsys.readouterr().err
    assert main(["export", str(run), "--format", "npy", "-o", str(out), "--frames", " "]) == 2
    assert not out.exists()


@pytest.mark.spec("DAT-4", "DAT-20")
def test_tables_and_the_card_have_labels_of_frames(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--format", "npy", "-o", str(tmp_path / "npy")]) == 0
    write_card(run, tmp_path / "README.md", metadata=True)
    stack = db.open_stack(run)
    for table in (tmp_path / "npy" / "frames.csv", tmp_path / "frames.csv"):
        with table.open(newline="") as text:
            rows = list(csv.DictReader(text))
        assert [row["hit_seen"] == "true" for row in rows] == stack.hit_seen.values.tolist()
        assert [int(row["lattices_seen"]) for row in rows] == stack.lattices_seen.values.tolist()
        finest = stack.resolution_seen.values
        told = [float(row["resolution_seen"] or "nan") for row in rows]
        np.testing.assert_allclose(told, finest, rtol=1e-6)
        assert np.isnan(told).any()
    card = (tmp_path / "README.md").read_text()
    share = 100.0 * stack.hit_seen.values.mean()
    assert f"| hit_seen | as many spots are seen as a hit needs | {share:.3g} % of frames |" in card
    body = json.loads((tmp_path / "croissant.json").read_text())
    (frames,) = (one for one in body["recordSet"] if one["@id"] == "frames")
    kinds = {field["name"]: field["dataType"] for field in frames["field"]}
    assert kinds["hit_seen"] == "sc:Boolean"
    assert kinds["resolution_seen"] == "sc:Float"


@pytest.mark.spec("DAT-3")
def test_texts_are_numbers_of_classes_where_that_is_asked_for(run: Path) -> None:
    names = db.open_stack(run).protein.values.tolist()
    items = db.StackDataset(run, labels=["protein", "lattices"], label_classes=True)
    assert items.label_classes == {"protein": ("lysozyme", "insulin", "other")}
    assert items[0]["protein"].dtype == torch.int64
    found = [items.label_classes["protein"][int(item["protein"])] for item in items]
    assert found == names
    given = {"protein": ["insulin", "lysozyme"]}
    stream = db.StackStream(run, labels=["protein"], label_classes=given)
    assert stream.label_classes == {"protein": ("insulin", "lysozyme")}
    by_frame = {item["frame"]: int(item["protein"]) for item in stream}
    assert [by_frame[frame] for frame in range(COUNT)] == [name != "insulin" for name in names]
    assert db.StackDataset(run)[0]["protein"] == names[0]
    for wrong, told in (
        ({"protein": ["insulin"]}, "protein: 'lysozyme' has no class"),
        ({"lattices": ["1"]}, "'lattices' is not a label of texts; there are protein"),
    ):
        with pytest.raises(InputError, match=told):
            db.StackDataset(run, labels=["protein", "lattices"], label_classes=wrong)


@pytest.mark.spec("FIG-4")
def test_titles_of_a_sheet_prefer_names_and_small_numbers(run: Path) -> None:
    stack, pictures = db.open_stack(run), RunPictures(run)
    for frame in (0, 3):
        hit, lattices = bool(stack.hit.values[frame]), int(stack.lattices.values[frame])
        protein = stack.protein.values[frame]
        told = f"{frame}: hit {hit}, lattices {lattices}, protein {protein}, and 1 more"
        assert pictures.label(frame) == told


@pytest.mark.spec("FIG-4")
def test_the_title_of_a_miss_counts_no_lattices(tmp_path: Path) -> None:
    axes = [
        {"name": "present", "path": "crystal.present", "values": [True, False]},
        {"name": "lattices", "path": "crystal.drawn_lattices.count", "values": [2, 2]},
    ]
    spec = {"experiment": EXPERIMENT, "axes": [{"dim": "shot", **axis} for axis in axes]}
    db.sweep(SweepSpec.model_validate(spec), tmp_path / "m.zarr", cluster="serial")
    pictures = RunPictures(tmp_path / "m.zarr")
    assert pictures.label(0) == "0: present True, lattices 2"
    assert pictures.label(1) == "1: present False"


@pytest.mark.spec("FIG-6")
def test_bars_stand_in_the_order_of_the_specification(run: Path, tmp_path: Path) -> None:
    plain = {
        "experiment": {**EXPERIMENT, "output": {}},
        "axes": [{"dim": "shot", **axis} for axis in AXES],
        "count": 40,
    }
    spec = tmp_path / "shots.yaml"
    spec.write_text(yaml.safe_dump(plain, sort_keys=False))
    figure = plot_sweep(spec)
    bars = {
        axes.get_xlabel(): [tick.get_text() for tick in axes.get_xticklabels()]
        for axes in figure.axes
    }
    assert bars["hit"] == ["True", "False"]
    assert bars["lattices"] == ["2", "1", "0"]
    assert bars["protein"] == ["lysozyme", "insulin"]
    assert axis_values(db.load_sweep(spec))[0].bars() == ["True", "False"]


@pytest.mark.spec("GAT-1")
@pytest.mark.spec("DAT-4")
def test_what_counts_as_seen_is_given_on_the_command_line_and_stands_in_what_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    most = int(db.open_stack(run, seen=db.Seen(60.0)).spots_seen.max())
    stack = db.open_stack(run, seen=db.Seen(60.0, most))
    wanted = np.flatnonzero(stack.hit_seen.values).tolist()
    assert 0 < len(wanted) < db.open_stack(run).hit_seen.values.sum()
    asked, bounds = ["--seen", f"60,{most}"], {"minimum_photons": 60.0, "minimum_spots": most}

    out = tmp_path / "S.zarr"
    assert main(["subset", str(run), "-o", str(out), "--where", "hit_seen", *asked]) == 0
    assert len(db.open_stack(out).shot) == len(wanted)
    assert open_run(out).manifest.gathered["seen"] == bounds

    for form in ("hdf5", "webdataset"):
        folder = tmp_path / form
        command = ["export", str(run), "--format", form, "-o", str(folder), "--cluster", "serial"]
        assert main([*command, *asked]) == 0
        assert json.loads((folder / "export.json").read_text())["seen"] == bounds
        with (folder / "frames.csv").open(newline="") as table:
            rows = list(csv.DictReader(table))
        assert [int(row["frame"]) for row in rows if row["hit_seen"] == "true"] == wanted
        assert main([*command, "--seen", "60"]) == 4  # is another export
    with h5py.File(tmp_path / "hdf5" / "shots.h5") as file:
        assert np.flatnonzero(file["labels/hit_seen"][()]).tolist() == wanted
        assert json.loads(file.attrs["seen"]) == bounds

    card = tmp_path / "README.md"
    assert main(["card", str(run), "-o", str(card), "--croissant", *asked]) == 0
    told = f"seen: 60 photons or more; a hit: {most} spots or more"
    assert f"Spots {told}." in card.read_text()
    assert told in (tmp_path / "croissant.json").read_text()
    with (tmp_path / "frames.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [number for number, row in enumerate(rows) if row["hit_seen"] == "true"] == wanted

    capsys.readouterr()
    for wrong, said in (("x", "'x' does not give bounds; give"), ("60,0", "a hit of 0 spots"),
                        ("1", "the run lists those of 20 or more")):  # fmt: skip
        assert main(["card", str(run), "--seen", wrong]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.spec("DAT-4", "DAT-9")
def test_bounds_that_nothing_counts_by_are_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = db.create(tiny_sweep(), tmp_path / "RUN")
    for command in (["card"], ["card", "--croissant", "-o", str(tmp_path / "README.md")],
                    ["subset", "-o", str(tmp_path / "S"), "--where", "has_crystal"]):  # fmt: skip
        capsys.readouterr()
        assert main([command[0], made.url, *command[1:], "--seen", "60,3"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("RUN: keeps no tables of spots; create it with output.labels: true")
    assert main(["subset", str(run), "-o", str(tmp_path / "S"), "--seen", "60"]) == 2
    said = "--seen: counts spots for a condition, and there is none; give --where too"
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["RUN"]
    again = pickle.loads(pickle.dumps(FrameLabels(made)))
    assert again.seen == FrameLabels(made).seen


@pytest.mark.spec("CLI-22")
def test_facts_of_a_run_are_of_the_first_hit_and_name_the_axes_they_vary_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = [
        {"name": "there", "path": "crystal.present", "values": [False, False, True, True]},
        {"name": "distance", "path": "detector.distance_mm", "values": [90.0, 91.0, 92.5, 94.0]},
    ]
    plain = {"experiment": EXPERIMENT, "axes": [{"dim": "shot", **axis} for axis in shots]}
    made = db.create(db.SweepSpec.model_validate(plain), tmp_path / "RUN")
    capsys.readouterr()
    assert main(["info", made.url]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    wanted = ("facts of frame 2", "lattices 1, by axis there", "distance mm 92.5, by axis distance")
    assert set(wanted) <= set(lines)
    assert any(line.startswith("pixel size mm") and "by axis" not in line for line in lines)
    assert main(["info", made.url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["summary"]["frame"], facts["summary"]["lattices"]) == (2, 1)
    assert facts["by_axis"] == {"lattices": "there", "distance_mm": "distance"}
    card = tmp_path / "README.md"
    assert main(["card", made.url, "-o", str(card)]) == 0
    assert "92.5, by axis distance" in card.read_text()
