"""Rates and estimates, with a clock that the test moves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from distbragg.engine.events import RunStarted, UnitFinished, UnitRetried, failure_kind
from distbragg.engine.progress import (
    PROCESSES_KEPT,
    RECENT_S,
    RECENT_STEP_S,
    RECENT_UNITS,
    RunProgress,
)
from distbragg.engine.work import UnitOutcome


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def done(unit, **receipt):
    return UnitFinished(UnitOutcome(unit, "done", 1, receipt), cost=1.0)


def failed(unit, reason):
    return UnitFinished(UnitOutcome(unit, "failed", 3, {}, reason))


def busy(start, end, kernel, pid=1):
    """What a receipt says of a unit that took from `start` to `end`, a fifth of it to store."""
    seconds = end - start
    return {
        "host": "a",
        "pid": pid,
        "time": end,
        "render_seconds": 0.8 * seconds,
        "write_seconds": 0.2 * seconds,
        "kernel_seconds": kernel,
        "frames": 1,
    }


@pytest.mark.spec("WAT-1")
def test_time_left_is_weighted_by_planned_cost():
    clock = Clock()
    started = RunStarted(2, 10, 100.0, 2)
    tracker = RunProgress(started, clock)
    assert math.isinf(tracker.eta_s)
    assert tracker.frames_per_s == 0
    clock.now += 10
    tracker(replace(done(0, steps=700), cost=40.0))
    assert tracker.eta_s == pytest.approx(15.0)
    assert tracker.frames_per_s == pytest.approx(0.1)
    assert tracker.steps_per_s == pytest.approx(70)
    tracker(replace(done(1), frames=9, cost=60.0))
    assert tracker.eta_s == 0


def test_rates_are_those_of_late():
    clock = Clock()
    tracker = RunProgress(RunStarted(1000, 1000, 1000.0, 1), clock)
    for unit in range(20):
        clock.now += RECENT_S
        tracker(done(unit))
    for unit in range(20, 120):
        clock.now += 1.5 * RECENT_S / 100
        tracker(done(unit))
    assert tracker.frames_per_s == pytest.approx(100 / (1.5 * RECENT_S), rel=0.01)
    assert tracker.eta_s == pytest.approx(880 / tracker.frames_per_s, rel=0.01)


def test_slow_units_still_have_a_rate():
    clock = Clock()
    tracker = RunProgress(RunStarted(100, 100, 100.0, 1), clock)
    for unit in range(3 * RECENT_UNITS):
        clock.now += 2 * RECENT_S
        tracker(done(unit))
    assert tracker.frames_per_s == pytest.approx(1 / (2 * RECENT_S))


def test_failed_frames_are_counted_apart_and_by_kind():
    tracker = RunProgress(RunStarted(3, 9, 4.0, 1), Clock())
    tracker(UnitRetried(1, 1, "OSError: disk"))
    tracker(replace(failed(1, "OSError: disk 7"), frames=3))
    tracker(replace(failed(2, "OSError: disk 9"), frames=3))
    assert (tracker.frames_done, tracker.frames_failed, tracker.retries.total()) == (0, 6, 1)
    assert tracker.failures == {"OSError": 2}
    assert tracker.outside_kernel is None


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("KilledWorker: the worker died", "KilledWorker"),
        ("distributed.KilledWorker: x", "distributed.KilledWorker"),
        ("no colon here", "other"),
        ("", "other"),
    ],
)
def test_failures_are_named_by_their_error(reason, kind):
    assert failure_kind(reason) == kind


@pytest.mark.spec("WAT-1")
def test_time_outside_the_kernel_counts_gaps_between_units_of_each_worker():
    tracker = RunProgress(RunStarted(9, 9, 9.0, 2), Clock())
    tracker(done(0, **busy(1000.0, 1010.0, kernel=9.0)))
    assert tracker.outside_kernel == pytest.approx(0.1)
    tracker(done(1, **busy(1015.0, 1020.0, kernel=5.0)))
    assert tracker.outside_kernel == pytest.approx(1 - 14 / 20)
    # Another process, whose clock is a day behind, adds its own span and nothing else.
    tracker(done(2, **busy(500.0, 510.0, kernel=10.0, pid=2)))
    assert tracker.outside_kernel == pytest.approx(1 - 24 / 30)
    assert tracker.times["a 1"].storage == pytest.approx(3.0)


def test_kernels_of_other_processes_are_compared_with_all_workers_time():
    clock = Clock()
    tracker = RunProgress(RunStarted(2, 2, 2.0, workers=4), clock)
    clock.now += 10
    tracker(done(0, **busy(100.0, 101.0, kernel=30.0)))
    assert tracker.outside_kernel == pytest.approx(1 - 30 / 40)
    assert set(tracker.to_plain()) >= {"eta_s", "outside_kernel", "steps_per_s"}


def test_memory_does_not_grow_with_units_or_processes():
    clock = Clock()
    tracker = RunProgress(RunStarted(10**6, 10**6, 1.0, 2), clock)
    for unit in range(4 * PROCESSES_KEPT):
        for part in range(5):
            clock.now += 0.01
            start = 10.0 * unit + part
            tracker(done(unit, **busy(start, start + 1.0, kernel=0.75, pid=unit)))
    assert len(tracker.times) == PROCESSES_KEPT
    assert tracker.times.wall == pytest.approx(5.0 * 4 * PROCESSES_KEPT)
    assert tracker.outside_kernel == pytest.approx(0.25)
    assert len(tracker._recent) <= RECENT_S / RECENT_STEP_S + RECENT_UNITS
    assert tracker.frames_per_s == pytest.approx(100, rel=0.01)


def test_history_leaves_out_time_in_which_units_are_still_under_way():
    clock = Clock()
    tracker = RunProgress(RunStarted(2, 2, 2.0, 1), clock)
    clock.now += 20
    tracker(done(0, **busy(100.0, 108.0, kernel=1.0)))
    assert tracker.settled_s == pytest.approx(12.0)
    tracker(done(1, **busy(100.0, 108.0, kernel=1.0)))
    assert tracker.settled_s == pytest.approx(20.0)
    assert sum(tracker.history.frames) == pytest.approx(2)
