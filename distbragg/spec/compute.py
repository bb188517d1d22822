"""How the work is cut, computed and stored: nothing here changes what is rendered."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field

from distbragg.spec.base import Auto, Count, NonNegative, Positive, SpecModel

FORMER_KERNELS: Final = ("eager", "reference")
"""Kernels of earlier releases: what they computed the model computes."""

TileShape = tuple[Count, Count]


class ComputeSpec(SpecModel):
    """Precision, kernel, device, and the shapes of the plan. `tile` is (slow, fast) pixels."""

    precision: Literal["mixed", "float64"] = "mixed"
    kernel: Literal["auto", "native", "triton", "model", "eager", "reference"] = "auto"
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$")] = "cpu"
    tile: TileShape | Auto = "auto"
    source_chunk: Count | Auto = "auto"
    frames_per_unit: Count | Auto = "auto"
    form: Literal["auto", "unit", "graph"] = "auto"
    memory_limit_gb: Positive | Auto = "auto"


Overflow = Literal["clip", "error"]
Dtype = Literal["float32", "float64", "int16", "int32", "uint16", "uint32"]


def stored_range(dtype: str) -> tuple[float, float]:
    """Return the least and the largest value of a stored type; the next marks missing frames."""
    if dtype.startswith("float"):
        return -math.inf, math.inf
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    low = 0 if dtype.startswith("u") else -(2 ** (bits - 1))
    return float(low), float(low + 2**bits - 2)


class OutputSpec(SpecModel):
    """What a stack stores. `compressor: auto` is lz4, of counts after their bits are shuffled.

    A pixel beyond the range of `dtype` is held at the largest value that it stores (65,534 of
    uint16, 4,294,967,294 of uint32, 32,766 of int16, 2,147,483,646 of int32: the next marks
    missing frames), one beyond what `detector.response` records at its overload value; both are
    counted in `overloads` of their frame. Under `overflow: error` a unit with either is set aside
    instead, with the reason.

    `labels` keeps a table of predicted spots beside the images: position, hkl, |F|², partiality
    and expected photons of every spot that holds `label_minimum_photons` or more.
    """

    dtype: Dtype = "float32"
    compressor: Literal["auto", "lz4", "zstd"] = "auto"
    compression_level: int = Field(default=1, ge=0, le=9)
    chunk: TileShape | Auto = "auto"
    overflow: Overflow = "clip"
    labels: bool = False
    label_minimum_photons: NonNegative = 1.0
