"""From values to the 256 levels of an indexed picture, which is what travels to the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["log", "linear"]

COLOURS: Final = 253  # levels that stand for values: 0 to 252
MASKED: Final = 253  # level of a pixel that measures nothing
NOTHING: Final = 254  # level where there is no pixel, or no value
_DECADES: Final = 1e-4
"""Least value of a logarithmic scale over its greatest."""
_SAMPLE: Final = 200_000  # values that percentiles are taken of, about


@dataclass(frozen=True, slots=True)
class Limits:
    """Values of the first and the last colour, and how the colours between are spread."""

    low: float
    high: float
    scale: Scale


def find_limits(
    values: NDArray[np.floating[Any]], scale: Scale, percentiles: tuple[float, float]
) -> Limits:
    """Take the limits of a picture from percentiles of its values, of those above 0 for `log`."""
    step = max(1, int(np.sqrt(values.size / _SAMPLE)))
    some = values[::step, ::step]
    some = some[np.isfinite(some)]
    if scale == "log":
        some = some[some > 0.0]
    if not some.size:
        return Limits(0.1 if scale == "log" else 0.0, 1.0, scale)
    low, high = (float(limit) for limit in np.percentile(some, percentiles))
    if not high > low:
        low, high = float(some.min()), float(some.max())
    if scale == "log":
        low = max(0.5 * low, high * _DECADES)  # so that single photons show
        return Limits(low, high if high > low else low * 10.0, scale)
    return Limits(low, high if high > low else low + 1.0, scale)


def difference_limits(
    values: NDArray[np.floating[Any]], percentile: float, middle: float = 0.0
) -> Limits:
    """Take limits that lie evenly about the middle, for a difference or, about 1, a ratio."""
    away = np.abs(values[np.isfinite(values)] - middle)
    reach = float(np.percentile(away, percentile)) if away.size else 1.0
    if not reach > 0.0:
        reach = float(away.max(initial=0.0)) or 1.0
    return Limits(middle - reach, middle + reach, "linear")


def to_levels(
    values: NDArray[np.floating[Any]], limits: Limits, masked: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Return the level of every value."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if limits.scale == "log":
            steps = np.log(np.maximum(values, limits.low) / limits.low)
            steps *= (COLOURS - 1) / np.log(limits.high / limits.low)
        else:
            steps = (values - limits.low) * ((COLOURS - 1) / (limits.high - limits.low))
        levels = np.clip(np.rint(steps), 0, COLOURS - 1)
    nothing = np.isnan(levels)
    found: NDArray[np.uint8] = np.where(nothing, NOTHING, levels).astype(np.uint8)
    if masked is not None:
        found[masked & ~nothing] = MASKED
    return found
