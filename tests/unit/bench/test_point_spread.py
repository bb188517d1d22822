"""The benchmark of point spread: what it measures, and whether its page tells the bar."""

from __future__ import annotations

from tools.bench.pairs import Spread
from tools.bench.point_spread import CASES, QUICK, Measured, measure, summary


def test_every_case_is_measured() -> None:
    found = measure(QUICK)
    assert [(one.kind, one.radius) for one in found] == list(CASES)
    assert all(one.process.least >= 0.0 < one.wall.least for one in found)


def test_the_page_tells_the_bar() -> None:
    def page(seconds: float) -> str:
        time = Spread.of([seconds])
        return summary([Measured(2048, "fibre", 10, time, time)])

    assert "0.1 (0.1 to 0.1) s; bar 0.3 s: reached" in page(0.1)
    assert "bar 0.3 s: missed" in page(0.31)
