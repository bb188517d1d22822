"""The dry run: numbers a user can check by hand."""

from __future__ import annotations

import json

import pytest

from distbragg.models.build import build_experiment
from distbragg.plan.frame import plan_frame
from distbragg.plan.summary import count_tasks, summarize
from distbragg.plan.sweep import plan_sweep
from distbragg.spec.compute import OutputSpec

from .test_frame_plan import small_spec


def test_summary_counts_frames_tasks_steps_and_bytes():
    spec = small_spec(tile=[4, 5], source_chunk=2, frames_per_unit=2)
    experiment = build_experiment(spec)
    plan = plan_sweep((("n", 5),), plan_frame(experiment, spec.compute), spec.compute, spec.output)
    summary = summarize(plan, experiment, spec.compute)
    assert (summary.frames, summary.units, summary.frames_per_unit) == (5, 3, 2)
    assert (summary.tiles, summary.source_chunks, summary.sources) == (9, 3, 5)
    assert summary.tasks == summary.units
    assert summary.oversample == 2
    assert summary.steps == 5 * plan.frame.steps
    assert summary.bytes_on_disk == 5 * 11 * 13 * 4
    assert summary.nominal_seconds == pytest.approx(5 * plan.frame.nominal_seconds)
    assert summary.memory_per_worker == summary.memory.total
    json.dumps(summary.to_plain())


def test_graph_form_counts_tiles_chunks_merges_and_writers():
    spec = small_spec(tile=[4, 5], source_chunk=1, frames_per_unit=1, form="graph")
    experiment = build_experiment(spec)
    frame = plan_frame(experiment, spec.compute)
    plan = plan_sweep((("n", 4),), frame, spec.compute, OutputSpec())
    assert summarize(plan, experiment, spec.compute).form == "graph"
    assert count_tasks(plan, "graph") == 4 * 9 * (5 + 1) + 4
