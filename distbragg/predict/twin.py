"""What a compiled kernel may do in place of numpy in `closed_form`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from distbragg.models.beam import Beam
from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.closed_form import Incidence
from distbragg.physics.near_sphere import GaussianCrystal
from distbragg.physics.places import Places
from distbragg.predict.grain import Grain


@dataclass(frozen=True, slots=True)
class Lit:
    """What lines light of a crystal, (n,) each."""

    lines: Sequence[Incidence]
    places: Places
    line: IntArray  # which line each is of
    weight: Float64Array
    spot: IntArray  # which spot each is a part of
    grain: Grain


class Twin(Protocol):
    """The same reflections and the same integrals, to rounding."""

    def lit(
        self, crystal: GaussianCrystal, lines: Sequence[Incidence], cut: float, dmin: float
    ) -> tuple[Places, IntArray]:
        """Return what each line lights, (n,), in any order, and the number of its line, (n,)."""
        ...

    def moments(
        self, crystal: GaussianCrystal, beam: Beam, panel: Panel, lit: Lit, start: Float64Array
    ) -> Float64Array:
        """Return the moments of spots on a flat panel, (12, spots), in one part of a rotation.

        Those of `closed_form`, and the wavelength's. Pixels count from `start`, (2, spots), angles
        from the middle of that part.
        """
        ...
