"""Spans of work, rates and history from the times in receipts."""

from __future__ import annotations

import pytest

from distbragg.engine.progress import BINS, History, UnitSpan
from distbragg.run.status import latest_spans, mean_rate, work_intervals, work_seconds


def spans(times, busy=1.0, pids=None):
    """Spans of units that end at these times."""
    return [
        UnitSpan.of(
            unit,
            {
                "time": end,
                "render_seconds": busy - 0.25,
                "write_seconds": 0.25,
                "pid": pids[unit] if pids else 1,
                "host": "a",
            },
        )
        for unit, end in enumerate(times)
    ]


def test_a_span_lasts_as_long_as_rendering_and_writing():
    (span,) = spans([20.0], busy=4.0)
    assert (span.start, span.end, span.busy, span.storage) == (16.0, 20.0, 4.0, 0.25)
    assert span.process == "a 1"
    assert UnitSpan.of(0, {}).process == "? ?"


def test_rate_counts_workers_side_by_side_once():
    alone = spans([100.0 + i for i in range(10)])
    pair = spans([100.0 + i // 2 for i in range(20)], pids=[i % 2 for i in range(20)])
    assert mean_rate(alone, [1.0] * 10) == pytest.approx(1.0)
    assert mean_rate(pair, [1.0] * 20) == pytest.approx(2.0)


def test_pause_of_days_is_no_time_of_work():
    day = 86400.0
    work = spans([100.0 + i + (day if i >= 7 else 0.0) for i in range(14)])
    assert len(work_intervals(work)) == 2
    assert work_seconds(work) == pytest.approx(14.0)
    assert [span.unit for span in latest_spans(work)] == list(range(7, 14))


def test_short_waits_belong_to_the_work():
    assert work_intervals(spans([100.0, 150.0])) == ((99.0, 150.0),)


def test_little_work_after_a_pause_does_not_set_the_rate_alone():
    assert len(latest_spans(spans([100.0 + i + (9e4 if i == 9 else 0.0) for i in range(10)]))) == 10


def test_nothing_known_is_no_rate():
    assert mean_rate((), ()) == 0.0
    assert latest_spans(()) == ()


def test_history_spreads_a_unit_over_the_time_it_took():
    history = History(width=2.0)
    history.add(1.0, 7.0, frames=6, steps=60)
    assert history.frames == pytest.approx([1.0, 2.0, 2.0, 1.0])
    history.add(3.2, 3.4, frames=1, steps=10)
    assert history.frames == pytest.approx([1.0, 3.0, 2.0, 1.0])
    frames, steps = history.rates(until=7.0)
    assert frames == pytest.approx([0.5, 1.5, 1.0]), "the bin that is still growing is left out"
    assert steps == pytest.approx([5.0, 15.0, 10.0])


def test_history_of_work_begun_before_it_keeps_what_falls_inside():
    history = History(width=2.0)
    history.add(-10.0, 1.0, frames=5, steps=5)
    assert sum(history.frames) == pytest.approx(5)


@pytest.mark.spec("WAT-5")
def test_history_stays_small_however_long_the_run():
    history = History()
    for step in range(1000):
        history.add(997.0 * step, 997.0 * step + 500.0, frames=3, steps=3)
    assert len(history.frames) <= BINS
    assert sum(history.frames) == pytest.approx(3000)
