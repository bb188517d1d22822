"""Where pixels lie on the screen, and the part of a frame that a window shows.

A detector of one panel is shown in its own pixels: fast to the right, slow down. Several panels
are shown where they stand, seen along the beam, in mm from it: right and up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.figures.assemble import PlacedPanel
from distbragg.figures.shrink import block_maximum
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.pixels import screen_axes

Pooling = Literal["brightest", "mean", "extreme"]
"""What stands for a block of pixels that share a point of the screen: `extreme` is the value
farthest from 0, for differences."""

_MM: Final = 1e3


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the plane, in its own unit; y counts upwards or, for pixels, downwards."""

    left: float
    right: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Size along x."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Size along y."""
        return self.high - self.low

    def within(self, other: Window) -> Window | None:
        """Return the part that two windows share; None where they do not meet."""
        left, right = max(self.left, other.left), min(self.right, other.right)
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Window(left, right, low, high) if left < right and low < high else None


@dataclass(frozen=True, slots=True)
class Picture:
    """Values over a window, NaN where no pixel lies; the first row has the least y."""

    values: NDArray[np.floating[Any]]  # (rows, columns)
    window: Window


class Pyramid:
    """A frame, (panels, slow, fast), and its smaller copies as they are asked for."""

    def __init__(self, frame: NDArray[Any]) -> None:
        self.frame = frame
        self._kept: dict[tuple[int, int, Pooling], NDArray[Any]] = {}

    def pooled(self, panel: int, step: int, pooling: Pooling = "brightest") -> NDArray[Any]:
        """Return a panel in blocks of `step` × `step` pixels; those at the far ends are smaller."""
        if step <= 1:
            return np.asarray(self.frame[panel])
        key = panel, step, pooling
        if key not in self._kept:
            self._kept[key] = _POOLED[pooling](self.frame[panel], step)
        return self._kept[key]


def _mean(image: NDArray[Any], step: int) -> NDArray[Any]:
    total, count = np.zeros(_blocks(image, step), np.float32), np.zeros(_blocks(image, step))
    for slow in range(step):
        for fast in range(step):
            part = image[slow::step, fast::step]
            there = np.isfinite(part)
            rows, columns = part.shape
            total[:rows, :columns] += np.where(there, part, 0.0)
            count[:rows, :columns] += there
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count, dtype=np.float32)


def _extreme(image: NDArray[Any], step: int) -> NDArray[Any]:
    above, below = block_maximum(image, step), -block_maximum(-image, step)
    return np.where(above >= -below, above, below)


def _blocks(image: NDArray[Any], step: int) -> tuple[int, int]:
    rows, columns = (math.ceil(size / step) for size in image.shape)
    return rows, columns


_POOLED: Final = {"brightest": block_maximum, "mean": _mean, "extreme": _extreme}


