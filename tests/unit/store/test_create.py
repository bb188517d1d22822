"""Creating a run: whole or not at all, never over something else."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from distbragg.errors import EnvironmentFailure, InputError, RefusedError
from distbragg.spec.sweep import SweepSpec
from distbragg.store import create as create_module
from distbragg.store.inputs import identify_input
from distbragg.store.layout import STATE_DIR
from distbragg.store.local_objects import LocalObjects
from distbragg.store.processes import process_start
from distbragg.store.run_directory import open_run

from .conftest import SHAPE, create_tiny, tiny_experiment, tiny_sweep


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.spec("STK-1")
def test_new_run_holds_metadata_and_no_pixels(tmp_path):
    run = create_tiny(tmp_path / "deep" / "RUN")
    assert not (run.path / "images" / "c").exists()
    assert listing(tmp_path / "deep")[0] == "RUN"
    assert {path.name for path in run.state.iterdir()} >= {"manifest.json", "zarr.json"}


def test_creating_the_same_run_again_returns_it_untouched(tmp_path):
    first = create_tiny(tmp_path / "RUN")
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    again = create_tiny(tmp_path / "RUN", provenance={"distbragg": "0.1.0", "host": "elsewhere"})
    assert again.run_id == first.run_id
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == before


def test_another_specification_is_refused_with_the_field_that_differs(tmp_path):
    create_tiny(tmp_path / "RUN")
    other = tiny_sweep(output={"dtype": "float64"})
    with pytest.raises(RefusedError, match=r"dtype.*float32.*float64"):
        create_tiny(tmp_path / "RUN", other)


def test_how_it_is_computed_is_no_part_of_the_identity(tmp_path):
    first = create_tiny(tmp_path / "RUN")
    other = tiny_sweep(compute={"form": "graph", "memory_limit_gb": 3.0})
    assert create_tiny(tmp_path / "RUN", other).run_id == first.run_id


def test_another_numeric_class_is_another_run(tmp_path):
    create_tiny(tmp_path / "RUN")
    with pytest.raises(RefusedError, match=r"numeric_class\.kernel"):
        create_tiny(
            tmp_path / "RUN",
            numeric_class={"device": "cpu", "kernel": "x", "precision": "float64"},
        )


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
@pytest.mark.spec("STK-10")
def test_output_path_holding_something_else_is_refused_and_left_alone(tmp_path, kind):
    target = tmp_path / "RUN"
    if kind == "file":
        target.write_text("precious")
    elif kind == "folder":
        target.mkdir()
        (target / "precious").write_text("data")
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = listing(tmp_path)
    with pytest.raises(InputError, match="exists and is not a distbragg run"):
        create_tiny(target)
    assert listing(tmp_path) == before


def test_an_empty_directory_is_used(tmp_path):
    (tmp_path / "RUN").mkdir()
    assert create_tiny(tmp_path / "RUN").path == tmp_path / "RUN"


@pytest.mark.parametrize("step", ["group_files", "copy_inputs", "put", "rename"])
@pytest.mark.spec("STK-5")
def test_failure_at_any_step_leaves_nothing_behind(tmp_path, monkeypatch, step):
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    owners = {"put": LocalObjects, "rename": Path}
    monkeypatch.setattr(owners.get(step, create_module), step, fail)
    with pytest.raises(EnvironmentFailure, match="no space left"):
        create_tiny(tmp_path / "RUN")
    assert listing(tmp_path) == []


KILLED = """
import os, signal, sys
from distbragg.store.local_objects import LocalObjects

with LocalObjects(sys.argv[1]).made_whole() as fresh:
    (fresh.root / "zarr.json").write_text("{}")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.spec("STK-5")
def test_what_a_killed_creation_left_is_removed_and_nothing_else(tmp_path):
    target = tmp_path / "RUN"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    machine, pid, started, drawn = left.name.removeprefix("RUN.tmp-").split("-")
    mine = process_start(os.getpid())
    kept = [
        f"RUN.tmp-{machine}-{os.getpid()}-{mine}-{drawn}",
        f"RUN.tmp-{machine[::-1]}-{pid}-{started}-{drawn}",
        f"RUNS.tmp-{machine}-{pid}-{started}-{drawn}",
        f"RUN.tmp-{drawn}",
    ]
    for name in kept:
        (tmp_path / name).mkdir()
    run = create_tiny(target)
    assert sorted(os.listdir(tmp_path)) == sorted(["RUN", *kept])
    left.mkdir()
    run.objects.sweep_partial()
    assert sorted(os.listdir(tmp_path)) == sorted(["RUN", *kept])


