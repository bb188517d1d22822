"""What the scheduler counts from posted news, and that it stays small."""

from __future__ import annotations

import json

import pytest

from distbragg.graph.watch.tally import (
    BINS,
    FAILURES_KEPT,
    RUNS_KEPT,
    UNIT_SECONDS,
    History,
    Tallies,
)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def receipt(seconds=2.0, age=0.0, pid=1, frames=3, **more):
    return {
        "frames": frames,
        "steps": 100 * frames,
        "size": 7,
        "render_seconds": 0.75 * seconds,
        "kernel_seconds": 0.5 * seconds,
        "write_seconds": 0.25 * seconds,
        "host": "a",
        "pid": pid,
        "time": 5e8 - age,
        "age": age,
        **more,
    }


@pytest.mark.spec("WAT-5")
def test_counts_add_up_over_posts_and_executions():
    tallies = Tallies(Clock())
    for _ in range(2):
        tallies.take({"run": "r", "begin": True, "receipts": [receipt(), receipt(40.0)]})
        tallies.take({"run": "r", "retries": [(4, "OSError", "OSError: x")], "state": "running"})
        tallies.take({"run": "r", "failures": [(4, "OSError", "OSError: x")], "state": "ended"})
    tally = tallies.latest()
    assert (tally.frames, tally.steps, tally.bytes) == (12, 1200, 28)
    assert tally.retries == tally.failures == {"OSError": 2}
    assert tally.seconds == {"kernel": 42.0, "storage": 21.0, "other": 21.0}
    assert sum(tally.unit_seconds) == 4
    assert tally.unit_seconds[UNIT_SECONDS.index(3.0)] == 2
    assert tally.unit_seconds[UNIT_SECONDS.index(100.0)] == 2
    assert tally.unit_seconds_sum == pytest.approx(84.0)
    assert [item.unit for item in tally.recent] == [4, 4, 4, 4]
    assert [item.fate for item in tally.recent] == ["tried again", "set aside"] * 2
    json.dumps(tally.to_plain())


def test_time_of_a_worker_is_split_and_its_pauses_are_waiting():
    tallies = Tallies(Clock())
    tallies.take({"run": "r", "receipts": [receipt(4.0, age=6.0), receipt(4.0)]})
    tally = tallies.latest()
    assert tally.seconds == {"kernel": 4.0, "storage": 2.0, "other": 2.0}
    assert tally.times["a 1"].wall == pytest.approx(10.0)


def test_time_left_runs_down_between_posts():
    clock = Clock()
    tallies = Tallies(clock)
    tallies.take({"run": "r", "progress": {"eta_s": 30.0}})
    clock.now += 10
    assert tallies.latest().eta_s() == pytest.approx(20.0)
    clock.now += 50
    assert tallies.latest().eta_s() == 0.0
    tallies.take({"run": "r", "progress": {"eta_s": None}})
    assert tallies.latest().eta_s() is None
    tallies.take({"run": "r", "state": "stopped"})
    assert tallies.latest().eta_s() is None
    tallies.take({"run": "r", "state": "ended"})
    assert tallies.latest().eta_s() == 0.0


def test_a_run_whose_driver_went_away_has_stopped():
    tallies = Tallies(Clock())
    tallies.take({"run": "a", "client": "one", "state": "running"})
    tallies.take({"run": "b", "client": "two", "state": "running"})
    tallies.take({"run": "c", "client": "one", "state": "ended"})
    tallies.lose("one")
    assert {tally.run: tally.state for tally in tallies.all()} == {
        "a": "stopped",
        "b": "running",
        "c": "ended",
    }


@pytest.mark.spec("WAT-5")
def test_memory_is_bounded_however_long_and_many_the_runs():
    clock = Clock()
    tallies = Tallies(clock)
    for number in range(3 * RUNS_KEPT):
        tallies.take({"run": str(number)})
    assert [tally.run for tally in tallies.all()] == [
        str(number) for number in range(2 * RUNS_KEPT, 3 * RUNS_KEPT)
    ]
    tally = tallies.latest()
    for step in range(1000):
        clock.now += 997
        news = {"run": tally.run, "receipts": [receipt(500.0)]}
        tallies.take({**news, "failures": [(step, "E", "E: x")]})
    assert len(tally.history.frames) <= BINS
    assert len(tally.recent) == FAILURES_KEPT
    assert sum(tally.history.frames) == pytest.approx(3000)


def test_history_spreads_a_unit_over_the_time_it_took():
    history = History(begin=100.0, width=2.0)
    history.add(101.0, 107.0, frames=6, steps=60)
    assert history.frames == pytest.approx([1.0, 2.0, 2.0, 1.0])
    history.add(103.2, 103.4, frames=1, steps=10)
    assert history.frames == pytest.approx([1.0, 3.0, 2.0, 1.0])
    places, frames, steps = history.rates(until=107.0)
    assert places == [1.0, 3.0, 5.0], "the bin that is still growing is left out"
    assert frames == pytest.approx([0.5, 1.5, 1.0])
    assert steps == pytest.approx([5.0, 15.0, 10.0])


def test_history_of_work_begun_before_it_keeps_what_falls_inside():
    history = History(begin=100.0, width=2.0)
    history.add(90.0, 101.0, frames=5, steps=5)
    assert sum(history.frames) == pytest.approx(5)


def test_history_leaves_out_time_in_which_units_are_still_under_way():
    clock = Clock()
    tallies = Tallies(clock)
    tallies.take({"run": "r", "begin": True})
    clock.now += 20
    tallies.take({"run": "r", "receipts": [receipt(8.0)]})
    tally = tallies.latest()
    assert tally.settled() == pytest.approx(clock.now - 8.0)
    tallies.take({"run": "r", "state": "ended"})
    assert tally.settled() == pytest.approx(clock.now)
