"""The driver's side: what receipts say is posted to the scheduler, once a second at most."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from distributed import Client

from distbragg.graph.dask_executor import dashboard_link
from distbragg.graph.progress import (
    Event,
    PictureTaken,
    ProgressTracker,
    RunStarted,
    UnitFinished,
    UnitRetried,
    failure_kind,
)
from distbragg.graph.watch.plugin import PAGE, WatchPlugin, deliver, has_page
from distbragg.graph.watch.tally import News

POST_INTERVAL_S: Final = 1.0
"""Time between two posts, s: a run of a thousand units a second posts no oftener."""

DISK_INTERVAL_S: Final = 10.0
"""Time between two looks at the room left on disk, s."""

CLOSE_S: Final = 3.0
"""Longest wait for each of the last two posts, s."""

_COUNTED: Final = (
    "frames",
    "steps",
    "size",
    "render_seconds",
    "kernel_seconds",
    "write_seconds",
    "host",
    "pid",
    "time",
)

_log = logging.getLogger("distbragg")


class Feed:
    """Posts the events of a run to the scheduler's plugin; an `on_event`.

    Parameters
    ----------
    post : callable(News) -> Future or None
        Sends news without waiting.
    run : str
        12 hex digits of the run's identity.
    disk_free : callable, optional
        Free bytes where the run is stored.
    clock : callable
        Monotonic seconds.
    patience_s : float
        Longest wait for a post to arrive when the run ends, s.
    """

    def __init__(
        self,
        post: Callable[[News], Future[Any] | None],
        run: str,
        disk_free: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        patience_s: float = CLOSE_S,
    ) -> None:
        self._post = post
        self._patience = patience_s
        self._run = run
        self._disk_free = disk_free
        self._clock = clock
        self._tracker: ProgressTracker | None = None
        self._news: News = {"run": run}
        self._posted = self._looked = float("-inf")
        self._under_way: Future[Any] | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._tracker = ProgressTracker(event, self._clock)
            self._news["path"], self._news["title"] = event.path, event.title
            self._news["state"], self._news["begin"] = "running", True
        elif self._tracker is None:
            return  # jobs are asked for before there is a run to tell of
        else:
            self._tracker(event)
            self._note(event)
        if self._clock() - self._posted >= POST_INTERVAL_S and self._is_free():
            self._send()

    def close(self, state: str) -> None:
        """Post what is left, and how the run ended; waits a moment for it to arrive."""
        if self._tracker is None:
            return
        self._news["state"] = state
        self._wait()  # for what is under way, so that nothing overtakes it
        self._send()
        self._wait()

    def _note(self, event: Event) -> None:
        if isinstance(event, PictureTaken):
            self._news["picture"] = event.picture
        elif isinstance(event, UnitRetried):
            told = (event.unit, failure_kind(event.reason), event.reason)
            self._news.setdefault("retries", []).append(told)
        elif isinstance(event, UnitFinished):
            outcome = event.outcome
            if outcome.status == "failed":
                told = (outcome.unit, failure_kind(outcome.reason), outcome.reason)
                self._news.setdefault("failures", []).append(told)
            elif all(name in outcome.receipt for name in _COUNTED):
                counted = {name: outcome.receipt[name] for name in _COUNTED}
                self._news.setdefault("receipts", []).append({**counted, "at": self._clock()})

    def _is_free(self) -> bool:
        return self._under_way is None or self._under_way.done()

    def _send(self) -> None:
        now = self._clock()
        news, self._news = self._news, {"run": self._run}
        if self._tracker is not None:
            news["progress"] = self._tracker.to_plain()
        if self._disk_free is not None and now - self._looked >= DISK_INTERVAL_S:
            self._looked = now
            try:
                news["disk_free"] = self._disk_free()
            except OSError:
                news["disk_free"] = None
        for receipt in news.get("receipts", ()):
            receipt["age"] = now - receipt.pop("at")
        self._posted = now
        self._under_way = self._post(news)

    def _wait(self) -> None:
        try:
            if self._under_way is not None:
                self._under_way.result(self._patience)
        except Exception as error:
            _log.debug("the dashboard was not told: %s", error)


@contextmanager
def open_feed(
    client: Client, run: str, disk_free: Callable[[], int] | None = None
) -> Iterator[tuple[Feed | None, str]]:
    """Register the plugin and yield the feed of a run, with the address of its page.

    A scheduler that cannot take the plugin, say because distbragg is not installed there,
    gives no feed: the run goes on unwatched.
    """
    link = dashboard_link(client)
    try:
        client.register_plugin(WatchPlugin())
        page = bool(client.run_on_scheduler(has_page))
    except Exception as error:
        _log.warning("this scheduler takes no distbragg page or metrics: %s", error)
        yield None, link
        return
    if page and link:
        link = f"{link.rsplit('/', 1)[0]}/{PAGE}"

    def post(news: News) -> Future[Any] | None:
        loop: Any = client.loop
        if client.status != "running" or loop is None:
            return None
        told: News = {**news, "client": client.id}
        sent = client.run_on_scheduler(deliver, told, asynchronous=True)
        return asyncio.run_coroutine_threadsafe(sent, loop.asyncio_loop)

    feed = Feed(post, run, disk_free)
    state = "stopped"
    try:
        yield feed, link
        state = "ended"
    finally:
        feed.close(state)
