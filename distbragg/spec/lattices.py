"""Lattices that are drawn: how many a frame has, and how they are turned against the first."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import NonNegative, Positive, Seed, SpecModel, refusal

MOST_LATTICES = 1000


class DrawnLatticesSpec(SpecModel):
    """Lattices of one frame, drawn from `seed`: the same whatever else the sweep holds.

    `count` is how many there are in all: of 1 there is the crystal alone, of 0 none, which is a
    miss. The first is the crystal as it is described. The others have its cell, size and
    mosaicity, and are turned against it: `independent` ones anyhow, all orientations alike;
    `split` ones by a rotation vector whose components about the laboratory axes have the
    standard deviation `split_deg`, as of fragments of one crystal. Each of them has
    `relative_scale` times the illuminated blocks of the first; of two numbers, something
    between them, drawn evenly. `per_frame: false` draws the same lattices in every frame,
    as a rotation of one crystal needs. `seed` is 0 where it is not given.
    """

    count: Annotated[int, Field(ge=0, le=MOST_LATTICES)] = 1
    orientation: Literal["independent", "split"] = "independent"
    split_deg: NonNegative | None = None
    relative_scale: Positive | tuple[Positive, Positive] = 1.0
    seed: Seed | None = None
    per_frame: bool = True

    @model_validator(mode="after")
    def _check_drawn(self) -> Self:
        split = self.orientation == "split"
        if split and self.split_deg is None:
            raise refusal("not given, where orientation is split", field="split_deg")
        if not split and self.split_deg is not None:
            problem, remedy = "given beside orientation: independent", "set orientation: split"
            raise refusal(problem, field="split_deg", remedy=remedy)
        scale = self.relative_scale
        if isinstance(scale, tuple) and scale[0] > scale[1]:
            problem = f"{scale[0]:g} is more than {scale[1]:g}"
            raise refusal(problem, field="relative_scale", remedy="give the smaller one first")
        return self
