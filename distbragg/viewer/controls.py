"""The widgets beside the picture, and the keys that work them."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any, Final

from bokeh.events import DocumentReady
from bokeh.models import (
    Button,
    CheckboxButtonGroup,
    CustomJS,
    Div,
    LayoutDOM,
    RadioButtonGroup,
    RangeSlider,
    Row,
    Select,
    Slider,
    Spinner,
    Toggle,
)
from bokeh.palettes import Greys256, Inferno256, Viridis256, interp_palette

from distbragg.viewer.frames import Source
from distbragg.viewer.kinds import Kind
from distbragg.viewer.levels import COLOURS

WIDTH: Final = 290  # of the column of widgets, screen pixels
FIRST: Final = "distbragg-first"
"""Name of the element that shows the frame until the page is ready."""

OVERLAYS: Final = ("rings", "spots", "beam", "mask", "values")
SCALES: Final = ("log", "linear")
COMPARISONS: Final = ("other", "difference", "ratio")
PALETTES: Final = {
    "dark on white": Greys256[::-1],
    "white on black": Greys256,
    "inferno": Inferno256,
    "viridis": Viridis256,
}
KEYS: Final = (
    ("→ ← or n p", "next, previous frame"),
    ("PgDn PgUp", "ten frames on, back"),
    ("l", "logarithmic or linear"),
    ("r s b m v", "rings, spots, beam, mask, values"),
    ("f", "fixed contrast, or a new one for each frame"),
    ("c", "next colours"),
    ("i", "images, or the next variant or map"),
    ("0", "whole detector"),
    ("?", "these keys"),
)

_ON_KEY: Final = """
if (window.distbragg_keys) { return; }
window.distbragg_keys = true;
const toggled = (list, item) =>
  list.includes(item) ? list.filter((x) => x !== item) : [...list, item].sort();
