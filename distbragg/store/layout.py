"""Where things lie in a run directory, and how frames map to Zarr shards and chunks.

`RUN` is the Zarr v3 group itself; everything that is not pixels lives in `RUN/.distbragg`.
One shard is one work unit, so two writers never touch the same object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from distbragg.errors import DamageError
from distbragg.plan.sweep import MAX_FRAMES

if TYPE_CHECKING:
    from distbragg.plan.sweep import SweepPlan

STATE_DIR = ".distbragg"
MANIFEST_FILE = "manifest.json"
RECEIPTS_DIR = "receipts"
FAILURES_DIR = "failures"
INPUTS_DIR = "inputs"
GRIDS_DIR = "grids"
LOCK_FILE = "lock"
REPAIRS_DIR = "repairs"
FOREIGN_DIR = "foreign"
PARTIAL_DIR = "partial"
"""Where objects are written before they are whole."""
SEAL_FILE = "SEALED"
SEAL_DIGESTS_FILE = "SEALED.digests"
IMAGES = "images"
LABELS = "labels"
SKIPPED = "skipped_photons"
"""Key of a receipt, and coordinate of an opened stack: what `sampling.tolerance_photons` left
out of any pixel of a frame at most."""

MAX_INNER_EDGE = 1024
MAX_PIXELS = 1 << 34
MAX_SWEEP_DIMS = 12

Dtype = Literal["float32", "float64", "uint16", "uint32"]
DTYPES: tuple[Dtype, ...] = ("float32", "float64", "uint16", "uint32")
Compressor = Literal["lz4", "zstd"]
COMPRESSORS: tuple[Compressor, ...] = ("lz4", "zstd")


@dataclass(frozen=True, slots=True)
class StackLayout:
    """Shape of the stored array and its cutting into units.

    Attributes
    ----------
    dims : tuple of (name, size)
        Sweep dimensions, outermost first; empty for a single frame.
    unit_shape : tuple of int
        Frames per unit along each sweep dimension.
    panels : int
    shape : (int, int)
        Pixels (slow, fast) of one panel.
    inner : (int, int)
        Inner chunk, pixels (slow, fast).
    dtype : {"float32", "float64", "uint16", "uint32"}
    compressor : {"lz4", "zstd"}
    compression_level : int
    """

    dims: tuple[tuple[str, int], ...]
    unit_shape: tuple[int, ...]
    panels: int
    shape: tuple[int, int]
    inner: tuple[int, int]
    dtype: Dtype
    compressor: Compressor
    compression_level: int

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the stored dimensions; `panel` stands only where there are several."""
        panel = ("panel",) if self.panels > 1 else ()
        return (*(name for name, _ in self.dims), *panel, "slow", "fast")

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Shape of the stored array."""
        panel = (self.panels,) if self.panels > 1 else ()
        return (*(size for _, size in self.dims), *panel, *self.shape)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Inner chunk: one frame of one panel, or a tile of it."""
        panel = (1,) if self.panels > 1 else ()
        return (*(1 for _ in self.dims), *panel, *self.inner)

    @property
    def shard_shape(self) -> tuple[int, ...]:
        """Shard: the whole unit, rounded up to whole inner chunks."""
        panel = (self.panels,) if self.panels > 1 else ()
        pixels = tuple(
            math.ceil(size / edge) * edge for size, edge in zip(self.shape, self.inner, strict=True)
        )
        return (*self.unit_shape, *panel, *pixels)

    @property
    def unit_grid(self) -> tuple[int, ...]:
        """Units along each sweep dimension."""
        return tuple(
            math.ceil(size / block)
            for (_, size), block in zip(self.dims, self.unit_shape, strict=True)
        )

    @property
    def units(self) -> int:
        """Number of units."""
        return math.prod(self.unit_grid)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return math.prod(size for _, size in self.dims)

    def unit_index(self, unit: int) -> tuple[int, ...]:
        """Position of `unit` in the unit grid, C order."""
        if not 0 <= unit < self.units:
            raise IndexError(f"unit {unit} outside 0..{self.units - 1}")
        index = []
        for count in reversed(self.unit_grid):
            unit, position = divmod(unit, count)
            index.append(position)
        return tuple(reversed(index))

    def unit_region(self, unit: int) -> tuple[slice, ...]:
        """Slices over the sweep dimensions that `unit` covers, clipped at the array's edge."""
        return tuple(
            slice(i * block, min((i + 1) * block, size))
            for i, block, (_, size) in zip(
                self.unit_index(unit), self.unit_shape, self.dims, strict=True
            )
        )

    def unit_extent(self, unit: int) -> tuple[int, ...]:
        """Frames of `unit` along each sweep dimension."""
        return tuple(part.stop - part.start for part in self.unit_region(unit))

    def frame_count(self, unit: int) -> int:
        """Frames of `unit`."""
        return math.prod(self.unit_extent(unit))

    def full_region(self, unit: int) -> tuple[slice, ...]:
        """Slices over every stored dimension that `unit` covers."""
        pixels = self.array_shape[len(self.dims) :]
        return (*self.unit_region(unit), *(slice(0, size) for size in pixels))

    def object_name(self, unit: int) -> str:
        """Path of the unit's object below the run directory."""
        trailing = len(self.array_shape) - len(self.dims)
        parts = (*self.unit_index(unit), *(0 for _ in range(trailing)))
        return "/".join((IMAGES, "c", *map(str, parts)))

    def unit_of_index(self, index: tuple[int, ...]) -> int:
        """Find the unit at a position of the unit grid: the inverse of `unit_index`."""
        unit = 0
        for position, count in zip(index, self.unit_grid, strict=True):
            unit = unit * count + position
        return unit

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {
            "dims": [[name, size] for name, size in self.dims],
            "unit_shape": list(self.unit_shape),
            "panels": self.panels,
            "shape": list(self.shape),
            "inner": list(self.inner),
            "dtype": self.dtype,
            "compressor": self.compressor,
            "compression_level": self.compression_level,
        }


