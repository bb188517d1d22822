"""Lazy frames: rendered per tile, named by physics, small in the graph."""

from __future__ import annotations

import pickle
from pathlib import Path

import dask
import numpy as np
import pytest

from distbragg.errors import RefusedError
from distbragg.graph.frame import render_frame
from distbragg.graph.lazy import lazy_frame, lazy_sweep
from distbragg.kernel.options import resolve_options
from distbragg.models.build import build_experiment
from distbragg.plan.frame import plan_frame
from distbragg.spec.load import parse_spec
from distbragg.spec.sweep import SweepSpec


def small(**structure_factors: object):
    return parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {"cell": [31, 37, 41, 90, 90, 90], "cells": [5, 6, 7]},
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


def test_blocks_are_tiles_and_pixels_are_those_of_the_frame():
    spec = small()
    array = lazy_frame(spec)
    assert array.chunks == ((1,), (4, 4, 3), (5, 5, 3))
    assert array.dtype == np.float64
    experiment = build_experiment(spec)
    options = resolve_options(spec.compute, 1)
    frame = render_frame(experiment, plan_frame(experiment, spec.compute), options)
    with dask.config.set(scheduler="synchronous"):
        assert array.compute().tobytes() == frame.tobytes()


def test_equal_specs_share_names_and_other_physics_does_not():
    assert lazy_frame(small()).name == lazy_frame(small()).name
    assert lazy_frame(small()).name != lazy_frame(small(default_f_electrons=11.0)).name
    assert lazy_frame(small()).name != lazy_frame(small(), dtype="float32").name


def test_sweep_frames_stand_along_their_own_axes():
    sweep = SweepSpec.model_validate(
        {
            "experiment": small().model_dump(),
            "axes": [
                {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 20.0]},
                {"name": "fudge", "path": "crystal.fudge", "values": [1.0, 2.0, 3.0]},
            ],
        }
    )
    array = lazy_sweep(sweep)
    assert array.shape == (2, 3, 1, 11, 13)
    with dask.config.set(scheduler="synchronous"):
        one = array[1, 2].compute()
        alone = lazy_frame(sweep.frame_spec(5)).compute()
    np.testing.assert_array_equal(one, alone)


def test_graph_carries_no_large_payload(tmp_path: Path):
    path = tmp_path / "f.hkl"
    path.write_text("\n".join(f"{h} {k} 1 {h + k + 1}" for h in range(60) for k in range(60)))
    array = lazy_frame(small(file=str(path)))
    assert len(pickle.dumps(array.dask)) < 50_000


def test_input_file_that_changed_is_noticed(tmp_path: Path):
    path = tmp_path / "f.hkl"
    path.write_text("1 2 3 100\n2 2 3 50\n")
    array = lazy_frame(small(file=str(path)))
    path.write_text("1 2 3 100\n2 2 3 51\n")
    with dask.config.set(scheduler="synchronous"), pytest.raises(RefusedError, match="changed"):
        array.compute()
