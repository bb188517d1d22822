"""Runs of frames of other runs: the same images, labels, noise and parts, under new numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.run.extend import extend
from distbragg.run.gather import merge, subset
from distbragg.run.publish import publish
from distbragg.run.repair import repair
from distbragg.run.verify import seal, verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store.manifest import GATHERED
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.split import Split, split_frames
from tests import loaded

from .conftest import digests_of, tiny_plain

EVERYTHING: dict[str, Any] = {
    "noise": {"photon": True, "seed": 4},
    "beam": {"pulse_energy_fraction": 0.2},
    "detector": {"pixel_size_mm": 1.0},
    "output": {"labels": True, "label_minimum_photons": 0.0, "maps": ["bragg", "hkl"]},
}
"""Whatever a frame has beside its pixels, and is drawn for it by its number."""


def shots(count: int, seed: int, **changes: Any) -> SweepSpec:
    """Random orientations, energies and a text along `shot`."""
    energies = {"count": count, "seed": seed, "low": 9000.0, "high": 12000.0}
    axes: list[dict[str, Any]] = [
        {"name": "orientation", "random_orientations": {"count": count, "seed": seed}},
        {"name": "energy", "path": "beam.energy_ev", "sample": energies},
        {"name": "form", "path": "crystal.shape", "values": (["gauss", "square"] * count)[:count]},
    ]
    plain = tiny_plain(**changes)
    del plain["beam"]["wavelength_angstrom"]
    plain["beam"]["energy_ev"] = 9500.0
    return SweepSpec.model_validate(
        {"experiment": plain, "axes": [{**axis, "dim": "shot"} for axis in axes]}
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first") / "A.zarr"
    db.sweep(shots(7, 1, **EVERYTHING), path, cluster="serial")
    return path


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("second") / "B.zarr"
    db.sweep(shots(6, 2, **EVERYTHING), path, cluster="serial")
    return path


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dimensions in another order than that of their names."""
    axes = [
        {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.2, 0.3]},
        {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0, 3.0]},
    ]
    plain = {"experiment": tiny_plain(noise={"photon": True}), "axes": axes}
    path = tmp_path_factory.mktemp("grid") / "G.zarr"
    db.sweep(SweepSpec.model_validate(plain), path, cluster="serial")
    return path


def rendered_anew(run: RunDirectory, path: Path) -> dict[int, str]:
    """Digests of a run of the same sweep and units, all of it rendered."""
    fresh = subset_of(run, path)
    for unit in range(fresh.layout.units):
        fresh.objects.delete(fresh.layout.object_name(unit))
    db.resume(fresh, cluster="serial")
    return digests_of(fresh.path)


def subset_of(run: RunDirectory, path: Path) -> RunDirectory:
    subset(run.path, path)
    return open_run(path)


def same_frames(run: Path, source: Path, frames: list[int], first: int = 0) -> None:
    """Compare what a run holds, from a frame on, with the frames of its source."""
    ours, theirs = open_stack(run), open_stack(source)
    count = len(frames)
    for name in ours.data_vars:
        flat = [
            stack[name].values.reshape(-1, *stack[name].shape[len(open_run(path).layout.dims) :])
            for stack, path in ((ours, run), (theirs, source))
        ]
        np.testing.assert_array_equal(flat[0][first : first + count], flat[1][frames])
    if open_run(run).sweep.experiment.output.labels:
        mine, all_there = db.open_labels(run), db.open_labels(source)
        for number, frame in enumerate(frames):
            chosen, there = mine["frame"] == first + number, all_there["frame"] == frame
            assert there.sum() > 0
            for name in set(mine) - {"frame"}:
                np.testing.assert_array_equal(mine[name][chosen], all_there[name][there])


