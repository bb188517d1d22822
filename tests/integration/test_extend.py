"""Appending frames: old units stay as they are, and nothing is ever half done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from distbragg.cli.main import main
from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.run.create import create
from distbragg.run.extend import extend
from distbragg.run.resume import resume
from distbragg.run.seal import seal
from distbragg.run.status import status
from distbragg.run.verify import verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store import extension as extension_module
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.split import Split, split_frames

from .conftest import digests_of, tiny_plain

WRITES = 10
"""Writes of an extension: two files of the old generation, ready and in place; the new manifest,
ready and in place; values, metadata of two arrays and of the group."""

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
    first_seal = seal(run).seal.merkle_root
    parts = split_frames(run, Split(0.5))
    second = extend(run, sweep_of(*shots(3, 2, ["round"] * 3)))
    assert status(second).state != "sealed"
    resume(second, cluster="serial")
    seal(second.path)
    third = extend(second.path, sweep_of(*shots(4, 3, ["square"] * 4)))
    resume(third, cluster="serial")
    assert [g.manifest.layout.frames for g in third.lineage] == [8, 5]
    assert third.lineage[0].manifest.parent["merkle_root"] == first_seal
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
    """Stop before every write that an extension makes; at the last step there is none left."""
    run = open_run(shutil.copytree(source, tmp_path / "RUN"))
    calls = iter(range(1000))
    real = extension_module.write_atomic

    def stopping(path: Path, data: bytes) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        real(path, data)

    old = open_stack(run.path).images.values
    monkeypatch.setattr(extension_module, "write_atomic", stopping)
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


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a value that is there": ([phi(9.0, 1.0)], "in the stack already"),
    "a value twice": ([phi(9.0, 9.0)], "in the stack already"),
    "another dimension": ([phi(9.0), {**SPREAD, "values": [0.1, 0.2, 0.4]}], "along 'phi'"),
    "only another dimension": ([{**SPREAD, "values": [0.5]}], "missing"),
    "an unknown axis": ([phi(9.0), {**SPREAD, "name": "other"}], "no axis of the stack"),
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
