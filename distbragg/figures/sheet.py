"""Contact sheets: many frames side by side under one brightness, each with its label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.figures.style import GAP, Look, color_bar

PICTURE_EDGE: Final = 192
"""Edge of one picture on a contact sheet; larger frames are reduced by block maxima."""

_WIDE: Final = 22  # letters above a picture


@dataclass(frozen=True, slots=True)
class SheetAxis:
    """What varies along the rows or the columns of a sheet, and the label of each of them."""

    title: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pictures (rows, columns of any shape) in rows of `columns`, and what is written beside."""

    pictures: Sequence[NDArray[np.float64]]
    columns: int
    titles: Sequence[str] = ()  # above each picture
    down: SheetAxis = field(default_factory=SheetAxis)
    across: SheetAxis = field(default_factory=SheetAxis)
    title: str = ""


def nearly_square(count: int) -> int:
    """Return the columns of a sheet of so many pictures that is about as wide as high."""
    return max(1, math.ceil(math.sqrt(count)))


def draw_sheet(figure: Figure, sheet: Sheet, look: Look) -> None:
    """Draw a sheet; what is not a number, such as a frame that is missing, is grey."""
    count, columns = len(sheet.pictures), sheet.columns
    rows = math.ceil(count / columns)
    wrong = [
        name
        for name, labels, size in (
            ("titles", sheet.titles, count),
            ("rows", sheet.down.labels, rows),
            ("columns", sheet.across.labels, columns),
        )
        if len(labels) not in (0, size)
    ]
    if wrong or not count:
        raise InputError(f"a contact sheet of {count} frames has other {' and '.join(wrong)}")
    titles = [_broken(title) for title in sheet.titles]
    head = 0.08 + 0.15 * max(1 + title.count("\n") for title in titles) if titles else 0.0
    shape = sheet.pictures[0].shape
    high = min(max(1.25 * shape[0] / shape[1], 0.4), 3.0)
    figure.set_size_inches(1.6 + 1.35 * columns, 1.1 + (high + 0.1 + head) * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    norm = look.norm(np.concatenate([np.ravel(picture) for picture in sheet.pictures]))
    for place, axes in enumerate(grid.flat):
        axes.set_xticks([])
        axes.set_yticks([])
        row, column = divmod(place, columns)
        if row == rows - 1 and sheet.across.labels:
            axes.set_xlabel(sheet.across.labels[column], fontsize=9)
        if column == 0 and sheet.down.labels:
            axes.set_ylabel(sheet.down.labels[row], fontsize=9)
        if place >= count:
            axes.set_axis_off()
            continue
        axes.set_facecolor(GAP)
        drawn = axes.imshow(
            np.ma.masked_invalid(sheet.pictures[place]),
            cmap=look.color_map(), norm=norm, interpolation="nearest",
        )  # fmt: skip
        if titles:
            axes.set_title(titles[place], fontsize=7.5, pad=2.5)
    figure.supxlabel(sheet.across.title)
    figure.supylabel(sheet.down.title)
    if sheet.title:
        figure.suptitle(sheet.title)
    color_bar(figure, drawn, grid.ravel(), look.label, shrink=0.7)


def _broken(title: str) -> str:
    """Break a title that is wider than its picture at its commas."""
    return title if len(title) <= _WIDE else title.replace(", ", "\n")
