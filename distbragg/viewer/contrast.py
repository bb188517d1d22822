"""Which values have the first and the last colour."""

from __future__ import annotations

from typing import Final

import numpy as np

from distbragg.viewer.controls import Controls
from distbragg.viewer.kinds import Kind
from distbragg.viewer.levels import Limits, Scale, difference_limits, find_limits
from distbragg.viewer.plane import Picture, Pyramid

_LEAST: Final = 1e-9  # of a logarithmic scale


class Contrast:
    """The limits of the pictures of a page: those of the first hold for the second too."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self.limits = Limits(0.0, 1.0, "linear")

    def of(self, kind: Kind, frame: Pyramid | None) -> Limits:
        """Choose the limits of a frame, and show them beside the picture."""
        if kind.limits is not None:
            self.limits = kind.limits
        elif self._controls.fixed.active:
            self.limits = self._typed(kind)
        elif frame is not None:
            # Of the whole frame: zooming changes no colour.
            rows = frame.frame.reshape(-1, frame.frame.shape[-1])
            low, high = self._controls.percentiles.value
            self.limits = find_limits(rows, self._scale(kind), (float(low), float(high)))
            self._controls.low.value = float(f"{self.limits.low:.4g}")
            self._controls.high.value = float(f"{self.limits.high:.4g}")
        return self.limits

    def of_difference(self, picture: Picture | None) -> Limits:
        """Choose limits evenly about nothing."""
        values = np.zeros((1, 1)) if picture is None else picture.values
        return difference_limits(values, float(self._controls.percentiles.value[1]))

    def _scale(self, kind: Kind) -> Scale:
        return kind.scale or self._controls.scale_name

    def _typed(self, kind: Kind) -> Limits:
        scale = self._scale(kind)
        least = _LEAST if scale == "log" else -np.inf
        first = max(float(self._controls.low.value or 0.0), least)
        last = float(self._controls.high.value or 0.0)
        return Limits(first, last if last > first else first * 2.0 + _LEAST, scale)
