"""The factors of an intensity beside the crystal's: one function each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from distbragg.constants import CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
from distbragg.models.beam import Beam
from distbragg.models.detector import SensorLayers
from distbragg.models.experiment import Experiment
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
from distbragg.physics.rays import Placement, Rays, cosine_to_normal


def scattering_vector(direction: Triple, incident: Triple, wavelength: Array) -> Triple:
    """Return q = (d − i)/λ, three (pixels,) float64, 1/Å.

    Parameters
    ----------
    direction, incident : three float64
        Unit vectors of the diffracted and the incident beam.
    wavelength : () float64, Å
    """
    x, y, z = ((part - along) / wavelength for part, along in zip(direction, incident, strict=True))
    return x, y, z


def stol_of(scattering: Triple) -> Array:
    """Return sin(θ)/λ = |q|/2, (pixels,) float64, 1/Å."""
    x, y, z = scattering
    return root(x * x + y * y + z * z) * 0.5


def beyond_resolution(stol: Array, dmin: float) -> Array:
    """Tell which samples the resolution cut leaves out: those of a spacing below `dmin`.

    Parameters
    ----------
    stol : (pixels,) float64, 1/Å
    dmin : float, Å
        0 leaves out nothing.
    """
    return 0.5 / constant(stol) < dmin


def solid_angle(placement: Placement, rays: Rays) -> Array:
    """Return the solid angle of a pixel in steradian: p²/R² times the obliquity.

    The obliquity is close_distance/R, on a panel bent about the sample the cosine between ray
    and panel. A point pixel has 1/R², which is no solid angle but what nanoBragg.c returns.
    """
    panel, length = placement.panel, rays.length
    if panel.point_pixel:
        return 1.0 / length / length
    area = panel.pixel_size * panel.pixel_size
    if panel.surface in ("flat", "nanobragg"):
        return area / length / length * placement.close_distance / length
    return area / length / length * cosine_to_normal(panel, rays)


def capture_fraction(sensor: SensorLayers, layer: int, cosine: Array) -> Array:
    """Return the share of photons that a layer stops, exp(−front·μ/ρ) − exp(−back·μ/ρ).

    Parameters
    ----------
    sensor : SensorLayers
    layer : int
    cosine : (pixels,) float64
        ρ, the cosine between ray and panel normal.

    Returns
    -------
    (pixels,) float64
        1 where the sensor does not absorb.
    """
    if not sensor.absorbs:
        return module_of(cosine).ones_like(cosine)
    front = -float(sensor.front[layer]) * sensor.attenuation
    back = -float(sensor.back[layer]) * sensor.attenuation
    return exp(front / cosine) - exp(back / cosine)


@dataclass(frozen=True, slots=True)
class PolarizationFrame:
    """Unit vectors of a source: along its beam (i), its E-vector and B = axis × i.

    Attributes
    ----------
    incident, electric, magnetic : three float64
    planeless : float64
        1 where the polarisation axis lies along the beam, so that E and B are 0; else 0.
    """

    incident: Triple
    electric: Triple
    magnetic: Triple
    planeless: Array


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

    Parameters
    ----------
    frame : PolarizationFrame
    direction : three (pixels,) float64
    kahn_factor : float

    Returns
    -------
    (pixels,) float64
    """
    cosine = dot(direction, frame.incident)
    square = cosine * cosine
    electric, magnetic = dot(direction, frame.electric), dot(direction, frame.magnetic)
    plane = electric * electric - magnetic * magnetic + (1.0 - square) * frame.planeless
    return (1.0 + square - plane * kahn_factor) * 0.5


def scattered_fluence(beam: Beam, steps: int) -> float:
    """Return r_e² Φ / (n W): photons per electron² and steradian of one step of the sum.

    Parameters
    ----------
    beam : Beam
    steps : int
        n, by which the sum is divided beside the sources' weight W.
    """
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * beam.fluence
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
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * experiment.beam.fluence
    sources = experiment.beam.sources
    share = 1.0 if sources.rule == "count" else math.fsum(sources.weight.tolist())
    return amplitude * amplitude * fluence * background.molecules * share
