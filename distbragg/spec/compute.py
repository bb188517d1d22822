"""How the work is cut, computed and stored: nothing here changes what is rendered."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from distbragg.spec.base import Auto, Count, NonNegative, Positive, SpecModel, refusal
from distbragg.spec.variants import VariantSpec

FORMER_KERNELS: Final = ("eager", "reference")
"""Kernels of earlier releases: what they computed the model computes."""

MOST_VARIANTS: Final = 16
TileShape = tuple[Count, Count]


class ComputeSpec(SpecModel):
    """How the work is divided and computed; it changes pixels only by rounding."""

    precision: Literal["mixed", "float64"] = "mixed"
    """mixed has indices in float64 and the rest in float32; float64 has all in float64. Example:
    float64"""
    kernel: Literal["auto", "native", "triton", "model", "eager", "reference"] = "auto"
    """Program that renders: native (C++) on CPUs, triton on GPUs, model (torch) as the slow
    standard; auto takes the fastest available. Example: model"""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$")] = "cpu"
    """cpu, cuda, or cuda:N for the GPU of that number. Example: cuda:0"""
    tile: TileShape | Auto = "auto"
    """Pixels of one tile of a frame, [slow, fast]; auto cuts frames that are too large for one
    task. Example: [256, 256]"""
    source_chunk: Count | Auto = "auto"
    """Sources that one task sums; auto cuts lists that are too long for one task. Example: 100"""
    frames_per_unit: Count | Auto = "auto"
    """Frames of one work unit, which is one shard of the stack; auto aims at half a minute per
    unit. Example: 100"""
    form: Literal["auto", "unit", "graph"] = "auto"
    """Whether a unit is one task, or a graph of one task for each tile and source chunk; auto takes
    one task where it fits. Example: graph"""
    memory_limit_gb: Positive | Auto = "auto"
    """Memory that one task may use, GB; auto is the memory of the machine. Example: 8"""


Variants = tuple[VariantSpec, ...] | None
Overflow = Literal["clip", "error"]
MapName = Literal[
    "bragg", "background", "mean_wavelength", "bragg_share", "spot_mask", "hkl", "lattice"
]
PARTS: Final[tuple[MapName, ...]] = ("bragg", "background")
"""Maps that add up to the expected photons of a frame."""

Dtype = Literal["float32", "float64", "int16", "int32", "uint16", "uint32"]


def stored_range(dtype: str) -> tuple[float, float]:
    """Return the least and the largest value of a stored type; the next marks missing frames."""
    if dtype.startswith("float"):
        return -math.inf, math.inf
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    low = 0 if dtype.startswith("u") else -(2 ** (bits - 1))
    return float(low), float(low + 2**bits - 2)


class OutputSpec(SpecModel):
    """What a stack stores.

    An integer type holds pixels beyond its range at the largest value that it stores (65,534 of
    uint16, 4,294,967,294 of uint32, 32,766 of int16, 2,147,483,646 of int32: the next marks
    missing frames), and pixels beyond what `detector.response` records at its overload value; both
    are counted in `overloads` of their frame. Under `overflow: error` a unit with either is set
    aside instead, with the reason.
    """

    dtype: Dtype = "float32"
    """Number type of the stored pixels; integers hold counts, which need noise or a response.
    Example: uint16"""
    compressor: Literal["auto", "lz4", "zstd"] = "auto"
    """Compression of the pixels; auto is lz4, of counts after their bits are shuffled. Example:
    zstd"""
    compression_level: int = Field(default=1, ge=0, le=9)
    """How hard the compressor tries: 0 is fastest, 9 smallest. Example: 5"""
    chunk: TileShape | Auto = "auto"
    """Pixels of one compressed chunk, [slow, fast], the least that is read; auto is a frame, cut
    where it is large. Example: [512, 512]"""
    frames: bool | None = None
    """Whether whole frames are stored; false keeps the variants (and maps) in place of them. Left
    out: true. Example: false"""
    variants: Variants = Field(default=None, max_length=MOST_VARIANTS)
    """Smaller pictures of each frame that are stored beside it, each an array of the stack: a box,
    pixels pooled by blocks, square roots as uint16, in this order. Positions of labels stay those
    of the whole frame; attributes of the array say where they lie in it. Left out: none. Example:
    [{name: pooled, pool: 4, how: max, root: true}]"""
    overflow: Overflow = "clip"
    """What is done with a pixel beyond the range of type or detector: clip holds it at the end of
    the range, error sets the unit aside. Example: error"""
    labels: bool = False
    """Whether a table of the predicted spots of each frame (position, hkl, |F|², partiality,
    photons) is stored beside the images. Example: true"""
    label_minimum_photons: NonNegative = 1.0
    """Expected photons from which a spot is listed. Example: 10"""
    maps: tuple[MapName, ...] | None = None
    """Arrays beside the images on the expected photons of each pixel, before point spread, noise
    and response: bragg and background photons, from which noise can be drawn again, mean_wavelength
    of the Bragg photons, bragg_share of all photons, spot_mask, and hkl and lattice of the
    strongest reflection. Left out: none. Example: [hkl, bragg_share]"""
    mask_minimum_photons: NonNegative | None = None
    """Bragg photons from which a pixel is in the spot_mask. Left out: 1. Example: 3"""
    mask_minimum_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of Bragg photons from which a pixel is in the spot_mask. Left out: 0. Example: 0.1"""

    @field_validator("maps")
    @classmethod
    def _each_once(cls, maps: tuple[MapName, ...] | None) -> tuple[MapName, ...] | None:
        if maps and len(set(maps)) < len(maps):
            raise refusal("names an array twice", remedy="name each once")
        return maps or None

    @field_validator("variants")
    @classmethod
    def _other_names(cls, variants: Variants) -> Variants:
        names = [one.name for one in variants or ()]
        for index, name in enumerate(names):
            if name in names[:index] or name in get_args(MapName):
                problem = f"{name!r} is the name of another array"
                raise refusal(problem, field=f"{index}.name", remedy="name each once")
        return variants or None

    @model_validator(mode="after")
    def _keep_something(self) -> Self:
        if self.frames is False and not self.variants:
            problem = "false, and there are no variants to store in place of frames"
            raise refusal(problem, field="frames", remedy="give output.variants")
        return self

    @property
    def keeps_frames(self) -> bool:
        """Whether whole frames are stored."""
        return self.frames is not False
