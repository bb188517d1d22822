"""Where things lie in a run directory, and how frames map to Zarr shards and chunks.

`RUN` is the Zarr v3 group itself; everything that is not pixels lives in `RUN/.distbragg`.
One shard is one work unit, so two writers never touch the same object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from distbragg.errors import DamageError
from distbragg.plan.frame import balanced
from distbragg.plan.sweep import MAX_FRAMES, SweepPlan, UnitGrid
from distbragg.spec.base import Auto
from distbragg.spec.compute import Dtype, stored_range

STATE_DIR = ".distbragg"
METADATA = "zarr.json"
MANIFEST_FILE = "manifest.json"
MANIFEST = f"{STATE_DIR}/{MANIFEST_FILE}"  # key of the manifest
INPUTS = f"{STATE_DIR}/inputs/"  # folder of input files
GRIDS = f"{STATE_DIR}/grids/"  # folder of prepared |F| grids
RECEIPTS_DIR = "receipts"
FAILURES_DIR = "failures"
LOCK_FILE = "lock"
REPAIRS_DIR = "repairs"
FOREIGN_DIR = "foreign"
PARTIAL_DIR = "partial"  # where objects are written before they are whole
SEAL_FILE = "SEALED"
SEAL_DIGESTS_FILE = "SEALED.digests"
IMAGES = "images"
LABELS = "labels"
SKIPPED = "skipped_photons"
"""Key of a receipt, and coordinate of an opened stack: what `sampling.tolerance_photons` left
out of any pixel of a frame at most."""

OVERLOADS = "overloads"
"""Key of a receipt, and coordinate of an opened stack: pixels of a frame that were beyond the
range of the stored type, and hold its largest value."""

MAX_INNER_EDGE = 1024
MAX_PIXELS = 1 << 34
MAX_SWEEP_DIMS = 12

Compressor = Literal["lz4", "zstd"]
Shuffle = Literal["byte", "bit"]


@dataclass(frozen=True, slots=True)
class StackLayout(UnitGrid):
    """Shape of the stored array and its cutting into units, each of them a shard.

    `shape` (slow, fast) is that of one panel and `inner` that of an inner chunk, pixels. What of a
    pixel `shuffle` brings together with its like before a chunk is compressed. `array` is the
    name of the stored array, and `components` how many numbers it has of each pixel, if several.
    `own_pixels`: its pixels are not those of the frame, and its dimensions have names of their own.
    """

    panels: int
    shape: tuple[int, int]
    inner: tuple[int, int]
    dtype: Dtype | Literal["uint8"]
    compressor: Compressor
    compression_level: int
    shuffle: Shuffle = "byte"
    array: str = IMAGES
    components: int = 0
    own_pixels: bool = False

    @property
    def _trailing(self) -> tuple[int, ...]:
        return (self.components,) if self.components else ()

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the stored dimensions; `panel` stands only where there are several."""
        panel = ("panel",) if self.panels > 1 else ()
        components = (f"{self.array}_component",) if self.components else ()
        return (*(name for name, _ in self.dims), *panel, *self.pixel_names, *components)

    @property
    def pixel_names(self) -> tuple[str, str]:
        """Names of the dimensions of pixels."""
        own = f"{self.array}_" if self.own_pixels else ""
        return f"{own}slow", f"{own}fast"

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of a frame: ([panels,] slow, fast[, components])."""
        panel = (self.panels,) if self.panels > 1 else ()
        return (*panel, *self.shape, *self._trailing)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of what an inner chunk holds of a panel: (slow, fast[, components])."""
        return (*self.inner, *self._trailing)

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Shape of the stored array."""
        return (*(size for _, size in self.dims), *self.frame_shape)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Inner chunk: one frame of one panel, or a tile of it."""
        panel = (1,) if self.panels > 1 else ()
        return (*(1 for _ in self.dims), *panel, *self.tile_shape)

    @property
    def shard_shape(self) -> tuple[int, ...]:
        """Shard: the whole unit, rounded up to whole inner chunks."""
        panel = (self.panels,) if self.panels > 1 else ()
        pixels = tuple(
            math.ceil(size / edge) * edge for size, edge in zip(self.shape, self.inner, strict=True)
        )
        return (*self.unit_shape, *panel, *pixels, *self._trailing)

    def unit_index(self, unit: int) -> tuple[int, ...]:
        """Position of `unit` in the unit grid, C order."""
        grid = _unit_grid(self)
        units = math.prod(grid)
        if not 0 <= unit < units:
            raise IndexError(f"unit {unit} outside 0..{units - 1}")
        return tuple(map(int, np.unravel_index(unit, grid)))

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

    def unit_frames(self, unit: int) -> tuple[int, ...]:
        """Flat C-order indices of the frames of `unit`, in the order they are stored."""
        frames = [0]
        for part, (_, size) in zip(self.unit_region(unit), self.dims, strict=True):
            frames = [head * size + i for head in frames for i in range(part.start, part.stop)]
        return tuple(frames)

    def object_name(self, unit: int) -> str:
        """Path of the unit's object below the run directory."""
        parts = (*self.unit_index(unit), *(0 for _ in self.frame_shape))
        return "/".join((self.array, "c", *map(str, parts)))

    @property
    def object_grid(self) -> tuple[int, ...]:
        """Objects along each stored dimension."""
        return (*self.unit_grid, *(1 for _ in self.frame_shape))

    def position(self, frame: int) -> tuple[int, ...]:
        """Index of a frame along each sweep dimension."""
        sizes = tuple(size for _, size in self.dims)
        return tuple(int(i) for i in np.unravel_index(frame, sizes)) if sizes else ()

    def unit_of(self, frame: int) -> int:
        """Return the unit that holds a frame."""
        inside = zip(self.position(frame), self.unit_shape, strict=True)
        return self.unit_of_index(tuple(i // block for i, block in inside))

    def unit_of_index(self, index: tuple[int, ...]) -> int:
        """Find the unit at a position of the unit grid: the inverse of `unit_index`."""
        return int(np.ravel_multi_index(index, self.unit_grid)) if index else 0

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data, without `shuffle` where it is what runs once had throughout."""
        plain: dict[str, Any] = _LAYOUT.dump_python(self, mode="json", exclude_defaults=True)
        return plain


@lru_cache(maxsize=8)
def _unit_grid(layout: StackLayout) -> tuple[int, ...]:
    """Return `unit_grid`, which every unit asks for several times."""
    return layout.unit_grid


_LAYOUT: Final = TypeAdapter(StackLayout)


def make_layout(plan: SweepPlan, output: Mapping[str, Any]) -> StackLayout:
    """Derive the stored layout from the plan and the plain `output` section."""
    shape = plan.frame.shape
    dtype, compressor = output.get("dtype", "float32"), output.get("compressor", "auto")
    if compressor == "auto":
        compressor = "lz4"
    counts = plan.frame.photon_noise or np.dtype(dtype).kind != "f"
    return _LAYOUT.validate_python(
        {
            "dims": plan.dims,
            "unit_shape": plan.unit_shape,
            "panels": plan.frame.panels,
            "shape": shape,
            "inner": inner_chunk(shape, output.get("chunk", "auto")),
            "dtype": dtype,
            "compressor": compressor,
            "compression_level": output.get("compression_level", 1),
            "shuffle": shuffle_of(compressor, counts=counts),
        }
    )


def inner_chunk(shape: tuple[int, int], chunk: Sequence[int] | Auto) -> tuple[int, int]:
    """Return the inner chunk of panels of a shape, as near to `chunk` as they let it be."""
    if chunk == "auto":
        slow, fast = (balanced(size, MAX_INNER_EDGE) for size in shape)
    else:
        slow, fast = (min(edge, size) for edge, size in zip(chunk, shape, strict=True))
    return slow, fast


def shuffle_of(compressor: Compressor, *, counts: bool) -> Shuffle:
    """Return what is shuffled: the upper bits of counts are nearly all 0.

    lz4 makes little of that where bytes hold others.
    """
    return "bit" if counts and compressor == "lz4" else "byte"


def layout_from_plain(plain: object) -> StackLayout:
    """Rebuild a layout from `StackLayout.to_plain`; `DamageError` where it is none."""
    try:
        layout = _LAYOUT.validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DamageError(f"manifest: layout cannot be read ({place}: {first['msg']})") from None
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
    """Return what a missing frame reads as: NaN for floats; of counts the largest."""
    kind = np.dtype(dtype)
    return float("nan") if kind.kind == "f" else int(np.iinfo(kind).max)


def largest_value(dtype: str) -> float | int:
    """Return the largest value that a stack of this type can hold."""
    kind = np.dtype(dtype)
    return float(np.finfo(kind).max) if kind.kind == "f" else int(stored_range(dtype)[1])
