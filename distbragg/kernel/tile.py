"""A tile's rendered pixels, and what a kernel returns of one tile × source chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.arrays import Array
from distbragg.plan.frame import Tile

if TYPE_CHECKING:
    from torch import Tensor


def active_positions(panel: Panel, tile: Tile) -> IntArray:
    """Return the row-major positions within `tile` of its active pixels, (active,) int64."""
    window = panel.active[tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]
    return np.flatnonzero(window).astype(np.int64)


def pixel_coordinates(tile: Tile, positions: IntArray) -> tuple[Float64Array, Float64Array]:
    """Return global slow and fast indices of row-major positions of a tile, as float64."""
    slow, fast = np.divmod(positions, tile.fast_stop - tile.fast_start)
    return (tile.slow_start + slow).astype(np.float64), (tile.fast_start + fast).astype(np.float64)


def frame_pixel(panel: int, shape: tuple[int, int], slow: Array, fast: Array) -> Array:
    """Return the number of a pixel within the frame, panels of one shape one after another."""
    rows, columns = shape
    return slow * columns + fast + panel * rows * columns


class DeviceSum:
    """Un-normalised sum of a tile, (pixels,) float64, on the GPU until its frame is finished.

    It is added to like a numpy array, by the same IEEE float64 additions, so that merging here
    or on the host gives the same bits. `seconds` is the time that the device took to make it; 0
    where no clock of the device was read.
    """

    __slots__ = ("seconds", "values")

    dtype = np.dtype(np.float64)
    ndim = 1

    def __init__(self, values: Tensor, seconds: float = 0.0) -> None:
        if str(values.dtype) != "torch.float64" or values.ndim != 1:
            raise TypeError(f"a sum is flat float64, not {values.dtype} of {tuple(values.shape)}")
        self.values = values
        self.seconds = seconds

    @property
    def shape(self) -> tuple[int, ...]:
        """(pixels,)."""
        return tuple(self.values.shape)

    @property
    def size(self) -> int:
        """Pixels."""
        return self.values.numel()

    def copy(self) -> DeviceSum:
        """Return a sum of its own memory."""
        return DeviceSum(self.values.clone())

    def __iadd__(self, other: DeviceSum) -> DeviceSum:
        self.values += other.values
        self.seconds += other.seconds
        return self

    def __imul__(self, factor: float) -> DeviceSum:
        self.values *= factor
        return self

    def to_host(self) -> Float64Array:
        """Return the sum as a numpy array."""
        host: Float64Array = self.values.cpu().numpy()
        return host

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a sum in device memory does not travel: take it to the host first")


@dataclass(frozen=True, slots=True)
class TileSum:
    """Sum over the steps of a tile, and what was left out of it."""

    numerator: Float64Array | DeviceSum  # (pixels,), see `render_tile`
    skipped: float = 0.0
    """At most this much was left out of any pixel, in the numerator's unit and with the factors
    that `finalize_tile` may still apply; 0 where no tolerance is set."""
    evaluated: int | None = None
    """Steps that the tolerance did not leave out; None where all were taken."""

    def plus(self, other: TileSum) -> TileSum:
        """Return the sum with that of another lattice, added in its place."""
        numerator: Any = self.numerator
        numerator += other.numerator
        steps = [part.evaluated for part in (self, other) if part.evaluated is not None]
        return TileSum(numerator, self.skipped + other.skipped, sum(steps) if steps else None)

    def scaled(self, factor: float) -> TileSum:
        """Return the sum times a factor, in its place."""
        numerator: Any = self.numerator
        numerator *= factor
        return TileSum(numerator, self.skipped * factor, self.evaluated)

    def on_host(self) -> Float64Array:
        """Return the numerator as a numpy array, from wherever it is."""
        numerator = self.numerator
        return numerator.to_host() if isinstance(numerator, DeviceSum) else numerator
