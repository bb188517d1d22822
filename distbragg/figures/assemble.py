"""All panels of a detector as one picture, seen along the beam."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.figures.shrink import block_maximum
from distbragg.models.detector import Panel
from distbragg.physics.pixels import screen_axes

PICTURE_EDGE: Final = 1200  # points along the longer side of a picture
_FLAT: Final = 1e-6
_SAME_SIZE: Final = 1.01


@dataclass(frozen=True, slots=True)
class Assembled:
    """A picture of a detector: photons of the pixel seen at each point, NaN between the panels."""

    image: NDArray[np.float64]  # (rows, columns)
    extent: tuple[float, float, float, float]
    """Left, right, bottom and top edge, mm from the beam: right and up seen along it."""


def assemble(
    image: NDArray[Any],
    panels: Sequence[Panel],
    beam: NDArray[np.float64],
    *,
    edge: int = PICTURE_EDGE,
) -> Assembled:
    """Draw the panels where they stand, projected along the beam; the later one covers.

    `image` is (panels, slow, fast), `beam` a unit vector. Sides have at most `edge` points; where
    pixels are smaller than a point, the brightest shows.
    """
    right, up = screen_axes(panels, beam)
    flat = [PlacedPanel(panel, right, up) for panel in panels]
    low = np.min([item.corners.min(axis=0) for item in flat], axis=0)
    high = np.max([item.corners.max(axis=0) for item in flat], axis=0)
    pixel = min(panel.pixel_size for panel in panels)
    wished = max(pixel, float((high - low).max()) / edge)
    columns, rows = (max(1, round(float(side) / wished)) for side in high - low)
    canvas = np.full((rows, columns), np.nan)
    step = (high - low) / (columns, rows)
    for item, values in zip(flat, image, strict=True):
        shown = np.asarray(values, dtype=np.float64)[: item.pixels[0], : item.pixels[1]]
        item.draw(canvas, partial(block_maximum, shown), low, step)
    (left, bottom), (right_edge, top) = (low * 1e3).tolist(), (high * 1e3).tolist()
    return Assembled(canvas, (left, right_edge, bottom, top))


class PlacedPanel:
    """A panel projected on the screen."""

    def __init__(self, panel: Panel, right: NDArray[np.float64], up: NDArray[np.float64]) -> None:
        screen = np.stack([right, up])
        self.pixels = panel.pixels
        self.origin = screen @ panel.origin
        self.axes = np.stack([screen @ panel.fast, screen @ panel.slow], axis=1) * panel.pixel_size
        slow, fast = panel.pixels
        ends = np.array([[0, 0], [fast, 0], [0, slow], [fast, slow]], dtype=np.float64)
        self.corners = self.origin + ends @ self.axes.T

    def at(
        self, slow: NDArray[np.float64], fast: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where places lie, counted in pixels from the outer corner: mm right, and up."""
        x, y = (
            1e3 * (start + fast * axes[0] + slow * axes[1])
            for start, axes in zip(self.origin, self.axes, strict=True)
        )
        return x, y

    def draw(
        self,
        canvas: NDArray[np.float64],
        pooled: Callable[[int], NDArray[Any]],
        low: NDArray[np.float64],
        step: NDArray[np.float64],
    ) -> None:
        """Put the panel's pixels on the canvas, whose first row is the highest.

        The canvas has points of size `step`, (2,), and its lower left corner at `low`, (2,);
        `pooled(n)` gives the pixels in blocks of n × n.
        """
        size = float(np.linalg.norm(self.axes, axis=0).max())
        if abs(np.linalg.det(self.axes)) < _FLAT * size * size:
            return
        first = np.maximum(np.floor((self.corners.min(axis=0) - low) / step).astype(int), 0)
        last = np.ceil((self.corners.max(axis=0) - low) / step).astype(int)
        columns = np.arange(first[0], min(int(last[0]), canvas.shape[1]))
        heights = np.arange(first[1], min(int(last[1]), canvas.shape[0]))
        x = low[0] + (columns + 0.5) * step[0] - self.origin[0]
        y = low[1] + (heights + 0.5) * step[1] - self.origin[1]
        inverse = np.linalg.inv(self.axes)
        fast = inverse[0, 0] * x[np.newaxis, :] + inverse[0, 1] * y[:, np.newaxis]
        slow = inverse[1, 0] * x[np.newaxis, :] + inverse[1, 1] * y[:, np.newaxis]
        inside = (fast >= 0) & (fast < self.pixels[1]) & (slow >= 0) & (slow < self.pixels[0])
        share = float(step.max()) / size
        block = 1 if share < _SAME_SIZE else math.ceil(share)
        bright = pooled(block)
        rows = canvas.shape[0] - 1 - heights
        window = canvas[rows[:, np.newaxis], columns[np.newaxis, :]]
        window[inside] = bright[
            (slow[inside] // block).astype(int), (fast[inside] // block).astype(int)
        ]
        canvas[rows[:, np.newaxis], columns[np.newaxis, :]] = window
