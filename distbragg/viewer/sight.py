"""Which part of the plane a page shows: pixels as high as wide, whatever a picture's size."""

from __future__ import annotations

from typing import Final

from bokeh.models import Range1d

from distbragg.viewer.plane import Plane, Window

_AROUND: Final = 1.01  # size of the plane that is shown at first over that of the detector
_FEW_POINTS: Final = 0.03  # share of a picture's size that it may change by without a new scale

Points = tuple[int, int]  # columns and rows of the screen that a picture has


class Sight:
    """The ranges that all pictures of a page share."""

    def __init__(self, points: Points) -> None:
        self.x, self.y = Range1d(0, 1), Range1d(0, 1)
        self._size, self._whole = points, True

    @property
    def window(self) -> Window:
        """What is shown of the plane."""
        x, y = sorted((self.x.start, self.x.end)), sorted((self.y.start, self.y.end))
        return Window(x[0], x[1], y[0], y[1])

    def fit(self, plane: Plane, points: Points) -> None:
        """Show the whole detector."""
        bounds, (columns, rows) = plane.bounds, points
        unit = _AROUND * max(bounds.width / columns, bounds.height / rows)
        self._scale(plane, points, bounds, unit)
        self._whole = True

    def zoomed(self) -> None:
        """Take note that the reader has chosen a window."""
        self._whole = False

    def resize(self, plane: Plane, points: Points) -> None:
        """Keep pixels as high as wide where the picture got another size.

        Longer labels of an axis, as a zoom brings them, take a few points off the picture. A scale
        set for those would take back what the browser has zoomed meanwhile.
        """
        before = self._size
        change = max(abs(new / old - 1.0) for new, old in zip(points, before, strict=True))
        if change <= _FEW_POINTS:
            return
        self._size = points
        if self._whole:
            self.fit(plane, points)
        else:
            self._scale(plane, points, self.window, self.window.width / before[0])

    def _scale(self, plane: Plane, points: Points, window: Window, unit: float) -> None:
        """Show the middle of a window, points of the screen `unit` wide."""
        columns, rows = points
        x, y = (window.left + window.right) / 2.0, (window.low + window.high) / 2.0
        half = unit * columns / 2.0, unit * rows / 2.0
        down = -1.0 if plane.in_pixels else 1.0
        ends = y - down * half[1], y + down * half[1]
        self.x.update(start=x - half[0], end=x + half[0], reset_start=None, reset_end=None)
        self.y.update(start=ends[0], end=ends[1], reset_start=None, reset_end=None)
