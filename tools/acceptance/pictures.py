"""One picture of every case: a frame with DIALS's spots on it, or the correlation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import distbragg
from tools.acceptance.dials import read_table

DISPLAY_GAMMA: Final = 0.5
DISPLAY_PERCENTILE: Final = 99.8
RING_POINTS2: Final = 18.0
DOTS_PER_INCH: Final = 90
SHADES: Final = 16
"""Steps from white to black and to each colour."""

GREEN: Final = (44, 160, 44)
RED: Final = (214, 39, 40)
BLUE: Final = (31, 119, 180)


def draw_spots(
    path: Path, run: Path, reflections: Path, frame: int, *, still: bool = False
) -> None:
    """Draw a frame of a run; indexed spots in green rings, strong ones left over in red.

    Parameters
    ----------
    path : Path
        PNG file to write.
    run : Path
    reflections : Path
        DIALS's reflection table.
    frame : int
        Flat index of the frame.
    still : bool
        The table is of this frame alone; else it spans the run, and spots near the frame are
        drawn.
    """
    table = read_table(reflections)
    here = np.abs(table["z"] - (frame + 0.5)) <= 1.0
    if still:
        here[:] = True
    panels = _frame(run, frame)
    figure = Figure(figsize=(8.0, 8.4), dpi=DOTS_PER_INCH, layout="constrained")
    places = np.atleast_1d(figure.subplots(len(panels), 1, squeeze=True))
    top = max(float(np.percentile(image, DISPLAY_PERCENTILE)) for image in panels)
    for number, (axes, image) in enumerate(zip(places, panels, strict=True)):
        norm = PowerNorm(DISPLAY_GAMMA, vmin=0.0, vmax=max(top, 1.0))
        axes.imshow(image, norm=norm, cmap="gray_r", interpolation="nearest")
        mine = here & (table["panel"] == number)
        _rings(axes, table, mine & table["indexed"], "tab:green")
        _rings(axes, table, mine & ~table["indexed"], "tab:red")
    indexed = int((here & table["indexed"]).sum())
    figure.suptitle(f"frame {frame}: {indexed} of {int(here.sum())} spots indexed (green)")
    _save(figure, path)


def draw_correlation(path: Path, photons: NDArray[np.float64], fitted: NDArray[np.float64]) -> None:
    """Draw DIALS's summed intensities against the photons of the labels."""
    figure = Figure(figsize=(6.0, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    shown = (photons > 0.0) & (fitted > 0.0)
    axes.loglog(photons[shown], fitted[shown], ",", color="tab:blue")
    ends = [float(photons[shown].min()), float(photons[shown].max())]
    axes.loglog(ends, ends, color="black", linewidth=0.8)
    axes.set_xlabel("photons of the labels")
    axes.set_ylabel("summed intensity of dials.integrate")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG of few colours: noise hardly compresses, and bundles are kept for good."""
    FigureCanvasAgg(figure)
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    drawn = Image.open(whole).convert("RGB")
    drawn.quantize(palette=_palette(), dither=Image.Dither.NONE).save(path, optimize=True)


def _palette() -> Image.Image:
    """Shades of grey, green, red and blue, as an image whose palette they are."""
    steps = [step / (SHADES - 1) for step in range(SHADES)]
    shades = [
        [round(255 + (part - 255) * step) for part in color]
        for color in ((0, 0, 0), GREEN, RED, BLUE)
        for step in steps
    ]
    image = Image.new("P", (1, 1))
    image.putpalette([part for shade in shades for part in shade])
    return image


def _frame(run: Path, frame: int) -> list[NDArray[np.float64]]:
    """Return the images of a frame, one a panel."""
    with distbragg.open_stack(run) as stack:
        images = stack["images"]
        lead = images.dims[0]
        values = np.asarray(images.isel({lead: frame}).values, dtype=np.float64)
    return list(values.reshape(-1, *values.shape[-2:]))


def _rings(
    axes: Axes, table: dict[str, NDArray[np.float64]], chosen: NDArray[np.bool_], color: str
) -> None:
    axes.scatter(
        table["x"][chosen] - 0.5,
        table["y"][chosen] - 0.5,
        s=RING_POINTS2,
        facecolors="none",
        edgecolors=color,
        linewidths=0.6,
    )
