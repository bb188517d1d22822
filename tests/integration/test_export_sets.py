"""Sets for training in WebDataset and HDF5, read back by the libraries that people read them by."""

from __future__ import annotations

import csv
import gc
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import webdataset

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import EnvironmentFailure, InputError, RefusedError
from distbragg.run.export import export_run
from distbragg.spec.sweep import SweepSpec
from distbragg.store.run_directory import open_run
from distbragg.store.split import split_frames

from .conftest import tiny_plain

BOX = {"slow": [3, 51], "fast": [2, 50]}


def shots(count: int = 9, **changes: Any) -> SweepSpec:
    sections: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 3e29},
        "background": {"water_um": 0.021},
        "crystal": {"block_cells": [20, 20, 20]},
        "detector": {"pixel_size_mm": 1.0, "pixels_fast": 61, "pixels_slow": 53},
        "noise": {"photon": True, "seed": 5},
        "compute": {"frames_per_unit": 4, "tile": "auto"},
        "output": {
            "dtype": "uint16",
            "labels": True,
            "variants": [{"name": "small", "crop": BOX, "pool": 4, "how": "max", "root": True}],
        },
    }
    for name, fields in changes.items():
        sections[name] = {**sections.get(name, {}), **fields}
    axes = [
        {"name": "orientation", "dim": "shot", "random_orientations": {"count": count, "seed": 4}},
        {
            "name": "spread",
            "dim": "shot",
            "path": "crystal.mosaic.spread_deg",
            "values": [0.1 + 0.01 * number for number in range(count)],
        },
        {
            "name": "shape",
            "dim": "shot",
            "path": "crystal.shape",
            "values": ["square", "round", "square"] * (count // 3),
        },
    ]
    return SweepSpec.model_validate({"experiment": tiny_plain(**sections), "axes": axes})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Blanks and dots: names of files and of samples must bear them.
    path = tmp_path_factory.mktemp("sets") / "my v1.2 run.zarr"
    db.sweep(shots(), path, cluster="serial")
    return path


def samples(*shards: Path) -> list[dict[str, Any]]:
    """Read samples as training does."""
    urls = [str(path) for path in shards]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # the library leaves files to the collector
        found = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
        gc.collect()
    return found


@pytest.mark.spec("EXP-30")
@pytest.mark.parametrize("variant", ["", "small"])
def test_webdataset_reads_images_labels_and_spots_back(
    run: Path, tmp_path: Path, variant: str
) -> None:
    result = export_run(
        run, "webdataset", out=tmp_path / "out", variant=variant, file_mb=0.02, cluster="serial"
    )
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert (result.frames, result.written) == (9, len(shards))
    assert shards[0].name == "my_v1.2_run-000000.tar"
    assert len(shards) == (3 if not variant else 1)
    found = samples(*shards)
    assert [sample["__key__"] for sample in found] == [f"{frame:09d}" for frame in range(9)]
    items = db.StackDataset(
        run, variant=variant or None, dtype="stored",
        spots=db.SpotColumns(("position", "hkl", "photons"), masked=True),
    )  # fmt: skip
    with db.open_stack(run) as stack:
        for frame, sample in enumerate(found):
            image = stack[variant or "images"].values[frame]
            assert sample["npy"].dtype == image.dtype
            np.testing.assert_array_equal(sample["npy"], image)
            told = sample["json"]
            assert told["frame"] == frame
            assert "split" not in told
            np.testing.assert_allclose(
                told["labels"]["orientation"], stack["orientation"].values[frame]
            )
            assert told["labels"]["shape"] == str(stack["shape"].values[frame])
            assert told["labels"]["spots_seen"] == int(stack["spots_seen"].values[frame])
            assert told["labels"]["hit"] is bool(stack["hit"].values[frame])
            spots, wanted = sample["spots.npy"], items[frame]["spots"]
            assert len(spots) > 20
            places = np.stack([spots["slow"], spots["fast"]], axis=-1)
            np.testing.assert_array_equal(places, wanted["position"].numpy())
            np.testing.assert_array_equal(spots["h"], wanted["hkl"][:, 0].numpy())


@pytest.mark.spec("EXP-30")
def test_shards_are_the_same_bytes_and_keep_to_their_size(run: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_run(run, "webdataset", out=tmp_path / name, file_mb=0.02, cluster="serial")
    frame_bytes = 53 * 61 * 2
    for path in (tmp_path / "one").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        with tarfile.open(path) as shard:
            members = shard.getmembers()
        images = [one for one in members if one.name.endswith(".npy") and one.name.count(".") == 1]
        assert 1 <= len(images) <= 0.02e6 // frame_bytes
        assert all(one.mtime == 0 and not one.uname for one in members)


@pytest.mark.spec("EXP-31")
@pytest.mark.parametrize("variant", ["", "small"])
@pytest.mark.parametrize("file_mb", [256.0, 0.02, 0.001])
@pytest.mark.parametrize("compression", ["auto", "gzip", "none"])
def test_hdf5_reads_images_labels_and_spots_back(
    run: Path, tmp_path: Path, variant: str, file_mb: float, compression: Any
) -> None:
    out = tmp_path / "out"
    result = export_run(
        run, "hdf5", out=out, variant=variant, file_mb=file_mb, compression=compression,
        cluster="serial",
    )  # fmt: skip
    parts = sorted(out.glob("*_0*.h5"))
    assert result.opens == out / "my_v1.2_run.h5"
    frame_bytes = (53 * 61 if not variant else 12 * 12) * 2
    files = -(-9 // max(1, int(file_mb * 1e6) // frame_bytes))
    assert len(parts) == (0 if files == 1 else files)
    items = db.StackDataset(
        run, variant=variant or None, dtype="stored", spots=db.SpotColumns(masked=True)
    )
    with h5py.File(result.opens) as file, db.open_stack(run) as stack:
        images = file["images"]
        assert images.is_virtual is (files > 1)
        image = stack[variant or "images"].values
        assert (images.shape, images.dtype) == (image.shape, image.dtype)
        np.testing.assert_array_equal(images[()], image)
        np.testing.assert_array_equal(file["frame"][()], np.arange(9))
        labels = file["labels"]
        np.testing.assert_array_equal(labels["orientation"][()], stack["orientation"].values)
        np.testing.assert_array_equal(labels["spread"][()], stack["spread"].values)
        assert list(labels["shape"].asstr()[()]) == list(stack["shape"].values)
        np.testing.assert_array_equal(labels["hit"][()], stack["hit"].values)
        offsets = file["spots/offsets"][()]
        assert offsets.shape == (10,)
        for frame in range(9):
            rows = slice(offsets[frame], offsets[frame + 1])
            wanted = items[frame]["spots"]
            for axis, name in enumerate(("slow", "fast")):
                np.testing.assert_array_equal(
                    file["spots"][name][rows], wanted["position"][:, axis].numpy()
                )
            np.testing.assert_array_equal(file["spots/l"][rows], wanted["hkl"][:, 2].numpy())
        assert images.attrs["units"] == ("1" if variant else "photons")
        if variant:
            assert (images.attrs["offset_slow"], images.attrs["factor"]) == (3, 4)
        assert file.attrs["distbragg_run_id"] == open_run(run).run_id
        json.loads(file.attrs["distbragg_spec"])
    with h5py.File(parts[0] if parts else result.opens) as file:
        assert file["images"].chunks == (1, *image.shape[1:])
        assert bool(file["images"]._filters) is (compression != "none")


@pytest.mark.spec("EXP-32")
@pytest.mark.parametrize("form", ["webdataset", "hdf5"])
def test_parts_of_a_split_are_sets_of_their_own(run: Path, tmp_path: Path, form: Any) -> None:
    split = db.Split(validation=0.3, test=0.3, seed=2)
    export_run(run, form, out=tmp_path / "out", split=split, file_mb=0.02, cluster="serial")
    parts = np.ravel(split_frames(open_run(run), split))
    assert set(parts) == {"train", "validation", "test"}
    with (tmp_path / "out" / "frames.csv").open(newline="") as table:
        told = {int(row["frame"]): row["split"] for row in csv.DictReader(table)}
    assert told == dict(enumerate(parts.tolist()))
    for part in ("train", "validation", "test"):
        wanted = np.flatnonzero(parts == part).tolist()
        if form == "webdataset":
            found = samples(*sorted((tmp_path / "out").glob(f"my_v1.2_run-{part}-*.tar")))
            assert [sample["json"]["frame"] for sample in found] == wanted
            assert {sample["json"]["split"] for sample in found} == {part}
        else:
            with h5py.File(tmp_path / "out" / f"my_v1.2_run-{part}.h5") as file:
                assert file["frame"][()].tolist() == wanted
                assert set(file["split"].asstr()[()]) == {part}
                assert json.loads(file.attrs["split"])["seed"] == 2
                assert len(file["images"]) == len(wanted)


@pytest.mark.spec("EXP-33")
@pytest.mark.parametrize("form", ["webdataset", "hdf5"])
def test_a_set_is_gone_on_with_and_another_is_not_written_over(
    run: Path, tmp_path: Path, form: Any
) -> None:
    out, options = tmp_path / "out", {"file_mb": 0.02, "cluster": "serial"}
    first = export_run(run, form, out=out, **options)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    again = export_run(run, form, out=out, **options)
    assert (again.written, again.skipped) == (0, first.written)
    assert {path.name: path.read_bytes() for path in out.iterdir()}.keys() == files.keys()
    suffix = ".tar" if form == "webdataset" else ".h5"
    gone, cut, *_ = sorted(out.glob(f"*0*{suffix}"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1000])
    mended = export_run(run, form, out=out, **options)
    assert mended.written == 2
    if form == "webdataset":
        assert {path.name: path.read_bytes() for path in out.iterdir()} == files
    for other in ({"variant": "small"}, {"split": db.Split()}, {"file_mb": 1.0}):
        with pytest.raises(RefusedError, match="holds another export"):
            export_run(run, form, out=out, **options | other)
    assert not list(out.glob("*.tmp-*"))


@pytest.mark.spec("EXP-33")
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("webdataset", "mine-000000.tar"),
        ("hdf5", "mine.h5"),
        ("zarr2", "mine.zarr"),
        ("smv", "frames.csv"),
    ],
)
def test_files_of_others_are_not_written_over(
    run: Path, tmp_path: Path, form: Any, name: str
) -> None:
    (tmp_path / "notes.txt").write_text("of no export's names")
    (tmp_path / name).write_text("kept")
    with pytest.raises(RefusedError, match=f"{name}: exists and is not part of an export"):
        export_run(run, form, out=tmp_path, prefix="mine", cluster="serial")
    assert (tmp_path / name).read_text() == "kept"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.spec("EXP-33")
@pytest.mark.parametrize("form", ["webdataset", "hdf5"])
def test_a_set_that_cannot_be_written_leaves_nothing_half_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    from distbragg.run.frame_set import FrameSet

    spots, calls = FrameSet.spots, []

    def full(self: FrameSet, frame: int) -> Any:
        calls.append(frame)
        if len(calls) > 4:
            raise EnvironmentFailure("no space left")
        return spots(self, frame)

    monkeypatch.setattr(FrameSet, "spots", full)
    out = tmp_path / "out"
    try:
        result = export_run(run, form, out=out, file_mb=0.02, cluster="serial")
        assert result.status == 3
    except EnvironmentFailure:
        pass
    names = {path.name for path in out.iterdir()}
    assert not any("tmp" in name for name in names)
    assert "my_v1.2_run.h5" not in names
    monkeypatch.undo()
    assert export_run(run, form, out=out, file_mb=0.02, cluster="serial").status == 0


@pytest.mark.spec("EXP-33")
@pytest.mark.parametrize("form", ["webdataset", "hdf5"])
def test_a_run_that_grows_adds_to_its_sets(run: Path, tmp_path: Path, form: Any) -> None:
    path, out, whole = tmp_path / run.name, tmp_path / "out", tmp_path / "whole"
    options: dict[str, Any] = {"file_mb": 0.02, "cluster": "serial"}
    db.create(shots(), path)
    db.resume(path, part=(1, 3), cluster="serial")
    assert export_run(path, form, out=out, **options).status == 3
    db.resume(path, cluster="serial")
    grown = export_run(path, form, out=out, **options)
    assert (grown.status, grown.frames) == (0, 9)
    export_run(run, form, out=whole, **options)
    if form == "webdataset":
        for shard in whole.glob("*.tar"):
            assert (out / shard.name).read_bytes() == shard.read_bytes()
        return
    with h5py.File(grown.opens) as one, h5py.File(whole / grown.opens.name) as other:
        np.testing.assert_array_equal(one["images"][()], other["images"][()])
        np.testing.assert_array_equal(one["spots/slow"][()], other["spots/slow"][()])


@pytest.mark.spec("EXP-34", "EXP-32")
@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["--format", "hdf5", "-o", "set.h5"], "names a file, where a folder is made"),
        (["--format", "npy", "--variant", "small"], "is for training sets, not for npy"),
        (["--format", "smv", "--split"], "is for training sets, not for smv"),
        (["--format", "hdf5", "--variant", "other"], "stores no array 'other'"),
        (["--format", "hdf5", "--validation", "0.3"], "add --split"),
        (["--format", "webdataset", "--file-mb", "0"], "files of 0 MB"),
        (["--format", "webdataset", "--split", "--group-by", "x"], "'x' is not an axis"),
        (["--format", "webdataset", "--split", "--test", "1e-9"], "no frame is in the part test"),
        (
            ["--format", "hdf5", "--split", "--validation", "0.5", "--frames", "0"],
            "none of the frames 0 is in the part validation",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), *command]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert problem in line
    assert not list(tmp_path.iterdir())


