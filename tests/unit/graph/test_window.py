"""How many units fly, and how often the driver looks."""

from __future__ import annotations

import pytest

from distbragg.graph.window import LOOK_S, MIN_UNITS, MOST_PER_THREAD, PER_THREAD, Window


def allowed(window: Window, threads: int) -> int:
    """Count the one-task units that fit."""
    units = 0
    while window.has_room(units, units, threads):
        units += 1
    return units


def test_a_thread_has_one_unit_at_work_and_one_waiting():
    assert allowed(Window(), threads=3) == 3 * PER_THREAD


def test_without_threads_some_units_wait_for_a_worker_to_come():
    assert allowed(Window(), threads=0) == MIN_UNITS


def test_units_of_many_tasks_count_by_their_tasks_but_two_always_fit():
    window = Window()
    assert window.has_room(1, 1000, 2)
    assert not window.has_room(MIN_UNITS, 1000, 2)


def test_a_fixed_window_stays_as_it_is():
    window = Window(3)
    for _ in range(9):
        window.took(3, 3)
    assert allowed(window, threads=40) == 3


@pytest.mark.spec("ENG-10")
def test_units_that_end_faster_than_the_looks_fly_in_greater_numbers_up_to_a_bound():
    window = Window()
    seen = []
    for _ in range(7):
        window.took(2 * 7, 2 * 7)
        seen.append(allowed(window, threads=1))
    assert seen == [4, 8, 16, 32, 32, 32, 32]
    assert seen[-1] == MOST_PER_THREAD


def test_the_window_shrinks_to_its_usual_size_where_units_become_longer():
    window = Window()
    window.took(4, 4)
    window.took(8, 8)
    for _ in range(5):
        window.took(1, 8)
    assert allowed(window, threads=1) == PER_THREAD


def test_looks_at_a_steady_share_change_nothing():
    window = Window()
    window.took(4, 4)
    for ended in (2, 3, 4, 5):
        window.took(ended, 8)
    assert allowed(window, threads=1) == 2 * PER_THREAD


def test_looks_follow_each_other_no_faster_than_the_pace():
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    window = Window(clock=lambda: now[0], sleep=sleep)
    window.rest()
    now[0] += 0.25 * LOOK_S
    window.rest()
    now[0] += 3 * LOOK_S
    window.rest()
    assert [round(seconds / LOOK_S, 6) for seconds in slept] == [0.75]
