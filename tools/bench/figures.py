"""Figures of the performance report: throughput against its limit, and scaling curves."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.bench.pairs import PairedTiming
from tools.bench.scaling import Curve

_DPI: Final = 110


def draw_throughput(path: Path, rows: Sequence[PairedTiming]) -> None:
    """Draw steps/s of each workload with the C program's and the plain loop's."""
    figure = Figure(figsize=(8.5, 0.55 * len(rows) + 1.9), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(rows)))
    rates = [row.ours.steps_per_s / 1e6 for row in rows]
    axes.barh(places, rates, height=0.5, color="#4c72b0", label="this kernel")
    for place, rate in zip(places, rates, strict=True):
        axes.text(rate * 1.04, place, f"{rate:.0f}", va="center", fontsize=8)
    limits = [value for row in rows for value in row.limit]
    if limits:
        top = statistics.median(limits) / 1e6
        axes.axvline(top, color="0.2", linestyle="--", label=f"plain loop, {top:.0f}")
    theirs = [
        (place, row.ours.steps / statistics.median(row.c_seconds) / 1e6)
        for place, row in zip(places, rows, strict=True)
        if row.c_seconds
    ]
    if theirs:
        spots, c_rates = zip(*theirs, strict=True)
        axes.plot(c_rates, spots, "D", color="#c44e52", label="nanoBragg.c, wall time")
    axes.set_xscale("log")
    axes.set_xlim(right=max(rates) * 3.0)
    axes.set_yticks(places, [row.ours.workload for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("million steps per second (skipped steps count as done)")
    axes.set_title(f"Throughput on {rows[0].ours.threads} threads, {rows[0].ours.precision}")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3)
    _save(figure, path)


def draw_scaling(path: Path, curves: Sequence[Curve]) -> None:
    """Draw seconds against each size, with the proportional line through the last point."""
    figure = Figure(figsize=(3.0 * len(curves), 3.1), layout="constrained")
    every = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, curve in zip(every, curves, strict=True):
        last_size, last = curve.sizes[-1], curve.seconds[-1]
        line = [last * size / last_size for size in curve.sizes]
        axes.plot(curve.sizes, line, color="0.7", label="proportional")
        axes.plot(curve.sizes, curve.seconds, "o-", color="#4c72b0", label="measured")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(curve.name)
        axes.set_title("sweep, stored" if curve.name == "frames" else "kernel", fontsize=9)
    every[0].set_ylabel("seconds")
    every[0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    # No date and no version in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
