"""What the second picture shows: the other run, or how it differs from the first."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from distbragg.viewer.plane import Pyramid

NAMES: Final = {"difference": "B - A", "ratio": "log2(B / A)"}
"""Titles of a picture that compares."""


class Comparison:
    """Compares two frames; what was made last is kept."""

    def __init__(self) -> None:
        self._made: tuple[Any, ...] = ()

    def of(self, first: Pyramid | None, second: Pyramid | None, how: str) -> Pyramid | None:
        """Return the second minus the first, or the binary logarithm of second over first."""
        if first is None or second is None:
            return None
        if self._made[:3] != (first, second, how):
            one, two = first.frame.astype(np.float32), second.frame.astype(np.float32)
            if how == "difference":
                compared = two - one
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    compared = np.where(one > 0.0, np.log2(two / one), np.nan)
                compared[~np.isfinite(compared)] = np.nan
            self._made = first, second, how, Pyramid(compared)
        found: Pyramid = self._made[3]
        return found
