"""How spots of a rotation are finer than their discs, and along which way.

A rotation moves a spot along its disc. At one angle of the spindle it is an ellipse of its own, of
covariance C₁ given that the sphere is met; what is recorded is the mean of such ellipses, so that
nothing of it is sharper than C₁. In coordinates in which the disc is a circle C₁ has two main axes:
along the narrow one nodes have to lie closer, as its width asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from distbragg.matrices import dot3
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.closed_form import Incidence
from distbragg.physics.near_sphere import GaussianCrystal, displacement_covariances, met_widths
from distbragg.physics.places import Places

_SPARE: Final = 0.2
"""Of a doubling, that what nodes are taken at first is finer than needed."""

_MOST: Final = 7
"""Doublings along the narrow way: one of less than a hundredth is met by doubling both."""


@dataclass(frozen=True, slots=True)
class Grain:
    """The narrow way of spots in the coordinates of their discs, (n,) each."""

    cosine: Float64Array
    sine: Float64Array
    doublings: IntArray  # of the nodes along it

    def __getitem__(self, chosen: IntArray) -> Grain:
        return Grain(self.cosine[chosen], self.sine[chosen], self.doublings[chosen])

    @classmethod
    def none(cls, count: int) -> Grain:
        """Return that of spots that are as wide as their discs."""
        return cls(np.ones(count), np.zeros(count), np.zeros(count, dtype=np.int64))

    def put(self, at: IntArray, other: Grain) -> None:
        """Put that of other spots in the place of some."""
        for item in fields(self):
            getattr(self, item.name)[at] = getattr(other, item.name)


def grain_of(crystal: GaussianCrystal, incidence: Incidence, places: Places) -> Grain:
    """Return that of one source's spots in one part of the rotation, to first order."""
    if not crystal.rotates:
        return Grain.none(len(places))
    ray, axes = places.centre, (places.first, places.second)
    _, total = displacement_covariances(
        crystal, incidence, places.relp, ray - np.array(incidence.direction)
    )
    image = (total * ray[:, np.newaxis, :]).sum(axis=2)
    _, (xx, xy, yy) = met_widths(total, image, dot3(ray, image), axes, incidence.wavenumber)
    # L⁻¹ C₁ L⁻ᵀ, with L that of the disc.
    l11, l21, l22 = (part[:, 0] for part in places.roots())
    tilt = l21 / l11
    one, both, two = (
        xx / (l11 * l11),
        (xy - tilt * xx) / (l11 * l22),
        (yy - 2.0 * tilt * xy + tilt * tilt * xx) / (l22 * l22),
    )
    least = 0.5 * (one + two) - np.hypot(0.5 * (one - two), both)
    angle = 0.5 * np.arctan2(-2.0 * both, two - one)
    finer = -0.5 * np.log2(np.clip(least, 4.0**-_MOST, 1.0))
    doublings = np.ceil(finer - _SPARE).clip(0, _MOST).astype(np.int64)
    return Grain(np.cos(angle), np.sin(angle), doublings)
