"""Rates and estimates, with a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from distbragg.graph.progress import ProgressTracker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_weighted_by_planned_cost():
    clock = Clock()
    tracker = ProgressTracker(frames=10, cost=100.0, workers=2, clock=clock)
    assert math.isinf(tracker.eta_s)
    assert tracker.frames_per_s == 0
    clock.now += 10
    tracker.finish(1, 40.0, kernel_s=6.0, task_s=8.0)
    assert tracker.eta_s == pytest.approx(15.0)
    assert tracker.frames_per_s == pytest.approx(0.1)
    assert tracker.kernel_share == pytest.approx(0.75)
    assert tracker.utilization == pytest.approx(0.4)
    tracker.finish(9, 60.0, kernel_s=1.0, task_s=1.0)
    assert tracker.eta_s == 0


def test_failed_frames_are_counted_apart():
    tracker = ProgressTracker(frames=4, cost=4.0, clock=Clock())
    tracker.finish(3, 3.0, kernel_s=0, task_s=0, failed=True)
    tracker.retry()
    assert (tracker.frames_done, tracker.frames_failed, tracker.retries) == (0, 3, 1)
    assert tracker.kernel_share == 0
