"""Appending frames: old units stay as they are, and nothing is ever half done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from distbragg.cli.main import main
from distbragg.engine import context
from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.run import extend as extend_module
from distbragg.run.create import create
from distbragg.run.extend import extend
from distbragg.run.repair import repair
from distbragg.run.resume import resume
from distbragg.run.status import status
from distbragg.run.verify import seal, verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store.lease import lease_key
from distbragg.store.local_objects import LocalObjects
from distbragg.store.open import FrameReader, open_array, open_stack
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.split import Split, split_frames
from distbragg.store.verify import verify_run

from .conftest import digests_of, tiny_plain

WRITES = 11
"""What an extension puts and deletes: the decision, two files of the old generation, values,
metadata of two arrays and of the group, the seal's files, the manifest, and the decision again."""

SPREAD = {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.2, 0.3]}


def phi(*values: float) -> dict[str, Any]:
    return {"name": "phi", "path": "goniometer.phi_deg", "values": list(values)}


def shots(count: int, seed: int, shapes: list[str]) -> list[dict[str, Any]]:
    """Random orientations zipped with a text axis, along one dimension."""
    random = {"name": "shot", "random_orientations": {"count": count, "seed": seed}}
    text = {"name": "form", "path": "crystal.shape", "values": shapes, "dim": "shot"}
    return [random, text]


def sweep_of(*axes: dict[str, Any]) -> SweepSpec:
    return SweepSpec.model_validate({"experiment": tiny_plain(), "axes": list(axes)})


def finished(path: Path, *axes: dict[str, Any]) -> RunDirectory:
    run = create(sweep_of(*axes), path)
    resume(run, cluster="serial")
    return run


# (old axes, appended axes, all axes): a grid; a series whose last unit is cut short.
CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "grid": ([phi(0.0, 1.0), SPREAD], [phi(5.0, 7.0, 9.0)], [phi(0, 1, 5, 7, 9.0), SPREAD]),
    "series": ([phi(0.0, 1, 2, 3, 4)], [phi(9.0, 8, 7, 6)], [phi(0.0, 1, 2, 3, 4, 9, 8, 7, 6)]),
}


@pytest.mark.spec("GEN-1")
@pytest.mark.spec("GEN-2")
@pytest.mark.parametrize("case", CASES)
def test_extended_run_holds_the_bytes_of_one_made_in_one_go(case: str, tmp_path: Path) -> None:
    old, more, every = CASES[case]
    whole = finished(tmp_path / "WHOLE", *every)
    run = finished(tmp_path / "RUN", *old)
    before = {unit: run.object_path(unit).stat() for unit in range(run.layout.units)}
    grown = extend(run, sweep_of(*more))
    assert [size for _, size in grown.layout.dims] == [size for _, size in whole.layout.dims]
    assert verify(grown, level="deep").sound
    stack = open_stack(grown.path)
    assert int(stack.rendered.sum()) == run.layout.frames
    result = resume(grown, cluster="serial")
    assert result.done == whole.layout.frames
    assert verify(grown.path, level="deep").sound
    assert digests_of(grown.path) == digests_of(whole.path)
    cut_short = [unit for unit in before if grown.settled(unit) is None]
    assert cut_short == ([] if case == "grid" else [run.layout.units - 1])
    for unit, stat in before.items():
        now = grown.object_path(unit).stat()
        assert unit in cut_short or (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    ours, theirs = xr.open_zarr(grown.path), xr.open_zarr(whole.path)
    np.testing.assert_array_equal(ours.images, theirs.images)
    for name in theirs.coords:
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name].attrs == theirs[name].attrs
    assert ours.attrs["distbragg_run_id"] == grown.run_id != run.run_id


