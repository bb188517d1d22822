"""The distbragg page of the scheduler's dashboard, drawn with bokeh.

It is served by the scheduler's own web server and listens where that does: on the loopback
interface for every cluster that distbragg starts. A page nobody looks at costs nothing.
"""

# distributed and bokeh have no type hints on most of their methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    HoverTool,
    LinearColorMapper,
    Range1d,
)
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.tables import DataTable, TableColumn
from bokeh.palettes import Inferno256
from bokeh.plotting import figure
from distributed.dashboard.components.scheduler import BOKEH_THEME, env
from distributed.dashboard.core import BokehApplication
from distributed.dashboard.scheduler import template_variables
from tornado import web
from tornado.ioloop import IOLoop

from distbragg.graph.quantities import counted, duration, scaled
from distbragg.graph.watch.plugin import PAGE
from distbragg.graph.watch.tally import PARTS, RunTally, Tallies
from distbragg.graph.worker_time import WorkerTime

if TYPE_CHECKING:
    from bokeh.document import Document
    from distributed import Scheduler

UPDATE_MS: Final = 1000
WORKERS_SHOWN: Final = 32
"""Processes whose time is drawn: those with most of it."""

SILENCE_S: Final = 30.0
"""Without news for longer than this, the page says so."""

STRETCHES: Final = (*PARTS, "waiting")
COLOURS: Final = ("#3d8b6e", "#2f6f9f", "#d9a441", "#d9dee4")
_PICTURE_EDGE: Final = 380


class RunPage:
    """The models of the page, and how they follow the counts.

    Parameters
    ----------
    tallies : Tallies
    """

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._picture: dict[str, Any] | None = None
        self.head = Div(sizing_mode="stretch_width")
        self.history = ColumnDataSource({"minutes": [], "frames": [], "steps": []})
        self.workers = ColumnDataSource({name: [] for name in ("worker", "frames", *STRETCHES)})
        self.failures = ColumnDataSource({name: [] for name in ("when", "unit", "fate", "reason")})
        self.image = ColumnDataSource({"image": [], "width": [], "height": []})
        self.caption = Div(sizing_mode="stretch_width")
        self._names = FactorRange()
        self._edges = Range1d(start=0, end=1), Range1d(start=0, end=1)
        self._split = self._split_figure()
        self._frame = self._picture_figure()
        self._table = self._failure_table()
        left = column(
            self._rate_figure("frames", "frames / s", "#2f6f9f"),
            self._rate_figure("steps", "million pixel-steps / s", "#3d8b6e"),
            sizing_mode="stretch_width",
        )
        right = column(self._frame, self.caption, width=_PICTURE_EDGE)
        self.root = column(
            self.head,
            row(left, right, sizing_mode="stretch_width"),
            self._split,
            self._table,
            sizing_mode="stretch_width",
        )

    def update(self) -> None:
        """Show the run with the latest news."""
        tally = self._tallies.latest()
        self.head.text = head_html(tally)
        if tally is None:
            return
        self._update_history(tally)
        self._update_workers(tally)
        self._update_picture(tally)
        self._table.visible = bool(tally.recent)
        latest = list(reversed(tally.recent))
        self.failures.data = {
            "when": [f"{duration(max(0.0, tally.clock() - item.time))} ago" for item in latest],
            "unit": [item.unit for item in latest],
            "fate": [item.fate for item in latest],
            "reason": [item.reason for item in latest],
        }

    def _update_history(self, tally: RunTally) -> None:
        places, frames, steps = tally.history.rates(tally.settled())
        self.history.data = {
            "minutes": [place / 60.0 for place in places],
            "frames": frames,
            "steps": [value / 1e6 for value in steps],
        }

    def _update_workers(self, tally: RunTally) -> None:
        names = sorted(tally.times, key=lambda name: -tally.times[name].busy)
        shown = sorted(names[:WORKERS_SHOWN], reverse=True)
        shares = [time_shares(tally.times[name]) for name in shown]
        self._names.factors = shown
        self._split.height = 130 + 22 * max(1, len(shown))
        self.workers.data = {
            "worker": shown,
            "frames": [tally.times[name].frames for name in shown],
            **{part: [share[part] for share in shares] for part in STRETCHES},
        }

    def _update_picture(self, tally: RunTally) -> None:
        picture = tally.picture
        if picture is None or picture is self._picture:
            return
        self._picture = picture
        rows, columns = picture["shape"]
        levels = np.frombuffer(picture["levels"], dtype=np.uint8).reshape(rows, columns)
        # Bokeh draws the first row at the bottom; an image's slow axis runs downwards.
        self.image.data = {"image": [levels[::-1]], "width": [columns], "height": [rows]}
        self._edges[0].end, self._edges[1].end = columns, rows
        self._frame.height = min(2 * _PICTURE_EDGE, round(_PICTURE_EDGE * rows / columns))
        self.caption.text = (
            "Newest frame that was pictured: blocks of pixels by their brightest, logarithmic; "
            f"the brightest pixel has {picture['max']:.4g} photons"
        )

    def _rate_figure(self, name: str, title: str, colour: str) -> Any:  # noqa: ANN401
        plot: Any = figure(
            title=title, height=190, sizing_mode="stretch_width", tools="", toolbar_location=None
        )
        plot.varea_step(
            x="minutes",
            y1=0,
            y2=name,
            source=self.history,
            fill_color=colour,
            fill_alpha=0.7,
            step_mode="center",
        )
        plot.y_range.start = 0
        plot.xaxis.axis_label = "minutes since the start"
        return plot

    def _split_figure(self) -> Any:  # noqa: ANN401
        plot: Any = figure(
            title="What each process spends its time on, %",
            y_range=self._names,
            x_range=Range1d(start=0, end=100),
            height=130,
            sizing_mode="stretch_width",
            tools="",
            toolbar_location=None,
        )
        plot.hbar_stack(
            STRETCHES,
            y="worker",
            height=0.8,
            color=COLOURS,
            source=self.workers,
            legend_label=list(STRETCHES),
        )
        plot.add_layout(plot.legend[0], "right")
        tips = [("process", "@worker"), ("frames", "@frames")]
        plot.add_tools(
            HoverTool(tooltips=tips + [(part, f"@{part}{{0.0}} %") for part in STRETCHES])
        )
        return plot

    def _picture_figure(self) -> Any:  # noqa: ANN401
        plot: Any = figure(
            width=_PICTURE_EDGE,
            height=_PICTURE_EDGE,
            x_range=self._edges[0],
            y_range=self._edges[1],
            tools="",
            toolbar_location=None,
        )
        plot.axis.visible = False
        plot.grid.visible = False
        mapper = LinearColorMapper(palette=Inferno256, low=0, high=255)
        plot.image(
            image="image",
            x=0,
            y=0,
            dw="width",
            dh="height",
            source=self.image,
            color_mapper=mapper,
        )
        return plot

    def _failure_table(self) -> DataTable:
        return DataTable(
            source=self.failures,
            columns=[
                TableColumn(field="when", title="failed attempts", width=110),
                TableColumn(field="unit", title="unit", width=70),
                TableColumn(field="fate", title="then", width=90),
                TableColumn(field="reason", title="reason", width=800),
            ],
            height=180,
            index_position=None,
            reorderable=False,
            visible=False,
            sizing_mode="stretch_width",
        )


