"""A tiny experiment and empty runs made from it; nothing here renders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.models.beam import Beam, Sources
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector, Panel, SensorLayers
from distbragg.models.experiment import Background, Experiment, Noise, Sampling
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import plan_frame
from distbragg.plan.sweep import plan_sweep
from distbragg.spec.canonical import to_plain
from distbragg.spec.sweep import SweepSpec
from distbragg.store.create import create_run, make_manifest
from distbragg.store.run_directory import RunDirectory

SHAPE = (11, 7)
CLASS = {"device": "cpu", "kernel": "none", "precision": "float64"}
PROVENANCE = {"distbragg": "0.1.0", "packages": {"numpy": "2"}, "commit": "", "created": "today"}


def tiny_experiment(panels: int = 1, shape: tuple[int, int] = SHAPE) -> Experiment:
    axes = np.eye(3)
    sensor = SensorLayers(
        absorbs=False,
        attenuation=0.0,
        position=frozen_float64([0.0]),
        front=frozen_float64([0.0]),
        back=frozen_float64([0.0]),
    )
    active = np.ones(shape, dtype=bool)
    made = [
        Panel(
            name=f"p{number}",
            shape=shape,
            pixels=shape,
            pixel_size=1e-4,
            origin=frozen_float64([0.1, -1e-3, 1e-3]),
            fast=frozen_float64(axes[2]),
            slow=frozen_float64(-axes[1]),
            normal=frozen_float64(axes[0]),
            close_distance=0.1,
            distance=0.1,
            surface="flat",
            point_pixel=False,
            sensor=sensor,
            active=active,
        )
        for number in range(panels)
    ]
    sources = Sources(
        direction=frozen_float64([[-1.0, 0.0, 0.0]]),
        wavelength=frozen_float64([1.0]),
        weight=frozen_float64([1.0]),
        total_weight=1.0,
        listed=1,
        rule="count",
    )
    return Experiment(
        physics="exact",
        beam=Beam(
            sources=sources,
            wavelength=1.0,
            direction=frozen_float64([1.0, 0.0, 0.0]),
            fluence=1e24,
            polarized=True,
            kahn_factor=0.0,
            polarization_axis=frozen_float64([0.0, 1.0, 0.0]),
        ),
        crystal=Crystal(
            real_space=frozen_float64(50 * axes),
            reciprocal=frozen_float64(axes / 50),
            cell=frozen_float64([50, 50, 50, *[math.pi / 2] * 3]),
            cells=frozen_float64([5, 5, 5]),
            shape="square",
            fudge=1.0,
            spot_form=frozen_float64(25 * axes),
            mosaic_spread=0.0,
            mosaic_rotations=frozen_float64([axes]),
            phi=frozen_float64([0.0]),
            spindle_axis=frozen_float64([0.0, 0.0, 1.0]),
        ),
        reflections=Reflections(
            amplitude=frozen_float64(np.zeros((0, 0, 0))),
            origin=(0, 0, 0),
            default_amplitude=100.0,
            interpolate=False,
        ),
        detector=Detector(panels=tuple(made)),
        sampling=Sampling(
            oversample=1,
            dmin=0.0,
            per_sample_polarization=True,
            per_sample_solid_angle=True,
            per_sample_capture=True,
        ),
        background=Background(
            molecules=0.0, stol=frozen_float64([0.0]), amplitude=frozen_float64([0.0])
        ),
        noise=Noise(photon=False, seed=0),
    )


def tiny_sweep(**changes: Any) -> SweepSpec:
    """Five spindle angles by three mosaic spreads, two frames to a unit."""
    plain: dict[str, Any] = {
        "experiment": {
            "title": "tiny",
            "crystal": {"cell": [50, 50, 50, 90, 90, 90], "block_cells": [5, 5, 5]},
            "compute": {"frames_per_unit": 2, **changes.pop("compute", {})},
            "output": changes.pop("output", {}),
            "noise": changes.pop("noise", {}),
        },
        "axes": [
            {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0, 3.0, 4.0]},
            {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.2, 0.3]},
        ],
    }
    plain.update(changes)
    return SweepSpec.model_validate(plain)


def create_tiny(
    path: Path, sweep: SweepSpec | None = None, panels: int = 1, **changes: Any
) -> RunDirectory:
    sweep = sweep or tiny_sweep()
    experiment = tiny_experiment(panels)
    compute, output = sweep.experiment.compute, sweep.experiment.output
    arguments: dict[str, Any] = {
        "sweep_plain": to_plain(sweep),
        "plan": plan_sweep(sweep.dims, plan_frame(experiment, compute), compute, output),
        "physics_hash": "f" * 64,
        "numeric_class": CLASS,
        "provenance": PROVENANCE,
    }
    inputs = changes.pop("inputs", {})
    manifest = make_manifest(**{**arguments, **changes})
    return create_run(
        path, manifest, coordinates=sweep.coordinates(), experiment=experiment, inputs=inputs
    )


def frames_of(run: RunDirectory, unit: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Reproducible pixels for a unit: (frames, panels, slow, fast) float64."""
    layout = run.layout
    shape = (layout.frame_count(unit), layout.panels, *layout.shape)
    return np.random.default_rng([seed, unit]).gamma(1.0, 10.0, shape)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create_tiny(tmp_path / "RUN")