@pytest.mark.spec("GAT-1")
@pytest.mark.spec("GAT-3")
def test_subset_holds_images_maps_labels_and_can_be_rendered_again(
    first: Path, tmp_path: Path
) -> None:
    out = tmp_path / "S.zarr"
    result = subset(first, out, frames="1:3,4,6")
    assert (result.frames, result.copied, result.cut) == (4, 0, 2)
    same_frames(out, first, [1, 2, 4, 6])
    report = verify(out, level="deep", audit=9)
    assert report.sound
    assert len(report.audited) == 2
    run = open_run(out)
    for unit in range(run.layout.units):
        run.objects.delete(run.layout.object_name(unit))
        run.objects.delete(f"labels/{unit:07d}.parquet")
    before = digests_of(out)
    assert before == {}
    assert repair(out, cluster="serial").repaired == (0, 1)
    same_frames(out, first, [1, 2, 4, 6])
    assert verify(out, level="deep").sound
    assert seal(out).already is False


@pytest.mark.spec("GAT-2")
def test_merge_copies_objects_that_fit_and_cuts_the_others_anew(
    first: Path, second: Path, tmp_path: Path
) -> None:
    both, turned = tmp_path / "AB.zarr", tmp_path / "BA.zarr"
    # Seven frames in units of two: those of the other run fit no unit.
    result = merge([first, second], both)
    assert (result.frames, result.copied, result.cut) == (13, 3, 4)
    result = merge([second, first], turned)
    assert (result.frames, result.copied, result.cut) == (13, 7, 0)
    for path, one, other, count in ((both, first, second, 7), (turned, second, first, 6)):
        sizes = open_run(one).layout.frames, open_run(other).layout.frames
        assert sizes[0] == count
        same_frames(path, one, list(range(sizes[0])))
        same_frames(path, other, list(range(sizes[1])), first=sizes[0])
        assert verify(path, level="deep", audit=20).sound
    run, source = open_run(turned), open_run(second)
    assert digests_of(turned)[0] == digests_of(second)[0]
    assert [
        run.objects.get(run.layout.object_name(unit))
        == source.objects.get(source.layout.object_name(unit))
        for unit in range(3)
    ] == [True] * 3


@pytest.mark.spec("GAT-3")
def test_manifest_names_every_source_by_its_content(
    first: Path, second: Path, tmp_path: Path
) -> None:
    merge([first, second], tmp_path / "AB.zarr")
    subset(tmp_path / "AB.zarr", tmp_path / "S.zarr", every=3)
    merged, chosen = (open_run(tmp_path / name).manifest for name in ("AB.zarr", "S.zarr"))
    record = merged.provenance[GATHERED]
    assert [each["run_id"] for each in record["runs"]] == [
        open_run(path).run_id for path in (first, second)
    ]
    assert record["runs"][0]["objects"] == seal_digest(first)
    inner = chosen.provenance[GATHERED]
    assert inner["frames"] == "0,3,6,9,12"
    assert inner["runs"][0][GATHERED] == record
    assert inner["runs"][0]["run_id"] == merged.run_id
    # Whoever reads the card is told as well.
    from distbragg.run.card import card

    assert open_run(first).run_id in card(tmp_path / "AB.zarr")


def seal_digest(path: Path) -> str:
    from distbragg.store.files import sha256_bytes
    from distbragg.store.generations import pack_digests

    return sha256_bytes(pack_digests([digest for _, digest in sorted(digests_of(path).items())]))


