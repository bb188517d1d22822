"""Rows of the fault table at a small size; `make chaos` runs them at theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.chaos import (
    deaths,
    disk,
    endurance,
    inputs,
    machine,
    poison,
    workers,
)
from tests.chaos.table import Row, summary
from tests.chaos.work import POINTS


def check(row: Row) -> None:
    if row.skipped:
        pytest.skip(row.skipped)
    assert row.holds, [figure for figure in row.figures if not figure.holds]


@pytest.mark.cluster
@pytest.mark.slow
def test_a_killed_worker_costs_no_unit_and_no_bit(tmp_path: Path) -> None:
    check(deaths.workers_die(tmp_path, "kill", units=12, rounds=1, workers=2))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["inside-object", "after-rename", "inside-receipt"])
def test_death_while_a_unit_is_stored_leaves_no_lie_and_no_litter(
    tmp_path: Path, point: str
) -> None:
    assert point in POINTS
    check(deaths.dies_at_points(tmp_path, points=(point,), places=("serial",)))


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.spec("ENG-24")
def test_one_bad_worker_costs_no_unit_and_is_named(tmp_path: Path) -> None:
    check(workers.one_worker_is_bad(tmp_path, units=40, workers=3, limit_s=2.0))


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.spec("ENG-24")
def test_where_no_worker_can_serve_the_run_is_refused_in_one_line(tmp_path: Path) -> None:
    check(workers.no_worker_can_serve(tmp_path, ("absent",)))


def test_failing_writes_leave_no_receipt_without_its_object(tmp_path: Path) -> None:
    check(disk.writes_fail(tmp_path, units=60, place="serial"))


def test_a_full_disk_stops_the_run_which_continues_once_there_is_space(tmp_path: Path) -> None:
    check(disk.disk_full(tmp_path, units=60, place="serial"))


@pytest.mark.spec("ENG-19")
def test_units_that_raise_or_never_end_are_set_aside(tmp_path: Path) -> None:
    check(poison.units_misbehave(tmp_path, ("raise", "loop"), 12, "serial", limit_s=0.5))


def test_every_damaged_object_is_found_and_rendered_again(tmp_path: Path) -> None:
    check(poison.objects_are_damaged(tmp_path, units=12, rounds=1))


def test_no_order_of_events_breaks_a_promise(tmp_path: Path) -> None:
    check(machine.break_in_any_order(tmp_path, examples=5, steps=12))


def test_damaged_inputs_end_in_a_value_or_one_line(tmp_path: Path) -> None:
    check(inputs.damaged_inputs(tmp_path, inputs=120, names=("mtz", "specification")))


def test_a_large_run_is_scanned_without_rendering(tmp_path: Path) -> None:
    check(endurance.million_frames(tmp_path, 6_000, 600, stages=("create", "fill", "scan")))


def test_a_row_fails_by_any_figure_and_by_none() -> None:
    row = Row("fault")
    assert row.verdict == "FAILS"
    row.at_most("a", 1.0, 2.0)
    assert row.verdict == "holds"
    row.same_bits({0: "x"}, {0: "y"})
    assert row.verdict == "FAILS"
    assert "Rows that fail: fault." in summary([row])
    assert Row("other", skipped="why").verdict == "not run"


def test_figures_of_any_kind_of_number_go_into_the_record() -> None:
    row = Row("fault")
    row.at_most("slope", np.float64(0.25), np.float64(1.0))
    assert json.loads(json.dumps(row.to_plain()))["figures"][0]["holds"] is True
