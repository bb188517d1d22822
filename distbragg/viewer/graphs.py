"""Radial profile and histogram of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from bokeh.models import Column, ColumnDataSource, LogTicker, Row, Spacer
from bokeh.plotting import figure
from numpy.typing import NDArray

from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.pixels import coordinates_of_pixels, radial_profile

_MOST_PIXELS: Final = 4_200_000
"""Pixels of a frame that are looked at, at most: of a larger one every other row, or fewer."""

HEIGHT: Final = 200  # of a graph, screen pixels
_BINS: Final = 300
_BARS: Final = 80
_DECADES: Final = 8.0  # of the histogram at most


@dataclass(frozen=True, slots=True)
class Summary:
    """Radial profile and histogram of a frame."""

    q: Float64Array  # 1/Å, middles of bins
    mean: Float64Array  # of the pixels of each bin; NaN where it holds none
    edges: Float64Array  # of the bars
    count: NDArray[np.int64]  # pixels
    zeros: int  # pixels that hold nothing or less, which no bar counts
    every: int  # rows: one in so many was looked at


class Profiler:
    """Profiles frames; what the pixels look at is kept while the geometry stays."""

    def __init__(self) -> None:
        self._geometry: tuple[Any, ...] = ()
        self._q: list[Float64Array] = []

    def summary(
        self, values: NDArray[Any], experiment: Experiment, masked: NDArray[np.bool_] | None
    ) -> Summary:
        """Profile a frame, (panels, slow, fast); masked pixels, and padding, do not count."""
        every = math.ceil(values.size / _MOST_PIXELS)
        geometry = experiment.detector, experiment.beam, every
        if len(self._geometry) != 3 or any(
            new is not old for new, old in zip(geometry, self._geometry, strict=True)
        ):
            self._q = [
                coordinates_of_pixels(
                    experiment,
                    index,
                    np.arange(0, panel.pixels[0], every)[:, np.newaxis],
                    np.arange(panel.pixels[1]),
                ).q
                for index, panel in enumerate(experiment.detector.panels)
            ]
            self._geometry = geometry
        parts = [
            values[index, : panel.pixels[0] : every, : panel.pixels[1]].astype(np.float64)
            for index, panel in enumerate(experiment.detector.panels)
        ]
        if masked is not None:
            for index, part in enumerate(parts):
                slow, fast = experiment.detector.panels[index].pixels
                part[masked[index, :slow:every, :fast]] = np.nan
        pixels = np.concatenate([part.ravel() for part in parts])
        q = np.concatenate([part.ravel() for part in self._q])
        bounds = np.linspace(float(q.min()), float(q.max()), _BINS + 1)
        profile = radial_profile(pixels, q, bounds)
        positive = pixels[pixels > 0.0]
        high = math.log10(float(positive.max(initial=10.0)))
        low = max(math.log10(float(positive.min(initial=1.0))), high - _DECADES)
        # The first bar counts what is smaller too.
        logs = np.maximum(np.log10(positive), low)
        count, edges = np.histogram(logs, np.linspace(low, high + 1e-9, _BARS + 1))
        zeros = int(np.count_nonzero(pixels <= 0.0))
        middles = (bounds[:-1] + bounds[1:]) / 2.0
        return Summary(middles, profile.mean, 10.0**edges, count, zeros, every)


class Graphs:
    """The two figures: made when there is something to draw, so that a frame is there sooner."""

    def __init__(self) -> None:
        self._profile = ColumnDataSource({"x": [], "y": [], "d": []})
        self._bars = ColumnDataSource({"left": [], "right": [], "top": []})
        self._figures: list[Any] = []
        self._place: Column | Row | None = None

    def beside(self, width: int) -> Column:
        """Return a place for both beside the picture, one above the other."""
        self._place = Column(children=[Spacer()], width=width)
        return self._place

    def below(self) -> Row:
        """Return a place for both below the pictures."""
        self._place = Row(children=[Spacer()], sizing_mode="stretch_width", height=HEIGHT)
        return self._place

    def _make(self) -> None:
        common = {"height": HEIGHT, "sizing_mode": "stretch_width", "min_width": 300}
        profile = figure(
            **common,
            x_axis_label="q / (1/Å)",
            y_axis_label="mean value",
            tools="pan,box_zoom,wheel_zoom,reset,hover",
            tooltips=[("q", "@x{0.000} 1/Å"), ("d", "@d{0.00} Å"), ("mean", "@y{0.000}")],
            toolbar_location=None,
        )
        profile.line("x", "y", source=self._profile, line_color="#0072b2", line_width=1.5)
        histogram = figure(
            **common,
            y_axis_label="pixels",
            x_axis_type="log",
            y_axis_type="log",
            tools="pan,box_zoom,wheel_zoom,reset",
            toolbar_location=None,
        )
        histogram.quad(
            left="left",
            right="right",
            top="top",
            bottom=0.5,
            source=self._bars,
            fill_color="#0072b2",
            line_color=None,
        )
        histogram.xaxis.ticker = LogTicker(desired_num_ticks=4, num_minor_ticks=0)
        self._figures = [profile, histogram]

    def show(self, summary: Summary | None) -> None:
        """Draw a frame's, or nothing."""
        for one in self._figures:
            one.visible = summary is not None
        if summary is None:
            for source in (self._profile, self._bars):
                source.data = {name: [] for name in source.data}
            return
        there = np.isfinite(summary.mean)
        q = summary.q[there]
        self._profile.data = {"x": q, "y": summary.mean[there], "d": 2.0 * math.pi / q}
        filled = summary.count > 0
        self._bars.data = {
            "left": summary.edges[:-1][filled],
            "right": summary.edges[1:][filled],
            "top": summary.count[filled],
        }
        if not self._figures:
            self._make()
        profile, histogram = self._figures
        rows = "" if summary.every == 1 else f", one row in {summary.every}"
        profile.title.text = f"radial profile{rows}"
        histogram.title.text = f"histogram{rows}"
        # All of it would not fit into a title.
        histogram.xaxis.axis_label = f"value; {summary.zeros:,} pixels at 0 or less"
        if self._place is not None and self._place.children != self._figures:
            self._place.children = list(self._figures)
