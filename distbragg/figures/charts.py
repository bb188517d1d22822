"""Charts: radial profiles, histograms of axes, and maps of a reduction over a sweep."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distbragg.figures.frame import FrameImage
from distbragg.models.vectors import BoolArray, Float64Array
from distbragg.physics.pixels import coordinates_of_detector, radial_profile

_TEXTS: Final = 20  # bars of an axis of texts: those of most frames
_REMARK: Final = 52  # letters of a line of a remark
_REMARK_LINES: Final = 3
_FEW: Final = 8  # different numbers that are drawn as texts are
_APART: Final = 10.0
_NAMED: Final = 10  # profiles that the legend names


@dataclass(frozen=True, slots=True)
class Values:
    """Values of an axis: numbers (n,) or (n, components), or texts (n,), title and a remark.

    `of` says what has them: frames, unless it is spots.
    """

    title: str
    values: NDArray[Any]
    of: str = "frames"
    remark: str = ""
    order: tuple[Any, ...] = ()  # of bars: values that stand first

    @property
    def are_texts(self) -> bool:
        """Whether the values are names, which have no order."""
        return self.values.dtype.kind in "UTOb"

    @property
    def are_few(self) -> bool:
        """Whether the values are numbers of which there are a few alone."""
        return self.values.ndim == 1 and len(np.unique(self.values)) <= _FEW

    @property
    def names(self) -> NDArray[np.str_]:
        """The values as texts."""
        if self.values.dtype.kind != "f":
            return self.values.astype(str)
        return np.array([_name_of(value) for value in self.values.tolist()])

    def bars(self) -> list[str]:
        """Names in the order their bars have: as listed, then numbers as they grow, then others."""
        names = self.names.tolist()
        listed = [str(value) if self.values.dtype.kind != "f" else _name_of(value)
                  for value in self.order]  # fmt: skip
        numbers = self.values.dtype.kind in "iuf"
        rest = np.argsort(self.values, kind="stable") if numbers else range(len(names))
        there = set(names)
        every = dict.fromkeys([*listed, *(names[place] for place in rest)])
        return [name for name in every if name in there]


def _name_of(value: float | None) -> str:
    return "null" if value is None or math.isnan(value) else f"{value:g}"


def profiles_of(
    frames: Iterable[tuple[str, FrameImage]], bins: int
) -> tuple[Float64Array, list[tuple[str, Float64Array]]]:
    """Return the middles of bins of q, 1/Å, and for each name the mean of its frame's pixels.

    Bins are even from 0 to the largest q of the first frame; NaN where a frame has no pixel.
    """
    found: list[tuple[str, Float64Array]] = []
    edges, latest, q = np.zeros(bins + 1), None, np.zeros(0)
    for name, frame in frames:
        experiment = frame.experiment
        if (
            latest is None
            or experiment.detector is not latest.detector
            or (experiment.beam is not latest.beam)
        ):
            latest, q = experiment, coordinates_of_detector(experiment).q
        if not found:
            edges = np.linspace(0.0, float(q.max()), bins + 1)
        pixels = frame.masked()
        profile = radial_profile(pixels, q, edges)  # masked pixels are not finite numbers
        found.append((name, profile.mean))
    return 0.5 * (edges[1:] + edges[:-1]), found


def draw_profiles(
    figure: Figure, q: Float64Array, profiles: Sequence[tuple[str, Float64Array]], label: str
) -> Axes:
    """Draw the mean of the pixels in bins of q, 1/Å; the resolution stands above."""
    axes: Axes = figure.subplots()
    colors = [f"C{index}" for index in range(10)] if len(profiles) <= _NAMED else ["0.35"]
    for place, (name, mean) in enumerate(profiles):
        axes.plot(q, mean, lw=1.0, color=colors[place % len(colors)], label=name,
                  alpha=1.0 if len(profiles) <= _NAMED else 0.4)  # fmt: skip
    everything = np.concatenate([mean for _, mean in profiles]) if profiles else np.zeros(0)
    positive = everything[everything > 0.0]
    if positive.size and not (everything < 0.0).any():
        axes.set_yscale("log")  # zeros leave gaps
        top = float(positive.max())
        axes.set_ylim(max(float(positive.min()), 1e-7 * top) / 1.5, 1.5 * top)
    axes.set_xlabel("q = 2π/d (1/Å)")
    axes.set_ylabel(label)
    axes.set_xlim(0.0, float(q[-1]) if q.size else 1.0)
    above = axes.secondary_xaxis("top", functions=(_inverse, _inverse))
    above.set_xlabel("resolution (Å)")
    ticks = [d for d in (20, 10, 5, 4, 3, 2.5, 2, 1.8, 1.5, 1.2, 1, 0.8, 0.6, 0.5)
             if _inverse(np.array(d)) <= axes.get_xlim()[1]]  # fmt: skip
    above.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    if 1 <= len(profiles) <= _NAMED and any(name for name, _ in profiles):
        axes.legend(fontsize=8)
    return axes


def _inverse(value: Any) -> NDArray[np.float64]:  # noqa: ANN401 what matplotlib gives
    with np.errstate(divide="ignore"):
        return np.asarray(2.0 * math.pi / np.maximum(np.asarray(value, dtype=np.float64), 1e-9))


def draw_histograms(
    figure: Figure, axes_values: Sequence[Values], rendered: BoolArray, bins: int
) -> None:
    """Draw how values are spread: of an axis over all frames, and over those rendered."""
    columns = min(3, max(1, len(axes_values)))
    rows = math.ceil(len(axes_values) / columns)
    remarks = any(item.remark for item in axes_values)
    figure.set_size_inches(0.6 + 3.2 * columns, 0.4 + (2.8 if remarks else 2.5) * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(axes_values) :]:
        axes.set_axis_off()
    for axes, item in zip(grid.flat, axes_values, strict=False):
        axes.set_xlabel(item.title)
        axes.set_ylabel(item.of)
        if item.remark:
            axes.set_title("\n".join(wrap(item.remark, _REMARK)[:_REMARK_LINES]), fontsize=6)
        shown = rendered if item.of == "frames" else np.ones(len(item.values), dtype=np.bool_)
        if item.are_texts or (item.remark and item.are_few):
            _draw_texts(axes, item, shown)
        else:
            _draw_numbers(axes, item.values, shown, bins)
    if not rendered.all():
        grid.flat[0].legend(fontsize=8)


def _draw_texts(axes: Axes, item: Values, rendered: BoolArray) -> None:
    values = item.names
    every, done = Counter(values.tolist()), Counter(values[rendered].tolist())
    most = {name for name, _ in every.most_common(_TEXTS)}
    names = [name for name in item.bars() if name in most]
    places = np.arange(len(names))
    axes.bar(places, [every[name] for name in names], color="0.82", label="all frames")
    axes.bar(places, [done[name] for name in names], color="C0", label="rendered")
    axes.set_xticks(places, [name[-14:] for name in names], rotation=60, fontsize=7, ha="right")


def _draw_numbers(axes: Axes, values: NDArray[Any], rendered: BoolArray, bins: int) -> None:
    numbers = values.astype(np.float64)
    if (nulls := np.isnan(numbers)).any():
        share = f"null: {100.0 * nulls.mean():.3g} %"
        axes.text(0.97, 0.94, share, fontsize=7, ha="right", transform=axes.transAxes)
    if numbers.ndim == 2 and numbers.shape[1] == 2:
        axes.plot(*numbers.T, ".", ms=2, alpha=0.4, rasterized=True)
        axes.set_ylabel(f"{axes.get_xlabel()} 1")
        axes.set_xlabel(f"{axes.get_xlabel()} 0")
        return
    if numbers.ndim == 2 and not nulls.all() and _lie_apart(numbers):
        numbers = numbers - np.nanmean(numbers, axis=0)
        axes.set_xlabel(f"{axes.get_xlabel()}, beyond the mean")
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1).tolist()
    if numbers.ndim == 2:
        still = [part[0] == part[-1] and len(np.unique(part)) == 1 for part in numbers.T]
        for component, part in enumerate(numbers.T):
            if still[component] and not all(still):
                continue  # a bar as high as the panel, which says nothing
            axes.hist(
                part, edges, histtype="step", color=f"C{component % 10}", label=f"{component}"
            )
        if numbers.shape[1] <= _NAMED:
            axes.legend(fontsize=6, title="component", title_fontsize=6)
        return
    axes.hist(numbers, edges, color="0.82", label="all frames")
    axes.hist(numbers[rendered], edges, color="C0", label="rendered")


def _lie_apart(numbers: Float64Array) -> bool:
    """Whether the components of vectors vary much less than they differ, as those of a cell."""
    means = np.nanmean(numbers, axis=0)
    return bool(np.ptp(means) > _APART * np.nanstd(numbers, axis=0).max())


def draw_map(figure: Figure, x: Values, y: Values | None, values: Float64Array, label: str) -> Axes:
    """Draw a number of each frame against one axis or two.

    Against one axis (n,) as points. Against two of a grid, `values` (y, x), as coloured fields;
    against two that advance together, (n,), as coloured points. NaN: nothing is drawn.
    """
    axes: Axes = figure.subplots()
    fields = y is not None and values.ndim > 1
    across = _positions(axes, x, vertical=False, even=fields)
    if y is None:
        axes.plot(across, values, ".-" if not x.are_texts else ".", lw=0.8)
        axes.set_ylabel(label)
        return axes
    down = _positions(axes, y, vertical=True, even=fields)
    if not fields:
        drawn: ScalarMappable = axes.scatter(across, down, c=values, cmap="viridis", s=18)
    else:
        order, other = np.argsort(across), np.argsort(down)
        shown = np.ma.masked_invalid(values[np.ix_(other, order)])
        axes.set_facecolor("0.72")
        drawn = axes.pcolormesh(
            across[order], down[other], shown, cmap="viridis", shading="nearest"
        )
    figure.colorbar(drawn, ax=axes, label=label)
    return axes


def _positions(axes: Axes, item: Values, *, vertical: bool, even: bool = False) -> Float64Array:
    """Label an axis; return where its values stand: texts one beside the other.

    So do numbers of unequal steps, if asked: fields would reach beyond the first and the last.
    """
    (axes.set_ylabel if vertical else axes.set_xlabel)(item.title)
    values: NDArray[Any] = item.values.astype(str if item.are_texts else np.float64)
    distinct, places = np.unique(values, return_inverse=True)
    if not item.are_texts:
        steps = np.diff(distinct)
        if not even or len(distinct) > _TEXTS or np.allclose(steps, steps[:1], rtol=1e-3):
            return values.astype(np.float64)
    names = distinct if item.are_texts else [f"{value:.4g}" for value in distinct]
    set_ticks = axes.set_yticks if vertical else axes.set_xticks
    if len(names) <= _TEXTS:
        labels = [name[-18:] for name in names]
        set_ticks(np.arange(len(names)), labels, fontsize=7, rotation=0 if vertical else 60)
    return places.astype(np.float64)
