"""The factors of an intensity beside the crystal's: one function each.

`PixelFactors` are those that `physics: nanobragg` applies once per pixel, from global indices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distbragg.constants import CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
from distbragg.models.beam import Beam
from distbragg.models.detector import SensorLayers
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector, components
from distbragg.physics.arrays import (
    Array,
    Triple,
    constant,
    cross,
    dot,
    floats,
    module_of,
    root,
    unit,
)
from distbragg.physics.elementary import exp
from distbragg.physics.rays import (
    Placement,
    Rays,
    SampleIndex,
    cosine_to_normal,
    placement_of,
    sample_indices,
    sample_rays,
)


def scattering_vector(direction: Triple, incident: Triple, wavelength: Array) -> Triple:
    """Return q = (d − i)/λ, 1/Å, of unit vectors d (pixels) and i and a wavelength in Å."""
    x, y, z = ((part - along) / wavelength for part, along in zip(direction, incident, strict=True))
    return x, y, z


def stol_of(scattering: Triple) -> Array:
    """Return sin(θ)/λ = |q|/2, (pixels,) float64, 1/Å."""
    x, y, z = scattering
    return root(x * x + y * y + z * z) * 0.5


def beyond_resolution(stol: Array, dmin: float) -> Array:
    """Tell which samples the resolution cut leaves out: those of a spacing below `dmin`, Å."""
    return 0.5 / constant(stol) < dmin


def solid_angle(placement: Placement, rays: Rays) -> Array:
    """Return the solid angle of a pixel in steradian: p²/R² times the obliquity.

    The obliquity is close_distance/R, on a panel bent about the sample the cosine between ray
    and panel. A point pixel has 1/R², which is not a solid angle but what nanoBragg.c returns.
    """
    panel, length = placement.panel, rays.length
    if panel.point_pixel:
        return 1.0 / length / length
    area = panel.pixel_size * panel.pixel_size
    if panel.surface in ("flat", "nanobragg"):
        return area / length / length * placement.close_distance / length
    return area / length / length * cosine_to_normal(placement, rays)


def capture_fraction(sensor: SensorLayers, layer: int, cosine: Array) -> Array:
    """Return the share of photons that a layer stops, exp(−front·μ/ρ) − exp(−back·μ/ρ).

    ρ is the cosine between ray and panel normal. The share is 1 where the sensor does not absorb.
    """
    if not sensor.absorbs:
        return module_of(cosine).ones_like(cosine)
    front = -float(sensor.front[layer]) * sensor.attenuation
    back = -float(sensor.back[layer]) * sensor.attenuation
    return exp(front / cosine) - exp(back / cosine)


def layer_shares(experiment: Experiment, sensor: SensorLayers, cosine: Array) -> Array:
    """Return what each layer of a sensor counts for in an experiment, (layers, *cosine).

    `cosine` is that between ray and panel normal. Without absorption all layers count as 1; under
    `physics: nanobragg` without capture per sample, as the last one does.
    """
    layers = np.stack([capture_fraction(sensor, index, cosine) for index in range(sensor.count)])
    last_alone = experiment.physics == "nanobragg" and not experiment.sampling.per_sample_capture
    return np.broadcast_to(layers[-1], layers.shape) if last_alone else layers


@dataclass(frozen=True, slots=True)
class PolarizationFrame:
    """Unit vectors of a source: along its beam (i), its E-vector and B = axis × i."""

    incident: Triple
    electric: Triple
    magnetic: Triple
    planeless: Array  # 1 where the polarisation axis lies along the beam: E and B are 0; else 0


def polarization_frame(incident: Triple, axis: Triple) -> PolarizationFrame:
    """Build the frame of a source, or of one for each ray: B = unit(axis × i), E = unit(i × B)."""
    beam = unit(incident)
    magnetic = unit(cross(unit(axis), beam))
    planeless = floats(dot(magnetic, magnetic) == 0.0)
    return PolarizationFrame(beam, unit(cross(beam, magnetic)), magnetic, planeless)


def polarization_factor(frame: PolarizationFrame, direction: Triple, kahn_factor: float) -> Array:
    """Return P = ½ (1 + cos²2θ − K cos2ψ sin²2θ) for unit diffracted directions (Kahn 1982).

    With ψ = −atan2(d·B, d·E) and d of unit length, cos2ψ sin²2θ is (d·E)² − (d·B)²: no
    angle is needed, and nothing is singular along the beam. Where the polarisation axis lies
    along the beam there is no plane: ψ is 0 for every ray, as atan2(0, 0) has it.
    """
    cosine = dot(direction, frame.incident)
    square = cosine * cosine
    electric, magnetic = dot(direction, frame.electric), dot(direction, frame.magnetic)
    plane = electric * electric - magnetic * magnetic + (1.0 - square) * frame.planeless
    return (1.0 + square - plane * kahn_factor) * 0.5


def pulse_fluence(beam: Beam) -> float:
    """Return the fluence of the frame's own pulse, photons/m²."""
    return beam.fluence * beam.pulse_energy


def scattered_fluence(beam: Beam, steps: int) -> float:
    """Return r_e² Φ / (n W): photons per electron² and steradian of one of n `steps` of the sum."""
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * pulse_fluence(beam)
    return fluence / steps / beam.sources.total_weight


def orientation_count(experiment: Experiment) -> int:
    """Return n_phi · n_mosaic."""
    crystal = experiment.crystal
    return int(crystal.phi.shape[0]) * int(crystal.mosaic_rotations.shape[0])


def intensity_scale(experiment: Experiment) -> float:
    """Return r_e² Φ / (n_phi n_mosaic n_sub² W), which photons have in common."""
    steps = orientation_count(experiment) * experiment.sampling.oversample**2
    return scattered_fluence(experiment.beam, steps)


def background_start(experiment: Experiment) -> float:
    """Return the value the C program's sum starts at: F² r_e² Φ times the molecules.

    Under rule `count` it is later divided by the number of sources, as in the program. Under
    `sum` and `none` it is taken Σw times instead: a weighted mean knows no such number, and
    the unit of the weights must cancel.
    """
    background = experiment.background
    if background.molecules == 0.0 or background.amplitude.shape[0] == 0:
        return 0.0
    amplitude = float(background.amplitude[0])
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * pulse_fluence(experiment.beam)
    sources = experiment.beam.sources
    share = 1.0 if sources.rule == "count" else math.fsum(sources.weight.tolist())
    return amplitude * amplitude * fluence * background.molecules * share


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

    `slow` and `fast` are float64 indices on the panel. Arrays that broadcast against each other,
    such as a column of rows and a row of columns, serve as well.
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
        first = self._rays(self._slow, self._fast, SampleIndex(0, 0, 0))
        factor = module_of(self._slow).ones_like(self._slow)
        if not sampling.per_sample_solid_angle:
            factor = factor * solid_angle(self._placement, first)
        if not sampling.per_sample_capture and panel.sensor.absorbs:
            last = panel.sensor.count - 1
            cosine = cosine_to_normal(
                self._placement, self._rays(self._slow, self._fast, SampleIndex(last, 0, 0))
            )
            factor = factor * capture_fraction(panel.sensor, last, cosine)
        if self._experiment.beam.polarized and not sampling.per_sample_polarization:
            factor = factor * self._first_polarization(first)
        return factor

    def _rays(self, slow: Array, fast: Array, sample: SampleIndex) -> Rays:
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
            rays = self._rays(slow[waiting], fast[waiting], sample)
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
