"""Figures of the evidence on source weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from tools.evidence.weight_rules import BRIGHT, RuleImage
from tools.evidence.weighted import SourceTable

_COLUMNS: Final = 4
_RATIO_RANGE: Final = 4.0
"""Ratios are drawn from 1/4 to 4; what is beyond takes the end's colour."""

_DPI: Final = 110


def draw_spectrum(path: Path, table: SourceTable) -> None:
    """Draw weight against wavelength, one line a direction."""
    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    axes = figure.subplots()
    directions = np.unique(table.direction, axis=0)
    for number, direction in enumerate(directions, start=1):
        mine = np.all(table.direction == direction, axis=1)
        style = "o-" if number == 1 else "s:"
        axes.plot(table.wavelength[mine], table.weight[mine], style, label=f"direction {number}")
    axes.set_xlabel("wavelength (Å)")
    axes.set_ylabel("weight")
    axes.set_title(f"{table.count} sources: {directions.shape[0]} directions × wavelengths")
    axes.legend(frameon=False)
    _save(figure, path)


def draw_images(path: Path, images: Sequence[RuleImage]) -> None:
    """Draw every rule's image on one logarithmic scale."""
    top = float(images[0].image.max())
    norm = LogNorm(vmin=top * 1e-4, vmax=top)
    figure, places = _grid(len(images))
    for axes, rule in zip(places, images, strict=True):
        axes.imshow(np.clip(rule.image, norm.vmin, norm.vmax), norm=norm, cmap="magma")
        axes.set_title(f"{rule.name}\n{rule.formula}", fontsize=9)
    figure.colorbar(
        ScalarMappable(norm, "magma"), ax=list(places), label="photons/pixel", shrink=0.8
    )
    figure.suptitle("One pink-beam image under eight normalisations, one scale")
    _save(figure, path)


def draw_ratios(path: Path, images: Sequence[RuleImage]) -> None:
    """Draw every rule's ratio to the first; pixels below 1e-4 of the maximum are grey."""
    right = images[0].image
    bright = right > BRIGHT * right.max()
    norm = LogNorm(vmin=1.0 / _RATIO_RANGE, vmax=_RATIO_RANGE)
    figure, places = _grid(len(images))
    for axes, rule in zip(places, images, strict=True):
        ratio = np.divide(rule.image, right, out=np.full_like(right, np.nan), where=bright)
        axes.set_facecolor("0.85")
        axes.imshow(ratio, norm=norm, cmap="RdBu_r", interpolation="nearest")
        total = float(rule.image.sum() / right.sum())
        low, high = np.percentile(ratio[bright], [1.0, 99.0]).tolist()
        axes.set_title(
            f"{rule.name}\ntotal × {total:.4g}, pixels {low:.3g} to {high:.3g}", fontsize=9
        )
    colorbar = figure.colorbar(
        ScalarMappable(norm, "RdBu_r"), ax=list(places), shrink=0.8, extend="both"
    )
    colorbar.set_label("ratio to Σ w I / Σ w")
    colorbar.set_ticks([0.25, 0.5, 1.0, 2.0, 4.0], labels=["1/4", "1/2", "1", "2", "4"])
    colorbar.ax.minorticks_off()
    figure.suptitle("Ratio to the right rule (pixel range: 1st to 99th percentile)")
    _save(figure, path)


def draw_polarization(path: Path, images: Sequence[RuleImage]) -> None:
    """Draw the ratio of first-source polarisation to each source's own, on its own scale."""
    right = images[0].image
    rule = next(image for image in images if image.name == "first polarisation")
    bright = right > BRIGHT * right.max()
    ratio = np.divide(rule.image, right, out=np.full_like(right, np.nan), where=bright)
    figure = Figure(figsize=(5.4, 4.4), layout="constrained")
    axes = figure.subplots()
    widest = float(np.nanmax(np.abs(ratio - 1.0)))
    shown = axes.imshow(
        ratio - 1.0, vmin=-widest, vmax=widest, cmap="PuOr_r", interpolation="nearest"
    )
    axes.set_facecolor("0.85")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("first source's polarisation for all sources", fontsize=10)
    figure.colorbar(shown, ax=axes, label="ratio to each source's own − 1")
    _save(figure, path)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // _COLUMNS)
    figure = Figure(figsize=(3.1 * _COLUMNS, 3.15 * rows + 0.4), layout="constrained")
    every = figure.subplots(rows, _COLUMNS, squeeze=False).ravel().tolist()
    for axes in every:
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in every[count:]:
        axes.set_visible(False)
    return figure, every[:count]


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    # No date and no version in the file: the same numbers give the same bytes.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
