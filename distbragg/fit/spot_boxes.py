"""Which pixels of a panel spots cover: a parallelogram of pixels about the ellipse of each.

Coordinates count pixels; whole numbers are their middles. With an ellipse of the disc's edge,
p = middle + L·u with |u| ≤ 1 and L lower triangular, u's first component is that of the row.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from distbragg.matrices import dot3
from distbragg.models.vectors import BoolArray, Float64Array, IntArray
from distbragg.physics.arrays import constant
from distbragg.physics.bent import arcs_of_rays
from distbragg.physics.places import Places
from distbragg.physics.rays import Placement

_EDGE: Final = 24
"""Points on the edge of a disc."""

_OVAL: Final = 0.1
"""How far the edge of a disc may be off an ellipse on the panel, of its radius."""

_THINNEST: Final = 1e-6
"""Pixels: least half axis of an ellipse."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a panel's pixels."""

    corner: tuple[int, int]  # slow and fast of its first pixel
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ellipses:
    """The edges of discs on a panel, (n, ...), counted from the corner of a window."""

    middle: Float64Array  # (n, 2): slow, fast
    root: Float64Array  # (n, 3): L11, L21, L22, pixels
    oval: BoolArray  # whether it is an ellipse that faces the panel
    first: Float64Array  # (n, 2): least slow and fast of the edge
    last: Float64Array

    def __getitem__(self, chosen: IntArray | BoolArray) -> Ellipses:
        return Ellipses(*(getattr(self, item.name)[chosen] for item in fields(self)))

    def near(self, window: Window) -> BoolArray:
        """Tell which may reach into a window, (n,)."""
        with np.errstate(invalid="ignore"):
            inside = (self.first < np.array(window.shape)) & (self.last > -1.0)
        return np.asarray(inside.all(axis=1))

    def nodes(self, nodes: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return slow and fast of points (m, 2) of every unit disc, (n, m)."""
        l11, l21, l22 = (part[:, np.newaxis] for part in self.root.T)
        slow, fast = (part[:, np.newaxis] for part in self.middle.T)
        a, b = nodes.T
        return slow + l11 * a, fast + l21 * a + l22 * b


def ellipses_of(places: Places, placement: Placement, layer: int, window: Window) -> Ellipses:
    """Find where discs meet a panel's surface at the depth of a layer."""
    angle = 2.0 * np.pi * np.arange(_EDGE) / _EDGE
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rays, _ = places.rays(places.radius(), *circle.T)
    edge, facing = landed(placement, layer, rays)
    edge = edge - np.array(window.corner)
    shown = np.where(facing[..., np.newaxis], edge, 0.0)
    middle = shown.mean(axis=1)
    axes = np.einsum("nep,ec->npc", shown - middle[:, np.newaxis], circle) * (2.0 / _EDGE)
    slow, mixed, fast = ((axes[:, i] * axes[:, j]).sum(axis=1) for i, j in ((0, 0), (0, 1), (1, 1)))
    l11 = np.sqrt(np.maximum(slow, _THINNEST**2))
    l21 = mixed / l11
    l22 = np.sqrt(np.maximum(fast - l21 * l21, _THINNEST**2))
    root = np.stack([l11, l21, l22], axis=1)
    down, across = (shown - middle[:, np.newaxis]).transpose(2, 0, 1)
    a = down / l11[:, np.newaxis]
    b = (across - l21[:, np.newaxis] * a) / l22[:, np.newaxis]
    oval = facing.all(axis=1) & (np.abs(np.hypot(a, b) - 1.0).max(axis=1) < _OVAL)
    # What of an edge does not face the panel lies beyond all that does.
    first, last = (
        most(np.where(facing[..., np.newaxis], edge, beyond), axis=1)
        for most, beyond in ((np.min, np.inf), (np.max, -np.inf))
    )
    return Ellipses(middle, root, oval, first, last)


def landed(placement: Placement, layer: int, rays: Float64Array) -> tuple[Float64Array, BoolArray]:
    """Return where rays (..., 3) meet a panel, (..., 2) slow and fast, and whether they do."""
    panel = placement.panel
    depth = float(panel.sensor.position[layer])
    numbers = placement.numbers()
    origin, fast_axis, slow_axis, normal = map(
        np.array, (numbers.origin, numbers.fast, numbers.slow, numbers.normal)
    )
    u, v, w = (dot3(rays, axis) for axis in (fast_axis, slow_axis, normal))
    with np.errstate(divide="ignore", invalid="ignore"):
        if panel.surface == "flat":
            length = (float(dot3(origin, normal)) + depth) / w
            facing = length > 0.0
            fast, slow = u * length, v * length
        else:
            radius, facing = float(constant(numbers.close_distance)), w > 0.0
            axes = fast_axis, slow_axis, normal
            slow, fast, _ = arcs_of_rays(panel.surface, axes, radius, rays, depth)
        corner = (dot3(origin, slow_axis), dot3(origin, fast_axis))
        place = [
            (part - start) / panel.pixel_size - 0.5
            for part, start in zip((slow, fast), corner, strict=True)
        ]
    return np.stack(place, axis=-1), np.asarray(facing)


@dataclass(frozen=True, slots=True)
class Boxes:
    """Parallelograms of pixels, (n,): so many rows from the first, and so many pixels in each."""

    first: IntArray
    rows: IntArray
    columns: IntArray

    def only(self, chosen: IntArray) -> Boxes:
        """Return some of them."""
        return Boxes(self.first[chosen], self.rows[chosen], self.columns[chosen])


def boxes_of(ellipses: Ellipses, window: Window) -> Boxes:
    """Return boxes in a window; those beside it have no rows."""
    half, shape = ellipses.root[:, 0], window.shape
    first, last = (
        edge(ellipses.middle[:, 0] + sign * (half + 0.5))
        for edge, sign in ((np.ceil, -1.0), (np.floor, 1.0))
    )
    first, last = np.clip(first, 0, shape[0]), np.clip(last + 1, 0, shape[0])
    rows = np.where(ellipses.near(window), np.maximum(last - first, 0), 0).astype(np.int64)
    lean = np.abs(ellipses.root[:, 1]) / np.maximum(half, 0.5)
    columns = np.ceil(2.0 * ellipses.root[:, 2] + lean).astype(np.int64) + 2
    rounded = (_rounded(part, most) for part, most in zip((rows, columns), shape, strict=True))
    rows, columns = rounded
    return Boxes(np.minimum(first.astype(np.int64), shape[0] - rows), rows, columns)


def _rounded(count: IntArray, most: int) -> IntArray:
    """Round up to a quarter, so that many boxes have the same size."""
    step = 1 << np.maximum(np.frexp(count.astype(np.float64))[1] - 3, 0)
    return np.asarray(np.minimum(-(-count // step) * step, most))
