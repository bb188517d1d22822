"""One frame: its panels in place, masked pixels, resolution rings, and spots by lattice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distbragg.figures.assemble import PICTURE_EDGE, PlacedPanel, assemble
from distbragg.figures.shrink import shrunk
from distbragg.figures.style import GAP, Look, color_bar, encoded, new_figure
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import BoolArray, Float64Array
from distbragg.physics.pixels import coordinates_of_pixels, screen_axes
from distbragg.quantities import counted

MASKED: Final = "#8fb3d9"  # colour of pixels that are not active
FRAME_COLORS: Final = "gray_r"  # spots black on white, as on film: rings and circles stand out
RING: Final = "#1a9850"
RINGS: Final = 4
_ROUND: Final = (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
_EDGE: Final = 0.88
_GRID: Final = 241  # points along a panel's edge at which rings are sought


_Grid = tuple[Float64Array, Float64Array, Float64Array]
"""Where points are drawn, x and y, and their q in 1/Å."""


@dataclass(frozen=True, slots=True)
class FrameImage:
    """A frame to draw: pixels, what of them is active, and the experiment that placed them."""

    image: NDArray[Any]  # (panels, slow, fast)
    experiment: Experiment
    active: BoolArray | None = None  # (panels, slow, fast); None: as the panels have it

    def masked(self) -> Float64Array:
        """Return the pixels, what is not active as −infinity: less than any in a block."""
        panels = self.experiment.detector.panels
        active = self.active
        if active is None:
            active = np.stack([np.asarray(panel.active) for panel in panels])
        return np.where(active, np.asarray(self.image, dtype=np.float64), -np.inf)

    def picture(self, edge: int) -> tuple[Float64Array, tuple[float, float, float, float]]:
        """Return a picture of at most `edge` points a side, and its left, right, bottom, top.

        Of one panel in pixels, of several in mm from the beam. NaN: gaps; −infinity: masked.
        """
        pixels, panels = self.masked(), self.experiment.detector.panels
        if len(panels) > 1:
            made = assemble(pixels, panels, self.experiment.beam.direction, edge=edge)
            return made.image, made.extent
        slow, fast = panels[0].shape
        return shrunk(pixels[0], edge), (-0.5, fast - 0.5, slow - 0.5, -0.5)

    def places(
        self, panel: int, slow: Float64Array, fast: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return where pixels of a panel, counted from the middle of the first, are drawn."""
        panels = self.experiment.detector.panels
        if len(panels) == 1:
            return fast, slow
        right, up = screen_axes(panels, self.experiment.beam.direction)
        return PlacedPanel(panels[panel], right, up).at(slow + 0.5, fast + 0.5)


def small_picture(frame: FrameImage, edge: int) -> Float64Array:
    """Return a frame's picture for a sheet; masked pixels as gaps."""
    image, _ = frame.picture(edge)
    return np.where(np.isneginf(image), np.nan, image)


def draw_image(
    figure: Figure,
    image: Float64Array,
    extent: tuple[float, float, float, float],
    look: Look,
    *,
    title: str = "",
) -> Axes:
    """Draw an image (rows, columns) with a colour bar; NaN: gaps; −infinity: masked pixels."""
    across, down = abs(extent[1] - extent[0]), abs(extent[3] - extent[2])
    figure.set_size_inches(6.6, min(max(5.1 * down / across, 1.5), 9.0) + 0.75)
    axes: Axes = figure.subplots()
    axes.set_facecolor(GAP)
    how: dict[str, Any] = {"extent": extent, "interpolation": "nearest"}
    drawn = axes.imshow(
        np.ma.masked_invalid(image), cmap=look.color_map(), norm=look.norm(image), **how
    )
    masked = np.isneginf(image)
    if masked.any():
        axes.imshow(np.ma.masked_array(masked, ~masked), cmap=ListedColormap([MASKED]), **how)
    axes.set_xlabel("fast (pixel)")
    axes.set_ylabel("slow (pixel)")
    if title:
        axes.set_title(title, fontsize=10)
    color_bar(figure, drawn, axes, look.label)
    return axes


def panel_picture(image: Float64Array, active: BoolArray, title: str) -> bytes:
    """Return a PNG of one panel (slow, fast) in its own pixels."""
    slow, fast = image.shape
    figure, pixels = new_figure(), shrunk(np.where(active, image, -np.inf), PICTURE_EDGE)
    draw_image(figure, pixels, (-0.5, fast - 0.5, slow - 0.5, -0.5), Look(), title=title)
    return encoded(figure)


