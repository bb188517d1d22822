"""The shadow of a beam stop: what share of the photons of a ray arrives.

The share rises from the stop's own to 1 in proportion to the distance from the outline, over the
width of the edge, half of it within the outline. Disc or polygon and arm are one outline.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.models.beam_stop import BeamStop
from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array, components
from distbragg.physics.rays import SampleIndex, placement_of, sample_rays

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
        block = slice(start, start + step)
        slow, fast = np.meshgrid(rows[block], columns, indexing="ij")
        rays = sample_rays(placement, slow, fast, sample=middle, oversample=1)
        directions = np.stack(rays.direction, axis=-1)
        shares[block] = ray_transmission(stop, first, beam, directions)
    return shares


def ray_transmission(
    stop: BeamStop, first: Panel, beam: Float64Array, direction: Float64Array
) -> Float64Array:
    """Return the share of rays, (..., 3) unit vectors, that arrives; behind the sample all do."""
    along = direction @ beam
    ahead = along > 0.0
    share = np.ones(along.shape)
    ways = [np.array(components(axis)) for axis in (first.fast, first.slow)]
    # What of an axis runs along the beam does not lie in the plane across it.
    flat = [way - (way @ beam) * beam for way in ways]
    place = direction[ahead] * (abs(first.distance) / along[ahead])[..., np.newaxis]
    x, y = (place @ (way / math.sqrt(way @ way)) for way in flat)
    share[ahead] = transmission(stop, x, y)
    return share


def transmission(stop: BeamStop, x: Float64Array, y: Float64Array) -> Float64Array:
    """Return the share that arrives at places on the plane, m from the beam."""
    away_x, away_y = x - stop.centre[0], y - stop.centre[1]
    if stop.polygon:
        outside = _from_polygon(stop.polygon, x, y)
    else:
        outside = np.hypot(away_x, away_y) - stop.radius
    if stop.arm_width > 0.0:
        cosine, sine = math.cos(stop.arm_angle), math.sin(stop.arm_angle)
        along, across = away_x * cosine + away_y * sine, np.abs(away_y * cosine - away_x * sine)
        across = across - 0.5 * stop.arm_width
        end = np.hypot(along, np.maximum(across, 0.0))
        outside = np.minimum(outside, np.where(along < 0.0, end, across))
    share = np.clip(outside / stop.edge + 0.5, 0.0, 1.0) if stop.edge > 0.0 else outside > 0.0
    return np.asarray(stop.transmission + (1.0 - stop.transmission) * share, dtype=np.float64)


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
