"""The frame a sweep is planned for: the heaviest, wherever it lies on the axes."""

from __future__ import annotations

import pytest

import distbragg as db
from distbragg.engine.events import RunStarted
from distbragg.models.build import build_experiment
from distbragg.run.create import create
from distbragg.run.prepare import prepare
from distbragg.run.survey import MAX_SAMPLES, sampled
from distbragg.spec.load import parse_sweep

BASE = {
    "crystal": {"cell": [30, 30, 30, 90, 90, 90], "block_cells": [5, 5, 5]},
    "beam": {"wavelength_angstrom": 1.0},
    "structure_factors": {"default_f_electrons": 10},
    "detector": {"pixels_fast": 13, "pixels_slow": 11, "pixel_size_mm": 1.0},
    "sampling": {"oversample": 1},
}


def sweep_over(*axes: dict) -> db.SweepSpec:
    return parse_sweep({"experiment": BASE, "axes": list(axes)})


@pytest.mark.spec("ENG-15")
def test_the_plan_is_that_of_the_heaviest_frame_and_totals_are_exact_for_short_axes():
    spec = sweep_over(
        {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.0, 0.5, 0.0]},
        {"name": "fine", "path": "sampling.oversample", "values": [1, 3]},
    )
    prepared = prepare(spec)
    assert prepared.plan.frame.steps == 13 * 11 * 10 * 9
    by_frame = [domains * fine for domains in (1, 10, 1) for fine in (1, 9)]
    assert prepared.plan.mean_frame_steps * 6 == 13 * 11 * sum(by_frame)
    assert prepared.experiment.sampling.oversample == 1
    assert prepared.heaviest.sampling.oversample == 3


def test_axes_that_cost_nothing_leave_the_first_frame_and_its_plan():
    prepared = prepare(sweep_over({"name": "o", "random_orientations": {"count": 40, "seed": 3}}))
    assert prepared.heaviest is prepared.experiment
    assert prepared.plan.mean_share == 1.0


def test_long_axes_are_sampled_at_both_ends():
    positions = sampled(10**6)
    assert (positions[0], positions[-1]) == (0, 10**6 - 1)
    assert len(set(positions)) == MAX_SAMPLES
    assert sampled(5) == (0, 1, 2, 3, 4)


def test_a_rendered_sweep_of_unequal_frames_adds_up(tmp_path):
    spec = sweep_over({"name": "d", "path": "sampling.oversample", "values": [2, 1, 3]})
    result = db.sweep(spec, tmp_path / "run.zarr", cluster="serial")
    assert result.done == 3
    assert db.resume(tmp_path / "run.zarr", cluster="serial").rendered == 0


@pytest.mark.spec("ENG-32")
def test_between_create_and_first_unit_each_frame_is_resolved_once(tmp_path, monkeypatch):
    spec = sweep_over(
        {"name": "o", "random_orientations": {"count": 40, "seed": 3}},
        {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.0, 0.5, 0.2]},
        {"name": "d", "path": "detector.distance_mm", "values": [100, 110, 120, 130]},
    )
    looked = []

    def counted(spec, **options):
        looked.append(options.get("frame", 0))
        return build_experiment(spec, **options)

    monkeypatch.setattr("distbragg.run.survey.build_experiment", counted)
    run = create(spec, tmp_path / "run.zarr")
    assert len(looked) == len(set(looked)) == 15 + 2 + 3
    looked.clear()

    class Enough(Exception):
        pass

    def first_unit(event):
        if isinstance(event, RunStarted):
            raise Enough

    for started in (run, run.path):
        with pytest.raises(Enough):
            db.resume(started, cluster="serial", on_event=first_unit)
    assert looked == []
