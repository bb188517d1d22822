"""Histograms of what the axes of a sweep set, of a run or before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.vectors import BoolArray
from distbragg.run.prepare import SpecLike, as_sweep
from distbragg.spec.label_order import listed_labels
from distbragg.spec.sweep import AxisCoordinate, SweepSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distbragg.figures.charts import Values

BINS: Final = 30


def axis_title(axis: AxisCoordinate) -> str:
    """Name an axis for people, with its unit."""
    name = axis.name.replace("_", " ")
    return f"{name} ({axis.unit})" if axis.unit not in ("", "1") else name


def axis_values(sweep: SweepSpec, *, told: bool = False) -> list[Values]:
    """Return the values of each axis, frame by frame, `told` with what they are drawn from."""
    from distbragg.figures.charts import Values

    sizes = dict(sweep.dims)
    places = np.unravel_index(np.arange(sweep.frames), tuple(sizes.values())) if sizes else ()
    position = dict(zip(sizes, places, strict=True))
    listed = {axis.name: tuple(listed_labels(axis)) for axis in sweep.axes}
    return [
        Values(
            axis_title(axis),
            axis.values[position[axis.dim]],
            remark=axis.drawn if told else "",
            order=listed.get(axis.name, ()),
        )
        for axis in sweep.coordinates()
        if axis.told
    ]


def histograms(shown: Sequence[Values], rendered: BoolArray, bins: int) -> Figure:
    """Draw histograms of values of frames, or of what frames have; `rendered` (frames,)."""
    from distbragg.figures.charts import draw_histograms
    from distbragg.figures.style import new_figure

    figure = new_figure()
    draw_histograms(figure, shown, rendered, bins)
    return figure


def plot_sweep(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    bins: int = BINS,
    root: str | Path | None = None,
) -> Figure:
    """Draw what the axes of a sweep set, a panel an axis; nothing is rendered.

    Parameters
    ----------
    spec, overrides, root
        As for `create`.
    bins : int
        Of the histograms of numbers.

    Raises
    ------
    InputError
        The specification cannot be used, or is a single frame.
    """
    sweep = as_sweep(spec, overrides, root=root)
    shown = axis_values(sweep, told=True)
    if not shown:
        raise InputError("has no axes", source=str(spec) if isinstance(spec, str | Path) else "")
    return histograms(shown, np.ones(sweep.frames, dtype=np.bool_), bins)
