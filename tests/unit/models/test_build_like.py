"""A frame resolved beside its neighbour is the frame resolved alone."""

from __future__ import annotations

import pytest

from distbragg.models.build import Resolved, build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.plan.frame import plan_frame, shares_plan
from distbragg.spec.sweep import SweepSpec

BASE = {
    "crystal": {
        "cell": [70, 80, 90, 90, 100, 90],
        "block_cells": [5, 6, 7],
        "mosaic": {"spread_deg": 0.4, "domains": 5},
    },
    "structure_factors": {"default_f_electrons": 100.0},
    "detector": {"distance_mm": 100, "pixel_size_mm": 0.5, "pixels_fast": 13, "pixels_slow": 17},
    "beam": {"wavelength_angstrom": 1.0},
}
AXES = [
    ({"random_orientations": {"count": 4, "seed": 3}}, True, True),
    ({"path": "crystal.mosaic.seed", "values": [1, 2, -3, -3]}, True, True),
    ({"path": "crystal.mosaic.domains", "values": [3, 4, 5, 5]}, True, False),
    ({"path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0, 3.0]}, True, True),
    ({"path": "beam.wavelength_angstrom", "values": [1.0, 1.1, 1.2, 1.3]}, False, False),
    ({"path": "detector.distance_mm", "values": [100, 101, 102, 103]}, False, False),
    ({"path": "sampling.oversample", "values": [1, 2, 3, 4]}, True, False),
    ({"path": "noise.photon", "values": [False, True, False, True]}, True, False),
]


def frames_of(axis, physics):
    plain = {"experiment": {**BASE, "physics": physics}, "axes": [{"name": "axis", **axis}]}
    sweep = SweepSpec.model_validate(plain)
    return [sweep.frame_spec(index) for index in range(sweep.frames)]


@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
@pytest.mark.parametrize(("axis", "geometry", "plan"), AXES)
def test_a_neighbour_changes_nothing_but_what_is_made_anew(axis, geometry, plan, physics):
    latest = None
    for index, spec in enumerate(frames_of(axis, physics)):
        alone = build_experiment(spec, frame=index)
        beside = build_experiment(spec, frame=index, like=latest)
        assert physics_hash(beside) == physics_hash(alone)
        if latest is not None:
            assert (beside.detector is latest.experiment.detector) == geometry
            if shares_plan(beside, latest.experiment):
                compute = spec.compute
                assert plan_frame(beside, compute) == plan_frame(latest.experiment, compute)
            elif index == 1:
                assert not plan
        latest = Resolved(spec, beside)


def test_domains_drawn_per_frame_differ_from_frame_to_frame():
    mosaic = {**BASE["crystal"]["mosaic"], "per_frame": True}
    experiment = {**BASE, "crystal": {**BASE["crystal"], "mosaic": mosaic}}
    spec = SweepSpec.model_validate({"experiment": experiment}).experiment
    first = build_experiment(spec, frame=0)
    second = build_experiment(spec, frame=1, like=Resolved(spec, first))
    rotations = second.crystal.mosaic_rotations
    assert (rotations != first.crystal.mosaic_rotations).any()
    assert physics_hash(second) == physics_hash(build_experiment(spec, frame=1))
