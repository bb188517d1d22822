"""The factors that `physics: nanobragg` applies once per pixel, from global indices alone."""

from __future__ import annotations

import numpy as np

from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector, components
from distbragg.physics.arrays import Array, module_of
from distbragg.physics.factors import (
    beyond_resolution,
    capture_fraction,
    polarization_factor,
    polarization_frame,
    scattering_vector,
    solid_angle,
    stol_of,
)
from distbragg.physics.rays import (
    Placement,
    Rays,
    SampleIndex,
    cosine_to_normal,
    placement_of,
    sample_indices,
    sample_rays,
)


def panel_solid_angle(experiment: Experiment, panel: int) -> float:
    """Return what the active pixels of a panel subtend, at their first sub-pixels, steradian."""
    view = experiment.detector.panels[panel]
    slow, fast = (part.astype(np.float64) for part in np.nonzero(np.asarray(view.active)))
    placement = placement_of(view, experiment.beam.direction)
    oversample = experiment.sampling.oversample
    first = SampleIndex(0, 0, 0)
    rays = sample_rays(placement, slow, fast, sample=first, oversample=oversample)
    return float(solid_angle(placement, rays).sum())


class PixelFactors:
    """Solid angle, capture and polarisation of the samples that nanoBragg.c takes them from.

    Parameters
    ----------
    experiment : Experiment
    panel : int
    slow, fast : (pixels,) float64
        Indices on the panel. Arrays that broadcast against each other, such as a column of rows
        and a row of columns, serve as well.
    """

    def __init__(self, experiment: Experiment, panel: int, slow: Array, fast: Array) -> None:
        self._experiment = experiment
        self._placement: Placement = placement_of(
            experiment.detector.panels[panel], experiment.beam.direction
        )
        self._slow, self._fast = slow, fast

    def product(self) -> Array:
        """Return the product of the factors that are not inside the sum, (pixels,) float64.

        The solid angle is that of the first sample, the capture fraction that of the last
        layer's first sample.
        """
        panel, sampling = self._placement.panel, self._experiment.sampling
        first = self._rays(SampleIndex(0, 0, 0))
        factor = module_of(self._slow).ones_like(self._slow)
        if not sampling.per_sample_solid_angle:
            factor = factor * solid_angle(self._placement, first)
        if not sampling.per_sample_capture and panel.sensor.absorbs:
            last = panel.sensor.count - 1
            cosine = cosine_to_normal(panel, self._rays(SampleIndex(last, 0, 0)))
            factor = factor * capture_fraction(panel.sensor, last, cosine)
        if self._experiment.beam.polarized and not sampling.per_sample_polarization:
            factor = factor * self._first_polarization(first)
        return factor

    def _rays(self, sample: SampleIndex) -> Rays:
        return self._rays_at(self._slow, self._fast, sample)

    def _rays_at(self, slow: Array, fast: Array, sample: SampleIndex) -> Rays:
        oversample = self._experiment.sampling.oversample
        return sample_rays(self._placement, slow, fast, sample=sample, oversample=oversample)

    def _first_polarization(self, first: Rays) -> Array:
        """Polarisation of the first sample (layer, sub-pixel, source) that passes the cut, or 0."""
        if self._experiment.sampling.dmin <= 0.0:
            return self._polarization(0, first)
        module, shape = module_of(first.length), first.length.shape
        slow = module.broadcast_to(self._slow, shape).reshape(-1)
        fast = module.broadcast_to(self._fast, shape).reshape(-1)
        factor = module.zeros_like(slow)
        # Places of the pixels that no sample has passed for yet.
        waiting = module.argwhere(factor == 0.0)[:, 0]
        layers = self._placement.panel.sensor.count
        for sample in sample_indices(layers, self._experiment.sampling.oversample):
            rays = self._rays_at(slow[waiting], fast[waiting], sample)
            for source in range(self._experiment.beam.sources.count):
                passed = self._passes(source, rays)
                factor[waiting[passed]] = self._polarization(source, rays)[passed]
                waiting = waiting[~passed]
                if waiting.shape[0] == 0:
                    return factor.reshape(shape)
                x, y, z = rays.direction
                rays = Rays((x[~passed], y[~passed], z[~passed]), rays.length[~passed])
        return factor.reshape(shape)

    def _passes(self, source: int, rays: Rays) -> Array:
        """Whether rays pass the resolution cut with a source."""
        wavelength = float(self._experiment.beam.sources.wavelength[source])
        scattering = scattering_vector(rays.direction, self._incident(source), wavelength)
        return ~beyond_resolution(stol_of(scattering), self._experiment.sampling.dmin)

    def _polarization(self, source: int, rays: Rays) -> Array:
        beam = self._experiment.beam
        frame = polarization_frame(self._incident(source), components(beam.polarization_axis))
        return polarization_factor(frame, rays.direction, beam.kahn_factor)

    def _incident(self, source: int) -> Vector:
        x, y, z = components(self._experiment.beam.sources.direction[source])
        return -x, -y, -z
