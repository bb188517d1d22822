"""What a detector records, by the native library: the numbers of the model, bit for bit."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.library import available, library
from distbragg.models.response import Response
from distbragg.models.vectors import Float64Array

__all__ = ["MOST_ZONES", "available", "draw_normals", "record"]

MOST_ZONES: Final = 8
_WORD: Final = (1 << 64) - 1
_PER_ZONE: Final = ("start", "gain", "offset", "readout", "code")
_PER_PIXEL: Final = ("lowest", "highest", "saturation", "overload")


class _Numbers(ctypes.Structure):
    """`Numbers` of `response.hpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("zones", "in_photons", "rounded", "noisy")),
        *((name, ctypes.c_uint64) for name in ("seed", "frame", "stream")),
        *((name, ctypes.c_double * MOST_ZONES) for name in _PER_ZONE),
        *((name, ctypes.c_double) for name in _PER_PIXEL),
    )


def draw_normals(first: int, count: int, *, seed: int, frame: int, stream: int) -> Float64Array:
    """Draw the deviates of `philox.normals`, without the interpreter's lock."""
    drawn = np.empty(count)
    library().distbragg_normals(
        first, count, seed & _WORD, frame & _WORD, stream, _pointer(drawn, ctypes.c_double)
    )
    return drawn


def record(
    pixels: NDArray[Any],
    factors: NDArray[np.float32] | None,
    response: Response,
    *,
    first: int,
    seed: int,
    frame: int,
    stream: int,
) -> int:
    """Turn the photons of pixels from number `first` on into what is recorded, in place.

    Parameters
    ----------
    pixels : (n,) float32 or float64
        Side by side in memory.
    factors : (n,) float32, optional
        By which pixels are calibrated.
    response : Response
        Of at most `MOST_ZONES` gains.
    first, seed, frame, stream : int

    Returns
    -------
    int
        Pixels that are overloaded.
    """
    zones = response.zones
    noisy = any(zone.readout != 0.0 for zone in zones)
    numbers = _Numbers(len(zones), response.in_photons, response.rounded, noisy)
    numbers.seed, numbers.frame, numbers.stream = seed & _WORD, frame & _WORD, stream
    for name in _PER_ZONE:
        getattr(numbers, name)[: len(zones)] = [getattr(zone, name) for zone in zones]
    for name in _PER_PIXEL:
        setattr(numbers, name, getattr(response, name))
    single = pixels.dtype == np.float32
    over: int = library().distbragg_record(
        ctypes.byref(numbers),
        first,
        pixels.size,
        None if factors is None else _pointer(factors, ctypes.c_float),
        _pointer(pixels, ctypes.c_float) if single else None,
        None if single else _pointer(pixels, ctypes.c_double),
    )
    return over


def _pointer(array: NDArray[Any], kind: Any) -> Any:  # noqa: ANN401 - ctypes' own classes
    return array.ctypes.data_as(ctypes.POINTER(kind))
