"""The workloads: their steps, their inputs, and how they are changed."""

from __future__ import annotations

import math

import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.plan.frame import plan_frame
from distbragg.run.bench import (
    INPUT_FILE,
    How,
    check_inputs,
    find_workload,
    load_workloads,
    make_inputs,
    prepare,
    repeats_for,
    time_workload,
)
from distbragg.spec.nanobragg import parse_nanobragg


@pytest.fixture(scope="module")
def few_inputs(tmp_path_factory):
    """A reflection list of a few lines, where its content does not matter."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / INPUT_FILE).write_text("0 0 1 10\n0 0 -1 10\n1 2 3 20\n-1 -2 -3 20\n")
    return folder


@pytest.mark.parametrize("name", list(load_workloads()))
def test_steps_of_a_workload_are_those_its_plan_counts(name, few_inputs):
    workload = find_workload(name)
    spec = parse_nanobragg(workload.arguments, base_dir=few_inputs).spec
    assert plan_frame(build_experiment(spec), spec.compute).steps == workload.steps


def test_unknown_workload_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="mosaic_still"):
        find_workload("mosaic_stil")


def test_folder_without_the_reflection_list_is_refused(tmp_path):
    with pytest.raises(InputError, match="make-inputs"):
        check_inputs(tmp_path)


def test_changed_flags_replace_or_add_and_leave_the_original_alone():
    workload = find_workload("mosaic_still")
    changed = workload.with_arguments("other", {"-detpixels": 64, "-dispsteps": 3}, 7)
    assert changed.argument("-detpixels") == "64"
    assert changed.argument("-dispsteps") == "3"
    assert workload.argument("-detpixels") == "1024"
    assert (changed.name, changed.steps) == ("other", 7)


def test_made_reflection_list_is_friedel_symmetric_to_its_resolution(tmp_path):
    path = make_inputs(tmp_path / "new")
    rows = [line.split() for line in path.read_text().splitlines()]
    table = {(int(h), int(k), int(ell)): value for h, k, ell, value in rows}
    assert len(table) == len(rows) == 144_629
    assert all(table[-h, -k, -ell] == value for (h, k, ell), value in table.items())
    finest = max(math.hypot(h / 79.1, k / 79.1, ell / 38.0) for h, k, ell in table)
    assert 0.999 / 1.9 < finest <= 1 / 1.9


def test_timing_reports_the_steps_and_options_that_were_rendered(few_inputs):
    small = find_workload("mosaic_still").with_arguments("small", {"-detpixels": 13}, 0)
    ready = prepare(small, few_inputs, How(1, "float64", "model", "cpu"))
    timing = time_workload(ready, repeats=2)
    assert list(timing.plain()) == [
        "workload",
        "steps",
        "seconds",
        "steps_per_s",
        "kernel",
        "device",
        "threads",
        "precision",
    ]
    assert timing.steps == 13 * 13 * 25
    assert (timing.kernel, timing.precision, timing.device, timing.threads) == (
        "model",
        "float64",
        "cpu",
        1,
    )
    assert timing.steps_per_s == timing.steps / timing.seconds
    assert timing.image.shape == (13, 13)


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 15), (0.5, 6), (100.0, 3)])
def test_repeats_fill_a_few_seconds_within_bounds(seconds, count):
    assert repeats_for(seconds) == count
