"""How pictures look: brightness, colours, colour bars, and their files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from distbragg.errors import InputError

GAMMA: Final = 0.4
"""Exponent of the brightness curve: weak spots stay visible beside strong ones."""

DARKEST, BRIGHTEST = 1.0, 99.7  # percentiles of the pixels that are drawn darkest and brightest
GAP: Final = "0.72"  # colour of what is not a pixel
DPI: Final = 120

_ROUND: Final = 20  # parts of a colour bar between round numbers
_APART: Final = 0.15  # of the length of a colour bar, between ticks at least

_FORMULA: Final = r"\mathdefault"  # which matplotlib begins the numbers of ticks with

FileKind = Literal["png", "pdf", "svg"]
KINDS: Final[tuple[FileKind, ...]] = get_args(FileKind)
_METADATA: Final[dict[FileKind, dict[str, str | None]]] = {
    "png": {"Software": "distbragg"},
    "pdf": {"Creator": "distbragg", "CreationDate": None},
    "svg": {"Creator": "distbragg", "Date": None},
}


@dataclass(frozen=True, slots=True)
class Look:
    """Colours, a matplotlib colour map, and the value of full brightness; None: by the pixels."""

    colors: str = "magma"
    top: float | None = None
    label: str = "photons per pixel"

    def color_map(self) -> Colormap:
        """Return the colour map, what is not drawn transparent."""
        if self.colors not in colormaps:
            raise InputError(
                f"{self.colors!r} is not a colour map of matplotlib",
                remedy="use magma, viridis, gray_r or another name of its gallery",
            )
        return colormaps[self.colors].with_extremes(bad=(0.0, 0.0, 0.0, 0.0))

    def norm(self, values: NDArray[np.float64]) -> PowerNorm:
        """Return the brightness curve of pixels; those that are not finite do not count."""
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, (DARKEST, BRIGHTEST)) if finite.size else (0.0, 0.0)
        if self.top is not None:
            low, high = min(float(low), 0.5 * self.top), self.top
        elif high <= low:
            low, high = min(float(low), 0.0), float(finite.max(initial=0.0))
        return PowerNorm(GAMMA, vmin=low, vmax=high if high > low else low + 1.0, clip=True)


def color_bar(
    figure: Figure, drawn: AxesImage, axes: Axes | Iterable[Axes], label: str, shrink: float = 1.0
) -> None:
    """Draw a colour bar with round ticks that stand about evenly along the brightness curve."""
    low, high = float(np.min(drawn.norm.vmin or 0.0)), float(np.max(drawn.norm.vmax or 1.0))
    ticks = _round_ticks(low, high)
    bar = figure.colorbar(drawn, ax=axes, label=label, shrink=shrink, ticks=ticks)
    bar.ax.set_yticklabels([f"{tick:,.10g}" for tick in ticks])


def _round_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, some way apart along the brightness curve."""
    found: list[float] = []
    below = -1.0
    for tick in MaxNLocator(_ROUND, steps=(1, 2, 5, 10)).tick_values(low, high):
        bright = ((tick - low) / (high - low)) ** GAMMA if low <= tick <= high else below
        if bright - below >= _APART:
            found.append(float(f"{tick:.10g}"))
            below = bright
    return found


def encoded(figure: Figure, kind: FileKind = "png", dpi: int = DPI) -> bytes:
    """Return the bytes of a figure's file: no time stamp, so that equal figures are equal bytes."""
    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        # Names and titles are not formulas, though they hold a $; ticks of logarithmic axes are.
        if isinstance(text, Text) and text.get_text() and _FORMULA not in text.get_text():
            text.set_parse_math(False)
    with rc_context({"svg.hashsalt": "distbragg"}):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=_METADATA[kind])
    return buffer.getvalue()


def new_figure(width: float = 6.6, height: float = 5.8) -> Figure:
    """Return an empty figure, inches; no window and no pyplot."""
    return Figure(figsize=(width, height), layout="constrained")
