"""PNG pictures: one frame, or a contact sheet of a stack with labelled axes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from distbragg.errors import InputError
from distbragg.export.assemble import Assembled
from distbragg.export.files import write_whole
from distbragg.export.scaling import check_image, shrunk
from distbragg.store.layout import IMAGES

COLOR_MAP: Final = "magma"
DISPLAY_GAMMA: Final = 0.4
"""Exponent of the brightness curve: weak spots stay visible beside strong ones."""

DISPLAY_PERCENTILE: Final = 99.7  # share of pixels below full brightness

PIXELS_PER_PICTURE: Final = 192
"""Edge of one picture on a contact sheet; larger frames are reduced by block maxima."""

MAXIMUM_PICTURES: Final = 12  # rows and columns of a contact sheet; longer axes are thinned evenly


@dataclass(frozen=True, slots=True)
class SheetAxis:
    """One axis of a contact sheet: its title and the label of each position."""

    title: str
    labels: tuple[str, ...]


def write_picture(path: str | Path, image: ArrayLike, *, title: str = "") -> None:
    """Write one frame (slow, fast), photons/pixel, as PNG with pixel axes and a colour bar."""
    array = check_image(image)
    slow, fast = array.shape
    picture = Assembled(shrunk(array, 1024), (-0.5, fast - 0.5, slow - 0.5, -0.5))
    figure, axes = _drawn(picture, _norm(array), title)
    axes.set_xlabel("fast (pixel)")
    axes.set_ylabel("slow (pixel)")
    _save(figure, path)


def write_assembled(path: str | Path, picture: Assembled, *, title: str = "") -> None:
    """Write all panels of a detector as one PNG, in mm from the beam; gaps are grey."""
    figure, axes = _drawn(picture, _norm(picture.image), title)
    axes.set_facecolor("0.6")
    axes.set_xlabel("right of the beam, seen along it (mm)")
    axes.set_ylabel("above the beam (mm)")
    _save(figure, path)


def _drawn(picture: Assembled, norm: PowerNorm, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(
        picture.image, cmap=COLOR_MAP, norm=norm, extent=picture.extent, interpolation="nearest"
    )
    if title:
        axes.set_title(title)
    _color_bar(figure, drawn, axes)
    return figure, axes


def write_contact_sheet(
    path: str | Path,
    images: ArrayLike,
    rows: SheetAxis,
    columns: SheetAxis,
    *,
    title: str = "",
) -> None:
    """Write a grid of frames (rows, columns, slow, fast) as PNG, one brightness; NaN is grey."""
    stack = np.asarray(images, dtype=np.float64)
    shape = (len(rows.labels), len(columns.labels))
    if stack.ndim != 4 or stack.shape[:2] != shape:
        raise InputError(f"a contact sheet of {shape} frames cannot show an array {stack.shape}")
    small = [[shrunk(frame, PIXELS_PER_PICTURE) for frame in row] for row in stack]
    figure = Figure(figsize=(1.6 + 1.25 * shape[1], 1.3 + 1.25 * shape[0]), layout="constrained")
    grid = figure.subplots(*shape, squeeze=False)
    norm = _norm(np.asarray(small))
    for i, row in enumerate(small):
        for j, picture in enumerate(row):
            axes = grid[i, j]
            axes.set_facecolor("0.6")
            drawn = axes.imshow(picture, cmap=COLOR_MAP, norm=norm, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            if i == shape[0] - 1:
                axes.set_xlabel(columns.labels[j], fontsize=9)
            if j == 0:
                axes.set_ylabel(rows.labels[i], fontsize=9)
    figure.supxlabel(columns.title)
    figure.supylabel(rows.title)
    if title:
        figure.suptitle(title)
    _color_bar(figure, drawn, grid.ravel(), shrink=0.7)
    _save(figure, path)


def dataset_contact_sheet(dataset: xr.Dataset, path: str | Path, *, panel: int = 0) -> None:
    """Write a contact sheet of a stack, `images` over (sweep axes…, [panel,] slow, fast).

    Of the first two sweep axes the longer runs across; further axes show their first
    position. A sweep of one axis is folded into a nearly square sheet. Long axes are
    thinned evenly.
    """
    images = dataset[IMAGES]
    if "panel" in images.dims:
        images = images.isel(panel=panel)
    sweep = [str(dim) for dim in images.dims if dim not in ("slow", "fast")]
    images = images.isel(dict.fromkeys(sweep[2:], 0))
    most = MAXIMUM_PICTURES ** (1 if len(sweep) > 1 else 2)
    for dim in sweep[:2]:
        size = images.sizes[dim]
        kept = np.linspace(0, size - 1, min(size, most)).round().astype(int)
        images = images.isel({dim: kept})
    if len(sweep) < 2:
        axis = _sheet_axis(images, sweep[0]) if sweep else SheetAxis("", ("",))
        values = np.asarray(images.values, dtype=np.float64)
        sheet, rows, columns = _folded(values.reshape(-1, *values.shape[-2:]), axis)
    else:
        down, across = sorted(sweep[:2], key=lambda dim: images.sizes[dim])
        rows, columns = _sheet_axis(images, down), _sheet_axis(images, across)
        ordered = images.transpose(down, across, "slow", "fast")
        sheet = np.asarray(ordered.values, dtype=np.float64)
    write_contact_sheet(path, sheet, rows, columns, title=str(dataset.attrs.get("title", "")))


def _folded(
    frames: NDArray[np.float64], axis: SheetAxis
) -> tuple[NDArray[np.float64], SheetAxis, SheetAxis]:
    """Fold one axis into a nearly square sheet; empty places are NaN."""
    count = frames.shape[0]
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    padded = np.full((down * across, *frames.shape[1:]), np.nan)
    padded[:count] = frames
    rows = SheetAxis(axis.title, tuple(axis.labels[i * across] for i in range(down)))
    columns = SheetAxis("", tuple(f"+{i}" if i else "" for i in range(across)))
    return padded.reshape(down, across, *frames.shape[1:]), rows, columns


def _sheet_axis(images: xr.DataArray, dim: str) -> SheetAxis:
    """Title and labels of one sweep dimension, from its coordinate where it has one."""
    title = dim.replace("_", " ")
    if dim not in images.coords or images.coords[dim].ndim != 1:
        return SheetAxis(title, tuple(str(i) for i in range(images.sizes[dim])))
    coordinate = images.coords[dim]
    units = str(coordinate.attrs.get("units", ""))
    values: Sequence[Any] = coordinate.values.tolist()
    labels = tuple(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
    return SheetAxis(f"{title} ({units})" if units and units != "1" else title, labels)


def _norm(values: NDArray[np.float64]) -> PowerNorm:
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, DISPLAY_PERCENTILE)) if finite.size else 0.0
    if top <= 0:
        top = float(finite.max(initial=0.0))
    return PowerNorm(DISPLAY_GAMMA, vmin=0.0, vmax=top if top > 0 else 1.0, clip=True)


def _color_bar(
    figure: Figure, drawn: AxesImage, axes: Axes | Iterable[Axes], *, shrink: float = 1.0
) -> None:
    """Draw a colour bar whose ticks stand evenly along the brightness curve."""
    top = float(np.max(drawn.norm.vmax or 1.0))
    ticks = [top * share ** (1 / DISPLAY_GAMMA) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    bar = figure.colorbar(drawn, ax=axes, label="photons per pixel", shrink=shrink, ticks=ticks)
    bar.ax.set_yticklabels([f"{tick:.3g}" for tick in ticks])


def _save(figure: Figure, path: str | Path) -> None:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # No time stamp in the file: equal pictures are equal bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": "distbragg"})
    write_whole(path, buffer.getvalue())
