"""Convolution of a panel's photons by the native library."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.library import library
from distbragg.models.vectors import Float64Array

_REALS = ctypes.POINTER(ctypes.c_double)


def convolve(image: NDArray[Any], kernel: Float64Array, *, threads: int) -> Float64Array:
    """Return Σ kernel · shifted image, each pixel's in the order of the kernel's shares.

    Parameters
    ----------
    image : (slow, fast) float32 or float64
        A part of a larger array where need be; its rows are contiguous.
    kernel : (odd, odd) float64
        Share of a photon by displacement.
    threads : int
        No bit depends on it.

    Returns
    -------
    (slow, fast) float64

    Raises
    ------
    MemoryError
    """
    size = image.itemsize
    if image.dtype.str[1:] not in ("f4", "f8") or image.strides[1] != size:
        raise ValueError(f"cannot spread {image.dtype} with strides {image.strides}")
    shares = np.ascontiguousarray(kernel, dtype=np.float64)
    out = np.empty(image.shape)
    status = library().distbragg_spread(
        image.ctypes.data,
        size == 8,
        *image.shape,
        image.strides[0] // size,
        shares.ctypes.data_as(_REALS),
        *shares.shape,
        max(threads, 1),
        out.ctypes.data_as(_REALS),
    )
    if status != 0:
        raise MemoryError("the native library could not allocate a band of the image")
    return out