@pytest.mark.spec("GEN-1")
def test_generations_chain_seal_and_keep_the_split(tmp_path: Path) -> None:
    run = finished(tmp_path / "RUN", *shots(5, 1, ["square", "gauss", "round", "tophat", "gauss"]))
    first_seal = seal(run).seal.objects
    parts = split_frames(run, Split(0.5))
    second = extend(run, sweep_of(*shots(3, 2, ["round"] * 3)))
    assert status(second).state != "sealed"
    resume(second, cluster="serial")
    seal(second.path)
    third = extend(second.path, sweep_of(*shots(4, 3, ["square"] * 4)))
    resume(third, cluster="serial")
    assert [g.layout.frames for g in third.lineage] == [8, 5]
    assert second.manifest.parent["objects"] == first_seal
    assert seal(third.path).already is False
    assert verify(third.path, level="deep").sound
    stack = xr.open_zarr(third.path)
    assert stack["form"].values.tolist()[-5:] == ["round", *["square"] * 4]
    assert np.isfinite(stack.images).all()
    np.testing.assert_array_equal(split_frames(third, Split(0.5))[:5], parts)
    kept = {path.name for path in (third.state / "generations").iterdir()}
    assert {"0000.SEALED", "0001.SEALED", "0000.json", "0001.digests"} <= kept


@pytest.mark.spec("GEN-3")
@pytest.mark.parametrize("step", range(WRITES + 1))
def test_extension_cut_short_anywhere_is_finished_by_resume(
    step: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: Path,
    gold: dict[int, str],
) -> None:
    """Stop before every change that an extension makes; at the last step there is none left."""
    run = open_run(shutil.copytree(source, tmp_path / "RUN"))
    calls = iter(range(1000))

    def stopping(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(objects: LocalObjects, key: str, *arguments: Any, **options: Any) -> Any:
            if key != lease_key(None) and next(calls) == step:
                raise KeyboardInterrupt
            return real(objects, key, *arguments, **options)

        return change

    old = open_stack(run.path).images.values
    for name in ("put", "delete"):
        monkeypatch.setattr(LocalObjects, name, stopping(getattr(LocalObjects, name)))
    try:
        extend(run, sweep_of(phi(9.0, 8, 7, 6)))
    except KeyboardInterrupt:
        stopped = True
    else:
        stopped = False
    monkeypatch.undo()
    assert stopped == (step < WRITES)
    seen = open_stack(run.path)
    np.testing.assert_array_equal(seen.images.values[:5], old)
    assert verify(run.path, level="full").sound
    resume(run.path, cluster="serial")
    if open_run(run.path).layout.frames == 5:
        resume(extend(run.path, sweep_of(phi(9.0, 8, 7, 6))), cluster="serial")
    assert digests_of(run.path) == gold
    assert not list((run.path / ".distbragg").glob("extension*"))
    assert verify(run.path, level="deep").sound


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("source") / "RUN", phi(0.0, 1, 2, 3, 4)).path


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    path = tmp_path_factory.mktemp("gold") / "RUN"
    finished(path, phi(0.0, 1, 2, 3, 4, 9, 8, 7, 6))
    return digests_of(path)


