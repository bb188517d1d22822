"""Resolved beam stop: the outline of its shadow, and how much it lets through."""

from __future__ import annotations

from dataclasses import dataclass


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
