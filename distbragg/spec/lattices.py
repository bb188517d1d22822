"""Lattices that are drawn: how many a frame has, and how they are turned against the first."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import NonNegative, Positive, Seed, SpecModel, refusal

MOST_LATTICES = 1000


class DrawnLatticesSpec(SpecModel):
    """Lattices of one frame, drawn from `seed`: the same whatever else the sweep holds.

    The first is the crystal as it is described; the others have its cell, block and mosaicity.
    """

    count: Annotated[int, Field(ge=0, le=MOST_LATTICES)] = 1
    """Total number of lattices of a frame: 1 is the crystal alone, 0 a miss. Example: 3"""
    orientation: Literal["independent", "split"] = "independent"
    """How the further lattices lie: independent of the first, or split off it by small angles.
    Example: split"""
    split_deg: NonNegative | None = None
    """Standard deviation, degrees, of the rotation that splits a lattice off, about each laboratory
    axis. Left out: only where orientation is independent. Example: 0.5"""
    relative_scale: Positive | tuple[Positive, Positive] = 1.0
    """Illuminated blocks of each further lattice as a share of the first's; of two numbers, drawn
    evenly between them. Example: [0.2, 0.8]"""
    seed: Seed | None = None
    """Seed of the lattices that are drawn. Left out: 0. Example: 1"""
    per_frame: bool = True
    """Whether each frame has its own lattices; false keeps them through a rotation. Example:
    false"""

    @model_validator(mode="after")
    def _check_drawn(self) -> Self:
        split = self.orientation == "split"
        if split and self.split_deg is None:
            raise refusal("not given, where orientation is split", field="split_deg")
        if not split and self.split_deg is not None:
            problem, remedy = (
                "given together with orientation: independent",
                "set orientation: split",
            )
            raise refusal(problem, field="split_deg", remedy=remedy)
        scale = self.relative_scale
        if isinstance(scale, tuple) and scale[0] > scale[1]:
            problem = f"{scale[0]:g} is more than {scale[1]:g}"
            raise refusal(problem, field="relative_scale", remedy="give the smaller one first")
        return self
