"""Where a panel stands once the parameters have moved the detector, and the panel itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.fit.parameters import Parameters, beam_centre_m
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, turn_about
from distbragg.physics.arrays import Triple
from distbragg.physics.rays import Placement, placement_of
from distbragg.units import METRES_PER_MM, RADIANS_PER_DEGREE


def placed(
    experiment: Experiment, parameters: Parameters, panel: int, device: torch.device
) -> Placement:
    """Move the detector as one body, then shift and tilt the panel."""
    moved = _with_detector(experiment, parameters, panel, device)
    if parameters.panel_shift_mm is None and parameters.panel_tilt_deg is None:
        return moved
    return _with_panel(moved, parameters, device)


def _with_detector(
    experiment: Experiment, parameters: Parameters, panel: int, device: torch.device
) -> Placement:
    """Move the whole detector: along the beam, and along the first panel's axes.

    The beam centre moves D₀ by −ΔF·fast − ΔS·slow, the distance by Δ·beam: nanoBragg's
    pivot about the beam, D₀ = distance·beam − F·fast − S·slow, for whatever pivot the
    experiment was built with.
    """
    view, first = experiment.detector.panels[panel], experiment.detector.panels[0]
    own = placement_of(view, experiment.beam.direction)
    if parameters.distance_mm is None and parameters.beam_centre_mm is None:
        return own
    shift = torch.zeros(3, dtype=torch.float64, device=device)
    distance: float | Tensor = view.distance
    if parameters.distance_mm is not None:
        farther = parameters.distance_mm * METRES_PER_MM - first.distance
        shift = shift + farther * _tensor(experiment.beam.direction, device)
        distance = distance + farther
    if parameters.beam_centre_mm is not None:
        centre = beam_centre_m(first, experiment.beam.direction)
        if centre is None:
            raise InputError(
                "the beam runs along the plane of the first panel",
                field="parameters.beam_centre_mm",
            )
        moved = parameters.beam_centre_mm * METRES_PER_MM - _tensor(centre, device)
        shift = shift - moved[0] * _tensor(first.fast, device)
        shift = shift - moved[1] * _tensor(first.slow, device)
    x, y, z = (_tensor(view.origin, device) + shift).unbind()
    close = view.close_distance + (shift * _tensor(view.normal, device)).sum()
    return replace(own, origin=(x, y, z), close_distance=close, distance=distance)


def _with_panel(own: Placement, parameters: Parameters, device: torch.device) -> Placement:
    """Shift a panel along its axes and tilt it about its centre."""
    view = own.panel
    axes = [own.fast, own.slow, own.normal]
    turned = axes
    if parameters.panel_tilt_deg is not None:
        angles = parameters.panel_tilt_deg * RADIANS_PER_DEGREE
        for axis, sine, cosine in zip(axes, angles.sin(), angles.cos(), strict=True):
            turned = [turn_about(vector, axis, sine, cosine) for vector in turned]
    before, after = (
        torch.stack([_vector(axis, device) for axis in rows]) for rows in (axes, turned)
    )
    half = _tensor((view.pixels[1], view.pixels[0], 0.0), device) * (0.5 * view.pixel_size)
    centre = _vector(own.origin, device) + half @ before
    if parameters.panel_shift_mm is not None:
        centre = centre + parameters.panel_shift_mm * METRES_PER_MM @ before
    origin = centre - half @ after
    close = (origin * after[2]).sum()
    fast, slow, normal = map(_triple, after)
    return Placement(view, own.beam, _triple(origin), close, own.distance, fast, slow, normal)


def _tensor(values: Float64Array | tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


def _vector(parts: Triple, device: torch.device) -> Tensor:
    return torch.stack([torch.as_tensor(x, dtype=torch.float64, device=device) for x in parts])


def _triple(vector: Tensor) -> Triple:
    x, y, z = vector.unbind()
    return x, y, z
