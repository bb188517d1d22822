"""The pieces between specification, plan, graph and store."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
import yaml

import distbragg as db
from distbragg.errors import InputError, PlanError
from distbragg.kernel import native
from distbragg.plan.memory import predict_peak_bytes
from distbragg.run import place as place_module
from distbragg.run import prepare as prepare_module
from distbragg.run.place import choose_cluster, fitting_workers
from distbragg.run.prepare import as_experiment, as_sweep
from distbragg.run.resume import rebuild_plan
from distbragg.spec.cluster import LocalClusterSpec

ROOT = Path(__file__).parents[3]

EXPERIMENT = {
    "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
    "crystal": {"cell": [50, 60, 70, 90, 90, 90], "block_cells": [5, 5, 5]},
    "structure_factors": {"default_f_electrons": 100.0},
    "detector": {"distance_mm": 100.0, "pixel_size_mm": 0.1, "pixels_fast": 9, "pixels_slow": 5},
    "sampling": {"oversample": 1},
    "compute": {"kernel": "model", "tile": [3, 4]},
}
AXES = [{"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0]}]


@pytest.fixture
def sweep():
    return db.SweepSpec.model_validate({"experiment": EXPERIMENT, "axes": AXES})


@pytest.fixture
def spec(sweep):
    return sweep.frame_spec(1)


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, distbragg; dir(distbragg); "
        "names = ('torch', 'dask', 'xarray', 'zarr', 'pydantic', 'numpy'); "
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_planning_loads_neither_torch_nor_dask_nor_zarr(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    code = (
        f"import sys, distbragg; distbragg.dry_run({str(path)!r}); "
        "print([m for m in ('torch', 'dask', 'distributed', 'xarray', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not native.available(), reason=native.reason() or "no compiler")
def test_noisy_frames_of_the_native_kernel_load_no_torch(tmp_path):
    path = tmp_path / "experiment.yaml"
    noisy = EXPERIMENT | {"noise": {"photon": True}, "compute": {"kernel": "native"}}
    path.write_text(yaml.safe_dump(noisy))
    code = (
        "import sys; from distbragg.cli.main import main; "
        f"main(['render', {str(path)!r}, '-o', {str(tmp_path / 'out.zarr')!r}]); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_every_public_name_can_be_had():
    for name in db.__all__:
        assert getattr(db, name) is not None
    assert callable(db.dry_run)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = db.nothing


def test_version_is_that_of_the_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert db.__version__ == project["version"]


def test_one_experiment_is_a_sweep_of_one_frame(spec):
    assert as_sweep(spec).frames == 1
    assert as_experiment(as_sweep(spec)) == spec


def test_sweep_where_one_experiment_is_needed_is_bad_input(sweep):
    with pytest.raises(InputError, match="sweep of 3 frames"):
        db.render(sweep)


def test_overrides_need_a_file(spec, tmp_path):
    with pytest.raises(InputError, match="overrides"):
        as_sweep(spec, ["beam.wavelength_angstrom=2"])
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    changed = as_sweep(path, ["beam.wavelength_angstrom=2"])
    assert changed.experiment.beam.wavelength_angstrom == 2.0


@pytest.mark.parametrize(("precision", "dtype"), [("mixed", "float32"), ("float64", "float64")])
def test_rendered_type_follows_the_precision(spec, precision, dtype):
    compute = spec.compute.model_copy(update={"precision": precision})
    frame = db.render(spec.model_copy(update={"compute": compute}))
    assert isinstance(frame, xr.Dataset)
    assert frame.images.dtype == dtype
    assert frame.images.dims == ("slow", "fast")
    assert frame.images.shape == (5, 9)


@pytest.mark.spec("STK-40")
@pytest.mark.parametrize("kernel", ["native", "model"])
@pytest.mark.parametrize(
    "change", ["beam.fluence_photons_per_m2=1e99", "structure_factors.default_f_electrons=1e36"]
)
def test_pixels_beyond_the_type_hold_its_largest_value_unless_that_is_an_error(
    tmp_path, change, kernel, caplog
):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    frame = db.render(path, [change, f"compute.kernel={kernel}"])
    assert frame.images.max() == np.finfo("f4").max
    assert "45 of 45 pixels are beyond float32" in caplog.text
    with pytest.raises(InputError, match=r"beyond float32, and output\.overflow is error"):
        db.render(path, [change, f"compute.kernel={kernel}", "output.overflow=error"])


def test_rendered_frame_carries_its_provenance(spec):
    frame = db.render(spec)
    stored = json.loads(frame.attrs["distbragg_spec"])
    assert db.SweepSpec.model_validate(stored).experiment == spec
    assert len(frame.attrs["distbragg_physics_hash"]) == 64
    assert frame.images.attrs["units"] == "photons"


def test_lazy_sweep_renders_nothing_until_asked_and_then_the_same(sweep, monkeypatch):
    def forbidden(**kwargs):
        raise AssertionError("rendered before it was asked for")

    with monkeypatch.context() as patch:
        patch.setattr("distbragg.engine.lazy._render_block", forbidden)
        lazy = db.render(sweep, lazy=True)
        assert lazy.dims == ("phi", "slow", "fast")
    lazy = db.render(sweep, lazy=True)
    with dask.config.set(scheduler="synchronous"):
        for frame in range(3):
            expected = db.render(sweep.frame_spec(frame)).images
            np.testing.assert_array_equal(lazy[frame], expected)


def test_lazy_sweep_over_vectors_renders_each_frame():
    axes = [{"name": "turn", "random_orientations": {"count": 2, "seed": 1}}]
    sweep = db.SweepSpec.model_validate({"experiment": EXPERIMENT, "axes": axes})
    lazy = db.render(sweep, lazy=True)
    assert lazy.dims == ("turn", "slow", "fast")
    with dask.config.set(scheduler="synchronous"):
        expected = db.render(sweep.frame_spec(1)).images
        np.testing.assert_array_equal(lazy[1], expected)


def test_tiles_are_told_as_they_are_done(spec):
    told = []
    db.render(spec, threads=1, on_tile=lambda done, total: told.append((done, total)))
    assert told == [(i + 1, 6) for i in range(6)]


def test_plan_refuses_what_memory_or_disk_cannot_hold(sweep, tmp_path, monkeypatch):
    assert db.dry_run(sweep, out=tmp_path / "RUN").frames == 3
    with monkeypatch.context() as small:
        small.setattr(prepare_module, "memory_bytes", lambda: 1 << 26)
        with pytest.raises(PlanError, match="memory"):
            db.dry_run(sweep)
    monkeypatch.setattr(prepare_module, "free_disk_bytes", lambda path: 10)
    assert db.dry_run(sweep).frames == 3
    with pytest.raises(PlanError, match="disk"):
        db.dry_run(sweep, out=tmp_path / "RUN")


@pytest.mark.parametrize(
    ("cluster", "workers", "units", "cost", "cores", "kind"),
    [
        ("serial", 4, 100, 1e6, 8, None),
        ("local:3", None, 1, 0.1, 8, "local"),
        ("tcp://127.0.0.1:8786", None, 1, 0.1, 8, "address"),
        (LocalClusterSpec(), None, 1, 0.1, 8, "local"),
        (None, 4, 100, 0.1, 8, "local"),
        (None, 1, 100, 1e6, 8, None),
        (None, None, 100, 1e6, 8, "local"),
        (None, None, 100, 1e6, 1, None),
        (None, None, 1, 1e6, 8, None),
        (None, None, 100, 1.0, 8, None),
    ],
)
def test_place_is_the_one_asked_for_or_the_one_that_pays(
    monkeypatch, cluster, workers, units, cost, cores, kind
):
    monkeypatch.setattr(place_module, "usable_cores", lambda: cores)
    chosen = choose_cluster(cluster, None, workers, units, cost)
    assert (chosen.kind if chosen else None) == kind


def test_no_more_workers_than_memory_holds(sweep, tmp_path, monkeypatch, caplog):
    run = db.create(sweep, tmp_path / "RUN")
    plan = rebuild_plan(run)
    one = predict_peak_bytes(plan, grid_points=run.manifest.summary["grid_points"]).total
    monkeypatch.setattr(place_module, "memory_bytes", lambda: one * 5 // 2)
    assert fitting_workers(run, plan, 8, warn=True) == 2
    assert "starting 2 workers, not 8" in caplog.text
    monkeypatch.setattr(prepare_module, "memory_bytes", lambda: one - 1)
    with pytest.raises(PlanError, match="memory"):
        fitting_workers(run, plan, 8, warn=True)


def test_creating_needs_every_input_file(tmp_path):
    plain = {**EXPERIMENT, "structure_factors": {"file": str(tmp_path / "gone.hkl")}}
    with pytest.raises(InputError, match=r"gone\.hkl"):
        db.create(db.ExperimentSpec.model_validate(plain), tmp_path / "RUN")
    assert list(tmp_path.iterdir()) == []


def test_no_package_takes_the_name_of_a_public_function():
    folder = Path(db.__file__).parent
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert not packages & set(db.__all__)


def test_a_plan_for_a_cluster_is_not_held_to_the_memory_of_this_machine(sweep, monkeypatch):
    monkeypatch.setattr("distbragg.run.prepare.memory_bytes", lambda: 10**9)
    summary = db.dry_run(sweep, workers=500)
    assert summary.units < 500
    assert any("500 workers need" in note.text for note in summary.notes)
    assert not any("workers need" in note.text for note in db.dry_run(sweep).notes)
