"""Where a sample of a pixel lies, and what it sees: positions, directions, solid angles.

Flat panels need arithmetic alone, so numpy arrays serve as well as tensors, with the same
bits, and torch is not loaded for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distbragg.kernel.pixels import active_positions, pixel_coordinates
from distbragg.models.arrays import Float64Array
from distbragg.models.detector import Panel

if TYPE_CHECKING:
    from torch import Tensor

    Triple = tuple[Tensor, Tensor, Tensor]

__all__ = [
    "Rays",
    "SampleIndex",
    "active_positions",
    "cosine_to_normal",
    "pixel_coordinates",
    "sample_indices",
    "sample_rays",
    "solid_angle",
]


@dataclass(frozen=True, slots=True, order=True)
class SampleIndex:
    """One sample of a pixel: sensor layer and sub-pixel, in the order of the sums."""

    layer: int
    slow: int
    fast: int


@dataclass(frozen=True, slots=True)
class Rays:
    """The rays from the crystal to one sample of each pixel.

    Attributes
    ----------
    direction : three (pixels,) float64
        Unit vector d.
    length : (pixels,) float64, m
        Distance R from the crystal.
    """

    direction: Triple
    length: Tensor


def sample_indices(layers: int, oversample: int) -> Iterator[SampleIndex]:
    """Yield all samples of a pixel: layers outermost, then slow, then fast sub-pixels."""
    for layer in range(layers):
        for slow in range(oversample):
            for fast in range(oversample):
                yield SampleIndex(layer, slow, fast)


def sample_rays(
    panel: Panel,
    beam_direction: tuple[float, float, float],
    slow: Tensor,
    fast: Tensor,
    *,
    sample: SampleIndex,
    oversample: int,
) -> Rays:
    """Return the rays to one sample of each pixel.

    Parameters
    ----------
    panel : Panel
    beam_direction : (float, float, float)
        Unit vector along the beam; a curved panel is wrapped about its end point.
    slow, fast : (pixels,) float64
        Global pixel indices.
    sample : SampleIndex
    oversample : int
        Sub-pixels along each axis.
    """
    size = panel.pixel_size / oversample
    half = size / 2.0
    along_fast = (fast * float(oversample) + float(sample.fast)) * size + half
    along_slow = (slow * float(oversample) + float(sample.slow)) * size + half
    depth = float(panel.sensor.position[sample.layer])
    if panel.surface in {"flat", "nanobragg"}:
        position: list[Tensor] = []
        for axis in range(3):
            part = along_fast * float(panel.fast[axis]) + along_slow * float(panel.slow[axis])
            position.append(part + depth * float(panel.normal[axis]) + float(panel.origin[axis]))
        place = (position[0], position[1], position[2])
        if panel.surface == "nanobragg":
            place = _wrap(panel, beam_direction, place)
    else:
        place = _bent(panel, along_fast, along_slow, depth)
    x, y, z = place
    # A power of one half is a square root in torch and in numpy, correctly rounded.
    length = (x * x + y * y + z * z) ** 0.5
    return Rays((x / length, y / length, z / length), length)


def _wrap(panel: Panel, beam: tuple[float, float, float], place: Triple) -> Triple:
    """Put flat positions on the sphere: `distance` along the beam, turned about slow, then fast."""
    zero = place[0] * 0.0
    start = tuple(zero + panel.distance * part for part in beam)
    turned = _turn((start[0], start[1], start[2]), panel.slow, place[1] / panel.distance)
    return _turn(turned, panel.fast, place[2] / panel.distance)


def _bent(panel: Panel, along_fast: Tensor, along_slow: Tensor, depth: float) -> Triple:
    """Put the points of a flat panel on the surface it is bent to; see `Panel.surface`."""
    from distbragg.kernel.polynomials import sine_cosine

    axes = [[float(part) for part in axis] for axis in (panel.fast, panel.slow, panel.normal)]
    corner = [float(part) for part in panel.origin]
    u = along_fast + sum(part * other for part, other in zip(corner, axes[0], strict=True))
    v = along_slow + sum(part * other for part, other in zip(corner, axes[1], strict=True))
    radius, reach = panel.close_distance, panel.close_distance + depth
    sine_u, cosine_u = sine_cosine(u / radius)
    sine_v, cosine_v = sine_cosine(v / radius)
    if panel.surface == "sphere":
        parts = (sine_u * reach, cosine_u * sine_v * reach, cosine_u * cosine_v * reach)
    elif panel.surface == "cylinder_slow":
        parts = (sine_u * reach, v + cosine_u * 0.0, cosine_u * reach)
    else:
        parts = (u + cosine_v * 0.0, sine_v * reach, cosine_v * reach)
    x, y, z = (
        parts[0] * axes[0][i] + parts[1] * axes[1][i] + parts[2] * axes[2][i] for i in range(3)
    )
    return x, y, z


def _turn(vector: Triple, axis: Float64Array, angle: Tensor) -> Triple:
    """Rotate vectors about a unit axis, each by its own angle (Rodrigues' formula)."""
    from distbragg.kernel.polynomials import sine_cosine

    u, v, w = (float(part) for part in axis)
    x, y, z = vector
    sine, cosine = sine_cosine(angle)
    along = (x * u + y * v + z * w) * (1.0 - cosine)
    return (
        along * u + x * cosine + (z * v - y * w) * sine,
        along * v + y * cosine + (x * w - z * u) * sine,
        along * w + z * cosine + (y * u - x * v) * sine,
    )


def solid_angle(panel: Panel, rays: Rays) -> Tensor:
    """Return the solid angle of a pixel in steradian: p²/R² · close_distance/R.

    On a panel bent about the sample the cosine to its own normal stands for the last factor.
    A point pixel has 1/R², which is no solid angle but what nanoBragg.c returns.
    """
    if panel.point_pixel:
        return 1.0 / rays.length / rays.length
    area = panel.pixel_size * panel.pixel_size
    if panel.surface not in {"flat", "nanobragg"}:
        return area / rays.length / rays.length * cosine_to_normal(panel, rays)
    return area / rays.length / rays.length * panel.close_distance / rays.length


def cosine_to_normal(panel: Panel, rays: Rays) -> Tensor:
    """Return ρ = d·o, the cosine between the rays and the normal of the surface they meet."""
    x, y, z = rays.direction
    if panel.surface == "sphere":
        return x * 0.0 + 1.0
    if panel.surface in {"cylinder_fast", "cylinder_slow"}:
        # What of the ray runs across the cylinder's axis runs along its normal.
        axis = panel.slow if panel.surface == "cylinder_slow" else panel.fast
        along = x * float(axis[0]) + y * float(axis[1]) + z * float(axis[2])
        return (1.0 - along * along) ** 0.5
    return x * float(panel.normal[0]) + y * float(panel.normal[1]) + z * float(panel.normal[2])
