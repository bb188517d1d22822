"""Where samples of a pixel lie on a detector that parameters move.

Twin of the positions of `distbragg.kernel.geometry` and of the capture fraction; the solid
angle, the cosine to the normal and the polarisation are the kernel's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.fit.parameters import Parameters, beam_centre_m
from distbragg.kernel.geometry import Rays, SampleIndex
from distbragg.kernel.geometry import solid_angle as fixed_solid_angle
from distbragg.models.arrays import Float64Array
from distbragg.models.detector import Panel, SensorLayers
from distbragg.models.experiment import Experiment
from distbragg.units import METRES_PER_MM


@dataclass(frozen=True, slots=True)
class Placement:
    """A panel and where the parameters put it.

    Attributes
    ----------
    panel : Panel
    beam : (3,) float64
        Unit vector along the beam.
    origin : (3,) float64, m
        Outer corner of the first pixel.
    distance, close_distance : () float64, m
        As those of `Panel`.
    """

    panel: Panel
    beam: Float64Array
    origin: Tensor
    distance: Tensor
    close_distance: Tensor


def place_panel(
    experiment: Experiment, parameters: Parameters, panel: int, device: torch.device
) -> Placement:
    """Move the detector as one body: along the beam, and along the first panel's axes.

    The beam centre moves D₀ by −ΔF·fast − ΔS·slow, the distance by Δ·beam: nanoBragg's
    pivot about the beam, D₀ = distance·beam − F·fast − S·slow, for whatever pivot the
    experiment was built with.

    Raises
    ------
    InputError
        A beam centre where the beam runs along the first panel's plane.
    """
    view, first = experiment.detector.panels[panel], experiment.detector.panels[0]

    def tensor(values: Float64Array | tuple[float, ...] | float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    beam = tensor(experiment.beam.direction)
    shift = torch.zeros(3, dtype=torch.float64, device=device)
    distance = tensor(view.distance)
    if parameters.distance_mm is not None:
        farther = parameters.distance_mm * METRES_PER_MM - first.distance
        shift = shift + farther * beam
        distance = distance + farther
    if parameters.beam_centre_mm is not None:
        centre = beam_centre_m(first, experiment.beam.direction)
        if centre is None:
            raise InputError(
                "the beam runs along the plane of the first panel",
                field="parameters.beam_centre_mm",
            )
        moved = parameters.beam_centre_mm * METRES_PER_MM - tensor(centre)
        shift = shift - moved[0] * tensor(first.fast) - moved[1] * tensor(first.slow)
    return Placement(
        panel=view,
        beam=experiment.beam.direction,
        origin=tensor(view.origin) + shift,
        distance=distance,
        close_distance=view.close_distance + (shift * tensor(view.normal)).sum(),
    )


def sample_rays(
    placement: Placement, slow: Tensor, fast: Tensor, *, sample: SampleIndex, oversample: int
) -> Rays:
    """Return the rays to one sample of each pixel; see `distbragg.kernel.geometry.sample_rays`.

    Parameters
    ----------
    placement : Placement
    slow, fast : (pixels,) float64
        Global pixel indices.
    sample : SampleIndex
    oversample : int
    """
    panel = placement.panel
    size = panel.pixel_size / oversample
    along_fast = (fast * oversample + sample.fast) * size + size / 2.0
    along_slow = (slow * oversample + sample.slow) * size + size / 2.0
    depth = float(panel.sensor.position[sample.layer])
    if panel.surface in {"flat", "nanobragg"}:
        x, y, z = (
            along_fast * float(panel.fast[axis])
            + along_slow * float(panel.slow[axis])
            + (depth * float(panel.normal[axis]) + placement.origin[axis])
            for axis in range(3)
        )
        if panel.surface == "nanobragg":
            x, y, z = _wrap(placement, (x, y, z))
    else:
        x, y, z = _bent(placement, along_fast, along_slow, depth)
    length = torch.sqrt(x * x + y * y + z * z)
    return Rays((x / length, y / length, z / length), length)


Triple = tuple[Tensor, Tensor, Tensor]


def _wrap(placement: Placement, place: Triple) -> Triple:
    """Put flat positions on the sphere: `distance` along the beam, turned about slow, then fast."""
    radius = placement.distance
    u, v, w = placement.beam.tolist()
    start = (
        (radius * u).expand_as(place[0]),
        (radius * v).expand_as(place[0]),
        (radius * w).expand_as(place[0]),
    )
    turned = _turn(start, placement.panel.slow, place[1] / radius)
    return _turn(turned, placement.panel.fast, place[2] / radius)


def _bent(placement: Placement, along_fast: Tensor, along_slow: Tensor, depth: float) -> Triple:
    """Put the points of a flat panel on the surface it is bent to; see `Panel.surface`."""
    panel, radius = placement.panel, placement.close_distance
    fast, slow, normal = (
        torch.tensor(axis, device=along_fast.device)
        for axis in (panel.fast, panel.slow, panel.normal)
    )
    u = along_fast + (placement.origin * fast).sum()
    v = along_slow + (placement.origin * slow).sum()
    reach = radius + depth
    sine_u, cosine_u = torch.sin(u / radius), torch.cos(u / radius)
    sine_v, cosine_v = torch.sin(v / radius), torch.cos(v / radius)
    if panel.surface == "sphere":
        parts = (sine_u * reach, cosine_u * sine_v * reach, cosine_u * cosine_v * reach)
    elif panel.surface == "cylinder_slow":
        parts = (sine_u * reach, v, cosine_u * reach)
    else:
        parts = (u, sine_v * reach, cosine_v * reach)
    x, y, z = (parts[0] * fast[i] + parts[1] * slow[i] + parts[2] * normal[i] for i in range(3))
    return x, y, z


def _turn(vector: Triple, axis: Float64Array, angle: Tensor) -> Triple:
    """Rotate vectors about a unit axis, each by its own angle (Rodrigues' formula)."""
    u, v, w = axis.tolist()
    x, y, z = vector
    sine, cosine = torch.sin(angle), torch.cos(angle)
    along = (x * u + y * v + z * w) * (1.0 - cosine)
    return (
        along * u + x * cosine + (z * v - y * w) * sine,
        along * v + y * cosine + (x * w - z * u) * sine,
        along * w + z * cosine + (y * u - x * v) * sine,
    )


def solid_angle(placement: Placement, rays: Rays) -> Tensor:
    """Solid angle of each pixel, p²/R² · close_distance/R; 1/R² for a point pixel."""
    value = fixed_solid_angle(placement.panel, rays)
    if placement.panel.point_pixel or placement.panel.surface not in {"flat", "nanobragg"}:
        return value
    return value * (placement.close_distance / placement.panel.close_distance)


def capture_fraction(sensor: SensorLayers, layer: int, cosine: Tensor) -> Tensor:
    """Share of photons that a layer stops, exp(−front·μ/ρ) − exp(−back·μ/ρ), (pixels,)."""
    front = float(sensor.front[layer]) * sensor.attenuation
    back = float(sensor.back[layer]) * sensor.attenuation
    return torch.exp(-front / cosine) - torch.exp(-back / cosine)
