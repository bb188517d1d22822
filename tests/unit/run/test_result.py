"""Failures of a run, told by their causes."""

from __future__ import annotations

from distbragg.run.result import SHOWN_CAUSES, failure_lines, failure_rows


def test_units_that_failed_for_one_cause_are_one_line() -> None:
    failures = {unit: f"ValueError: {unit + 70000} photons" for unit in range(40)}
    failures[99] = "OSError: disk"
    assert failure_lines("failed", failures) == [
        "failed: 40 units (0, 1, 2, ...): ValueError: 70000 photons",
        "failed: unit 99: OSError: disk",
    ]
    assert failure_rows(failures) == [
        ("failed 40 units (0, 1, 2, ...)", "ValueError: 70000 photons"),
        ("failed unit 99", "OSError: disk"),
    ]


def test_many_causes_are_cut_short_and_counted() -> None:
    failures = {unit: f"KeyError: {chr(97 + unit)}" for unit in range(SHOWN_CAUSES + 5)}
    assert len(failure_lines("failed", failures)) == SHOWN_CAUSES + 1
    assert failure_lines("failed", failures)[-1] == "failed: for 5 more causes"
    assert failure_rows(failures)[-1] == ("failed units", "15 in all; --json lists them")
