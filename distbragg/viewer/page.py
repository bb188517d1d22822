"""The page of one reader: what its widgets ask for is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import escape
from typing import Any, Final

import numpy as np
from bokeh.document import Document
from bokeh.events import MouseMove, RangesUpdate, Reset
from bokeh.models import Column, Div, Range1d, Row
from numpy.typing import NDArray

from distbragg.errors import DistbraggError
from distbragg.viewer.controls import WIDTH, Controls, lines_html, table_html
from distbragg.viewer.frames import Source, Watcher
from distbragg.viewer.graphs import Graphs, Profiler, Summary
from distbragg.viewer.levels import Limits, difference_limits, find_limits
from distbragg.viewer.overlays import looker
from distbragg.viewer.pane import SPOTS_SHOWN, Pane, number_text
from distbragg.viewer.plane import Picture, Plane, Pooling, Pyramid, Window

SETTLED_MS: Final = 200
"""Milliseconds without another frame after which spots, profile and histogram are made."""

LIVE_MS: Final = 1000  # milliseconds between two looks at what the watcher saw
_AROUND: Final = 1.01  # size of the plane that is shown at first over that of the detector
_FEW_POINTS: Final = 0.03  # share of a picture's size that it may change by without a new scale
_MARGIN: Final = 0.2  # share of the window that is drawn beyond each of its edges


_NAMES: Final = {"difference": "B - A", "ratio": "log2(B / A)"}


class Page:
    """What one browser shows of one or two sources."""

    def __init__(
        self,
        document: Document,
        sources: tuple[Source, ...],
        watcher: Watcher,
        workers: ThreadPoolExecutor,
        start: int = 0,
    ) -> None:
        self.document, self.sources, self.watcher = document, sources, watcher
        self._workers = workers
        second = sources[1] if len(sources) > 1 else None
        self.controls = Controls(sources[0], second, start)
        self.experiment = sources[0].experiment(start)
        self.plane = Plane(self.experiment)
        self._x, self._y = Range1d(0, 1), Range1d(0, 1)
        self.panes = [Pane(self._x, self._y, self.plane.unit) for _ in sources]
        self.graphs, self._profiler = Graphs(), Profiler()
        self.readout = Div(
            disable_math=True,
            styles={"font-family": "monospace", "font-size": "13px", "white-space": "pre"},
            sizing_mode="stretch_width",
            height=40,
        )
        self.frames: list[Pyramid | None] = [None] * len(sources)
        self._masked: NDArray[np.bool_] | None = None
        self._mask: Pyramid | None = None
        self._spots: dict[str, Any] = {}
        self._limits = Limits(0.0, 1.0, "linear")
        self._shown, self._version = -1, watcher.version
        self._settling: Any = None
        self._asked: set[Callable[[], None]] = set()
        self._busy, self._size, self._note = False, self.panes[0].points, ""
        root = self._lay_out()
        self._listen()
        document.add_root(root)  # events of a model that is there already reach nobody
        self.fit()
        self.show_frame()

    # --- layout -------------------------------------------------------------------------------

    def _lay_out(self) -> Row:
        names = " | ".join(source.title or source.name for source in self.sources)
        self.document.title = f"{names} - distbragg"
        self.controls.name.text = "<br>".join(
            f"<b>{escape(letter + source.title)}</b><br>{escape(source.name)}"
            for letter, source in zip(("A: ", "B: "), self.sources, strict=False)
        )
        if len(self.sources) == 1:
            only = self.sources[0]
            self.controls.name.text = f"<b>{escape(only.title)}</b><br>{escape(only.name)}"
        side = Column(
            children=self.controls.children(),
            width=WIDTH + 20,
            sizing_mode="stretch_height",
            styles={"overflow-y": "auto", "overflow-x": "hidden", "padding": "4px"},
        )
        pictures = Row(children=[pane.figure for pane in self.panes], sizing_mode="stretch_both")
        # One square picture leaves room at its side, two leave it below.
        both = [self.graphs.profile, self.graphs.histogram]
        if len(self.panes) > 1:
            below = Row(children=both, sizing_mode="stretch_width")
            parts = [self.readout, pictures, below]
        else:
            beside = Column(children=both, width=330)
            parts = [
                self.readout,
                Row(children=[pictures, beside], sizing_mode="stretch_both"),
            ]
        main = Column(children=parts, sizing_mode="stretch_both")
        return Row(
            children=[side, main],
            sizing_mode="stretch_both",
            styles={"position": "absolute", "inset": "0"},
        )

    def _listen(self) -> None:
        controls = self.controls
        controls.listen(self.document)
        controls.frame.on_change("value", self._when(self.show_frame))
        for slider in controls.axes:
            slider.on_change("value", self._when(self._from_axes))
        for widget, name in (
            (controls.scale, "active"),
            (controls.fixed, "active"),
            (controls.percentiles, "value"),
            (controls.palette, "value"),
            (controls.pooling, "value"),
            (controls.comparison, "active"),
        ):
            widget.on_change(name, self._when(self.draw))
        for widget in (controls.low, controls.high):
            widget.on_change("value", self._when(self._fix))
        controls.shown.on_change("active", self._when(self._overlays))
        controls.least.on_change("value", self._when(self._draw_spots))
        controls.whole.on_change("value", self._when(self.fit_and_draw))
        for pane in self.panes:
            pane.figure.on_event(RangesUpdate, self._soon(self._zoomed))
            pane.figure.on_event(Reset, self._soon(self.fit_and_draw))
            pane.figure.on_event(MouseMove, self._point)
        self.panes[0].figure.on_change("inner_width", self._when(self._resized))
        self.panes[0].figure.on_change("inner_height", self._when(self._resized))
        if any(source.grows for source in self.sources):
            self.document.add_periodic_callback(self._live, LIVE_MS)

    def _when(self, action: Callable[[], None]) -> Callable[[str, Any, Any], None]:
        """Return a callback of a property, deaf to what the page itself sets."""

        def changed(name: str, old: object, new: object) -> None:
            del name, old, new
            if not self._busy:
                self._ask(action)

        return changed

    def _soon(self, action: Callable[[], None]) -> Callable[[Any], None]:
        return lambda _: self._ask(action)

    def _ask(self, action: Callable[[], None]) -> None:
        """Do something once all that the browser has sent was read: of many wishes the last."""
        if action in self._asked:
            return
        self._asked.add(action)

        def act() -> None:
            self._asked.discard(action)
            with self._told():
                action()

        self.document.add_next_tick_callback(act)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what goes wrong on the page, and be deaf to what the page itself sets."""
        busy, self._busy = self._busy, True
        try:
            yield
        except (DistbraggError, OSError, MemoryError) as error:
            self._say(f"error: {' '.join(str(error).split())}")
        finally:
            self._busy = busy

    # --- the frame ----------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Flat number of the frame that is asked for."""
        asked = self.controls.frame.value
        return min(max(int(asked or 0), 0), self.sources[0].frames - 1)

    @property
    def window(self) -> Window:
        """What the picture shows of the plane."""
        x, y = sorted((self._x.start, self._x.end)), sorted((self._y.start, self._y.end))
        return Window(x[0], x[1], y[0], y[1])

    def fit(self) -> None:
        """Show the whole detector, pixels as high as wide."""
        bounds, (columns, rows) = self.plane.bounds, self.panes[0].points
        unit = _AROUND * max(bounds.width / columns, bounds.height / rows)
        self._scale(bounds, unit)
        self._whole = True

    def fit_and_draw(self) -> None:
        """Show the whole detector."""
        self.fit()
        self.draw()

    def _scale(self, window: Window, unit: float) -> None:
        """Show the middle of a window, points of the screen `unit` wide."""
        columns, rows = self.panes[0].points
        x, y = (window.left + window.right) / 2.0, (window.low + window.high) / 2.0
        half = unit * columns / 2.0, unit * rows / 2.0
        down = -1.0 if self.plane.in_pixels else 1.0
        ends = y - down * half[1], y + down * half[1]
        self._x.update(start=x - half[0], end=x + half[0], reset_start=None, reset_end=None)
        self._y.update(start=ends[0], end=ends[1], reset_start=None, reset_end=None)

    def _resized(self) -> None:
        """Keep pixels as high as wide where the picture got another size.

        Longer labels of an axis, as a zoom brings them, take a few points off the picture. A scale
        set for those would take back what the browser has zoomed meanwhile.
        """
        before, now = self._size, self.panes[0].points
        if max(abs(new / old - 1.0) for new, old in zip(now, before, strict=True)) > _FEW_POINTS:
            self._size = now
            if self._whole:
                self.fit()
            else:
                self._scale(self.window, self.window.width / before[0])
        self.draw()

    def _zoomed(self) -> None:
        self._whole = False
        self.draw()

    def show_frame(self) -> None:
        """Read the frame that is asked for, and draw it."""
        number, busy = self.number, self._busy
        self._busy = True
        try:
            self._take(number)
        finally:
            self._busy = busy
        with self._told():
            self.draw()
            self._settle()

    def _take(self, number: int) -> None:
        self._shown, self._spots = number, {}
        first = self.sources[0]
        before = self.experiment
        self.experiment = first.experiment(number)
        if self.experiment.detector is not before.detector:
            self.plane = Plane(self.experiment)
        self._set_axes(number)
        self.controls.labels.text = table_html(first.labels(number))
        self.frames, notes = [], []
        for source in self.sources:
            there = number < source.frames
            try:
                values = source.values(number) if there else None
            except (DistbraggError, OSError, MemoryError) as error:
                values, reason = None, " ".join(str(error).split())
            else:
                reason = source.why_missing(number) if there else "no such frame"
            self.frames.append(None if values is None else Pyramid(values))
            notes.append("" if values is not None else reason)
        masked = first.masked(number)
        if masked is not self._masked:
            self._masked = masked
            self._mask = None if masked is None else Pyramid(masked.astype(np.float32))
        self._missing = notes
        self._note = ""
        now = self.experiment
        if not self._marked or before.detector is not now.detector or before.beam is not now.beam:
            self._mark()
        self._tell()

    _marked = False
    _missing: list[str]

    def _mark(self) -> None:
        self._marked = True
        for pane in self.panes:
            pane.mark(self.experiment, self.plane, self.controls.overlays)

    def _tell(self) -> None:
        source = self.sources[0]
        lines = [f"frame {self._shown:,} of {source.frames:,}"]
        if source.grows and source.done is not None:
            lines.append(f"{source.done:,} of {source.frames:,} rendered")
        lines += [note for note in (self._note, self.watcher.problem) if note]
        self.controls.status.text = lines_html(*lines)

    def _say(self, note: str) -> None:
        self._note = note
        self._tell()

    # --- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw what the window shows of the frame."""
        pooling: Pooling = self.controls.pooling.value
        window = self.window
        beyond = Window(
            window.left - _MARGIN * window.width,
            window.right + _MARGIN * window.width,
            window.low - _MARGIN * window.height,
            window.high + _MARGIN * window.height,
        )
        columns, rows = self.panes[0].points
        points = int(columns * (1.0 + 2.0 * _MARGIN)), int(rows * (1.0 + 2.0 * _MARGIN))
        hidden = None
        if self._mask is not None and "mask" in self.controls.overlays:
            hidden = self.plane.picture(self._mask, beyond, points, "mean")
        for index, pane in enumerate(self.panes):
            frame, diverging = self._compared(index)
            picture = None
            if frame is not None:
                how: Pooling = "extreme" if diverging else pooling
                picture = self.plane.picture(frame, beyond, points, how)
            limits = self._contrast(frame, picture, index, diverging=diverging)
            pane.colours(self.controls.palette.value, diverging=diverging)
            if len(self.panes) > 1:
                name = _NAMES.get(self.controls.comparison_name, "")
                pane.name_it(name if diverging else "AB"[index])
            pane.draw(picture, limits, hidden)
            pane.say("" if frame is not None else self._why(index), window)
            shown = frame if "values" in self.controls.overlays else None
            pane.write_values(shown, self.plane, window, limits)
        self._draw_spots()

    def _compared(self, index: int) -> tuple[Pyramid | None, bool]:
        """Return what a picture shows, and whether it lies about a middle."""
        if index == 0 or self.controls.comparison_name == "other":
            return self.frames[index], False
        first, second = self.frames[:2]
        if first is None or second is None:
            return None, True
        how = self.controls.comparison_name
        if self._comparison[:3] != (first, second, how):
            one, two = first.frame.astype(np.float32), second.frame.astype(np.float32)
            if how == "difference":
                compared = two - one
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    compared = np.where(one > 0.0, np.log2(two / one), np.nan)
                compared[~np.isfinite(compared)] = np.nan
            self._comparison = first, second, how, Pyramid(compared)
        return self._comparison[3], True

    _comparison: tuple[Any, ...] = ()

    def _why(self, index: int) -> str:
        notes = [note for note in self._missing if note]
        return self._missing[index] or (notes[0] if notes else "")

    def _contrast(
        self, frame: Pyramid | None, picture: Picture | None, index: int, *, diverging: bool
    ) -> Limits:
        """Choose the limits of a picture; the second has those of the first, to be compared."""
        controls = self.controls
        scale = controls.scale_name
        low, high = controls.percentiles.value
        if diverging:
            values = np.zeros((1, 1)) if picture is None else picture.values
            return difference_limits(values, float(high))
        if index > 0:
            return self._limits
        if controls.fixed.active:
            least = 1e-9 if scale == "log" else -np.inf
            first = max(float(controls.low.value or 0.0), least)
            last = float(controls.high.value or 0.0)
            self._limits = Limits(first, last if last > first else first * 2.0 + 1e-9, scale)
        elif frame is not None:
            # Of the whole frame: zooming changes no colour.
            rows = frame.frame.reshape(-1, frame.frame.shape[-1])
            self._limits = find_limits(rows, scale, (float(low), float(high)))
            controls.low.value = float(f"{self._limits.low:.4g}")
            controls.high.value = float(f"{self._limits.high:.4g}")
        return self._limits

    def _fix(self) -> None:
        """Keep limits that were typed."""
        self.controls.fixed.active = True
        self.draw()

    def _overlays(self) -> None:
        self._mark()
        self.draw()
        self._settle()

    # --- what follows when a frame stays ------------------------------------------------------

    def _settle(self) -> None:
        """Make spots, profile and histogram in a while, unless another frame comes."""
        if self._settling is not None:
            self.document.remove_timeout_callback(self._settling)
        self._settling = self.document.add_timeout_callback(self._settled, SETTLED_MS)

    def _settled(self) -> None:
        self._settling = None
        number, source, frame = self._shown, self.sources[0], self.frames[0]
        wanted = "spots" in self.controls.overlays and not self._spots
        experiment, masked = self.experiment, self._masked
        if wanted and not source.stored_spots:
            self._say("predicting spots …")

        def work() -> None:
            summary, spots, problem = None, {}, ""
            try:
                if frame is not None:
                    summary = self._profiler.summary(frame.frame, experiment, masked)
                spots = source.spots(number) if wanted else {}
            except (DistbraggError, OSError, MemoryError) as error:
                problem = f"no spots: {' '.join(str(error).split())}"

            def show() -> None:
                with self._told():
                    self._take_settled(number, summary, spots, problem)

            self.document.add_next_tick_callback(show)

        self._workers.submit(work)

    def _take_settled(
        self, number: int, summary: Summary | None, spots: dict[str, Any], problem: str
    ) -> None:
        if number != self._shown:
            return
        self._spots = spots or self._spots
        self.graphs.show(summary)
        self._say(problem)
        self._draw_spots()

    def _draw_spots(self) -> None:
        table = self._spots if "spots" in self.controls.overlays else {}
        least = float(self.controls.least.value or 0.0)
        for pane in self.panes:
            marked, inside = pane.spots(table, self.plane, least, self.window)
        if table and not self._note.startswith("no spots"):
            more = "" if inside <= SPOTS_SHOWN else f", the strongest {marked:,} marked"
            self._say(f"{inside:,} spots of at least {least:g} photons here{more}")

    # --- axes, pointer, news ------------------------------------------------------------------

    def _set_axes(self, number: int) -> None:
        at = self.sources[0].sweep.frame_index(number)
        for name, slider in zip(self.controls.axis_names, self.controls.axes, strict=True):
            slider.value = at[name]

    def _from_axes(self) -> None:
        chosen = dict(
            zip(
                self.controls.axis_names,
                (int(slider.value) for slider in self.controls.axes),
                strict=True,
            )
        )
        self.controls.frame.value = self.sources[0].sweep.frame_at(chosen)
        self.show_frame()

    def _point(self, event: MouseMove) -> None:
        """Say what the pixel under the pointer holds and looks at."""
        if event.x is None or event.y is None:
            return
        place = self.plane.locate(event.x, event.y)
        self.readout.text = "" if place is None else escape(self.describe(*place))

    def describe(self, panel: int, slow: float, fast: float) -> str:
        """Tell of one pixel: place, values, resolution, angles."""
        seen = looker(self.experiment)(panel, slow, fast)
        row, column = int(slow), int(fast)
        values = [
            "–" if frame is None else number_text(float(frame.frame[panel][row, column]))
            for frame in self.frames
        ]
        named = f"panel {self.experiment.detector.panels[panel].name}  "
        masked = self._masked is not None and bool(self._masked[panel][row, column])
        return (
            f"{named if len(self.plane.sizes) > 1 else ''}"
            f"fast {fast:8.2f}  slow {slow:8.2f}  value {' | '.join(values):>9}"
            f"{'  masked' if masked else ''}  d {float(seen.resolution):7.3f} Å"
            f"  2θ {float(seen.two_theta):6.3f}°  q {float(seen.q):6.4f} 1/Å"
            f"{self._nearest_spot(panel, slow, fast)}"
        )

    def _nearest_spot(self, panel: int, slow: float, fast: float) -> str:
        table = self._spots
        if not table or "spots" not in self.controls.overlays or not len(table["h"]):
            return ""
        away = (table["slow"] - slow) ** 2 + (table["fast"] - fast) ** 2
        away = np.where((table["panel"] == panel) & (table["photons"] > 0.0), away, np.inf)
        at = int(np.argmin(away))
        if not away[at] <= 36.0:
            return ""
        indices = " ".join(str(int(table[name][at])) for name in "hkl")
        lattice = f"  lattice {int(table['lattice'][at])}" if "lattice" in table else ""
        return f"\nspot {indices}  {float(table['photons'][at]):.4g} photons{lattice}"

    def _live(self) -> None:
        """Take what the watcher saw."""
        with self._told():
            newest = self.sources[0].newest
            if self.controls.follow.active and newest is not None and newest != self._shown:
                self.controls.frame.value = newest
                self._version = self.watcher.version
                self.show_frame()
            elif self.watcher.version != self._version:
                self._version = self.watcher.version
                if None in self.frames:
                    self.show_frame()
            self._tell()