@pytest.mark.spec("GEN-3")
def test_extension_that_cannot_be_read_is_refused_and_nothing_is_replaced(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an interrupted disk leaves it: empty, torn, or with a byte changed."""
    run = open_run(shutil.copytree(source, tmp_path / "RUN"))
    seal(run)
    monkeypatch.setattr(extend_module, "apply_extension", lambda run: None)
    extend(run, sweep_of(phi(9.0, 8, 7, 6)))
    monkeypatch.undo()
    packed = run.state / "extension.zip"
    whole = packed.read_bytes()
    place = whole.index(b"digests") + 40
    changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    # The flag of a member that says that it is encrypted.
    flag = whole.rindex(b"PK\1\2") + 8
    encrypted = whole[:flag] + b"\1" + whole[flag + 1 :]
    before = contents(run.path)
    for damaged in (b"", whole[:-30], whole[:200], changed, encrypted):
        packed.write_bytes(damaged)
        for command in (lambda: resume(run, cluster="serial"), lambda: repair(run)):
            with pytest.raises(DamageError, match="remove that file"):
                command()
        assert contents(run.path) == {**before, ".distbragg/extension.zip": damaged}
        assert np.isfinite(open_stack(run.path).images).all()
        (note,) = verify(run.path).notes
        assert "an extension is being put in place" in note
        assert verify(run.path).sound
    packed.unlink()
    resume(extend(run.path, sweep_of(phi(9.0, 8, 7, 6))), cluster="serial")
    assert verify(run.path, level="deep").sound


@pytest.mark.spec("GEN-3")
def test_who_opened_the_run_before_it_grew_reads_on(tmp_path: Path, source: Path) -> None:
    """A reader holds the old manifest while the arrays are longer already."""
    path = shutil.copytree(source, tmp_path / "RUN")
    old, frames = open_run(path), open_stack(path).images.values
    reader = FrameReader(old)
    grown = extend(path, sweep_of(phi(9.0, 8, 7, 6)))
    np.testing.assert_array_equal(open_array(old)[:5], frames)
    np.testing.assert_array_equal(reader.read([0, 4]), frames[[0, 4]])
    assert [item.kind for item in verify_run(old, "full").findings] == []
    resume(grown, cluster="serial")
    np.testing.assert_array_equal(reader.read([0, 4]), frames[[0, 4]])


@pytest.mark.spec("STK-14")
def test_extended_runs_are_audited(tmp_path: Path, source: Path) -> None:
    path = shutil.copytree(source, tmp_path / "RUN")
    resume(extend(path, sweep_of(phi(9.0, 8, 7, 6))), cluster="serial")
    report = verify(path, audit=99)
    assert report.sound
    assert len(report.audited) == report.units


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
@pytest.mark.spec("GEN-4")
def test_what_a_user_added_along_the_axis_that_grows_is_not_left_too_short(
    tmp_path: Path, source: Path
) -> None:
    path = shutil.copytree(source, tmp_path / "RUN")
    added = xr.Dataset({"mask": (("slow", "fast"), np.ones((17, 23)))}, attrs={"by": "me"})
    added.to_zarr(path, mode="a", consolidated=True)
    grown = extend(path, sweep_of(phi(9.0)))
    resume(grown, cluster="serial")
    stack = open_stack(path)
    assert stack.sizes["phi"] == 6
    assert stack.attrs["by"] == "me"
    assert float(stack["mask"].sum()) == 17 * 23
    xr.Dataset({"score": (("phi",), np.ones(6))}).to_zarr(path, mode="a", consolidated=True)
    before = contents(path)
    with pytest.raises(RefusedError, match="'score', which was added to the run, runs along 'phi'"):
        extend(path, sweep_of(phi(8.0)))
    assert contents(path) == before


def contents(path: Path) -> dict[str, bytes]:
    files = (item for item in path.rglob("*") if item.is_file() and "lock" not in item.name)
    return {item.relative_to(path).as_posix(): item.read_bytes() for item in files}


@pytest.mark.spec("GEN-1")
def test_sampled_and_derived_axes_grow_with_the_others(tmp_path: Path) -> None:
    def axes(seed: int, count: int) -> list[dict[str, Any]]:
        drawn = {"count": count, "seed": seed, "low": 90.0, "high": 120.0}
        return [
            {"name": "shot", "path": "detector.distance_mm", "sample": drawn},
            {"name": "turn", "path": "goniometer.phi_deg", "derived": "2*index", "dim": "shot"},
        ]

    run = finished(tmp_path / "RUN", *axes(1, 4))
    before = open_stack(run.path)["shot"].values
    grown = extend(run, sweep_of(*axes(2, 3)))
    assert resume(grown, cluster="serial").done == 7
    stack = open_stack(grown.path)
    assert stack["turn"].values.tolist() == [0, 2, 4, 6, 8, 10, 12]
    np.testing.assert_array_equal(stack["shot"].values[:4], before)
    assert verify(grown.path, level="deep").sound
    again = extend(grown.path, sweep_of(*axes(2, 3)))
    assert len(again.lineage) == 1


def drawn(count: int, seed: int) -> list[dict[str, Any]]:
    """Five axes along `shot`: two drawn, two drawn together, a constant one, and a derived one."""
    random = {"count": count, "seed": seed}
    sobol = {**random, "method": "sobol"}
    along: list[dict[str, Any]] = [
        {"name": "orientation", "random_orientations": random},
        {
            "name": "distance",
            "path": "detector.distance_mm",
            "sample": {**sobol, "low": 90, "high": 110},
        },
        {
            "name": "spread",
            "path": "crystal.mosaic.spread_deg",
            "sample": {**sobol, "low": 0.1, "high": 0.2},
        },
        {"name": "form", "path": "crystal.shape", "values": ["gauss"] * count},
        {"name": "turn", "path": "goniometer.phi_deg", "derived": "2*index"},
    ]
    return [{**axis, "dim": "shot"} for axis in along]


def test_nothing_is_appended_where_no_process_here_may_render_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(tmp_path / "RUN", phi(0.0, 1.0))
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump({"axes": [phi(2.0)]}))
    own = context.numeric_class
    monkeypatch.setattr(context, "numeric_class", lambda one: {**own(one), "code": "another"})
    before = digests_of(run.path)
    assert main(["extend", str(run.path), str(file), "--cluster", "serial"]) == 4
    told = capsys.readouterr().err
    assert "code is another here" in told
    assert "--allow-mixed" in told
    assert digests_of(run.path) == before
    command = ["extend", str(run.path), str(file), "--cluster", "serial", "--allow-mixed"]
    assert main(command) == 0
    assert open_run(run.path).layout.frames == 3


@pytest.mark.spec("GEN-5")
def test_axes_that_are_left_out_go_on_as_they_were_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file names what changes alone; all else is what a sweep of more frames holds."""
    run = finished(tmp_path / "RUN", *drawn(3, 1))
    longer = sweep_of(*drawn(8, 1))
    file = tmp_path / "more.yaml"
    new = {"name": "orientation", "random_orientations": {"count": 3, "seed": 2}}
    file.write_text(yaml.safe_dump({"axes": [new]}))
    capsys.readouterr()
    assert main(["extend", str(run.path), str(file), "--cluster", "serial"]) == 0
    told = capsys.readouterr().err
    for line in (
        "distance: not in the file: drawn further, values 3 to 5",
        "form: not in the file: stays gauss",
    ):
        assert line in told
    stack = open_stack(run.path)
    for axis in longer.axes[1:]:
        assert stack[axis.name].values.tolist() == axis.expanded.array[:6].tolist()
    turned = SweepSpec.model_validate({"axes": [new]}).axes[0].expanded.array
    np.testing.assert_array_equal(stack["orientation"].values[3:], turned)
    assert verify(run.path, level="deep", audit=9).sound
    assert main(["extend", str(run.path), str(file), "--cluster", "serial"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    # Once more: what was drawn on is still drawn.
    file.write_text(
        yaml.safe_dump({"axes": [{**new, "random_orientations": {"count": 2, "seed": 3}}]})
    )
    grown = extend(run.path, file)
    assert grown.layout.frames == 8
    for axis in longer.axes[1:]:
        own = {axis.name: axis for axis in grown.sweep.axes}[axis.name]
        assert own.expanded == axis.expanded
        assert own.sample == axis.sample


@pytest.mark.spec("GEN-5")
def test_axes_without_one_way_to_go_on_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = {"method": "latin_hypercube", "count": 3, "low": 90.0, "high": 110.0}
    lists: tuple[dict[str, Any], ...] = (
        {"name": "turn", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0]},
        {
            "name": "turn",
            "path": "goniometer.phi_deg",
            "arange": {"start": 0, "stop": 3, "step": 1},
        },
        {"name": "distance", "path": "detector.distance_mm", "sample": cube},
    )
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump({"axes": [shots(2, 5, [])[0] | {"dim": "shot"}]}))
    for number, axis in enumerate(lists):
        run = finished(tmp_path / f"RUN{number}", shots(3, 1, [])[0], {**axis, "dim": "shot"})
        before = contents(run.path)
        capsys.readouterr()
        assert main(["extend", str(run.path), str(file)]) == 2
        err = capsys.readouterr().err
        assert f"new values of {axis['name']!r} are missing" in err
        assert "2 values of its own" in err
        assert err.count("\n") == 1
        assert contents(run.path) == before


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a value that is there": ([phi(9.0, 1.0)], "in the stack already"),
    "a value twice": ([phi(9.0, 9.0)], "in the stack already"),
    "another dimension": ([phi(9.0), {**SPREAD, "values": [0.1, 0.2, 0.4]}], "along 'phi'"),
    "only another dimension": ([{**SPREAD, "values": [0.5]}], "missing"),
    "an unknown axis": ([phi(9.0), {**SPREAD, "name": "other"}], "not an axis of the stack"),
    "another field": ([{**phi(9.0), "path": "detector.distance_mm"}], "sets"),
}