class StatusHandler(web.RequestHandler):
    """Tells the counts of every run as JSON."""

    def initialize(self, tallies: Tallies) -> None:
        """Take the counts."""
        self.tallies = tallies

    def get(self) -> None:
        """Answer with `{"runs": [...]}`, the run with the latest news last."""
        self.write({"runs": [tally.to_plain() for tally in self.tallies.all()]})


def connect(scheduler: Scheduler, tallies: Tallies) -> None:
    """Add the page to the scheduler's dashboard, with its name in the bar of pages."""
    prefix = getattr(scheduler, "http_prefix", "") or ""
    variables = template_variables(scheduler)
    if PAGE not in variables["pages"]:
        # The list is the dashboard's own: its other pages show the name too.
        variables["pages"].append(PAGE)
    application = BokehApplication(
        {f"/{PAGE}": partial(_make_document, tallies)},
        scheduler,
        prefix=prefix,
        template_variables=variables,
    )
    path = f"/{prefix.strip('/')}/{PAGE}" if prefix.strip("/") else f"/{PAGE}"
    scheduler.http_application.add_application(application)
    scheduler.http_application.add_handlers(
        ".*", [(rf"{path}/status.json", StatusHandler, {"tallies": tallies})]
    )
    application.initialize(IOLoop.current())
    application.start()


def time_shares(worker: WorkerTime) -> dict[str, float]:
    """Split a process's time from its first unit to the end of its last, in per cent."""
    wall = max(worker.wall, worker.busy, worker.kernel + worker.storage, 1e-9)
    spent = {
        "kernel": worker.kernel,
        "storage": worker.storage,
        "other": max(0.0, worker.busy - worker.kernel - worker.storage),
    }
    spent["waiting"] = max(0.0, wall - sum(spent.values()))
    return {part: 100.0 * seconds / wall for part, seconds in spent.items()}


def head_html(tally: RunTally | None) -> str:
    """One paragraph on a run: how far, how fast, how long, what failed."""
    if tally is None:
        return "<h2>No run yet</h2>"
    now = tally.progress
    eta, outside = tally.eta_s(), now.get("outside_kernel")
    facts = [
        f"{now.get('frames_done', 0):,} of {now.get('frames', 0):,} frames",
        f"{now.get('frames_per_s', 0.0):.3g} frames/s",
        f"{scaled(now.get('steps_per_s', 0.0))}steps/s",
        counted(now.get("workers", 0), "worker"),
        f"{counted(now.get('frames_failed', 0), 'frame')} failed",
        counted(now.get("retries", 0), "retry", "retries"),
    ]
    if tally.state == "running":
        facts.insert(3, "? left" if eta is None else f"{duration(eta)} left")
    if outside is not None:
        facts.append(f"{100 * outside:.0f} % outside the kernel")
    if tally.disk_free is not None:
        facts.append(f"{scaled(tally.disk_free)}B free on disk")
    silent = tally.clock() - tally.posted
    if tally.state == "running" and silent > SILENCE_S:
        facts.append(f"last news {duration(silent)} ago")
    title = tally.title or tally.path or tally.run
    return (
        f"<h2 style='margin:0'>{escape(title)}: {tally.state}</h2>"
        f"<p style='margin:.2em 0'>{' · '.join(facts)}</p>"
        f"<p style='margin:0;color:#5c6570'>{escape(tally.path)} ({tally.run})</p>"
    )


def _make_document(
    tallies: Tallies, scheduler: Scheduler, extra: dict[str, Any], doc: Document
) -> None:
    page = RunPage(tallies)
    page.update()
    doc.title = "distbragg"
    doc.add_root(page.root)
    doc.add_periodic_callback(page.update, UPDATE_MS)
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME
