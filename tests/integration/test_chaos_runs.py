"""Rows of the fault table about runs as their users hold them, at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import mending, pairs, power
from tests.chaos.table import Row


def check(row: Row) -> None:
    if row.skipped:
        pytest.skip(row.skipped)
    assert row.holds, [figure for figure in row.figures if not figure.holds]


@pytest.mark.slow
def test_a_power_cut_leaves_a_run_that_resumes(tmp_path: Path) -> None:
    check(power.power_fails(tmp_path, points=2))


@pytest.mark.slow
def test_two_commands_on_one_run_lose_nothing(tmp_path: Path) -> None:
    check(pairs.commands_meet(tmp_path, trials=4))


@pytest.mark.slow
def test_a_repair_that_dies_loses_nothing_that_is_sound(tmp_path: Path) -> None:
    check(mending.repair_dies(tmp_path, kills=4))


def test_a_disputed_unit_leaves_the_rest_of_its_run_in_use(tmp_path: Path) -> None:
    check(mending.disputed(tmp_path))


@pytest.mark.slow
def test_no_command_follows_a_link_or_reads_a_special_file(tmp_path: Path) -> None:
    check(mending.links(tmp_path, share=4))
