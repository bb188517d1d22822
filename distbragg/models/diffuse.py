"""Resolved diffuse scattering of correlated displacements."""

from __future__ import annotations

from dataclasses import dataclass

from distbragg.models.vectors import Float64Array


@dataclass(frozen=True, slots=True)
class Diffuse:
    """How unit cells are displaced, and how far their displacements go together.

    `gamma` and `sigma` are along the principal axes, the rows of `axes`, whose components are
    along x (along a), y and z (along c*) of the crystal. `operations` are the rotations of the Laue
    group, which act on columns h, k, l; the scattering is their mean.
    """

    gamma: Float64Array  # (3,), Å: lengths over which the correlation falls to 1/e
    sigma: Float64Array  # (3,), Å: root mean square displacements
    axes: Float64Array  # (3, 3)
    operations: Float64Array  # (operations, 3, 3)
    stencil: int
    """Lattice points up to this far from the nearest one, along h, k and l, scatter too."""

    @property
    def halos(self) -> int:
        """Halos that a step sees; rotations make one where lengths are the same along all axes."""
        one = all(len(set(lengths.tolist())) == 1 for lengths in (self.gamma, self.sigma))
        return (1 if one else len(self.operations)) * (2 * self.stencil + 1) ** 3