def draw_frame(
    figure: Figure,
    frame: FrameImage,
    look: Look,
    *,
    rings: Sequence[float] | None = None,
    spots: Mapping[str, NDArray[Any]] | None = None,
    title: str = "",
) -> Axes:
    """Draw a frame; return its axes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    frame : FrameImage
    look : Look
    rings : sequence of float, optional
        Resolutions, Å; default: a few round ones; empty: none.
    spots : mapping of str to array (spots,), optional
        `panel`, `slow`, `fast`, counted from the outer corner, and `lattice`.
    title : str
    """
    image, extent = frame.picture(PICTURE_EDGE)
    axes = draw_image(figure, image, extent, look, title=title)
    if len(frame.experiment.detector.panels) > 1:
        axes.set_xlabel("right of the beam, seen along it (mm)")
        axes.set_ylabel("above the beam (mm)")
    _draw_rings(axes, frame, rings)
    if spots is not None:
        _draw_spots(axes, frame, spots)
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    return axes


def _round_rings(grids: Sequence[_Grid]) -> tuple[float, ...]:
    """Return a few round resolutions, Å, about evenly spaced in q up to the edge of the picture."""
    everywhere = np.concatenate([np.ravel(q) for _, _, q in grids])
    largest_q = float(np.quantile(everywhere, _EDGE))  # in the corners beyond, no ring is whole
    found: list[float] = []
    for part in range(1, RINGS + 1):
        wished = 2.0 * math.pi / (largest_q * part / (RINGS + 0.4))
        power = 10.0 ** math.floor(math.log10(wished))
        nearest = min((power * one for one in (*_ROUND, 10.0)), key=lambda d: abs(d - wished))
        if nearest not in found:
            found.append(nearest)
    return tuple(found)


def _draw_rings(axes: Axes, frame: FrameImage, rings: Sequence[float] | None) -> None:
    grids = list(_grids(frame))
    chosen = _round_rings(grids) if rings is None else rings
    for resolution in chosen:
        ends: list[NDArray[np.float64]] = []
        for x, y, q in grids:
            level = 2.0 * math.pi / resolution
            if not q.min() < level < q.max():
                continue
            drawn = axes.contour(
                x, y, q, levels=[level], colors=RING, linewidths=1.0, linestyles="dashed"
            )
            ends += [line for line in drawn.allsegs[0] if len(line)]
        if ends:
            points = np.concatenate(ends)
            # Of one panel, slow runs down.
            up = 1.0 if len(frame.experiment.detector.panels) > 1 else -1.0
            x, y = points[np.argmax(points[:, 0] + up * points[:, 1])]
            axes.text(
                x, y, f"{resolution:g} Å",
                color=RING, fontsize=8, ha="center", va="center", clip_on=True, gid="ring",
                bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.65},
            )  # fmt: skip


def _grids(frame: FrameImage) -> Iterator[_Grid]:
    """Yield for each panel where points of a grid are drawn, and their q."""
    for index, panel in enumerate(frame.experiment.detector.panels):
        slow, fast = (np.linspace(-0.5, size - 0.5, min(size + 1, _GRID)) for size in panel.pixels)
        rows, columns = np.meshgrid(slow, fast, indexing="ij")
        x, y = frame.places(index, rows, columns)
        yield x, y, coordinates_of_pixels(frame.experiment, index, rows, columns).q


def _draw_spots(axes: Axes, frame: FrameImage, spots: Mapping[str, NDArray[Any]]) -> None:
    """Draw a hollow circle for each spot, a colour for each lattice."""
    panel, lattice = np.asarray(spots["panel"]), np.asarray(spots["lattice"])
    x, y = np.empty(panel.shape), np.empty(panel.shape)
    for index in np.unique(panel):
        here = panel == index
        x[here], y[here] = frame.places(
            int(index), spots["slow"][here] - 0.5, spots["fast"][here] - 0.5
        )
    colors = colormaps["tab10"]
    several = np.unique(lattice)
    for number in several:
        own = lattice == number
        axes.scatter(
            x[own], y[own],
            s=34, facecolors="none", edgecolors=[colors(int(number) % 10)], linewidths=0.8,
            label=f"lattice {number}: {counted(int(own.sum()), 'spot')}",
        )  # fmt: skip
    if len(several) > 1:
        axes.legend(loc="lower right", fontsize=8, framealpha=0.8)