@pytest.mark.spec("EXP-30")
def test_a_panel_along_the_beam_goes_into_sets(tmp_path: Path) -> None:
    """Which headers of single images cannot describe: no place of it is on the beam."""
    panel = {"name": "side", "origin_mm": [-30, 60, -26], "fast": [1, 0, 0], "slow": [0, 0, 1]}
    # Spots are many where a panel sees all angles.
    few = {"detector": {"panels": [panel]}, "sampling": {"dmin_angstrom": 5.0}}
    plain = shots(3, **few).model_dump(mode="json", exclude_unset=True)
    del plain["experiment"]["output"]["variants"], plain["experiment"]["detector"]["distance_mm"]
    db.sweep(SweepSpec.model_validate(plain), tmp_path / "side", cluster="serial")
    for form in ("hdf5", "webdataset"):
        result = export_run(tmp_path / "side", form, out=tmp_path / form, cluster="serial")  # type: ignore[arg-type]
        assert result.frames == 3


@pytest.mark.spec("EXP-34")
def test_sets_of_a_run_without_frames_name_its_variants(tmp_path: Path) -> None:
    plain = shots(3).model_dump(mode="json", exclude_unset=True)
    plain["experiment"]["output"] |= {"frames": False, "labels": False}
    path = tmp_path / "alone"
    db.sweep(SweepSpec.model_validate(plain), path, cluster="serial")
    with pytest.raises(InputError, match="stores no whole frames, but small"):
        export_run(path, "hdf5", out=tmp_path / "out")
    for form in ("hdf5", "webdataset"):
        result = export_run(
            path,
            form,
            out=tmp_path / form,
            variant="small",
            cluster="serial",  # type: ignore[arg-type]
        )
        assert result.frames == 3
    with h5py.File(tmp_path / "hdf5" / "alone.h5") as file:
        assert "spots" not in file
        assert set(file["labels"]) == {
            *("shot", "orientation", "spread", "shape", "has_crystal", "lattices_in_beam")
        }
    (sample, *_) = samples(tmp_path / "webdataset" / "alone-000000.tar")
    assert "spots.npy" not in sample


@pytest.mark.spec("EXP-30")
@pytest.mark.spec("EXP-31")
def test_workers_write_the_same_files(run: Path, tmp_path: Path) -> None:
    for form in ("webdataset", "hdf5"):
        for name, place in (("one", "serial"), ("two", "local:2")):
            out = tmp_path / form / name
            export_run(run, form, out=out, file_mb=0.02, cluster=place)  # type: ignore[arg-type]
        if form == "webdataset":
            for path in (tmp_path / form / "one").glob("*.tar"):
                assert path.read_bytes() == (tmp_path / form / "two" / path.name).read_bytes()
        else:
            with (
                h5py.File(tmp_path / form / "one" / "my_v1.2_run.h5") as one,
                h5py.File(tmp_path / form / "two" / "my_v1.2_run.h5") as two,
            ):
                np.testing.assert_array_equal(one["images"][()], two["images"][()])
