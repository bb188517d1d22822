"""How the work is cut, computed and stored: nothing here changes what is rendered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distbragg.spec.base import Auto, Count, NonNegative, Positive, SpecModel

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


class OutputSpec(SpecModel):
    """What a stack stores. `compressor: auto` is zstd for counts and lz4 for expected photons.

    `labels` keeps a table of predicted spots beside the images: position, hkl, |F|², partiality
    and expected photons of every spot that holds `label_minimum_photons` or more.
    """

    dtype: Literal["float32", "float64", "uint16", "uint32"] = "float32"
    compressor: Literal["auto", "lz4", "zstd"] = "auto"
    compression_level: int = Field(default=1, ge=0, le=9)
    chunk: TileShape | Auto = "auto"
    labels: bool = False
    label_minimum_photons: NonNegative = 1.0
