"""At which points of which pixels spots are evaluated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from distbragg.kernel.closed_model import intervals, offsets
from distbragg.kernel.scene import Scene
from distbragg.matrices import dot3
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.arrays import constant
from distbragg.physics.near_sphere import Places
from distbragg.physics.rays import SampleIndex

_EDGE: Final = 24
"""Points on the edge of a disc, which is taken 1 % larger since the edge bulges between them."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points at which a spot is evaluated, (points,) each."""

    spot: IntArray
    pixel: IntArray  # position among the pixels asked for
    slow: Float64Array  # index of the pixel, moved to the point
    fast: Float64Array
    share: Float64Array  # of the sample's area

    def only(self, chosen: IntArray) -> Points:
        """Return some of the points."""
        return Points(*(getattr(self, item.name)[chosen] for item in fields(self)))


@dataclass(frozen=True, slots=True)
class View:
    """One sample of each pixel of a flat panel."""

    scene: Scene
    index: SampleIndex


def points_of(view: View, places: Places, rows: IntArray, columns: IntArray) -> Points:
    """Find the points of one sample of each pixel that lie in the disc of a spot."""
    scene = view.scene
    spot, pixel = _boxed(view, places, rows, columns)
    panel = scene.placement.panel
    size = panel.pixel_size / scene.sampling.oversample
    counts = np.zeros((len(places), 2), dtype=np.int64)
    if scene.sampling.integrate:
        lit = np.unique(spot)
        counts[lit] = intervals(places[lit], panel, size)
    parts = []
    for pair in np.unique(counts[np.unique(spot)], axis=0):
        own = np.flatnonzero((counts[spot] == pair).all(axis=1))
        across, down = (
            np.array(offsets(int(count), size) if count else [0.0]) / panel.pixel_size
            for count in pair
        )
        moves = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)
        many = len(moves)
        names, at = np.repeat(spot[own], many), np.repeat(pixel[own], many)
        points = Points(
            names,
            at,
            rows[at] + 1.0 * np.tile(moves[:, 0], len(own)),
            columns[at] + 1.0 * np.tile(moves[:, 1], len(own)),
            np.full(len(names), 1.0 / many),
        )
        parts.append(points.only(np.flatnonzero(_inside(view, places, points))))
    if not parts:
        none, empty = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Points(none, none, empty, empty, empty)
    return Points(
        *(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Points))
    )


def _origin(view: View) -> Float64Array:
    """Return where the corner of a panel's layer is, (3,) m."""
    placement = view.scene.placement
    origin = np.array([float(constant(part)) for part in placement.origin])
    depth = float(placement.panel.sensor.position[view.index.layer])
    return np.asarray(origin + depth * placement.panel.normal)


def _boxed(
    view: View, places: Places, rows: IntArray, columns: IntArray
) -> tuple[IntArray, IntArray]:
    """Return spots and the pixels in the boxes about their discs, in order of the spots."""
    panel, origin = view.scene.placement.panel, _origin(view)
    angle = 2.0 * np.pi * np.arange(_EDGE) / _EDGE
    rays, _ = places.rays(places.radius(), 1.01 * np.cos(angle), 1.01 * np.sin(angle))
    cosine, height = dot3(rays, panel.normal), float(dot3(origin, panel.normal))
    with np.errstate(divide="ignore", invalid="ignore"):
        length: Float64Array = np.asarray(height / cosine)
        place = length[..., np.newaxis] * rays - origin
        at = [dot3(place, axis) / panel.pixel_size for axis in (panel.slow, panel.fast)]
    low = np.array([rows.min(), columns.min()])
    shape = np.array([rows.max(), columns.max()]) - low + 1
    where = np.full(shape, -1, dtype=np.int64)
    where[rows - low[0], columns - low[1]] = np.arange(len(rows))
    spots: list[IntArray] = []
    pixels: list[IntArray] = []
    # What of an edge does not face the panel lies beyond all that does.
    facing = length > 0.0
    first, last = (
        np.stack([np.floor(most(part, axis=1)) for part in chosen], axis=1) - low + more
        for most, chosen, more in (
            (np.min, [np.where(facing, part, np.inf) for part in at], 0),
            (np.max, [np.where(facing, part, -np.inf) for part in at], 1),
        )
    )
    first, last = (part.clip(0, shape).astype(np.int64) for part in (first, last))
    for name in np.flatnonzero((first < last).all(axis=1)).tolist():
        (top, left), (bottom, right) = first[name], last[name]
        inside = where[top:bottom, left:right].ravel()
        inside = inside[inside >= 0]
        pixels.append(inside)
        spots.append(np.full(len(inside), name))
    if not spots:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(spots), np.concatenate(pixels)


def _inside(view: View, places: Places, points: Points) -> np.ndarray:
    """Tell which points lie in the discs of their spots."""
    panel, index = view.scene.placement.panel, view.index
    shift = [(part + 0.5) / view.scene.sampling.oversample for part in (index.slow, index.fast)]
    slow, fast = points.slow + shift[0], points.fast + shift[1]
    place = _origin(view) + panel.pixel_size * (
        slow[:, np.newaxis] * panel.slow + fast[:, np.newaxis] * panel.fast
    )
    first, second = places.disc()
    facing = dot3(places.centre[points.spot], place)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (dot3(axis[points.spot], place) / facing for axis in (first, second))
        return np.asarray((facing > 0.0) & (a * a + b * b <= 1.0))
