"""Places of scattering vectors on the spheres that rotations keep lattice points to, unrolled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distbragg.matrices import dot3, norm3
from distbragg.models.vectors import Float64Array


@dataclass(frozen=True, slots=True)
class Sphere:
    """The spheres about the origin that rotations keep lattice points to, unrolled about each."""

    length: Float64Array  # (n,), |g|
    along: Float64Array  # (n, 3), g/|g|

    def seen(self, q: Float64Array) -> Unrolled:
        """Return where scattering vectors (n, 3) lie."""
        ahead, far = dot3(q, self.along), norm3(q)
        beside = q - ahead[:, np.newaxis] * self.along
        side = norm3(beside)
        aside = side > 0.0
        per = 1.0 / np.where(aside, side, 1.0)
        stretch = np.where(aside, self.length * np.arctan2(side, ahead) * per, 1.0)
        off = (far - self.length)[:, np.newaxis] * self.along + stretch[:, np.newaxis] * beside
        over = 1.0 / np.where(far > 0.0, far, 1.0)
        cosine, sine = ahead * over, side * over
        return Unrolled(self, over, cosine, sine, stretch, per[:, np.newaxis] * beside, off)


@dataclass(frozen=True, slots=True)
class Unrolled:
    """Scattering vectors by how far they are from g along it, and along the sphere."""

    sphere: Sphere
    over: Float64Array  # (n,), 1/|q|
    cosine: Float64Array  # (n,), of the angle from g
    sine: Float64Array
    stretch: Float64Array
    beside: Float64Array  # (n, 3), the unit vector across g towards q
    off: Float64Array  # (n, 3)

    def moved(self, step: Float64Array) -> Float64Array:
        """Return how `off` changes with a small step (n, 3) of q, to first order."""
        one, two = dot3(step, self.sphere.along), dot3(step, self.beside)
        out = step - one[:, np.newaxis] * self.sphere.along - two[:, np.newaxis] * self.beside
        radial = self.cosine * one + self.sine * two
        turned = (self.cosine * two - self.sine * one) * self.sphere.length * self.over
        return np.asarray(
            radial[:, np.newaxis] * self.sphere.along
            + turned[:, np.newaxis] * self.beside
            + self.stretch[:, np.newaxis] * out
        )

    def flattened(
        self, steps: list[Float64Array], flat: Callable[[Float64Array], Float64Array]
    ) -> tuple[Float64Array, list[Float64Array]]:
        """Return `off` and its changes with steps of it, as those of what is flat, (n, 3) each.

        `flat` tells what of a displacement does not rotate. That leaves the sphere by its sagitta,
        and an angle at |q| stands for more of it than one at |g|.
        """
        along, length = self.sphere.along, self.sphere.length[:, np.newaxis]
        longer = 1.0 / (self.over[:, np.newaxis] * length)

        def beside(off: Float64Array) -> Float64Array:
            level = flat(off)
            return np.asarray(level - dot3(level, along)[:, np.newaxis] * along)

        own = beside(self.off)
        bent = own / length
        off = self.off + (longer - 1.0) * own
        off = off - 0.5 * longer * dot3(own, bent)[:, np.newaxis] * along
        moved = []
        for step in steps:
            own = beside(step)
            farther = dot3(step, along)[:, np.newaxis] * bent
            lost = longer * dot3(own, bent)[:, np.newaxis] * along
            moved.append(step + (longer - 1.0) * own + farther - lost)
        return off, moved
