"""Where rays meet a panel that is bent about the sample: the way back of `rays`."""

from __future__ import annotations

import math

import numpy as np

from distbragg.matrices import dot3
from distbragg.models.detector import Surface
from distbragg.models.vectors import Float64Array

Axes = tuple[Float64Array, Float64Array, Float64Array]


def arcs_of_rays(
    surface: Surface, axes: Axes, radius: float, rays: Float64Array, depth: Float64Array | float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return how far from its foot rays (..., 3) meet a bent panel: along slow and fast, m.

    And the distance from the sample, m. `axes` are the panel's fast, slow and normal, `radius` the
    signed distance of its plane, `depth` how deep in the sensor. Lengths along slow and fast are
    those of the arcs at the surface, as pixels are counted.
    """
    facing = math.copysign(1.0, radius)
    u, v, w = (facing * dot3(rays, axis) for axis in axes)
    deep = np.abs(radius + depth)
    fast, slow = radius * np.arctan2(u, w), radius * np.arctan2(v, w)
    length = deep + 0.0 * u
    with np.errstate(divide="ignore", invalid="ignore"):
        if surface == "cylinder_fast":
            length = deep / np.hypot(v, w)
            fast = facing * u * length
        elif surface == "cylinder_slow":
            length = deep / np.hypot(u, w)
            slow = facing * v * length
        else:
            fast = radius * np.arcsin(np.clip(u, -1.0, 1.0))
    return slow, fast, length
