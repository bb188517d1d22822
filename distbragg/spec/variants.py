"""Variants of frames that a stack stores: cropped, pooled, as square roots."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import MAXIMUM_COUNT, Count, SpecModel, refusal

Range = tuple[Annotated[int, Field(ge=0, le=MAXIMUM_COUNT)], Count]

TAKEN: Final = frozenset(
    {"images", "labels", "slow", "fast", "panel", "xyz", "rendered", "split", "overloads"}
    | {"skipped_photons", "frame", "image", "spots", "maps", "epoch", "recorded", "panel_origin"}
    | {"lattices_in_beam", "has_crystal", "hit", "hit_seen", "spots_seen", "lattices_seen"}
    | {"resolution_seen"}
)
"""Names that a stack, or an item of a data set, has for something else."""

ENDINGS: Final = ("_slow", "_fast", "_component", "_size")
"""Ends of the names of coordinates: those of the pixels of variants, panels and vectors."""


class CropSpec(SpecModel):
    """A box of pixels of the frame, of every panel alike."""

    slow: Range | None = None
    """First pixel along the slow axis, counted from 0, and the one after the last. Left out: all.
    Example: [512, 1536]"""
    fast: Range | None = None
    """First pixel along the fast axis, counted from 0, and the one after the last. Left out: all.
    Example: [512, 1536]"""

    @model_validator(mode="after")
    def _check_box(self) -> Self:
        for name, given in (("slow", self.slow), ("fast", self.fast)):
            if given is not None and given[0] >= given[1]:
                problem = f"pixels from {given[0]} up to but without {given[1]} are none"
                raise refusal(problem, field=name, remedy="give the first, then the end")
        if self.slow is None and self.fast is None:
            raise refusal("names neither slow nor fast pixels", remedy="give one of them, or both")
        return self


class VariantSpec(SpecModel):
    """A smaller picture of each frame: first cropped, then pooled, then its square root.

    It is computed from the stored pixels of the frame.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    """Name of the array in the stack: small letters, digits and underscores. Example: pooled"""
    crop: CropSpec | None = None
    """Box of the frame that is taken first, in pixels of the frame. Left out: the whole frame.
    Example: {slow: [512, 1536], fast: [512, 1536]}"""
    pool: Count | None = None
    """Edge of the blocks of pixels of which each becomes one; rows and columns at the far ends that
    fill no block are dropped. Left out: every pixel stays. Example: 4"""
    how: Literal["max", "mean", "sum"] | None = None
    """What is kept of a block: its largest pixel, the mean or the sum. Given with pool. Left out:
    only where pool is. Example: max"""
    root: bool = False
    """Whether the square root is stored, rounded, as uint16; what is below 0 becomes 0. Example:
    true"""

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.name in TAKEN or self.name.endswith(ENDINGS):
            problem = f"{self.name!r} is a name that the stack has for something else"
            raise refusal(problem, field="name", remedy="give another name")
        if self.pool is not None and self.how is None:
            problem = "not given, where pool is"
            raise refusal(problem, field="how", remedy="give max, mean or sum")
        if self.pool is None and self.how is not None:
            raise refusal("given without pool", field="how", remedy="give pool, or leave it out")
        if self.pool is None and self.crop is None and not self.root:
            problem = "is the frame itself"
            raise refusal(problem, field="name", remedy="give crop, pool or root")
        return self
