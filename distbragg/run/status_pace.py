"""How fast a run goes and went, from the times in its receipts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from distbragg.store.ledger import Receipt

LATEST: Final = 200
"""Receipts that the present rate is taken from, at most."""

ENOUGH: Final = 5
"""Receipts since the last pause that are enough for it."""

PAUSE_S: Final = 60.0
PAUSE_UNITS: Final = 20.0
"""Nothing going on for longer than this, in seconds and in median units, is a pause."""


@dataclass(frozen=True, slots=True)
class Work:
    """One unit's time of work: s since the epoch, and where."""

    unit: int
    start: float
    end: float
    writer: str
    receipt: Receipt


def work_of(receipts: Iterable[Receipt]) -> tuple[Work, ...]:
    """Return the work that receipts tell of, by its end."""
    found = []
    for receipt in receipts:
        record = receipt.record
        end = float(record.get("time", 0.0))
        writer = f"{record.get('host', '?')} {record.get('pid', '?')}"
        found.append(Work(receipt.unit, end - busy_seconds(receipt), end, writer, receipt))
    return tuple(sorted(found, key=lambda work: (work.end, work.unit)))


def busy_seconds(receipt: Receipt) -> float:
    """Seconds that rendering and writing a unit took."""
    record = receipt.record
    return float(record.get("render_seconds", 0.0)) + float(record.get("write_seconds", 0.0))


def busy_spans(works: Sequence[Work]) -> tuple[tuple[float, float], ...]:
    """Spans of time in which the run was worked on, pauses between executions left out."""
    if not works:
        return ()
    median = statistics.median(work.end - work.start for work in works)
    limit = max(PAUSE_S, PAUSE_UNITS * median)
    spans: list[tuple[float, float]] = []
    for work in sorted(works, key=lambda item: item.start):
        if spans and work.start - spans[-1][1] <= limit:
            spans[-1] = (spans[-1][0], max(spans[-1][1], work.end))
        else:
            spans.append((work.start, work.end))
    return tuple(spans)


def span_seconds(works: Sequence[Work]) -> float:
    """Wall time of the spans in which the run was worked on."""
    return sum(end - start for start, end in busy_spans(works))


def latest_work(works: Sequence[Work]) -> tuple[Work, ...]:
    """Return the work that tells the present rate, by its end: since the last pause, if enough.

    Parameters
    ----------
    works : sequence of Work
        By its end.
    """
    latest = tuple(works[-LATEST:])
    spans = busy_spans(latest)
    since = tuple(work for work in latest if work.end > spans[-1][0]) if spans else ()
    return since if len(since) >= ENOUGH else latest


def rate(works: Sequence[Work], amounts: Iterable[float]) -> float:
    """Amount per second of wall time, pauses left out; 0 where nothing is known.

    Parameters
    ----------
    works : sequence of Work
    amounts : iterable of float
        What each unit of `works` is worth: frames, or planned cost.
    """
    seconds = span_seconds(works)
    return sum(amounts) / seconds if seconds > 0 else 0.0
