"""How many units fly, and how often the driver looks."""

from __future__ import annotations

import pytest

from distbragg.graph.window import (
    CAUTION,
    LOOK_S,
    MIN_UNITS,
    MOST_PER_THREAD,
    PER_THREAD,
    PROOF,
    Window,
)


def allowed(window: Window, threads: int) -> int:
    """Count the one-task units that fit."""
    units = 0
    while window.has_room(units, units, threads):
        units += 1
    return units


def hurried(fixed: int | None = None) -> Window:
    """Return a window whose looks all follow each other at once."""
    window = Window(fixed, clock=float, sleep=lambda seconds: None)
    window.rest()
    return window


def look(window: Window, ended: int, in_flight: int, times: int = 1) -> None:
    for _ in range(times):
        window.rest()
        window.took(ended, in_flight)


def test_a_thread_has_one_unit_at_work_and_one_waiting():
    assert allowed(Window(), threads=3) == 3 * PER_THREAD


def test_without_threads_some_units_wait_for_a_worker_to_come():
    assert allowed(Window(), threads=0) == MIN_UNITS


def test_units_of_many_tasks_count_by_their_tasks_but_two_always_fit():
    window = Window()
    assert window.has_room(1, 1000, 2)
    assert not window.has_room(MIN_UNITS, 1000, 2)


def test_a_fixed_window_stays_as_it_is():
    window = hurried(3)
    look(window, 3, 3, times=9)
    assert allowed(window, threads=40) == 3


@pytest.mark.spec("ENG-10")
def test_units_that_end_faster_than_the_looks_fly_in_greater_numbers_up_to_a_bound():
    window = hurried()
    seen = []
    for _ in range(7):
        look(window, 4, 8, times=PROOF)
        seen.append(allowed(window, threads=1))
    assert seen == [4, 8, 16, 32, 32, 32, 32]
    assert seen[-1] == MOST_PER_THREAD


def test_a_few_looks_at_ended_units_prove_nothing():
    window = hurried()
    for _ in range(5):
        look(window, 4, 4, times=PROOF - 1)
        look(window, 1, 4)
    assert allowed(window, threads=1) == PER_THREAD


def test_long_units_that_end_at_the_same_time_do_not_make_it_grow():
    now = [0.0]
    window = Window(clock=lambda: now[0], sleep=lambda seconds: None)
    for _ in range(9):
        now[0] += 2 * LOOK_S
        look(window, 4, 4)
    assert allowed(window, threads=1) == PER_THREAD


def test_after_a_death_few_units_fly_for_some_time():
    window = hurried()
    look(window, 4, 4, times=PROOF)
    window.died()
    for _ in range(CAUTION + PROOF):
        assert allowed(window, threads=1) == PER_THREAD
        look(window, 2, 2)
    assert allowed(window, threads=1) == 2 * PER_THREAD


def test_the_window_shrinks_to_its_usual_size_where_units_become_longer():
    window = hurried()
    look(window, 4, 4, times=2 * PROOF)
    look(window, 1, 9, times=5)
    assert allowed(window, threads=1) == PER_THREAD


def test_looks_at_a_steady_share_change_nothing():
    window = hurried()
    look(window, 4, 4, times=PROOF)
    for ended in (1, 3, 3, 1):
        look(window, ended, 8)
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
