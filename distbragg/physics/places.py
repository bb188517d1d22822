"""Where reflections of a Gaussian crystal are seen, to first order, and the discs that hold them.

A disc is made of directions about the brightest: an ellipse of so many standard deviations, bent
along the circle of one scattering angle about the beam.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from distbragg.matrices import dot3
from distbragg.models.vectors import Float64Array, IntArray


@dataclass(frozen=True, slots=True)
class Places:
    """Reflections as they are seen to first order, in order of h, k, l."""

    hkl: IntArray  # (n, 3)
    relp: Float64Array  # (n, 3), 1/Å: g
    centre: Float64Array  # (n, 3), unit vectors to where they are brightest
    first: Float64Array  # (n, 3), unit vectors across it: about the beam
    second: Float64Array  # (n, 3) and towards it
    covariance: Float64Array  # (n, 3), rad²: of the angles along both, 11, 12, 22
    bow: Float64Array  # (n,), 1/rad: the ridge bends towards the beam by this times first²
    reach: Float64Array  # (n,), to how many standard deviations they are rendered

    def __len__(self) -> int:
        return int(self.hkl.shape[0])

    def __getitem__(self, chosen: slice | IntArray | np.ndarray) -> Places:
        return Places(*(getattr(self, item.name)[chosen] for item in fields(self)))

    @staticmethod
    def joined(parts: list[Places]) -> Places:
        """Return some, at least one, as one."""
        return Places(
            *(
                np.concatenate([getattr(part, item.name) for part in parts])
                for item in fields(Places)
            )
        )

    def disc(self) -> tuple[Float64Array, Float64Array]:
        """Return two vectors of each, (n, 3), that make coordinates of a ray.

        Its products with these over that with the centre are a, and b + `arc()` a²; a spot is
        rendered where a and b are in the unit disc.
        """
        l11, l21, l22 = self.roots()
        reach = self.radius()
        first = self.first / (reach * l11)
        return first, self.second / (reach * l22) - first * (l21 / l22)

    def arc(self) -> Float64Array:
        """Return by how much the ends of each disc bend, in coordinates of it, (n,)."""
        l11, _, l22 = (part[:, 0] for part in self.roots())
        return np.asarray(self.bow * self.radius()[:, 0] * l11 * l11 / l22)

    def coordinates(self, chosen: IntArray, ray: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return a and b of rays (m, 3), each of one spot; infinite where it faces away."""
        first, second = self.disc()
        facing = dot3(self.centre[chosen], ray)
        facing = np.where(facing > 0.0, facing, np.nan)
        a, b = (dot3(axis[chosen], ray) / facing for axis in (first, second))
        b = b - self.arc()[chosen] * a * a
        return np.nan_to_num(a, nan=np.inf), np.nan_to_num(b, nan=np.inf)

    def radius(self) -> Float64Array:
        """Return the standard deviations to the edge of each disc, (n, 1)."""
        return np.asarray(np.maximum(self.reach, 1e-3)[:, np.newaxis])

    def roots(self) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Return the Cholesky factor of each covariance, 11, 21 and 22, (n, 1) rad."""
        xx, xy, yy = (part[:, np.newaxis] for part in self.covariance.T)
        l11 = np.sqrt(xx)
        l21 = xy / l11
        return l11, l21, np.sqrt(np.maximum(yy - l21 * l21, 1e-18 * yy))

    def rays(
        self, radius: Float64Array | float, a: Float64Array, b: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return unit vectors to points (m,) of every disc, (n, m, 3).

        `radius` is that of the discs, standard deviations. And the square of 1/cosine of the
        angle between each and the centre, (n, m).
        """
        l11, l21, l22 = self.roots()
        one = radius * l11 * a
        two = radius * (l21 * a + l22 * b) + self.bow[:, np.newaxis] * one * one
        ray = self.centre[:, np.newaxis] + one[..., np.newaxis] * self.first[:, np.newaxis]
        ray = ray + two[..., np.newaxis] * self.second[:, np.newaxis]
        square = 1.0 + one * one + two * two
        return np.asarray(ray / np.sqrt(square)[..., np.newaxis]), np.asarray(square)
