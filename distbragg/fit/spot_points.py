"""At which points of which pixels those spots are evaluated that no polynomial fits."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from distbragg.fit.spot_boxes import Ellipses, Window
from distbragg.fit.spot_draw import Grid
from distbragg.models.vectors import BoolArray, Float64Array, IntArray
from distbragg.physics.places import Places
from distbragg.physics.rays import Placement, SampleIndex, sample_positions


@dataclass(frozen=True, slots=True)
class Points:
    """Points at which a spot is evaluated, (points,) each."""

    spot: IntArray
    pixel: IntArray  # position in the window
    slow: Float64Array  # pixels, whole numbers are their middles
    fast: Float64Array
    share: Float64Array  # of the pixel's sample

    def only(self, chosen: IntArray | BoolArray) -> Points:
        """Return some of the points."""
        return Points(*(getattr(self, item.name)[chosen] for item in fields(self)))


def points_of(
    placement: Placement,
    layer: int,
    places: Places,
    ellipses: Ellipses,
    *,
    grid: Grid,
    window: Window,
) -> Points:
    """Find the points of pixels that lie in the discs of spots, in order of the spots."""
    parts = []
    first = np.clip(np.floor(ellipses.first), 0, window.shape).astype(np.int64)
    last = np.clip(np.ceil(ellipses.last) + 1, 0, window.shape).astype(np.int64)
    for spot in range(len(places)):
        rows, columns = (
            np.arange(start, stop) for start, stop in zip(first[spot], last[spot], strict=True)
        )
        down, across = grid.of(spot)
        shape = len(rows), len(columns), len(down), len(across)
        slow = np.broadcast_to((rows[:, None, None] + down[:, None])[:, None], shape)
        fast = np.broadcast_to(columns[:, None, None] + across, shape)
        pixel = np.broadcast_to((rows[:, None] * window.shape[1] + columns)[..., None, None], shape)
        points = Points(
            np.full(slow.size, spot),
            pixel.ravel(),
            slow.ravel() + window.corner[0],
            fast.ravel() + window.corner[1],
            np.full(slow.size, 1.0 / (len(down) * len(across))),
        )
        parts.append(points.only(_inside(placement, layer, places[spot : spot + 1], points)))
    return Points(
        *(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Points))
    )


def _inside(placement: Placement, layer: int, place: Places, points: Points) -> BoolArray:
    """Tell which points lie in the disc of one spot."""
    index = SampleIndex(layer, 0, 0)
    positions = sample_positions(
        placement.numbers(), points.slow, points.fast, sample=index, oversample=1
    )
    a, b = place.coordinates(np.zeros_like(points.spot), np.stack(positions, axis=-1))
    return np.asarray(a * a + b * b <= 1.0)
