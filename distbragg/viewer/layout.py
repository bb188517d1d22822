"""Where the parts of a page stand, and the picture that is there before them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from bokeh.models import Column, Div, Row
from numpy.typing import NDArray

from distbragg.viewer.controls import FIRST, WIDTH, Controls
from distbragg.viewer.frames import Source
from distbragg.viewer.graphs import Graphs
from distbragg.viewer.pane import Pane

_SIDE: Final = WIDTH + 20
_BESIDE: Final = 330

TEMPLATE: Final = f"""
{{% block js_resources %}}{{% endblock %}}
{{% block contents %}}
{{% if first %}}
<img id="{FIRST}" alt="" src="{{{{ first }}}}" style="position: absolute; left: {_SIDE + 55}px;
  top: 72px; width: calc(100vw - {_SIDE + _BESIDE + 130}px); height: calc(100vh - 125px);
  object-fit: contain">
{{% endif %}}
{{{{ super() }}}}
{{{{ bokeh_js }}}}
{{% endblock %}}
"""
"""Page of a document: scripts, which take most of the time, are loaded after the picture."""


def first_picture(levels: NDArray[np.uint8], palette: Sequence[str]) -> str:
    """Return a picture of levels, first row on top, as an address that holds all of it."""
    from PIL import Image

    picture = Image.fromarray(levels)
    picture.putpalette(b"".join(bytes.fromhex(colour[1:7]) for colour in palette))
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def name_sources(controls: Controls, sources: Sequence[Source]) -> None:
    """Say which runs are shown."""
    letters = ("A: ", "B: ") if len(sources) > 1 else ("",)
    controls.name.text = "<br>".join(
        f"<b>{escape(letter + source.title)}</b><br>{escape(source.name)}"
        for letter, source in zip(letters, sources, strict=True)
    )


def readout() -> Div:
    """Return the line that tells of the pixel under the pointer."""
    return Div(
        disable_math=True,
        styles={"font-family": "monospace", "font-size": "13px", "white-space": "pre"},
        sizing_mode="stretch_width",
        height=40,
    )


def lay_out(controls: Controls, panes: Sequence[Pane], told: Div, graphs: Graphs) -> Row:
    """Put the controls beside the pictures."""
    side = Column(
        children=controls.children(),
        width=_SIDE,
        sizing_mode="stretch_height",
        styles={"overflow-y": "auto", "overflow-x": "hidden", "padding": "4px"},
    )
    pictures = Row(children=[pane.figure for pane in panes], sizing_mode="stretch_both")
    # One square picture leaves room at its side, two leave it below.
    if len(panes) > 1:
        parts = [told, pictures, graphs.below()]
    else:
        both = [pictures, graphs.beside(_BESIDE)]
        parts = [told, Row(children=both, sizing_mode="stretch_both")]
    return Row(
        children=[side, Column(children=parts, sizing_mode="stretch_both")],
        sizing_mode="stretch_both",
        styles={"position": "absolute", "inset": "0"},
    )
