"""The shadow of a beam stop: what share of the photons of a ray arrives.

The share rises from the stop's own to 1 in proportion to the distance from the outline, over the
width of the edge, half of it within the outline. Disc or polygon and arm are one outline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from distbragg.models.beam_stop import BeamStop, StopPlane
from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array
from distbragg.physics.arrays import Triple
from distbragg.physics.rays import Placement, SampleIndex, placement_of, sample_positions

_BLOCK_EDGE: Final = 64
"""Edge of the blocks of pixels whose rays are followed at once. No bit depends on it."""

_MIDDLE: Final = SampleIndex(0, 0, 0)
_ROUND: Final = 1.0 + 1e-9
"""By how much the shadow counts as larger than it is where blocks are left out: for rounding."""


def panel_transmission(
    stop: BeamStop, panel: Panel, first: Panel, beam: Float64Array
) -> Float64Array:
    """Return the share of every pixel of a panel, of its middle, (slow, fast).

    `first`: the panel whose axes and distance the outline is given by. `beam`: its direction.
    """
    slow, fast = (np.arange(size, dtype=np.float64) for size in panel.shape)
    placement, plane = placement_of(panel, beam), StopPlane.of(first, beam)
    shares = np.ones(panel.shape)
    for rows, columns in _near(stop, placement, plane):
        places = sample_positions(
            placement, slow[rows, np.newaxis], fast[columns], sample=_MIDDLE, oversample=1
        )
        shares[rows, columns] = _share(stop, plane, places)
    return shares


def _near(stop: BeamStop, placement: Placement, plane: StopPlane) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of a panel's pixels, all but those of a flat panel that the shadow is far from.

    Rays to a block of a flat panel cross the plane of the outline within the quadrangle of those
    to its corners.
    """
    panel = placement.panel
    starts = [np.arange(0, size, _BLOCK_EDGE) for size in panel.shape]
    cuts = [
        np.append(edges, size).astype(np.float64) - 0.5
        for edges, size in zip(starts, panel.shape, strict=True)
    ]
    corners = sample_positions(
        placement, cuts[0][:, np.newaxis], cuts[1], sample=_MIDDLE, oversample=1
    )
    far = np.zeros([edges.size for edges in starts], dtype=np.bool_)
    if panel.surface == "flat":
        along, x, y = plane.crossed(corners)
        away_x, away_y = x - stop.centre[0], y - stop.centre[1]
        ahead = _of_blocks(along, np.min) > 0.0
        reach = (_reach(stop) + stop.edge) * _ROUND
        left, right = _of_blocks(away_x, np.min), _of_blocks(away_x, np.max)
        below, above = _of_blocks(away_y, np.min), _of_blocks(away_y, np.max)
        far = ahead & ((left > reach) | (right < -reach) | (below > reach) | (above < -reach))
        if stop.arm_width > 0.0:
            across = _across_arm(stop, away_x, away_y)
            wide = (0.5 * stop.arm_width + stop.edge) * _ROUND
            far &= (_of_blocks(across, np.min) > wide) | (_of_blocks(across, np.max) < -wide)
    for row, own in enumerate(~far):
        # Blocks that stand side by side are one.
        ends = np.flatnonzero(np.diff(own, prepend=False, append=False)).tolist()
        for start, stop_at in zip(ends[::2], ends[1::2], strict=True):
            rows, columns = (
                slice(first * _BLOCK_EDGE, last * _BLOCK_EDGE)
                for first, last in ((row, row + 1), (start, stop_at))
            )
            yield rows, columns


def _of_blocks(corners: Float64Array, chosen: Callable[..., Any]) -> Float64Array:
    """Return the least or the greatest of the four corners of each block."""
    four = corners[:-1, :-1], corners[1:, :-1], corners[:-1, 1:], corners[1:, 1:]
    return np.asarray(chosen(np.stack(four), axis=0))


def ray_transmission(
    stop: BeamStop, first: Panel, beam: Float64Array, direction: Float64Array
) -> Float64Array:
    """Return the share of rays, (..., 3) unit vectors, that arrives; behind the sample all do."""
    x, y, z = np.moveaxis(direction, -1, 0)
    return _share(stop, StopPlane.of(first, beam), (x, y, z))


def _share(stop: BeamStop, plane: StopPlane, ray: Triple) -> Float64Array:
    """Return the share of rays through points, x, y, z each of one shape, m or of any length."""
    along, x, y = plane.crossed(ray)
    return np.asarray(np.where(along > 0.0, transmission(stop, x, y), 1.0))


def transmission(stop: BeamStop, x: Float64Array, y: Float64Array) -> Float64Array:
    """Return the share that arrives at places on the plane, m from the beam."""
    away_x, away_y = x - stop.centre[0], y - stop.centre[1]
    cosine, sine = math.cos(stop.arm_angle), math.sin(stop.arm_angle)
    across = _across_arm(stop, away_x, away_y)
    near = away_x * away_x + away_y * away_y <= (_reach(stop) + stop.edge) ** 2
    if stop.arm_width > 0.0:
        near |= np.abs(across) <= 0.5 * stop.arm_width + stop.edge
    shares = np.ones(np.shape(x))
    x, y, away_x, away_y = x[near], y[near], away_x[near], away_y[near]
    if stop.polygon:
        outside = _from_polygon(stop.polygon, x, y)
    else:
        outside = np.hypot(away_x, away_y) - stop.radius
    if stop.arm_width > 0.0:
        along, beside = away_x * cosine + away_y * sine, np.abs(across[near]) - 0.5 * stop.arm_width
        end = np.hypot(along, np.maximum(beside, 0.0))
        outside = np.minimum(outside, np.where(along < 0.0, end, beside))
    share = np.clip(outside / stop.edge + 0.5, 0.0, 1.0) if stop.edge > 0.0 else outside > 0.0
    shares[near] = stop.transmission + (1.0 - stop.transmission) * share
    return shares


def _across_arm(stop: BeamStop, away_x: Float64Array, away_y: Float64Array) -> Float64Array:
    """Return how far places, m from the centre, are beside the arm's middle line."""
    return away_y * math.cos(stop.arm_angle) - away_x * math.sin(stop.arm_angle)


def _reach(stop: BeamStop) -> float:
    """Return the radius about the centre within which disc or polygon lie, m."""
    corners = (math.dist(corner, stop.centre) for corner in stop.polygon)
    return max(corners, default=stop.radius)


def _from_polygon(
    corners: tuple[tuple[float, float], ...], x: Float64Array, y: Float64Array
) -> Float64Array:
    """Return the distance from a polygon, negative inside."""
    nearest = np.full(np.shape(x), np.inf)
    inside = np.zeros(np.shape(x), dtype=np.bool_)
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
        side_x, side_y = bx - ax, by - ay
        square = side_x**2 + side_y**2
        share = ((x - ax) * side_x + (y - ay) * side_y) / square if square > 0.0 else x * 0.0
        share = np.clip(share, 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - ax - share * side_x, y - ay - share * side_y))
        crosses = (ay > y) != (by > y)
        left = x < ax + (y - ay) / (by - ay) * side_x if by != ay else crosses
        inside ^= crosses & left
    return np.where(inside, -nearest, nearest)
