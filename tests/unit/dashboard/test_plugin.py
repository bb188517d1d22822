"""What the scheduler keeps of what drivers log, and that it stays small."""

from __future__ import annotations

import json

import pytest

from distbragg.dashboard.plugin import RUNS_KEPT, TOPIC, WatchedRun, WatchPlugin

from .standing import Clock, done, failed, message, retried


@pytest.mark.spec("WAT-5")
def test_counts_add_up_over_posts_and_executions():
    plugin = WatchPlugin(Clock())
    units = [done(0), done(1, seconds=40.0)]
    trouble = [retried(4, "OSError: x"), failed(4, "OSError: x")]
    for execution in ("one", "two"):
        plugin.log_event(TOPIC, message(*units, execution=execution))
        plugin.log_event(TOPIC, message(*units, *trouble, execution=execution, state="ended"))
    run = plugin.runs["r"]
    told = run.to_plain()
    assert (told["frames"], told["pixel_steps"], told["bytes"]) == (4, 1200, 28)
    assert told["retries"] == told["failures"] == {"OSError": 2}
    assert told["seconds"] == pytest.approx({"kernel": 42.0, "storage": 21.0, "other": 21.0})
    units = run.counters()["unit_seconds"]
    assert (units["3"], units["100"], units.total()) == (2, 2, 4)
    json.dumps(told)


def test_time_left_runs_down_between_posts():
    clock = Clock()
    run = WatchedRun(message(), clock)
    assert run.eta_s() is None
    run.take(message(progress={"eta_s": 30.0}))
    clock.now += 10
    assert run.eta_s() == pytest.approx(20.0)
    clock.now += 50
    assert run.eta_s() == 0.0
    run.take(message(state="stopped"))
    assert run.eta_s() is None
    run.take(message(state="ended", progress={"eta_s": 3.0}))
    assert run.eta_s() == 0.0


def test_a_run_whose_driver_went_away_has_stopped():
    plugin = WatchPlugin(Clock())
    plugin.log_event(TOPIC, message(run="a"))
    plugin.log_event(TOPIC, message(run="b", client="two"))
    plugin.log_event(TOPIC, message(run="c", state="ended"))
    plugin.remove_client(None, "one")
    states = {name: run.latest["state"] for name, run in plugin.runs.items()}
    assert states == {"a": "stopped", "b": "running", "c": "ended"}


@pytest.mark.spec("WAT-5")
def test_memory_is_bounded_however_many_the_runs():
    plugin = WatchPlugin(Clock())
    for number in range(3 * RUNS_KEPT):
        plugin.log_event(TOPIC, message(run=str(number)))
    assert list(plugin.runs) == [str(number) for number in range(2 * RUNS_KEPT, 3 * RUNS_KEPT)]


def test_events_of_others_are_left_alone():
    plugin = WatchPlugin(Clock())
    plugin.log_event("somebody", {"what": "ever"})
    assert not plugin.runs
