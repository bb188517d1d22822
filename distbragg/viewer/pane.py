"""One picture: its figure, and what is drawn in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.models import (
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    HoverTool,
    Image,
    Label,
    LinearColorMapper,
    LogColorMapper,
    MultiLine,
    PanTool,
    ResetTool,
    SaveTool,
    Scatter,
    Text,
    WheelZoomTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from distbragg.models.experiment import Experiment
from distbragg.read.columns import Column
from distbragg.viewer.kinds import LATTICES
from distbragg.viewer.levels import COLOURS, Limits, to_levels
from distbragg.viewer.overlays import beam_places, rings
from distbragg.viewer.plane import Picture, Plane, Pyramid, Window
from distbragg.viewer.sight import Points, Sight

SPOTS_SHOWN: Final = 3000  # spots that are drawn at most: the strongest of the window
_VALUES_SHOWN: Final = 900  # pixels whose values are written at most
_ROOM: Final = 30.0  # least size on the screen of a pixel whose value is written
_SIGN: Final = 6.0  # width of one sign of a value, about, on the screen
_RING: Final = "#e0861a"
_TOLD: Final = (
    ("h k l", "@h @k @l"),
    ("d", "@resolution{0.000} Å"),
    ("photons", "@photons{0.0}"),
    ("lattice", "@lattice"),
    ("λ", "@wavelength{0.00000} Å"),
    ("partiality", "@partiality{0.000}"),
)
"""What is told of the spot under the pointer."""


class Pane:
    """A picture of one frame, or of the difference of two."""

    guess: Final[Points] = (800, 700)  # size of a picture before the browser has told

    def __init__(self, sight: Sight, unit: str) -> None:
        self.figure = figure(
            x_range=sight.x,
            y_range=sight.y,
            tools=[PanTool(), BoxZoomTool(match_aspect=True), ResetTool(), SaveTool()],
            sizing_mode="stretch_both",
            min_width=300,
            min_height=300,
            toolbar_location="above",
            background_fill_color="#eef0f2",
            x_axis_label="fast / pixels" if unit == "pixels" else "right / mm",
            y_axis_label="slow / pixels" if unit == "pixels" else "up / mm",
            title="",
        )
        wheel = WheelZoomTool()
        self.figure.add_tools(wheel)
        self.figure.toolbar.active_scroll = wheel
        self.figure.grid.visible = False
        self._image = ColumnDataSource({key: [] for key in ("image", "x", "y", "dw", "dh")})
        self._mapper = LinearColorMapper(palette=["#000000"] * 256, low=0, high=255)
        self.figure.add_glyph(
            self._image,
            Image(image="image", x="x", y="y", dw="dw", dh="dh", color_mapper=self._mapper),
        )
        self._bars = {
            "log": ColorBar(color_mapper=LogColorMapper(low=0.1, high=1.0), width=12),
            "linear": ColorBar(color_mapper=LinearColorMapper(low=0.0, high=1.0), width=12),
        }
        for bar in self._bars.values():
            self.figure.add_layout(bar, "right")
        self._bar = True  # whether there is a colour bar
        self._overlays()
        self.missing = Label(
            x=0, y=0, text="", text_align="center", text_baseline="middle", text_color="#7a1f1f"
        )
        self.figure.add_layout(self.missing)

    def _overlays(self) -> None:
        def source(*names: str) -> ColumnDataSource:
            return ColumnDataSource({name: [] for name in names})

        self._rings, self._marks = source("xs", "ys"), source("x", "y", "text")
        self._beam = source("x", "y")
        names = ("x", "y", "colour", "h", "k", "l", "resolution", "photons", "wavelength")
        self._spots = source(*names, "lattice", "partiality")
        self._values = source("x", "y", "text", "colour")
        # Glyphs one by one: the functions of figures add three more of each, for selections.
        draw = self.figure.add_glyph
        draw(self._rings, MultiLine(xs="xs", ys="ys", line_color=_RING, line_width=1.2))
        middle = {"x": "x", "y": "y", "text": "text", "text_align": "center"}
        draw(
            self._marks,
            Text(
                **middle,
                text_baseline="middle",
                text_color="black",
                text_font_size="11px",
                background_fill_color="white",
                background_fill_alpha=0.75,
                padding=2,
            ),
        )
        for colour, width in (("white", 4), ("#c2185b", 2)):
            cross = Scatter(x="x", y="y", marker="cross", size=22)
            cross.update(line_color=colour, line_width=width)
            draw(self._beam, cross)
        ring = Scatter(x="x", y="y", marker="circle", size=12, fill_alpha=0.0)
        ring.update(line_color="colour", line_width=1.3)
        spots = draw(self._spots, ring)
        self.figure.add_tools(HoverTool(renderers=[spots], tooltips=list(_TOLD)))
        draw(
            self._values,
            Text(**middle, text_baseline="middle", text_color="colour", text_font_size="10px"),
        )

    @property
    def points(self) -> Points:
        """Columns and rows of the screen the picture has; a guess before there is one."""
        try:
            width, height = self.figure.inner_width, self.figure.inner_height
        except UnsetValueError:
            return self.guess
        return int(width or self.guess[0]), int(height or self.guess[1])

    def colours(self, colours: list[str], *, diverging: bool, bar: bool) -> None:
        """Take other colours; those of names have no bar."""
        self._bar = bar
        if diverging:
            from bokeh.palettes import RdBu11, interp_palette

            colours = [*interp_palette(RdBu11, COLOURS), "#808080", "#c9cdd2", "#c9cdd2"]
        if self._mapper.palette != colours:
            self._mapper.palette = colours
            for shown in self._bars.values():
                shown.color_mapper.palette = colours[:COLOURS]

    def draw(self, picture: Picture | None, limits: Limits, masked: Picture | None) -> None:
        """Show a picture within limits."""
        if picture is None:
            self._image.data = {key: [] for key in self._image.data}
            return
        hidden = None if masked is None else masked.values > 0.5
        window = picture.window
        self._image.data = {
            "image": [to_levels(picture.values, limits, hidden)],
            "x": [window.left],
            "y": [window.low],
            "dw": [window.width],
            "dh": [window.height],
        }
        for scale, bar in self._bars.items():
            bar.visible = self._bar and scale == limits.scale
            if bar.visible:
                bar.color_mapper.update(low=limits.low, high=limits.high)

    def name_it(self, name: str) -> None:
        """Say which run the picture is of; never text of others, which may hold a formula."""
        self.figure.title.text = name

    def say(self, text: str, window: Window) -> None:
        """Say across the picture what is missing."""
        self.missing.update(
            text=text,
            x=(window.left + window.right) / 2.0,
            y=(window.low + window.high) / 2.0,
        )

    def mark(self, experiment: Experiment, plane: Plane, shown: set[str]) -> None:
        """Draw rings and beam centre."""
        found = rings(experiment, plane) if "rings" in shown else []
        lines = [line for ring in found for line in ring.lines]
        self._rings.data = {
            "xs": [line[:, 0] for line in lines],
            "ys": [line[:, 1] for line in lines],
        }
        self._marks.data = {
            "x": [ring.label[0] for ring in found],
            "y": [ring.label[1] for ring in found],
            "text": [f"{ring.resolution:.4g} Å" for ring in found],
        }
        places = list(beam_places(experiment, plane)) if "beam" in shown else []
        self._beam.data = {"x": [x for x, _ in places], "y": [y for _, y in places]}

    def spots(
        self, table: dict[str, Column], plane: Plane, least: float, window: Window
    ) -> tuple[int, int]:
        """Mark the strongest spots of a window; return how many are marked, and how many lie in it.

        `table` has the columns of `predict.table.Spots`; an empty one has none.
        """
        if not table:
            self._spots.data = {name: [] for name in self._spots.data}
            return 0, 0
        x, y = np.zeros(len(table["h"])), np.zeros(len(table["h"]))
        for panel in np.unique(table["panel"]).tolist():
            on = table["panel"] == panel
            x[on], y[on] = plane.place(panel, table["slow"][on], table["fast"][on])
        inside = (x >= window.left) & (x <= window.right)
        inside &= (y >= window.low) & (y <= window.high) & (table["photons"] >= least)
        chosen = np.flatnonzero(inside)
        strongest = chosen[np.argsort(-table["photons"][chosen], kind="stable")][:SPOTS_SHOWN]
        names = ("h", "k", "l", "resolution", "photons", "wavelength", "partiality")
        lattice = table.get("lattice", np.zeros(len(x), dtype=np.int32))[strongest]
        self._spots.data = {
            "x": x[strongest],
            "y": y[strongest],
            "lattice": lattice,
            "colour": [LATTICES[number % len(LATTICES)] for number in lattice.tolist()],
            **{name: table[name][strongest] for name in names},
        }
        return len(strongest), len(chosen)

    def write_values(
        self,
        stored: NDArray[Any] | None,
        coloured: Pyramid | None,
        plane: Plane,
        window: Window,
        *,
        text: Callable[[Any], str],
        limits: Limits,
    ) -> None:
        """Write the value of every pixel where there is room for them.

        `stored` is (panels, slow, fast, ...), of each pixel what `text` writes, and `coloured` what
        the picture shows of it.
        """
        columns, rows = self.points
        room = min(columns / window.width, rows / window.height) * plane.pixel
        found: dict[str, list[Any]] = {name: [] for name in self._values.data}
        if stored is not None and coloured is not None and room >= _ROOM:
            for panel, slow, fast in plane.pixels_in(window, _VALUES_SHOWN):
                x, y = plane.place(panel, slow + 0.5, fast + 0.5)
                found["x"] += x.tolist()
                found["y"] += y.tolist()
                told = map(text, stored[panel, slow, fast])
                found["text"] += [one if len(one) * _SIGN <= room else "…" for one in told]
                values = np.asarray(coloured.frame[panel][slow, fast], dtype=np.float64)
                found["colour"] += self._legible(to_levels(values[np.newaxis], limits)[0])
        if found["x"] or self._values.data["x"]:
            self._values.data = found

    def _legible(self, levels: NDArray[np.uint8]) -> list[str]:
        """Return black or white for each level, whichever can be read on its colour."""
        return ["black" if _brightness(str(c)) > 0.45 else "white" for c in self._at(levels)]

    def _at(self, levels: NDArray[np.uint8]) -> list[Any]:
        palette: list[Any] = list(self._mapper.palette)
        return [palette[level] for level in levels.tolist()]


def _brightness(colour: str) -> float:
    red, green, blue = bytes.fromhex(colour[1:7])
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0
