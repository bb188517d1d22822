"""Variants of frames: their shapes, stored types and cost, and how they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg import variants
from distbragg.errors import InputError
from distbragg.spec.compute import Dtype, OutputSpec, stored_range
from distbragg.spec.variants import VariantSpec

HELD_PIXEL_BYTES: Final = 12
"""Bytes per pixel of the frame while a variant is made: pooled sums of counts and square roots are
of 64 bits."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of frames of one shape and type.

    A place (slow, fast) in pixels of the frame, counted from its corner, lies in the variant at
    (place - `offset`) / `factor`.
    """

    spec: VariantSpec
    dtype: Dtype
    shape: tuple[int, int]  # slow, fast, of a panel
    box: variants.Box  # pixels of the frame that are taken

    @property
    def offset(self) -> tuple[int, int]:
        """First pixel of the frame that is taken, slow and fast."""
        return self.box[0], self.box[2]

    @property
    def factor(self) -> int:
        """Pixels of the frame along an edge of a pixel of the variant."""
        return self.spec.pool or 1

    def positions(self, positions: NDArray[Any]) -> NDArray[Any]:
        """Return positions (..., 2) in pixels of the frame, slow and fast, in the variant's."""
        return variants.pooled_positions(
            variants.cropped_positions(positions, self.box), self.factor
        )

    @property
    def steps(self) -> str:
        """How it is made, in words."""
        spec, box = self.spec, self.box
        told = [f"slow {box[0]}:{box[1]}, fast {box[2]}:{box[3]}"] if spec.crop else []
        told += [f"{spec.how} of {spec.pool} x {spec.pool} pixels"] if spec.pool else []
        told += ["square root, rounded"] if spec.root else []
        return "; ".join(told)

    def make(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Make it of stored frames (..., slow, fast): what is beyond its type is its largest."""
        image = variants.crop(stored, self.box)
        if self.spec.pool is not None and self.spec.how is not None:
            image = variants.pool(image, self.spec.pool, self.spec.how)
        if self.spec.root:
            image = variants.root_uint16(image)
        kind = np.dtype(self.dtype)
        if kind.kind == "f":
            bounds = (-math.inf, float(np.finfo(kind).max))
        else:
            bounds = stored_range(self.dtype)
        held: NDArray[Any] = np.clip(image, *(image.dtype.type(bound) for bound in bounds))
        return held.astype(kind, copy=False)

    @property
    def panel_bytes(self) -> int:
        """Raw stored bytes of a panel."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        slow, fast = self.shape
        return f"{self.spec.name}, {slow} x {fast} pixels of {self.dtype}: {self.steps}"


def variants_of(output: OutputSpec, shape: tuple[int, int]) -> tuple[Variant, ...]:
    """Return the variants of frames whose panels have `shape`, by name; refuse impossible ones."""
    found = (
        _variant(one, output.dtype, shape, f"output.variants.{index}")
        for index, one in enumerate(output.variants or ())
    )
    return tuple(sorted(found, key=lambda one: one.spec.name))


def _variant(spec: VariantSpec, dtype: Dtype, shape: tuple[int, int], field: str) -> Variant:
    crop = spec.crop
    slow = (0, shape[0]) if crop is None or crop.slow is None else crop.slow
    fast = (0, shape[1]) if crop is None or crop.fast is None else crop.fast
    for name, (first, end), size in (("slow", slow, shape[0]), ("fast", fast, shape[1])):
        if end > size:
            raise InputError(
                f"pixels {first} to {end} of a panel of {size}",
                field=f"{field}.crop.{name}",
                remedy=f"end at {size} or before",
            )
    sizes = (slow[1] - slow[0], fast[1] - fast[0])
    factor = spec.pool or 1
    if factor > min(sizes):
        raise InputError(
            f"blocks of {factor} pixels where there are {sizes[0]} x {sizes[1]} (slow x fast)",
            field=f"{field}.pool",
            remedy=f"give at most {min(sizes)}",
        )
    made = (sizes[0] // factor, sizes[1] // factor)
    return Variant(spec, _dtype(spec, dtype), made, (*slow, *fast))


def _dtype(spec: VariantSpec, dtype: Dtype) -> Dtype:
    """Return the type of a variant of frames of a type: sums of counts are of 32 bits."""
    if spec.root:
        return "uint16"
    if dtype.startswith("float") or spec.how in (None, "max"):
        return dtype
    if spec.how == "mean":
        return "float32"
    return "uint32" if dtype.startswith("u") else "int32"
