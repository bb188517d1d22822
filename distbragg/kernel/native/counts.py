"""Photon noise by the native library: the counts of `kernel.noise`, bit for bit."""

from __future__ import annotations

import ctypes
import math
from typing import Final

import numpy as np

from distbragg.kernel.native.library import available, library
from distbragg.models.vectors import Float64Array, IntArray

__all__ = ["FACTORIALS", "LOG_FACTORIALS", "available", "draw_counts"]

FACTORIALS: Final = tuple(math.lgamma(k + 1.0) for k in range(16))
"""ln(k!) of k < 16."""

_WORD: Final = (1 << 64) - 1
LOG_FACTORIALS: Final = (ctypes.c_double * len(FACTORIALS))(*FACTORIALS)
"""The same in memory that the library reads."""


def draw_counts(mean: Float64Array, pixels: IntArray, *, seed: int, frame: int) -> Float64Array:
    """Draw a Poisson count for every mean; without the interpreter's lock.

    Parameters
    ----------
    mean : (n,) float64
    pixels : (n,) int64
        Global index of each pixel within the frame.
    seed, frame : int

    Returns
    -------
    (n,) float64

    Raises
    ------
    ValueError
        The arrays differ in shape.
    """
    if mean.shape != pixels.shape:
        raise ValueError(f"{pixels.shape} pixels for {mean.shape} means")
    expected = np.ascontiguousarray(mean, dtype=np.float64)
    places = np.ascontiguousarray(pixels, dtype=np.int64)
    counts = np.empty_like(expected)
    library().distbragg_poisson(
        _reals(expected),
        places.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)),
        expected.size,
        seed & _WORD,
        frame & _WORD,
        LOG_FACTORIALS,
        _reals(counts),
    )
    return counts


def _reals(array: Float64Array) -> ctypes.Array[ctypes.c_double]:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))  # type: ignore[return-value]
