"""The scheduler's side: a plugin that keeps the counts, and adds the page and the metrics."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from distbragg.graph.watch.tally import News, Tallies

if TYPE_CHECKING:
    from distributed import Scheduler

NAME = "distbragg-watch"
PAGE = "distbragg"
"""Path of the page on the dashboard."""

_log = logging.getLogger("distbragg")


class WatchPlugin(SchedulerPlugin):
    """Keeps the counts of the runs on a scheduler; registering it again changes nothing.

    Attributes
    ----------
    tallies : Tallies
    page : bool
        Whether the dashboard has the page; without bokeh there is no dashboard.
    """

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self.tallies = Tallies()
        self.page = False

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page and the metrics to the scheduler's web server."""
        self.page = add_page(scheduler, self.tallies)
        add_metrics(self.tallies)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Notice a driver that was killed."""
        self.tallies.lose(client)


def deliver(news: News, *, dask_scheduler: Scheduler) -> None:
    """Hand news to the plugin; runs on the scheduler."""
    plugin = dask_scheduler.plugins.get(NAME)
    if isinstance(plugin, WatchPlugin):
        plugin.tallies.take(news)


def has_page(*, dask_scheduler: Scheduler) -> bool:
    """Whether the dashboard has the page; runs on the scheduler."""
    plugin = dask_scheduler.plugins.get(NAME)
    return isinstance(plugin, WatchPlugin) and plugin.page


def add_page(scheduler: Scheduler, tallies: Tallies) -> bool:
    """Add the page to the scheduler's dashboard; tell whether it has one.

    The dashboard's parts are not a public interface: where they have changed, a run goes on
    without the page.
    """
    application: Any = getattr(scheduler, "http_application", None)
    if application is None or not hasattr(application, "add_application"):
        return False
    if not any("Bokeh" in type(part).__name__ for part in application.applications):
        return False
    try:
        from distbragg.graph.watch.page import connect

        connect(scheduler, tallies)
    except Exception as error:
        _log.warning("the dashboard has no distbragg page: %s", error)
        return False
    return True


def add_metrics(tallies: Tallies) -> None:
    """Let the scheduler's `/metrics` tell the counts, where prometheus_client is installed."""
    try:
        from distbragg.graph.watch.metrics import collect_from
    except ModuleNotFoundError:
        return
    collect_from(tallies)
