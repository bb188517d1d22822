"""Where the parameters put a panel."""

from __future__ import annotations

import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.fit.parameters import Parameters, beam_centre_m
from distbragg.models.arrays import Float64Array
from distbragg.models.experiment import Experiment
from distbragg.physics.rays import Placement, placement_of
from distbragg.units import METRES_PER_MM


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
    own = placement_of(view, experiment.beam.direction)

    def tensor(values: Float64Array | tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    if parameters.distance_mm is None and parameters.beam_centre_mm is None:
        return own
    shift = torch.zeros(3, dtype=torch.float64, device=device)
    distance: float | Tensor = view.distance
    if parameters.distance_mm is not None:
        farther = parameters.distance_mm * METRES_PER_MM - first.distance
        shift = shift + farther * tensor(experiment.beam.direction)
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
    x, y, z = (tensor(view.origin) + shift).unbind()
    close = view.close_distance + (shift * tensor(view.normal)).sum()
    return Placement(view, own.beam, (x, y, z), close, distance)
