"""Polarisation of the scattered beam (Kahn et al. 1982), per source and sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distbragg.models.vectors import Vector, cross, dot, unit

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PolarizationFrame:
    """Unit vectors of one source: along the beam (i), its E-vector and B = axis × i."""

    incident: Vector
    electric: Vector
    magnetic: Vector


def polarization_frame(incident: Vector, axis: Vector) -> PolarizationFrame:
    """Build the frame of a source: B = unit(axis × i), E = unit(i × B)."""
    beam = unit(incident)
    magnetic = unit(cross(unit(axis), beam))
    return PolarizationFrame(beam, unit(cross(beam, magnetic)), magnetic)


def polarization_factor(
    frame: PolarizationFrame, direction: tuple[Tensor, Tensor, Tensor], kahn_factor: float
) -> Tensor:
    """Return P = ½ (1 + cos²2θ − K cos2ψ sin²2θ) for unit diffracted directions.

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
    cosine = _along(direction, frame.incident)
    factor = 1.0 + cosine * cosine
    if kahn_factor != 0.0 and not any(frame.magnetic):
        factor = factor - (1.0 - cosine * cosine) * kahn_factor
    elif kahn_factor != 0.0:
        electric = _along(direction, frame.electric)
        magnetic = _along(direction, frame.magnetic)
        factor = factor - (electric * electric - magnetic * magnetic) * kahn_factor
    return factor * 0.5


def polarization_of_ray(frame: PolarizationFrame, direction: Vector, kahn_factor: float) -> float:
    """Return P of one ray from the angle ψ itself, as the formula is printed."""
    cosine = dot(frame.incident, direction)
    psi = -math.atan2(dot(frame.magnetic, direction), dot(frame.electric, direction))
    sine_squared = 1.0 - cosine * cosine
    return 0.5 * (1.0 + cosine * cosine - kahn_factor * math.cos(2.0 * psi) * sine_squared)


def _along(direction: tuple[Tensor, Tensor, Tensor], vector: Vector) -> Tensor:
    return direction[0] * vector[0] + direction[1] * vector[1] + direction[2] * vector[2]
