"""Lazy frames: rendered as a run renders them, named by physics, small in the graph."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from dask.base import tokenize

import distbragg as db
from distbragg.engine import context, lazy
from distbragg.errors import RefusedError
from distbragg.kernel.options import resolve_options
from distbragg.models.build import build_experiment
from distbragg.plan.frame import plan_frame
from distbragg.rendering.frame import render_frame
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec
from distbragg.spec.sweep import SweepSpec

pytestmark = pytest.mark.spec("ENG-31")


def small(**structure_factors: object) -> ExperimentSpec:
    return parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
            "structure_factors": {"default_f_electrons": 10.0, **structure_factors},
            "detector": {
                "distance_mm": 60,
                "pixel_size_mm": 2.0,
                "pixels_fast": 13,
                "pixels_slow": 11,
            },
            "compute": {"tile": [4, 5], "precision": "float64"},
        }
    )


def turned(count: int, **structure_factors: object) -> SweepSpec:
    axis = {"name": "turn", "random_orientations": {"count": count, "seed": 1}}
    return SweepSpec.model_validate(
        {"experiment": small(**structure_factors).model_dump(), "axes": [axis]}
    )


def array_of(spec: ExperimentSpec | SweepSpec) -> da.Array:
    array: da.Array = db.render(spec, lazy=True).data
    return array


def reference(spec: ExperimentSpec) -> np.ndarray:
    options = resolve_options(spec.compute, 1)
    return render_frame(
        build_experiment(spec), plan_frame(build_experiment(spec), spec.compute), options
    )[0]


def test_blocks_are_frames_and_pixels_are_those_of_the_frame() -> None:
    array = array_of(small())
    assert array.chunks == ((11,), (13,))
    assert array.dtype == np.float64
    with dask.config.set(scheduler="synchronous"):
        assert array.compute().tobytes() == reference(small()).tobytes()


def test_frame_of_many_seconds_is_cut_into_tiles_of_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy, "BLOCK_SECONDS", 1e-9)
    array = array_of(turned(2))
    assert array.chunks == ((1, 1), (4, 4, 3), (5, 5, 3))
    with dask.config.set(scheduler="synchronous"):
        assert array[1].compute().tobytes() == reference(turned(2).frame_spec(1)).tobytes()


def test_blocks_of_several_frames_hold_each_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distbragg.plan.sweep.WISHED_UNITS", 2)
    axes = [
        {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 20.0, 30.0, 45.0, 50.0]},
        {"name": "fudge", "path": "crystal.fudge", "values": [1.0, 2.0]},
    ]
    sweep = SweepSpec.model_validate({"experiment": small().model_dump(), "axes": axes})
    array = array_of(sweep)
    assert max(array.chunks[0]) > 1
    with dask.config.set(scheduler="synchronous"):
        found = array.compute()
    for frame in range(10):
        expected = reference(sweep.frame_spec(frame))
        np.testing.assert_array_equal(found[divmod(frame, 2)], expected)


def test_equal_specs_share_names_and_other_physics_does_not() -> None:
    assert array_of(small()).name == array_of(small()).name
    assert array_of(small()).name != array_of(small(default_f_electrons=11.0)).name


def test_graph_carries_no_large_payload(tmp_path: Path) -> None:
    path = tmp_path / "f.hkl"
    path.write_text("\n".join(f"{h} {k} 1 {h + k + 1}" for h in range(60) for k in range(60)))
    assert len(pickle.dumps(array_of(small(file=str(path))).dask)) < 50_000


def test_structure_factors_are_read_once_for_all_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.hkl"
    path.write_text("1 2 3 100\n2 2 3 50\n")
    array = array_of(turned(6, file=str(path)))
    read: list[str] = []
    original = lazy.build_reflections

    def counted(spec: ExperimentSpec) -> object:
        read.append("once")
        return original(spec)

    def forbidden(spec: ExperimentSpec) -> None:
        raise AssertionError("read for a frame of its own")

    monkeypatch.setattr(lazy, "build_reflections", counted)
    monkeypatch.setattr("distbragg.models.build.build_reflections", forbidden)
    monkeypatch.setattr(context, "build_reflections", forbidden)
    array.compute(scheduler="threads", num_workers=2)
    assert read == ["once"]


def test_input_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "f.hkl"
    path.write_text("1 2 3 100\n2 2 3 50\n")
    array = array_of(small(file=str(path)))
    path.write_text("1 2 3 100\n2 2 3 51\n")
    with dask.config.set(scheduler="synchronous"), pytest.raises(RefusedError, match="changed"):
        array.compute()


def test_equal_specifications_have_one_name_in_dask_in_every_process() -> None:
    sweep = turned(3)
    again = SweepSpec.model_validate(sweep.model_dump())
    assert tokenize(sweep) == tokenize(again) != tokenize(turned(4))
    assert tokenize(sweep.frame_spec(1)) == tokenize(again.frame_spec(1))
    copied = sweep.experiment.model_copy(update={"title": sweep.experiment.title})
    assert tokenize(copied) == tokenize(sweep.experiment)
    code = (
        "from dask.base import tokenize; from tests.unit.engine.test_lazy import turned;"
        "print(tokenize(turned(3)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == tokenize(sweep)
