"""Bar charts over time, as numbers that `charts.html` draws as SVG: no script, no picture file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_ROUND: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
_UNITS: Final = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """A time axis from 0 to `seconds`; places are shares of its length, 0 to 1.

    `ticks` are places and their texts, `name` is what it shows with its unit, and `cuts` are where
    pauses were cut out.
    """

    seconds: float
    ticks: tuple[tuple[float, str], ...]
    name: str
    cuts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars of equal width over a time axis; heights are shares of `top`, 0 to 1."""

    axis: TimeAxis
    heights: tuple[float, ...]
    top: float
    name: str
    title: str


def time_axis(seconds: float, name: str, cuts: Iterable[float] = ()) -> TimeAxis:
    """Lay out a time axis, `cuts` at so many seconds."""
    seconds = max(seconds, 1e-9)
    size, unit = next(pair for pair in _UNITS if seconds >= 2 * pair[0] or pair[0] == 1.0)
    step = _round_up(seconds / size / 8) * size
    ticks = tuple(
        (number * step / seconds, f"{number * step / size:.3g}")
        for number in range(int(seconds / step) + 1)
    )
    return TimeAxis(seconds, ticks, f"{name}, {unit}", tuple(cut / seconds for cut in cuts))


def bar_chart(axis: TimeAxis, values: Sequence[float], name: str, title: str) -> BarChart:
    """Scale values to the next round number above the greatest."""
    top = _round_up(max(values, default=0.0))
    return BarChart(axis, tuple(value / top for value in values), top, name, title)


def _round_up(value: float) -> float:
    """Return the next number of few digits: one of `_ROUND` times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in _ROUND if power * digit >= value * (1 - 1e-9))
