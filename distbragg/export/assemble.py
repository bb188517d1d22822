"""All panels of a detector as one picture, seen along the beam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.detector import Panel

PICTURE_EDGE: Final = 1200
"""Points along the longer side of a picture."""

_FLAT: Final = 1e-6
_ALONG: Final = 0.9
_SAME_SIZE: Final = 1.01


@dataclass(frozen=True, slots=True)
class Assembled:
    """A picture of a detector.

    Attributes
    ----------
    image : (rows, columns) float64
        Photons of the pixel seen at each point; NaN where there is no panel.
    extent : 4 floats, mm
        Left, right, bottom and top edge: right and up seen along the beam, from the beam.
    """

    image: NDArray[np.float64]
    extent: tuple[float, float, float, float]


def assemble(
    image: NDArray[Any],
    panels: Sequence[Panel],
    beam: NDArray[np.float64],
    *,
    edge: int = PICTURE_EDGE,
) -> Assembled:
    """Draw the panels where they stand, projected along the beam; the later one covers.

    Parameters
    ----------
    image : (panels, slow, fast) array
    panels : sequence of Panel
    beam : (3,) float64
        Unit vector.
    edge : int
        Most points along a side; where pixels are smaller than a point, the brightest shows.

    Returns
    -------
    Assembled
    """
    right, up = _screen(panels, beam)
    flat = [_Flat(panel, right, up) for panel in panels]
    low = np.min([item.corners.min(axis=0) for item in flat], axis=0)
    high = np.max([item.corners.max(axis=0) for item in flat], axis=0)
    pixel = min(panel.pixel_size for panel in panels)
    wished = max(pixel, float((high - low).max()) / edge)
    columns, rows = (max(1, round(float(side) / wished)) for side in high - low)
    canvas = np.full((rows, columns), np.nan)
    step = (high - low) / (columns, rows)
    for item, values in zip(flat, image, strict=True):
        item.draw(canvas, np.asarray(values, dtype=np.float64), low, step)
    (left, bottom), (right_edge, top) = (low * 1e3).tolist(), (high * 1e3).tolist()
    return Assembled(canvas, (left, right_edge, bottom, top))


def _screen(
    panels: Sequence[Panel], beam: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right and up across the beam: y, or x where the beam runs along y.

    Its sign is such that slow axes run down on the whole.
    """
    axis = np.array([0.0, 1.0, 0.0]) if abs(beam[1]) < _ALONG else np.array([1.0, 0.0, 0.0])
    up = axis - (axis @ beam) * beam
    up = up / np.linalg.norm(up)
    if sum(float(panel.slow @ up) for panel in panels) > _FLAT:
        up = -up
    return np.cross(beam, up), up


class _Flat:
    """A panel projected on the screen."""

    def __init__(self, panel: Panel, right: NDArray[np.float64], up: NDArray[np.float64]) -> None:
        screen = np.stack([right, up])
        self.pixels = panel.pixels
        self.origin = screen @ panel.origin
        self.axes = np.stack([screen @ panel.fast, screen @ panel.slow], axis=1) * panel.pixel_size
        slow, fast = panel.pixels
        ends = np.array([[0, 0], [fast, 0], [0, slow], [fast, slow]], dtype=np.float64)
        self.corners = self.origin + ends @ self.axes.T

    def draw(
        self,
        canvas: NDArray[np.float64],
        values: NDArray[np.float64],
        low: NDArray[np.float64],
        step: NDArray[np.float64],
    ) -> None:
        """Put the panel's pixels on the canvas, whose first row is the highest."""
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
        reach = 1 if share < _SAME_SIZE else math.ceil(share) + 1
        bright = _brightest(values[: self.pixels[0], : self.pixels[1]], reach)
        rows = canvas.shape[0] - 1 - heights
        window = canvas[rows[:, np.newaxis], columns[np.newaxis, :]]
        window[inside] = bright[slow[inside].astype(int), fast[inside].astype(int)]
        canvas[rows[:, np.newaxis], columns[np.newaxis, :]] = window


def _brightest(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Largest value within a square of `reach` pixels about each: spots survive reduction."""
    result = values
    for axis in (0, 1):
        grown = result.copy()
        for shift in range(1, reach):
            offset = -(-shift // 2) * (1 if shift % 2 else -1)
            grown = np.maximum(grown, _shifted(result, offset, axis))
        result = grown
    return result


def _shifted(values: NDArray[np.float64], offset: int, axis: int) -> NDArray[np.float64]:
    """Return the values `offset` places on, the edge repeated."""
    index = np.clip(np.arange(values.shape[axis]) + offset, 0, values.shape[axis] - 1)
    return np.take(values, index, axis=axis)
