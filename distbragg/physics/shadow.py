"""The shadow of a beam stop: what share of the photons of a ray arrives.

The share rises from the stop's own to 1 in proportion to the distance from the outline, over the
width of the edge, half of it within the outline. Disc or polygon and arm are one outline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from distbragg.models.beam_stop import BeamStop
from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array, components
from distbragg.physics.arrays import Triple, dot
from distbragg.physics.rays import SampleIndex, placement_of, sample_positions

_BLOCK_PIXELS: Final = 1 << 16
"""Pixels whose rays are followed at once: bounds the temporaries. No bit depends on it."""


def panel_transmission(
    stop: BeamStop, panel: Panel, first: Panel, beam: Float64Array
) -> Float64Array:
    """Return the share of every pixel of a panel, of its middle, (slow, fast).

    `first`: the panel whose axes and distance the outline is given by. `beam`: its direction.
    """
    rows, columns = (np.arange(size, dtype=np.float64) for size in panel.shape)
    middle, placement = SampleIndex(0, 0, 0), placement_of(panel, beam)
    shares = np.empty(panel.shape)
    step = max(1, _BLOCK_PIXELS // panel.shape[1])
    for start in range(0, panel.shape[0], step):
        slow = rows[start : start + step, np.newaxis]
        places = sample_positions(placement, slow, columns, sample=middle, oversample=1)
        shares[start : start + step] = _share(stop, first, beam, places)
    return shares


def ray_transmission(
    stop: BeamStop, first: Panel, beam: Float64Array, direction: Float64Array
) -> Float64Array:
    """Return the share of rays, (..., 3) unit vectors, that arrives; behind the sample all do."""
    x, y, z = np.moveaxis(direction, -1, 0)
    return _share(stop, first, beam, (x, y, z))


def _share(stop: BeamStop, first: Panel, beam: Float64Array, ray: Triple) -> Float64Array:
    """Return the share of rays through points, x, y, z each of one shape, m or of any length."""
    along = dot(ray, components(beam))
    ahead = along > 0.0
    distance = abs(first.distance) / np.where(ahead, along, 1.0)
    x, y = (dot(ray, way) * distance for way in _across(first, beam))
    return np.asarray(np.where(ahead, transmission(stop, x, y), 1.0))


def _across(first: Panel, beam: Float64Array) -> Iterator[Triple]:
    """Yield the panel's axes without what of them runs along the beam, as unit vectors."""
    for axis in (first.fast, first.slow):
        way = np.array(components(axis))
        flat = way - (way @ beam) * beam
        yield components(flat / math.sqrt(flat @ flat))


def transmission(stop: BeamStop, x: Float64Array, y: Float64Array) -> Float64Array:
    """Return the share that arrives at places on the plane, m from the beam."""
    away_x, away_y = x - stop.centre[0], y - stop.centre[1]
    cosine, sine = math.cos(stop.arm_angle), math.sin(stop.arm_angle)
    across = away_y * cosine - away_x * sine
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
