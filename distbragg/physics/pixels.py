"""What the pixels of a detector look at: q, resolution, 2θ and azimuth, and radial profiles.

A pixel stands for the ray from the sample to its middle, at the mean depth where its sensor stops
photons. q is 4π·sin θ/λ in 1/Å, with the factor 2π, as in powder diffraction and small-angle
scattering; the resolution d = 2π/q = λ/(2 sin θ) in Å. 2θ is the angle to the beam and the azimuth
turns about it, both in degrees: the azimuth is 0 to the right and 90 upwards on a picture seen
along the beam (`screen_axes`), and runs from -180 to 180. All are for the nominal beam: its
direction, its wavelength.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import BoolArray, Float64Array, components
from distbragg.physics.arrays import dot
from distbragg.physics.factors import layer_shares, scattering_vector, stol_of
from distbragg.physics.rays import SampleIndex, cosine_to_normal, placement_of, sample_rays

_UP: Final = 1e-6
_ALONG: Final = 0.9


@dataclass(frozen=True, slots=True)
class PixelCoordinates:
    """What pixels look at; all arrays have the shape of the pixels that were asked for."""

    q: Float64Array  # 1/Å, 2π/d
    resolution: Float64Array  # Å; infinite in the beam
    two_theta: Float64Array  # degrees
    azimuth: Float64Array  # degrees, -180 to 180; any in the beam


def coordinates_of_pixels(
    experiment: Experiment, panel: int, slow: ArrayLike, fast: ArrayLike
) -> PixelCoordinates:
    """Return what pixels of one panel look at.

    `slow` and `fast` are indices of pixels, 0 for the middle of the first, which broadcast against
    each other; between whole numbers lie places between the middles.
    """
    beam = experiment.beam
    direction = components(beam.direction)
    ray = _mean_ray(experiment, experiment.detector.panels[panel], slow, fast)
    stol = stol_of(scattering_vector(ray, direction, beam.wavelength))
    right, up = screen_axes(experiment.detector.panels, beam.direction)
    with np.errstate(divide="ignore"):
        resolution = 0.5 / stol
    across = dot(ray, components(right)), dot(ray, components(up))
    return PixelCoordinates(
        q=np.asarray(4.0 * math.pi * stol),
        resolution=np.asarray(resolution),
        two_theta=np.degrees(2.0 * np.arcsin(np.minimum(stol * beam.wavelength, 1.0))),
        azimuth=np.degrees(np.arctan2(across[1], across[0])),
    )


def coordinates_of_detector(experiment: Experiment) -> PixelCoordinates:
    """Return what every pixel of a detector looks at: arrays (panels, slow, fast)."""
    slow, fast = (np.arange(size) for size in experiment.detector.panels[0].shape)
    panels = [
        coordinates_of_pixels(experiment, panel, slow[:, np.newaxis], fast)
        for panel in range(len(experiment.detector.panels))
    ]
    return PixelCoordinates(
        *(
            np.stack([getattr(panel, item.name) for panel in panels])
            for item in fields(PixelCoordinates)
        )
    )


def _mean_ray(
    experiment: Experiment, panel: Panel, slow: ArrayLike, fast: ArrayLike
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return unit vectors from the sample to where pixels stop photons on average."""
    placement = placement_of(panel, experiment.beam.direction)
    at = np.asarray(slow, dtype=np.float64), np.asarray(fast, dtype=np.float64)
    layers = [
        sample_rays(placement, *at, sample=SampleIndex(layer, 0, 0), oversample=1)
        for layer in range(panel.sensor.count)
    ]
    if len(layers) == 1:
        x, y, z = layers[0].direction
        return x, y, z
    shares = layer_shares(experiment, panel.sensor, cosine_to_normal(placement, layers[0]))
    place = [
        sum(
            share * ray.length * ray.direction[axis]
            for share, ray in zip(shares, layers, strict=True)
        )
        for axis in range(3)
    ]
    length = np.sqrt(sum(part * part for part in place))
    return place[0] / length, place[1] / length, place[2] / length


def screen_axes(
    panels: Sequence[Panel], beam: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right and up of a picture seen along the beam, unit vectors of the laboratory.

    Up is the part of the y axis across the beam, of the x axis where the beam runs along y; or the
    opposite, so that the slow axes of most panels run down.
    """
    axis = np.array([0.0, 1.0, 0.0]) if abs(beam[1]) < _ALONG else np.array([1.0, 0.0, 0.0])
    up = axis - (axis @ beam) * beam
    up = up / np.linalg.norm(up)
    if sum(float(panel.slow @ up) for panel in panels) > _UP:
        up = -up
    return np.cross(beam, up), up


@dataclass(frozen=True, slots=True)
class RadialProfile:
    """Pixels in bins of a coordinate: all arrays are (bins,)."""

    mean: Float64Array  # NaN where a bin holds no pixel
    variance: Float64Array  # of the pixels of a bin about their mean: over their number
    count: NDArray[np.int64]  # pixels


def radial_profile(
    values: ArrayLike, coordinate: ArrayLike, edges: ArrayLike, valid: BoolArray | None = None
) -> RadialProfile:
    """Average pixels in bins of a coordinate, such as q.

    `edges`, (bins + 1,), increase; a bin holds its lower edge, the last one both. Pixels that are
    not `valid`, or NaN, or beyond the edges do not count.
    """
    pixels, at = (np.ravel(np.asarray(part, dtype=np.float64)) for part in (values, coordinate))
    bounds = np.asarray(edges, dtype=np.float64)
    size = bounds.shape[0] - 1
    chosen = np.isfinite(pixels) & (at >= bounds[0]) & (at <= bounds[-1])
    if valid is not None:
        chosen &= np.ravel(valid)
    pixels, at = pixels[chosen], at[chosen]
    index = np.minimum(np.searchsorted(bounds, at, side="right") - 1, size - 1)
    count = np.bincount(index, minlength=size)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, pixels, size) / count
        off = pixels - mean[index]
        variance = np.bincount(index, off * off, size) / count
    return RadialProfile(mean, variance, count)
