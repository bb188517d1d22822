"""What the driver of a run posts, and how often."""

from __future__ import annotations

from concurrent.futures import Future

import msgpack
import pytest

from distbragg.dashboard.plugin import TOPIC, WatchPlugin
from distbragg.dashboard.publish import POST_INTERVAL_S, PROCESSES_SHOWN, Publisher
from distbragg.engine.events import JobsSubmitted, PictureTaken, RunStarted, WorkersChanged

from .standing import Clock, done, failed, message, retried


class Post:
    """Keeps what was posted; the answer comes when the test says so."""

    def __init__(self):
        self.messages = []
        self.answers = []

    def __call__(self, posted):
        self.messages.append({**posted, "client": "one"})
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


@pytest.mark.spec("WAT-6")
def test_a_thousand_units_a_second_are_one_post_a_second(clock, post):
    publisher = Publisher(post, "r", clock=clock, patience_s=0.01)
    publisher(RunStarted(5000, 15000, 1.0, 2, path="RUN", title="x"))
    for unit in range(5000):
        clock.now += 1e-3
        publisher(done(unit))
        post.answer()
    publisher.close("ended")
    assert len(post.messages) <= 2 + 5 / POST_INTERVAL_S + 2
    plugin = WatchPlugin(clock)
    for posted in post.messages:
        plugin.log_event(TOPIC, posted)
    told = plugin.runs["r"].to_plain()
    assert (told["pixel_steps"], told["state"], told["path"]) == (5000 * 300, "ended", "RUN")
    assert told["progress"]["units_done"] == 5000


@pytest.mark.spec("WAT-6")
def test_nothing_waits_for_a_slow_scheduler(clock, post):
    publisher = Publisher(post, "r", clock=clock, patience_s=0.01)
    publisher(RunStarted(9, 9, 1.0, 2))
    for unit in range(9):
        clock.now += 10
        publisher(done(unit))
    assert len(post.messages) == 1, "the first post has not been answered yet"
    post.answer()
    clock.now += 10
    publisher(WorkersChanged(3))
    assert len(post.messages) == 2
    assert post.messages[1]["progress"]["units_done"] == 9


def test_a_picture_is_posted_once(clock, post):
    publisher = Publisher(post, "r", disk_free=lambda: 99, clock=clock, patience_s=0.01)
    publisher(RunStarted(2, 2, 1.0, 1))
    post.answer()
    publisher(retried(1, "OSError: disk"))
    publisher(failed(1, "OSError: disk"))
    publisher(PictureTaken(0, {"max": 1.0}))
    clock.now += 2 * POST_INTERVAL_S
    publisher(WorkersChanged(1))
    post.answer()
    publisher.close("stopped")
    first, second, third = post.messages
    assert first["disk_free_bytes"] == 99
    assert first["execution"] == third["execution"]
    assert second["counters"]["retries"] == second["counters"]["failures"] == {"OSError": 1}
    assert [item["fate"] for item in second["failed_attempts"]] == ["tried again", "set aside"]
    assert second["picture"] == {"max": 1.0}
    assert third["picture"] is None
    assert third["state"] == "stopped"


def test_a_publisher_that_was_never_started_posts_nothing(clock, post):
    publisher = Publisher(post, "r", clock=clock, patience_s=0.01)
    publisher(JobsSubmitted("slurm", ("12",)))
    publisher.close("ended")
    assert post.messages == []


def test_a_scheduler_that_has_gone_is_no_error_at_the_end(clock, post):
    publisher = Publisher(post, "r", clock=clock, patience_s=0.01)
    publisher(RunStarted(1, 1, 1.0, 1))
    post.answers[0].set_exception(OSError("gone"))
    publisher.close("stopped")
    assert post.messages[-1]["state"] == "stopped"


@pytest.mark.spec("WAT-5")
def test_a_message_is_small_and_plain_however_long_the_run():
    events = [done(unit, seconds=50.0, pid=unit % 1000) for unit in range(5000)]
    events += [failed(unit, f"E{unit}: x") for unit in range(5000, 5100)]
    posted = message(*events)
    assert len(posted["processes"]) == PROCESSES_SHOWN
    assert len(msgpack.dumps(posted)) < 20_000