@pytest.mark.spec("GAT-4")
def test_alternatives_that_set_files_are_one_axis_of_all_runs(tmp_path: Path) -> None:
    files = {}
    for name, amplitude in (("weak", 50), ("strong", 90)):
        rows = [" ".join(map(str, (*hkl, amplitude))) for hkl in np.ndindex(7, 7, 7)]
        (tmp_path / f"{name}.hkl").write_text("\n".join(rows))
        files[name] = {"structure_factors.file": str(tmp_path / f"{name}.hkl")}
    axes = [
        {"name": "protein", "alternatives": files, "draw": {"choice": {"values": [*files]}}},
        {"name": "orientation", "draw": {"orientation": "uniform"}},
    ]
    plain = {"experiment": tiny_plain(), "axes": [{**axis, "dim": "shot"} for axis in axes]}
    for seed in (1, 2):
        sweep = SweepSpec.model_validate({**plain, "count": 5, "seed": seed})
        db.sweep(sweep, tmp_path / f"{seed}.zarr", cluster="serial")
    out = tmp_path / "both.zarr"
    merge([tmp_path / "1.zarr", tmp_path / "2.zarr"], out)
    single = [open_stack(tmp_path / f"{seed}.zarr") for seed in (1, 2)]
    both = open_stack(out)
    assert both["protein"].values.tolist() == [*np.concatenate([one["protein"] for one in single])]
    assert set(both["protein"].values.tolist()) == {"weak", "strong"}
    assert np.array_equal(both.images, np.concatenate([one.images for one in single]))
    shutil.rmtree(tmp_path / "1.zarr")
    shutil.rmtree(tmp_path / "2.zarr")
    assert verify(out, level="deep", audit=20).sound


def test_frames_keep_their_parts_in_subsets_and_merges(
    first: Path, second: Path, grid: Path, tmp_path: Path
) -> None:
    split = Split(0.3, 0.3, seed=5)
    merge([first, second], tmp_path / "AB.zarr")
    parts = [split_frames(open_run(path), split).reshape(-1) for path in (first, second)]
    merged = split_frames(open_run(tmp_path / "AB.zarr"), split)
    np.testing.assert_array_equal(merged, np.concatenate(parts))
    whole = split_frames(open_run(grid), split).reshape(-1)
    assert len(set(whole)) == 3
    subset(grid, tmp_path / "flat.zarr", every=1)
    np.testing.assert_array_equal(split_frames(open_run(tmp_path / "flat.zarr"), split), whole)
    subset(tmp_path / "flat.zarr", tmp_path / "train.zarr", part="train", split=split)
    assert set(split_frames(open_run(tmp_path / "train.zarr"), split)) == {"train"}
    assert open_run(tmp_path / "train.zarr").layout.frames == int((whole == "train").sum())
    grouped = Split(0.5, seed=1, group_by=("phi",))
    np.testing.assert_array_equal(
        split_frames(open_run(tmp_path / "flat.zarr"), grouped),
        split_frames(open_run(grid), grouped).reshape(-1),
    )


@pytest.mark.spec("GAT-1")
@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("phi >= 2", [2, 3, 6, 7, 10, 11]),
        ("0.1 < spread < 0.25 and not phi == 0", [5, 6, 7]),
        ("frame > 8 or spread*10 + phi < 1.5", [0, 9, 10, 11]),
    ],
)
def test_conditions_choose_frames_of_a_grid(
    where: str, wanted: list[int], grid: Path, tmp_path: Path
) -> None:
    out = tmp_path / "S.zarr"
    subset(grid, out, where=where)
    same_frames(out, grid, wanted)
    stack = open_stack(out)
    assert stack.images.dims == ("frame", "slow", "fast")
    assert stack["phi"].values.tolist() == [float(frame % 4) for frame in wanted]
    assert verify(out, level="deep", audit=9).sound


@pytest.mark.spec("GAT-1")
def test_conditions_on_text_and_what_cannot_be_chosen(first: Path, tmp_path: Path) -> None:
    subset(first, tmp_path / "S.zarr", where="form == 'square' and energy > 0", every=2)
    assert open_stack(tmp_path / "S.zarr")["form"].values.tolist() == ["square", "square"]
    same_frames(tmp_path / "S.zarr", first, [1, 5])
    for where, said in (
        ("energy > 1e9", "no frame is chosen"),
        ("colour > 1", "'colour' is neither an axis of single values nor a label"),
        ("orientation > 1", "'orientation' is an axis of vectors, which no condition compares"),
        ("form == square", "text is quoted, such as form == 'square'"),
        ("form = 'square'", "compare by =="),
        ("(energy > 1) & (form == 'square')", "conditions are joined by and, or, not"),
        ("energy > 1 && energy < 2", "conditions are joined by and, or, not"),
        ("form == 'a=b' and", "e.g. energy > 9000"),
        ("energy", "'energy' is not a comparison"),
        ("form < 3", "compares text with numbers"),
        ("energy > ().__class__", "not allowed"),
        ("energy >", "is not a condition"),
    ):
        with pytest.raises(InputError, match=said.replace("(", r"\(")):
            subset(first, tmp_path / "none.zarr", where=where)
    assert not (tmp_path / "none.zarr").exists()


