"""Sweeps from specification to stack, in this process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

import distbragg as db
from distbragg.cli.rendering import report
from distbragg.engine.context import ProcessCache
from distbragg.engine.events import RunStarted, UnitFinished
from distbragg.errors import (
    EnvironmentFailure,
    ExitStatus,
    InputError,
    PlanError,
    RefusedError,
)
from distbragg.run import create as create_module
from distbragg.run import prepare as prepare_module
from distbragg.run import resume as resume_module
from distbragg.run.status import info
from distbragg.store import write as write_module
from distbragg.store.lease import Lease
from distbragg.store.run_directory import open_run

from .conftest import AXES, digests_of, tiny_plain, tiny_sweep


@pytest.mark.spec("STK-1")
def test_finished_stack_opens_with_xarray_alone_and_without_warnings(finished):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = xr.open_zarr(finished)
        images = stack.images.load()
    assert images.dims == ("phi", "spread", "slow", "fast")
    assert np.isfinite(images).all()
    assert float(images.max()) > 0
    assert db.open_stack(finished).attrs["missing_frames"] == 0


def test_stored_frames_are_those_rendered_one_by_one(finished):
    stack = db.open_stack(finished)
    sweep = tiny_sweep()
    for frame in (0, 4, 14):
        alone = db.render(sweep.frame_spec(frame))
        values = sweep.frame_values(frame)
        stored = stack.images.sel(
            phi=values["goniometer.phi_deg"], spread=values["crystal.mosaic.spread_deg"]
        )
        np.testing.assert_array_equal(stored, alone.images)


def test_frames_differ_along_both_axes(finished):
    images = db.open_stack(finished).images.values
    assert len({images[i, j].tobytes() for i in range(5) for j in range(3)}) == 15


@pytest.mark.parametrize(
    ("form", "attempts", "threads"), [("unit", 1, 2), ("graph", 3, 1)], ids=["threads", "graph"]
)
def test_form_and_threads_change_no_bit(finished, tmp_path, form, attempts, threads):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    db.resume(run, cluster="serial", form=form, attempts=attempts, threads=threads)
    assert digests_of(run.path) == digests_of(finished)


@pytest.mark.spec("STK-8")
def test_rerun_does_nothing_and_says_so(tmp_path):
    first = db.sweep(tiny_sweep(), tmp_path / "RUN", cluster="serial")
    assert (first.frames, first.done, first.rendered, first.failed) == (15, 15, 15, 0)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "RUN" / "images").rglob("*")}
    events = []
    again = db.sweep(tiny_sweep(), tmp_path / "RUN", cluster="serial", on_event=events.append)
    assert again.nothing_to_do
    assert again.status is ExitStatus.DONE
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "RUN" / "images").rglob("*")} == before
    assert [type(event) for event in events] == [RunStarted]


@pytest.mark.spec("STK-8")
def test_sweep_interrupted_anywhere_continues_to_the_same_bits(finished, tmp_path):
    run = db.create(tiny_sweep(), tmp_path / "RUN")

    def stop_after(count):
        finished_units = []

        def on_event(event):
            if isinstance(event, UnitFinished):
                finished_units.append(event)
                if len(finished_units) == count:
                    raise KeyboardInterrupt

        return on_event

    for count in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            db.resume(run, cluster="serial", on_event=stop_after(count))
        assert not (run.state / "lock").exists()
    assert db.open_stack(run.path).attrs["missing_frames"] == 15 - 8
    result = db.resume(run, cluster="serial")
    assert result.rendered == 8 - 1
    assert digests_of(run.path) == digests_of(finished)


@pytest.mark.spec("STK-8")
def test_lost_object_is_rendered_again_to_the_same_bits(finished, tmp_path):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    db.resume(run, cluster="serial")
    run.object_path(3).unlink()
    name = run.layout.object_name(3).replace("/", "~")
    litter = run.state / "partial" / f"{name}.{'a' * 32}"
    litter.parent.mkdir(exist_ok=True)
    litter.write_bytes(b"half")
    assert db.resume(run, cluster="serial").rendered == run.layout.frame_count(3)
    assert not litter.exists()
    assert digests_of(run.path) == digests_of(finished)


def test_parts_together_are_the_whole(finished, tmp_path):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    results = [db.resume(run, cluster="serial", part=(i, 3)) for i in (1, 2, 3)]
    assert sum(result.frames for result in results) == 15
    assert all(result.status is ExitStatus.DONE for result in results)
    assert digests_of(run.path) == digests_of(finished)


@pytest.mark.parametrize("part", [(0, 3), (4, 3), (1, 0)])
def test_part_that_does_not_exist_is_bad_input(finished, part):
    with pytest.raises(InputError, match="does not exist"):
        db.resume(finished, part=part)


@pytest.mark.spec("STK-40")
def test_frames_beyond_the_stored_type_are_done_and_count_their_overloads(tmp_path, capsys):
    axis = {"name": "amplitude", "path": "structure_factors.default_f_electrons"}
    axes = [{**axis, "values": [1.0, 1e30, 3.0]}]
    spec = tiny_sweep(axes, compute={"frames_per_unit": 1})
    result = db.sweep(spec, tmp_path / "RUN", cluster="serial")
    assert (result.status, result.done) == (ExitStatus.DONE, 3)
    assert result.overloads == 391
    report(result)
    assert "overloads: 391 pixels beyond the range" in capsys.readouterr().out
    stack = db.open_stack(tmp_path / "RUN")
    assert stack.overloads.values.tolist() == [0, 391, 0]
    assert (stack.images[1].values == np.finfo("f4").max).all()
    assert "overloads" not in stack.isel(amplitude=[0, 2]).images.attrs
    assert db.open_stack(tmp_path / "RUN").overloads.dims == ("amplitude",)


@pytest.mark.spec("STK-40")
def test_frames_beyond_the_type_are_set_aside_where_overflow_is_an_error(tmp_path):
    axis = {"name": "amplitude", "path": "structure_factors.default_f_electrons"}
    axes = [{**axis, "values": [1.0, 1e30, 3.0]}]
    spec = tiny_sweep(axes, compute={"frames_per_unit": 1}, output={"overflow": "error"})
    for _ in range(2):
        result = db.sweep(spec, tmp_path / "RUN", cluster="serial")
        assert result.status is ExitStatus.FAILED_FRAMES
        assert (result.done, result.failed) == (2, 1)
        assert "391 of 391 pixels are beyond float32" in result.failures[1]
    stack = db.open_stack(tmp_path / "RUN")
    assert list(stack.rendered.values) == [True, False, True]
    assert "beyond float32" in info(tmp_path / "RUN")["failed_units"]["1"]


@pytest.mark.spec("STK-40")
@pytest.mark.parametrize(("dtype", "largest"), [("uint16", 65534), ("uint32", 2**32 - 2)])
def test_counts_beyond_the_type_are_clipped_below_the_mark_of_missing_frames(
    tmp_path, dtype, largest
):
    spec = tiny_sweep(
        beam={"fluence_photons_per_m2": 1e40},
        noise={"photon": True, "seed": 3},
        output={"dtype": dtype},
    )
    result = db.sweep(spec, tmp_path / "RUN", cluster="serial")
    assert result.status is ExitStatus.DONE
    stack = db.open_stack(tmp_path / "RUN")
    assert int(stack.images.max()) == largest
    assert int(stack.overloads.sum()) == int((stack.images == largest).sum()) > 0


def test_passing_trouble_is_tried_again(finished, tmp_path, monkeypatch):
    append, calls = write_module.append_receipt, []

    def flaky(run, record):
        calls.append(record["unit"])
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        append(run, record)

    monkeypatch.setattr(write_module, "append_receipt", flaky)
    result = db.sweep(tiny_sweep(), tmp_path / "RUN", cluster="serial")
    assert result.status is ExitStatus.DONE
    assert len(calls) == 11
    assert digests_of(tmp_path / "RUN") == digests_of(finished)


def test_full_disk_ends_the_run_and_leaves_it_resumable(finished, tmp_path, monkeypatch):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    with monkeypatch.context() as patch:

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", full)
        with pytest.raises(EnvironmentFailure, match="no space left"):
            db.resume(run, cluster="serial")
    assert db.resume(run, cluster="serial").status is ExitStatus.DONE
    assert digests_of(run.path) == digests_of(finished)


@pytest.mark.spec("CLI-1")
def test_a_run_that_may_no_longer_be_written_to_is_no_bad_input(tmp_path, monkeypatch):
    run = db.create(tiny_sweep(), tmp_path / "RUN")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "RUN/x"))

    monkeypatch.setattr(resume_module, "rebuild_plan", refused)
    with pytest.raises(EnvironmentFailure, match="RUN/x: Permission denied; make it writable"):
        db.resume(run)
    monkeypatch.undo()
    assert db.resume(run).status is ExitStatus.DONE


@pytest.mark.spec("STK-13")
def test_run_in_use_is_refused(finished):
    with Lease(open_run(finished).objects), pytest.raises(RefusedError, match="in use"):
        db.resume(finished)


def test_changed_specification_is_refused_with_the_difference(finished):
    changed = tiny_sweep(beam={"wavelength_angstrom": 1.1})
    with pytest.raises(RefusedError, match=r"wavelength_angstrom: 1\.0 in the run, 1\.1 now"):
        db.create(changed, finished)


@pytest.mark.spec("STK-10")
def test_output_path_holding_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="not a distbragg run"):
        db.sweep(tiny_sweep(), tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_process_of_another_numeric_class_is_refused_unless_allowed(tmp_path, monkeypatch):
    other = {"device": "cuda", "kernel": "model", "build": "x", "isa": "sm_90", "precision": "x"}
    with monkeypatch.context() as patch:
        patch.setattr(create_module, "numeric_class", lambda options: other)
        run = db.create(tiny_sweep(), tmp_path / "RUN")
    with pytest.raises(RefusedError, match="device is cpu here and cuda in the run"):
        db.resume(run, cluster="serial")
    assert db.resume(run, cluster="serial", allow_mixed=True).status is ExitStatus.DONE


def test_run_of_another_version_is_refused(finished, monkeypatch):
    monkeypatch.setattr(resume_module, "__version__", "9.9.9")
    with pytest.raises(RefusedError, match=r"created by distbragg .*, this is 9\.9\.9"):
        db.resume(finished)


def test_run_that_this_program_would_plan_differently_is_refused(tmp_path, monkeypatch):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    monkeypatch.setattr("distbragg.plan.frame.MERGE_ARITY", 3)
    assert db.resume(run, cluster="serial", units=[0]).done  # as planned when it was created
    monkeypatch.setattr("distbragg.engine.context._runs", ProcessCache(4))
    with pytest.raises(RefusedError, match="plans the run differently"):
        db.resume(run, cluster="serial")


def test_units_of_a_run_keep_their_size_where_new_ones_would_be_smaller(tmp_path, monkeypatch):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    again = Path(shutil.copytree(run.path, tmp_path / "again"))
    assert db.resume(run, cluster="serial").status is ExitStatus.DONE
    monkeypatch.setattr("distbragg.plan.sweep.block_shape", lambda sizes, frames: (1,) * len(sizes))
    monkeypatch.setattr("distbragg.engine.context._runs", ProcessCache(4))
    assert prepare_module.plan(tiny_sweep()).units > open_run(again).layout.units
    assert db.resume(again, cluster="serial").status is ExitStatus.DONE
    assert digests_of(again) == digests_of(run.path)


def test_plan_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "memory_bytes", lambda: 10_000_000)
    with pytest.raises(PlanError, match="memory"):
        db.create(tiny_sweep(), tmp_path / "RUN")
    monkeypatch.undo()
    monkeypatch.setattr(prepare_module, "free_disk_bytes", lambda path: 1000)
    with pytest.raises(PlanError, match="disk"):
        db.sweep(tiny_sweep(), tmp_path / "RUN")
    assert os.listdir(tmp_path) == []


@pytest.mark.spec("STK-6")
def test_inputs_are_taken_along_and_files_may_be_edited_afterwards(tmp_path):
    table = tmp_path / "table.hkl"
    table.write_text("".join(f"{h} {k} 0 {50 + h + k}.5\n" for h in range(-3, 4) for k in range(3)))
    experiment = tiny_plain(structure_factors={"file": "table.hkl"})
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"experiment": experiment,
                                                         "axes": list(AXES)}))  # fmt: skip
    before = db.create(tmp_path / "sweep.yaml", tmp_path / "RUN")
    db.sweep(tmp_path / "sweep.yaml", tmp_path / "OTHER", cluster="serial")
    table.write_text("1 0 0 1e6\n")
    db.resume(before, cluster="serial")
    assert digests_of(before.path) == digests_of(tmp_path / "OTHER")
    with pytest.raises(RefusedError, match=r"structure_factors\.file"):
        db.create(tmp_path / "sweep.yaml", tmp_path / "RUN")


@pytest.mark.spec("STK-12")
def test_photon_counts_are_stored_as_integers_and_reproducible(tmp_path):
    spec = tiny_sweep(
        beam={"fluence_photons_per_m2": 1e28},
        noise={"photon": True, "seed": 3},
        output={"dtype": "uint16"},
    )
    for name in ("A", "B"):
        db.sweep(spec, tmp_path / name, cluster="serial")
    stack = db.open_stack(tmp_path / "A")
    assert stack.images.dtype == np.uint16
    assert int(stack.images.sum()) > 0
    assert digests_of(tmp_path / "A") == digests_of(tmp_path / "B")


@pytest.mark.spec("STK-12")
def test_float64_stack_holds_what_render_returns(tmp_path):
    spec = tiny_sweep((), compute={"precision": "float64"}, output={"dtype": "float64"})
    db.sweep(spec, tmp_path / "RUN", cluster="serial")
    rendered = db.render(spec.experiment).images
    assert rendered.dtype == np.float64
    np.testing.assert_array_equal(db.open_stack(tmp_path / "RUN").images, rendered)


def test_info_is_plain_data_and_complete(finished):
    facts = json.loads(json.dumps(info(finished)))
    assert facts["frames_done"] == facts["frames"] == 15
    assert facts["in_use_by"] == []
    assert facts["failed_units"] == {}
    assert facts["stored_bytes"] == sum(
        path.stat().st_size for path in (finished / "images" / "c").rglob("*") if path.is_file()
    )