def test_run_published_by_another_process_meanwhile_wins(tmp_path, monkeypatch):
    rename = Path.rename

    def late(temporary: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        create_tiny(tmp_path / "RUN")
        return rename(temporary, target)

    monkeypatch.setattr(Path, "rename", late)
    assert create_tiny(tmp_path / "RUN").path == tmp_path / "RUN"
    assert os.listdir(tmp_path) == ["RUN"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_parent_is_bad_input(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be created"):
        create_tiny(tmp_path / "RUN")


def test_parent_that_is_a_file_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be created"):
        create_tiny(tmp_path / "file" / "RUN")


@pytest.mark.parametrize("consolidated", [None, True, False])
@pytest.mark.spec("STK-1")
def test_xarray_opens_a_new_run_without_warning(run, consolidated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = xr.open_zarr(run.path, consolidated=consolidated)
    assert stack.images.dims == ("phi", "spread", "slow", "fast")
    assert stack.images.dtype == np.float32
    assert set(stack.data_vars) == {"images"}
    assert np.isnan(stack.images.values).all()
    np.testing.assert_array_equal(stack.phi, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert stack.phi.attrs["units"] == "degree"
    assert stack.phi.attrs["spec_path"] == "goniometer.phi_deg"
    assert stack.slow.attrs["units"] == "mm"
    assert float(stack.fast[0]) == pytest.approx(0.05)


def test_listing_the_group_gives_no_warning(run):
    group = zarr.open_group(run.path, mode="r", use_consolidated=False)
    assert {name for name, _ in group.members()} >= {"images", "phi", "slow"}


@pytest.mark.spec("STK-11")
def test_attributes_hold_specification_and_provenance(run):
    attrs = xr.open_zarr(run.path).attrs
    assert SweepSpec.model_validate_json(attrs["distbragg_spec"]) == tiny_sweep()
    assert attrs["distbragg_run_id"] == run.run_id
    assert attrs["Conventions"].startswith("CF")
    assert "numpy" in attrs["distbragg_versions"]


def test_codecs_protect_pixels_with_a_checksum(run):
    array = zarr.open_array(run.path, path="images", mode="r")
    inner = array.metadata.codecs[0].codecs
    assert [type(codec).__name__ for codec in inner] == ["BytesCodec", "BloscCodec", "Crc32cCodec"]
    assert array.shards == (1, 2, *SHAPE)
    assert array.chunks == (1, 1, *SHAPE)


@pytest.mark.spec("STK-2")
def test_panels_zipped_vector_and_text_axes_are_labelled(tmp_path):
    sweep = tiny_sweep(
        axes=[
            {
                "name": "orientation",
                "path": "crystal.quaternion_xyzw",
                "random_orientations": {"count": 4, "seed": 1},
            },
            {
                "name": "shape",
                "path": "crystal.shape",
                "dim": "orientation",
                "values": ["square", "round", "gauss", "tophat"],
            },
        ]
    )
    stack = xr.open_zarr(create_tiny(tmp_path / "RUN", sweep, panels=2).path)
    assert stack.images.dims == ("orientation", "panel", "slow", "fast")
    assert list(stack.panel.values) == ["p0", "p1"]
    assert list(stack["shape"].values) == ["square", "round", "gauss", "tophat"]
    assert stack["shape"].dims == ("orientation",)
    vectors = [name for name in stack.coords if stack[name].shape == (4, 4)]
    assert len(vectors) == 1
    np.testing.assert_allclose(np.linalg.norm(stack[vectors[0]].values, axis=1), 1.0)


def test_sweep_without_axes_is_one_frame(tmp_path):
    run = create_tiny(tmp_path / "RUN", tiny_sweep(axes=[]))
    assert xr.open_zarr(run.path).images.dims == ("slow", "fast")
    assert run.layout.units == 1


@pytest.mark.spec("STK-6")
def test_inputs_are_kept_by_content_and_found_again(tmp_path):
    source = tmp_path / "table.hkl"
    source.write_text("1 0 0 5.0\n")
    item = identify_input(source)
    plain = tiny_sweep().model_dump(exclude_none=True, mode="json")
    plain["experiment"]["structure_factors"] = {"file": item.reference}
    run = create_tiny(tmp_path / "RUN", sweep_plain=plain, inputs={str(source): item})
    source.unlink()
    stored = open_run(run.path).sweep.experiment.structure_factors.file
    assert Path(stored) == run.path / STATE_DIR / "inputs" / item.sha256 / "table.hkl"
    assert Path(stored).read_text() == "1 0 0 5.0\n"


def test_input_changed_while_copied_is_noticed(tmp_path):
    source = tmp_path / "table.hkl"
    source.write_text("1 0 0 5.0\n")
    item = identify_input(source)
    source.write_text("1 0 0 6.0\n")
    with pytest.raises(InputError, match="changed while"):
        create_tiny(tmp_path / "RUN", inputs={str(source): item})
    assert not (tmp_path / "RUN").exists()


def test_missing_input_names_file_and_field(tmp_path):
    with pytest.raises(InputError, match=r"gone\.hkl: structure_factors\.file: not found"):
        identify_input(tmp_path / "gone.hkl", field="structure_factors.file")


@pytest.mark.spec("STK-6")
def test_moved_run_still_finds_its_inputs(tmp_path):
    source = tmp_path / "a.hkl"
    source.write_text("1 0 0 5.0\n")
    item = identify_input(source)
    plain = tiny_sweep().model_dump(exclude_none=True, mode="json")
    plain["experiment"]["structure_factors"] = {"file": item.reference}
    run = create_tiny(tmp_path / "RUN", sweep_plain=plain, inputs={str(source): item})
    run.path.rename(tmp_path / "MOVED")
    moved = open_run(tmp_path / "MOVED")
    assert Path(moved.sweep.experiment.structure_factors.file).read_text() == "1 0 0 5.0\n"


def test_geometry_attributes_are_those_of_the_experiment(run):
    attrs = xr.open_zarr(run.path).images.attrs
    experiment = tiny_experiment()
    assert attrs["wavelength_angstrom"] == experiment.beam.wavelength
    assert attrs["units"] == "photons"
    assert '"origin_mm": [100.0, -1.0, 1.0]' in attrs["detector_geometry"]


def test_layout_that_disagrees_with_the_plan_is_a_defect(tmp_path, monkeypatch):
    make = create_module.make_layout
    monkeypatch.setattr(
        create_module,
        "make_layout",
        lambda plan, output: dataclasses.replace(make(plan, output), unit_shape=(5, 3)),
    )
    with pytest.raises(AssertionError):
        create_tiny(tmp_path / "RUN")
