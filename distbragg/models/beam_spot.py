"""Where the beam meets a detector of several panels, and which panel stands for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.detector import Panel
from distbragg.models.vectors import Vector, combine, components, cross, dot, norm, unit
from distbragg.read.geometry.model import PanelGeometry

_PARALLEL: Final = 1e-12


@dataclass(frozen=True, slots=True)
class BeamSpot:
    """Where the beam meets the plane of a panel: distance along it, place from the outer corner.

    Of a detector the panel is the one the beam meets; where it meets none, the one whose centre
    is nearest to the beam's direction.
    """

    panel: int
    distance: float
    fast: float
    slow: float
    on_panel: bool


def beam_spot(panels: tuple[PanelGeometry, ...], beam: Vector) -> BeamSpot:
    """Find where a beam (unit vector) meets a detector."""
    spots = [spot_in_plane(panel, panel.shape, beam, index) for index, panel in enumerate(panels)]
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


def spot_in_plane(
    panel: PanelGeometry | Panel, shape: tuple[int, int], beam: Vector, index: int = 0
) -> BeamSpot | None:
    """Find where a beam (unit vector) meets the plane of a panel of `shape` pixels.

    Lengths are in the unit of the panel, whose axes may be oblique; None where beam and plane are
    parallel.
    """
    origin, fast, slow = map(components, (panel.origin, panel.fast, panel.slow))
    normal = unit(cross(fast, slow))
    along = dot(beam, normal)
    if abs(along) < _PARALLEL:
        return None
    distance = dot(origin, normal) / along
    offset = combine((distance, beam), (-1.0, origin))
    skew = dot(fast, slow)
    by_fast, by_slow = dot(offset, fast), dot(offset, slow)
    if skew != 0.0:
        share = 1.0 - skew * skew
        by_fast, by_slow = (by_fast - skew * by_slow) / share, (by_slow - skew * by_fast) / share
    height, width = (pixels * panel.pixel_size for pixels in shape)
    inside = distance > 0.0 and 0.0 <= by_fast <= width and 0.0 <= by_slow <= height
    return BeamSpot(index, distance, by_fast, by_slow, inside)


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
