"""Where the beam meets a detector of several panels, and which panel stands for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.vectors import Vector, combine, cross, dot, norm, unit
from distbragg.read.geometry.model import PanelGeometry

_PARALLEL: Final = 1e-12


@dataclass(frozen=True, slots=True)
class BeamSpot:
    """Where the beam meets the plane of the detector's reference panel.

    Attributes
    ----------
    panel : int
        The reference panel: the one the beam meets; where it meets none, the one whose centre
        is nearest to the beam's direction.
    distance : float, mm
        From the sample along the beam.
    fast, slow : float, mm
        From the outer corner of the panel's first pixel along its axes.
    on_panel : bool
    """

    panel: int
    distance: float
    fast: float
    slow: float
    on_panel: bool


def beam_spot(panels: tuple[PanelGeometry, ...], beam: Vector) -> BeamSpot:
    """Find where the beam meets a detector.

    Parameters
    ----------
    panels : tuple of PanelGeometry
    beam : (3,) floats
        Unit vector.

    Raises
    ------
    InputError
        The reference panel is parallel to the beam.
    """
    spots = [_spot(panel, index, beam) for index, panel in enumerate(panels)]
    met = [spot for spot in spots if spot is not None and spot.on_panel]
    if met:
        return min(met, key=lambda spot: spot.distance)
    cosines = [_towards(panel, beam) for panel in panels]
    nearest = spots[cosines.index(max(cosines))]
    if nearest is None:
        raise InputError(
            "the panel nearest to the beam is parallel to it",
            field="detector",
            remedy="place the panels with their origins instead",
        )
    return nearest


def meet(
    origin: Vector, fast: Vector, slow: Vector, beam: Vector
) -> tuple[float, float, float] | None:
    """Find where a beam from the sample meets a plane.

    Parameters
    ----------
    origin : (3,) floats
        A point of the plane; lengths are returned in its unit.
    fast, slow : (3,) floats
        Unit vectors in the plane, which may be oblique.
    beam : (3,) floats
        Unit vector.

    Returns
    -------
    (distance, fast, slow) or None
        Along the beam, and along the axes from the origin; None where they are parallel.
    """
    normal = unit(cross(fast, slow))
    along = dot(beam, normal)
    if abs(along) < _PARALLEL:
        return None
    distance = dot(origin, normal) / along
    offset = combine((distance, beam), (-1.0, origin))
    skew = dot(fast, slow)
    by_fast, by_slow = dot(offset, fast), dot(offset, slow)
    if skew == 0.0:
        return distance, by_fast, by_slow
    share = 1.0 - skew * skew
    return distance, (by_fast - skew * by_slow) / share, (by_slow - skew * by_fast) / share


def _spot(panel: PanelGeometry, index: int, beam: Vector) -> BeamSpot | None:
    met = meet(panel.origin, panel.fast, panel.slow, beam)
    if met is None:
        return None
    distance, fast, slow = met
    inside = (
        distance > 0.0
        and 0.0 <= fast <= panel.shape[1] * panel.pixel_size
        and 0.0 <= slow <= panel.shape[0] * panel.pixel_size
    )
    return BeamSpot(index, distance, fast, slow, inside)


def _towards(panel: PanelGeometry, beam: Vector) -> float:
    """Cosine between the beam and the centre of a panel."""
    half = panel.pixel_size / 2.0
    centre = combine(
        (1.0, panel.origin),
        (half * panel.shape[1], panel.fast),
        (half * panel.shape[0], panel.slow),
    )
    length = norm(centre)
    return dot(centre, beam) / length if length > 0.0 else -1.0
