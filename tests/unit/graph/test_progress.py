"""Rates and estimates, with a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from distbragg.graph.progress import (
    RECENT_S,
    RECENT_STEP_S,
    RECENT_UNITS,
    ProgressTracker,
    RunStarted,
    UnitFinished,
    UnitRetried,
    failure_kind,
)
from distbragg.graph.work import UnitOutcome
from distbragg.graph.worker_time import PROCESSES_KEPT


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def done(unit, **receipt):
    return UnitFinished(UnitOutcome(unit, "done", 1, receipt))


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
    costs = {0: 40.0, 1: 60.0}
    started = RunStarted(2, 10, 100.0, 2, frames_of={0: 1, 1: 9}.get, cost_of=costs.get)
    tracker = ProgressTracker(started, clock)
    assert math.isinf(tracker.eta_s)
    assert tracker.frames_per_s == 0
    clock.now += 10
    tracker(done(0, steps=700))
    assert tracker.eta_s == pytest.approx(15.0)
    assert tracker.frames_per_s == pytest.approx(0.1)
    assert tracker.steps_per_s == pytest.approx(70)
    tracker(done(1))
    assert tracker.eta_s == 0


def test_rates_are_those_of_late():
    clock = Clock()
    tracker = ProgressTracker(RunStarted(1000, 1000, 1000.0, 1), clock)
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
    tracker = ProgressTracker(RunStarted(100, 100, 100.0, 1), clock)
    for unit in range(3 * RECENT_UNITS):
        clock.now += 2 * RECENT_S
        tracker(done(unit))
    assert tracker.frames_per_s == pytest.approx(1 / (2 * RECENT_S))


def test_failed_frames_are_counted_apart_and_by_kind():
    tracker = ProgressTracker(RunStarted(3, 9, 4.0, 1, frames_of=lambda unit: 3), Clock())
    tracker(UnitRetried(1, 1, "OSError: disk"))
    tracker(failed(1, "OSError: disk 7"))
    tracker(failed(2, "OSError: disk 9"))
    assert (tracker.frames_done, tracker.frames_failed, tracker.retries) == (0, 6, 1)
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
    tracker = ProgressTracker(RunStarted(9, 9, 9.0, 2), Clock())
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
    tracker = ProgressTracker(RunStarted(2, 2, 2.0, workers=4), clock)
    clock.now += 10
    tracker(done(0, **busy(100.0, 101.0, kernel=30.0)))
    assert tracker.outside_kernel == pytest.approx(1 - 30 / 40)
    assert set(tracker.to_plain()) >= {"eta_s", "outside_kernel", "steps_per_s"}


def test_memory_does_not_grow_with_units_or_processes():
    clock = Clock()
    tracker = ProgressTracker(RunStarted(10**6, 10**6, 1.0, 2), clock)
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