class Plane:
    """The panels of a frame on the screen."""

    def __init__(self, experiment: Experiment) -> None:
        panels = experiment.detector.panels
        self.in_pixels = len(panels) == 1
        self.unit = "pixels" if self.in_pixels else "mm"
        self.sizes = [panel.pixels for panel in panels]
        self._screen: list[PlacedPanel] = []
        self._affine: list[tuple[Float64Array, Float64Array]] = []
        if self.in_pixels:
            self.pixel = 1.0
            self._affine.append((np.zeros(2), np.eye(2)))
        else:
            right, up = screen_axes(panels, experiment.beam.direction)
            self.pixel = min(panel.pixel_size for panel in panels) * _MM
            self._screen = [PlacedPanel(panel, right, up) for panel in panels]
            self._affine = [(item.origin * _MM, item.axes * _MM) for item in self._screen]
        corners = np.concatenate([self._corners(panel) for panel in range(len(panels))])
        (left, low), (far, high) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        self.bounds = Window(left, far, low, high)

    def _corners(self, panel: int) -> Float64Array:
        slow, fast = self.sizes[panel]
        return np.stack(self.place(panel, [0, 0, slow, slow], [0, fast, 0, fast]), axis=1)

    def place(
        self, panel: int, slow: ArrayLike, fast: ArrayLike
    ) -> tuple[Float64Array, Float64Array]:
        """Return x and y of places on a panel, in pixels from its outer corner."""
        origin, axes = self._affine[panel]
        at = np.stack([np.asarray(fast, np.float64), np.asarray(slow, np.float64)])
        x, y = np.tensordot(axes, at, 1)
        return x + origin[0], y + origin[1]

    def locate(self, x: float, y: float) -> tuple[int, float, float] | None:
        """Return panel, slow and fast, in pixels from its outer corner, that lie at a point."""
        for panel in reversed(range(len(self._affine))):
            origin, axes = self._affine[panel]
            if abs(np.linalg.det(axes)) < 1e-12:
                continue
            fast, slow = np.linalg.solve(axes, np.array([x, y]) - origin).tolist()
            rows, columns = self.sizes[panel]
            if 0.0 <= slow < rows and 0.0 <= fast < columns:
                return panel, slow, fast
        return None

    def picture(
        self,
        frame: Pyramid,
        window: Window,
        points: tuple[int, int],
        pooling: Pooling = "brightest",
    ) -> Picture | None:
        """Return what a window of (columns, rows) `points` of the screen shows; None: nothing.

        Points are not smaller than those of the screen, so that it drops none of them.
        """
        shared = window.within(self.bounds)
        if shared is None:
            return None
        step = max(window.width / points[0], window.height / points[1])
        if self.in_pixels:
            return _of_one_panel(frame, shared, math.ceil(step - 1e-9), pooling)
        step = max(step, self.pixel)
        columns, rows = (math.ceil(side / step) for side in (shared.width, shared.height))
        canvas = np.full((rows, columns), np.nan)
        # The points of a window that shows all and those of one that shows a part lie alike.
        low = np.array([shared.left, shared.low]) / _MM
        for panel, item in enumerate(self._screen):
            slow, fast = self.sizes[panel]

            def pooled(size: int, panel: int = panel, s: int = slow, f: int = fast) -> NDArray[Any]:
                at = math.ceil(s / size), math.ceil(f / size)
                return frame.pooled(panel, size, pooling)[: at[0], : at[1]]

            item.draw(canvas, pooled, low, np.full(2, step / _MM))
        covered = Window(
            shared.left, shared.left + columns * step, shared.low, shared.low + rows * step
        )
        return Picture(canvas[::-1], covered)

    def pixels_in(self, window: Window, most: int) -> list[tuple[int, NDArray[Any], NDArray[Any]]]:
        """Return panel, slow and fast indices of the pixels in a window; none if beyond `most`."""
        found = []
        total = 0
        for panel, (slow, fast) in enumerate(self.sizes):
            origin, axes = self._affine[panel]
            if abs(np.linalg.det(axes)) < 1e-12:
                continue
            ends = np.array([[x, y] for x in (window.left, window.right) for y in window_y(window)])
            at = np.linalg.solve(axes, (ends - origin).T)
            start = np.clip(np.floor(at.min(axis=1)), 0, [fast, slow]).astype(int)
            stop = np.clip(np.ceil(at.max(axis=1)), 0, [fast, slow]).astype(int)
            count = int(np.prod(stop - start))
            if count:
                total += count
                rows, columns = np.mgrid[start[1] : stop[1], start[0] : stop[0]]
                found.append((panel, rows.ravel(), columns.ravel()))
            if total > most:
                return []
        return found


def window_y(window: Window) -> tuple[float, float]:
    """Return both ends along y."""
    return window.low, window.high


def _of_one_panel(frame: Pyramid, shared: Window, step: int, pooling: Pooling) -> Picture:
    step = max(1, step)
    pooled = frame.pooled(0, step, pooling)
    first = [math.floor(start / step) for start in (shared.low, shared.left)]
    last = [math.ceil(end / step) for end in (shared.high, shared.right)]
    values = pooled[first[0] : last[0], first[1] : last[1]]
    rows, columns = values.shape
    left, low = first[1] * step, first[0] * step
    return Picture(values, Window(left, left + columns * step, low, low + rows * step))