const next = (select) => {
  const at = select.options.indexOf(select.value);
  select.value = select.options[(at + 1) % select.options.length];
};
const move = (step) => {
  frame.value = Math.min(last, Math.max(0, frame.value + step));
};
document.addEventListener("keydown", (event) => {
  const target = event.composedPath()[0];
  if (target && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) { return; }
  if (event.ctrlKey || event.altKey || event.metaKey) { return; }
  const overlay = "rsbmv".indexOf(event.key);
  if (event.key === "ArrowRight" || event.key === "n") { move(1); }
  else if (event.key === "ArrowLeft" || event.key === "p") { move(-1); }
  else if (event.key === "PageDown") { move(10); }
  else if (event.key === "PageUp") { move(-10); }
  else if (event.key === "Home") { move(-frame.value); }
  else if (event.key === "End") { move(last); }
  else if (event.key === "l") { scale.active = 1 - scale.active; }
  else if (event.key === "f") { fixed.active = !fixed.active; }
  else if (event.key === "0" || event.key === "Escape") { whole.value = whole.value + 1; }
  else if (event.key === "?" || event.key === "h") { help.visible = !help.visible; }
  else if (event.key === "c") { next(palette); }
  else if (event.key === "i") { next(kind); }
  else if (overlay >= 0) { shown.active = toggled(shown.active, overlay); }
  else { return; }
  event.preventDefault();
});
"""


def plain_div(**styles: str) -> Div:
    """Return a field of text; what is put there must go through `lines_html` or `table_html`."""
    return Div(disable_math=True, styles=styles, width=WIDTH)


def lines_html(*lines: str) -> str:
    """Write lines of text, whatever they hold, as HTML."""
    return "<br>".join(escape(line) for line in lines)


def table_html(rows: Any) -> str:  # noqa: ANN401 pairs of text
    """Write (name, text) rows, whatever they hold, as an HTML table."""
    cells = "".join(
        f"<tr><td style='padding-right:1em'><b>{escape(name)}</b></td><td>{escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table>{cells}</table>"


@cache
def palette_of(name: str, kind: Kind) -> list[str]:
    """Return the colours of all 256 levels: of values, masked pixels, and nothing twice.

    Values of a kind that has no colours of its own have those of the palette `name`.
    """
    values = kind.palette() or interp_palette(PALETTES[name], COLOURS)
    return [*values, "#5b8fb9", "#c9cdd2", "#c9cdd2"]


class Controls:
    """All widgets of a page. Titles are fixed texts, and names of axes are identifiers."""

    def __init__(self, first: Source, second: Source | None, start: int) -> None:
        last = max(0, first.frames - 1)
        one = first.frames == 1
        self.name = plain_div(**{"overflow-wrap": "anywhere"})
        self.status = plain_div(**{"overflow-wrap": "anywhere"})
        self.labels = plain_div(**{"max-height": "11em", "overflow-y": "auto"})
        self.frame = Spinner(
            title=f"frame, 0 to {last}", low=0, high=last, step=1, value=start, width=120
        )
        self.slider = Slider(
            title="frame",
            start=0,
            end=max(1, last),
            step=1,
            value=start,
            width=WIDTH,
            visible=not one,
            show_value=False,
        )
        self.back, self.on = Button(label="◀", width=45), Button(label="▶", width=45)
        self.follow = Toggle(label="follow", width=60, visible=first.grows and not one)
        self.axes = [
            Slider(title=name, start=0, end=size - 1, step=1, value=0, width=WIDTH)
            for name, size in first.dims
            if len(first.dims) > 1 and size > 1
        ]
        self.axis_names = [str(slider.title) for slider in self.axes]
        kinds = [name for name in first.kinds if second is None or name in second.kinds]
        self.kind = Select(
            title="what is shown",
            options=kinds,
            value=kinds[0],
            width=WIDTH,
            visible=len(kinds) > 1,
        )
        self.scale = RadioButtonGroup(labels=list(SCALES), active=0)
        self.fixed = Toggle(label="fixed contrast", width=110)
        self.percentiles = RangeSlider(
            title="percentiles of the contrast",
            start=0.0,
            end=100.0,
            step=0.05,
            value=(5.0, 99.9),
            format="0.00",
            width=WIDTH,
        )
        self.low = Spinner(
            title="first colour", value=0.0, width=140, mode="float", format="0[.]000"
        )
        self.high = Spinner(
            title="last colour", value=1.0, width=140, mode="float", format="0[.]000"
        )
        self.palette = Select(
            title="colours", options=list(PALETTES), value="dark on white", width=140
        )
        self.pooling = Select(
            title="pixels of a point", options=["brightest", "mean"], value="brightest", width=140
        )
        self.shown = CheckboxButtonGroup(
            labels=list(OVERLAYS), active=[0, 1, 2, 3, 4] if first.stored_spots else [0, 2, 3, 4]
        )
        self.least = Spinner(
            title="spots of at least, photons", value=10.0, low=0.0, step=1.0, width=WIDTH
        )
        self.comparison = RadioButtonGroup(
            labels=list(COMPARISONS), active=0, visible=second is not None
        )
        self.whole = Slider(start=0, end=1_000_000, value=0, step=1, visible=False)
        self.help = plain_div()
        keys = [(key.replace(" ", "\N{NO-BREAK SPACE}"), does) for key, does in KEYS]
        self.help.text, self.help.visible = table_html(keys), False
        self._link(last)

    def _link(self, last: int) -> None:
        """Let the parts that need no data work in the browser alone."""
        self.slider.js_link("value", self.frame, "value")
        self.frame.js_link("value", self.slider, "value")
        step = "frame.value = Math.min(last, Math.max(0, frame.value + by))"
        for button, by in ((self.back, -1), (self.on, 1)):
            given = {"frame": self.frame, "last": last, "by": by}
            button.js_on_event("button_click", CustomJS(args=given, code=step))

    @property
    def keys(self) -> CustomJS:
        """What a document runs once it is ready: it listens to keys."""
        named = ("frame", "scale", "fixed", "whole", "help", "palette", "kind", "shown")
        args = {name: getattr(self, name) for name in named}
        return CustomJS(args={**args, "last": int(self.frame.high or 0)}, code=_ON_KEY)

    def listen(self, document: Any) -> None:  # noqa: ANN401 a Document
        """Listen to keys, and take the picture away that was there first."""
        ready = CustomJS(code=f'document.getElementById("{FIRST}")?.remove()')
        document.js_on_event(DocumentReady, self.keys, ready)

    @property
    def overlays(self) -> set[str]:
        """Names of what is drawn over the picture."""
        return {OVERLAYS[index] for index in self.shown.active}

    @property
    def scale_name(self) -> Any:  # noqa: ANN401 a Scale
        """`log` or `linear`."""
        return SCALES[self.scale.active or 0]

    @property
    def comparison_name(self) -> str:
        """What the second picture shows."""
        return COMPARISONS[self.comparison.active or 0]

    def children(self) -> list[LayoutDOM]:
        """All widgets in the order they stand."""
        return [
            self.name,
            self.status,
            Row(children=[self.frame, self.back, self.on, self.follow]),
            self.slider,
            *self.axes,
            self.labels,
            self.kind,
            Row(children=[self.scale, self.fixed]),
            self.percentiles,
            Row(children=[self.low, self.high]),
            Row(children=[self.palette, self.pooling]),
            self.shown,
            self.least,
            self.comparison,
            self.whole,
            self.help,
        ]
