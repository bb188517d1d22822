"""Diffuse scattering of displaced unit cells: section `crystal.diffuse`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Tag

from distbragg.spec.base import Finite, NonNegative, Positive, SpecModel, refusal

_ROUNDED: Final = 1e-6
_ALONG_THE_CRYSTAL: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def _how_many(value: Any) -> str:  # noqa: ANN401
    return "three" if isinstance(value, list | tuple) else "one"


Lengths = Annotated[
    Annotated[Positive, Tag("one")] | Annotated[tuple[Positive, Positive, Positive], Tag("three")],
    Discriminator(_how_many),
]
Displacements = Annotated[
    Annotated[NonNegative, Tag("one")]
    | Annotated[tuple[NonNegative, NonNegative, NonNegative], Tag("three")],
    Discriminator(_how_many),
]
_Nine = Annotated[tuple[Finite, ...], Field(min_length=9, max_length=9)]


def _at_right_angles(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse axes that are not unit vectors at right angles."""
    rows = np.array(numbers).reshape(3, 3)
    if float(np.abs(rows @ rows.T - np.eye(3)).max()) > _ROUNDED:
        problem = "the principal axes are not unit vectors at right angles to each other"
        raise refusal(problem, remedy="give the rows of a rotation matrix")
    return numbers


class DiffuseSpec(SpecModel):
    """Diffuse scattering of unit cells that are displaced together, added to the Bragg spots.

    The displacements of two cells are correlated by exp(-r/gamma), r apart. Each reflection gets a
    halo about 1/(2 pi gamma) wide, which holds e exp(-e) times the photons of its Bragg spot, with
    e = (2 pi sigma/d)². Labels leave it out: their photons are those of the spots.
    """

    gamma_angstrom: Lengths
    """Distance over which the correlation of displacements falls to 1/e, Å: one number, or three
    along the principal axes. Example: 50"""
    sigma_angstrom: Displacements
    """Root mean square displacement, Å: one number, or three along the principal axes; 0 scatters
    nothing. Example: 0.3"""
    axes: Annotated[_Nine, AfterValidator(_at_right_angles)] = _ALONG_THE_CRYSTAL
    """Principal axes as nine numbers, rows first, each three components along x (along a), y and z
    (along c*) of the crystal. Example: [0.6, 0.8, 0, -0.8, 0.6, 0, 0, 0, 1]"""
    laue_group: str | None = None
    """Laue, point or space group over whose rotations the scattering is averaged. Left out: that of
    `structure_factors.space_group` or of the file. Example: 4/mmm"""
    stencil: Literal[0, 1, 2] = 1
    """Lattice points up to this far along h, k and l scatter too: 1, 27 or 125 halos per step, or
    per pixel in closed form; 0 leaves a seam between halos that overlap. Example: 2"""