@pytest.mark.spec("GAT-1")
def test_a_split_without_a_part_of_it_is_refused(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none.zarr"
    with pytest.raises(InputError, match="split: is given, and no part of it; one of train"):
        subset(first, out, split=Split(0.3))
    assert main(["subset", str(first), "-o", str(out), "--validation", "0.3"]) == 2
    said = "--group-by: these options need --split; add --split, or leave them out"
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.spec("GAT-2")
def test_runs_that_do_not_go_together_are_refused_in_one_line(
    tmp_path: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(name: str, sweep: SweepSpec) -> str:
        db.create(sweep, tmp_path / name)
        return str(tmp_path / name)

    less = shots(6, 2, **EVERYTHING)
    without = SweepSpec.model_validate(
        {"experiment": less.experiment, "axes": [less.axes[0], less.axes[2]]}
    )
    others = {
        "detector.distance_mm": shots(
            6, 2, **{**EVERYTHING, "detector": {"pixel_size_mm": 1.0, "distance_mm": 80.0}}
        ),
        "noise.seed": shots(6, 2, **{**EVERYTHING, "noise": {"photon": True, "seed": 5}}),
        "output.maps": shots(6, 2, **{**EVERYTHING, "output": {"labels": True}}),
        "shape": shots(
            6, 2, **{**EVERYTHING, "detector": {"pixel_size_mm": 1.0, "pixels_fast": 24}}
        ),
        "has no axis 'energy' (beam.energy_ev)": without,
    }
    for number, (said, sweep) in enumerate(others.items()):
        other = made(f"B{number}.zarr", sweep)
        capsys.readouterr()
        assert main(["merge", str(first), other, "-o", str(tmp_path / "M.zarr")]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
        assert not (tmp_path / "M.zarr").exists()
    same = made("C.zarr", shots(6, 2, **EVERYTHING))
    with pytest.raises(RefusedError, match="6 of 6 frames are not rendered"):
        merge([first, same], tmp_path / "M.zarr")
    with pytest.raises(InputError, match="holds the same frame as"):
        merge([first, first], tmp_path / "M.zarr")
    with pytest.raises(InputError, match="at least two"):
        merge([first], tmp_path / "M.zarr")
    before = digests_of(first)
    with pytest.raises(InputError, match="lies within the run"):
        subset(first, first / "images" / "S.zarr", frames="0")
    assert digests_of(first) == before


@pytest.mark.spec("GAT-2")
def test_names_and_fields_that_cannot_be_axes_are_refused_in_one_line(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = tmp_path / "B.zarr", tmp_path / "M.zarr"
    changes = {**EVERYTHING, "noise": {"photon": True, "seed": 5}}
    db.sweep(shots(7, 1, **changes), other, cluster="serial")
    runs = ["merge", str(first), str(other), "-o", str(out)]
    for words in (
        ["--vary", "output.labels"],
        ["--along", "images", "--vary", "noise.seed"],
        ["--along", "fast", "--vary", "noise.seed"],
        ["--along", "a b", "--vary", "noise.seed"],
        ["--along", "", "--vary", "compute.precision"],
    ):
        assert main([*runs, *words]) == 2
        told = capsys.readouterr().err
        assert told.startswith("distbragg: error: ")
        assert len(told.splitlines()) == 1
        assert not out.exists()


@pytest.mark.spec("GAT-5")
def test_fields_in_which_runs_differ_become_axes(first: Path, tmp_path: Path) -> None:
    less = shots(6, 2, **{**EVERYTHING, "noise": {"photon": True, "seed": 5}})
    other, out = tmp_path / "B.zarr", tmp_path / "M.zarr"
    axes = [less.axes[0], less.axes[2]]
    db.sweep(SweepSpec.model_validate({"experiment": less.experiment, "axes": axes}), other)
    merge([first, other], out, vary=["noise.seed", "beam.energy_ev"])
    stack = open_stack(out)
    assert stack["seed"].values.tolist() == [4] * 7 + [5] * 6
    assert stack["energy"].values.tolist()[7:] == [9500.0] * 6
    same_frames(out, first, list(range(7)))
    same_frames(out, other, list(range(6)), first=7)
    assert verify(out, level="deep", audit=20).sound
    split = Split(0.3, 0.3, group_by=("orientation",))
    parts = [split_frames(open_run(path), split) for path in (first, other)]
    np.testing.assert_array_equal(split_frames(open_run(out), split), np.concatenate(parts))


@pytest.mark.spec("GAT-5")
def test_runs_of_equal_axes_are_steps_of_a_new_dimension(first: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "B.zarr", tmp_path / "M.zarr"
    db.sweep(shots(7, 1, **{**EVERYTHING, "noise": {"photon": True, "seed": 5}}), other)
    result = merge([first, other], out, along="repeat", vary=["noise.seed"])
    assert (result.frames, result.copied, result.cut) == (14, 8, 0)
    stack = open_stack(out)
    assert dict(stack.sizes)["repeat"] == 2
    assert stack["seed"].dims == ("repeat",)
    same_frames(out, first, list(range(7)))
    same_frames(out, other, list(range(7)), first=7)
    assert verify(out, level="deep", audit=20).sound
    with pytest.raises(InputError, match="--vary"):
        merge([first, other], tmp_path / "N.zarr", along="repeat")


@pytest.mark.spec("GAT-6")
def test_gathered_runs_grow_train_export_publish_and_draw_noise(
    tmp_path: Path, bucket: str
) -> None:
    clean = tmp_path / "clean.zarr"
    db.sweep(shots(7, 1, beam={"pulse_energy_fraction": 0.2}), clean, cluster="serial")
    chosen = tmp_path / "S.zarr"
    subset(clean, chosen, frames="2,5,6")
    whole, part = tmp_path / "whole.zarr", tmp_path / "part.zarr"
    db.noise(clean, whole, cluster="serial")
    db.noise(chosen, part, cluster="serial")
    np.testing.assert_array_equal(
        open_stack(part).images.values, open_stack(whole).images.values[[2, 5, 6]]
    )
    with pytest.raises(RefusedError, match="drawn from expected photons"):
        subset(whole, tmp_path / "no.zarr", every=2)
    items = db.StackDataset(chosen, labels=["energy"])
    assert len(items) == 3
    assert main(["export", str(chosen), "--format", "npy", "-o", str(tmp_path / "npy")]) == 0
    # New frames are drawn by numbers that no old frame had.
    axes = [axis for axis in shots(4, 3).axes if axis.name != "energy"]
    energies = {"name": "energy", "path": "beam.energy_ev", "dim": "shot", "values": [9e3] * 4}
    experiment = open_run(chosen).sweep.experiment
    grown = extend(
        chosen, SweepSpec.model_validate({"experiment": experiment, "axes": [*axes, energies]})
    )
    assert GATHERED in grown.manifest.provenance
    db.resume(grown, cluster="serial")
    shifts = open_stack(chosen)["frame_shift"].values
    assert (shifts + np.arange(7)).tolist() == [2, 5, 6, 7, 8, 9, 10]
    same_frames(chosen, clean, [2, 5, 6])
    url = f"{bucket}/chosen.zarr"
    publish(chosen, url)
    subset(url, f"{bucket}/again.zarr", frames="0:2")
    np.testing.assert_array_equal(
        open_stack(f"{bucket}/again.zarr").images.values, open_stack(clean).images.values[[2, 5]]
    )
    assert verify(f"{bucket}/again.zarr", level="deep").sound


KILLED = """
import os, signal, sys
from distbragg.cli.main import main
from distbragg.store.local_objects import LocalObjects
left = int(sys.argv[1])
def dying(real):
    def change(self, key, *arguments, **options):
        global left
        if "lock" not in key:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(self, key, *arguments, **options)
    return change
for name in ("put", "writer", "delete", "appender"):
    setattr(LocalObjects, name, dying(getattr(LocalObjects, name)))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.spec("GAT-7")
@pytest.mark.parametrize("command", ["merge", "subset"])
def test_a_killed_command_is_gone_on_with_by_the_same(
    command: str, first: Path, second: Path, tmp_path: Path
) -> None:
    given = {
        "merge": ["merge", str(first), str(second)],
        "subset": ["subset", str(first), "--frames", "1:6"],
    }[command]
    gold = tmp_path / "gold.zarr"
    assert main([*given, "-o", str(gold)]) == 0
    out, killed = tmp_path / "M.zarr", 0
    for step in (0, 2, 4, 1, 6, 3, 9, 40):
        done = loaded.run(["-c", KILLED, str(step), *given, "-o", out])
        assert "Traceback" not in done.stderr
        killed += done.returncode == -9
        if out.exists():
            report = verify(out)
            assert not report.damaged
            assert not report.files
        if done.returncode == 0:
            break
    assert killed >= 3
    assert main([*given, "-o", str(out)]) == 0
    assert digests_of(out) == digests_of(gold)
    assert verify(out, level="deep").sound
    assert not list(out.parent.glob("*.tmp-*"))


@pytest.mark.spec("GEN-3")
def test_a_killed_extension_leaves_the_old_run_and_is_finished_by_the_same(
    first: Path, tmp_path: Path
) -> None:
    run, more = tmp_path / "RUN.zarr", tmp_path / "more.yaml"
    new = [{"name": "orientation", "random_orientations": {"count": 2, "seed": 9}}]
    new.append({"name": "form", "values": ["gauss", "gauss"]})
    more.write_text(json.dumps({"axes": new}))
    old, killed = open_stack(first).images.values, 0
    for step in range(3, 60, 5):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(first, run)
        given = ["extend", str(run), str(more), "--no-render"]
        done = loaded.run(["-c", KILLED, str(step), *given])
        assert "Traceback" not in done.stderr
        np.testing.assert_array_equal(open_stack(run).images.values[:7], old)
        assert verify(run).sound
        assert main([*given[:3], "--cluster", "serial"]) == 0
        assert open_run(run).layout.frames == 9
        assert verify(run, level="deep").sound
        killed += done.returncode == -9
        if done.returncode == 0:
            break
    assert killed >= 3


@pytest.mark.spec("GAT-7")
def test_what_is_damaged_is_not_taken_over(tmp_path: Path, first: Path) -> None:
    broken = Path(shutil.copytree(first, tmp_path / "B.zarr"))
    path = open_run(broken).object_path(1)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    for frames in ("2:4", "3,6"):
        with pytest.raises(DamageError, match="is not what its receipt states"):
            subset(broken, tmp_path / f"S{frames[0]}.zarr", frames=frames)


@pytest.mark.spec("GAT-1", "GAT-2")
def test_a_run_is_not_written_into_itself(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link.zarr").symlink_to(first)
    before = digests_of(first)
    for out in (str(first), f"{first.parent}/../{first.parent.name}/{first.name}/"):
        assert main(["subset", str(first), "-o", out]) == 2
        assert main(["merge", str(second), str(first), "-o", out]) == 2
    assert main(["subset", str(first), "-o", str(tmp_path / "link.zarr")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5
    assert all("is a run that frames are taken from; give another" in line for line in told)
    assert digests_of(first) == before


def test_commands_say_what_was_taken(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "S.zarr")
    command = ["subset", str(first), "-o", out, "--frames", "0:4"]
    assert main(command) == 0
    assert "4 frames; units copied 2, rewritten 0" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["there"] == 2
    assert main(["resume", out, "--cluster", "serial"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["subset", str(first), "-o", out, "--frames", "0:3"]) == 4
