"""The page of memory over a long run: slopes by hand."""

from __future__ import annotations

import pytest

from tools.bench import memory_slope


def test_slopes_are_those_of_the_readings() -> None:
    rows = [(done, {"driver": 10**8 + 500 * done, "7": 10**8}) for done in range(0, 1001, 100)]
    driver, worker = memory_slope._slopes("local:1", 1000, rows[1:])
    assert (driver.process, worker.process) == ("driver", "worker 1")
    assert (driver.whole, driver.second_half) == pytest.approx((0.5, 0.5))
    assert (driver.first, driver.last) == pytest.approx((100.05, 100.5))
    assert worker.second_half == pytest.approx(0.0, abs=1e-9)
    page = memory_slope.summary([driver])
    assert "| local:1 | driver | 1,000 | 100.0 | 100.5 | 0.500 | 0.500 | reached |" in page
