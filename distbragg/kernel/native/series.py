"""Spots whose logarithms are polynomials, drawn by the native library, with derivatives."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from distbragg.kernel.native.library import available, library
from distbragg.models.vectors import Float64Array, IntArray

__all__ = ["DrawnSpots", "available"]


class _Spots(ctypes.Structure):
    """`Spots` of `series.hpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("parts", "count", "height", "width")),
        *((name, ctypes.c_void_p) for name in ("powers", "ellipse", "grid", "points")),
    )


@dataclass(frozen=True, slots=True)
class DrawnSpots:
    """Where spots are drawn in a window of pixels.

    Attributes
    ----------
    shape : two int
        Rows and columns of the window.
    ellipses : (spots, 5) float64
        Slow, fast, L11, L21, L22 of the edges of the spots' discs, pixels.
    grid : (spots, 4) int64
        First and number of its `points` along slow, and along fast.
    points : (n,) float64
        Offsets from the middle of a pixel, pixels.
    """

    shape: tuple[int, int]
    ellipses: Float64Array
    grid: IntArray
    points: Float64Array

    def draw(self, powers: Float64Array, height: Float64Array) -> Float64Array:
        """Return the image of the window, (rows, columns); see `fit.spot_draw.draw`."""
        image = np.zeros(self.shape)
        _done(library().distbragg_draw_series(self._laid_out(powers, height), image.ctypes.data))
        return image

    def differentiate(
        self, powers: Float64Array, height: Float64Array, slope: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return the derivatives of Σ slope · image by `powers` and by `height`."""
        by_powers, by_height = np.zeros((len(height), *powers.shape[::2])), np.zeros(len(height))
        slope = np.ascontiguousarray(slope)
        pointers = (one.ctypes.data for one in (slope, by_powers, by_height))
        spots = self._laid_out(powers, height)
        _done(library().distbragg_differentiate_series(spots, *pointers))
        return by_powers.transpose(1, 0, 2), by_height

    def _laid_out(self, powers: Float64Array, height: Float64Array) -> object:
        arrays = (
            np.ascontiguousarray(powers.transpose(1, 0, 2)),
            np.column_stack([height, self.ellipses]),
            np.ascontiguousarray(self.grid),
            np.ascontiguousarray(self.points),
        )
        spots = _Spots(len(powers), len(height), *self.shape, *(one.ctypes.data for one in arrays))
        spots.held = arrays  # as long as their addresses are used
        return ctypes.byref(spots)


def _done(status: int) -> None:
    if status != 0:
        raise MemoryError("the native library could not allocate the points of a spot")
