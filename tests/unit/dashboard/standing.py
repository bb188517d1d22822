"""Runs in the midst of their work, for the tests of what is told of them."""

from __future__ import annotations

from distbragg.dashboard.publish import standing
from distbragg.engine.events import RunStarted, UnitFinished, UnitRetried
from distbragg.engine.progress import RunProgress
from distbragg.engine.work import UnitOutcome


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def receipt(seconds=2.0, pid=1, frames=3, **more):
    return {
        "frames": frames,
        "steps": 100 * frames,
        "size": 7,
        "render_seconds": 0.75 * seconds,
        "kernel_seconds": 0.5 * seconds,
        "write_seconds": 0.25 * seconds,
        "host": "a",
        "pid": pid,
        "time": 5e8,
        **more,
    }


def done(unit, *, seconds=2.0, **more):
    return UnitFinished(UnitOutcome(unit, "done", 1, receipt(seconds, **more)))


def failed(unit, reason):
    return UnitFinished(UnitOutcome(unit, "failed", 3, {}, reason))


def retried(unit, reason):
    return UnitRetried(unit, 1, reason)


def message(*events, clock=None, run="r", execution="one", state="running", **more):
    """What the driver of a run posts after these events."""
    progress = RunProgress(RunStarted(20, 20, 20.0, 3, path="RUN", title="tiny"), clock or Clock())
    for event in events:
        progress.clock.now += 1.0
        progress(event)
    return {
        "run": run,
        "execution": execution,
        "state": state,
        "client": "one",
        "disk_free_bytes": 5,
        "picture": None,
        **standing(progress),
        **more,
    }
