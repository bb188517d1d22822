"""The page of one reader: what its widgets ask for is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import escape
from typing import Any, Final

import numpy as np
from bokeh.document import Document
from bokeh.events import DocumentReady, MouseMove, RangesUpdate, Reset
from numpy.typing import NDArray

from distbragg.errors import DistbraggError
from distbragg.read.columns import Column
from distbragg.viewer.comparison import NAMES, Comparison
from distbragg.viewer.contrast import Contrast
from distbragg.viewer.controls import Controls, lines_html, palette_of, table_html
from distbragg.viewer.frames import Source, Watcher
from distbragg.viewer.graphs import Graphs
from distbragg.viewer.kinds import Kind, kind_of
from distbragg.viewer.layout import TEMPLATE, first_picture, lay_out, name_sources, readout
from distbragg.viewer.levels import Limits, to_levels
from distbragg.viewer.pane import SPOTS_SHOWN, Pane
from distbragg.viewer.plane import Picture, Plane, Pooling, Pyramid, Window
from distbragg.viewer.pointer import describe, nearest_spot
from distbragg.viewer.settling import Found, Settling, Work
from distbragg.viewer.sight import Sight

LIVE_MS: Final = 1000  # milliseconds between two looks at what the watcher saw
_MARGIN: Final = 0.2  # share of the window that is drawn beyond each of its edges


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
        self.controls = Controls(sources[0], sources[1] if len(sources) > 1 else None, start)
        self.experiment = sources[0].experiment(start)
        self.plane = Plane(self.experiment)
        self.sight = Sight(Pane.guess)
        self.panes = [Pane(self.sight, self.plane.unit) for _ in sources]
        self.graphs, self.readout = Graphs(), readout()
        self.contrast, self.comparison = Contrast(self.controls), Comparison()
        self.settling = Settling(document, workers)
        self.frames: list[Pyramid | None] = [None] * len(sources)
        self._stored: list[NDArray[Any] | None] = [None] * len(sources)
        self._missing: list[str] = [""] * len(sources)
        self._masked: NDArray[np.bool_] | None = None
        self._mask: Pyramid | None = None
        self._spots: dict[str, Column] = {}
        self._shown, self._version, self._marked = -1, watcher.version, False
        self._loaded = False  # whether the browser has got the page
        self._asked: set[Callable[[], None]] = set()
        self._busy, self._note = False, ""
        names = " | ".join(source.title or source.name for source in sources)
        document.title = f"{names} - distbragg"
        name_sources(self.controls, sources)
        root = lay_out(self.controls, self.panes, self.readout, self.graphs)
        self._listen()
        document.add_root(root)  # events of a model that is there already reach nobody
        self.sight.fit(self.plane, self.panes[0].points)
        self.show_frame()
        document.template = TEMPLATE
        document.template_variables["first"] = self._first_picture()

    def _listen(self) -> None:
        controls = self.controls
        controls.listen(self.document)
        self.document.on_event(DocumentReady, self._begin)
        controls.frame.on_change("value", self._when(self.show_frame))
        controls.kind.on_change("value", self._when(self.show_kind))
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
    def kind(self) -> Kind:
        """What is shown of frames: images or a map."""
        return kind_of(self.controls.kind.value)

    def fit_and_draw(self) -> None:
        """Show the whole detector."""
        self.sight.fit(self.plane, self.panes[0].points)
        self.draw()

    def _resized(self) -> None:
        self.sight.resize(self.plane, self.panes[0].points)
        self.draw()

    def _zoomed(self) -> None:
        self.sight.zoomed()
        self.draw()

    def show_kind(self) -> None:
        """Show another array of the frame; limits that were fixed are of no use for it."""
        self.controls.fixed.active = False
        self.show_frame()

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
        if number != self._shown:
            self._spots = {}
        self._shown, self._note = number, ""
        first, before = self.sources[0], self.experiment
        now = self.experiment = first.experiment(number)
        if now.detector is not before.detector:
            self.plane = Plane(now)
        self._set_axes(number)
        self.controls.labels.text = table_html(first.labels(number))
        for index, source in enumerate(self.sources):
            self._read(index, source, number)
        masked = first.masked(number)
        if masked is not self._masked:
            self._masked = masked
            self._mask = None if masked is None else Pyramid(masked.astype(np.float32))
        if not self._marked or before.detector is not now.detector or before.beam is not now.beam:
            self._mark()
        self._tell()

    def _read(self, index: int, source: Source, number: int) -> None:
        """Read the frame of one source, or say why it is not there."""
        there = number < source.frames
        try:
            stored = source.values(number, self.kind.name) if there else None
        except (DistbraggError, OSError, MemoryError) as error:
            stored, reason = None, " ".join(str(error).split())
        else:
            reason = source.why_missing(number) if there else "no such frame"
        self._stored[index] = stored
        self.frames[index] = None if stored is None else self.kind.pyramid(stored)
        self._missing[index] = "" if stored is not None else reason

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
        kind, window = self.kind, self.sight.window
        beyond = Window(
            window.left - _MARGIN * window.width,
            window.right + _MARGIN * window.width,
            window.low - _MARGIN * window.height,
            window.high + _MARGIN * window.height,
        )
        columns, rows = self.panes[0].points
        points = int(columns * (1.0 + 2.0 * _MARGIN)), int(rows * (1.0 + 2.0 * _MARGIN))
        hidden = self._hidden(beyond, points)
        for index, pane in enumerate(self.panes):
            frame, compares = self._compared(index)
            picture = None
            if frame is not None:
                how: Pooling = "extreme" if compares else self._pooling
                picture = self.plane.picture(frame, beyond, points, how)
            limits = self._limits(index, frame, picture, compares=compares)
            pane.colours(self._palette, diverging=compares, bar=not kind.names)
            if len(self.panes) > 1:
                pane.name_it(NAMES[self.controls.comparison_name] if compares else "AB"[index])
            pane.draw(picture, limits, hidden)
            pane.say("" if frame is not None else self._why(index), window)
            stored = frame.frame if frame is not None and compares else self._stored[index]
            values = stored if "values" in self.controls.overlays and frame is not None else None
            pane.write_values(values, frame, self.plane, window, text=kind.text, limits=limits)
        self._draw_spots()

    @property
    def _pooling(self) -> Pooling:
        asked: Pooling = self.controls.pooling.value
        return self.kind.pooling or asked

    @property
    def _palette(self) -> list[str]:
        return palette_of(self.controls.palette.value, self.kind)

    def _hidden(self, window: Window, points: tuple[int, int]) -> Picture | None:
        if self._mask is None or "mask" not in self.controls.overlays:
            return None
        return self.plane.picture(self._mask, window, points, "mean")

    def _first_picture(self) -> str:
        """Return the picture that a browser shows while it loads the page; none of a pair."""
        frame, plane, points = self.frames[0], self.plane, self.panes[0].points
        if frame is None or len(self.panes) > 1:
            return ""
        picture = plane.picture(frame, plane.bounds, points, self._pooling)
        if picture is None:
            return ""
        hidden = self._hidden(plane.bounds, points)
        masked = None if hidden is None else hidden.values > 0.5
        levels = to_levels(picture.values, self.contrast.limits, masked)
        return first_picture(levels if plane.in_pixels else levels[::-1], self._palette)

    def _compared(self, index: int) -> tuple[Pyramid | None, bool]:
        """Return what a picture shows, and whether it lies about a middle."""
        how = self.controls.comparison_name
        if index == 0 or how == "other" or self.kind.names:
            return self.frames[index], False
        return self.comparison.of(self.frames[0], self.frames[1], how), True

    def _why(self, index: int) -> str:
        return self._missing[index] or next(filter(None, self._missing), "")

    def _limits(
        self, index: int, frame: Pyramid | None, picture: Picture | None, *, compares: bool
    ) -> Limits:
        """Choose the limits of a picture; the second has those of the first, to be compared."""
        if compares:
            return self.contrast.of_difference(picture)
        return self.contrast.of(self.kind, frame) if index == 0 else self.contrast.limits

    def _fix(self) -> None:
        """Keep limits that were typed."""
        self.controls.fixed.active = True
        self.draw()

    def _overlays(self) -> None:
        self._mark()
        self.draw()
        self._settle()

    # --- what follows when a frame stays ------------------------------------------------------

    def _begin(self, _: DocumentReady) -> None:
        """Begin with what follows a frame, which would keep the page from coming."""
        self._loaded = True
        self._settle()

    def _settle(self) -> None:
        if self._loaded:
            self.settling.wait(self._settled)

    def _settled(self) -> None:
        source, frame = self.sources[0], self.frames[0]
        wanted = "spots" in self.controls.overlays and not self._spots
        if wanted and not source.stored_spots:
            self._say("predicting spots …")
        values = None if frame is None or self.kind.names else frame.frame
        work = Work(self._shown, source, self.experiment, values, self._masked, wanted)
        self.settling.work(work, self._take_settled)

    def _take_settled(self, found: Found) -> None:
        with self._told():
            if found.frame == self._shown:
                self._spots = found.spots or self._spots
                self.graphs.show(found.summary)
                self._say(found.problem)
                self._draw_spots()

    def _draw_spots(self) -> None:
        table = self._spots if "spots" in self.controls.overlays else {}
        least = float(self.controls.least.value or 0.0)
        for pane in self.panes:
            marked, inside = pane.spots(table, self.plane, least, self.sight.window)
        if table and not self._note.startswith("no spots"):
            more = "" if inside <= SPOTS_SHOWN else f", the strongest {marked:,} marked"
            self._say(f"{inside:,} spots of at least {least:g} photons here{more}")

    # --- axes, pointer, news ------------------------------------------------------------------

    def _set_axes(self, number: int) -> None:
        at = self.sources[0].sweep.frame_index(number)
        for name, slider in zip(self.controls.axis_names, self.controls.axes, strict=True):
            slider.value = at[name]

    def _from_axes(self) -> None:
        at = (int(slider.value) for slider in self.controls.axes)
        chosen = dict(zip(self.controls.axis_names, at, strict=True))
        self.controls.frame.value = self.sources[0].sweep.frame_at(chosen)
        self.show_frame()

    def _point(self, event: MouseMove) -> None:
        """Say what the pixel under the pointer holds and looks at."""
        if event.x is None or event.y is None:
            return
        place = self.plane.locate(event.x, event.y)
        self.readout.text = "" if place is None else escape(self.describe(*place))

    def describe(self, panel: int, slow: float, fast: float) -> str:
        """Tell of one pixel, and of the spot near it."""
        place = panel, slow, fast
        told = describe(self.experiment, place, self.kind, self._stored, self._masked)
        near = nearest_spot(self._spots, place) if "spots" in self.controls.overlays else ""
        return f"{told}\n{near}" if near else told

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
