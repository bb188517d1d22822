"""What the driver of a run posts, and how often."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from distbragg.graph.progress import (
    JobsSubmitted,
    PictureTaken,
    RunStarted,
    UnitFinished,
    UnitRetried,
    WorkersChanged,
)
from distbragg.graph.watch.feed import POST_INTERVAL_S, Feed
from distbragg.graph.watch.tally import Tallies
from distbragg.graph.work import UnitOutcome

RECEIPT = {
    "frames": 3,
    "steps": 300,
    "size": 7,
    "render_seconds": 2.0,
    "kernel_seconds": 1.0,
    "write_seconds": 1.0,
    "host": "a",
    "pid": 1,
    "time": 5e8,
    "digest": "ab",
}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Post:
    """Keeps what was posted; the answer comes when the test says so."""

    def __init__(self):
        self.news = []
        self.answers = []

    def __call__(self, news):
        self.news.append(news)
        self.answers.append(Future())
        return self.answers[-1]

    def answer(self):
        for future in self.answers:
            if not future.done():
                future.set_result(None)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def post():
    return Post()


def finished(unit):
    return UnitFinished(UnitOutcome(unit, "done", 1, RECEIPT))


@pytest.mark.spec("WAT-6")
def test_a_thousand_units_a_second_are_one_post_a_second(clock, post):
    feed = Feed(post, "r", clock=clock, patience_s=0.01)
    feed(RunStarted(5000, 15000, 1.0, 2, path="RUN", title="x"))
    for unit in range(5000):
        clock.now += 1e-3
        feed(finished(unit))
        post.answer()
    feed.close("ended")
    assert len(post.news) <= 2 + 5 / POST_INTERVAL_S + 2
    tallies = Tallies()
    for news in post.news:
        tallies.take(news)
    tally = tallies.latest()
    assert (tally.frames, tally.state, tally.path) == (15000, "ended", "RUN")
    assert tally.progress["units_done"] == 5000


@pytest.mark.spec("WAT-6")
def test_nothing_waits_for_a_slow_scheduler(clock, post):
    feed = Feed(post, "r", clock=clock, patience_s=0.01)
    feed(RunStarted(9, 9, 1.0, 2))
    for unit in range(9):
        clock.now += 10
        feed(finished(unit))
    assert len(post.news) == 1, "the first post has not been answered yet"
    post.answer()
    clock.now += 10
    feed(WorkersChanged(3))
    assert len(post.news) == 2
    assert len(post.news[1]["receipts"]) == 9
    assert [round(item["age"]) for item in post.news[1]["receipts"]][:2] == [90, 80]


def test_failures_retries_and_pictures_are_posted_once(clock, post):
    feed = Feed(post, "r", disk_free=lambda: 99, clock=clock, patience_s=0.01)
    feed(RunStarted(2, 2, 1.0, 1))
    post.answer()
    feed(UnitRetried(1, 1, "OSError: disk"))
    feed(UnitFinished(UnitOutcome(1, "failed", 3, {}, "OSError: disk")))
    feed(PictureTaken(0, {"max": 1.0}))
    clock.now += 2 * POST_INTERVAL_S
    feed(WorkersChanged(1))
    post.answer()
    feed.close("stopped")
    first, second, third = post.news[:3]
    assert first["disk_free"] == 99
    assert first["begin"] is True
    assert second["retries"] == second["failures"] == [(1, "OSError", "OSError: disk")]
    assert second["picture"] == {"max": 1.0}
    assert not {"retries", "failures", "picture", "begin"} & set(third)
    assert third["state"] == "stopped"


def test_a_feed_that_was_never_started_posts_nothing(clock, post):
    feed = Feed(post, "r", clock=clock, patience_s=0.01)
    feed(JobsSubmitted("slurm", ("12",)))
    feed.close("ended")
    assert post.news == []


def test_a_scheduler_that_has_gone_is_no_error_at_the_end(clock, post):
    feed = Feed(post, "r", clock=clock, patience_s=0.01)
    feed(RunStarted(1, 1, 1.0, 1))
    post.answers[0].set_exception(OSError("gone"))
    feed.close("stopped")
    assert post.news[-1]["state"] == "stopped"
