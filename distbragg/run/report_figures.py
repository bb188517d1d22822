"""The figures of a run's report: throughput and timeline, as inline SVG drawn by hand.

No browser script and no picture library is needed, and the figures stay sharp at any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from distbragg.run.status_pace import Work, busy_spans

WIDTH: Final = 960
LEFT: Final = 150
RIGHT: Final = 20
BINS: Final = 80
MAX_ROWS: Final = 40
"""Writers that the timeline shows: those with most units."""

_ROW: Final = 16
_PLOT: Final = 200
_AXIS: Final = 34


class BusyAxis:
    """Wall time with the pauses between executions cut out, mapped to pixels.

    Parameters
    ----------
    works : sequence of Work
    """

    def __init__(self, works: Sequence[Work]) -> None:
        self._spans = busy_spans(works)
        self.seconds = max(sum(end - start for start, end in self._spans), 1e-9)
        self.cuts: list[float] = []
        passed = 0.0
        for start, end in self._spans[:-1]:
            passed += end - start
            self.cuts.append(passed)

    def passed(self, moment: float) -> float:
        """Seconds of work until `moment`, s since the epoch."""
        return sum(min(max(moment - start, 0.0), end - start) for start, end in self._spans)

    def pixel(self, seconds: float) -> float:
        """Horizontal place of so many seconds of work."""
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds


def throughput_figure(works: Sequence[Work], frames_of: Callable[[int], int]) -> str:
    """Draw frames per second of wall time over the time of work; each bar is one span of time.

    A unit's frames count evenly over the time it was worked on.
    """
    axis = BusyAxis(works)
    step = axis.seconds / BINS
    bins = [0.0] * BINS
    for work in works:
        first, last = axis.passed(work.start), axis.passed(work.end)
        _spread(bins, first / step, max(last, first + 1e-9) / step, frames_of(work.unit))
    rates = [frames / step for frames in bins]
    top = _round_up(max(rates))
    bars = []
    for number, height in enumerate(rates):
        x, width = axis.pixel(number * step), (WIDTH - LEFT - RIGHT) / BINS
        tall = _PLOT * height / top
        bars.append(
            f'<rect class="bar" x="{x:.1f}" y="{10 + _PLOT - tall:.1f}" '
            f'width="{width - 0.8:.1f}" height="{tall:.1f}"/>'
        )
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in (0.0, top / 2, top)
        for y in [10 + _PLOT * (1 - value / top)]
    ]
    label = f'<text class="name" x="4" y="{10 + _PLOT / 2:.0f}">frames / s</text>'
    body = "".join((*lines, *bars, label, _time_axis(axis, 10, _PLOT)))
    return _svg(body, 10 + _PLOT + _AXIS, "Frames per second over the time of work")


def timeline_figure(works: Sequence[Work]) -> str:
    """Draw one row per writing process, one bar per unit; units too thin to see are joined."""
    axis = BusyAxis(works)
    rows: dict[str, list[Work]] = {}
    for work in works:
        rows.setdefault(work.writer, []).append(work)
    shown = sorted(rows, key=lambda name: (-len(rows[name]), name))[:MAX_ROWS]
    shown.sort(key=lambda name: rows[name][0].start)
    parts = []
    for number, name in enumerate(shown):
        y = 10 + number * _ROW
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 11}" text-anchor="end">'
            f"{escape(_shortened(name))}</text>"
        )
        spans = [
            (axis.pixel(axis.passed(w.start)), axis.pixel(axis.passed(w.end))) for w in rows[name]
        ]
        parts += [
            f'<rect class="unit" x="{start:.1f}" y="{y + 1}" '
            f'width="{max(end - start - 0.6, 0.6):.1f}" height="{_ROW - 4}"/>'
            for start, end in _joined(spans)
        ]
    height = len(shown) * _ROW
    body = "".join(parts) + _time_axis(axis, 10, height)
    return _svg(body, 10 + height + _AXIS, "What each process worked on")


def _spread(bins: list[float], first: float, last: float, amount: float) -> None:
    """Add an amount evenly to the bins between two places, in units of bins."""
    for number in range(max(0, int(first)), min(BINS, math.ceil(last))):
        inside = min(last, number + 1) - max(first, number)
        bins[number] += amount * max(0.0, inside) / (last - first)


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join neighbouring spans (pixels) that would be less than 1.5 pixels wide each."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        thin = end - start < 1.5
        if joined and thin and start - joined[-1][1] < 0.5:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _time_axis(axis: BusyAxis, top: float, height: float) -> str:
    unit, name = next(
        (size, name)
        for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
        if axis.seconds >= 2 * size or size == 1.0
    )
    bottom = top + height
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>',
        f'<text class="name" x="{WIDTH - RIGHT}" y="{bottom + 30}" text-anchor="end">'
        f"time of work, {name}</text>",
    ]
    step = _round_up(axis.seconds / unit / 8, (1, 2, 5, 10, 20)) * unit
    for number in range(int(axis.seconds / step) + 1):
        seconds = number * step
        parts.append(
            f'<text class="tick" x="{axis.pixel(seconds):.1f}" y="{bottom + 15}" '
            f'text-anchor="middle">{seconds / unit:.3g}</text>'
        )
    for cut in axis.cuts:
        x = axis.pixel(cut)
        parts.append(
            f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}">'
            "<title>the run was interrupted here</title></line>"
        )
    return "".join(parts)


def _svg(body: str, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    )


def _round_up(
    value: float, digits: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 20)
) -> float:
    """Return the next round number: one of few digits times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in digits if power * digit >= value * (1 - 1e-9))


def _shortened(name: str) -> str:
    return name if len(name) <= 22 else f"…{name[-21:]}"
