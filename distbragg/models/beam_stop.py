"""Resolved beam stop: the outline of its shadow, and how much it lets through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from distbragg.models.vectors import Float64Array, Number, Vector, components, dot

if TYPE_CHECKING:
    from distbragg.models.detector import Panel


@dataclass(frozen=True, slots=True)
class BeamStop:
    """A beam stop by its shadow on the plane across the beam at the first panel's distance.

    Lengths are in m from where the beam meets the plane, along the fast and slow axes of the first
    panel.
    """

    radius: float  # of a disc; 0 where there is a polygon
    polygon: tuple[tuple[float, float], ...]  # corners in order; () where there is a disc
    centre: tuple[float, float]  # of the disc, and where the arm begins
    edge: float  # width over which the shadow ends
    transmission: float  # of stop and arm
    arm_width: float  # 0: no arm
    arm_angle: float  # rad, from fast towards slow


@dataclass(frozen=True, slots=True)
class StopPlane:
    """The plane across the beam that the outline of a stop lies in."""

    distance: float  # m
    beam: Vector
    x: Vector  # unit vectors in the plane
    y: Vector

    @classmethod
    def of(cls, first: Panel, beam: Float64Array) -> Self:
        """Take a panel's distance, and its axes without what of them runs along the beam."""
        return cls(
            abs(first.distance),
            components(beam),
            *(_without(way, beam) for way in (first.fast, first.slow)),
        )

    def crossed(
        self, ray: tuple[Number, Number, Number]
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Return how far rays go along the beam, and where those ahead cross the plane, m."""
        along: Float64Array = np.asarray(dot(ray, self.beam))
        distance = self.distance / np.where(along > 0.0, along, 1.0)
        return along, dot(ray, self.x) * distance, dot(ray, self.y) * distance


def _without(axis: Float64Array, beam: Float64Array) -> Vector:
    """Return an axis without what of it runs along the beam, as a unit vector."""
    way = np.array(components(axis))
    flat = way - (way @ beam) * beam
    return components(flat / math.sqrt(flat @ flat))