@pytest.mark.spec("GEN-4")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_appended_is_refused_and_nothing_changes(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes, match = REFUSED[case]
    run = finished(tmp_path / "RUN", phi(0.0, 1.0), SPREAD)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump({"axes": axes}))
    capsys.readouterr()
    assert main(["extend", str(run.path), str(file)]) == 2
    err = capsys.readouterr().err
    assert match in err
    assert err.count("\n") == 1
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert {p for p in after if p.name != "lock.guard"} == set(before) - {
        p for p in before if p.name == "lock.guard"
    }
    assert all(after[path] == data for path, data in before.items())


@pytest.mark.spec("GEN-4")
def test_unfinished_runs_and_other_experiments_are_refused(tmp_path: Path) -> None:
    run = create(sweep_of(phi(0.0, 1.0)), tmp_path / "RUN")
    with pytest.raises(RefusedError, match="finishes the run"):
        extend(run, sweep_of(phi(5.0)))
    resume(run, cluster="serial")
    other = SweepSpec.model_validate(
        {"experiment": tiny_plain(detector={"distance_mm": 90.0}), "axes": [phi(5.0)]}
    )
    with pytest.raises(InputError, match="not the experiment"):
        extend(run, other)
    single = finished(tmp_path / "ONE")
    with pytest.raises(InputError, match="single frame"):
        extend(single, sweep_of(phi(5.0)))


