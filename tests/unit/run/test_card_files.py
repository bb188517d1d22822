"""What lies beside a card: pictures, the table of frames, and Croissant metadata that loads."""

from __future__ import annotations

import csv
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.run.card_files import write_card
from distbragg.run.verify import seal
from distbragg.spec.sweep import SweepSpec
from distbragg.store.run_directory import open_run
from distbragg.store.split import Split, split_frames
from tests.integration.conftest import tiny_plain

AXES: list[dict[str, Any]] = [
    {"name": "orientation", "random_orientations": {"count": 6, "seed": 1}, "dim": "shot"},
    {"name": "distance", "path": "detector.distance_mm", "values": [90.0, 95, 100, 105, 110, 115]},
    {"name": "form", "path": "crystal.shape", "values": ["gauss", "square"] * 3},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("card") / "shots.zarr"
    plain = tiny_plain(
        detector={"pixel_size_mm": 1.0},
        output={"labels": True, "label_minimum_photons": 0.0, "maps": ["hkl"]},
    )
    axes = [{**axis, "dim": "shot"} for axis in AXES]
    db.sweep(SweepSpec.model_validate({"experiment": plain, "axes": axes}), path, cluster="serial")
    seal(path)
    return path


def loaded(folder: Path) -> Any:
    mlcroissant = pytest.importorskip("mlcroissant", reason="the validator of Croissant metadata")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlcroissant.Dataset(str(folder / "croissant.json"))


@pytest.mark.spec("DAT-20")
def test_croissant_metadata_are_valid_and_load_the_frames(run: Path, tmp_path: Path) -> None:
    split = Split(0.3, 0.3, seed=2)
    write_card(run, tmp_path / "README.md", split=split, license_name="cc-by-4.0", metadata=True)
    dataset = loaded(tmp_path)
    assert not dataset.metadata.issues.errors
    records = list(dataset.records("frames"))
    parts = split_frames(open_run(run), split)
    assert [record["frames/split"].decode() for record in records] == parts.tolist()
    assert [record["frames/distance"] for record in records] == AXES[1]["values"]
    assert [record["frames/form"].decode() for record in records] == AXES[2]["values"]
    drawn = open_run(run).sweep.axes[0].expanded.array
    assert [record["frames/orientation_0"] for record in records] == drawn[:, 0].tolist()


@pytest.mark.spec("DAT-20")
def test_croissant_metadata_state_shapes_types_units_and_digests(run: Path, tmp_path: Path) -> None:
    write_card(run, tmp_path / "README.md", metadata=True)
    body = json.loads((tmp_path / "croissant.json").read_text())
    records = {record["@id"]: record for record in body["recordSet"]}
    (image,) = records["images-records"]["field"]
    assert (image["arrayShape"], image["isArray"], image["dataType"]) == ("17,23", True, "sc:Float")
    assert "unit photons" in image["description"]
    (hkl,) = records["hkl-records"]["field"]
    assert hkl["arrayShape"] == "17,23,3"
    fields = {field["name"]: field for field in records["frames"]["field"]}
    assert fields["distance"]["description"] == "detector.distance_mm, unit mm"
    files = {each["@id"]: each for each in body["distribution"]}
    table = (tmp_path / "frames.csv").read_bytes()
    assert files["frames.csv"]["sha256"] == hashlib.sha256(table).hexdigest()
    published = open_run(run).manifest.without_private().to_bytes()
    assert files["manifest.json"]["sha256"] == hashlib.sha256(published).hexdigest()
    assert set(files) == {"frames.csv", "manifest.json", "images", "hkl", "labels"}
    assert "license" not in body
    assert "url" not in body
    assert str(tmp_path) not in json.dumps(body)
    rows = list(csv.DictReader(table.decode().splitlines()))
    assert [row["rendered"] for row in rows] == ["true"] * 6


@pytest.mark.spec("DAT-4")
def test_command_writes_pictures_of_frames_axes_and_labels(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "README.md"
    assert main(["card", str(run), "-o", str(out), "--croissant"]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        *("README.md", "README.png", "README-labels.png", "croissant.json", "frames.csv")
    }
    told = capsys.readouterr().out
    assert all(name in told for name in written)
    text = out.read_text()
    for name in ("README.png", "README-labels.png"):
        assert f"]({name})" in text
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert main(["card", str(run), "--croissant"]) == 2


@pytest.mark.spec("DAT-4")
@pytest.mark.parametrize(
    ("command", "name", "remedy"),
    [
        (["card"], "shots.yaml", "name it shots.md"),
        (["card"], "frames", "name it frames.md"),
        (["report"], "keep.pdb", "name it keep.html"),
        (["card"], "README.md", "give another name, or remove it"),
        (["report"], "notes.html", "give another name, or remove it"),
        (["card", "--croissant"], "frames.csv", "give another name, or remove it"),
        (["card", "--croissant"], "croissant.json", "give another name, or remove it"),
        (["card"], "CARD.png", "give another name, or remove it"),
        (["card"], "CARD-labels.png", "give another name, or remove it"),
    ],
)
def test_files_of_others_are_not_written_over(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    name: str,
    remedy: str,
) -> None:
    there = tmp_path / name
    there.write_text("frame,mine\n1,2\n")
    own = name in ("frames.csv", "croissant.json", "CARD.png", "CARD-labels.png")
    out = tmp_path / "CARD.md" if own else there
    assert main([command[0], str(run), "-o", str(out), *command[1:]]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert str(there) in told
    assert remedy in told
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert there.read_text() == "frame,mine\n1,2\n"


@pytest.mark.spec("DAT-4")
def test_own_files_and_empty_ones_are_written_again(run: Path, tmp_path: Path) -> None:
    card, report = tmp_path / "CARD.md", tmp_path / "run.html"
    report.touch()
    for _ in range(2):
        assert main(["card", str(run), "-o", str(card), "--croissant"]) == 0
        assert main(["report", str(run), "-o", str(report)]) == 0
    assert len(list(tmp_path.iterdir())) == 6
