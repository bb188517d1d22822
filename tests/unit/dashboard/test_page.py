"""The dashboard's page, without a server or a browser."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from distbragg.dashboard.plugin import WatchedRun, page_html
from distbragg.engine.events import WorkerLeftOut
from distbragg.engine.progress import PARTS, ProcessTime, UnitSpan
from distbragg.export.scaling import thumbnail

from .standing import Clock, done, failed, message


def test_a_page_without_a_run_says_so():
    assert "No run yet" in page_html(None)


@pytest.mark.spec("WAT-7")
def test_page_shows_throughput_workers_failures_and_the_newest_frame():
    image = np.zeros((1, 17, 23))
    image[0, 2, 3] = 5.0
    units = [done(pid, pid=pid) for pid in range(3)]
    bad = WorkerLeftOut("tcp://a:1", "node<7>", "its tries fail")
    posted = message(*units, failed(7, "OSError: <disk>"), bad, picture=thumbnail(image))
    posted |= {"title": "<b>garnet</b>"}
    posted["progress"] |= {"eta_s": 61.0}
    page = page_html(WatchedRun(posted, Clock()))
    assert "&lt;b&gt;garnet" in page
    assert "3 of 20 frames" in page
    assert "1 min 1 s left" in page
    assert [page.count(f"<td>a {pid}</td>") for pid in range(3)] == [1, 1, 1]
    assert "OSError: &lt;disk&gt;" in page
    assert "worker tcp://a:1 (node&lt;7&gt;) is left out: its tries fail" in page
    assert page.count("<svg") == 2
    assert page.count('class="frames"') == len(posted["history"]["frames"]) > 0
    png = base64.b64decode(page.split("base64,")[1].split('"')[0])
    levels = np.asarray(Image.open(io.BytesIO(png)))
    assert levels.shape == (17, 23)
    assert np.argwhere(levels == 255).tolist() == [[2, 3]]


def test_time_shares_are_of_all_the_time_since_the_first_unit():
    process = ProcessTime()
    for end in (10.0, 20.0):
        times = {"render_seconds": 3.0, "kernel_seconds": 2.0, "write_seconds": 1.0, "time": end}
        process.add(UnitSpan.of(0, times))
    shares = [100 * 4 / 14, 100 * 2 / 14, 100 * 2 / 14, 100 * 6 / 14]
    assert process.shares() == pytest.approx(dict(zip(PARTS, shares, strict=True)))
    assert process.shares(wall=16.0)["waiting"] == pytest.approx(50.0)
    assert sum(ProcessTime().shares().values()) == pytest.approx(100, abs=100)


def test_a_run_that_ended_has_no_time_left():
    page = page_html(WatchedRun(message(done(0), state="ended"), Clock()))
    assert "left" not in page.split("facts")[1].split("</p>")[0]
    assert "tiny: ended" in page


def test_a_run_without_news_says_how_long():
    run = WatchedRun(message(), Clock())
    assert "last news" not in page_html(run)
    run.clock.now += 200
    assert "last news 3 min 20 s ago" in page_html(run)
