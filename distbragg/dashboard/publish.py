"""The driver's side: how a run stands is logged on the scheduler, once a second at most."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, Final

from distributed import Client

from distbragg.dashboard.plugin import PAGE, PAGE_TOPIC, TOPIC, WatchPlugin
from distbragg.engine.dask_workers import dashboard_link
from distbragg.engine.events import Event, PictureTaken, RunStarted
from distbragg.engine.progress import UNIT_SECONDS, DiskWatch, RunProgress

POST_INTERVAL_S: Final = 1.0
"""Time between two posts, s: a run of a thousand units a second posts no oftener."""

CLOSE_S: Final = 3.0  # longest wait for each of the last two posts, s
PROCESSES_SHOWN: Final = 32  # processes whose time is told: those with most of it
_log = logging.getLogger("distbragg")


@dataclass
class Publisher:
    """Posts how a run stands; an `on_event`.

    `post` sends a message without waiting; at the end of the run its arrival is waited for, for
    `patience_s` at most. `run` is 12 hex digits of the run's identity.
    """

    post: Callable[[dict[str, Any]], Future[Any] | None]
    run: str
    disk_free: Callable[[], int | None] | None = None
    clock: Callable[[], float] = time.monotonic
    patience_s: float = CLOSE_S

    def __post_init__(self) -> None:
        self._execution = uuid.uuid4().hex
        self._disk = DiskWatch(self.disk_free, self.clock)
        self._progress: RunProgress | None = None
        self._picture: dict[str, Any] | None = None
        self._posted = float("-inf")
        self._under_way: Future[Any] | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._progress = RunProgress(event, self.clock)
        elif self._progress is None:
            return  # jobs are asked for before there is a run to tell of
        elif isinstance(event, PictureTaken):
            self._picture = event.picture
        else:
            self._progress(event)
        answered = self._under_way is None or self._under_way.done()
        if answered and self.clock() - self._posted >= POST_INTERVAL_S:
            self._send("running")

    def close(self, state: str) -> None:
        """Post how the run ended; waits a moment for it to arrive."""
        if self._progress is None:
            return
        self._wait()  # for what is under way, so that nothing overtakes it
        self._send(state)
        self._wait()

    def _send(self, state: str) -> None:
        if self._progress is None:
            return
        message = {
            "run": self.run,
            "execution": self._execution,
            "state": state,
            **standing(self._progress),
            "disk_free_bytes": self._disk.free,
            "picture": self._picture,
        }
        self._picture = None
        self._posted = self.clock()
        self._under_way = self.post(message)

    def _wait(self) -> None:
        try:
            if self._under_way is not None:
                self._under_way.result(self.patience_s)
        except Exception as error:
            _log.debug("the dashboard was not told: %s", error)


def standing(progress: RunProgress) -> dict[str, Any]:
    """Tell how a run stands, as plain data of bounded size; `counters` only grow."""
    times = progress.times
    bounds = (*(f"{bound:g}" for bound in UNIT_SECONDS), "+Inf")
    frames, steps = progress.history.rates(progress.settled_s)
    return {
        "path": progress.started.path,
        "title": progress.started.title,
        "progress": progress.to_plain(),
        "counters": {
            "frames": {"": progress.frames_done},
            "pixel_steps": {"": progress.steps_done},
            "bytes": {"": progress.bytes_done},
            "failures": dict(progress.failures),
            "retries": dict(progress.retries),
            "worker_seconds": times.total.spent,
            "unit_seconds": dict(zip(bounds, progress.unit_seconds, strict=True)),
            "unit_seconds_sum": {"": times.total.busy},
        },
        "last_unit": progress.last_unit,
        "history": {"width": progress.history.width, "frames": frames, "steps": steps},
        "processes": [
            {"name": name, "frames": times[name].frames, **times[name].shares()}
            for name in sorted(nlargest(PROCESSES_SHOWN, times, lambda name: times[name].busy))
        ],
        "failed_attempts": list(progress.failed_attempts),
        "left_out": list(progress.left_out),
    }


@contextmanager
def published(
    client: Client, run: str, disk_free: Callable[[], int | None] | None = None
) -> Iterator[tuple[Publisher | None, str]]:
    """Register the plugin; yield the publisher of a run, or None, and the address of its page."""
    link = dashboard_link(client)
    try:
        client.register_plugin(WatchPlugin())
        page = any(message["page"] for _, message in client.get_events(PAGE_TOPIC))
    except Exception as error:
        _log.warning("this scheduler takes no distbragg page or metrics: %s", error)
        yield None, link
        return
    if page and link:
        link = f"{link.rsplit('/', 1)[0]}/{PAGE}"

    def post(message: dict[str, Any]) -> Future[Any] | None:
        loop: Any = client.loop
        if client.status != "running" or loop is None:
            return None

        async def log() -> None:
            await client.log_event(TOPIC, {**message, "client": client.id})

        return asyncio.run_coroutine_threadsafe(log(), loop.asyncio_loop)

    publisher = Publisher(post, run, disk_free)
    state = "stopped"
    try:
        yield publisher, link
        state = "ended"
    finally:
        publisher.close(state)
