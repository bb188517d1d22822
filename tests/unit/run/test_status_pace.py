"""Rates and spans of work from the times in receipts."""

from __future__ import annotations

import json

import pytest

from distbragg.run.status_pace import busy_spans, latest_work, rate, span_seconds, work_of
from distbragg.store.ledger import Receipt


def receipt(unit: int, end: float, busy: float = 1.0, pid: int = 1) -> Receipt:
    record = {"time": end, "render_seconds": busy - 0.25, "write_seconds": 0.25, "pid": pid}
    return Receipt(unit, "", 1, "", json.dumps({**record, "host": "a"}).encode())


def test_work_is_ordered_by_its_end_and_lasts_as_long_as_rendering_and_writing():
    works = work_of([receipt(1, 20.0, 4.0), receipt(0, 10.0, 2.0)])
    assert [(work.unit, work.start, work.end) for work in works] == [(0, 8, 10), (1, 16, 20)]


def test_rate_counts_workers_side_by_side_once():
    alone = work_of(receipt(i, 100.0 + i) for i in range(10))
    pair = work_of(receipt(i, 100.0 + i // 2, pid=i % 2) for i in range(20))
    assert rate(alone, [1.0] * 10) == pytest.approx(1.0)
    assert rate(pair, [1.0] * 20) == pytest.approx(2.0)


def test_pause_of_days_is_no_time_of_work():
    day = 86400.0
    works = work_of([receipt(i, 100.0 + i + (day if i >= 7 else 0.0)) for i in range(14)])
    assert len(busy_spans(works)) == 2
    assert span_seconds(works) == pytest.approx(14.0)
    assert [work.unit for work in latest_work(works)] == list(range(7, 14))


def test_short_waits_belong_to_the_work():
    works = work_of([receipt(0, 100.0), receipt(1, 150.0)])
    assert busy_spans(works) == ((99.0, 150.0),)


def test_little_work_after_a_pause_does_not_set_the_rate_alone():
    works = work_of([receipt(i, 100.0 + i + (9e4 if i == 9 else 0.0)) for i in range(10)])
    assert len(latest_work(works)) == 10


def test_nothing_known_is_no_rate():
    assert rate((), ()) == 0.0
    assert latest_work(()) == ()
