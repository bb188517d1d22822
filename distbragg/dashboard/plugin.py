"""The scheduler's side: a plugin that keeps how runs stand, and serves the page and the metrics.

The page listens where the dashboard does: on the loopback interface for every cluster that
distbragg starts. A page nobody looks at costs nothing.
"""

from __future__ import annotations

import base64
import io
import logging
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin
from tornado import web

from distbragg.engine.progress import PARTS
from distbragg.templates import fill
from distbragg.templates.charts import bar_chart, time_axis

PAGE: Final = "distbragg"  # path of the page on the dashboard
TOPIC: Final = "distbragg"  # events that tell how a run stands; see `publish.standing`
PAGE_TOPIC: Final = "distbragg-page"  # the event that says whether the dashboard has the page
RUNS_KEPT: Final = 8  # runs a scheduler remembers: those with the latest news
SILENCE_S: Final = 30.0  # without news for longer than this, the page says so
_log = logging.getLogger("distbragg")


@dataclass
class WatchedRun:
    """How a run stands by the latest message, and what it counted in executions before."""

    latest: dict[str, Any]
    clock: Callable[[], float] = time.time
    earlier: dict[str, Counter[str]] = field(default_factory=dict)
    picture: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.posted = self.clock()
        self.picture = self.latest.get("picture")

    def take(self, message: dict[str, Any]) -> None:
        """Take a newer message."""
        if message["execution"] != self.latest["execution"]:
            self.earlier = self.counters()
        self.latest, self.posted = message, self.clock()
        self.picture = message.get("picture") or self.picture

    def counters(self) -> dict[str, Counter[str]]:
        """Return the counters over all executions, by name and label."""
        sums = {name: Counter(counts) for name, counts in self.latest["counters"].items()}
        for name, counts in self.earlier.items():
            sums[name].update(counts)
        return sums

    def eta_s(self) -> float | None:
        """Seconds left by now; None where unknown."""
        eta, state = self.latest["progress"]["eta_s"], self.latest["state"]
        if state != "running":
            return 0.0 if state == "ended" else None
        if eta is None:
            return None
        return max(0.0, float(eta) - (self.clock() - self.posted))

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data, without history and picture."""
        counters = self.counters()
        return {
            **{name: self.latest[name] for name in ("run", "path", "title", "state", "progress")},
            **{name: counters[name][""] for name in ("frames", "pixel_steps", "bytes")},
            "failures": dict(counters["failures"]),
            "retries": dict(counters["retries"]),
            "seconds": dict(counters["worker_seconds"]),
            "eta_s": self.eta_s(),
            "disk_free_bytes": self.latest["disk_free_bytes"],
        }


class WatchPlugin(SchedulerPlugin):
    """Keeps how the runs on a scheduler stand, the one with the latest news last."""

    name = "distbragg-watch"
    idempotent = True

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.runs: OrderedDict[str, WatchedRun] = OrderedDict()
        self._clock = clock

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page and the metrics to the scheduler's web server."""
        try:
            serve(scheduler, self.runs)
        except Exception as error:
            _log.warning("the dashboard has no distbragg page: %s", error)
            scheduler.log_event(PAGE_TOPIC, {"page": False})
        else:
            scheduler.log_event(PAGE_TOPIC, {"page": True})
        try:
            from distbragg.dashboard.metrics import collect_from
        except ModuleNotFoundError:
            return  # metrics are an extra
        collect_from(self.runs)

    def log_event(self, topic: str, msg: Any) -> None:  # noqa: ANN401
        """Keep what the driver of a run logged."""
        if topic != TOPIC:
            return
        run = msg["run"]
        if run in self.runs:
            self.runs[run].take(msg)
        else:
            self.runs[run] = WatchedRun(msg, self._clock)
        self.runs.move_to_end(run)
        while len(self.runs) > RUNS_KEPT:
            self.runs.popitem(last=False)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Mark the runs of a driver that went away without a word as stopped."""
        for run in self.runs.values():
            if run.latest["client"] == client and run.latest["state"] == "running":
                run.latest["state"] = "stopped"


def serve(scheduler: Scheduler, runs: Mapping[str, WatchedRun]) -> None:
    """Add the page and its JSON to a scheduler's web server, under its prefix where known."""
    known = getattr(scheduler, "http_prefix", None)
    prefix = "(?:/.*)?" if known is None else re.escape(known.rstrip("/"))
    scheduler.http_application.add_handlers(
        r".*",
        [
            (rf"{prefix}/{PAGE}", _PageHandler, {"runs": runs}),
            (rf"{prefix}/{PAGE}/status\.json", _StatusHandler, {"runs": runs}),
        ],
    )
    # Dask has no public way into the bar of its pages: without it the page has its address alone.
    with suppress(Exception):
        from distributed.dashboard.scheduler import template_variables

        pages = template_variables(scheduler)["pages"]
        if PAGE not in pages:
            pages.append(PAGE)


class _Handler(web.RequestHandler):
    def initialize(self, runs: Mapping[str, WatchedRun]) -> None:
        self.runs = runs


class _PageHandler(_Handler):
    """Shows the run with the latest news."""

    def get(self) -> None:
        self.write(page_html(next(reversed(list(self.runs.values())), None)))


class _StatusHandler(_Handler):
    """Tells of every run, the one with the latest news last."""

    def get(self) -> None:
        self.write({"runs": [run.to_plain() for run in self.runs.values()]})


def page_html(run: WatchedRun | None) -> str:
    """Fill in the page of a run; None where there has been none."""
    if run is None:
        return fill("dashboard.html", run=None, page=PAGE)
    latest, silent = run.latest, run.clock() - run.posted
    elapsed = latest["progress"]["elapsed_s"] + silent
    history = latest["history"]
    axis = time_axis(history["width"] * len(history["frames"]), "time since the start")
    millions = [value / 1e6 for value in history["steps"]]
    return fill(
        "dashboard.html",
        page=PAGE,
        run=latest,
        progress=latest["progress"],
        parts=PARTS,
        eta_s=run.eta_s(),
        silent_s=silent if latest["state"] == "running" and silent > SILENCE_S else None,
        frames=bar_chart(axis, history["frames"], "frames / s", "Frames per second"),
        steps=bar_chart(axis, millions, "Msteps / s", "Million steps per second"),
        failed=[
            {**attempt, "age_s": max(0.0, elapsed - attempt["time"])}
            for attempt in reversed(latest["failed_attempts"])
        ],
        picture=run.picture,
        png=png_base64(run.picture) if run.picture else "",
    )


def png_base64(picture: Mapping[str, Any]) -> str:
    """Colour a thumbnail (see `export.scaling.thumbnail`) and write it as PNG, base64."""
    from bokeh.palettes import Inferno256
    from PIL import Image

    rows, columns = picture["shape"]
    image = Image.frombytes("P", (columns, rows), picture["levels"])
    image.putpalette(bytes.fromhex("".join(colour[1:7] for colour in Inferno256)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
