"""What the figures share: frames side by side, saved in few colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import distbragg as db
from distbragg.spec.load import parse_spec

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "images" / "physics"
_SHADES: Final = 64


def rendered(spec: dict[str, Any]) -> np.ndarray:
    """Render one frame of a specification, (slow, fast)."""
    image: np.ndarray = db.render(parse_spec(spec))["images"].to_numpy().squeeze()
    return image


def draw_row(name: str, frames: Sequence[tuple[str, np.ndarray]], most: float) -> None:
    """Draw frames beside each other, brightness by the square root up to `most` photons."""
    figure = Figure(figsize=(3.4 * len(frames) + 0.8, 3.8), layout="constrained")
    axes = figure.subplots(1, len(frames), squeeze=False)[0]
    root = float(np.sqrt(most))
    for axis, (title, frame) in zip(axes, frames, strict=True):
        shown = axis.imshow(np.sqrt(np.maximum(frame, 0.0)), cmap="magma", vmin=0.0, vmax=root)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    bar = figure.colorbar(shown, ax=list(axes), shrink=0.8, label="photons per pixel")
    ticks = np.linspace(0.0, root, 4)
    bar.set_ticks(ticks.tolist(), labels=[f"{tick * tick:.3g}" for tick in ticks])
    save(figure, name)


def save(figure: Figure, name: str) -> None:
    """Write a figure with a palette of its own, which keeps it small."""
    FigureCanvasAgg(figure)
    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=80)
    with Image.open(whole) as picture:
        picture.convert("RGB").quantize(_SHADES).save(FOLDER / f"{name}.png", optimize=True)