@pytest.mark.spec("GEN-2")
def test_changed_generation_and_changed_old_object_are_damage(tmp_path: Path) -> None:
    run = extend(finished(tmp_path / "RUN", phi(0.0, 1.0), SPREAD), sweep_of(phi(5.0)))
    resume(run, cluster="serial")
    data = bytearray(run.object_path(0).read_bytes())
    data[30] ^= 1
    run.object_path(0).write_bytes(data)
    found = verify(run, level="full")
    assert [item.unit for item in found.damaged] == [0]
    leaves = run.state / "generations" / "0000.digests"
    leaves.write_bytes(leaves.read_bytes()[::-1])
    # The manifest is the same file: look at it as a new process would.
    manifest = run.state / "manifest.json"
    manifest.write_bytes(manifest.read_bytes())
    with pytest.raises(DamageError, match="generation"):
        open_run(run.path)


@pytest.mark.spec("GEN-3")
def test_command_extends_renders_and_does_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(tmp_path / "RUN", phi(0.0, 1.0), SPREAD)
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump({"axes": [phi(5.0, 6.0)]}))
    command = ["extend", str(run.path), str(file), "--cluster", "serial"]
    assert main([*command[:3], "--no-render"]) == 0
    assert "generation 1, 12 frames" in capsys.readouterr().out
    assert main(command) == 0
    assert "6 frames rendered" in capsys.readouterr().out
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["info", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["generation"] == 1