def inner_edge(size: int) -> int:
    """Edge of an inner chunk: the whole size, or equal parts of at most 1024 pixels."""
    return math.ceil(size / math.ceil(size / MAX_INNER_EDGE))


def make_layout(plan: SweepPlan, output: Mapping[str, Any]) -> StackLayout:
    """Derive the stored layout from the plan and the plain `output` section."""
    dims = tuple((str(name), int(size)) for name, size in plan.dims)
    shape = (int(plan.frame.shape[0]), int(plan.frame.shape[1]))
    chunk = output.get("chunk", "auto")
    if chunk == "auto":
        inner = (inner_edge(shape[0]), inner_edge(shape[1]))
    else:
        inner = (min(int(chunk[0]), shape[0]), min(int(chunk[1]), shape[1]))
    dtype = _dtype(output.get("dtype", "float32"))
    wished = output.get("compressor", "auto")
    if wished == "auto":
        # Counts repeat and are worth zstd; the digits of expected photons do not.
        counts = plan.frame.photon_noise or np.dtype(dtype).kind == "u"
        wished = "zstd" if counts else "lz4"
    return StackLayout(
        dims=dims,
        unit_shape=tuple(int(n) for n in plan.unit_shape),
        panels=int(plan.frame.panels),
        shape=shape,
        inner=inner,
        dtype=dtype,
        compressor=_compressor(wished),
        compression_level=int(output.get("compression_level", 1)),
    )


def layout_from_plain(plain: Mapping[str, Any]) -> StackLayout:
    """Rebuild a layout from `StackLayout.to_plain`.

    Raises
    ------
    DamageError
        A field is missing or out of range.
    """
    try:
        layout = StackLayout(
            dims=tuple((str(name), int(size)) for name, size in plain["dims"]),
            unit_shape=tuple(int(n) for n in plain["unit_shape"]),
            panels=int(plain["panels"]),
            shape=(int(plain["shape"][0]), int(plain["shape"][1])),
            inner=(int(plain["inner"][0]), int(plain["inner"][1])),
            dtype=_dtype(plain["dtype"]),
            compressor=_compressor(plain["compressor"]),
            compression_level=int(plain["compression_level"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DamageError(f"manifest: layout cannot be read ({error!r})") from error
    numbers = (*layout.array_shape, *layout.unit_shape, *layout.inner, layout.panels)
    if min(numbers) < 1 or len(layout.unit_shape) != len(layout.dims):
        raise DamageError("manifest: layout holds impossible sizes")
    pixels = layout.panels * math.prod(layout.shape)
    if layout.frames > MAX_FRAMES or pixels > MAX_PIXELS or len(layout.dims) > MAX_SWEEP_DIMS:
        raise DamageError(
            f"manifest: {layout.frames} frames of {pixels} pixels are more than a stack can have"
        )
    return layout


def fill_value(dtype: str) -> float | int:
    """NaN for floats: a missing frame reads as NaN. 0 for counts, where only receipts tell."""
    return float("nan") if np.dtype(dtype).kind == "f" else 0


def _dtype(value: object) -> Dtype:
    for dtype in DTYPES:
        if value == dtype:
            return dtype
    raise ValueError(f"unknown dtype {value!r}")


def _compressor(value: object) -> Compressor:
    for compressor in COMPRESSORS:
        if value == compressor:
            return compressor
    raise ValueError(f"unknown compressor {value!r}")
