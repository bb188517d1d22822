"""How wide a spot is on the detector, and what makes it so, to first order.

Everything is a full width at half maximum; of a normal distribution √(8 ln 2) standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.matrices import determinant3, norm3
from distbragg.models.detector import SensorLayers
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import capture_fraction

FWHM: Final = math.sqrt(8.0 * math.log(2.0))  # of a normal distribution of width 1
_SHAPES: Final = {"square": 0.886, "round": 1.157, "gauss": 0.939, "gauss_star": 0.939,
                  "tophat": 1.241}  # fmt: skip
"""Full width at half maximum of the squared transform, times N, in h, k, l."""


@dataclass(frozen=True, slots=True)
class Width:
    """Contributions to the width of a spot, pixels, away from the beam and across that."""

    size: tuple[float, float]  # (radial, tangential), as are the others
    mosaic: tuple[float, float]
    bandwidth: tuple[float, float]
    divergence: tuple[float, float]
    sensor: tuple[float, float]  # by the depths that photons are captured at
    spread: tuple[float, float]  # of the detector's photons

    @property
    def total(self) -> tuple[float, float]:
        """All of them in quadrature."""
        parts = (self.size, self.mosaic, self.bandwidth, self.divergence, self.sensor, self.spread)
        radial, tangential = (math.hypot(*side) for side in zip(*parts, strict=True))
        return radial, tangential


def spot_width(experiment: Experiment, two_theta: float) -> Width:
    """Return the width of a spot at a scattering angle, rad, on the first panel.

    The panel is taken to lie across the beam. A still keeps of the wavelengths those for which
    block size, mosaicity and divergence have a block on the sphere; a rotation passes all.
    """
    crystal, sources = experiment.crystal, experiment.beam.sources
    panel, wavelength = experiment.detector.panels[0], experiment.beam.wavelength
    half, cosine = 0.5 * two_theta, math.cos(two_theta)
    arm = abs(panel.distance) / panel.pixel_size / cosine  # pixels a radian across the ray
    block = math.cbrt(crystal.unit_cells * abs(float(determinant3(crystal.real_space))))
    size = _SHAPES[crystal.shape] / math.sqrt(crystal.fudge) / block * wavelength
    mosaic = _mosaic_width(experiment)
    weight = sources.weight / sources.weight.sum()
    mean = float((weight * sources.wavelength).sum())
    lines = math.sqrt(float((weight * (sources.wavelength - mean) ** 2).sum())) / mean
    bandwidth = FWHM * math.hypot(sources.bandwidth, lines)
    towards = sources.direction
    off = norm3(towards - (weight[:, np.newaxis] * towards).sum(axis=0))
    normal = norm3(np.asarray(experiment.beam.divergence))
    squares = float((weight * off**2).sum()) / 2.0 + float((normal**2).sum()) / 2.0
    divergence = FWHM * math.sqrt(squares)
    first, last = crystal.oscillation
    rocking = math.hypot(size / max(2.0 * math.sin(half), 1e-9), mosaic, divergence)
    needed = math.tan(half) * bandwidth
    kept = bandwidth
    if first == last and needed > 0.0:
        kept *= rocking / math.hypot(rocking, needed)
    radial, tangential = arm / cosine, arm
    spread = 0.0 if panel.point_spread is None else panel.point_spread.width
    return Width(
        size=(radial * size, tangential * size),
        mosaic=(0.0, tangential * 2.0 * math.sin(half) * mosaic),
        bandwidth=(radial * 2.0 * math.tan(half) * kept, 0.0),
        divergence=(radial * divergence, tangential * divergence),
        sensor=(FWHM * _depth(panel.sensor, cosine) * math.tan(two_theta) / panel.pixel_size, 0.0),
        spread=(spread, spread),
    )


def _depth(sensor: SensorLayers, cosine: float) -> float:
    """Return the standard deviation of the depth at which photons are captured, m."""
    if not sensor.absorbs:
        return 0.0
    along = np.array([cosine])
    share = np.array([capture_fraction(sensor, at, along)[0] for at in range(sensor.count)])
    share = share / share.sum()
    mean = float((share * sensor.position).sum())
    return math.sqrt(float((share * (sensor.position - mean) ** 2).sum()))


def _mosaic_width(experiment: Experiment) -> float:
    """Full width of the domains' turns about one axis, rad."""
    crystal = experiment.crystal
    variance = float(np.trace(crystal.mosaic_covariance)) / 3.0
    if variance > 0.0:
        return FWHM * math.sqrt(variance)
    turned = crystal.mosaic_rotations
    traces = np.trace(turned, axis1=1, axis2=2)
    squares = np.arccos(np.clip((traces - 1.0) / 2.0, -1.0, 1.0)) ** 2
    return FWHM * math.sqrt(float(squares.mean()) / 3.0)
