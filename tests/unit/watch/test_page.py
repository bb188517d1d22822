"""The models of the dashboard's page, without a server or a browser."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.graph.thumbnail import thumbnail
from distbragg.graph.watch.page import STRETCHES, WORKERS_SHOWN, RunPage, head_html, time_shares
from distbragg.graph.watch.tally import Tallies
from distbragg.graph.worker_time import WorkerTime

from .test_tally import Clock, receipt


@pytest.fixture
def tallies():
    return Tallies(Clock())


def test_a_page_without_a_run_says_so(tallies):
    page = RunPage(tallies)
    page.update()
    assert "No run yet" in page.head.text


@pytest.mark.spec("WAT-7")
def test_page_shows_throughput_workers_failures_and_the_newest_frame(tallies):
    image = np.zeros((1, 17, 23))
    image[0, 2, 3] = 5.0
    tallies.take(
        {
            "run": "r",
            "begin": True,
            "title": "<b>garnet</b>",
            "receipts": [receipt(2.0, pid=pid) for pid in range(3)],
            "failures": [(7, "OSError", "OSError: disk")],
            "picture": thumbnail(image),
            "progress": {"frames": 12, "frames_done": 9, "eta_s": 61.0, "workers": 3},
        }
    )
    page = RunPage(tallies)
    page.update()
    assert "&lt;b&gt;garnet" in page.head.text
    assert "9 of 12 frames" in page.head.text
    assert "1 min 1 s left" in page.head.text
    assert page.workers.data["worker"] == ["a 2", "a 1", "a 0"]
    assert sum(page.workers.data[part][0] for part in STRETCHES) == pytest.approx(100)
    assert list(page.failures.data["unit"]) == [7]
    # The first row of an image is at the top of the page, the last row of what bokeh draws.
    (levels,) = page.image.data["image"]
    assert np.argwhere(levels == 255).tolist() == [[17 - 1 - 2, 3]]
    assert len(page.history.data["minutes"]) == len(page.history.data["frames"]) > 0


def test_page_of_a_thousand_workers_stays_readable(tallies):
    tallies.take({"run": "r", "receipts": [receipt(pid=pid) for pid in range(1000)]})
    page = RunPage(tallies)
    page.update()
    assert len(page.workers.data["worker"]) == WORKERS_SHOWN


def test_time_shares_are_of_all_the_time_since_the_first_unit():
    worker = WorkerTime()
    for end in (10.0, 20.0):
        worker.add(
            {"render_seconds": 3.0, "kernel_seconds": 2.0, "write_seconds": 1.0, "time": end}
        )
    assert time_shares(worker) == pytest.approx(
        {
            "kernel": 100 * 4 / 14,
            "storage": 100 * 2 / 14,
            "other": 100 * 2 / 14,
            "waiting": 100 * 6 / 14,
        }
    )
    assert sum(time_shares(WorkerTime()).values()) == pytest.approx(100, abs=100)


def test_a_run_that_ended_has_no_time_left(tallies):
    tally = tallies.take({"run": "r", "state": "ended", "progress": {"frames": 1}})
    assert " left" not in head_html(tally)
    assert ": ended" in head_html(tally)


def test_a_run_without_news_says_how_long(tallies):
    tally = tallies.take({"run": "r", "state": "running"})
    assert "last news" not in head_html(tally)
    tally.clock.now += 200
    assert "last news 3 min 20 s ago" in head_html(tally)
